"""A project for work in the field: the trees of an orchard, a table of PostGIS that is edited from the map.

The project is written by hand. Beside it is what QGIS Desktop's plugin Lizmap writes: the settings of the web map.
"""

from __future__ import annotations

from pathlib import Path

from tests.images import projects
from tests.lizmap.lizmap import configuration, edited

REPOSITORY = "orchard"
PROJECT = "trees"
TITLE = "The old orchard"
LAYER = "tree"
SIZE = 30
"""Pixels across the square of a tree, in projects.POPPY."""
ORIGIN = 300000.0, 5800000.0
"""The middle of the map, in metres of EPSG:3857."""
HALF_WIDTH, HALF_HEIGHT = 400.0, 300.0
KINDS = "Poirier", "Pommier", "Prunier"
SQL = (
    "CREATE TABLE tree (id serial PRIMARY KEY, kind text NOT NULL, note text, geom geometry(Point, 3857));"
    f"INSERT INTO tree (kind, note, geom) VALUES ('{KINDS[1]}', 'the first',"
    f" ST_SetSRID(ST_MakePoint({ORIGIN[0]}, {ORIGIN[1]}), 3857));"
)


def layer() -> projects.Layer:
    """Give the layer of the trees."""
    return projects.Layer(
        f"service='poppyfield' key='id' srid=3857 type=Point table=\"public\".\"{LAYER}\" (geom)",
        "postgres",
        LAYER,
        "Point",
        crs=3857,
        style=projects.single_symbol(projects.marker(size=str(SIZE), name="square")),
        fields=("id", "kind", "note"),
    )


def write(folder: Path) -> None:
    """Write the project and its settings into the folder of a repository."""
    folder.mkdir(parents=True, exist_ok=True)
    project = folder / f"{PROJECT}.qgs"
    project.write_text(projects.qgs([layer()], title=TITLE, project_crs=3857), encoding="utf-8")
    (folder / f"{PROJECT}.qgs.cfg").write_text(settings(), encoding="utf-8")


def settings() -> str:
    """Give the settings of the web map."""
    (x, y), trees = ORIGIN, layer()
    listed = {
        "layerId": trees.id,
        "primaryKey": "id",
        "export_enabled": True,
        "pivot": "False",
        "hideAsChild": "False",
        "hideLayer": "False",
        "custom_config": "False",
        "order": 0,
    }
    return configuration(
        [trees],
        box=(x - HALF_WIDTH, y - HALF_HEIGHT, x + HALF_WIDTH, y + HALF_HEIGHT),
        crs=trees.crs,
        scales=(500, 1000, 2500, 5000, 10000, 25000),
        attributeLayers={LAYER: listed},
        editionLayers={LAYER: edited(trees)},
    )
