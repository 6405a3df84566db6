"""One visitor is one visitor: who asks for much, slowly or without end takes the map from nobody else.

Each attack is also played where the settings that stop it are taken back, and succeeds there. All of it goes to the
container's own address, because Docker's proxy would read for those who do not.
"""

from __future__ import annotations

import http.client
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from tests.images import building, projects
from tests.images.map_server import ALL_ALLOWED, RUN, MapServer, map_server, volumes, wait_until

IMAGE = building.ROOT / "images" / "lizmap"
LARGE_FILE = "/usr/share/poppyfield/map-page/large.bin"
LARGE = 64 * 1024 * 1024
"""More than the kernel holds of an answer that nobody reads."""
PROJECT = "/ows/fields/meadow/"
BOX = "SERVICE=WMS&VERSION=1.3.0&CRS=CRS:84&BBOX=2,46,4,47&STYLES=&LAYERS={}"
SIZE = "WIDTH=200&HEIGHT=100&FORMAT=image/png"
MEADOW = f"{PROJECT}?REQUEST=GetMap&{SIZE}&{BOX.format('meadow')}"
SLOW = f"/ows/fields/slow/?REQUEST=GetMap&{SIZE}&{BOX.format('slow')}"
FLOODING = 8
TABLETS, CONNECTIONS = 30, 6
"""Browsers have so many connections to one server."""
PATIENCE = 30
"""Seconds: more than the limited server waits for anybody, and less than nginx does by itself."""
PROXY = {"TRUSTED_PROXIES": "172.16.0.0/12 10.0.0.0/8 192.168.0.0/16"}
"""The tests, who come from a network of Docker, may say who asks."""
FLOOD, OTHER = "203.0.113.7", "203.0.113.8"


def taken_back(path: str, *lines: str, by: str = "") -> str:
    """Give a file of the image without these settings, or with others in their place."""
    text = (IMAGE / path).read_text("utf-8")
    for line in lines:
        assert line in text, line
        text = text.replace(line, by)
    return text


TIMES = ("client_header_timeout 15s;", "send_timeout 30s;")
LIMITED = {"nginx.conf": taken_back("nginx/nginx.conf", "15s;", "30s;", by="8s;")}
"""The map server as it is, but for how long it waits."""
UNLIMITED = {
    "nginx.conf": taken_back("nginx/nginx.conf", *TIMES),
    "front-visitors.conf": taken_back(
        "nginx/front-visitors.conf", "limit_conn visitors 200;", "limit_req zone=drawing burst=400 delay=200;"
    ),
    "qgis-server.conf": taken_back("nginx/qgis-server.conf", "queue/qgis-$qgis_lane.sock", by="qgis-server.sock"),
    "map-page-requests.conf": ALL_ALLOWED,
}


class Visited(MapServer):
    """A map server that is asked at its own address."""

    @property
    def host(self) -> str:
        """Its address on Docker's bridge."""
        (network,) = self.container.attrs["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])

    def connect(self, said: str) -> socket.socket:
        """Connect as somebody who takes little at a time, and say something."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(PATIENCE)
        connection.connect((self.host, 8080))
        connection.sendall(said.replace("\n", "\r\n").encode())
        return connection

    def ask(self, path: str, visitor: str = "") -> tuple[int, str]:
        """Ask as a visitor; give the status and the beginning of the answer."""
        connection = http.client.HTTPConnection(self.host, 8080, timeout=300)
        try:
            connection.request("GET", path, headers={"X-Forwarded-For": visitor} if visitor else {})
            answer = connection.getresponse()
            return answer.status, answer.read()[:1000].decode("utf-8", "replace")
        finally:
            connection.close()

    def status(self, path: str, visitor: str = "") -> int:
        """Ask as a visitor; give the status."""
        return self.ask(path, visitor)[0]


@contextmanager
def visited(image: str, folder: Path, configuration: dict[str, str], **options: Any) -> Iterator[Visited]:
    """Run a map server with one worker, some projects of a layer each, and a large file."""
    folder.chmod(0o755)
    repository = folder / "projects" / "fields"
    repository.mkdir(parents=True)
    for layer in (projects.geojson(repository), *options.pop("layers", [slow_layer()])):
        (repository / f"{layer.name}.qgs").write_text(projects.qgs([layer]), "utf-8")
    large = folder / "large.bin"
    with large.open("wb") as file:
        file.truncate(LARGE)
    given = {
        "volumes": [*volumes(folder), f"{large}:{LARGE_FILE}:ro", *options.pop("mounts", [])],
        "environment": {"QGIS_SERVER_WORKERS": "1", **PROXY},
        **options,
    }
    with map_server(image, folder, configuration=configuration, **given) as server:
        server.wait_until_healthy()
        yield Visited(server.container)


def slow_layer() -> projects.Layer:
    """Give a layer of one point, which takes a while to count."""
    query = (
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 500000) "
        "SELECT count(*) AS name, makepoint(3, 46.5, 4326) AS geometry FROM c"
    )
    return replace(projects.virtual_layer(query, "Point"), name="slow")


@pytest.fixture(scope="module")
def server(lizmap_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    """Return the map server as it is, but for how long it waits."""
    with visited(lizmap_image, tmp_path_factory.mktemp("abuse"), LIMITED) as running:
        yield running


@pytest.fixture(scope="module")
def unlimited(lizmap_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    """Return one whose nginx limits, ends and refuses nobody, and has all wait in one line."""
    with visited(lizmap_image, tmp_path_factory.mktemp("unlimited"), UNLIMITED) as running:
        yield running


# Who asks for much ----------------------------------------------------------------------------------------------------


@pytest.mark.attack(kind="load", on="map page")
@pytest.mark.long
def test_who_floods_the_server_has_one_turn_like_others(server: Visited, unlimited: Visited) -> None:
    assert 3 <= drawn_for_the_flood(server) <= 5
    assert drawn_for_the_flood(unlimited) >= FLOODING - 1


def drawn_for_the_flood(server: Visited) -> int:
    """Flood the server from one address; give how many of these were drawn when another has three maps."""
    with ThreadPoolExecutor(FLOODING + 3) as pool:
        flood = [pool.submit(server.status, SLOW, FLOOD) for _ in range(FLOODING)]
        wait_until(lambda: any(one.done() for one in flood), "the first of many is drawn", server.log)
        assert {*pool.map(server.status, [MEADOW] * 3, repeat(OTHER))} == {200}
        drawn = sum(one.done() for one in flood)
        assert {one.result() for one in flood} == {200}
    return drawn


@pytest.mark.attack(kind="load", on="map page")
def test_one_address_has_only_so_many_connections(server: Visited, unlimited: Visited) -> None:
    request = "GET /large.bin HTTP/1.1\nHost: localhost\n\n"
    for asked, status in ((server, 429), (unlimited, 200)):
        with ExitStack() as opened:
            for _ in range(200):
                assert opened.enter_context(asked.connect(request)).recv(1) == b"H"
            assert asked.status("/") == status
            assert asked.status("/", OTHER) == 200


@pytest.mark.attack(kind="load", on="map page")
def test_one_address_asks_only_so_much_at_a_time(server: Visited, unlimited: Visited) -> None:
    assert refused_in_a_flood(server)
    assert server.status("/ows/fields/none/", OTHER) == 404
    assert not refused_in_a_flood(unlimited)


def refused_in_a_flood(server: Visited) -> bool:
    """Send a thousand requests without waiting for answers, three times at most; tell whether the next is refused."""
    path = "/ows/fields/nothing/"
    for _ in range(3):
        for _ in range(1000):
            server.connect(f"GET {path} HTTP/1.1\nHost: localhost\nX-Forwarded-For: {FLOOD}\n\n").close()
        if server.status(path, FLOOD) == 429:
            return True
    return False


@pytest.mark.long
def test_thirty_tablets_behind_one_address_are_served(server: Visited) -> None:
    tile = f"{PROJECT}?REQUEST=GetMap&WIDTH=256&HEIGHT=256&FORMAT=image/png&{BOX.format('meadow')}"
    page = [
        *("/", "/index.json", f"{PROJECT}?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities"),
        f"{PROJECT}?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetLegendGraphic&LAYER=meadow&FORMAT=application/json",
        *[tile] * 2,
    ]
    with ThreadPoolExecutor(TABLETS * CONNECTIONS) as pool:
        assert {*pool.map(server.status, page * TABLETS, repeat(OTHER))} == {200}


# Who is slow ----------------------------------------------------------------------------------------------------------

HEAD = "GET / HTTP/1.1\nHost: localhost\n"
SLOWLY = {
    "half a request": HEAD,
    "a letter in a second": f"{HEAD}X-Letters: ",
    "an answer that is not read": "GET /large.bin HTTP/1.1\nHost: localhost\n\n",
}


@pytest.fixture(scope="module")
def ended(server: Visited, unlimited: Visited) -> dict[str, set[str]]:
    """Return which of the slow connections the servers ended, by server."""
    with ExitStack() as opened:
        waiting = {
            opened.enter_context(asked.connect(said)): (name, kind)
            for name, asked in (("limited", server), ("unlimited", unlimited))
            for kind, said in SLOWLY.items()
        }
        found: dict[str, set[str]] = {"limited": set(), "unlimited": set()}
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and found["limited"] != SLOWLY.keys():
            time.sleep(1)
            for connection, (name, kind) in waiting.items():
                if is_ended(connection, b"x" if "letter" in kind else b""):
                    found[name].add(kind)
        return found


def is_ended(connection: socket.socket, more: bytes) -> bool:
    """Tell whether the other side has ended a connection, and say more."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    if poll.poll(0):
        return True
    connection.send(more)
    return False


@pytest.mark.attack(kind="load", on="map page")
@pytest.mark.parametrize("kind", SLOWLY)
def test_who_is_slow_is_not_waited_for(ended: dict[str, set[str]], kind: str) -> None:
    assert kind in ended["limited"]
    assert kind not in ended["unlimited"]


# What takes much memory -----------------------------------------------------------------------------------------------

LARGE_PICTURES = {
    "picture": f"REQUEST=GetMap&WIDTH=4000&HEIGHT=2400&FORMAT=image/png&{BOX.format('meadow')}",
    "picture, height first": f"REQUEST=GetMap&HEIGHT=2400&FORMAT=image/png&WIDTH=2400&{BOX.format('meadow')}",
    "legend": f"REQUEST=GetLegendGraphic&LAYER=meadow&FORMAT=image/png&SYMBOLWIDTH=100&{BOX.format('meadow')}",
    "drawing": f"REQUEST=GetMap&{SIZE.replace('image/png', 'application/dxf')}&{BOX.format('meadow')}"
    "&FORMAT_OPTIONS=MODE:FEATURESYMBOLOGY;SCALE:10",
    "drawing without a scale": f"REQUEST=GetMap&{SIZE.replace('image/png', 'application/dxf')}&{BOX.format('meadow')}"
    "&FORMAT_OPTIONS=MODE%3ASYMBOLLAYERSYMBOLOGY",
}


def many_layers(count: int, width: int, height: int, comma: str = ",") -> str:
    """Ask for a picture with the same layer many times."""
    names = BOX.format(comma.join(["meadow"] * count))
    return f"REQUEST=GetMap&WIDTH={width}&HEIGHT={height}&FORMAT=image/png&{names}"


TOO_MANY_LAYERS = {
    "250 layers": many_layers(251, 1024, 1000),
    "62 layers": many_layers(63, 2000, 2100, "%2C"),
}


@pytest.mark.attack(kind="load", on="map page")
@pytest.mark.parametrize("query", LARGE_PICTURES.values(), ids=LARGE_PICTURES)
def test_nothing_larger_than_a_screen_is_drawn(server: Visited, unlimited: Visited, query: str) -> None:
    assert unlimited.status(f"{PROJECT}?{query}") == 200
    status, told = server.ask(f"{PROJECT}?{query}")
    assert (status, "larger than a screen" in told) == (400, True)


@pytest.mark.attack(kind="load", on="map page")
@pytest.mark.parametrize("query", TOO_MANY_LAYERS.values(), ids=TOO_MANY_LAYERS)
def test_no_picture_has_more_layers_than_memory_holds(server: Visited, unlimited: Visited, query: str) -> None:
    assert unlimited.status(f"{PROJECT}?{query}") in {200, 500, 502}
    status, told = server.ask(f"{PROJECT}?{query}")
    assert (status, "more layers than there is memory for" in told) == (400, True)


@pytest.mark.parametrize(
    "query",
    [
        many_layers(251, 400, 300),
        many_layers(62, 1024, 1000),
        many_layers(12, 2048, 2048),
        f"REQUEST=GetMap&WIDTH=4096&HEIGHT=2399&FORMAT=image/png&{BOX.format('meadow')}",
        f"REQUEST=GetMap&WIDTH=240&HEIGHT=3000&FORMAT=image/png&{BOX.format('meadow')}",
        f"REQUEST=GetLegendGraphic&LAYER=meadow&FORMAT=image/png&SYMBOLWIDTH=7.5&BOXSPACE=2&{BOX.format('meadow')}",
        f"REQUEST=GetMap&{SIZE.replace('image/png', 'application/dxf')}&{BOX.format('meadow')}"
        "&FORMAT_OPTIONS=MODE:FEATURESYMBOLOGY%3BSCALE:500",
        f"REQUEST=GetMap&{SIZE.replace('image/png', 'application/dxf')}&{BOX.format('meadow')}"
        "&FORMAT_OPTIONS=MODE:NOSYMBOLOGY",
    ],
)
def test_what_fits_on_a_screen_is_drawn(server: Visited, query: str) -> None:
    assert server.status(f"{PROJECT}?{query}") == 200


@pytest.mark.attack(kind="load", on="map page")
def test_a_map_that_memory_does_not_hold_has_no_process_killed(lizmap_image: str, tmp_path: Path) -> None:
    assert killed_for_a_map(lizmap_image, tmp_path / "bounded", {}) == 0
    assert killed_for_a_map(lizmap_image, tmp_path / "unbounded", {"ulimit -d": "true"}) > 0


def killed_for_a_map(image: str, folder: Path, changes: dict[str, str]) -> int:
    """Ask for a large map of many layers; give how many processes the kernel ended, with a service changed."""
    folder.mkdir()
    run = folder / "run"
    run.write_text(taken_back("services/qgis-server/run", *changes, by="".join(changes.values())), "utf-8")
    run.chmod(0o755)
    with visited(image, folder, {}, mem_limit="700m", mounts=[f"{run}:{RUN}:ro"], layers=[]) as server:
        repository = folder / "projects" / "fields"
        layers = [replace(projects.geojson(repository), name=f"meadow{number}") for number in range(60)]
        (repository / "many.qgs").write_text(projects.qgs(layers), "utf-8")
        names = BOX.format(",".join(layer.name for layer in layers))
        path = f"/ows/fields/many/?REQUEST=GetMap&WIDTH=2399&HEIGHT=2399&FORMAT=image/png&{names}"
        assert server.status(path) in {500, 502}
        wait_until(lambda: server.status(MEADOW) == 200, "the map comes back", server.log)
        return server.oom_kills()


# What takes long to read ----------------------------------------------------------------------------------------------

LAYER = "(?<= [\\ &] ) layer= (?: [^&,%]++ | %(?! 2c ) )*+ (?: , | %2c )"
READ_AGAIN = taken_back("nginx/map-page-requests.conf", LAYER, by="\\b layer= [^&]* (?: , | %2c )")
REPEATED = f"{PROJECT}?REQUEST=GetMap&{'layer=' * 5000}"
GAVE_UP = "pcre2_match() failed"


@pytest.mark.attack(kind="load", on="map page")
def test_a_value_that_repeats_a_name_is_read_once(server: Visited, lizmap_image: str, tmp_path: Path) -> None:
    # QGIS Server's own answer: it misses the service.
    assert server.status(REPEATED) == 501
    assert GAVE_UP not in server.log()
    with visited(lizmap_image, tmp_path, {"map-page-requests.conf": READ_AGAIN}) as careless:
        assert careless.status(REPEATED) == 400
        wait_until(lambda: GAVE_UP in careless.log(), "nginx gave up after ten million steps", careless.log)
