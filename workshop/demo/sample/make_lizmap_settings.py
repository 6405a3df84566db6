#!/usr/bin/env python3
"""Write what Lizmap wants beside the sample's project (projects/sample/france.qgs.cfg), as its plugin does.

python3 workshop/demo/sample/make_lizmap_settings.py
"""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent / "projects" / "sample" / "france.qgs"
SETTINGS = PROJECT.with_name(f"{PROJECT.name}.cfg")
EARTH_RADIUS = 6378137.0
SCALES = [5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000]
PROJ4 = "+proj=merc +a=6378137 +b=6378137 +lat_ts=0 +lon_0=0 +x_0=0 +y_0=0 +k=1 +units=m +nadgrids=@null +wktext"
# By the name in WMS: what people click on, and what they edit.
WITH_POPUP = ("departments", "towns", "observations")
EDITED = "observations"


def degrees(x: float, y: float) -> tuple[float, float]:
    """Return longitude and latitude of a place in EPSG:3857."""
    latitude = 2 * math.atan(math.exp(y / EARTH_RADIUS)) - math.pi / 2
    return round(math.degrees(x / EARTH_RADIUS), 4), round(math.degrees(latitude), 4)


def options(extent: list[float]) -> dict[str, Any]:
    """Return the settings of the whole map, which shows this extent in EPSG:3857."""
    return {
        "projection": {"proj4": PROJ4, "ref": "EPSG:3857"},
        "bbox": [str(number) for number in extent],
        "initialExtent": extent,
        "mapScales": SCALES,
        "minScale": SCALES[0],
        "maxScale": SCALES[-1],
        "popupLocation": "dock",
        "pointTolerance": 25,
        "lineTolerance": 10,
        "polygonTolerance": 5,
        "use_native_zoom_levels": False,
        "tmTimeFrameSize": 10,
        "tmTimeFrameType": "seconds",
        "tmAnimationFrameLength": 1000,
        "datavizLocation": "dock",
        "theme": "light",
        "fixed_scale_overview_map": True,
        "dataviz_drag_drop": [],
    }


def layer_settings(layer: ET.Element, extent: list[float]) -> dict[str, Any]:
    """Return the settings of a layer."""
    short_name, name = layer.findtext("shortname"), layer.findtext("layername")
    return {
        "id": layer.findtext("id"),
        "name": name,
        "type": "layer",
        "geometryType": layer.get("geometry", "").lower(),
        "extent": extent,
        "crs": layer.findtext("srs/spatialrefsys/authid"),
        "title": name,
        "abstract": layer.findtext("abstract") or "",
        "link": "",
        "minScale": 1,
        "maxScale": 1_000_000_000_000,
        "toggled": "True",
        "popup": str(short_name in WITH_POPUP),
        "popupSource": "auto",
        "popupTemplate": "",
        "popupMaxFeatures": 10,
        "popupDisplayChildren": "False",
        "legend_image_option": "hide_at_startup",
        "groupAsLayer": "False",
        "baseLayer": "False",
        "displayInLegend": str(short_name != "sea"),
        "group_visibility": [],
        "singleTile": "True",
        "imageFormat": "image/png",
        "cached": "False",
        "clientCacheExpiration": 300,
    }


def attribute_table(layer: ET.Element, order: int) -> dict[str, Any]:
    """Return the settings of a layer's table of attributes."""
    return {
        "layerId": layer.findtext("id"),
        "primaryKey": "id",
        "export_enabled": True,
        "pivot": "False",
        "hideAsChild": "False",
        "hideLayer": "False",
        "custom_config": "False",
        "order": order,
    }


def editing(layer: ET.Element) -> dict[str, Any]:
    """Return the settings of a layer that people edit."""
    allowed = dict.fromkeys(("createFeature", "modifyAttribute", "modifyGeometry", "deleteFeature"), "True")
    return {
        "layerId": layer.findtext("id"),
        "provider": "postgres",
        "geometryType": layer.get("geometry", "").lower(),
        "snap_vertices": "False",
        "snap_segments": "False",
        "snap_intersections": "False",
        "capabilities": {**allowed, "allow_without_geom": "False"},
        "order": 0,
    }


def settings(project: ET.Element) -> dict[str, Any]:
    """Return all of it, for a project as QGIS saved it."""
    found = {layer.findtext("id"): layer for layer in project.iter("maplayer")}
    layers = [found[node.get("id")] for node in project.iter("layer-tree-layer")]
    view = next(project.iter("DefaultViewExtent"))
    west, south, east, north = extent = [float(view.get(side, "")) for side in ("xmin", "ymin", "xmax", "ymax")]
    in_degrees = [*degrees(west, south), *degrees(east, north)]
    clicked = [layer for layer in layers if layer.findtext("shortname") in WITH_POPUP]
    return {
        "metadata": {
            "qgis_desktop_version": 34006,
            "lizmap_plugin_version_str": "4.5.9",
            "lizmap_plugin_version": 40509,
            "lizmap_web_client_target_version": 30900,
            "lizmap_web_client_target_status": "Stable",
        },
        "warnings": {},
        "options": options(extent),
        "layers": {str(layer.findtext("layername")): layer_settings(layer, in_degrees) for layer in layers},
        "attributeLayers": {
            str(layer.findtext("layername")): attribute_table(layer, order) for order, layer in enumerate(clicked)
        },
        "editionLayers": {
            str(layer.findtext("layername")): editing(layer)
            for layer in layers
            if layer.findtext("shortname") == EDITED
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


def text() -> str:
    """Return the file's text."""
    project = ET.parse(PROJECT).getroot()  # noqa: S314 - our own file
    return json.dumps(settings(project), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SETTINGS.write_text(text(), encoding="utf-8")
