"""What a map server's answers say: which layers there are, what picture to ask for, whether it is empty. Pure."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote, urlencode, urljoin

from ansible.module_utils.poppyfield.host import foreign_xml
from ansible.module_utils.poppyfield.projects.words import plain

WMS = "{http://www.opengis.net/wms}"
SIDES = ("westBoundLongitude", "southBoundLatitude", "eastBoundLongitude", "northBoundLatitude")
WORLD = (-180.0, -90.0, 180.0, 90.0)
MIN_HEIGHT = 100
MAX_HEIGHT = 2000
MAX_FEATURES = 1000
MOST_PIXELS = 4096 * 4096
"""More than any picture has that is asked for."""
FAR = 1e9
"""Farther out is nothing, in whatever unit."""
MOST_COLORS = 2**20
LEVELS_OF_COORDINATES = 4
"""What a multipolygon has, the deepest of GeoJSON."""
GEOJSON = "application/geo+json"
ITEMS = ("items", "item")
"""The relation of a link to features: as the standard has it, and as QGIS Server 3.22 says."""
PLACES_OF_A_LAYER = 20
PRINTED_DPI = 75
"""Enough to see that a page prints; people print with more."""
DETAIL = 256
LEAST_DETAIL = 64
# In degrees; about a hundred metres.
LEAST_VIEW = 0.001
# OGC's pixel of 0.28 mm, and the metres of a degree.
PIXEL = 0.00028
METERS = 111320.0
PREFERRED_CRS = ("EPSG:3857", "EPSG:4326", "CRS:84")
IN_DEGREES = ("EPSG:4326", "CRS:84")
ZOOMS = (1, 4, 16, 64)
"""How many times nearer than all of a layer its drawing is timed."""
TABLET_WIDTH = 1024
"""Pixels."""
USUAL_PORT = re.compile(r"^(?:(http://[^/]+):80|(https://[^/]+):443)(?=/|$)")
TELL_THE_ADDRESS = (
    "Let the proxy in front pass the Host header on and say X-Forwarded-Proto, and name it in lizmap_trusted_proxies."
)


class MapError(Exception):
    """An answer that is not that of a working map, in a sentence for the user, and what helps if that is known."""

    def __init__(self, message: str, *, remedy: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.status = status


@dataclass(frozen=True)
class BoundingBox:
    """An extent, its numbers in the order of its coordinate reference system's axes."""

    crs: str
    min_first: float
    min_second: float
    max_first: float
    max_second: float

    def union(self, other: BoundingBox) -> BoundingBox:
        """Give the extent that holds both."""
        return BoundingBox(
            self.crs,
            min(self.min_first, other.min_first),
            min(self.min_second, other.min_second),
            max(self.max_first, other.max_first),
            max(self.max_second, other.max_second),
        )

    def numbers(self) -> str:
        """Give the numbers as WMS wants them."""
        return f"{self.min_first},{self.min_second},{self.max_first},{self.max_second}"

    def aspect(self) -> float:
        """Give height divided by width; 1 for an extent that has no area."""
        first, second = self.max_first - self.min_first, self.max_second - self.min_second
        # WMS 1.3.0 gives EPSG:4326 with the latitude first.
        width, height = (second, first) if self.crs == "EPSG:4326" else (first, second)
        ratio = height / width if width > 0 and height > 0 else 1.0
        return ratio if math.isfinite(ratio) else 1.0


@dataclass(frozen=True)
class MapLayer:
    """A layer that can be drawn, and its extents."""

    name: str
    title: str
    boxes: tuple[BoundingBox, ...]
    # It is drawn from 1:min_scale to 1:max_scale only; 0 is no limit.
    min_scale: float = 0.0
    max_scale: float = 0.0
    is_table: bool = False
    """It has no geometry."""
    queryable: bool = False
    worldwide: bool = False
    """Its extent is the world's, which QGIS Server also gives a layer without features."""


@dataclass(frozen=True)
class Place:
    """Where a feature is, in degrees: its extent, and one point of it."""

    west: float
    south: float
    east: float
    north: float
    point: tuple[float, float]


@dataclass(frozen=True)
class Capabilities:
    """What a map publishes. Layers are from the uppermost to the lowest."""

    title: str
    layers: tuple[MapLayer, ...]


def server_address(url: str) -> str:
    """Give the address of a server as browsers say it, and so the links that it answers: without the usual port."""
    return USUAL_PORT.sub(r"\1\2", url).rstrip("/")


def project_address(url: str, project: str) -> str:
    """Give the OGC address of a project named `repository/project`."""
    repository, slash, name = project.partition("/")
    if not slash or not repository or not name or "/" in name:
        raise MapError(f"The project {project!r} must be given as repository/project.")
    return f"{url.rstrip('/')}/ows/{quote(repository, safe='')}/{quote(name, safe='')}/"


def capabilities_url(address: str) -> str:
    """Give the address of the capabilities of a map."""
    return ask(address, {"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetCapabilities"})


def ask(address: str, query: dict[str, Any]) -> str:
    """Give the address with a question, which it may already have a part of."""
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"


def parse_capabilities(body: bytes) -> Capabilities:
    """Read a WMS 1.3.0 capabilities document."""
    return capabilities_of(_parse_xml(body, "capabilities"))


def capabilities_of(root: Any) -> Capabilities:
    """Read the root of such a document."""
    if root.tag != f"{WMS}WMS_Capabilities":
        raise MapError(f"The server answered {_local(root.tag)} instead of WMS 1.3.0 capabilities: {_text(root)}")
    top = root.find(f"{WMS}Capability/{WMS}Layer")
    if top is None:
        raise MapError("The capabilities name no layer.")
    # The uppermost is the map itself, also of a map without layers.
    boxes = tuple(_boxes(top))
    layers = tuple(leaf for child in top.findall(f"{WMS}Layer") for leaf in _leaves(child, boxes))
    return Capabilities(root.findtext(f"{WMS}Service/{WMS}Title", "").strip(), layers)


def _leaves(node: Any, inherited: tuple[BoundingBox, ...]) -> Iterable[MapLayer]:
    boxes = tuple(_boxes(node)) or inherited
    children = node.findall(f"{WMS}Layer")
    name = node.findtext(f"{WMS}Name")
    if name and not children:  # a group has layers below it, and is drawn by drawing those
        least, most = (_number(node.findtext(f"{WMS}{end}ScaleDenominator"), 0.0) for end in ("Min", "Max"))
        # QGIS Server gives each layer the reference systems that it can be drawn in, but for a table.
        is_table = node.find(f"{WMS}CRS") is None
        yield MapLayer(
            name,
            node.findtext(f"{WMS}Title", name),
            () if is_table else boxes,
            least,
            most,
            is_table=is_table,
            queryable=node.get("queryable") == "1",
            worldwide=_sides(node) == WORLD,
        )
    for child in children:
        yield from _leaves(child, boxes)


def _boxes(node: Any) -> Iterable[BoundingBox]:
    for box in node.findall(f"{WMS}BoundingBox"):
        values = [_number(box.get(key), math.nan) for key in ("minx", "miny", "maxx", "maxy")]
        # An empty layer has no extent, which QGIS writes as zeros, nan or inf.
        if all(map(math.isfinite, values)) and values[0] < values[2] and values[1] < values[3]:
            yield BoundingBox(box.get("CRS", ""), *values)


def _sides(node: Any) -> tuple[float, ...]:
    """Give the extent in degrees as the capabilities have it: west, south, east, north."""
    box = f"{WMS}EX_GeographicBoundingBox/{WMS}"
    return tuple(_number(node.findtext(f"{box}{side}"), math.nan) for side in SIDES)


def _number(text: str | None, otherwise: float) -> float:
    """Read a number of a document, which anything may have written."""
    try:
        number = float(text or "")
    except ValueError:
        return otherwise
    return number if math.isfinite(number) else otherwise


def choose_layers(capabilities: Capabilities, names: Sequence[str]) -> tuple[MapLayer, ...]:
    """Give the named layers, or all of them."""
    if not names:
        if not capabilities.layers:
            raise MapError("The capabilities name no layer that can be drawn.")
        return capabilities.layers
    known = {layer.name: layer for layer in capabilities.layers}
    missing = [name for name in names if name not in known]
    if missing:
        raise MapError(f"The map has no layer {', '.join(missing)}. It has: {', '.join(known) or 'none'}.")
    return tuple(layer for layer in capabilities.layers if layer.name in names)


def type_name(layer: str) -> str:
    """Give the name that WFS has for a layer: it writes a space as an underscore, and a colon as a hyphen."""
    return layer.replace(" ", "_").replace(":", "-")


def extent_of(layers: Sequence[MapLayer]) -> BoundingBox:
    """Give the extent that holds all layers that have one; that of the world only where there is no other."""
    placed = [layer for layer in layers if layer.boxes]
    offered = [{box.crs: box for box in layer.boxes} for layer in placed if not layer.worldwide]
    offered = offered or [{box.crs: box for box in layer.boxes} for layer in placed]
    if not offered:
        raise MapError("No layer has an extent.")
    common = set.intersection(*(set(boxes) for boxes in offered))
    crs = next((c for c in (*PREFERRED_CRS, *sorted(common)) if c in common), None)
    if crs is None:
        raise MapError("The layers of the map have no coordinate reference system in common.")
    extent = offered[0][crs]
    for boxes in offered[1:]:
        extent = extent.union(boxes[crs])
    return extent


def map_url(address: str, layers: Sequence[MapLayer], width: int) -> str:
    """Give the address of a picture of these layers, the lowest first, as WMS wants them."""
    extent = extent_of(layers)
    height = max(MIN_HEIGHT, min(round(width * extent.aspect()), MAX_HEIGHT))
    names = [layer.name for layer in reversed(layers)]
    query = {
        "SERVICE": "WMS",
        "VERSION": "1.3.0",
        "REQUEST": "GetMap",
        "LAYERS": ",".join(names),
        "STYLES": "," * (len(names) - 1),
        "CRS": extent.crs,
        "BBOX": extent.numbers(),
        "WIDTH": width,
        "HEIGHT": height,
        "FORMAT": "image/png",
    }
    return ask(address, query)


@dataclass(frozen=True)
class TimedView:
    """A view of one layer whose drawing is timed: where it is asked for, and its scale as 1:scale."""

    url: str
    scale: int


def timed_views(address: str, layer: MapLayer) -> list[TimedView]:
    """Give views of all of a layer, and of its middle from nearer and nearer, in the size of a tablet's window."""
    extent = extent_of([layer])
    views = []
    for times in ZOOMS:
        box = _nearer(extent, times)
        near = replace(layer, boxes=(box,))
        views.append(TimedView(map_url(address, [near], TABLET_WIDTH), _scale_of(box)))
    return views


def _nearer(box: BoundingBox, times: int) -> BoundingBox:
    first, second = ((low + high) / 2 for low, high in _spans(box))
    half, other = ((high - low) / 2 / times for low, high in _spans(box))
    return BoundingBox(box.crs, first - half, second - other, first + half, second + other)


def _spans(box: BoundingBox) -> tuple[tuple[float, float], tuple[float, float]]:
    return (box.min_first, box.max_first), (box.min_second, box.max_second)


def _scale_of(box: BoundingBox) -> int:
    """Give about the scale of a view, in two figures."""
    first, second = (high - low for low, high in _spans(box))
    meters = (second if box.crs == "EPSG:4326" else first) * (METERS if box.crs in IN_DEGREES else 1)
    scale = meters / TABLET_WIDTH / PIXEL
    return int(round(scale, 1 - math.floor(math.log10(scale)))) if scale >= 1 else 1


def print_url(address: str, layers: Sequence[MapLayer], layout: str, frame: str) -> str:
    """Give the address of a page of a layout as PDF, with these layers in the map that has this name."""
    extent = extent_of(layers)
    names = [layer.name for layer in reversed(layers)]
    query = {
        "SERVICE": "WMS",
        "VERSION": "1.3.0",
        "REQUEST": "GetPrint",
        "FORMAT": "pdf",
        "TEMPLATE": layout,
        "CRS": extent.crs,
        f"{frame}:EXTENT": extent.numbers(),
        f"{frame}:LAYERS": ",".join(names),
        f"{frame}:STYLES": "," * (len(names) - 1),
        "DPI": PRINTED_DPI,
    }
    return ask(address, query)


def view_url(address: str, layer: str, view: BoundingBox) -> str:
    """Give the address of a small picture of one layer on a transparent ground, as opaque as can be."""
    query = {
        "SERVICE": "WMS",
        "VERSION": "1.3.0",
        "REQUEST": "GetMap",
        "LAYERS": layer,
        "STYLES": "",
        "OPACITIES": 255,
        "TRANSPARENT": "TRUE",
        "CRS": view.crs,
        "BBOX": view.numbers(),
        "WIDTH": DETAIL,
        "HEIGHT": max(LEAST_DETAIL, min(round(DETAIL * view.aspect()), 4 * DETAIL)),
        "FORMAT": "image/png",
    }
    return ask(address, query)


def views(places: Sequence[Place], layer: MapLayer) -> list[BoundingBox]:
    """Give the views in which features of a layer must be seen: all of these, and a closer look at the first one."""
    whole = _degrees(
        min(place.west for place in places),
        min(place.south for place in places),
        max(place.east for place in places),
        max(place.north for place in places),
    )
    first = places[0]
    looks = [whole, _degrees(first.west, first.south, first.east, first.north)]
    if layer.min_scale or layer.max_scale:
        looks.append(_at_scale(first.point, _middle_scale(layer)))
    return looks


def _degrees(west: float, south: float, east: float, north: float) -> BoundingBox:
    """Give an extent with a margin, within the world, that is no point or line."""
    across = max((east - west) / 20, (LEAST_VIEW - (east - west)) / 2)
    up = max((north - south) / 20, (LEAST_VIEW - (north - south)) / 2)
    return _within_the_world(west - across, south - up, east + across, north + up)


def _within_the_world(west: float, south: float, east: float, north: float) -> BoundingBox:
    return BoundingBox("CRS:84", max(west, -180.0), max(south, -90.0), min(east, 180.0), min(north, 90.0))


def _middle_scale(layer: MapLayer) -> float:
    least, most = layer.min_scale or layer.max_scale / 4, layer.max_scale or layer.min_scale * 4
    return math.sqrt(least * most)


def _at_scale(point: tuple[float, float], scale: float) -> BoundingBox:
    east, north = point
    half = scale * DETAIL * PIXEL / METERS / 2
    across = half / max(math.cos(math.radians(north)), 0.01)
    return _within_the_world(east - across, north - half, east + across, north + half)


def paints(body: bytes) -> bool:
    """Tell whether a picture on a transparent ground has anything on it."""
    extrema: Any = open_png(body).getchannel("A").getextrema()
    return bool(extrema[1] > 0)


def distinct_colors(body: bytes) -> int:
    """Count the colours of a PNG, transparency included, up to a million."""
    return len(open_png(body).getcolors(MOST_COLORS) or range(MOST_COLORS))


def open_png(body: bytes) -> Any:
    """Open a picture that somebody else made, with all its points."""
    from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - only the controller has Pillow

    try:
        with Image.open(io.BytesIO(body), formats=["PNG"]) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise MapError(f"GetMap answered a picture of {picture.width} x {picture.height} pixels.")
            return picture.convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MapError(f"GetMap answered something that is not a PNG: {excerpt(body)}") from error


def feature_types_url(address: str) -> str:
    """Give the address of the capabilities of the map's features."""
    return ask(address, {"SERVICE": "WFS", "VERSION": "1.1.0", "REQUEST": "GetCapabilities"})


def parse_feature_types(body: bytes) -> list[str]:
    """Read the names of the layers that WFS publishes."""
    root = _parse_xml(body, "capabilities of WFS")
    return [
        (node.text or "").strip()
        for kind in root.iter()
        if _local(kind.tag) == "FeatureType"
        for node in kind
        if _local(node.tag) == "Name"
    ]


def features_url(address: str, feature_type: str) -> str:
    """Give the address of a layer's features."""
    query = {
        "SERVICE": "WFS",
        "VERSION": "1.1.0",
        "REQUEST": "GetFeature",
        "TYPENAME": feature_type,
        "OUTPUTFORMAT": "application/json",
        "MAXFEATURES": MAX_FEATURES,
    }
    return ask(address, query)


def feature_info_url(address: str, layers: Sequence[MapLayer], width: int) -> str:
    """Give the address that asks which features are in the picture, for a map without WFS.

    The tolerance is as wide as the picture, so that the place that is asked about does not matter.
    """
    names = ",".join(layer.name for layer in reversed(layers))
    query = {
        "QUERY_LAYERS": names,
        "INFO_FORMAT": "application/json",
        "FEATURE_COUNT": MAX_FEATURES,
        "I": width // 2,
        "J": MIN_HEIGHT // 2,
        "FI_POINT_TOLERANCE": width,
        "FI_LINE_TOLERANCE": width,
        "FI_POLYGON_TOLERANCE": width,
    }
    return f"{map_url(address, layers, width).replace('REQUEST=GetMap', 'REQUEST=GetFeatureInfo')}&{urlencode(query)}"


def count_features(body: bytes) -> int:
    """Count the features of a GeoJSON document."""
    return len(read_features(body))


def read_features(body: bytes) -> list[dict[str, Any]]:
    """Read the features of a GeoJSON document."""
    document = read_json(body, "The server answered something that is not GeoJSON")
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise MapError(f"The server answered JSON without features: {excerpt(body)}")
    return features


def read_json(body: bytes, problem: str) -> Any:
    """Read JSON; raise MapError with the problem and the beginning of the answer where it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MapError(f"{problem}: {excerpt(body)}") from error


def collections_url(address: str) -> str:
    """Give the address of the list of what OGC API Features gives of a map."""
    return f"{address}wfs3/collections"


def parse_collections(body: bytes, address: str) -> dict[str, str]:
    """Read the addresses of features by the name that WFS has for their layer; they must lead to the same server."""
    problem = "OGC API Features answered what is no list of collections"
    document = read_json(body, problem)
    try:
        found = {type_name(str(c["id"])): _items(c["links"]) for c in document["collections"]}
    except (KeyError, TypeError, StopIteration, RecursionError) as error:
        raise MapError(f"{problem}: {excerpt(body)}") from error
    for link in found.values():
        if not unquote(link).startswith(unquote(address)):
            raise MapError(f"OGC API Features links to {link}, which is not below {address}", remedy=TELL_THE_ADDRESS)
    return found


def _items(links: Sequence[dict[str, Any]]) -> str:
    return str(next(link["href"] for link in links if link["rel"] in ITEMS and link["type"] == GEOJSON))


def find_places(features: Sequence[dict[str, Any]]) -> list[Place]:
    """Tell where the first features are that are anywhere."""
    places = []
    for feature in features:
        geometry = feature.get("geometry")
        points = list(_points(geometry.get("coordinates"), LEVELS_OF_COORDINATES)) if isinstance(geometry, dict) else []
        if points:
            easts, norths = [point[0] for point in points], [point[1] for point in points]
            places.append(Place(min(easts), min(norths), max(easts), max(norths), points[0]))
    return places[:PLACES_OF_A_LAYER]


def _points(coordinates: Any, levels: int) -> Iterable[tuple[float, float]]:
    if not isinstance(coordinates, list) or not levels:
        return
    if coordinates and isinstance(coordinates[0], int | float):
        if len(coordinates) > 1 and all(_is_place(number) for number in coordinates[:2]):
            yield float(coordinates[0]), float(coordinates[1])
    else:
        for part in coordinates:
            yield from _points(part, levels - 1)


def _is_place(number: Any) -> bool:
    """Tell a coordinate from what JSON can hold besides: NaN, infinity, integers of any length, other types."""
    return isinstance(number, int | float) and -FAR < number < FAR


def parse_catalogue(body: bytes) -> list[dict[str, Any]]:
    """Read QGIS Server's catalogue of projects."""
    problem = "The catalogue /index.json is not a list of projects"
    document = read_json(body, problem)
    projects = document.get("projects") if isinstance(document, dict) else None
    if not isinstance(projects, list) or not all(isinstance(project, dict) for project in projects):
        raise MapError(f"{problem}: {excerpt(body)}")
    return [{"id": str(p.get("id", "")), "title": str(p.get("title", ""))} for p in projects]


def join(base: str, target: str) -> str:
    """Give the address that a link, a form or a redirect leads to."""
    try:
        return urljoin(base, target)
    except ValueError as error:
        raise MapError(f"{base}: it leads to {target!r}, which is no address.") from error


def _parse_xml(body: bytes, what: str) -> Any:
    try:
        return foreign_xml.parse(body)
    except foreign_xml.XmlError as error:
        raise MapError(f"The server answered something that is not XML {what}: {excerpt(body)}") from error


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _text(root: Any) -> str:
    return plain(" ".join(root.itertext()))[:300]


def excerpt(body: bytes) -> str:
    """Give the beginning of an answer that nobody expected."""
    text = plain(body[:300].decode("utf-8", "replace"))
    return repr(text) if text else "nothing"
