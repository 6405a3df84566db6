"""Projects of the gallery that the map server draws: each shows the meadow, in the west of the ground, in POPPY.

What the second half shows is expected as well: nothing there, or GRASS where a picture covers the whole ground.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import sub
from pathlib import Path
from typing import Any

from PIL import Image

from tests.gallery.projects import NEWER_QGIS, NEWEST_QGIS, OLDER_QGIS, written
from tests.images import projects
from tests.images.projects import GRASS, POPPY, WHITE, Layer, qgs

WEST, EAST = (50, 50), (150, 50)
LOSS = 2
"""So much JPEG changes of each of a colour's parts."""
COLOURS = {POPPY: "poppy", GRASS: "grass", WHITE: "white"}
FIELD = "poppy west, white east"
AERIAL = "poppy west, grass east"
NOTHING = "white west, white east"

POLYGON = f"ST_GeomFromText('{projects.POLYGON_WKT}', 4326)"
SQL = f"""
    {projects.POSTGIS_SQL}
    CREATE VIEW meadow_view AS SELECT * FROM meadow;
    CREATE MATERIALIZED VIEW meadow_kept AS SELECT * FROM meadow;
    CREATE TABLE parts (id int, geom geometry(Polygon, 4326)) PARTITION BY RANGE (id);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
    INSERT INTO parts SELECT id, geom FROM meadow;
    CREATE DOMAIN hectares AS float CHECK (value > 0);
    CREATE TYPE kind AS ENUM ('wet', 'dry');
    CREATE TABLE typed
        (id int PRIMARY KEY, size hectares, kind kind, tags text[], notes jsonb, geom geometry(Polygon, 4326));
    INSERT INTO typed VALUES (1, 12.5, 'wet', '{{a,b}}', '{{"a": 1}}', {POLYGON});
    CREATE TABLE deep (id int PRIMARY KEY, geom geometry(PolygonZM, 4326));
    INSERT INTO deep VALUES (1, ST_Force4D({POLYGON}));
    CREATE TABLE two (id int PRIMARY KEY, middle geometry(Point, 4326), geom geometry(Polygon, 4326));
    INSERT INTO two VALUES (1, ST_Centroid({POLYGON}), {POLYGON});
    CREATE TABLE lambert (id int PRIMARY KEY, geom geometry(Polygon, 2154));
    INSERT INTO lambert VALUES (1, ST_Transform(ST_Segmentize({POLYGON}, 0.05), 2154));
    CREATE TABLE coded (code text PRIMARY KEY, geom geometry(Polygon, 4326));
    INSERT INTO coded VALUES ('é''1', {POLYGON});
    CREATE TABLE "Prés & champs" (id int PRIMARY KEY, geom geometry(Polygon, 4326));
    INSERT INTO "Prés & champs" VALUES (1, {POLYGON});
    CREATE TABLE anything (id int PRIMARY KEY, geom geometry(Geometry, 4326));
    INSERT INTO anything VALUES (1, {POLYGON}), (2, NULL);
    CREATE TABLE nobody (id int PRIMARY KEY, geom geometry(Polygon, 4326));
"""
FOREIGN = """
    CREATE EXTENSION postgres_fdw;
    CREATE SERVER office FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'gis');
    CREATE USER MAPPING FOR gis SERVER office OPTIONS (user 'postgres', password_required 'false');
    CREATE FOREIGN TABLE far (id int, geom geometry(Polygon, 4326)) SERVER office
        OPTIONS (schema_name 'public', table_name 'meadow');
    GRANT SELECT ON far TO gis;
"""
"""What only a superuser can make: a table of another server, here the same one."""

Write = Callable[[Path], str]


@dataclass(frozen=True)
class Drawn:
    """A project, and the colours of its map."""

    what: str
    reason: str
    write: Write
    """Writes its data into a folder, and gives the project."""
    expected: str = FIELD
    layers: str = "meadow"

    @property
    def table(self) -> bool:
        """Tell whether it is one layer, a table of PostGIS."""
        return self.write.__name__ == "of_table"


def table(name: str, key: str = "id", column: str = "geom", srid: int = 4326) -> Write:
    """Give a project with a table of PostGIS."""
    source = f"service='poppyfield' key='{key}' srid={srid} type=Polygon table=\"public\".\"{name}\" ({column})"

    def of_table(_: Path) -> str:
        return qgs([Layer(source, "postgres", crs=srid)])

    return of_table


def of_layer(write: Callable[[Path], Layer]) -> Write:
    """Give a project with a layer, whose data are written."""
    return lambda folder: qgs([write(folder)])


def by_qgis(name: str, version: str) -> Write:
    """Give a project that QGIS wrote, with the meadow."""

    def write(folder: Path) -> str:
        projects.geojson(folder)
        (folder / "owners.csv").write_text("id,name\n1,Ann\n", "utf-8")
        (folder / "base.qgs").write_text(written("base", version), "utf-8")
        return written(name, version)

    return write


def named(name: str) -> Write:
    """Give a project whose layer has this name, and no short one."""

    def write(folder: Path) -> str:
        layer = replace(projects.geojson(folder), name="NAME")
        text = qgs([layer]).replace("<shortname>NAME</shortname>", "")
        escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        return text.replace('name="NAME"', f'name="{escaped}"').replace(">NAME<", f">{escaped}<")

    return write


def tiles(folder: Path) -> Layer:
    """Write the ground as a folder of tiles with one in it, of the world."""
    projects.mbtiles(folder)
    with sqlite3.connect(folder / "ground.mbtiles") as database:
        (content,) = database.execute("SELECT tile_data FROM tiles").fetchone()
    (folder / "tiles" / "0" / "0").mkdir(parents=True, exist_ok=True)
    (folder / "tiles" / "0" / "0" / "0.png").write_bytes(content)
    source = "type=xyz&url=file:./tiles/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=0&zmin=0&crs=EPSG:3857&format"
    return Layer(source, "wms", "meadow", geometry="", crs=3857)


def local_crs(folder: Path) -> str:
    """Give a project whose layer has a reference system of its own, which EPSG does not know: as QGIS writes it."""
    text = qgs([projects.geojson(folder)])
    start, end = text.index("<projectCrs>"), text.index("</projectCrs>")
    own = "+proj=lcc +lat_0=46.5 +lon_0=3 +lat_1=46 +lat_2=47 +x_0=1000 +y_0=2000 +ellps=GRS80 +units=m +no_defs"
    ids = "<srsid>100000</srsid><srid>0</srid><authid>USER:100000</authid><description>Ours</description>"
    written = f"<spatialrefsys><proj4>{own}</proj4>{ids}</spatialrefsys>"
    return f"{text[:start]}<projectCrs>{written}{text[end:]}"


def filtered(folder: Path) -> str:
    """Give a project whose filter lets nothing through."""
    layer = projects.geojson(folder)
    return qgs([replace(layer, source=f"{layer.source}|subset=\"name\" = 'nothing'")])


def beside_large_text(folder: Path) -> str:
    """Give a project with a table that is read from text, beside the meadow."""
    people = Layer("file:./people.csv?type=csv&geomType=none", "delimitedtext", "people", geometry="No geometry")
    (folder / "people.csv").write_text("id,name\n1,Ann\n", "utf-8")
    return qgs([projects.geojson(folder), people])


def points_of_text(folder: Path) -> str:
    """Give a project whose GeoJSON has a height and a measure in each point."""
    ring = [[x, y, 100.0] for x, y in projects.RING]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (folder / "deep.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}), "utf-8")
    return qgs([Layer("./deep.geojson")])


DRAWN = [
    *(
        Drawn(f"meadow as {name}", "a format that people bring", of_layer(write))
        for name, write in projects.VECTORS.items()
        if name != "virtual"
    ),
    *(
        Drawn(f"ground as {name}", "a format that people bring", of_layer(write), AERIAL, "ground")
        for name, write in projects.RASTERS.items()
        if name != "mbtiles"
    ),
    Drawn("folder of tiles, drawn", "C5: it is in the project's folder", of_layer(tiles), "grass west, grass east"),
    Drawn("view", "it has a key that QGIS is told", table("meadow_view")),
    Drawn("materialized view", "kept rows", table("meadow_kept")),
    Drawn("partitioned table", "rows are in a part", table("parts")),
    Drawn("foreign table", "rows are elsewhere", table("far")),
    Drawn("domain, enum, array and JSON", "columns of all kinds", table("typed")),
    Drawn("heights and measures", "drawn flat", table("deep")),
    Drawn("GeoJSON with heights", "drawn flat", points_of_text),
    Drawn("two geometry columns", "the layer names one", table("two")),
    Drawn("table in Lambert 93", "reprojected", table("lambert", srid=2154)),
    Drawn("key of text with an accent", "any unique column", table("coded", key="code")),
    Drawn("table Prés & champs", "quoted", table("Prés & champs")),
    Drawn("any geometry, and none", "the type is the layer's", table("anything")),
    Drawn("survey that starts empty", "C8: nothing to draw is no fault", table("nobody"), NOTHING),
    Drawn("project in a local reference system", "PROJ's own words", local_crs),
    Drawn("filter that lets nothing through", "nothing is right", filtered, NOTHING),
    Drawn("table without geometry beside", "it draws nothing", beside_large_text),
    *(
        Drawn(f"layer named {name}", "such names work", named(name), layers=name)
        for name in ("a:b", "a&b", "a+b", "a%b", "a/b", "a#b", "<b>b</b>", "Forêt d'été")
    ),
    *(
        Drawn(f"{name} by QGIS {version}, drawn", why, by_qgis(name, version))
        for version, why in (
            (OLDER_QGIS, "a newer one reads it"),
            (NEWER_QGIS, "the same one reads it"),
            (NEWEST_QGIS, "it has nothing in it that only the newest knows"),
        )
        for name in ("join", "relation", "virtual", "action", "labels", "layout", "embedded")
    ),
]


def colours(picture: Image.Image) -> str:
    """Say which colours a map has in both halves."""
    return f"{named_colour(picture.getpixel(WEST))} west, {named_colour(picture.getpixel(EAST))} east"


def named_colour(pixel: Any) -> str:
    """Name a colour, or one beside it, as JPEG leaves."""
    near = (name for colour, name in COLOURS.items() if max(map(abs, map(sub, colour, pixel))) <= LOSS)
    return next(near, str(pixel))
