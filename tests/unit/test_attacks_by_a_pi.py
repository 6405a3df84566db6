"""A Pi in other hands: what it answers costs the laptop little, sends it nowhere else, and gives it no orders."""

from __future__ import annotations

import gzip
import io
import json
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import requests
from ansible.module_utils.poppyfield.host import foreign_xml
from ansible.module_utils.poppyfield.lizmap import answers
from ansible.module_utils.poppyfield.projects import map_checks
from ansible.module_utils.poppyfield.projects.map_checks import MapError
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.doubles.map_server import MapServer, png, running_map_server
from tests.doubles.serving import serving
from tests.unit.memory_used import peak_of
from workshop.demo.display import newest_line, tail

Run = Callable[..., dict[str, Any]]
MB = 1024**2
ORDER = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202e"
PACKED = gzip.compress(b"\0" * 100 * MB)
"""Made before memory is measured, since this process serves it as well."""


# Answers without end -------------------------------------------------------------------------------------------------


class TooMuch(BaseHTTPRequestHandler):
    """Answers with much more than a map has."""

    protocol_version = "HTTP/1.1"
    sent = 0

    def handle(self) -> None:
        """Take it that whoever asks hangs up in the middle."""
        with suppress(OSError):
            super().handle()

    def do_GET(self) -> None:
        getattr(self, self.path.strip("/"))()

    def large(self) -> None:
        """Send a picture of 48 MB."""
        self._head("Content-Length", str(48 * MB))
        self._send(b"\0" * MB, 48)

    def endless(self) -> None:
        """Send pieces for as long as somebody takes them."""
        self._head("Transfer-Encoding", "chunked")
        self._send(b"100000\r\n" + b"\0" * MB + b"\r\n", 10_000)

    def packed(self) -> None:
        """Send some hundred kilobytes that unpack to 100 MB."""
        self._head("Content-Encoding", "gzip", "Content-Length", str(len(PACKED)))
        self._send(PACKED, 1)

    def _head(self, *headers: str) -> None:
        self.send_response(200)
        for name, value in zip(headers[::2], headers[1::2], strict=True):
            self.send_header(name, value)
        self.end_headers()

    def _send(self, piece: bytes, times: int) -> None:
        try:
            for _ in range(times):
                self.wfile.write(piece)
                type(self).sent += len(piece)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Keep the test's output quiet."""


@pytest.mark.attack(kind="answer without end", on="laptop", proof=None)
@pytest.mark.parametrize(("kind", "size"), [("large", 48 * MB), ("packed", 100 * MB), ("endless", 0)])
def test_an_answer_has_a_size(library: Any, monkeypatch: pytest.MonkeyPatch, kind: str, size: int) -> None:
    module = library("published_map")
    monkeypatch.setattr(module, "LARGEST_ANSWER", 4 * MB)
    handler = type("Handler", (TooMuch,), {"sent": 0})
    with serving(handler) as url, requests.Session() as session:
        server = module.Server(session, url, 60, patient=False)

        def careful() -> None:
            with pytest.raises(MapError, match="the answer has more than 4 MB"):
                server.get(f"{url}/{kind}")

        assert peak_of(careful) < 16 * MB
        if size:
            assert peak_of(lambda: requests.get(f"{url}/{kind}", timeout=60).content) >= size
        else:
            # Who takes no notice of the size takes all that is sent.
            with requests.get(f"{url}/{kind}", timeout=60, stream=True) as careless:
                taken = sum(len(piece) for _, piece in zip(range(32), careless.iter_content(MB), strict=False))
            assert taken > 4 * MB
    assert handler.sent < 10_000 * MB  # type: ignore[attr-defined]


@pytest.mark.attack(kind="answer without end", on="laptop", proof=None)
def test_an_answer_has_a_time(library: Any) -> None:
    """One that comes in small pieces, each in time, would hold the laptop for as long as the Pi likes."""
    module = library("published_map")
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 10
        return now

    with serving(TooMuch) as url, requests.Session() as session:
        with pytest.raises(MapError, match="the answer does not end within 120 seconds"):
            module.Server(session, url, 60, patient=False, clock=clock).get(f"{url}/large")
        # In real time it has all that it wants.
        assert len(module.Server(session, url, 60, clock=time.monotonic).get(f"{url}/large")) == 48 * MB


# Pictures ------------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def large_png(width: int, height: int) -> bytes:
    """Give a picture of one colour, which is packed very small."""
    rows = zlib.compress(b"\0" * (width // 8 + 1) * height, 9)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture
def server() -> Iterator[MapServer]:
    with running_map_server() as running_server:
        yield running_server


@pytest.fixture
def check(server: MapServer, run_module: Run, library: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(library("published_map"), "PAUSE", 0.01)

    def run(**arguments: Any) -> dict[str, Any]:
        return run_module("published_map", url=server.url, project="sample/france", timeout=5, **arguments)

    return run


@pytest.mark.attack(kind="decompression bomb", on="laptop", proof=None)
def test_a_picture_has_no_more_points_than_were_asked_for(server: MapServer, check: Run, tmp_path: Path) -> None:
    bomb = server.answers["WMS GetMap"] = large_png(5000, 4000)
    assert len(bomb) < 10_000
    with Image.open(io.BytesIO(bomb)) as careless:
        # Pillow says nothing below 90 million points, which are 360 MB.
        assert careless.convert("RGBA").size == (5000, 4000)
    told = check(picture=str(tmp_path / "map.png"))
    assert "GetMap answered a picture of 5000 x 4000 pixels" in told["msg"]
    assert not (tmp_path / "map.png").exists()


@pytest.mark.attack(
    kind="decompression bomb", on="laptop", proof="test_a_picture_has_no_more_points_than_were_asked_for"
)
def test_a_picture_of_more_points_than_a_library_takes_is_a_sentence(server: MapServer, check: Run) -> None:
    server.answers["WMS GetMap"] = large_png(20_000, 10_000)
    assert "something that is not a PNG" in check()["msg"]


@pytest.mark.attack(kind="picture of endless colours", on="laptop", proof=None)
def test_colours_are_counted_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert map_checks.distinct_colors(png(5)) == 6
    monkeypatch.setattr(map_checks, "MOST_COLORS", 4)
    assert map_checks.distinct_colors(png(5)) == 4


# JSON and XML --------------------------------------------------------------------------------------------------------


@pytest.mark.attack(kind="deep JSON", on="laptop", proof=None)
def test_coordinates_of_thousands_of_levels_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer Pythons read more levels of JSON than they call functions."""
    coordinates: list[Any] = [1, 2]
    for _ in range(5000):
        coordinates = [coordinates]
    features = [{"geometry": {"coordinates": coordinates}}]
    assert map_checks.find_places(features) == []
    monkeypatch.setattr(map_checks, "LEVELS_OF_COORDINATES", 100_000)
    with pytest.raises(RecursionError):
        map_checks.find_places(features)


@pytest.mark.attack(kind="deep JSON", on="laptop", proof=None)
@pytest.mark.parametrize("question", ["catalogue", "WFS GetFeature", "collections", "items"])
def test_json_of_a_hundred_thousand_levels_is_a_sentence(server: MapServer, check: Run, question: str) -> None:
    server.answers[question] = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(RecursionError):
        json.loads(server.answers[question])
    assert "The map does not work" in check()["msg"]


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.integers().map(lambda number: 10**400 + number)
    | st.text(max_size=5)
    | st.sampled_from(["True", "items", "application/geo+json", "id", "createFeature"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("projects", "features", "geometry", "coordinates", "collections", "id", "links", "rel", "href"),
                    *("type", "layers", "options", "editionLayers", "capabilities", "extent", "createFeature", "title"),
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)
READERS: dict[str, Callable[[bytes], Any]] = {
    "catalogue": map_checks.parse_catalogue,
    "collections": lambda body: map_checks.parse_collections(body, "http://pi/"),
    "places": lambda body: [
        map_checks.views([place], map_checks.MapLayer("a", "a", ()))
        for place in map_checks.find_places(map_checks.read_features(body))
    ],
    "configuration": answers.read_config,
}


@pytest.mark.attack(kind="wrong types", on="laptop", proof=None)
@pytest.mark.parametrize("reader", READERS)
@given(document=ANY_JSON)
def test_json_of_any_types_is_read_or_a_sentence(reader: str, document: Any) -> None:
    for content in (document, {"features": [{"geometry": {"coordinates": document}}]}):
        try:
            READERS[reader](json.dumps(content).encode())
        except MapError as refused:
            assert str(refused)
    # Without care these are other errors than those that a reader of JSON expects.
    with pytest.raises(OverflowError):
        float(10**400)


@pytest.mark.attack(kind="numbers that are none", on="laptop", proof=None)
@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "1" + "0" * 400, "null", '"1"', "[]", "true"])
def test_a_feature_is_nowhere_that_is_no_place(number: str) -> None:
    body = f'{{"features": [{{"geometry": {{"coordinates": [[1, 2], [{number}, 2], [1, {number}]]}}}}]}}'.encode()
    assert json.loads(body)
    (place,) = map_checks.find_places(map_checks.read_features(body))
    assert all(-180 <= side <= 180 for side in (place.west, place.south, place.east, place.north))


@pytest.mark.attack(kind="XML bomb", on="laptop", proof=None)
@pytest.mark.parametrize("question", ["WMS GetCapabilities", "WFS GetCapabilities"])
def test_entities_of_capabilities_are_not_expanded(server: MapServer, check: Run, question: str) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><a>&b;</a>'
    assert ElementTree.fromstring(bomb).text == "a" * 30
    server.answers[question] = bomb
    assert "that is not XML capabilities" in check()["msg"]


@pytest.mark.attack(kind="deep XML", on="laptop", proof=None)
def test_layers_in_layers_end(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b'<WMS_Capabilities xmlns="http://www.opengis.net/wms"><Capability>'
    body = head + b"<Layer>" * 3000 + b"</Layer>" * 3000 + b"</Capability></WMS_Capabilities>"
    with pytest.raises(MapError, match="not XML capabilities"):
        map_checks.parse_capabilities(body)
    monkeypatch.setattr(foreign_xml, "DEEPEST", 10_000)
    with pytest.raises(RecursionError):
        map_checks.parse_capabilities(body)


# Where it leads ------------------------------------------------------------------------------------------------------


class Leads(BaseHTTPRequestHandler):
    """Sends whoever asks to another machine, which here is this one by another name."""

    target = ""

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Keep the test's output quiet."""


@pytest.mark.attack(kind="request sent elsewhere", on="laptop", proof=None)
def test_a_redirect_does_not_send_the_laptop_to_another_machine(server: MapServer, library: Any) -> None:
    target = f"{server.url.replace('127.0.0.1', 'localhost')}/index.json"
    with serving(type("Handler", (Leads,), {"target": target})) as url, requests.Session() as session:
        with pytest.raises(MapError, match=r"to another server than 127\.0\.0\.1"):
            library("published_map").Server(session, url, 5, patient=False).follow(url)
        assert server.asked == []
        assert requests.get(url, timeout=5).ok
    assert [question["path"] for question in server.asked] == ["/index.json"]


@pytest.mark.attack(kind="request sent elsewhere", on="laptop", proof=None)
def test_a_form_does_not_send_a_password_to_another_machine(server: MapServer, library: Any) -> None:
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    with requests.Session() as session:
        asking = library("published_map").Server(session, server.url, 5, patient=False)
        with pytest.raises(MapError, match=r"to another server than 127\.0\.0\.1"):
            asking.post(map_checks.join(f"{server.url}/login", f"{elsewhere}/take"), {"auth_password": "x"})
        # There and at its own Pi somebody would answer, that this is not what they do.
        assert requests.post(f"{elsewhere}/take", data={"auth_password": "x"}, timeout=5).status_code == 501
        assert asking.post(f"{server.url}/take", {"auth_password": "x"}).status == 501


# Words ---------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(kind="orders to the terminal", on="laptop", proof=None)
def test_what_a_map_server_says_gives_no_orders(server: MapServer, check: Run) -> None:
    server.answers["WMS GetCapabilities"] = f"{ORDER} refused".encode()
    with requests.get(f"{server.url}/ows/sample/france/?SERVICE=WMS&REQUEST=GetCapabilities", timeout=5) as careless:
        assert ORDER in careless.content.decode()
    assert check()["msg"].isprintable()


@pytest.mark.attack(kind="orders to the terminal", on="laptop", proof=None)
def test_what_lizmap_says_gives_no_orders() -> None:
    body = '<a><ServiceException code="x">no&#155;2J&#x202e; way</ServiceException></a>'
    assert "\x9b2J\u202e" in (ElementTree.fromstring(body).findtext("ServiceException") or "")
    refused = answers.explain_refusal(400, body.encode())
    assert refused is not None and "way" in str(refused) and str(refused).isprintable()


@pytest.mark.attack(kind="orders to the terminal", on="laptop", proof=None)
def test_what_a_log_of_the_demo_ends_with_gives_no_orders(tmp_path: Path) -> None:
    log = tmp_path / "first.log"
    log.write_text(f"one\nfatal: {ORDER}the end\n")
    assert log.read_text().splitlines()[-1] == f"fatal: {ORDER}the end"
    assert newest_line([log]) == "fatal: the end"
    assert tail(log) == "one\nfatal: the end"
