"""What the heads of data files tell: how many features, whether there is an index or overviews."""

from __future__ import annotations

import os
import sqlite3
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path, PurePosixPath

from ansible.module_utils.poppyfield.projects.slow_layers import LARGE_TABLE, FileFacts

Found = dict[tuple[str, str], FileFacts]
"""By the file and its layer, whose name is empty for the first one."""
INDEXES_OF_SHAPEFILE = (".qix", ".sbn")
IMAGE_WIDTH, IMAGE_LENGTH, KIND, PARTS = 256, 257, 254, 330
"""Tags of TIFF. Overviews are further pictures of the kind 'reduced', or parts of the first one."""
REDUCED = 1
MOST_PICTURES = 64
BIG_TIFF = 43
DAMAGED = (OSError, ValueError, SyntaxError, KeyError, TypeError)
TABLES = """
SELECT g.table_name, EXISTS (
    SELECT * FROM sqlite_master WHERE lower(name) = lower('rtree_' || g.table_name || '_' || g.column_name))
FROM gpkg_geometry_columns g JOIN gpkg_contents c ON c.table_name = g.table_name ORDER BY c.rowid
"""


def read(files: Mapping[str, Path]) -> Found:
    """Look at all files of a folder; one that can't be read tells nothing here, and is judged elsewhere."""
    names = {name.lower() for name in files}
    found: Found = {}
    for name, path in files.items():
        ending = PurePosixPath(name).suffix.lower()
        try:
            if ending == ".gpkg":
                found |= {(name, layer): facts for layer, facts in _of_geopackage(path)}
            elif ending == ".shp":
                found[name, ""] = _of_shapefile(path, name.lower(), names)
            elif ending in (".tif", ".tiff"):
                found[name, ""] = _of_tiff(path, has_ovr=f"{name.lower()}.ovr" in names)
        except (*DAMAGED, sqlite3.Error, struct.error, UserWarning, ImportError):
            continue
    return found


def _of_geopackage(path: Path) -> Iterator[tuple[str, FileFacts]]:
    # Without a trace, also where nobody may write.
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        for number, (table, has_index) in enumerate(database.execute(TABLES).fetchall()):
            facts = FileFacts(_rows(database, table), bool(has_index))
            yield table, facts
            if number == 0:
                yield "", facts


def _rows(database: sqlite3.Connection, table: str) -> int:
    """Give how many rows there are, as GDAL has noted, or else as many as count here."""
    try:
        noted = "SELECT feature_count FROM gpkg_ogr_contents WHERE lower(table_name) = lower(?)"
        row = database.execute(noted, (table,)).fetchone()
    except sqlite3.OperationalError:
        row = None
    if row and row[0] is not None:
        return int(row[0])
    quoted = table.replace('"', '""')
    counted = f'SELECT count(*) FROM (SELECT 1 FROM "{quoted}" LIMIT {LARGE_TABLE})'  # noqa: S608 - quoted above
    return int(database.execute(counted).fetchone()[0])


def _of_shapefile(path: Path, name: str, names: set[str]) -> FileFacts:
    stem, table = name.removesuffix(".shp"), path.with_suffix(".dbf")
    if not table.exists():
        table = path.with_suffix(".DBF")
    with table.open("rb") as stream:
        (features,) = struct.unpack("<4xI", stream.read(8))
    return FileFacts(features, any(f"{stem}{ending}" in names for ending in INDEXES_OF_SHAPEFILE))


def _of_tiff(path: Path, *, has_ovr: bool) -> FileFacts:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2  # noqa: PLC0415 - only the controller has Pillow

    with path.open("rb") as stream, warnings.catch_warnings():
        # Of a damaged file Pillow warns.
        warnings.simplefilter("error")
        head = stream.read(8)
        head += stream.read(8) if BIG_TIFF in head[2:4] else b""
        directory = ImageFileDirectory_v2(head)
        pixels, reduced, size = 0, has_ovr, os.fstat(stream.fileno()).st_size
        for _ in range(MOST_PICTURES):
            if not 0 < directory.next < size:
                break
            stream.seek(directory.next)
            directory.load(stream)
            pixels = max(pixels, int(directory[IMAGE_WIDTH]) * int(directory[IMAGE_LENGTH]))
            reduced = reduced or bool(int(directory.get(KIND, 0)) & REDUCED) or PARTS in directory
    return FileFacts(pixels=pixels, has_overviews=reduced)
