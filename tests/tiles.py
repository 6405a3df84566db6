"""Small files of tiles, as the specifications of PMTiles 3 and MBTiles 1.3 say, to be delivered, shown and refused."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.basemaps.tiles_file import PMTILES_HEADER
from PIL import Image

SIDE = 256
FRANCE = (-5.5, 41.0, 10.0, 51.5)
PNG, MVT = 2, 1
NOT_COMPRESSED, GZIP = 1, 2
OSM = '<a href="https://www.openstreetmap.org/copyright">© OpenStreetMap</a> contributors'


def png(color: tuple[int, int, int]) -> bytes:
    """Give a tile of one colour."""
    stream = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), color).save(stream, "PNG")
    return stream.getvalue()


def pmtiles(
    tiles: Iterable[bytes] = (b"tile",),
    *,
    metadata: Mapping[str, Any] | None = None,
    bounds: tuple[float, float, float, float] = FRANCE,
    kind: int = PNG,
    compression: int = GZIP,
    of_tiles: int = NOT_COMPRESSED,
    zooms: tuple[int, int] = (0, 1),
    version: int = 3,
) -> bytes:
    """Write an archive: the first tile is the world's, the next are zoom 1's in the order of Hilbert's curve."""
    contents = list(tiles)
    metadata = {"name": "The valley", "attribution": OSM} if metadata is None else metadata
    packed = gzip.compress if compression == GZIP else bytes
    lengths = [len(content) for content in contents]
    # Ids as differences, runs of one tile, lengths, offsets (0: after the one before; else one more than it is).
    root = packed(
        b"".join(
            varint(number)
            for number in (
                len(contents),
                *(0 if number == 0 else 1 for number in range(len(contents))),
                *[1] * len(contents),
                *lengths,
                *(1 if number == 0 else 0 for number in range(len(contents))),
            )
        )
    )
    about = packed(json.dumps(metadata).encode())
    start = PMTILES_HEADER.size
    after = start + len(root) + len(about)
    header = PMTILES_HEADER.pack(
        *(b"PMTiles", version),
        *(start, len(root), start + len(root), len(about), after, 0, after, sum(lengths)),
        *(len(contents), len(contents), len(contents)),
        *(1, compression, of_tiles, kind, *zooms),
        *(round(degrees * 10_000_000) for degrees in bounds),
        *(zooms[0], 0, 0),
    )
    return header + root + about + b"".join(contents)


def varint(number: int) -> bytes:
    """Write a number as protocol buffers do."""
    written = b""
    while number > 127:
        written += bytes([number & 127 | 128])
        number >>= 7
    return written + bytes([number])


def write_mbtiles(
    path: Path, tiles: Mapping[tuple[int, int, int], bytes] | None = None, journal: str = "DELETE", **metadata: str
) -> Path:
    """Write MBTiles; tiles by zoom, column and row from the south."""
    about = {"name": "Relief", "format": "png", "bounds": "-5.5,41,10,51.5", "minzoom": "0", "maxzoom": "1", **metadata}
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode={journal}")
        database.execute("CREATE TABLE metadata (name text, value text)")
        database.execute(
            "CREATE TABLE tiles (zoom_level integer, tile_column integer, tile_row integer, tile_data blob)"
        )
        database.executemany("INSERT INTO metadata VALUES (?, ?)", [pair for pair in about.items() if pair[1]])
        rows = [(*place, content) for place, content in (tiles or {(0, 0, 0): png((1, 2, 3))}).items()]
        database.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", rows)
        database.commit()
    return path
