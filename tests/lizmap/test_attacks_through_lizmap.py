"""What a visitor without an account sends to Lizmap, which hands it on to QGIS Server.

Each attack is also played on the same image without the plugin poppyfield_guard, and succeeds there; one that writes,
where QGIS Server also runs as the user that Lizmap is.
"""

from __future__ import annotations

import io
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from PIL import Image

from tests.images import building, projects
from tests.images.map_server import REQUEST_SECONDS, trusting, wait_until
from tests.images.projects import POPPY
from tests.images.questions import questions
from tests.lizmap.conftest import Query
from tests.lizmap.guard.asking import UNGUARDED
from tests.lizmap.guard.attacks import FORM, style
from tests.lizmap.lizmap import STATE, Lizmap, configuration, lizmap, write_projects
from tests.lizmap.releases.pi import trees, write_project

MB = 1024 * 1024
LARGE = 60 * MB
GOLD = 250, 200, 0
PHOTO = "/srv/projects/private/media/photo.png"
WFS = {"SERVICE": "WFS", "VERSION": "1.0.0", "REQUEST": "GetFeature", "TYPENAME": "meadow", "OUTPUTFORMAT": "GeoJSON"}
GET_MAP = {
    **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "CRS": "CRS:84", "BBOX": "2,46,4,47"},
    **{"WIDTH": "200", "HEIGHT": "100", "FORMAT": "image/png", "LAYERS": "meadow", "STYLES": ""},
}
GET_INFO = {
    **GET_MAP,
    **{"REQUEST": "GetFeatureInfo", "QUERY_LAYERS": "meadow", "INFO_FORMAT": "text/plain", "I": "50", "J": "50"},
}
PRINT = {
    **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetPrint", "TEMPLATE": "page", "FORMAT": "png", "DPI": "30"},
    **{"CRS": "CRS:84", "map0:EXTENT": "2,46,4,47", "map0:LAYERS": "meadow"},
}
DXF = {**GET_MAP, "FORMAT": "application/dxf", "FORMAT_OPTIONS": "MODE:FEATURESYMBOLOGY;SCALE:500"}
FUNCTION = (
    '<Filter><PropertyIsEqualTo><Function name="eval"><Literal>1</Literal></Function><Literal>2</Literal>'
    "</PropertyIsEqualTo></Filter>"
)
"""A filter with a function, which lets nothing pass."""


def changed(name: str, settings: dict[str, str]) -> str:
    """Give one of nginx's files with other settings."""
    text = (building.ROOT / "images" / "lizmap" / "nginx" / name).read_text("utf-8")
    for setting, instead in settings.items():
        assert setting in text
        text = text.replace(setting, instead)
    return text


CARELESS = {
    "front-headers.conf": "",
    "nginx.conf": changed(
        "nginx.conf", {"client_max_body_size 1m;": "client_max_body_size 64m;", "QGIS|GDAL": "nobody"}
    ),
}
UNWATCHED = {"test": ["NONE"]}
"""Without the health check, which would end QGIS Server without the guard."""


def publish(folder: Path) -> None:
    """Write the projects, of which the public one can be printed, and a private photo."""
    folder.chmod(0o755)
    place = folder / "projects"
    write_projects(place)
    layers = [projects.geojson(place / "fields")]
    layouts = projects.layout("page") + projects.layout("atlas", layers[0])
    (place / "fields" / "meadow.qgs").write_text(projects.qgs(layers, layouts), "utf-8")
    (place / "fields" / "meadow.qgs.cfg").write_text(configuration(layers), "utf-8")
    media = place / "private" / "media"
    media.mkdir()
    Image.new("RGB", (256, 256), GOLD).save(media / "photo.png")


def running(image: str, network: str, folder: Path, names: str = "", **options: Any) -> Iterator[Lizmap]:
    """Run Lizmap with a repository for all, and one for administrators."""
    publish(folder)
    # One to draw, and one for what it asks of the other.
    environment = {"QGIS_SERVER_WORKERS": "2", "SERVER_NAMES": names}
    with lizmap(image, folder, network, environment=environment, **options) as server:
        installed = ("bash", "-c", "exec 3<> /dev/tcp/127.0.0.1/8081 && [[ -S /run/qgis-server.sock ]]")
        wait_until(lambda: server.run(*installed)[0] == 0, "Lizmap is there", server.log)
        server.publish("fields", "__anonymous")
        server.publish("private", "admins")
        wait_until(lambda: has(POPPY, server.map()), "the public map draws", server.log)
        assert not has(POPPY, server.map("private/meadow"))
        yield server


@pytest.fixture(scope="module")
def server(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lizmap]:
    """Return Lizmap as it is."""
    yield from running(lizmap_image, network, tmp_path_factory.mktemp("lizmap"), names="pi")


@pytest.fixture(scope="module")
def unguarded(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lizmap]:
    """Return Lizmap without the guard, and with a front that has no headers of its own and takes large bodies."""
    folder = tmp_path_factory.mktemp("unguarded")
    options: dict[str, Any] = {"mounts": UNGUARDED, "healthcheck": UNWATCHED, "configuration": CARELESS}
    yield from running(lizmap_image, network, folder, **options)


def has(color: tuple[int, int, int], answer: requests.Response) -> bool:
    """Tell whether a colour is in a picture."""
    if not answer.headers["Content-Type"].startswith("image/"):
        return False
    picture = Image.open(io.BytesIO(answer.content)).convert("RGB")
    return any(found == color for _, found in picture.getcolors(picture.width * picture.height) or ())


def ask(server: Lizmap, asked: dict[str, str], project: str = "meadow") -> requests.Response:
    """Ask for something of a public map, after its page was opened."""
    with requests.Session() as visitor:
        chosen = {"repository": "fields", "project": project}
        visitor.get(f"{server.url}/index.php/view/map", params=chosen, timeout=REQUEST_SECONDS)
        service = f"{server.url}/index.php/lizmap/service"
        return visitor.get(service, params={**chosen, **asked}, timeout=REQUEST_SECONDS)


def other(asked: dict[str, str], **source: str) -> dict[str, str]:
    """Give a request in which a map of another server takes the layer's place."""
    told = {f"x:{name}": value for name, value in source.items()}
    layers = {"map0:LAYERS" if asked is PRINT else "LAYERS": "EXTERNAL_WMS:x"}
    return {**asked, **layers, **told}


INSIDE = "http://127.0.0.1:8081/?MAP=/srv/projects/private/meadow.qgs"
OF_WMS = {"layers": "meadow", "format": "image/png", "crs": "EPSG:4326", "styles": ""}
TILES = {"type": "xyz", "url": f"file://{PHOTO}", "zmin": "0", "zmax": "1"}
PRIVATE = {
    "the private map": (other(GET_MAP, url=INSIDE, **OF_WMS), POPPY),
    "the private photo": (other(GET_MAP, **TILES), GOLD),
    "the private photo in a print": (other(PRINT, **TILES), GOLD),
}


@pytest.mark.attack(kind="file or project", on="Lizmap")
@pytest.mark.parametrize(("asked", "color"), PRIVATE.values(), ids=PRIVATE)
def test_nothing_private_is_drawn(
    server: Lizmap, unguarded: Lizmap, asked: dict[str, str], color: tuple[int, int, int]
) -> None:
    assert has(color, ask(unguarded, asked))
    assert not has(color, ask(server, asked))


ELSEWHERE = "http://127.0.0.1:8080/elsewhere"
MESSAGES = {
    "a map": other(GET_MAP, url=f"{ELSEWHERE}?", **OF_WMS),
    "a map in a print": other(PRINT, url=f"{ELSEWHERE}?", **OF_WMS),
    "tiles": other(GET_MAP, type="xyz", url=f"{ELSEWHERE}/{{z}}/{{x}}/{{y}}.png"),
}


@pytest.mark.attack(kind="address", on="Lizmap")
@pytest.mark.parametrize("asked", MESSAGES.values(), ids=MESSAGES)
def test_no_other_server_is_asked(server: Lizmap, unguarded: Lizmap, asked: dict[str, str]) -> None:
    before = unguarded.log().count(" /elsewhere")
    ask(unguarded, asked)
    assert unguarded.log().count(" /elsewhere") > before
    ask(server, asked)
    assert " /elsewhere" not in server.log()


QUESTIONS = questions(PHOTO)
"""What a visitor learns by whether the meadow comes."""


@pytest.mark.attack(kind="expression that tells", on="Lizmap")
@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_no_expression_tells_a_visitor_what_the_map_does_not(server: Lizmap, unguarded: Lizmap, question: str) -> None:
    assert len(ask(unguarded, {**WFS, "EXP_FILTER": question}).json()["features"]) == 1
    assert ask(unguarded, {**WFS, "EXP_FILTER": f"NOT ({question})"}).json()["features"] == []
    assert len(ask(server, {**WFS, "EXP_FILTER": '"hectares" > 3'}).json()["features"]) == 1
    for asked in (question, f"NOT ({question})"):
        assert projects.NAME not in ask(server, {**WFS, "EXP_FILTER": asked}).text


@pytest.mark.attack(kind="OGC filter", on="Lizmap")
def test_no_function_is_called_for_features(server: Lizmap, unguarded: Lizmap) -> None:
    assert ask(unguarded, {**WFS, "FILTER": FUNCTION}).json()["features"] == []
    assert b"poppyfield_guard" in ask(server, {**WFS, "FILTER": FUNCTION}).content


def posted(server: Lizmap, body: str, kind: str) -> requests.Response:
    """Post something to a public map."""
    service = f"{server.url}/index.php/lizmap/service"
    chosen = {"repository": "fields", "project": "meadow"}
    return requests.post(service, body, params=chosen, headers={"Content-Type": kind}, timeout=REQUEST_SECONDS)


DOCUMENT = (
    '<GetFeature xmlns="http://www.opengis.net/wfs" service="WFS" version="1.0.0" outputFormat="GML2">'
    '<Query typeName="meadow">{}</Query></GetFeature>'
)
BODIES = {
    "form": (urlencode({**WFS, "OUTPUTFORMAT": "GML2", "EXP_FILTER": "eval('1 = 2')"}), FORM),
    "document": (DOCUMENT.format(FUNCTION), "text/xml"),
}


@pytest.mark.attack(kind="expression", on="Lizmap")
@pytest.mark.parametrize(("body", "kind"), BODIES.values(), ids=BODIES)
def test_nothing_that_is_posted_is_evaluated(server: Lizmap, unguarded: Lizmap, body: str, kind: str) -> None:
    assert projects.NAME in posted(server, DOCUMENT.format(""), "text/xml").text
    answer = posted(unguarded, body, kind)
    assert "FeatureCollection" in answer.text and projects.NAME not in answer.text
    assert "poppyfield_guard" in posted(server, body, kind).text


@pytest.mark.attack(kind="OGC filter", on="Lizmap")
def test_no_function_is_called_for_a_map(server: Lizmap, unguarded: Lizmap) -> None:
    drawn = ask(unguarded, {**GET_MAP, "FILTER": FUNCTION})
    assert (drawn.headers["Content-Type"], has(POPPY, drawn)) == ("image/png", False)
    assert ask(server, {**GET_MAP, "FILTER": FUNCTION}).headers["Content-Type"] != "image/png"


@pytest.mark.attack(kind="OGC filter", on="Lizmap")
def test_no_function_is_called_for_what_is_under_the_cursor(server: Lizmap, unguarded: Lizmap) -> None:
    assert projects.NAME in ask(unguarded, GET_INFO).text
    told = ask(unguarded, {**GET_INFO, "FILTER": FUNCTION})
    assert (told.status_code, projects.NAME in told.text) == (200, False)
    assert ask(server, {**GET_INFO, "FILTER": FUNCTION}).status_code != 200


@pytest.mark.attack(kind="print", on="Lizmap")
@pytest.mark.parametrize("text", ["[% 'Les ' || 'prés' %]", "Les [% eval('''p''') %]rés"])
def test_no_text_of_a_print_is_evaluated(server: Lizmap, unguarded: Lizmap, text: str) -> None:
    plain = ask(unguarded, {**PRINT, "words": "Les prés"}).content
    assert ask(unguarded, {**PRINT, "words": text}).content == plain
    assert ask(server, {**PRINT, "words": "Les prés"}).content == plain
    assert ask(server, {**PRINT, "words": text}).headers["Content-Type"] != "image/png"


ATLAS = {**PRINT, "TEMPLATE": "atlas"}
"""A page for each feature."""


@pytest.mark.attack(kind="number", on="Lizmap")
def test_no_number_of_a_printed_feature_is_evaluated(server: Lizmap, unguarded: Lizmap) -> None:
    plain = ask(unguarded, {**ATLAS, "ATLAS_PK": "0"}).content
    assert ask(unguarded, {**ATLAS, "ATLAS_PK": "-1"}).content != plain
    assert ask(unguarded, {**ATLAS, "ATLAS_PK": "-1 OR eval('1 = 1')"}).content == plain
    assert ask(server, {**ATLAS, "ATLAS_PK": "0"}).content == plain
    assert ask(server, {**ATLAS, "ATLAS_PK": "-1 OR eval('1 = 1')"}).headers["Content-Type"] != "image/png"


@pytest.mark.attack(kind="style", on="Lizmap")
def test_no_expression_of_a_style_is_evaluated_for_a_drawing(server: Lizmap, unguarded: Lizmap) -> None:
    everything = ask(unguarded, {**DXF, "SLD_BODY": style("")})
    assert everything.headers["Content-Type"].startswith("application/dxf")
    filtered = {**DXF, "SLD_BODY": style(re.sub("<(/?)(?=[A-Z])", r"<\1ogc:", FUNCTION))}
    assert len(ask(unguarded, filtered).content) < len(everything.content)
    assert ask(server, DXF).headers["Content-Type"].startswith("application/dxf")
    assert b"poppyfield_guard" in ask(server, filtered).content


# The front -----------------------------------------------------------------------------------------------------------


@pytest.mark.attack(kind="name", on="Lizmap")
def test_no_other_name_is_answered(server: Lizmap, unguarded: Lizmap) -> None:
    evil = {"Host": "evil.example"}
    assert "http://evil.example" in unguarded.page(headers=evil).text
    assert server.page(headers=evil).status_code == 421


@pytest.mark.attack(kind="headers", on="Lizmap")
def test_services_have_the_headers_that_pages_have(server: Lizmap, unguarded: Lizmap) -> None:
    assert "X-Content-Type-Options" not in ask(unguarded, GET_MAP).headers
    for answer in (ask(server, GET_MAP), server.page()):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.attack(kind="load", on="Lizmap")
def test_no_large_body_lies_in_memory(server: Lizmap, unguarded: Lizmap) -> None:
    lines = ("POST /index.php/view/ HTTP/1.1", "Host: localhost", f"Content-Type: {FORM}", f"Content-Length: {LARGE}")
    head = "".join(f"{line}\r\n" for line in (*lines, "")).encode()
    with connected(unguarded) as connection:
        connection.sendall(head + bytes(LARGE - 1))
        wait_until(lambda: held(unguarded) > LARGE // 2, "nginx holds the body", unguarded.log)
    with connected(server) as connection:
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
    assert held(server) < LARGE // 2


def connected(server: Lizmap) -> socket.socket:
    """Connect as a browser does."""
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=REQUEST_SECONDS)


def held(server: Lizmap) -> int:
    """Give how many bytes lie in /tmp/uploads, where nginx holds bodies in files without a name."""
    _, told = server.run("df", "--block-size=1", "--output=used", "/tmp/uploads")
    return int(told.split()[-1])


# Accounts ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return where the two below keep what they have."""
    return tmp_path_factory.mktemp("watched"), tmp_path_factory.mktemp("trusting")


@pytest.fixture(scope="module")
def watched(lizmap_image: str, network: str, folders: tuple[Path, Path]) -> Iterator[Lizmap]:
    """Return Lizmap as it is, whose accounts are looked at."""
    yield from running(lizmap_image, network, folders[0])


@pytest.fixture(scope="module")
def careless(lizmap_image: str, network: str, folders: tuple[Path, Path]) -> Iterator[Lizmap]:
    """Return Lizmap without the guard, and with a QGIS Server that may write what Lizmap may."""
    mounts = {**UNGUARDED, **trusting(folders[1])}
    yield from running(lizmap_image, network, folders[1], mounts=mounts, healthcheck=UNWATCHED)


def accounts(folder: Path) -> Path:
    """Give the file of the accounts."""
    (found,) = (folder / "state").glob("*/lizmap/var/db/jauth.db")
    return found


def logins(folder: Path) -> set[str]:
    """Give who has an account."""
    with closing(sqlite3.connect(accounts(folder))) as database:
        return {login for (login,) in database.execute("SELECT usr_login FROM jlx_user")}


MAKE = (
    "sqlite_fetch_and_increment('{place}', 'jlx_user', 'status', 'usr_login', '{user}', "
    "map('usr_login', '''{user}''', 'usr_email', '''e''', 'usr_password', '''x'''))"
)
HIDDEN = "eval('sqlite_fetch' || '_and_increment(" + MAKE.partition("(")[2].replace("'", "''") + "')"
WAYS = {
    "GML": ("meadow", {**WFS, "OUTPUTFORMAT": "GML2", "EXP_FILTER": f"{MAKE} >= 0"}),
    "GeoJSON": ("meadow", {**WFS, "EXP_FILTER": f"{MAKE} >= 0"}),
    "version 1.1": ("meadow", {**WFS, "VERSION": "1.1.0", "EXP_FILTER": f"{MAKE} >= 0"}),
    "PostgreSQL as GML": ("postgis", {**WFS, "OUTPUTFORMAT": "GML2", "EXP_FILTER": f"{MAKE} >= 0"}),
    "PostgreSQL by QGIS": ("postgis", {**WFS, "FORCE_QGIS": "1", "EXP_FILTER": f"{MAKE} >= 0"}),
    "eval": ("meadow", {**WFS, "EXP_FILTER": f"{HIDDEN} >= 0"}),
    "a print": ("meadow", {**PRINT, "words": f"[% {MAKE} %]"}),
}
"""Each with the project of which it is asked."""


@pytest.mark.attack(kind="writing", on="Lizmap")
@pytest.mark.parametrize("way", WAYS)
def test_no_visitor_makes_an_account(watched: Lizmap, careless: Lizmap, folders: tuple[Path, Path], way: str) -> None:
    project, asked = WAYS[way]
    user = f"eve{list(WAYS).index(way)}"
    for server, folder in zip((watched, careless), folders, strict=True):
        place = f"{STATE}/{accounts(folder).relative_to(folder / 'state')}"
        named = {name: value.replace("{place}", place).replace("{user}", user) for name, value in asked.items()}
        ask(server, named, project)
    assert user in logins(folders[1])
    assert logins(folders[0]) == {"admin"}


# A large table -------------------------------------------------------------------------------------------------------

PHP_RUN = building.ROOT / "images" / "lizmap" / "services" / "php-fpm" / "run"
HUGE = (
    "CREATE OR REPLACE VIEW huge AS SELECT n AS id, repeat('x', 10000) AS name, ST_SetSRID(ST_MakePoint(3, 46), 4326)"
    " AS geom FROM generate_series(1, 45000) AS n"
)
"""450 MB, of which the database holds none."""
PHP_MOST = 400 * MB


@pytest.mark.attack(kind="load", on="Lizmap")
def test_all_features_of_a_large_table_do_not_take_the_memory(
    lizmap_image: str, network: str, query: Query, tmp_path: Path
) -> None:
    query(f"SET ROLE gis; {HUGE}", "gis")
    unbounded = tmp_path / "run"
    unbounded.write_text(re.sub("^ulimit .*$", "", PHP_RUN.read_text("utf-8"), flags=re.MULTILINE), "utf-8")
    unbounded.chmod(0o755)
    mounts = {str(unbounded): "/usr/local/lib/poppyfield/services/php-fpm/run"}
    held, status = held_for_a_table(lizmap_image, network, tmp_path / "bounded", {})
    # Nobody could hold all of the answer until it is read.
    assert (held < PHP_MOST, status) == (True, 502)
    held, _ = held_for_a_table(lizmap_image, network, tmp_path / "unbounded", mounts)
    assert held > PHP_MOST


def held_for_a_table(image: str, network: str, folder: Path, mounts: dict[str, str]) -> tuple[int, int]:
    """Ask for all of a large table; give how much memory a process of PHP held at most, and the status."""
    folder.mkdir()
    write_projects(folder / "projects")
    layer = replace(trees("huge"), name="huge")
    write_project(folder / "projects" / "fields", "huge", [layer])
    folder.chmod(0o755)
    with lizmap(image, folder, network, mounts=mounts) as server:
        server.wait_until_healthy()
        server.publish("fields", "__anonymous")
        chosen = {**WFS, "repository": "fields", "project": "huge", "TYPENAME": "huge"}
        service = f"{server.url}/index.php/lizmap/service"
        plain = {"Accept-Encoding": "identity"}
        answer = requests.get(service, params=chosen, headers=plain, timeout=5 * REQUEST_SECONDS)
        return max(peaks(server)), answer.status_code


def peaks(server: Lizmap) -> list[int]:
    """Give how many bytes each process of PHP has held at most."""
    look = "grep --no-filename VmHWM $(grep --files-with-matches --no-messages '^Name:.php-fpm' /proc/[0-9]*/status)"
    code, told = server.run("sh", "-c", look)
    assert code == 0, told
    return [1024 * int(line.split()[1]) for line in told.splitlines()]
