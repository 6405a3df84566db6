"""Files that are to be loaded into a database that exists, as they are found on the laptop."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.containers.spec import Json
from ansible.module_utils.poppyfield.inventory import dumps
from ansible.module_utils.poppyfield.postgis import contents, dump_file, spatial_files
from ansible.module_utils.poppyfield.postgis.contents import FileTable
from ansible.module_utils.poppyfield.postgis.dump_file import DumpFile
from ansible.module_utils.poppyfield.postgis.spatial_files import SpatialFileError, SpatialOptions

SPATIAL = "spatial"
KINDS = ("sql", "sql.gz", "dump")


class LoadFileError(Exception):
    """Why a file can't be loaded, and what helps."""


@dataclass(frozen=True)
class LoadFile:
    """A file, and what is known of it."""

    name: str
    kind: str
    """One of KINDS, or SPATIAL for what GDAL has made SQL."""
    source: Path
    """What is sent."""
    digest: str
    dump: DumpFile
    tables: tuple[FileTable, ...]

    def told(self) -> Json:
        """Give what the host is told of it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "size": self.source.stat().st_size,
            "room": dumps.loaded_bytes(self.dump),
            "kept": list(self.dump.kept),
            "sorting": self.dump.sorting,
            "makes_extensions": bool(self.dump.extensions),
        }


def read(path: Path, folder: Path, asked: SpatialOptions) -> LoadFile:
    """Read what a file says of itself; what GDAL makes of it is written into a folder. Raises LoadFileError."""
    kind = _kind(path.name)
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if kind != SPATIAL:
            dump = dump_file.read(path)
            return LoadFile(path.name, kind, path, digest, dump, tuple(_tables(path, kind, dump)))
        source, tables = spatial_files.to_sql(path, folder, asked)
        return LoadFile(path.name, kind, source, digest, dump_file.read(source), tuple(tables))
    except SpatialFileError as error:
        raise LoadFileError(f"{path.name}: {error}") from error
    except OSError as error:
        raise LoadFileError(f"{path}: it can't be read ({error.strerror})") from error


def _kind(name: str) -> str:
    if spatial_files.kind_of(name):
        return SPATIAL
    # The longest ending first.
    for kind in sorted(KINDS, key=len, reverse=True):
        if name.endswith(f".{kind}"):
            return kind
    kinds = ", ".join(f".{kind}" for kind in (*KINDS, *spatial_files.KINDS))
    raise LoadFileError(f"{name}: its name ends with none of {kinds}, by which its kind is known: rename it")


def _tables(path: Path, kind: str, dump: DumpFile) -> Iterable[FileTable]:
    if kind == "dump" or dump.broken:
        return dump.tables
    unpack: Any = gzip.open if kind == "sql.gz" and dump.gzipped else Path.open
    with unpack(path, "rb") as stream:
        found = contents.of_sql(stream)
    # What a person wrote may do anything with a table later.
    return found if dump.written_by else [replace(table, rows=None, certain=False) for table in found]


def problems(files: Sequence[LoadFile], postgresql: int | None = None) -> Iterator[str]:
    """Give what keeps the files from being loaded, by a PostgreSQL of this version where that is known."""
    for file in files:
        if file.kind != SPATIAL:
            for wrong, remedy in dumps.problems(file.dump, file.name, file.kind, postgresql):
                yield f"{file.name}: {wrong}. {remedy}"


def digest_of(files: Sequence[LoadFile], asked: SpatialOptions) -> str:
    """Give what tells these files, and how they are read, from others."""
    known = [[(file.name, file.digest) for file in files], asdict(asked)]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]


def left_out(files: Iterable[LoadFile]) -> list[str]:
    """Say what of the files is not loaded."""
    return [
        f"{file.name}: left out, since the image does not have it: {', '.join(sorted(file.dump.left_out))}."
        for file in files
        if file.dump.left_out
    ]
