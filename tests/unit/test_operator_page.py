"""The operator's page: what it takes, from whom, and what the helper of root makes of it."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import os
import socket
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from ansible.module_utils.poppyfield.host.stack_status import DockerAnswers
from ansible.module_utils.poppyfield.pi_page import (
    operator_login,
    operator_page,
    operator_units,
    order_helper,
    orders,
    program,
    support,
    words,
)
from ansible.module_utils.poppyfield.pi_page.operator_login import Guesses
from ansible.module_utils.poppyfield.pi_page.operator_page import OperatorPage, OperatorRequest
from ansible.module_utils.poppyfield.pi_page.order_helper import OrderHelper
from ansible.module_utils.poppyfield.runs import lock
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_pi_page import container

Json = dict[str, Any]
PASSWORD = "correct horse battery"
KEPT = operator_login.kept(PASSWORD, "", lambda count: b"s" * count)


# The words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", orders.ORDERS)
def test_each_order_is_taken_as_it_is_written(order: str) -> None:
    assert orders.order_of(order.encode() + b"\n") == order


@given(st.binary(max_size=60))
def test_nothing_else_is_an_order(said: bytes) -> None:
    if said not in [order.encode() + orders.END for order in orders.ORDERS]:
        assert orders.order_of(said) is None


@pytest.mark.parametrize(
    "said",
    [
        b"shut-down",
        b"SHUT-DOWN\n",
        b" shut-down\n",
        b"shut-down \n",
        b"shut-down\r\n",
        b"shut-down\nsupport\n",
        b"\n",
        b"",
    ],
)
def test_an_order_has_one_spelling(said: bytes) -> None:
    assert orders.order_of(said) is None


def test_an_order_is_not_taken_twice_at_once() -> None:
    given = {orders.SUPPORT: 100.0}
    assert orders.is_too_soon(orders.SUPPORT, given, 105.0) and not orders.is_too_soon(orders.SUPPORT, given, 110.0)
    assert not orders.is_too_soon(orders.SHUT_DOWN, given, 105.0)
    # Since another start of the Pi.
    assert not orders.is_too_soon(orders.SUPPORT, given, 5.0)


@pytest.mark.parametrize("state", [None, [], "x", {"support": "1"}, {"evil": 5}])
def test_what_is_remembered_wrongly_is_not_remembered(state: Any) -> None:
    assert orders.given_of(state) == {}


def test_the_helpers_reply_is_one_of_a_few() -> None:
    assert orders.reply_of(b"accepted\n") == orders.ACCEPTED
    assert orders.reply_of(b"") == orders.BUSY and orders.reply_of(b"nonsense\n") == orders.FAILED


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_each_order_and_each_reply_has_its_words(language: str) -> None:
    assert set(orders.ORDERS) <= set(words.LABELS[language])
    wanted = {*orders.ORDERS, *orders.REPLIES} - {orders.SUPPORT, orders.ACCEPTED}
    assert wanted | {"not_understood", "wrong_password", "guessing", "needs_https"} == set(words.ORDERED[language])
    assert set(operator_page.STATUSES) == set(orders.REPLIES)


# The password -------------------------------------------------------------------------------------------------------


def test_of_a_password_a_salted_digest_is_kept_and_stays() -> None:
    assert PASSWORD not in KEPT
    assert operator_login.is_right(PASSWORD, KEPT) and not operator_login.is_right(f"{PASSWORD} ", KEPT)
    assert operator_login.kept(PASSWORD, KEPT, os.urandom) == KEPT
    assert operator_login.kept(PASSWORD, "", os.urandom) != operator_login.kept(PASSWORD, "", os.urandom)


@pytest.mark.parametrize(
    "line", ["", "scrypt-14-8-1", "plain:00:00", "scrypt-14-8-1:zz:00", "scrypt-14-8-1::", "a:b:c"]
)
def test_without_a_digest_no_password_is_right(line: str) -> None:
    assert not operator_login.is_right("", line) and not operator_login.is_right(PASSWORD, line)


def test_an_address_guesses_five_times_and_then_once_in_twelve_seconds() -> None:
    guesses = Guesses()
    for _ in range(operator_login.FREE_GUESSES):
        assert guesses.wait("10.0.0.9", 0.0) == 0
        guesses.wrong("10.0.0.9", 0.0)
    assert guesses.wait("10.0.0.9", 0.0) == 12 and guesses.wait("10.0.0.9", 12.0) == 0
    # Nobody else waits for it.
    assert guesses.wait("10.0.0.8", 0.0) == 0
    guesses.wrong("10.0.0.9", 12.0)
    assert guesses.wait("10.0.0.9", 12.0) == 12
    assert guesses.wait("10.0.0.9", 1000.0) == 0


def test_who_has_many_addresses_takes_no_more_memory() -> None:
    guesses = Guesses()
    for number in range(operator_login.MOST_ADDRESSES + 10):
        guesses.wrong(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}", 0.0)
    assert len(guesses._spent) == operator_login.MOST_ADDRESSES


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.168.1.7", "192.168.1.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("nonsense\nevil", ""),
    ],
)
def test_a_visitor_is_an_address_or_a_network(address: str, counted: str) -> None:
    assert operator_login.visitor(address) == counted


# The page -----------------------------------------------------------------------------------------------------------


class Helper:
    """Notes which orders it got."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.reply = orders.ACCEPTED

    def __call__(self, order: str) -> tuple[str, bytes]:
        self.orders.append(order)
        return self.reply, b"a bundle"


@pytest.fixture
def helper() -> Helper:
    return Helper()


@pytest.fixture
def page(helper: Helper) -> OperatorPage:
    return OperatorPage("pi <orchard>", KEPT, False, helper, lambda: 0.0)


def posted(
    order: str = orders.RESTART_DATABASE, password: str = PASSWORD, *, address: str = "10.0.0.5", **more: Any
) -> OperatorRequest:
    body = more.pop("body", urlencode({"order": order, "password": password}).encode())
    return OperatorRequest("POST", address, more.pop("is_secure", True), more.pop("language", "en"), body)


def test_the_form_asks_for_an_order_and_a_password(page: OperatorPage, helper: Helper) -> None:
    for language in words.LANGUAGES:
        shown = page.answer(OperatorRequest("GET", "10.0.0.5", True, language))
        text = shown.body.decode()
        assert shown.status == 200 and "pi &lt;orchard&gt;" in text and f'lang="{language}"' in text
        assert all(f'value="{order}"' in text and words.LABELS[language][order] in text for order in orders.ORDERS)
        assert "<script" not in text
    assert helper.orders == []


@pytest.mark.parametrize("order", [one for one in orders.ORDERS if one != orders.SUPPORT])
def test_an_order_with_its_password_is_given_on(page: OperatorPage, helper: Helper, order: str) -> None:
    answer = page.answer(posted(order, language="fr"))
    assert answer.status == 202 and words.ORDERED["fr"][order] in answer.body.decode()
    assert helper.orders == [order] and answer.log == f"10.0.0.5: {order}: accepted"
    assert "<form" not in answer.body.decode()


def test_support_gets_a_file(page: OperatorPage) -> None:
    answer = page.answer(posted(orders.SUPPORT))
    assert (answer.status, answer.body) == (200, b"a bundle")
    assert answer.headers["Content-Type"] == "application/gzip"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="poppyfield-support-')


@pytest.mark.parametrize("reply", [one for one in orders.REPLIES if one != orders.ACCEPTED])
def test_what_the_helper_refuses_is_said(page: OperatorPage, helper: Helper, reply: str) -> None:
    helper.reply = reply
    for order in (orders.SHUT_DOWN, orders.SUPPORT):
        answer = page.answer(posted(order))
        assert answer.status >= 400 and words.ORDERED["en"][reply] in answer.body.decode()


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD.upper(), PASSWORD[:-1], "x" * 500])
@pytest.mark.attack(
    kind="order to a Pi", on="operator's page", spellings=True, proof="test_an_order_with_its_password_is_given_on"
)
def test_without_the_password_nothing_is_given_on(page: OperatorPage, helper: Helper, password: str) -> None:
    assert page.answer(posted(password=password)).status in (400, 403)
    assert helper.orders == []


@pytest.mark.attack(kind="password guessed", on="operator's page")
def test_guessing_ends_after_five(page: OperatorPage, helper: Helper) -> None:
    answers = [page.answer(posted(password=f"guess number {number}")) for number in range(7)]
    assert [one.status for one in answers] == [403] * 5 + [429] * 2
    assert int(answers[-1].headers["Retry-After"]) == 13
    assert answers[0].log == "10.0.0.5: wrong password" and "guess" not in "".join(one.log for one in answers)
    # Not even with the right one; but who comes from elsewhere is not held up.
    assert page.answer(posted()).status == 429 and helper.orders == []
    assert page.answer(posted(address="10.0.0.6")).status == 202
    # Without that bound the sixth would have been looked at.
    page.guesses = Guesses()
    assert page.answer(posted(password="guess number 8")).status == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"order=shut-down",
        b"order=format&password=" + PASSWORD.encode(),
        b"order=shut-down&order=support&password=x",
        b"order=shut-down&password=a&password=b",
        b"order=shut-down%0Asupport&password=x",
        b"\xff\xfe",
        b"&".join(b"a=b" for _ in range(100)),
        b"order=../../x&password=x",
        b"order=shut-down&password=%FF",
    ],
)
@pytest.mark.attack(kind="order to a Pi", on="operator's page", proof="test_an_order_with_its_password_is_given_on")
def test_what_is_no_order_is_not_given_on(page: OperatorPage, helper: Helper, body: bytes) -> None:
    assert page.answer(posted(body=body)).status == 400 and helper.orders == []


def test_in_clear_nothing_is_taken_unless_the_inventory_allows_it(page: OperatorPage, helper: Helper) -> None:
    answer = page.answer(posted(is_secure=False))
    assert answer.status == 403 and "HTTPS" in answer.body.decode() and helper.orders == []
    assert b"<form" not in page.answer(OperatorRequest("GET", "", False, "en")).body
    page.over_http = True
    assert page.answer(posted(is_secure=False)).status == 202


# The server ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(page: OperatorPage, tmp_path: Path) -> Iterator[Callable[..., tuple[int, bytes]]]:
    """Give what asks the program at a socket, as nginx does."""
    path = str(tmp_path / "page.sock")
    inherited = socket.socket(socket.AF_UNIX)
    inherited.bind(path)
    inherited.listen(8)
    server = operator_page.OperatorServer(page, inherited)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def ask(method: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        with closing(program.DockerSocketConnection(path)) as connection:
            connection.request(method, "/operator", body, {"X-Scheme": "https", "X-Visitor": "10.0.0.7", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()

    yield ask
    server.shutdown()
    thread.join()
    inherited.close()


def test_the_program_answers_at_its_socket(served: Any, helper: Helper, capsys: Any) -> None:
    status, body = served("GET", **{"X-Language": "fr"})
    assert status == 200 and b'lang="fr"' in body
    assert served("GET", **{"X-Language": "evil"})[1].count(b'lang="en"') == 1
    assert served("POST", posted().body)[0] == 202
    assert helper.orders == [orders.RESTART_DATABASE]
    assert capsys.readouterr().err == "10.0.0.7: restart-database: accepted\n"
    for length in ("5000", "-1", "five"):
        assert served("POST", **{"Content-Length": length})[0] == 413
    assert served("GET", **{"X-Scheme": "http"})[0] == 403
    # And still answers.
    assert served("GET")[0] == 200


def test_a_connection_that_breaks_is_told_in_a_line(
    served: Any, helper: Helper, page: OperatorPage, capsys: Any
) -> None:
    def fail(_: str) -> tuple[str, bytes]:
        raise RuntimeError("secret")

    page.give = fail
    with pytest.raises(http.client.RemoteDisconnected):
        served("POST", posted().body)
    assert capsys.readouterr().err == "a request failed: RuntimeError\n"
    page.give = helper
    assert served("GET")[0] == 200


def test_it_ends_when_nobody_comes(page: OperatorPage, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as inherited:
        inherited.bind(str(tmp_path / "idle.sock"))
        inherited.listen()
        server = operator_page.OperatorServer(page, inherited)
        server.timeout = 0
        server.handle_request()
        assert server.is_idle


# The helper ---------------------------------------------------------------------------------------------------------


def said_to_helper(*pieces: bytes) -> str | None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for piece in pieces:
            ours.sendall(piece)
        ours.shutdown(socket.SHUT_WR)
        return order_helper.read_order(theirs)


def test_the_helper_reads_a_word_and_no_more() -> None:
    assert said_to_helper(b"shut", b"-down\n") == orders.SHUT_DOWN
    for more in (b"shut-down\nmore", b"x" * 1000, b"", b"shut-down", b"restart-database\n\n"):
        assert said_to_helper(more) is None


def test_who_says_nothing_does_not_hold_the_helper_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_helper, "ORDER_SECONDS", 0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert order_helper.read_order(theirs) is None


class Pi:
    """A Pi whose engine is told what to do; it notes that, and what was answered when."""

    def __init__(self, folder: Path) -> None:
        self.done: list[str] = []
        self.containers: list[Json] = [container("postgis"), container("lizmap"), self.foreign()]
        self.fails = ""
        self.helper = OrderHelper(
            lambda said: self.done.append(f"reply {said.decode().splitlines()[0]}"),
            folder,
            lambda: DockerAnswers(info={"ServerVersion": "26"}, own_containers=tuple(self.containers[:2])),
            self.tell,
            self.command,
        )

    @staticmethod
    def foreign() -> Json:
        """Somebody else's, by the same name."""
        found = container("postgis")
        return {**found, "Id": "foreign", "Config": {**found["Config"], "Labels": {}}}

    def tell(self, path: str) -> bool:
        self.done.append(path)
        return not (self.fails and self.fails in path)

    def command(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        self.done.append(" ".join(command))
        return subprocess.CompletedProcess(command, int(bool(self.fails and self.fails in command)))


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pi:
    monkeypatch.setattr(lock, "FOLDER", tmp_path / "lock")
    return Pi(tmp_path)


@pytest.mark.parametrize(("order", "service"), orders.RESTARTS.items())
def test_one_container_is_restarted_and_no_other(pi: Pi, order: str, service: str) -> None:
    (wanted,) = [one["Id"] for one in pi.containers[:2] if service in one["Name"]]
    pi.helper.do(order)
    # It answers first: with the map server the way to whoever asked ends.
    assert pi.done == [
        "reply accepted",
        f"/containers/{wanted}/restart",
        "systemctl start --no-block poppyfield-page.service",
    ]
    assert not (lock.FOLDER / lock.NAME).exists()


def test_a_paused_container_goes_on_first(pi: Pi) -> None:
    pi.containers[0]["State"]["Paused"] = True
    pi.helper.do(orders.RESTART_DATABASE)
    assert [one.rpartition("/")[2] for one in pi.done if one.startswith("/containers")] == ["unpause", "restart"]


def test_one_that_cannot_be_restarted_is_told(pi: Pi) -> None:
    pi.fails = "restart"
    assert "could not be restarted" in pi.helper.do(orders.RESTART_DATABASE)


def test_the_one_that_serves_is_restarted_and_not_the_one_before(pi: Pi) -> None:
    previous = {**pi.containers[1], "Id": "previous", "Name": "/websig-lizmap-previous"}
    found = order_helper.of_service([previous, pi.containers[1]], "lizmap")
    assert found is not None and found["Id"] == pi.containers[1]["Id"]
    assert order_helper.of_service([previous], "lizmap") is None
    assert order_helper.of_service([Pi.foreign()], "postgis") is None


def test_a_container_that_is_not_there_is_missing(pi: Pi) -> None:
    pi.containers = [pi.containers[0], pi.foreign(), pi.foreign()]
    pi.helper.do(orders.RESTART_MAP_SERVER)
    assert pi.done == ["reply missing"]
    # It may be asked for again at once.
    assert pi.helper.do(orders.RESTART_MAP_SERVER) == orders.MISSING


def test_nothing_is_restarted_during_a_run(pi: Pi) -> None:
    lock.take({"machine": "laptop", "process": "5"})
    assert pi.helper.do(orders.RESTART_DATABASE) == orders.BUSY and pi.done == ["reply busy"]
    # But the Pi can be shut down: the alternative is its plug.
    pi.helper.do(orders.SHUT_DOWN)
    assert pi.done[-1] == "systemctl poweroff --no-block"


def test_the_same_order_waits_a_minute(pi: Pi) -> None:
    pi.helper.do(orders.RESTART_DATABASE)
    assert pi.helper.do(orders.RESTART_DATABASE) == orders.TOO_SOON
    assert pi.done[-1] == "reply too_soon" and sum("restart" in one for one in pi.done) == 1
    pi.helper.do(orders.RESTART_MAP_SERVER)
    assert sum("/restart" in one for one in pi.done) == 2


def test_the_pi_shuts_down_once_both_have_ended_the_database_last(pi: Pi) -> None:
    said = pi.helper.do(orders.SHUT_DOWN)
    names = {one["Id"]: one["Name"] for one in pi.containers[:2]}
    stopped = [names[one.split("/")[2]] for one in pi.done if "/stop?t=300" in one]
    assert [("lizmap" in one, "postgis" in one) for one in stopped] == [(True, False), (False, True)]
    assert pi.done[0] == "reply accepted" and pi.done[-1] == "systemctl poweroff --no-block"
    assert said.endswith("the Pi shuts down")


@pytest.mark.parametrize("fails", ["postgis", "poweroff"])
def test_a_pi_that_cannot_be_shut_down_goes_on(pi: Pi, fails: str) -> None:
    (database,) = [one["Id"] for one in pi.containers[:2] if "postgis" in one["Name"]]
    pi.fails = f"{database}/stop" if fails == "postgis" else fails
    assert "all goes on" in pi.helper.do(orders.SHUT_DOWN)
    assert next(one for one in pi.done if one.endswith("/start")) == f"/containers/{database}/start"
    assert len([one for one in pi.done if one.endswith("/start")]) == 2


def test_what_is_no_order_is_refused_by_the_program(capsys: Any) -> None:
    assert through_main(b"reboot\n") == b"unknown\n"
    assert capsys.readouterr().err == "something that is no order was refused\n"


def test_a_failure_is_told_without_what_it_says(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def fail(*_: Any) -> str:
        raise OSError("secret")

    monkeypatch.setattr(OrderHelper, "do", fail)
    assert through_main(b"support\n") == b"failed\n"
    assert capsys.readouterr().err == "support: failed: OSError\n"


def through_main(said: bytes) -> bytes:
    """Give what the program answers on a connection that systemd hands over as its input."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(said)
        with pytest.MonkeyPatch.context() as patch, theirs.makefile("rb") as stdin:
            number = os.dup(theirs.fileno())
            patch.setattr("sys.stdin", type("Stdin", (), {"fileno": lambda self: number})())
            theirs.close()
            assert order_helper.main() == 0
            stdin.close()
        return ours.recv(100)


# What support gets --------------------------------------------------------------------------------------------------

SECRETS = {
    "one of the Pi's own files": "Zq7w-known",
    "a password in a statement": "hunter-two",
    "a password with a quote": "it''s-mine",
    "a connection": "conn3ction",
    "an address": "in-the-url",
    "a header": "dXNlcjpwYXNz",
    "a cookie": "cookie-of-a-session",
    "a key": "MIIEvQIBADANBgkq",
    "settings": "json-secret",
    "in an address's query": "of-the-query",
}
LOG = f"""2026-11-29 LOG:  ready, opened {SECRETS["one of the Pi's own files"]}
STATEMENT:  ALTER ROLE ann PASSWORD '{SECRETS["a password in a statement"]}';
STATEMENT:  CREATE ROLE bob LOGIN PASSWORD E'{SECRETS["a password with a quote"]}';
dbname='gis' host=postgis user='ann' password='{SECRETS["a connection"]}' sslmode=disable
fetched https://ann:{SECRETS["an address"]}@example.org/x
Authorization: Basic {SECRETS["a header"]}
Set-Cookie: PHPSESSID={SECRETS["a cookie"]}; path=/
-----BEGIN PRIVATE KEY-----
{SECRETS["a key"]}
-----END PRIVATE KEY-----
{{"adminPassword": "{SECRETS["settings"]}", "port": 25}}
GET /index.php?password={SECRETS["in an address's query"]}&x=1 HTTP/1.1
database system was shut down
"""


def test_what_support_gets_has_no_secret_and_what_it_needs() -> None:
    assert all(secret in LOG for secret in SECRETS.values())
    told = support.without_secrets(LOG, {SECRETS["one of the Pi's own files"]})
    assert [name for name, secret in SECRETS.items() if secret in told] == []
    assert "ALTER ROLE ann" in told and "host=postgis" in told and '"port": 25' in told and "&x=1 HTTP/1.1" in told
    assert "database system was shut down" in told


def test_the_secrets_of_a_pi_are_what_its_files_hold() -> None:
    assert support.secrets_of(b"s3cret-word\n") == {"s3cret-word"}
    settings = {"mailer": {"smtpPassword": "of-the-mail", "host": "mail.example"}, "users": [{"password": "of-ann"}]}
    assert support.secrets_of(json.dumps(settings).encode()) == {"of-the-mail", "of-ann"}
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n"
    assert "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" in support.secrets_of(key.encode())
    # What would hide half of each text.
    assert support.secrets_of(b"5\n") == set() and support.secrets_of(b"") == set()


def test_the_secrets_are_read_from_the_pi_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "postgis_password").write_text("of-the-database")
    (tmp_path / "elsewhere").symlink_to("/etc/hostname")
    assert order_helper.known_secrets(tmp_path) == {"of-the-database"}


def test_a_bundle_has_a_bound_and_gives_no_terminal_orders() -> None:
    long = "\n".join(f"{number} line" for number in range(200_000))
    made = support.bundle({"a.log": f"\x1b[2Jclear {SECRETS['a key']}", "b.log": long}, {SECRETS["a key"]}, 5)
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        texts = {one.name: archive.extractfile(one).read().decode() for one in archive.getmembers()}  # type: ignore[union-attr]
    assert texts["poppyfield-support/a.log"] == f"clear {support.HIDDEN}"
    assert len(texts["poppyfield-support/b.log"]) <= support.MOST_BYTES
    assert texts["poppyfield-support/b.log"].endswith("199999 line") and gzip.decompress(made)


def test_the_log_of_a_container_is_read_as_the_engine_writes_it() -> None:
    raw = b"".join(
        bytes([kind, 0, 0, 0]) + len(text).to_bytes(4, "big") + text for kind, text in [(1, b"a\n"), (2, b"b\n")]
    )
    assert support.log_of(raw) == "a\nb\n" and support.log_of(b"plain\n") == "plain\n"
    # Cut off in a piece.
    assert support.log_of(raw[:-1]) == "a\nb" and support.log_of(b"") == ""


def test_support_gets_the_state_and_the_logs(pi: Pi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    got: list[bytes] = []
    pi.helper.reply = got.append
    monkeypatch.setattr(order_helper, "log_of", lambda one: f"log of {one['Name']} with s3cret-word")
    monkeypatch.setattr(order_helper, "known_secrets", lambda: {"s3cret-word"})
    monkeypatch.setattr(program, "said_by", lambda *words: f"{words[0]} said")
    pi.helper.do(orders.SUPPORT)
    reply, _, content = got[0].partition(b"\n")
    assert reply == b"accepted"
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        texts = {one.name: archive.extractfile(one).read().decode() for one in archive.getmembers()}  # type: ignore[union-attr]
    assert json.loads(texts["poppyfield-support/stack.json"])["containers"]
    assert [name for name in texts if "/containers/" in name and texts[name].endswith("(hidden)")]
    assert texts["poppyfield-support/kernel.log"] == "journalctl said"


# The units ----------------------------------------------------------------------------------------------------------


def test_nobody_else_may_reach_the_sockets_and_neither_program_more_than_it_needs() -> None:
    units = operator_units.UNITS
    assert "SocketMode=0600\n" in units["poppyfield-orders.socket"]
    assert "SocketUser=www-data\nSocketGroup=www-data\nSocketMode=0660\n" in units["poppyfield-operator.socket"]
    # What the map server has mounted holds the one socket, and not that of root's helper.
    assert operator_units.PLACE.startswith(f"{program.FOLDER}/") and not operator_page.HELPER.startswith(program.FOLDER)
    page_unit = units["poppyfield-operator.service"]
    assert "User=poppyfield-operator\n" in page_unit and "\nCapabilityBoundingSet=\n" in page_unit
    for name in ("poppyfield-operator.service", "poppyfield-orders@.service"):
        assert "ProtectSystem=strict\n" in units[name] and "NoNewPrivileges=yes\n" in units[name]
