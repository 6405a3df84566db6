#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["mapbox-vector-tile==2.2.0", "pmtiles==3.8.1", "pyproj==3.7.2", "shapely==2.1.2"]
# ///
"""Make the demo's base map, basemaps/europe.pmtiles: sea, borders and names of the countries around the sample.

Run it only to change the base map: the result is committed. It needs pip, dpkg-deb and, on Debian bookworm, apt-get;
elsewhere put the named qgis-common package into the inputs folder first.

    python3 workshop/demo/sample/make_basemap.py --inputs build/sample-inputs

Where the data come from is told in SOURCES.md.
"""

from __future__ import annotations

import argparse
import gzip
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mapbox_vector_tile
from derive import COUNTRY_NAMES, Package, fetch, geopackage_geometry, multipolygon, world_map
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer
from shapely import box, make_valid
from shapely.geometry.base import BaseGeometry
from shapely.ops import transform, unary_union

RESULT = Path(__file__).resolve().parent / "basemaps" / "europe.pmtiles"
QGIS = Package(
    file="qgis-common_3.22.16+dfsg-1_all.deb",
    sha256="8c46e9da78b82772b23777643e02210c43945f01faee2316899f6438b65a5960",
    fetch=("apt-get", "download", "qgis-common=3.22.16+dfsg-1"),
)
BOUNDS = WEST, SOUTH, EAST, NORTH = (-26.0, 33.0, 42.0, 67.0)
ZOOMS = range(6)
"""Nearer than the last one, the map page draws its tiles larger."""
EXTENT = 4096
EARTH = 6378137.0
HALF = math.pi * EARTH
DEGREE = 10_000_000
NAMES = {**COUNTRY_NAMES, "FR": "France"}
LEAST_NAMED = 15_000e6
"""Square metres of EPSG:3857: the name of a smaller country would hide that of a larger one."""
COAST = 3_000.0
"""Metres from the coast within which a border is none: the coast itself is seen as that of the sea."""
AROUND = 1 / 64
"""How much further a tile's geometry goes than the tile, as a part of it, so that no seam shows."""


def mercator(x: Any, y: Any) -> tuple[Any, Any]:
    """Give degrees in metres of EPSG:3857."""
    return math.radians(x) * EARTH, math.log(math.tan(math.pi / 4 + math.radians(y) / 2)) * EARTH


def project(geometry: BaseGeometry) -> BaseGeometry:
    """Give a geometry in EPSG:3857."""
    return transform(lambda *xy: tuple(zip(*(mercator(x, y) for x, y in zip(*xy, strict=True)), strict=True)), geometry)


def layers_of(world: Any) -> dict[str, list[tuple[BaseGeometry, dict[str, str]]]]:
    """Give what is drawn, by layers as Protomaps calls them."""
    frame = box(*BOUNDS)
    countries: dict[str, list[BaseGeometry]] = {}
    for code, blob in world.execute("SELECT iso_a2, geom FROM countries ORDER BY fid"):
        outline = multipolygon(geopackage_geometry(blob).intersection(frame))
        if not outline.is_empty:
            countries.setdefault(code, []).append(project(outline))
    land = unary_union([part for parts in countries.values() for part in parts])
    borders = unary_union([part.boundary for parts in countries.values() for part in parts])
    inland = borders.difference(land.boundary.buffer(COAST))
    largest = {code: max(parts, key=lambda part: part.area) for code, parts in countries.items()}
    named = {
        name: largest[code].representative_point()
        for code, name in NAMES.items()
        if code in largest and largest[code].area > LEAST_NAMED
    }
    return {
        "water": [(project(frame).difference(land), {"kind": "ocean"})],
        "boundaries": [(inland, {"kind": "country"})],
        "places": [(point, {"kind": "country", "name": name}) for name, point in named.items()],
    }


def tiles(zoom: int) -> Iterator[tuple[int, int, BaseGeometry]]:
    """Give column, row and area of each tile of a zoom that meets the bounds."""
    side = 2 * HALF / 2**zoom
    (left, bottom), (right, top) = mercator(WEST, SOUTH), mercator(EAST, NORTH)
    for x in range(int((left + HALF) // side), int((right + HALF) // side) + 1):
        for y in range(int((HALF - top) // side), int((HALF - bottom) // side) + 1):
            yield x, y, box(x * side - HALF, HALF - (y + 1) * side, (x + 1) * side - HALF, HALF - y * side)


def encode(layers: dict[str, Any], area: BaseGeometry, zoom: int) -> bytes:
    """Give a vector tile."""
    side = 2 * HALF / 2**zoom
    within, pixel = area.buffer(side * AROUND, join_style="mitre"), side / 512
    content = []
    for name, features in layers.items():
        drawn = [(make_valid(shape.intersection(within)).simplify(pixel / 2), words) for shape, words in features]
        found = [{"geometry": shape, "properties": words} for shape, words in drawn if not shape.is_empty]
        if found:
            content.append({"name": name, "features": found})
    options = {"quantize_bounds": area.bounds, "extents": EXTENT}
    return bytes(mapbox_vector_tile.encode(content, default_options=options)) if content else b""


def write(layers: dict[str, Any], path: Path) -> None:
    """Write the archive; the same each time."""
    found = {
        zxy_to_tileid(zoom, x, y): gzip.compress(content, mtime=0)
        for zoom in ZOOMS
        for x, y, area in tiles(zoom)
        if (content := encode(layers, area, zoom))
    }
    with path.open("wb") as stream:
        writer = Writer(stream)
        for number, content in sorted(found.items()):
            writer.write_tile(number, content)
        west, south, east, north = (round(degrees * DEGREE) for degrees in BOUNDS)
        writer.finalize(
            {
                "tile_type": TileType.MVT,
                "tile_compression": Compression.GZIP,
                "min_lon_e7": west,
                "min_lat_e7": south,
                "max_lon_e7": east,
                "max_lat_e7": north,
                "center_zoom": ZOOMS[0],
                "center_lon_e7": (west + east) // 2,
                "center_lat_e7": (south + north) // 2,
            },
            {"name": "Europe", "attribution": "Natural Earth"},
        )


def main() -> None:
    """Make the base map."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=Path, required=True, help="folder of the packages, fetched when missing")
    folder = parser.parse_args().inputs
    folder.mkdir(parents=True, exist_ok=True)
    RESULT.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as unpacked:
        layers = layers_of(world_map(fetch(QGIS, folder), Path(unpacked)))
    write(layers, RESULT)
    print(f"{RESULT}: {RESULT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
