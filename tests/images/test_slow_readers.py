"""Who reads drop by drop what the server made at once takes neither its workers nor its memory from others.

Each attack is also played where one setting that stops it is taken back, and succeeds there.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.images import projects
from tests.images.map_server import wait_until
from tests.images.test_abuse import FLOOD, MEADOW, OTHER, Visited, taken_back, visited

MB = 1024 * 1024
SPOOLED = {"qgis-server.conf": taken_back("nginx/qgis-server.conf", "file_size 0;", by="file_size 32m;")}
MANY = tuple(f"203.0.113.{number}" for number in range(20, 28))
WHO = pytest.mark.parametrize("visitors", [(FLOOD,) * 10, MANY], ids=["one address", "eight addresses"])
HELD_MOST = 192
"""MB: what the server holds of answers where it has memory enough."""
TURNS, PATIENCE = 400, 45
"""Seconds: enough for a turn of each of these addresses on a busy machine, and for what never comes."""


def features() -> projects.Layer:
    """Give a layer of 300 features, of 250 kB each."""
    query = (
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300) "
        "SELECT hex(zeroblob(125000)) AS name, makepoint(3, 46.5, 4326) AS geometry FROM c"
    )
    return replace(projects.virtual_layer(query, "Point"), name="features")


def megabytes(size: int) -> str:
    """Give where so many MB are answered."""
    query = "SERVICE=WFS&VERSION=1.1.0&REQUEST=GetFeature&TYPENAME=features&OUTPUTFORMAT=application/json"
    return f"/ows/fields/features/?{query}&MAXFEATURES={4 * size}"


@contextmanager
def dripping(server: Visited, path: str, visitors: tuple[str, ...]) -> Iterator[None]:
    """Ask as these visitors, who then read 20 kB in a second; go on when the first of them has begun."""
    with ExitStack() as opened:
        said = f"GET {path} HTTP/1.1\nHost: localhost\nX-Forwarded-For: {{}}\n\n"
        readers = [opened.enter_context(server.connect(said.format(visitor))) for visitor in visitors]
        begun, enough = threading.Event(), threading.Event()

        def read() -> None:
            for reader in readers:
                reader.settimeout(0)
            while not enough.wait(0.2):
                for reader in readers:
                    try:
                        if reader.recv(4096):
                            begun.set()
                    except OSError:
                        # It waits for its turn, or was ended.
                        continue

        thread = threading.Thread(target=read)
        thread.start()
        try:
            assert begun.wait(120), server.log()
            yield
        finally:
            enough.set()
            thread.join()


def got(server: Visited, path: str, patience: int = TURNS) -> int:
    """Ask as somebody else, who waits so long; give how many bytes came, or none without success."""
    connection = http.client.HTTPConnection(server.host, 8080, timeout=patience)
    try:
        connection.request("GET", path, headers={"X-Forwarded-For": OTHER})
        answer = connection.getresponse()
        return len(answer.read()) if answer.status == 200 else 0
    except (TimeoutError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def used(server: Visited) -> int:
    """Give how many bytes lie in /tmp, where nginx would hold answers in files without a name."""
    _, told = server.run("df", "--block-size=1", "--output=used", "/tmp")
    return int(told.split()[-1])


def held(server: Visited) -> int:
    """Give how many MB the queue has in memory."""
    _, told = server.run("sh", "-c", "grep --no-filename RssAnon /proc/$(pgrep -o haproxy)/status")
    return int(told.split()[1]) // 1024


@contextmanager
def running(image: str, folder: Path, configuration: dict[str, str] | None = None, **options: Any) -> Iterator[Visited]:
    """Run a map server with the features."""
    with visited(image, folder, configuration or {}, layers=[features()], **options) as started:
        yield started


@contextmanager
def without(image: str, folder: Path, service: str, words: str, instead: str = "''") -> Iterator[Visited]:
    """Run a map server one of whose services lacks something of its program."""
    run = folder / "run"
    run.write_text(taken_back(f"services/{service}/run", words, by=instead), "utf-8")
    run.chmod(0o755)
    with running(image, folder, mounts=[f"{run}:/usr/local/lib/poppyfield/services/{service}/run:ro"]) as started:
        yield started


@pytest.fixture(scope="module")
def server(lizmap_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visited]:
    """Return the map server as it is."""
    with running(lizmap_image, tmp_path_factory.mktemp("slow")) as started:
        yield started


@pytest.mark.attack(kind="slow reading", on="map page")
@pytest.mark.long
@WHO
def test_who_reads_slowly_keeps_no_worker(
    server: Visited, lizmap_image: str, tmp_path: Path, visitors: tuple[str, ...]
) -> None:
    with dripping(server, megabytes(20), visitors):
        assert [got(server, MEADOW) > 0 for _ in range(5)] == [True] * 5
        assert got(server, megabytes(5)) > 5 * 10**6
    with (
        without(lizmap_image, tmp_path, "queue", "'    tcp-response inspect-delay 240s'") as careless,
        dripping(careless, megabytes(20), visitors),
    ):
        assert got(careless, MEADOW, PATIENCE) == 0


@pytest.mark.attack(kind="slow reading", on="map page")
@pytest.mark.long
@WHO
def test_who_reads_slowly_fills_no_folder(
    server: Visited, lizmap_image: str, tmp_path: Path, visitors: tuple[str, ...]
) -> None:
    before = used(server)
    with dripping(server, megabytes(30), visitors):
        assert got(server, MEADOW) > 0
        assert used(server) - before < MB
    with running(lizmap_image, tmp_path, SPOOLED) as careless, dripping(careless, megabytes(30), visitors):
        # As nginx says it: what is refused makes room again, before anybody else can look.
        wait_until(lambda: "pwritev() " in careless.log(), "what is not read fills /tmp", careless.log)


@pytest.mark.attack(kind="slow reading", on="map page")
@pytest.mark.long
@WHO
def test_who_reads_slowly_takes_bounded_memory(
    server: Visited, lizmap_image: str, tmp_path: Path, visitors: tuple[str, ...]
) -> None:
    with dripping(server, megabytes(30), visitors):
        wait_until(lambda: "behind with reading" in server.log(), "who is behind is known", server.log)
        for _ in range(5):
            assert got(server, MEADOW) > 0
            assert held(server) < HELD_MOST + 60
    with (
        without(lizmap_image, tmp_path, "readers", 'exec "$here/run-as"', "exec sleep infinity #") as careless,
        dripping(careless, megabytes(30), visitors),
    ):
        wait_until(lambda: held(careless) > HELD_MOST + 40, "what is not read is held", careless.log)


@pytest.mark.attack(kind="slow reading", on="map page")
@pytest.mark.long
def test_who_asks_for_more_than_is_held_keeps_no_worker(server: Visited, lizmap_image: str, tmp_path: Path) -> None:
    status, told = server.ask(megabytes(72))
    assert (status, "ask for less" in told) == (502, True)
    with without(lizmap_image, tmp_path, "queue", '"$too_large"') as careless, dripping(careless, megabytes(72), MANY):
        assert got(careless, MEADOW, PATIENCE) == 0


def test_what_is_large_comes_whole_beside_who_reads_slowly(server: Visited) -> None:
    with dripping(server, megabytes(1), (FLOOD,)):
        assert got(server, megabytes(30)) > 30 * 10**6
