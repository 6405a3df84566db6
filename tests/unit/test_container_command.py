"""container_command: a command runs in our container, by whom it should, bounded, and its exit status counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import services
from ansible.module_utils.poppyfield.containers.engine import Engine
from docker import errors

from tests.doubles.docker_engine import FakeDocker
from tests.unit.converging import NAME, OLD, converge, fresh

Run = Callable[..., dict[str, Any]]
POSTGIS = {"service": "postgis", "name": NAME}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """A Pi with a database."""
    host = fresh()
    converge(host)
    monkeypatch.setattr(Engine, "connect", lambda: Engine(host, errors, host.execute))  # type: ignore[arg-type]
    return host


@pytest.mark.parametrize(
    ("as_root", "user"), [(False, services.POSTGIS.user), (True, "root")], ids=["its user", "root"]
)
def test_it_runs_as_the_services_user_or_as_root(host: FakeDocker, run_module: Run, as_root: bool, user: str) -> None:
    host.behaviours[OLD].log = "\x1b[2J4 databases\n"
    done = run_module("container_command", **POSTGIS, command="psql -l | wc -l", as_root=as_root, seconds=9)
    assert host.executed == [(f"{user}@{NAME}: timeout -k 5 9 sh -c psql -l | wc -l", "")]
    assert (done["rc"], done["stdout"], done["msg"]) == (0, "4 databases\n", f"{NAME} ended with 0.")
    assert done["changed"]


def test_an_exit_status_that_is_not_0_is_a_failure_with_what_was_written(host: FakeDocker, run_module: Run) -> None:
    host.behaviours[OLD].log = "no such file"
    host.behaviours[OLD].exec_ends_with = 2
    done = run_module("container_command", **POSTGIS, command="cat x")
    assert done["failed"] and (done["rc"], done["stdout"], done["msg"]) == (2, "no such file", f"{NAME} ended with 2.")
    host.behaviours[OLD].exec_ends_with = 124
    done = run_module("container_command", **POSTGIS, command="sleep 1000", seconds=7)
    assert "longer than 7 seconds" in done["msg"]
    host.behaviours[OLD].exec_ends_with = None
    assert "stopped answering" in run_module("container_command", **POSTGIS, command="x")["msg"]


def test_what_it_writes_is_bounded(host: FakeDocker, run_module: Run) -> None:
    host.behaviours[OLD].log = "y\n" * 1_000_000
    assert len(run_module("container_command", **POSTGIS, command="yes")["stdout"]) == 64 * 1024


def test_check_mode_runs_nothing(host: FakeDocker, run_module: Run) -> None:
    done = run_module("container_command", **POSTGIS, command="rm -rf /", check_mode=True)
    assert done["changed"] and done["msg"] == f"The command would run in {NAME}, as postgres."
    assert host.executed == []


def test_it_runs_in_nobody_elses_container(host: FakeDocker, run_module: Run) -> None:
    host.named(NAME)["Config"]["Labels"].clear()
    done = run_module("container_command", **POSTGIS, command="id")
    assert done["failed"] and "Poppyfield did not make" in done["msg"] and host.executed == []


def test_one_that_does_not_run_is_told_with_the_remedy(host: FakeDocker, run_module: Run) -> None:
    host.stop(NAME, 1)
    done = run_module("container_command", **POSTGIS, command="id")
    assert done["failed"] and done["msg"].startswith(f"{NAME} does not run: -e state=started")
    assert host.executed == []
