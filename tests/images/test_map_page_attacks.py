"""What a visitor of the map page sends to learn what the map does not show, by expressions, styles, files and projects.

Each attack is also played on the same image with the front's configuration changed, and succeeds there: one without the
list of requests, and without what stands beside it in map-page.conf.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
import requests
from PIL import Image

from tests.images import building, projects
from tests.images.map_server import ALL_ALLOWED, REQUEST_SECONDS, MapServer, map_server
from tests.images.projects import POPPY, WHITE
from tests.images.questions import questions

PROJECT = "/ows/fields/meadow/"
HIDDEN = "/srv/projects/.hidden/treasure.qgs"
GOLD = 250, 200, 0
FRONT = (building.ROOT / "images" / "lizmap" / "nginx" / "map-page.conf").read_text("utf-8")
TAKEN_BACK = {"limit_except GET { deny all; }": "", "[^/.][^/]*": "[^/]+"}
GET_MAP = {
    **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "CRS": "CRS:84", "BBOX": "2,46,4,47"},
    **{"WIDTH": "200", "HEIGHT": "100", "FORMAT": "image/png", "LAYERS": "meadow", "STYLES": ""},
}
GET_INFO = {
    **GET_MAP,
    **{"REQUEST": "GetFeatureInfo", "QUERY_LAYERS": "meadow", "INFO_FORMAT": "text/plain", "I": "50", "J": "50"},
}
GET_FEATURE = {
    **{"SERVICE": "WFS", "VERSION": "1.1.0", "REQUEST": "GetFeature", "TYPENAME": "meadow"},
    "OUTPUTFORMAT": "application/json",
}
PRINT = {
    **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetPrint", "TEMPLATE": "page", "FORMAT": "png", "DPI": "30"},
    **{"CRS": "CRS:84", "map0:EXTENT": "2,46,4,47", "map0:LAYERS": "meadow"},
}


def publish(folder: Path) -> None:
    """Write a public project, and beside it what the map page shows to nobody: a project and a photo."""
    folder.chmod(0o755)
    place, hidden = folder / "projects" / "fields", folder / "projects" / ".hidden"
    for path, name in ((place, "meadow"), (hidden, "treasure")):
        path.mkdir(parents=True)
        layer = projects.geojson(path)
        layouts = projects.layout("page") + projects.layout("atlas", layer)
        (path / f"{name}.qgs").write_text(projects.qgs([layer], layouts, title=name.title()), "utf-8")
    Image.new("RGB", (256, 256), GOLD).save(hidden / "photo.png")
    color = "#{:02x}{:02x}{:02x}".format(*GOLD)
    square = f'<rect width="9" height="9" fill="{color}"/>'
    (hidden / "photo.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{square}</svg>')


@contextmanager
def running(image: str, folder: Path, configuration: dict[str, str]) -> Iterator[MapServer]:
    """Run a map server of these."""
    publish(folder)
    with map_server(image, folder, configuration=configuration) as started:
        started.wait_until_healthy()
        yield started


@pytest.fixture(scope="module")
def server(lizmap_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MapServer]:
    """Return the map server as it is."""
    with running(lizmap_image, tmp_path_factory.mktemp("page"), {}) as started:
        yield started


@pytest.fixture(scope="module")
def careless(lizmap_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MapServer]:
    """Return a map server whose front hands on whatever comes."""
    front = FRONT
    for defence, nothing in TAKEN_BACK.items():
        assert defence in front
        front = front.replace(defence, nothing)
    configuration = {"map-page-requests.conf": ALL_ALLOWED, "map-page.conf": front}
    with running(lizmap_image, tmp_path_factory.mktemp("careless"), configuration) as started:
        yield started


def ask(server: MapServer, asked: dict[str, str]) -> requests.Response:
    """Ask for something of the public project."""
    return server.get(f"{PROJECT}?{urlencode(asked)}")


def is_refused(answer: requests.Response) -> bool:
    """Tell whether the front refused it."""
    return answer.status_code == 400 and answer.text.startswith("The map page refuses this")


def pixel(answer: requests.Response) -> tuple[int, int, int]:
    """Give the colour within the meadow."""
    color = Image.open(io.BytesIO(answer.content)).convert("RGB").getpixel((50, 50))
    assert isinstance(color, tuple)
    return color[0], color[1], color[2]


# Expressions ---------------------------------------------------------------------------------------------------------

QUESTIONS = questions(HIDDEN)
"""What a visitor learns by whether the meadow comes."""


@pytest.mark.attack(kind="expression that tells", on="map page")
@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_no_expression_tells_a_visitor_what_the_map_does_not(
    server: MapServer, careless: MapServer, question: str
) -> None:
    assert len(ask(careless, {**GET_FEATURE, "EXP_FILTER": question}).json()["features"]) == 1
    assert ask(careless, {**GET_FEATURE, "EXP_FILTER": f"NOT ({question})"}).json()["features"] == []
    assert is_refused(ask(server, {**GET_FEATURE, "EXP_FILTER": question}))


EQUAL = "<PropertyIsEqualTo>{}<Literal>2</Literal></PropertyIsEqualTo>"
FUNCTION = EQUAL.format('<Function name="eval"><Literal>1</Literal></Function>')
"""An expression that is false."""


def posted(server: MapServer, body: str, kind: str, query: str = "") -> requests.Response:
    """Post something to the public project."""
    headers = {"Content-Type": kind}
    return requests.post(f"{server.url}{PROJECT}{query}", data=body, headers=headers, timeout=REQUEST_SECONDS)


DOCUMENT = (
    '<GetFeature xmlns="http://www.opengis.net/wfs" service="WFS" version="1.1.0" outputFormat="application/json">'
    '<Query typeName="meadow">{}</Query></GetFeature>'
)
BODIES = {
    "a form": (urlencode({**GET_FEATURE, "EXP_FILTER": "eval('1 = 2')"}), "application/x-www-form-urlencoded"),
    "a document": (DOCUMENT.format(f"<Filter>{FUNCTION}</Filter>"), "text/xml"),
}


@pytest.mark.attack(kind="expression", on="map page")
@pytest.mark.parametrize(("body", "kind"), BODIES.values(), ids=BODIES)
def test_nothing_is_read_from_what_is_posted(server: MapServer, careless: MapServer, body: str, kind: str) -> None:
    assert posted(careless, body, kind).json()["features"] == []
    assert posted(server, body, kind).status_code == 403


@pytest.mark.attack(kind="expression", on="map page")
def test_no_expression_of_a_visitor_is_evaluated_for_what_is_under_the_cursor(
    server: MapServer, careless: MapServer
) -> None:
    assert projects.NAME in ask(server, GET_INFO).text
    filtered = {**GET_INFO, "FILTER": f"<Filter>{FUNCTION}</Filter>"}
    assert projects.NAME not in ask(careless, filtered).text
    assert is_refused(ask(server, filtered))


@pytest.mark.attack(kind="print", on="map page")
@pytest.mark.parametrize("text", ["[% 'Les ' || 'prés' %]", "Les [% eval('''p''') %]rés"])
def test_no_text_of_a_print_is_evaluated(server: MapServer, careless: MapServer, text: str) -> None:
    assert ask(careless, {**PRINT, "words": text}).content == ask(careless, {**PRINT, "words": "Les prés"}).content
    assert is_refused(ask(server, {**PRINT, "words": text}))


@pytest.mark.attack(kind="number", on="map page")
def test_no_number_of_a_printed_feature_is_evaluated(server: MapServer, careless: MapServer) -> None:
    atlas = {**PRINT, "TEMPLATE": "atlas"}
    evaluated = {**atlas, "ATLAS_PK": "-1 OR eval('1 = 1')"}
    assert ask(careless, {**atlas, "ATLAS_PK": "-1"}).content != ask(careless, {**atlas, "ATLAS_PK": "0"}).content
    assert ask(careless, evaluated).content == ask(careless, {**atlas, "ATLAS_PK": "0"}).content
    assert is_refused(ask(server, evaluated))


# Styles, files, other servers ----------------------------------------------------------------------------------------


def style(rule: str) -> str:
    """Give a style with one rule."""
    return (
        '<StyledLayerDescriptor version="1.1.0" xmlns="http://www.opengis.net/sld" xmlns:se="http://www.opengis.net/se"'
        ' xmlns:ogc="http://www.opengis.net/ogc" xmlns:xlink="http://www.w3.org/1999/xlink"><NamedLayer><se:Name>meadow'
        f"</se:Name><UserStyle><se:FeatureTypeStyle><se:Rule>{rule}</se:Rule></se:FeatureTypeStyle></UserStyle>"
        "</NamedLayer></StyledLayerDescriptor>"
    )


def picture_style(address: str) -> str:
    """Give a style that fills with a picture."""
    return style(
        "<se:PolygonSymbolizer><se:Fill><se:GraphicFill><se:Graphic><se:ExternalGraphic><se:OnlineResource"
        f' xlink:type="simple" xlink:href="{address}"/><se:Format>image/svg+xml</se:Format></se:ExternalGraphic>'
        "<se:Size>20</se:Size></se:Graphic></se:GraphicFill></se:Fill></se:PolygonSymbolizer>"
    )


def external(**source: str) -> dict[str, str]:
    """Give a request for what another server, or a file, shows."""
    told = {f"x:{name}": value for name, value in source.items()}
    return {**GET_MAP, "LAYERS": "EXTERNAL_WMS:x", **told}


PHOTO = HIDDEN.replace("treasure.qgs", "photo.png")
PICTURE = HIDDEN.replace("treasure.qgs", "photo.svg")
FILES = {
    "tiles": external(type="xyz", url=f"file://{PHOTO}", zmin="0", zmax="1"),
    "tiles in a print": {
        **PRINT,
        **{key: value for key, value in external(type="xyz", url=f"file://{PHOTO}").items() if key.startswith("x:")},
        "map0:LAYERS": "EXTERNAL_WMS:x",
    },
    "a style's picture": {**GET_MAP, "SLD_BODY": picture_style(PICTURE)},
    "a style's picture by its address": {**GET_MAP, "SLD_BODY": picture_style(f"file://{PICTURE}")},
}


def has_gold(answer: requests.Response) -> bool:
    """Tell whether the hidden photo's colour is in a picture."""
    picture = Image.open(io.BytesIO(answer.content)).convert("RGB")
    return any(color == GOLD for _, color in picture.getcolors(picture.width * picture.height) or ())


@pytest.mark.attack(kind="file or project", on="map page")
@pytest.mark.parametrize("asked", FILES.values(), ids=FILES)
def test_no_file_of_the_server_is_drawn(server: MapServer, careless: MapServer, asked: dict[str, str]) -> None:
    assert has_gold(ask(careless, asked))
    assert is_refused(ask(server, asked))


@pytest.mark.attack(kind="style", on="map page")
def test_no_expression_of_a_visitors_style_is_evaluated(server: MapServer, careless: MapServer) -> None:
    red = '<se:PolygonSymbolizer><se:Fill><se:SvgParameter name="fill">#ff0000</se:SvgParameter></se:Fill>'
    rule = f"<ogc:Filter>{FUNCTION}</ogc:Filter>{red}</se:PolygonSymbolizer>"
    rule = re.sub(r"<(/?)(?=Property|Function|Literal)", r"<\1ogc:", rule)
    assert pixel(ask(careless, GET_MAP)) == POPPY
    assert pixel(ask(careless, {**GET_MAP, "SLD_BODY": style(rule)})) == WHITE
    assert is_refused(ask(server, {**GET_MAP, "SLD_BODY": style(rule)}))


@pytest.mark.attack(kind="style", on="map page")
def test_no_expression_of_a_style_is_evaluated_for_a_drawing(server: MapServer, careless: MapServer) -> None:
    drawing = {**GET_MAP, "FORMAT": "application/dxf", "FORMAT_OPTIONS": "MODE:FEATURESYMBOLOGY;SCALE:500"}
    symbol = "<se:PolygonSymbolizer><se:Fill/></se:PolygonSymbolizer>"
    rule = re.sub("<(/?)(?=[A-Z])", r"<\1ogc:", f"<Filter>{FUNCTION}</Filter>")
    drawn = ask(careless, {**drawing, "SLD_BODY": style(symbol)})
    assert drawn.headers["Content-Type"].startswith("application/dxf")
    filtered = {**drawing, "SLD_BODY": style(rule + symbol)}
    assert len(ask(careless, filtered).content) < len(drawn.content)
    assert is_refused(ask(server, filtered))


ELSEWHERE = "http://127.0.0.1:8080/elsewhere"
MESSAGES = {
    "a map": external(url=f"{ELSEWHERE}?", layers="a", format="image/png", crs="EPSG:4326", styles=""),
    "tiles": external(type="xyz", url=f"{ELSEWHERE}/{{z}}/{{x}}/{{y}}.png"),
    "a map in a print": {
        **PRINT,
        **{"x:url": f"{ELSEWHERE}?", "x:layers": "a", "x:format": "image/png", "x:crs": "EPSG:4326", "x:styles": ""},
        "map0:LAYERS": "EXTERNAL_WMS:x",
    },
    "a style": {**GET_MAP, "SLD": ELSEWHERE},
    "a style's picture": {**GET_MAP, "SLD_BODY": picture_style(f"{ELSEWHERE}.svg")},
}


@pytest.mark.attack(kind="address", on="map page")
@pytest.mark.parametrize("asked", MESSAGES.values(), ids=MESSAGES)
def test_no_other_server_is_asked(server: MapServer, careless: MapServer, asked: dict[str, str]) -> None:
    before = careless.log().count(" /elsewhere")
    ask(careless, asked)
    assert careless.log().count(" /elsewhere") > before
    assert is_refused(ask(server, asked))
    assert " /elsewhere" not in server.log()


# Other projects ------------------------------------------------------------------------------------------------------

CAPABILITIES = "SERVICE=WMS&REQUEST=GetCapabilities"


@pytest.mark.attack(kind="file or project", on="map page", spellings=True)
@pytest.mark.parametrize("name", ["MAP", "map", "M%41P", "%4Dap", "MAP=&MAP"])
def test_no_request_names_another_project(server: MapServer, careless: MapServer, name: str) -> None:
    asked = f"{PROJECT}?{CAPABILITIES}&{name}={quote(HIDDEN)}"
    assert "<Title>Treasure</Title>" in careless.get(asked).text
    assert is_refused(server.get(asked))


@pytest.mark.attack(kind="file or project", on="map page")
def test_no_form_names_another_project(server: MapServer, careless: MapServer) -> None:
    body, kind = f"{CAPABILITIES}&MAP={quote(HIDDEN)}", "application/x-www-form-urlencoded"
    assert "<Title>Treasure</Title>" in posted(careless, body, kind).text
    assert posted(server, body, kind).status_code == 403


@pytest.mark.attack(kind="file or project", on="map page", spellings=True)
@pytest.mark.parametrize("path", ["/ows/.hidden/treasure/", "/ows/%2Ehidden/treasure/", "/ows/x/../.hidden/treasure/"])
def test_no_path_leads_to_a_hidden_project(server: MapServer, careless: MapServer, path: str) -> None:
    assert "<Title>Treasure</Title>" in exactly(careless, f"{path}?{CAPABILITIES}").text
    assert exactly(server, f"{path}?{CAPABILITIES}").status_code == 404


def exactly(server: MapServer, path: str) -> requests.Response:
    """Ask for a path as it is written."""
    session = requests.Session()
    prepared = session.prepare_request(requests.Request("GET", server.url))
    prepared.url = server.url + path
    return session.send(prepared, timeout=REQUEST_SECONDS)
