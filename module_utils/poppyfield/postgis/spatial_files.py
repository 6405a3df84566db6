"""GeoPackages, shapefiles and CSV become SQL by GDAL on the laptop, where no Pi and no database is needed.

Nothing of them is read here: `ogrinfo` names the layers, `ogr2ogr` writes them as it would for PostGIS.
"""

from __future__ import annotations

import codecs
import re
import shutil
import subprocess
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from ansible.module_utils.poppyfield.host.printable import printable
from ansible.module_utils.poppyfield.postgis import contents, dump_file, postgres

KINDS = ("gpkg", "shp", "zip", "csv")
"""By the ending of a name. A zip holds shapefiles."""
PARTS_OF_SHAPEFILE = ("shx", "dbf")
X_NAMES, Y_NAMES = "lon,long,longitude,x,easting", "lat,latitude,y,northing"
"""The columns of a CSV file that make a point."""
SYSTEM = re.compile(r"EPSG:[0-9]{4,6}")
HINT_LONGEST = 3
CHUNK = 1024 * 1024


class SpatialFileError(Exception):
    """What is wrong with a file, and what helps."""


@dataclass(frozen=True)
class SpatialOptions:
    """What the one who loads says of the files."""

    srs: str = ""
    """The coordinate system of layers that do not tell theirs."""
    encoding: str = ""
    """Of shapefiles and CSV that are not in UTF-8."""
    table: str = ""
    """The name of the table, where there is one layer."""
    keep_names: bool = False
    """Whether names keep their capitals, accents and blanks."""


@dataclass(frozen=True)
class Layer:
    """A layer and the table that it becomes."""

    source: str
    """As GDAL names the file."""
    name: str
    table: str


def kind_of(name: str) -> str:
    """Give the kind of such a file, empty for another one."""
    kind = PurePath(name).suffix.lstrip(".").lower()
    return kind if kind in KINDS else ""


def plain_name(name: str) -> str:
    """Give a name that needs no quotes in SQL: small letters without accents, digits and _."""
    letters = unicodedata.normalize("NFKD", name.lower().replace("œ", "oe").replace("ß", "ss"))
    plain = re.sub(r"[^a-z0-9]+", "_", "".join(letter for letter in letters if not unicodedata.combining(letter)))
    plain = plain.strip("_") or "layer"
    return (f"t_{plain}" if plain[0].isdigit() else plain)[: postgres.MAX_IDENTIFIER]


def to_sql(path: Path, folder: Path, asked: SpatialOptions) -> tuple[Path, list[contents.FileTable]]:
    """Write the SQL of a file into a folder; give it and the tables that it makes. Raises SpatialFileError."""
    if not shutil.which("ogr2ogr"):
        raise SpatialFileError("it takes GDAL's ogr2ogr on this laptop: sudo apt install gdal-bin, then run again")
    source = _in_utf8(path, folder, asked)
    layers = named([found for one in sources(source) for found in _layers(one)], asked)
    target = folder / f"{path.name}.sql"
    with target.open("wb") as stream:
        for number, layer in enumerate(layers):
            piece = folder / f"{number}.sql"
            _write(layer, piece, asked)
            with piece.open("rb") as written:
                shutil.copyfileobj(written, stream, CHUNK)
            piece.unlink()
    if wrong := dump_file.read(target).not_utf8:
        raise SpatialFileError(
            f"its texts are not in UTF-8 (line {wrong} of its SQL) and it does not tell their encoding: add "
            "-e encoding=CP1252 for a file of Windows, or the one that it has"
        )
    return target, _tables(target)


def sources(path: Path) -> list[str]:
    """Give what of a file GDAL reads, as GDAL names it. Raises SpatialFileError."""
    kind = kind_of(path.name)
    if kind == "shp":
        there = {found.suffix.lstrip(".").lower() for found in path.parent.iterdir() if found.stem == path.stem}
        if missing := [part for part in PARTS_OF_SHAPEFILE if part not in there]:
            raise SpatialFileError(f"beside it {path.stem}.{missing[0]} is missing: copy all files of the shapefile")
    if kind != "zip":
        return [str(path)]
    try:
        with zipfile.ZipFile(path) as packed:
            names = [name for name in packed.namelist() if name.lower().endswith(".shp")]
    except (OSError, zipfile.BadZipFile) as error:
        raise SpatialFileError("it is no zip file, or damaged: copy or make it again") from error
    if not names:
        raise SpatialFileError("there is no shapefile (.shp) in it: unpack it, and name what was in it")
    return [f"/vsizip/{path}/{name}" for name in names]


def _in_utf8(path: Path, folder: Path, asked: SpatialOptions) -> Path:
    """Give a file that GDAL takes for UTF-8, which it does with every CSV."""
    if kind_of(path.name) != "csv" or not asked.encoding:
        return path
    target = folder / path.name
    try:
        with (
            path.open(encoding=asked.encoding, newline="") as old,
            target.open("w", encoding="utf-8", newline="") as new,
        ):
            shutil.copyfileobj(old, new, CHUNK)
    except (LookupError, UnicodeError) as error:
        raise SpatialFileError(f"it is not in {asked.encoding}: correct -e encoding=") from error
    return target


def encoding_problem(encoding: str) -> str:
    """Say why a name is no encoding; empty when it is one."""
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError:
        return f"encoding must be the name of one, as CP1252 or ISO-8859-1, not {encoding}."
    return ""


def _layers(source: str) -> list[tuple[str, str]]:
    listed = _do(["ogrinfo", "-ro", "-q", source])
    found = re.findall(r"^\d+: (.+?)(?: \([^()]*\))?$", listed, re.MULTILINE)
    if not found:
        raise SpatialFileError("GDAL finds no layer in it")
    return [(source, name) for name in found]


def named(layers: Sequence[tuple[str, str]], asked: SpatialOptions) -> list[Layer]:
    """Give each layer its table. Raises SpatialFileError where two get the same, or one can't be a name."""
    if asked.table and len(layers) > 1:
        names = ", ".join(name for _, name in layers)
        raise SpatialFileError(f"table is for a file with one layer, and it has several: {names}. Leave table out")
    found = [
        Layer(source, name, asked.table or (name if asked.keep_names else plain_name(name))) for source, name in layers
    ]
    tables = [layer.table for layer in found]
    if twice := sorted({table for table in tables if tables.count(table) > 1}):
        raise SpatialFileError(f"two of its layers would become the table {twice[0]}: rename one of them")
    for table in tables:
        try:
            postgres.identifier(table)
        except postgres.PostgresError as error:
            raise SpatialFileError(f"{error} Leave keep_names out, or give -e table=") from error
    return found


def command(layer: Layer, target: Path, asked: SpatialOptions) -> list[str]:
    """Give what writes a layer as SQL."""
    options = {
        "SCHEMA": "public",
        "CREATE_SCHEMA": "NO",
        "DROP_TABLE": "NO",
        "GEOMETRY_NAME": "geom",
        "LAUNDER": "NO" if asked.keep_names else "YES",
        "POSTGIS_VERSION": "2.2",
    }
    words = ["ogr2ogr", "-f", "PGDump", "--config", "PG_USE_COPY", "YES", "-nln", layer.table]
    words += [word for name, value in options.items() for word in ("-lco", f"{name}={value}")]
    words += ["-a_srs", asked.srs] if asked.srs else []
    return [*words, *_open_options(layer.source, asked), str(target), layer.source, layer.name]


def _open_options(source: str, asked: SpatialOptions) -> list[str]:
    kind = kind_of(source)
    if kind == "csv":
        given = {"AUTODETECT_TYPE": "YES", "X_POSSIBLE_NAMES": X_NAMES, "Y_POSSIBLE_NAMES": Y_NAMES}
        given |= {"GEOM_POSSIBLE_NAMES": "wkt,geometry", "KEEP_GEOM_COLUMNS": "NO", "EMPTY_STRING_AS_NULL": "YES"}
        return [word for name, value in given.items() for word in ("-oo", f"{name}={value}")]
    # A shapefile says of single and multiple lines and polygons that they are the same.
    of_shapefile = ["-nlt", "PROMOTE_TO_MULTI"] if kind == "shp" else []
    return [*of_shapefile, *(["-oo", f"ENCODING={asked.encoding}"] if kind == "shp" and asked.encoding else [])]


def _write(layer: Layer, target: Path, asked: SpatialOptions) -> None:
    """Write a layer; with the coordinate system that was given only where it tells none itself."""
    _do(command(layer, target, replace(asked, srs="")))
    if not any(number == 0 for table in _tables(target) for _, _, number in table.places):
        return
    if not asked.srs:
        raise SpatialFileError(
            f"the layer {layer.name} does not tell its coordinate system, or none with a number: add -e srs=EPSG:2154 "
            "for Lambert-93, srs=EPSG:4326 for longitude and latitude, or the one that it has"
        )
    target.unlink()
    _do(command(layer, target, asked))


def _tables(path: Path) -> list[contents.FileTable]:
    with path.open("rb") as stream:
        return contents.of_sql(stream)


def _do(words: Sequence[str]) -> str:
    done = subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        said = list(_errors(done.stderr.decode("utf-8", "replace")))[-HINT_LONGEST:]
        raise SpatialFileError(f"GDAL does not read it: {' '.join(said) or done.returncode}")
    return done.stdout.decode("utf-8", "replace")


def _errors(text: str) -> Iterator[str]:
    for line in printable(text).splitlines():
        if line.strip():
            yield line.strip()
