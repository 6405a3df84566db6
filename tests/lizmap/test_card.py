"""Visitors fill neither the card nor the memory, and a flood of theirs hides nobody's cause of a failure.

What bounds something is taken back in the same test, where it can be, to show that it is what bounds.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.images import building
from tests.images.map_server import wait_until
from tests.lizmap.browser import Browser
from tests.lizmap.conftest import Query, Start
from tests.lizmap.lizmap import ADMIN_PASSWORD, Lizmap, other_version
from tests.lizmap.test_state import ACCOUNTS, NEWER, versions
from workshop.bench.hostile_day import Flood, card_bytes_per_hostile_day, limits

IMAGE = building.ROOT / "images" / "lizmap"
INSIDE = "/usr/local/lib/poppyfield"
REPORT = building.ROOT / "build" / "reports" / "hostile-day.json"
ALONE = {"QGIS_SERVER_WORKERS": "1"}
UNWATCHED = {"test": ["NONE"]}
"""Only the test asks the health check."""
MB = 1 << 20
FILTER_BYTES = 23_000
"""Of the address of a request, which has room for 32 kB."""


def changed(folder: Path, name: str, *changes: tuple[str, str]) -> dict[str, str]:
    """Give a mount of a file of the image in which each text is replaced by another one."""
    text = (IMAGE / name).read_text("utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path = folder / name.replace("/", "-")
    path.write_text(text, "utf-8")
    path.chmod(0o755)
    return {str(path): f"{INSIDE}/{name}"}


def janitor(folder: Path, **settings: str) -> dict[str, str]:
    """Give a mount of the janitor that looks each second, with other limits."""
    text = (IMAGE / "services" / "janitor" / "run").read_text("utf-8")
    changes = [("sleep 15", "sleep 1"), ("look % 4 ", "look % 1 ")]
    for name, value in settings.items():
        (line,) = re.findall(rf"^{name}=.*$", text, re.MULTILINE)
        changes.append((line, f"{name}={value}"))
    return changed(folder, "services/janitor/run", *changes)


def undefended(folder: Path) -> dict[str, str]:
    """Give the mounts with which logs and sessions are as they were: on the card or without a limit, never swept."""
    return {
        **changed(folder, "bounded-log", ("exec setsid", "exec cat #")),
        **changed(folder, "services/janitor/run", ("set -euo pipefail", "exec sleep infinity")),
        **changed(folder, "web-client/configure", ("if [[ ! -L $1/lizmap/var/log ]]; then", "if false; then")),
    }


def held(folder: Path) -> int:
    """Give how many bytes a folder takes on its disk."""
    files = (path for path in folder.rglob("*") if not path.is_symlink())
    return sum(path.stat().st_blocks * 512 for path in files)


def size_of_log(server: Lizmap) -> int:
    """Give how much the container wrote."""
    return len(server.container.logs())


def hostile(number: int) -> str:
    """Give the address of a request that fails and is written down: it asks for features by a long filter."""
    parameters = f"SERVICE=WFS&VERSION=1.1.0&REQUEST=GetFeature&TYPENAME=meadow&EXP_FILTER=nothing_{number}"
    return f"/index.php/lizmap/service?repository=fields&project=meadow&{parameters}{'x' * 20_000}{'(' * 3_000}"


def flood(server: Lizmap, folder: Path, requests_sent: int) -> Flood:
    """Send requests of somebody who keeps no cookies, and measure what they had written."""
    log, state, began = size_of_log(server), held(folder / "state"), time.monotonic()
    for number in range(requests_sent):
        server.get(hostile(number))
        server.page()
    seconds = time.monotonic() - began
    return Flood(2 * requests_sent, seconds, size_of_log(server) - log, held(folder / "state") - state)


def sessions(server: Lizmap) -> list[str]:
    """Name the files of the sessions."""
    _, found = server.run("find", "/tmp/sessions", "-name", "sess_*")
    return found.split()


@contextmanager
def stopped(server: Lizmap, service: str) -> Iterator[None]:
    """Stop a service meanwhile: what is bounded by it is not."""
    folder = f"/run/service/{service}"
    assert server.run("s6-svc", "-wD", "-T", "10000", "-d", folder, user="root")[0] == 0
    yield
    assert server.run("s6-svc", "-u", folder, user="root")[0] == 0


def logged_in(server: Lizmap) -> Browser:
    """Log the administrator in."""
    browser = Browser(server.url)
    assert browser.log_in("admin", ADMIN_PASSWORD)
    return browser


@pytest.mark.attack(kind="flood of the card", on="Lizmap", proof=None)
def test_a_flood_leaves_little_on_the_card(start: Start, tmp_path: Path) -> None:
    left: dict[str, Flood] = {}
    for name, mounts in (("undefended", undefended(tmp_path)), ("defended", {})):
        with start(mounts=mounts, environment=ALONE, healthcheck=UNWATCHED) as server:
            server.wait_until_healthy()
            if name == "undefended":
                server.publish("fields", "__anonymous", "users")
            left[name] = flood(server, tmp_path, 60)
    bad, good = left["undefended"], left["defended"]
    assert bad.log_bytes > 60 * FILTER_BYTES and bad.folder_bytes > 60 * FILTER_BYTES
    # What nginx, PHP and QGIS Server may write at once; and rows of the table.
    assert good.log_bytes < 3 * (300 << 10)
    assert good.folder_bytes < 200 << 10
    told = {
        "card_bytes_per_hostile_day": card_bytes_per_hostile_day(good),
        "without_limits": card_bytes_per_hostile_day(bad, type(limits())(1 << 60, 1 << 60)),
    }
    assert told["card_bytes_per_hostile_day"] < 400 * MB < told["without_limits"]
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


@pytest.mark.attack(kind="flood of Lizmap's log", on="Lizmap", proof="test_a_flood_leaves_little_on_the_card")
def test_lizmaps_log_keeps_its_end_and_fills_nothing(start: Start, tmp_path: Path) -> None:
    with start(mounts=janitor(tmp_path), environment=ALONE) as server:
        server.wait_until_healthy()
        fill = "head -c 100M /dev/zero | tr '\\0' x >> /tmp/log/errors.log"
        assert server.run("sh", "-c", fill)[0] != 0
        # Sessions and uploads have room all the same.
        assert server.page().status_code in {200, 303}
        assert server.run("sh", "-c", "head -c 64M /dev/zero > /tmp/enough && rm /tmp/enough")[0] == 0
        size = ("stat", "--format=%s", "/tmp/log/errors.log")
        wait_until(lambda: int(server.run(*size)[1]) < MB, "the log is shortened", server.log)
        assert server.run("sh", "-c", "echo 'the latest' >> /tmp/log/errors.log")[0] == 0
        assert "the latest" in server.run("sh", "-c", "cat /srv/lizmap/*/lizmap/var/log/errors.log")[1]


# Sessions ------------------------------------------------------------------------------------------------------------


@pytest.mark.attack(kind="flood of sessions", on="Lizmap", proof=None)
def test_too_many_sessions_push_out_those_of_who_never_came_back(start: Start, tmp_path: Path) -> None:
    with start(mounts=janitor(tmp_path, most_sessions="20"), environment=ALONE, healthcheck=UNWATCHED) as server:
        server.wait_until_healthy()
        honest = logged_in(server)
        began = time.monotonic()
        while time.monotonic() < began + 6:
            assert honest.is_logged_in()
        with stopped(server, "janitor"):
            for _ in range(60):
                server.page()
            assert len(sessions(server)) > 60
        wait_until(lambda: len(sessions(server)) <= 20, "the sessions are swept", server.log)
        assert honest.is_logged_in()


def test_a_session_ends_when_it_rests_or_lasts_too_long(start: Start, tmp_path: Path) -> None:
    with start(mounts=janitor(tmp_path, absolute_seconds="15"), environment=ALONE, healthcheck=UNWATCHED) as server:
        server.wait_until_healthy()
        resting, used = logged_in(server), logged_in(server)
        assert resting.is_logged_in() and used.is_logged_in()
        name = f"/tmp/sessions/sess_{resting.session.cookies['PHPSESSID']}"
        assert server.run("touch", "--date=3 hours ago", name)[0] == 0
        wait_until(lambda: name not in sessions(server), "the session that rested ends", server.log)
        assert used.is_logged_in() and not resting.is_logged_in()
        wait_until(lambda: not used.is_logged_in(), "the session that is used all the time ends", server.log)


def test_a_visitor_does_not_choose_the_name_of_a_session(start: Start) -> None:
    with start(environment=ALONE) as server:
        server.wait_until_healthy()
        chosen = {"PHPSESSID": "a" * 26}
        answer = server.get("/index.php/view/", cookies=chosen)
        assert answer.cookies["PHPSESSID"] != chosen["PHPSESSID"]


# What Lizmap keeps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accounts", ACCOUNTS)
def test_the_table_of_what_visitors_did_is_pruned_while_they_go_on(
    start: Start, tmp_path: Path, query: Query, accounts: str
) -> None:
    query("DROP SCHEMA IF EXISTS lizmap CASCADE")
    environment = {**ALONE, "LIZMAP_ACCOUNTS": accounts}
    with start(environment=environment) as server:
        server.wait_until_healthy()
        ask = _asks_the_table(tmp_path, query, accounts)
        ask(
            "INSERT INTO log_detail (log_user, log_timestamp)"
            " WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 101000)"
            " SELECT 'visitor', CURRENT_TIMESTAMP FROM n"
        )
        rows = "('old', '2020-01-01 00:00:00'), ('new', '2099-01-01 00:00:00')"
        ask(f"INSERT INTO log_detail (log_user, log_timestamp) VALUES {rows}")
        # The janitor looks when it starts, too.
        assert server.run("s6-svc", "-r", "/run/service/janitor", user="root")[0] == 0
        wait_until(
            lambda: ask("SELECT count(*) FROM log_detail WHERE log_user = 'old'") == "0", "it is pruned", server.log
        )
        assert int(ask("SELECT count(*) FROM log_detail")) <= 100_000
        assert ask("SELECT count(*) FROM log_detail WHERE log_user = 'new'") == "1"
        assert server.knows("admin", ADMIN_PASSWORD)


def _asks_the_table(folder: Path, query: Query, accounts: str) -> Callable[[str], str]:
    """Give what runs SQL where the table is."""
    if accounts == "postgis":
        return lambda sql: query(f"SET search_path = lizmap; {sql}").splitlines()[-1]
    (file,) = (folder / "state").glob("*/lizmap/var/db/logs.db")

    def ask(sql: str) -> str:
        with sqlite3.connect(file, timeout=10) as database:
            row = database.execute(sql).fetchone()
        return str(row[0]) if row else ""

    return ask


@pytest.mark.attack(kind="flood of the cache of pictures", on="Lizmap", proof=None)
def test_the_cache_of_pictures_has_a_size(start: Start, tmp_path: Path) -> None:
    cache = tmp_path / "state" / "cache" / "fields"

    def write() -> None:
        for number in range(20):
            picture = cache / f"lizmap_{number}"
            picture.write_bytes(b"x" * 100_000)
            os.utime(picture, (1e9 + number, 1e9 + number))
            os.chown(picture, 33, 33)

    with start(mounts=janitor(tmp_path, pictures_bytes="1000000"), environment=ALONE) as server:
        server.wait_until_healthy()
        with stopped(server, "janitor"):
            cache.mkdir()
            os.chown(cache, 33, 33)
            write()
            assert held(cache) > 1.9 * MB
        wait_until(lambda: held(cache) <= MB, "the cache is bounded", server.log)
        kept = {path.name for path in cache.iterdir()}
        assert "lizmap_19" in kept and "lizmap_0" not in kept and len(kept) > 5


def test_an_upgrade_copies_no_log(start: Start, tmp_path: Path, project_xml: str) -> None:
    with start(environment=ALONE) as server:
        server.wait_until_healthy()
    (first,) = versions(tmp_path)
    # As an image left it that had its log on the card.
    log = tmp_path / "state" / first / "lizmap" / "var" / "log"
    log.unlink()
    log.mkdir()
    (log / "errors.log").write_bytes(b"x" * 5 * MB)
    for path in (log, log / "errors.log"):
        os.chown(path, 33, 33)
    with start(environment=ALONE, mounts=other_version(tmp_path, NEWER, project_xml)) as server:
        server.wait_until_healthy()
        assert server.knows("admin", ADMIN_PASSWORD)
    state = tmp_path / "state"
    assert held(state / NEWER) < held(state / first) - 4 * MB
    assert not list((state / NEWER).rglob("errors.log"))
    # That of before is as it was, for its own container.
    assert (log / "errors.log").stat().st_size == 5 * MB


# Why something failed ------------------------------------------------------------------------------------------------


@pytest.mark.attack(kind="flood that hides a failure", on="Lizmap", proof=None)
def test_a_flood_does_not_hide_why_a_service_ended(start: Start, tmp_path: Path) -> None:
    ends = "(for i in {1..20000}; do echo \"a visitor's words $i\"; done; echo 'the cause') | $0 a-service"
    told: dict[str, str] = {}
    for name, mounts in (("bounded", {}), ("all", undefended(tmp_path))):
        with start(mounts=mounts, environment=ALONE) as server:
            server.wait_until_healthy()
            code, told[name] = server.run("bash", "-c", ends, f"{INSIDE}/bounded-log", user="root")
            assert code == 0
    assert told["bounded"].endswith("the cause\n") and len(told["bounded"]) < 300 << 10 < len(told["all"])
    assert re.search(r"^a-service: \d+ lines were left out of the log", told["bounded"], re.MULTILINE)


def test_what_the_health_check_found_is_told_when_it_has_passed(start: Start) -> None:
    with start(environment=ALONE, healthcheck=UNWATCHED) as server:
        server.wait_until_healthy()
        assert server.run("healthcheck") == (0, "")
        with stopped(server, "nginx"):
            for _ in range(2):
                assert server.run("healthcheck") == (1, "healthcheck: nginx did not answer.\n")
        server.wait_until_healthy()
        code, said = server.run("healthcheck")
        assert (code, said.count("nginx did not answer.")) == (0, 1)
        assert said.startswith("Found earlier: 20")
