"""A project for work in the field: the trees of an orchard, a table of PostGIS that is edited from the map.

The project is written by hand. Beside it is what QGIS Desktop's plugin Lizmap writes: the settings of the web map.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.images import projects

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
    (folder / f"{PROJECT}.qgs.cfg").write_text(json.dumps(settings(), indent=1), encoding="utf-8")


def extent() -> list[float]:
    """Give the extent of the map: west, south, east, north."""
    x, y = ORIGIN
    return [x - HALF_WIDTH, y - HALF_HEIGHT, x + HALF_WIDTH, y + HALF_HEIGHT]


def settings() -> dict[str, Any]:
    """Give the settings of the web map, as the plugin of QGIS Desktop writes them for Lizmap Web Client 3.9."""
    ref = {"layerId": layer().id}
    return {
        "metadata": {
            "qgis_desktop_version": 34006,
            "lizmap_plugin_version_str": "4.5.9",
            "lizmap_plugin_version": 40509,
            "lizmap_web_client_target_version": 30900,
            "lizmap_web_client_target_status": "Stable",
        },
        "warnings": {},
        "options": {
            "projection": {
                "proj4": projects.PROJ4[3857],
                "ref": "EPSG:3857",
            },
            "bbox": [str(number) for number in extent()],
            "initialExtent": extent(),
            "mapScales": [500, 1000, 2500, 5000, 10000, 25000],
            "minScale": 500,
            "maxScale": 25000,
            "popupLocation": "dock",
            "pointTolerance": 25,
            "lineTolerance": 10,
            "polygonTolerance": 5,
            "use_native_zoom_levels": False,
            "hide_numeric_scale_value": False,
            "automatic_permalink": False,
            "tmTimeFrameSize": 10,
            "tmTimeFrameType": "seconds",
            "tmAnimationFrameLength": 1000,
            "datavizLocation": "dock",
            "theme": "light",
            "fixed_scale_overview_map": True,
            "dataviz_drag_drop": [],
        },
        "layers": {
            LAYER: {
                "id": layer().id,
                "name": LAYER,
                "type": "layer",
                "geometryType": "point",
                "extent": extent(),
                "crs": "EPSG:3857",
                "title": LAYER,
                "abstract": "",
                "link": "",
                "minScale": 1,
                "maxScale": 1000000000000,
                "toggled": "True",
                "popup": "True",
                "popupSource": "auto",
                "popupTemplate": "",
                "popupMaxFeatures": 10,
                "popupDisplayChildren": "False",
                "legend_image_option": "hide_at_startup",
                "groupAsLayer": "False",
                "baseLayer": "False",
                "displayInLegend": "True",
                "group_visibility": [],
                "singleTile": "True",
                "imageFormat": "image/png",
                "cached": "False",
                "clientCacheExpiration": 300,
            }
        },
        "attributeLayers": {
            LAYER: {
                **ref,
                "primaryKey": "id",
                "export_enabled": True,
                "pivot": "False",
                "hideAsChild": "False",
                "hideLayer": "False",
                "custom_config": "False",
                "order": 0,
            }
        },
        "editionLayers": {
            LAYER: {
                **ref,
                "provider": "postgres",
                "geometryType": "point",
                "snap_vertices": "False",
                "snap_segments": "False",
                "snap_intersections": "False",
                "capabilities": {
                    "createFeature": "True",
                    "allow_without_geom": "False",
                    "modifyAttribute": "True",
                    "modifyGeometry": "True",
                    "deleteFeature": "True",
                },
                "order": 0,
            }
        },
        "atlas": {"layers": []},
        "locateByLayer": {},
        "tooltipLayers": {},
        "layouts": {"config": {"default_popup_print": False}, "list": []},
        "loginFilteredLayers": {},
        "timemanagerLayers": {},
        "datavizLayers": {},
        "filter_by_polygon": {
            "config": {"polygon_layer_id": None, "group_field": "", "filter_by_user": False},
            "layers": [],
        },
        "formFilterLayers": {},
    }
