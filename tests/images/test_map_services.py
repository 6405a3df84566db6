"""What maps of the field need of the map server: every format of data, every request, fonts, symbols, print.

A package that is left out of the image must make one of these fail, not somebody's map.
"""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import requests
from PIL import Image, ImageChops

from tests.images import projects
from tests.images.map_server import ALL_ALLOWED, MapServer, address, database, map_server, picture
from tests.images.projects import GRASS, POPPY, RASTERS, VECTORS, WHITE, Layer

WEST_SIDE, EAST_SIDE = (50, 50), (150, 50)
"""A pixel in the meadow and one beside it, in a picture of the ground."""
BLUE = 0, 0, 255
MIDDLE_NORTH = projects.MIDDLE[0], projects.NORTH
"""The north-eastern corner of the meadow."""
TREES = 12
ZIPPED = "A zipped project"
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"><rect width="10" height="10" fill="#b8323f"/></svg>'
)
POINTS = {
    "dot": projects.single_symbol(projects.marker()),
    "embedded-svg": projects.single_symbol(
        projects.marker("SvgMarker", name=f"base64:{base64.b64encode(SVG.encode()).decode()}")
    ),
    "qgis-svg": projects.single_symbol(projects.marker("SvgMarker", name="crosses/Cross1.svg", size="40")),
    "font-marker": projects.single_symbol(projects.marker("FontMarker", font="DejaVu Sans", chr="W", size="60")),
    "label-I": projects.label("'I'"),
    "label-W": projects.label("'W'"),
    "label-é": projects.label("'é'"),
    "label-serif": projects.label("'W'", font="DejaVu Serif"),
    "label-mono": projects.label("'W'", font="DejaVu Sans Mono"),
    "label-field": projects.label('upper("name")'),
}
"""Name of the project -> how it draws the one point in the middle of the ground."""


def publish(folder: Path) -> None:
    """Write every project."""
    for name, write in {**VECTORS, **RASTERS}.items():
        repository = folder / name
        repository.mkdir(parents=True)
        (repository / "map.qgs").write_text(projects.qgs([write(repository)], projects.layout("page")), "utf-8")
    points = folder / "points"
    points.mkdir()
    source = projects.point(points)
    for name, style in POINTS.items():
        layer = Layer(source, name="tree", geometry="Point", style=style)
        (points / f"{name}.qgs").write_text(projects.qgs([layer]), "utf-8")
    for name, value in (("categorized", projects.NAME), ("other-category", "Forest")):
        style = projects.categorized("name", value, projects.fill(POPPY))
        (folder / "geojson" / f"{name}.qgs").write_text(projects.qgs([Layer("./meadow.geojson", style=style)]), "utf-8")
    row = projects.trees(points, [(projects.WEST + n / 10, projects.SOUTH) for n in range(TREES)])
    (points / "row.qgs").write_text(projects.qgs([row]), "utf-8")
    projects.write_zipped(folder / "geojson" / "zipped.qgz", projects.qgs([Layer("./meadow.geojson")], title=ZIPPED))


@pytest.fixture(scope="module")
def network(postgis_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the network with the database that one of the projects needs."""
    with database(postgis_image, tmp_path_factory.mktemp("postgis"), projects.POSTGIS_SQL) as found:
        yield found


@pytest.fixture(scope="module")
def server(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MapServer]:
    """Return a map server with every project."""
    folder = tmp_path_factory.mktemp("map")
    folder.chmod(0o755)
    publish(folder / "projects")
    with map_server(lizmap_image, folder, network) as running:
        running.wait_until_healthy()
        yield running


@pytest.fixture(scope="module")
def unguarded(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MapServer]:
    """Return a map server whose front refuses nothing: QGIS Server as Lizmap asks it."""
    folder = tmp_path_factory.mktemp("unguarded")
    folder.chmod(0o755)
    publish(folder / "projects")
    with map_server(lizmap_image, folder, network, {"map-page-requests.conf": ALL_ALLOWED}) as running:
        running.wait_until_healthy()
        yield running


# Data ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VECTORS)
def test_features_of_every_format_are_drawn_where_they_are(server: MapServer, name: str) -> None:
    found = server.picture(f"{name}/map")
    assert (found.getpixel(WEST_SIDE), found.getpixel(EAST_SIDE)) == (POPPY, WHITE)


@pytest.mark.parametrize("name", VECTORS)
def test_features_of_every_format_are_told_with_their_accents_and_numbers(server: MapServer, name: str) -> None:
    answer = server.wfs(f"{name}/map", "GetFeature", OUTPUTFORMAT="application/json").json()
    (feature,) = answer["features"]
    told = {key.lower(): value for key, value in feature["properties"].items()}
    assert (told["name"], told["hectares"]) == (projects.NAME, projects.HECTARES)
    assert feature["geometry"]["type"] in ("Polygon", "MultiPolygon")
    assert feature["bbox"] == [projects.WEST, projects.SOUTH, projects.MIDDLE[0], projects.NORTH]


@pytest.mark.parametrize("name", RASTERS)
def test_pictures_of_every_format_lie_where_they_belong(server: MapServer, name: str) -> None:
    # A tile of the whole world has coarse pixels.
    box = {"BBOX": "-60,0,60,60"} if name == "mbtiles" else {}
    found = server.picture(f"{name}/map", LAYERS="ground", **box)
    for where, color in ((WEST_SIDE, POPPY), (EAST_SIDE, GRASS)):
        assert near(found.getpixel(where), color), (where, found.getpixel(where))


def near(found: object, color: tuple[int, int, int]) -> bool:
    """Say whether a pixel has this colour, up to what JPEG makes of it."""
    assert isinstance(found, tuple)
    return all(abs(a - b) <= 3 for a, b in zip(found, color, strict=True))


@pytest.mark.parametrize(
    ("crs", "box", "inside", "outside"),
    [
        # Lambert 93 has its origin in the middle of the ground; a degree is some 111 km.
        ("EPSG:2154", "600000,6550000,800000,6650000", (90, 50), (110, 50)),
        ("EPSG:3857", "222639,5780349,445278,5891668", WEST_SIDE, EAST_SIDE),
        # UTM zone 31 has its central meridian there.
        ("EPSG:32631", "400000,5100000,600000,5200000", (90, 50), (110, 50)),
    ],
)
def test_maps_are_drawn_in_other_reference_systems(
    server: MapServer, crs: str, box: str, inside: tuple[int, int], outside: tuple[int, int]
) -> None:
    found = server.picture("geojson/map", CRS=crs, BBOX=box)
    assert (found.getpixel(inside), found.getpixel(outside)) == (POPPY, WHITE)


def id_of(server: MapServer, title: str) -> str:
    """Give the id that a project has in the catalogue."""
    catalogue = server.get("/index.json").json()["projects"]
    (number,) = [str(project["id"]) for project in catalogue if project["title"] == title]
    return number


def test_a_zipped_project_is_served_by_its_name_and_by_its_id(server: MapServer) -> None:
    for project in ("geojson/zipped", id_of(server, ZIPPED)):
        assert server.picture(project).getpixel(WEST_SIDE) == POPPY


# Symbols and fonts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dot", "embedded-svg", "qgis-svg", "font-marker"])
def test_markers_are_drawn(server: MapServer, name: str) -> None:
    found = server.picture(f"points/{name}", LAYERS="tree")
    assert found.getpixel((10, 10)) == WHITE
    assert POPPY in colors(found)


@pytest.mark.parametrize(("project", "color"), [("categorized", POPPY), ("other-category", WHITE)])
def test_categories_decide_what_is_drawn(server: MapServer, project: str, color: tuple[int, int, int]) -> None:
    assert server.picture(f"geojson/{project}").getpixel(WEST_SIDE) == color


def test_labels_are_letters_of_their_font(server: MapServer) -> None:
    """A missing font draws the same empty box for every letter, or another font's letter."""
    names = [name for name in POINTS if name.startswith("label-")]
    found = {name: server.picture(f"points/{name}", LAYERS="tree") for name in names}
    assert all(POPPY in colors(drawn) for drawn in found.values())
    same = [(a, b) for a in names for b in names if a < b and equal(found[a], found[b])]
    assert same == []


def colors(drawn: Image.Image) -> set[object]:
    """Give the colours of a picture."""
    return {color for _, color in drawn.getcolors(drawn.width * drawn.height) or ()}


def equal(one: Image.Image, other: Image.Image) -> bool:
    """Say whether two pictures are the same."""
    return ImageChops.difference(one, other).getbbox() is None


# WMS -----------------------------------------------------------------------------------------------------------------


def test_capabilities_name_the_layer_and_where_it_lies(server: MapServer) -> None:
    root = ElementTree.fromstring(server.wms("geojson/map", "GetCapabilities").content)
    space = {"wms": "http://www.opengis.net/wms"}
    (layer,) = [
        found for found in root.iterfind(".//wms:Layer", space) if found.findtext("wms:Name", "", space) == "meadow"
    ]
    assert {"EPSG:4326", "EPSG:3857", "EPSG:2154"} <= {found.text for found in layer.iterfind("wms:CRS", space)}
    west = layer.findtext(".//wms:westBoundLongitude", "", space)
    assert float(west) == projects.WEST
    links = [
        found.get("{http://www.w3.org/1999/xlink}href", "") for found in root.iterfind(".//wms:OnlineResource", space)
    ]
    assert f"{server.url}/ows/geojson/map/" in "".join(links)


@pytest.mark.parametrize("kind", ["image/png", "image/png; mode=8bit", "image/jpeg", "image/webp"])
def test_pictures_come_in_every_kind(server: MapServer, kind: str) -> None:
    found = server.picture("geojson/map", FORMAT=kind)
    assert near(found.getpixel(WEST_SIDE), POPPY)
    assert near(found.getpixel(EAST_SIDE), WHITE)


def test_a_picture_can_be_transparent_where_nothing_is(server: MapServer) -> None:
    answer = server.wms("geojson/map", TRANSPARENT="TRUE")
    drawn = Image.open(io.BytesIO(answer.content))
    assert [drawn.convert("RGBA").getpixel(where) for where in (WEST_SIDE, EAST_SIDE)] == [(*POPPY, 255), (0, 0, 0, 0)]


@pytest.mark.parametrize("kind", ["text/plain", "text/html", "text/xml", "application/json", "application/vnd.ogc.gml"])
def test_a_click_tells_the_feature(server: MapServer, kind: str) -> None:
    def click(i: str) -> str:
        asked = {"QUERY_LAYERS": "meadow", "I": i, "J": "50", "INFO_FORMAT": kind}
        return server.wms("geojson/map", "GetFeatureInfo", **asked).text

    assert "Été" in click("50")
    assert "Été" not in click("150")


def test_the_legend_shows_the_symbol_and_its_label(server: MapServer) -> None:
    asked = {"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetLegendGraphic", "LAYER": "meadow"}
    legend = picture(server.ows("geojson/categorized", **asked, FORMAT="image/png"))
    assert POPPY in colors(legend)
    told = server.ows("geojson/categorized", **asked, FORMAT="application/json").json()
    assert "Meadows" in json.dumps(told)


def test_a_style_is_told_and_taken_as_sld(unguarded: MapServer) -> None:
    style = unguarded.wms("geojson/map", "GetStyles").text
    assert "#b8323f" in style
    assert unguarded.picture("geojson/map", SLD_BODY=style.replace("#b8323f", "#0000ff")).getpixel(WEST_SIDE) == BLUE


@pytest.mark.parametrize(("condition", "color"), [("> 10", POPPY), ("> 20", WHITE)])
def test_a_filter_decides_what_is_drawn(unguarded: MapServer, condition: str, color: tuple[int, int, int]) -> None:
    found = unguarded.picture("geopackage/map", FILTER=f'meadow: "hectares" {condition}')
    assert found.getpixel(WEST_SIDE) == color


def test_a_drawing_for_cad_has_the_outline(server: MapServer) -> None:
    box = f"{projects.SOUTH},{projects.WEST},{projects.NORTH},{projects.EAST}"
    drawing = server.wms("geojson/map", FORMAT="application/dxf", CRS="EPSG:4326", BBOX=box).text
    assert "\nLWPOLYLINE\n" in drawing
    assert "\nmeadow\n" in drawing
    assert drawing.rstrip().endswith("EOF")


# Print ---------------------------------------------------------------------------------------------------------------


def print_page(server: MapServer, kind: str) -> bytes:
    """Print the layout of a project at 96 dots per inch."""
    extent = f"{projects.SOUTH},{projects.WEST},{projects.NORTH},{projects.EAST}"
    asked = {"TEMPLATE": "page", "DPI": "96", "CRS": "EPSG:4326", "map0:EXTENT": extent, "map0:LAYERS": "meadow"}
    return server.wms("geojson/map", "GetPrint", FORMAT=kind, **asked).content


def test_a_layout_is_printed_as_a_picture(unguarded: MapServer) -> None:
    page = Image.open(io.BytesIO(print_page(unguarded, "png"))).convert("RGB")
    assert page.size == (1122, 793)
    # In millimetres: the map is 200 by 100, its upper left corner at 48.5, 60; the text is above it.
    places = {"meadow": (98, 110), "beside": (198, 110), "margin": (20, 110)}
    at = {name: page.getpixel((round(x * 3.78), round(y * 3.78))) for name, (x, y) in places.items()}
    assert at == {"meadow": POPPY, "beside": WHITE, "margin": WHITE}
    words = page.crop((183, 76, 939, 132)).convert("L").getextrema()
    assert words == (0, 255)


def test_a_layout_is_printed_as_a_document(unguarded: MapServer) -> None:
    document = print_page(unguarded, "pdf")
    assert document.startswith(b"%PDF-")
    assert b"/MediaBox [0 0 842.0" in document
    streams = re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", document, re.DOTALL)
    drawn = b"\n".join(zlib.decompressobj().decompress(stream) for stream in streams)
    # The colour of the meadow as PDF writes it, and the curves of the letters.
    assert re.search(rb"0\.721\d* 0\.196\d* 0\.247\d* scn", drawn)
    assert re.search(rb"[\d.]+ c\n", drawn)


# WFS and WMTS --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "kind", "position"),
    [
        ("1.0.0", "GML2", "coordinates"),
        ("1.1.0", "GML3", "posList"),
        ("1.1.0", "text/xml; subtype=gml/3.1.1", "posList"),
    ],
)
def test_features_come_as_gml(server: MapServer, version: str, kind: str, position: str) -> None:
    root = ElementTree.fromstring(
        server.wfs("geopackage/map", "GetFeature", VERSION=version, OUTPUTFORMAT=kind).content
    )
    assert root.findtext(".//{http://www.qgis.org/gml}name") == projects.NAME
    gml = "{http://www.opengis.net/gml}"
    numbers = root.findtext(f".//{gml}Polygon//{gml}{position}", "")
    assert re.split("[ ,]", numbers)[:4] == ["2", "46", "2", "47"]


@pytest.mark.parametrize(("condition", "number"), [('"hectares" > 10', 1), ('"hectares" > 20', 0)])
def test_features_are_filtered_by_expression(unguarded: MapServer, condition: str, number: int) -> None:
    answer = unguarded.wfs("postgis/map", "GetFeature", OUTPUTFORMAT="application/json", EXP_FILTER=condition).json()
    assert len(answer["features"]) == number


def test_the_columns_of_features_are_described(server: MapServer) -> None:
    schema = ElementTree.fromstring(server.wfs("postgis/map", "DescribeFeatureType").content)
    columns = {
        element.get("name"): element.get("type") for element in schema.iter("{http://www.w3.org/2001/XMLSchema}element")
    }
    assert columns["geometry"] == "gml:PolygonPropertyType"
    assert columns["hectares"] in ("double", "decimal")


def test_tiles_are_drawn(server: MapServer) -> None:
    tile = server.ows(
        "geojson/map",
        **{"SERVICE": "WMTS", "VERSION": "1.0.0", "REQUEST": "GetTile", "LAYER": "Test", "STYLE": "default"},
        **{"TILEMATRIXSET": "EPSG:3857", "TILEMATRIX": "7", "TILEROW": "45", "TILECOL": "64", "FORMAT": "image/png"},
    )
    # The tile from 0 to 2.8125 degrees east; the meadow begins at 2 degrees.
    found = picture(tile)
    assert (found.size, found.getpixel((230, 100))) == ((256, 256), POPPY)
    assert found.getpixel((150, 100)) != POPPY


# OGC API Features ----------------------------------------------------------------------------------------------------


def linked(answer: requests.Response, relation: str, kind: str) -> str:
    """Give the address that a document links to."""
    return next(str(link["href"]) for link in answer.json()["links"] if (link["rel"], link["type"]) == (relation, kind))


@pytest.mark.parametrize("by_id", [False, True])
def test_links_lead_from_the_landing_page_to_a_feature(server: MapServer, by_id: bool) -> None:
    project = address(id_of(server, ZIPPED) if by_id else "geojson/zipped")
    landing = server.get(f"{project}wfs3/")
    data = linked(landing, "data", "application/json")
    assert data == f"{server.url}{project}wfs3/collections"
    collections = requests.get(data, timeout=60).json()["collections"]
    assert [collection["id"] for collection in collections] == ["meadow"]
    collection = requests.get(f"{data}/meadow", timeout=60)
    assert collection.json()["extent"]["spatial"]["bbox"] == [[projects.WEST, projects.SOUTH, *MIDDLE_NORTH]]
    features = requests.get(linked(collection, "items", "application/geo+json"), timeout=60)
    assert features.headers["Content-Type"] == "application/geo+json"
    (feature,) = features.json()["features"]
    assert feature["properties"]["name"] == projects.NAME
    alone = requests.get(f"{data}/meadow/items/{feature['id']}", timeout=60).json()
    assert (alone["geometry"], alone["properties"]) == (feature["geometry"], feature["properties"])


@pytest.mark.parametrize(
    ("query", "returned", "matched"),
    [
        ("", 10, TREES),
        ("limit=3", 3, TREES),
        (f"limit=100&offset={TREES - 2}", 2, TREES),
        ("bbox=1.95,45.95,2.15,46.05", 2, 2),
        ("bbox=12,46,13,47", 0, 0),
        ("name=tree 7", 1, 1),
    ],
)
def test_features_are_chosen_by_number_place_and_value(
    server: MapServer, query: str, returned: int, matched: int
) -> None:
    found = server.get(f"/ows/points/row/wfs3/collections/tree/items?{query}").json()
    assert (len(found["features"]), found["numberReturned"], found["numberMatched"]) == (returned, returned, matched)


def test_features_of_postgis_come_by_the_api_too(server: MapServer) -> None:
    (feature,) = server.get("/ows/postgis/map/wfs3/collections/meadow/items").json()["features"]
    assert (feature["properties"]["name"], feature["properties"]["hectares"]) == (projects.NAME, projects.HECTARES)


def test_a_browser_gets_pages_to_read(server: MapServer) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    page = server.get("/ows/geojson/map/wfs3/", headers=browser)
    assert page.headers["Content-Type"].startswith("text/html")
    assert f'href="{server.url}/ows/geojson/map/wfs3/collections"' in page.text
    assert projects.NAME in server.get("/ows/geojson/map/wfs3/collections/meadow/items.html").text
    assert server.get("/ows/geojson/map/wfs3/static/style.css").headers["Content-Type"].startswith("text/css")


# The page ------------------------------------------------------------------------------------------------------------


def test_the_page_is_compressed_beforehand_and_its_scripts_are_good_for_ever(server: MapServer) -> None:
    scripts = re.findall(r'"(app\.(?:js|css)\?[0-9a-f]{12})"', server.get("/").text)
    assert len(scripts) == 2
    for path in ("", *scripts):
        answer = server.get(f"/{path}", headers={"Accept-Encoding": "gzip"})
        # What nginx compresses while it sends has no length.
        assert (answer.headers["Content-Encoding"], int(answer.headers["Content-Length"]) > 0) == ("gzip", True)
        assert ("immutable" in answer.headers["Cache-Control"]) is bool(path)
