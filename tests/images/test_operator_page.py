"""The operator's page behind the map server's nginx: what a visitor can send, and what of it arrives."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from ansible.module_utils.poppyfield.pi_page import operator_login, operator_page, orders, words
from ansible.module_utils.poppyfield.pi_page.operator_login import Guesses
from ansible.module_utils.poppyfield.pi_page.operator_page import OperatorPage, OperatorServer

from tests.images.map_server import MapServer, map_server, volumes, wait_until

PASSWORD = "correct horse battery"
WWW_DATA = 33
SOCKET = "/srv/page/operator/page.sock"
CONNECT = ("perl", "-MIO::Socket::UNIX", "-e", 'IO::Socket::UNIX->new(Peer => shift) or die "$!"', SOCKET)


class Operator:
    """The page's program at its socket, and the orders that it gave on."""

    def __init__(self, folder: Path) -> None:
        self.given: list[str] = []
        kept = operator_login.kept(PASSWORD, "", os.urandom)
        self.page = OperatorPage("pi-orchard", kept, True, self._give)
        self.place = folder / "page" / "operator" / "page.sock"
        self.place.parent.mkdir(mode=0o755)
        self._inherited = socket.socket(socket.AF_UNIX)
        self._inherited.bind(str(self.place))
        self._inherited.listen(16)
        # As the unit of systemd has it.
        os.chown(self.place, WWW_DATA, WWW_DATA)
        self.place.chmod(0o660)
        self._server = OperatorServer(self.page, self._inherited)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def _give(self, order: str) -> tuple[str, bytes]:
        self.given.append(order)
        return orders.ACCEPTED, b"a bundle"

    def begin_again(self) -> None:
        """Forget what was guessed and given."""
        self.page.guesses, self.page.over_http = Guesses(), True
        self.given.clear()

    def end(self) -> None:
        """End the program."""
        self._server.shutdown()
        self._thread.join()
        self._inherited.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with that of the pages."""
    found = tmp_path_factory.mktemp("operator")
    found.chmod(0o755)
    (found / "page").mkdir(mode=0o755)
    return found


@pytest.fixture(scope="module")
def started(folder: Path) -> Iterator[Operator]:
    """Return the page's program."""
    running = Operator(folder)
    yield running
    running.end()


@pytest.fixture
def operator(started: Operator) -> Operator:
    """Return the page's program, to which nobody has said anything yet."""
    started.begin_again()
    return started


@pytest.fixture(scope="module")
def server(lizmap_image: str, folder: Path) -> Iterator[MapServer]:
    """Return a map server with the pages; it has no database from the start."""
    mounts = [*volumes(folder), f"{folder}/page:/srv/page:ro"]
    with map_server(lizmap_image, folder, volumes=mounts, environment={"QGIS_SERVER_WORKERS": "1"}) as running:
        wait_until(lambda: running.run("sh", "-c", "test -S /run/qgis-server.sock")[0] == 0, "nginx")
        yield running


def post(server: MapServer, order: str, password: str = PASSWORD, **options: Any) -> requests.Response:
    """Give an order as the form does."""
    given = {"order": order, "password": password}
    return requests.post(f"{server.url}/operator", data=given, timeout=60, **options)


def test_the_form_comes_and_lets_nothing_in_from_elsewhere(server: MapServer, operator: Operator) -> None:
    for language in words.LANGUAGES:
        answer = server.get("/operator", headers={"Accept-Language": language})
        assert answer.status_code == 200 and f'<html lang="{language}">' in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "form-action 'self'" in policy and "frame-ancestors 'none'" in policy
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "python" not in answer.headers["Server"].lower() and operator.given == []


def test_an_order_with_its_password_arrives(server: MapServer, operator: Operator) -> None:
    for order in orders.ORDERS:
        assert post(server, order).status_code in (200, 202)
    assert operator.given == list(orders.ORDERS)
    answer = post(server, orders.SUPPORT)
    assert answer.content == b"a bundle" and answer.headers["Content-Type"] == "application/gzip"
    assert "no-store" in answer.headers["Cache-Control"] and "attachment" in answer.headers["Content-Disposition"]


@pytest.mark.attack(kind="order to a Pi", on="operator's page", proof="test_an_order_with_its_password_arrives")
def test_a_visitor_gives_no_order(server: MapServer, operator: Operator) -> None:
    for order in orders.ORDERS:
        assert post(server, order, "wrong password").status_code in (403, 429)
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert requests.request(method, f"{server.url}/operator", timeout=60).status_code in (403, 405)
    for path in ("/operator/", "/operator/page.sock", "/operator%2fpage.sock", "/operator?order=support"):
        assert b"a bundle" not in server.get(path).content
    assert operator.given == []


@pytest.mark.attack(kind="password guessed", on="operator's page")
def test_guessing_ends_after_five_whatever_address_is_claimed(server: MapServer, operator: Operator) -> None:
    names = ("X-Visitor", "X-Forwarded-For", "X-Real-IP")
    claims = [dict.fromkeys(names, f"192.0.2.{number}") for number in range(7)]
    guesses = [post(server, orders.SUPPORT, f"guess {n}", headers=claim) for n, claim in enumerate(claims)]
    assert [answer.status_code for answer in guesses] == [403] * 5 + [429] * 2
    assert int(guesses[-1].headers["Retry-After"]) > 0
    # Without that bound the next is looked at.
    operator.page.guesses = Guesses()
    assert post(server, orders.SUPPORT, "guess 8").status_code == 403


@pytest.mark.attack(kind="password in clear", on="operator's page")
def test_https_cannot_be_claimed(server: MapServer, operator: Operator) -> None:
    operator.page.over_http = False
    claims = {"X-Scheme": "https", "X-Forwarded-Proto": "https"}
    assert server.get("/operator", headers=claims).status_code == 403
    assert post(server, orders.SUPPORT, headers=claims).status_code == 403 and operator.given == []
    operator.page.over_http = True
    assert post(server, orders.SUPPORT).status_code == 200


def test_a_large_order_does_not_arrive(server: MapServer, operator: Operator) -> None:
    answer = post(server, "x" * 100_000)
    assert answer.status_code == 413 and operator.given == []
    # One that nginx lets through is judged by the program.
    assert post(server, "x" * 1500).status_code == 400


@pytest.mark.attack(kind="taken-over part", on="operator's page")
def test_who_draws_maps_cannot_speak_to_the_page(server: MapServer, operator: Operator) -> None:
    """QGIS Server's user, whom an expression might move to something, is not nginx's."""
    code, said = server.run(*CONNECT, user="qgis")
    assert code != 0 and "Permission denied" in said
    # It is the user that makes the difference.
    assert server.run(*CONNECT, user="www-data") == (0, "")


@pytest.mark.parametrize("user", ["www-data", "qgis", "root"])
@pytest.mark.attack(kind="taken-over part", on="operator's page", proof="test_elsewhere_the_same_can_be_written")
def test_nothing_can_be_put_in_place_of_the_page(server: MapServer, operator: Operator, user: str) -> None:
    for command in (f"rm {SOCKET}", f"touch {SOCKET}.new", f"ln -s /tmp/x {SOCKET}.link", f"mv {SOCKET} {SOCKET}.old"):
        assert server.run("sh", "-c", command, user=user)[0] != 0
    assert [path.name for path in operator.place.parent.iterdir()] == ["page.sock"]


def test_elsewhere_the_same_can_be_written(server: MapServer) -> None:
    place = "/tmp/page.sock"
    for command in (f"touch {place}", f"ln -s /tmp/x {place}.link", f"mv {place} {place}.old", f"rm {place}.old"):
        assert server.run("sh", "-c", command)[0] == 0, command


def test_no_container_has_the_helpers_socket(server: MapServer) -> None:
    assert server.run("test", "-e", operator_page.HELPER)[0] != 0
    assert server.run("sh", "-c", "find / -xdev -name docker.sock 2> /dev/null")[1] == ""


def test_the_page_needs_neither_the_database_nor_php_nor_qgis_server(server: MapServer, operator: Operator) -> None:
    for name in ("qgis-watchdog", "qgis-server", "php-fpm", "queue"):
        code, said = server.run("s6-svc", "-dK", f"/run/service/{name}", user="root")
        assert code == 0, said
    try:
        assert server.get("/operator").status_code == 200
        assert post(server, orders.RESTART_DATABASE).status_code == 202
        assert operator.given == [orders.RESTART_DATABASE]
    finally:
        for name in ("queue", "php-fpm", "qgis-server", "qgis-watchdog"):
            server.run("s6-svc", "-u", f"/run/service/{name}", user="root")


def test_where_there_is_no_such_page_that_is_said(server: MapServer, operator: Operator) -> None:
    aside = operator.place.with_name("aside")
    operator.place.rename(aside)
    try:
        answer = server.get("/operator")
        assert answer.status_code == 503 and "pi_page_operator_password" in answer.text
    finally:
        aside.rename(operator.place)
    assert server.get("/operator").status_code == 200
