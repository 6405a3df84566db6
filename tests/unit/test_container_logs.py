"""container_logs: what the containers wrote becomes files on the laptop, bounded, harmless, and named by the laptop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import engine, logs
from ansible.module_utils.poppyfield.containers.engine import Engine
from docker import errors

from tests.doubles.docker_engine import FakeDocker
from tests.unit.converging import NAME, OLD, converge, fresh

Run = Callable[..., dict[str, Any]]
BOTH = {"postgis": NAME, "lizmap": "websig-lizmap"}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """A Pi with a database that wrote something."""
    host = fresh()
    converge(host)
    host.behaviours[OLD].log = "ready\n\x1b]0;owned\x07\x1b[2Jo\u202ek\n"
    monkeypatch.setattr(Engine, "connect", lambda: Engine(host, errors, host.execute))  # type: ignore[arg-type]
    return host


def test_a_log_becomes_a_file_that_gives_the_terminal_no_orders(
    host: FakeDocker, run_plugin: Run, tmp_path: Path
) -> None:
    done = run_plugin("container_logs", containers={"postgis": NAME}, folder=str(tmp_path / "logs"))
    (path,) = map(Path, done["files"])
    assert path == tmp_path / "logs" / "pi-marsh.postgis.log"
    assert path.read_text() == "ready\nok\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert done["changed"] and done["msg"] == f"2 lines in {path}."
    assert "logs" not in done
    assert not run_plugin("container_logs", containers={"postgis": NAME}, folder=str(tmp_path / "logs"))["changed"]


def test_check_mode_writes_nothing(host: FakeDocker, run_plugin: Run, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    assert run_plugin("container_logs", containers={"postgis": NAME}, folder=str(folder), check_mode=True)["changed"]
    assert not folder.exists()


def test_one_that_is_missing_does_not_keep_back_the_other(host: FakeDocker, run_plugin: Run, tmp_path: Path) -> None:
    done = run_plugin("container_logs", containers=BOTH, folder=str(tmp_path))
    assert done["failed"] and done["msg"].startswith(f"2 lines in {tmp_path}/pi-marsh.postgis.log; There is no contain")
    assert [path.name for path in tmp_path.iterdir()] == ["pi-marsh.postgis.log"]


def test_somebody_elses_log_is_not_read(host: FakeDocker, run_plugin: Run, tmp_path: Path) -> None:
    host.named(NAME)["Config"]["Labels"].clear()
    done = run_plugin("container_logs", containers={"postgis": NAME}, folder=str(tmp_path))
    assert done["failed"] and "Poppyfield did not make" in done["msg"]
    assert not list(tmp_path.iterdir())


def test_only_the_time_and_the_lines_that_are_asked_for_are_read(host: FakeDocker, run_module: Run) -> None:
    asked: list[dict[str, Any]] = []
    whole = host.logs

    def noted(*names: Any, **given: Any) -> Any:
        asked.append(given)
        return whole(*names, **given)

    host.logs = noted  # type: ignore[method-assign]
    run_module("container_logs", containers={"postgis": NAME}, folder="/none", since="2h", lines=5)
    run_module("container_logs", containers={"postgis": NAME}, folder="/none")
    assert asked[0]["tail"] == 5 and asked[0]["since"] > 1_700_000_000
    assert asked[1]["tail"] == 1000 and "since" not in asked[1]
    done = run_module("container_logs", containers={"postgis": NAME}, folder="/none", since="yesterday")
    assert done["failed"] and done["msg"] == "since must be like 2h, not yesterday."


@pytest.mark.parametrize(("since", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86400)])
def test_how_long_ago_is_said_in_words_of_one_letter(since: str, seconds: int) -> None:
    assert logs.seconds(since) == seconds


@pytest.mark.parametrize("host", ["../../etc/x", "a/b", "..", ".hidden", "fe80::1%eth0"])
def test_a_hosts_name_leads_to_no_other_folder(host: str, tmp_path: Path) -> None:
    assert (tmp_path / logs.file_name(host, "lizmap")).resolve().parent == tmp_path
    assert logs.file_name("pi-marsh.local", "lizmap") == "pi-marsh.local.lizmap.log"


@pytest.mark.attack(kind="answer without end", on="laptop", proof=None)
def test_what_a_pi_says_is_bounded_on_the_laptop_and_on_the_pi() -> None:
    def endless() -> Iterator[bytes]:
        for number in range(40):
            yield f"{number:02d} {'x' * 100_000}\n".encode()

    assert sum(map(len, endless())) > 3 * logs.MOST_BYTES
    kept = engine.last_bytes(endless(), logs.MOST_BYTES)
    assert len(kept) <= logs.MOST_BYTES and kept.startswith("30 ") and kept.endswith("x\n")
    assert len(logs.for_file("é" * 2 * logs.MOST_BYTES)) <= logs.MOST_BYTES
    assert engine.last_bytes([b"a\n", b"b\n"], 10) == "a\nb\n"
    assert engine.last_bytes([b"0123456789" * 3], 10) == "0123456789"
    assert engine.first_bytes([b"abc", b"def", b"ghi"], 4) == "abcd"
