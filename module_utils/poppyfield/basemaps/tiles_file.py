"""What a file of tiles says of itself: PMTiles (version 3 of its specification) and MBTiles (1.3). For the laptop."""

from __future__ import annotations

import gzip
import html
import json
import re
import sqlite3
import struct
import zlib
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO, Any

PMTILES_MAGIC = b"PMTiles"
PMTILES_VERSION = 3
PMTILES_HEADER = struct.Struct("<7sB11Q6B4iB2i")
"""Magic, version, offsets and counts, clustered, compressions, tile type, zooms, bounds, the centre."""
PMTILES_KINDS = {1: "mvt", 2: "png", 3: "jpg", 4: "webp"}
NO_COMPRESSION, GZIP = 1, 2
UNKNOWN_COMPRESSION = 0
DEGREE = 10_000_000
SQLITE_MAGIC = b"SQLite format 3\0"
WRITE_AHEAD = 2
"""In two bytes of SQLite's header: it wants a log beside the file, which cannot be where nobody may write."""
MBTILES_KINDS = {"png": "png", "jpg": "jpg", "jpeg": "jpg", "webp": "webp", "pbf": "mvt"}
MBTILES_TABLES = {
    "metadata": {"name", "value"},
    "tiles": {"zoom_level", "tile_column", "tile_row", "tile_data"},
}
LARGEST_METADATA = 16 * 1024 * 1024
LONGEST_TEXT = 300
WEST, SOUTH, EAST, NORTH = WORLD = (-180.0, -90.0, 180.0, 90.0)
COPY_AGAIN = "Copy or make it again"
TAG = re.compile(r"<[^>]*>")

Bounds = tuple[float, float, float, float]


class TilesForm(Enum):
    """The form of a file."""

    PMTILES = "pmtiles"
    MBTILES = "mbtiles"


@dataclass(frozen=True)
class TilesFile:
    """What is in a file of tiles, or what keeps it from being used."""

    form: TilesForm = TilesForm.PMTILES
    size: int = 0
    """Bytes."""
    tiles: str = ""
    """Of what kind the tiles are: png, jpg, webp, or mvt for vectors."""
    zooms: tuple[int, int] = (0, 0)
    bounds: Bounds = WORLD
    """West, south, east, north in degrees."""
    title: str = ""
    attribution: str = ""
    """Whose data they are, as plain text."""


class TilesFileError(Exception):
    """A file that cannot be a base map: what is wrong with it, and what helps."""

    def __init__(self, wrong: str, remedy: str) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.remedy = remedy


def read(path: Path) -> TilesFile:
    """Read the head of a file. Raises TilesFileError; OSError where it can't be read."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(PMTILES_HEADER.size)
        if head.startswith(PMTILES_MAGIC):
            return _of_pmtiles(head, stream, size)
    if head.startswith(SQLITE_MAGIC):
        return _of_mbtiles(path, head, size)
    raise TilesFileError(
        "it is neither PMTiles nor MBTiles, as its first bytes tell" if size else "it is empty",
        "Name a file of one of these two, or make it again (docs/basemaps.md)",
    )


def plain(text: Any) -> str:
    """Give a text without HTML's tags, in one line; what is no text is empty."""
    words = html.unescape(TAG.sub("", text)) if isinstance(text, str) else ""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())[:LONGEST_TEXT]


# PMTiles -------------------------------------------------------------------------------------------------------------


def _of_pmtiles(head: bytes, stream: IO[bytes], size: int) -> TilesFile:
    if len(head) > len(PMTILES_MAGIC) and head[len(PMTILES_MAGIC)] != PMTILES_VERSION:
        raise TilesFileError(
            f"it is PMTiles of version {head[len(PMTILES_MAGIC)]}, and the map page reads version {PMTILES_VERSION}",
            "Make version 3 of it: pmtiles convert OLD NEW",
        )
    if len(head) < PMTILES_HEADER.size:
        raise TilesFileError(f"it ends after {size} bytes, within its header", COPY_AGAIN)
    numbers = PMTILES_HEADER.unpack(head)[2:]
    sections = list(zip(numbers[0:8:2], numbers[1:8:2], strict=True))
    end = max(offset + length for offset, length in sections)
    if end > size:
        raise TilesFileError(f"it has {size} bytes, and its header says {end}: it is not whole", COPY_AGAIN)
    inside, of_tiles, kind, least, most = numbers[12:17]
    _check_compressions(inside, of_tiles)
    bounds = (numbers[17] / DEGREE, numbers[18] / DEGREE, numbers[19] / DEGREE, numbers[20] / DEGREE)
    metadata = _metadata(stream, *sections[1], is_gzip=inside == GZIP)
    return TilesFile(
        TilesForm.PMTILES,
        size,
        PMTILES_KINDS.get(kind, ""),
        (least, most),
        _checked(bounds, (least, most)),
        plain(metadata.get("name")),
        plain(metadata.get("attribution")),
    )


def _check_compressions(inside: int, of_tiles: int) -> None:
    if inside not in (NO_COMPRESSION, GZIP) or of_tiles not in (UNKNOWN_COMPRESSION, NO_COMPRESSION, GZIP):
        raise TilesFileError(
            "it is compressed by something else than gzip, which browsers don't unpack", "Make it with gzip, or without"
        )


def _metadata(stream: IO[bytes], offset: int, length: int, *, is_gzip: bool) -> dict[str, Any]:
    if not length:
        return {}
    try:
        if length > LARGEST_METADATA:
            raise ValueError("they are too large")
        stream.seek(offset)
        content = stream.read(length)
        found = json.loads(_unpacked(content) if is_gzip else content)
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
        raise TilesFileError(f"its metadata can't be read ({error})", COPY_AGAIN) from error
    return found if isinstance(found, dict) else {}


def _unpacked(content: bytes) -> bytes:
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    unpacked = unpacking.decompress(content, LARGEST_METADATA)
    if not unpacking.eof:
        raise gzip.BadGzipFile("they do not end, or are too large")
    return unpacked


def _checked(bounds: Bounds, zooms: tuple[int, int]) -> Bounds:
    west, south, east, north = bounds
    if not (WEST <= west < east <= EAST and SOUTH <= south < north <= NORTH):
        told = ", ".join(f"{number:g}" for number in bounds)
        raise TilesFileError(
            f"its bounds ({told}) are no area of the world in degrees", "Make it again with its bounds"
        )
    if zooms[0] > zooms[1]:
        raise TilesFileError(f"its zooms go from {zooms[0]} to {zooms[1]}", "Make it again")
    return bounds


# MBTiles -------------------------------------------------------------------------------------------------------------


def _of_mbtiles(path: Path, head: bytes, size: int) -> TilesFile:
    beside = [name for name in (f"{path.name}-wal", f"{path.name}-journal") if _has_content(path.with_name(name))]
    if beside or WRITE_AHEAD in head[18:20]:
        raise TilesFileError(
            f"there is work in {beside[0]} that is not in it yet"
            if beside
            else "SQLite wants to write beside it (WAL)",
            f"Close the program that has it open, then: sqlite3 {path.name} 'PRAGMA journal_mode=DELETE'",
        )
    try:
        # Without a trace, also where nobody may write.
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
            return _of_database(database, size)
    except (sqlite3.Error, UnicodeError) as error:
        raise TilesFileError(f"it is a damaged database ({error})", COPY_AGAIN) from error


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _of_database(database: sqlite3.Connection, size: int) -> TilesFile:
    for table, columns in MBTILES_TABLES.items():
        found = {str(row[1]) for row in database.execute(f"PRAGMA table_info({table})")}
        if not columns <= found:
            raise TilesFileError(
                f"it is a database of SQLite, but no MBTiles: the table {table} with {', '.join(sorted(columns))} is "
                "not in it",
                "Name the file of tiles, or make it by QGIS Desktop: Generate XYZ tiles (MBTiles)",
            )
    metadata = {str(name): str(value) for name, value in database.execute("SELECT name, value FROM metadata")}
    lacking = [name for name in ("name", "format") if not metadata.get(name)]
    if lacking:
        raise TilesFileError(
            f"its table metadata lacks {' and '.join(lacking)}, which each MBTiles has",
            "Add it to the table, or make the file again",
        )
    if database.execute("SELECT 1 FROM tiles LIMIT 1").fetchone() is None:
        raise TilesFileError("it has no tiles", "Make it again")
    bounds, zooms = _bounds(metadata), _zooms(metadata)
    return TilesFile(
        TilesForm.MBTILES,
        size,
        MBTILES_KINDS.get(metadata["format"].lower(), ""),
        zooms,
        _checked(bounds, zooms),
        plain(metadata["name"]),
        plain(metadata.get("attribution")),
    )


def _bounds(metadata: dict[str, str]) -> Bounds:
    if "bounds" not in metadata:
        return WORLD
    try:
        west, south, east, north = (float(number) for number in metadata["bounds"].split(","))
    except ValueError as error:
        raise TilesFileError(
            "its bounds are not four numbers: west,south,east,north in degrees", "Correct them in its table metadata"
        ) from error
    return west, south, east, north


def _zooms(metadata: dict[str, str]) -> tuple[int, int]:
    try:
        return int(metadata.get("minzoom", 0)), int(metadata.get("maxzoom", 30))
    except ValueError as error:
        raise TilesFileError("its zooms are no whole numbers", "Correct them in its table metadata") from error
