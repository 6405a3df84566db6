"""What a visitor of the map page sends to harm the server, which the front refuses.

Each attack is also played where the one setting that stops it is taken back, and succeeds there.
"""

from __future__ import annotations

import io
import os
import re
import resource
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from PIL import Image

from tests.images import building, projects
from tests.images.map_server import ALL_ALLOWED, MapServer, map_server, volumes, wait_until
from tests.images.projects import POPPY

NGINX, QGIS_SERVER = (
    (building.ROOT / "images" / "lizmap" / "nginx" / name).read_text("utf-8")
    for name in ("nginx.conf", "qgis-server.conf")
)
NOT_ITSELF = '"QGIS|GDAL"'
PROJECT = "/ows/fields/meadow/"
FEATURES = f"{PROJECT}wfs3/collections/meadow/items"
SECRET = "/ows/secret/hidden/"
BOX = "CRS=CRS:84&BBOX=2,46,4,47&WIDTH=200&HEIGHT=100&FORMAT=image/png&STYLES="
GET_MAP = f"SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&{BOX}"
GET_FEATURE = "SERVICE=WFS&VERSION=1.1.0&REQUEST=GetFeature&TYPENAME=meadow&OUTPUTFORMAT=application/json"
NONE = "FILTER=" + quote('meadow: "hectares" > 20')
FALSE = "eval('1'||' = 2')"
"""No list of words finds a function in it."""
OGC_FILTER = (
    "<Filter><PropertyIsEqualTo><Function name='to_int'><Literal>1</Literal></Function><Literal>2</Literal>"
    "</PropertyIsEqualTo></Filter>"
)
PRINT = "SERVICE=WMS&VERSION=1.3.0&REQUEST=GetPrint&TEMPLATE=page&DPI=30&CRS=CRS:84&FORMAT=png"
INSIDE = quote("http://127.0.0.1:8081/?MAP=/srv/projects/secret/hidden.qgs", safe="")
EXTERNAL = f"x:url={INSIDE}&x:layers=meadow&x:format=image/png&x:crs=EPSG:4326&x:styles="


def publish(folder: Path) -> None:
    """Write a public project, and one in another folder."""
    for repository, name in (("fields", "meadow"), ("secret", "hidden")):
        place = folder / "projects" / repository
        place.mkdir(parents=True)
        layers = [projects.geojson(place)]
        (place / f"{name}.qgs").write_text(projects.qgs(layers, projects.layout("page")), "utf-8")


def running(image: str, folder: Path, configuration: dict[str, str], **environment: str) -> Iterator[MapServer]:
    """Run a map server of the two projects."""
    folder.chmod(0o755)
    publish(folder)
    with map_server(image, folder, configuration=configuration, environment=environment) as started:
        started.wait_until_healthy()
        yield started


@pytest.fixture(scope="module")
def server(lizmap_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MapServer]:
    """Return the map server as it is."""
    yield from running(lizmap_image, tmp_path_factory.mktemp("front"), {})


@pytest.fixture(scope="module")
def unguarded(lizmap_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MapServer]:
    """Return a map server whose front refuses no request, not QGIS Server's own, and gives its answers no headers."""
    without = QGIS_SERVER.replace("include /etc/poppyfield/front-headers.conf;", "")
    assert NOT_ITSELF in NGINX
    anybody = NGINX.replace(NOT_ITSELF, '"nobody"')
    configuration = {"map-page-requests.conf": ALL_ALLOWED, "qgis-server.conf": without, "nginx.conf": anybody}
    yield from running(lizmap_image, tmp_path_factory.mktemp("open"), configuration)


# Expressions, other servers, prints ----------------------------------------------------------------------------------

FILTERED = {
    "expression": f"EXP_FILTER={quote(FALSE)}",
    "in small letters": f"exp_filter={quote(FALSE)}",
    "with an encoded letter": f"%45XP_FILTER={quote(FALSE)}",
    "with a long s in SERVICE": f"%C5%BFERVICE=WFS&EXP_FILTER={quote(FALSE)}",
    "OGC filter with a function": f"FILTER={quote(OGC_FILTER)}",
}
"""Ways to have an expression evaluated by GetFeature: none of the features is left, since it is false."""


@pytest.mark.attack(kind="expression", on="map page", spellings=True)
@pytest.mark.parametrize("attack", FILTERED.values(), ids=FILTERED)
def test_no_expression_of_a_visitor_is_evaluated_for_features(
    server: MapServer, unguarded: MapServer, attack: str
) -> None:
    query = f"{PROJECT}?{GET_FEATURE}&{attack}"
    assert unguarded.get(query).json()["features"] == []
    refused(server, query)


def refused(server: MapServer, path: str) -> None:
    """The answer is the front's own refusal."""
    answer = server.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert answer.text.startswith("The map page refuses this")


@pytest.mark.attack(kind="expression", on="map page", spellings=True)
@pytest.mark.parametrize("word", ["service", "SERVICE", "%73ervice", "%C5%BFervice"])
def test_the_address_of_the_api_reaches_no_other_service(server: MapServer, unguarded: MapServer, word: str) -> None:
    query = f"{FEATURES}?{GET_FEATURE.replace('SERVICE', word)}&EXP_FILTER={quote(FALSE)}"
    assert unguarded.get(query).json()["features"] == []
    refused(server, query)


@pytest.mark.attack(kind="expression", on="map page")
def test_a_service_that_is_not_named_is_not_reached_by_the_address_of_the_api(
    server: MapServer, unguarded: MapServer
) -> None:
    query = f"{FEATURES}?{GET_MAP.replace('SERVICE=WMS&', '')}&LAYERS=meadow&{NONE}"
    assert unguarded.get(query).headers["Content-Type"].startswith("image/")
    refused(server, query)


STYLED = {
    "filter": NONE,
    "filter with a function": f"FILTER={quote(OGC_FILTER)}",
}


@pytest.mark.attack(kind="expression", on="map page")
@pytest.mark.parametrize("attack", STYLED.values(), ids=STYLED)
def test_no_expression_of_a_visitor_is_evaluated_for_maps(server: MapServer, unguarded: MapServer, attack: str) -> None:
    query = f"{PROJECT}?{GET_MAP}&LAYERS=meadow"
    assert drawn(server, query)
    assert not drawn(unguarded, f"{query}&{attack}")
    refused(server, f"{query}&{attack}")


def drawn(server: MapServer, path: str) -> bool:
    """Tell whether the meadow is in the picture."""
    picture = Image.open(io.BytesIO(server.get(path).content)).convert("RGB")
    return picture.getpixel((50, 50)) == POPPY


FETCHED = pytest.mark.attack(kind="file or project", on="map page", spellings=True)


@pytest.mark.parametrize(
    "layer",
    [
        pytest.param("EXTERNAL_WMS:x", marks=FETCHED),
        "external_wms:x",
        pytest.param("%45XTERNAL_WMS%3Ax", marks=FETCHED),
    ],
)
def test_the_server_fetches_no_map_from_elsewhere(server: MapServer, unguarded: MapServer, layer: str) -> None:
    query = f"{PROJECT}?{GET_MAP}&LAYERS={layer}&{EXTERNAL}"
    if layer.isupper() or "%" in layer:
        assert drawn(unguarded, query)
    refused(server, query)


@pytest.mark.attack(kind="file or project", on="map page")
def test_qgis_server_gives_no_map_to_itself(lizmap_image: str, unguarded: MapServer, tmp_path: Path) -> None:
    """Where the front refuses nothing."""
    query = f"{PROJECT}?{GET_MAP}&LAYERS=EXTERNAL_WMS:x&{EXTERNAL}"
    assert drawn(unguarded, query)
    for server in running(lizmap_image, tmp_path, {"map-page-requests.conf": ALL_ALLOWED}):
        assert drawn(server, f"{PROJECT}?{GET_MAP}&LAYERS=meadow")
        assert not drawn(server, query)


@pytest.mark.attack(kind="print", on="map page", spellings=True)
@pytest.mark.parametrize("word", ["GetPrint", "getprint", "GetPr%69nt", "GetMap&REQUEST=GetPrint"])
def test_nothing_is_printed(server: MapServer, unguarded: MapServer, word: str) -> None:
    query = f"{PROJECT}?{PRINT.replace('GetPrint', word)}"
    assert unguarded.get(query).headers["Content-Type"] == "image/png"
    refused(server, query)


@pytest.mark.attack(kind="load", on="map page", spellings=True)
@pytest.mark.parametrize("size", ["WIDTH=4097", "HEIGHT=5000", "WIDTH=%35000", "width=4999"])
def test_no_picture_takes_the_memory_of_a_small_machine(server: MapServer, unguarded: MapServer, size: str) -> None:
    query = f"{PROJECT}?{GET_MAP.replace('WIDTH=200&HEIGHT=100', 'WIDTH=9&HEIGHT=9')}&LAYERS=meadow"
    assert unguarded.get(f"{query}&{size}").headers["Content-Type"] == "image/png"
    refused(server, f"{query}&{size}")


@pytest.mark.parametrize(
    "query",
    [
        "limit=1&bbox=1,45,4,48&crs=http://www.opengis.net/def/crs/OGC/1.3/CRS84",
        "%C3%A9t%C3%A9=3",
        "name=tree%207&resultType=results&properties=name&sortby=name",
        "a+long%20name=1",
    ],
)
def test_the_api_is_asked_as_its_document_says(server: MapServer, query: str) -> None:
    assert server.get(f"{FEATURES}?{query}").headers["Content-Type"] == "application/geo+json"


@pytest.mark.parametrize("query", ["%20map=x", "map=x", "sortby=a()", "filter=a()", "filter-lang=cql2-text", "a%28=1"])
def test_the_api_is_asked_nothing_else(server: MapServer, query: str) -> None:
    refused(server, f"{FEATURES}?{query}")


# Load ----------------------------------------------------------------------------------------------------------------

HALF_OPEN = 1100


def connect(server: MapServer) -> socket.socket:
    """Connect as a browser does."""
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=40)


def status(server: MapServer, head: str) -> str:
    """Send the head of a request, and give the status of the answer; empty when none comes."""
    with connect(server) as connection:
        try:
            connection.sendall(head.replace("\n", "\r\n").encode())
            return connection.recv(4096).decode().partition("\r")[0][9:12]
        except OSError:
            return ""


def is_full(server: MapServer) -> bool:
    """Tell whether nginx said that it had no connection left."""
    return "worker_connections are not enough" in server.log()


HALF_OPENED = pytest.mark.attack(
    kind="load", on="map page", proof="test_half_open_connections_do_not_take_the_map_away"
)


@pytest.mark.parametrize(
    ("changes", "enough"),
    [
        pytest.param((), True, marks=HALF_OPENED),
        (("worker_connections 4096", "worker_connections 512"), False),
    ],
)
def test_half_open_connections_do_not_take_the_map_away(
    lizmap_image: str, tmp_path: Path, changes: tuple[str, str] | tuple[()], enough: bool
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4 * HALF_OPEN)), hard))
    text = NGINX.replace(*changes) if changes else NGINX
    for server in running(lizmap_image, tmp_path, {"nginx.conf": text}):
        with ExitStack() as opened:
            for _ in range(HALF_OPEN):
                opened.enter_context(connect(server)).sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            if enough:
                assert status(server, "GET /healthz HTTP/1.0\n\n") == "200"
                assert not is_full(server)
            else:
                wait_until(partial(is_full, server), "nginx has no connection left")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_who_sends_half_a_request_is_not_waited_for(server: MapServer) -> None:
    """Nginx's own minute would be longer than this test listens."""
    with connect(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        assert connection.recv(100) == b""


def test_a_large_body_is_refused_before_it_comes(server: MapServer) -> None:
    assert status(server, "POST / HTTP/1.1\nHost: localhost\nContent-Length: 2000000\n\n") == "413"


@pytest.mark.parametrize("path", ["/", "/index.json", f"{PROJECT}?{GET_MAP}&LAYERS=meadow", FEATURES, f"{PROJECT}?x=1"])
def test_every_answer_tells_browsers_what_they_may_not(server: MapServer, path: str) -> None:
    headers = server.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.attack(kind="headers", on="map page")
def test_services_have_the_headers_that_pages_have(server: MapServer, unguarded: MapServer) -> None:
    path = f"{PROJECT}?{GET_MAP}&LAYERS=meadow"
    assert "X-Content-Type-Options" in unguarded.get("/").headers
    assert "X-Content-Type-Options" not in unguarded.get(path).headers
    assert server.get(path).headers["X-Content-Type-Options"] == "nosniff"


# Names ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def named(lizmap_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MapServer]:
    """Return a map server that has names."""
    yield from running(lizmap_image, tmp_path_factory.mktemp("named"), {}, SERVER_NAMES="Pi pi.local default pi")


@pytest.mark.attack(kind="name", on="map page", spellings=True)
@pytest.mark.parametrize("path", ["/", "/healthz", f"{PROJECT}?SERVICE=WMS&REQUEST=GetCapabilities"])
@pytest.mark.parametrize("host", ["evil.example", "pi.evil.example", "evil.example:8080", "127.0.0.1.evil.example"])
def test_no_other_name_is_answered(server: MapServer, named: MapServer, path: str, host: str) -> None:
    assert server.get(path, headers={"Host": host}).ok
    assert named.get(path, headers={"Host": host}).status_code == 421


def test_a_name_that_is_answered_stands_in_the_capabilities(server: MapServer) -> None:
    """Where any name is answered, that of an attacker would."""
    answer = server.get(f"{PROJECT}?SERVICE=WMS&REQUEST=GetCapabilities", headers={"Host": "evil.example"})
    assert "http://evil.example/ows/" in answer.text


@pytest.mark.parametrize(("line", "host"), [("http://evil.example", "pi"), ("http://pi", "evil.example")])
def test_the_line_of_a_request_and_its_header_name_the_same(named: MapServer, line: str, host: str) -> None:
    assert status(named, f"GET {line}/ HTTP/1.1\nHost: {host}\nConnection: close\n\n") == "421"


@pytest.mark.parametrize(
    "host",
    ["pi", "PI", "pi.local", "Pi.Local:8080", "pi.", "default", "localhost", "127.0.0.1:80", "10.1.2.3", "[::1]:8080"],
)
def test_the_names_and_addresses_of_the_server_are_answered(named: MapServer, host: str) -> None:
    assert named.get("/", headers={"Host": host}).ok


# Certificates --------------------------------------------------------------------------------------------------------


def pair(folder: Path) -> tuple[str, str]:
    """Make a key and its certificate."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2 -subj /CN=pi"
    subprocess.run([*command.split(), "-keyout", folder / "k", "-out", folder / "c"], check=True, capture_output=True)
    return (folder / "k").read_text(), (folder / "c").read_text()


def secured(folder: Path, certificate: str, key: str) -> dict[str, Any]:
    """Give what a map server by HTTPS is started with."""
    mounts = []
    for name, text in (("tls_certificate", certificate), ("tls_key", key)):
        path = folder / name
        path.write_text(text)
        path.chmod(0o400)
        os.chown(path, 33, 33)
        mounts.append(f"{path}:/run/secrets/{name}:ro")
    return {
        "environment": {"HTTPS_PORT": "443"},
        "volumes": [*volumes(folder), *mounts],
        "ports": {"8080/tcp": ("127.0.0.1", None), "8443/tcp": ("127.0.0.1", None)},
    }


CUT = pytest.mark.attack(
    kind="certificate", on="map page", proof="test_a_cut_while_the_certificate_is_replaced_does_not_stop_the_server"
)


@pytest.mark.parametrize("together", [pytest.param(True, marks=CUT), False])
def test_a_cut_while_the_certificate_is_replaced_does_not_stop_the_server(
    lizmap_image: str, tmp_path: Path, together: bool
) -> None:
    tmp_path.chmod(0o755)
    (_, old), (key, new) = pair(tmp_path), pair(tmp_path)
    options = secured(tmp_path, old, key + new if together else key)
    with map_server(lizmap_image, tmp_path, **options) as server:
        if not together:
            wait_until(lambda: "key values mismatch" in server.log(), "nginx refuses the pair", server.log)
            return
        server.wait_until_healthy()
        assert ssl.get_server_certificate(https(server)) == new


def https(server: MapServer) -> tuple[str, int]:
    """Give where HTTPS is."""
    server.container.reload()
    (published,) = server.container.ports["8443/tcp"]
    return "127.0.0.1", int(published["HostPort"])


FRONT = (building.ROOT / "images" / "lizmap" / "front").read_text("utf-8")
OLD = pytest.mark.attack(kind="TLS", on="map page", proof="test_only_ciphers_of_today_are_offered", spellings=True)


@pytest.mark.parametrize(
    ("ciphers", "listed", "offered"),
    [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", True, True),
        pytest.param("ECDHE-ECDSA-AES128-SHA", True, False, marks=OLD),
        pytest.param("ECDHE-ECDSA-AES128-SHA256", True, False, marks=OLD),
        ("ECDHE-ECDSA-AES128-SHA", False, True),
    ],
)
def test_only_ciphers_of_today_are_offered(
    lizmap_image: str, tmp_path: Path, ciphers: str, listed: bool, offered: bool
) -> None:
    tmp_path.chmod(0o755)
    key, certificate = pair(tmp_path)
    options = secured(tmp_path, certificate, key)
    if not listed:
        front = tmp_path / "front"
        front.write_text(re.sub("^ssl_ciphers .*$", "", FRONT, flags=re.MULTILINE), "utf-8")
        front.chmod(0o755)
        options["volumes"].append(f"{front}:/usr/local/lib/poppyfield/front:ro")
    with map_server(lizmap_image, tmp_path, **options) as server:
        server.wait_until_healthy()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
        with socket.create_connection(https(server), timeout=40) as connection:
            try:
                context.wrap_socket(connection).close()
            except ssl.SSLError:
                assert not offered
            else:
                assert offered
        redirected = requests.get(f"{server.url}/x", allow_redirects=False, timeout=60)
        assert (redirected.status_code, "Strict-Transport-Security" in redirected.headers) == (308, False)
