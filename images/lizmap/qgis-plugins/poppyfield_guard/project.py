"""What a project itself filters by: the values that a form offers, which Lizmap asks for as a visitor would."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO
from xml.parsers import expat

from .judgement import PROJECTS


def filters_of(file: str) -> frozenset[str]:
    """Give the filters of the forms of a project, read again when it has changed; none of a file elsewhere."""
    path = Path(file).resolve()
    if not path.is_relative_to(PROJECTS) or path.suffix not in {".qgs", ".qgz"}:
        return frozenset()
    try:
        return _filters_of(path, path.stat().st_mtime_ns)
    except (OSError, KeyError, zipfile.BadZipFile, expat.ExpatError):
        # QGIS Server says what is wrong with it.
        return frozenset()


@lru_cache(maxsize=32)
def _filters_of(path: Path, _changed: int) -> frozenset[str]:
    found: set[str] = set()

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Option" and attributes.get("name") == "FilterExpression":
            found.add(attributes.get("value", ""))

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    with _opened(path) as project:
        parser.ParseFile(project)
    return frozenset(found - {""})


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix == ".qgs":
        with path.open("rb") as project:
            yield project
        return
    with zipfile.ZipFile(path) as archive:
        name = next((name for name in archive.namelist() if name.endswith(".qgs")), "")
        with archive.open(name) as project:
            yield project
