"""What stands in a project: what its forms filter by, which Lizmap asks for as a visitor would, and its pages."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO
from xml.parsers import expat

from .judgement import PROJECTS
from .sizes import Page

PAGE = "65638"
"""QGIS's number of a layout's page."""
MM = {"mm": 1, "cm": 10, "m": 1000, "in": 25.4, "ft": 304.8, "pt": 25.4 / 72, "pi": 25.4 / 6, "px": 25.4 / 96}


@dataclass(frozen=True)
class ProjectParts:
    """What stands in a project."""

    filters: frozenset[str] = frozenset()
    """Of its forms."""
    layouts: Mapping[str, frozenset[Page]] = field(default_factory=dict)
    """The pages of each, by its name."""


def filters_of(file: str) -> frozenset[str]:
    """Give the filters of the forms of a project."""
    return _found_in(file).filters


def layouts_of(file: str) -> Mapping[str, frozenset[Page]]:
    """Give the pages of each layout of a project."""
    return _found_in(file).layouts


def _found_in(file: str) -> ProjectParts:
    """Look into a project, again when it has changed; a file elsewhere has nothing."""
    path = Path(file).resolve()
    if not path.is_relative_to(PROJECTS) or path.suffix not in {".qgs", ".qgz"}:
        return ProjectParts()
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, KeyError, zipfile.BadZipFile, expat.ExpatError):
        # QGIS Server says what is wrong with it.
        return ProjectParts()


@lru_cache(maxsize=32)
def _read(path: Path, _changed: int) -> ProjectParts:
    filters: set[str] = set()
    layouts: dict[str, set[Page]] = {}
    pages: set[Page] = set()

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal pages
        if tag == "Option" and attributes.get("name") == "FilterExpression":
            filters.add(attributes.get("value", ""))
        elif tag == "Layout":
            pages = layouts.setdefault(attributes.get("name", ""), set())
        elif tag == "LayoutItem" and attributes.get("type") == PAGE:
            pages.update(_size(attributes.get("size", "")))

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    with _opened(path) as project:
        parser.ParseFile(project)
    return ProjectParts(frozenset(filters - {""}), {name: frozenset(found) for name, found in layouts.items()})


def _size(text: str) -> Iterator[Page]:
    """Give a size such as 297,210,mm in mm; nothing of one that is none."""
    width, _, rest = text.partition(",")
    height, _, unit = rest.partition(",")
    try:
        size = float(width) * MM[unit or "mm"], float(height) * MM[unit or "mm"]
    except (KeyError, ValueError):
        return
    if min(size) > 0:
        yield size


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
