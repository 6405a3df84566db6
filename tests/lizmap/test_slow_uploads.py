"""Who sends drop by drop keeps nobody else from editing.

Each attack is also played where one setting that stops it is taken back, and succeeds there.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.images.map_server import wait_until
from tests.lizmap.lizmap import Lizmap, lizmap
from tests.lizmap.test_attacks_through_lizmap import changed, connected

MB = 1024 * 1024
EDITING = "/index.php/lizmap/edition/saveFeature"
VIEW = "/index.php/view/"
PROXY = {"TRUSTED_PROXIES": "172.16.0.0/12 10.0.0.0/8 192.168.0.0/16", "PHP_CHILDREN": "2"}
"""The tests, who come from a network of Docker, may say who asks."""
SLOW, OTHER = "203.0.113.7", "203.0.113.8"
MANY = tuple(f"203.0.113.{number}" for number in range(20, 26))
PATIENCE = 30
"""Seconds."""
PACE = 128 * 1024
"""Bytes a second: 1 Mbit/s."""
REFUSED = {429, 500, 502, 503, 504}


def posting(visitor: str, path: str, size: int) -> bytes:
    """Give the beginning of a request with a body of this size."""
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"X-Forwarded-For: {visitor}",
        "Content-Type: application/octet-stream",
        f"Content-Length: {size}",
        "Connection: close",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def begun_by(server: Lizmap, visitor: str, path: str, size: int, begun: int) -> socket.socket:
    """Begin to send a body; who is refused is hung up on."""
    sender = connected(server)
    with suppress(OSError):
        sender.sendall(posting(visitor, path, size) + bytes(begun))
    return sender


@contextmanager
def dripping(server: Lizmap, path: str, size: int, visitors: tuple[str, ...], begun: int = 0) -> Iterator[None]:
    """Send bodies of this size as these visitors, of which so much comes at once, and a byte in a second after that.

    Who was refused tries again: an honest visitor may have had the place for a moment.
    """
    senders = [begun_by(server, visitor, path, size, begun) for visitor in visitors]
    enough = threading.Event()

    def drip() -> None:
        while not enough.wait(1):
            for number, visitor in enumerate(visitors):
                try:
                    senders[number].send(b"x")
                except OSError:
                    senders[number].close()
                    senders[number] = begun_by(server, visitor, path, size, begun)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
        for sender in senders:
            sender.close()


def held_of_uploads(server: Lizmap) -> int:
    """Give how many bytes of uploads nginx holds."""
    _, told = server.run("df", "--block-size=1", "--output=used", "/tmp/uploads")
    return int(told.split()[-1])


def sent(server: Lizmap, path: str, size: int, pace: int = 0) -> int:
    """Send a body as somebody else, perhaps at a pace; give the status, or none when no answer came."""
    with connected(server) as connection:
        connection.settimeout(PATIENCE)
        try:
            connection.sendall(posting(OTHER, path, size))
            for rest in range(size, 0, -(pace or size)):
                connection.sendall(bytes(min(pace or size, rest)))
                if pace:
                    time.sleep(1)
            return int(connection.recv(100).split()[1])
        except (OSError, IndexError):
            return 0


def opened(server: Lizmap, path: str) -> int:
    """Open a page as somebody else; give the status, or none when no answer came."""
    try:
        headers = {"X-Forwarded-For": OTHER}
        return requests.get(server.url + path, headers=headers, timeout=PATIENCE, allow_redirects=False).status_code
    except requests.Timeout:
        return 0


@contextmanager
def running(image: str, network: str, folder: Path, **options: Any) -> Iterator[Lizmap]:
    """Run Lizmap, which believes the tests who they are."""
    with lizmap(image, folder, network, environment=PROXY, **options) as started:
        started.wait_until_healthy()
        yield started


@pytest.fixture(scope="module")
def server(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lizmap]:
    """Return Lizmap as it is."""
    with running(lizmap_image, network, tmp_path_factory.mktemp("uploads")) as started:
        yield started


def careless(name: str, old: str, new: str) -> dict[str, Any]:
    """Give one of nginx's files with something else in it."""
    return {"configuration": {name: changed(name, {old: new})}}


@pytest.mark.attack(kind="slow sending", on="Lizmap")
@pytest.mark.parametrize("visitors", [(SLOW,) * 6, MANY], ids=["one address", "six addresses"])
def test_who_sends_slowly_keeps_nobody_from_editing(
    server: Lizmap, lizmap_image: str, network: str, tmp_path: Path, visitors: tuple[str, ...]
) -> None:
    with dripping(server, EDITING, 5 * MB, visitors):
        assert opened(server, EDITING) not in REFUSED | {0}
        assert sent(server, EDITING, 5 * MB) not in REFUSED | {0}
    for_all = careless("front.conf", "limit_conn_zone $upload_address ", "limit_conn_zone uploads ")
    with running(lizmap_image, network, tmp_path, **for_all) as other, dripping(other, EDITING, 5 * MB, visitors):
        wait_until(lambda: sent(other, EDITING, 5 * MB) == 429, "others may send nothing", other.log)
        assert opened(other, EDITING) == 429


@pytest.mark.attack(kind="slow sending", on="Lizmap")
def test_who_sends_slowly_keeps_no_process(server: Lizmap, lizmap_image: str, network: str, tmp_path: Path) -> None:
    with dripping(server, VIEW, 5000, (SLOW,) * 8):
        assert opened(server, VIEW) == 200
    at_once = careless("lizmap-php.conf", "fastcgi_buffers ", "fastcgi_request_buffering off;\nfastcgi_buffers ")
    with running(lizmap_image, network, tmp_path, **at_once) as other, dripping(other, VIEW, 5000, (SLOW,) * 8):
        wait_until(lambda: opened(other, VIEW) == 0, "all processes wait", other.log)


@pytest.mark.attack(kind="slow sending", on="Lizmap")
def test_one_address_cannot_fill_what_uploads_have(
    server: Lizmap, lizmap_image: str, network: str, tmp_path: Path
) -> None:
    # Two of these leave less than a photo of what all have.
    large = 47 * MB
    with dripping(server, EDITING, large, (SLOW,) * 3, begun=large - 100 * 1024):
        assert sent(server, EDITING, 5 * MB) not in REFUSED | {0}
        assert opened(server, VIEW) == 200
    unlimited = careless("lizmap.conf", "limit_conn large_uploads 1;", "")
    with (
        running(lizmap_image, network, tmp_path, **unlimited) as other,
        dripping(other, EDITING, large, (SLOW,) * 2, begun=large - 100 * 1024),
    ):
        # What was sent may be on its way for a while.
        wait_until(lambda: held_of_uploads(other) > 2 * (large - MB), "both are nearly there", other.log)
        assert sent(other, EDITING, 5 * MB) in REFUSED | {0}


@pytest.mark.long
def test_a_photo_comes_by_a_slow_network_beside_who_sends_slowly(server: Lizmap) -> None:
    with dripping(server, EDITING, 5 * MB, (SLOW,) * 6):
        assert sent(server, EDITING, 5 * MB, PACE) not in REFUSED | {0}
