"""service_state: what is there starts, stops and restarts, in order, and comes back with the Pi only when it should."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import health, startable
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from docker import errors

from tests.doubles.docker_engine import Behaviour, FakeDocker
from tests.unit.converging import NEW, SPEC, converge, fresh

Run = Callable[..., dict[str, Any]]
DATABASE, MAPS = "websig-postgis", "websig-lizmap"
BOTH = {"lizmap": MAPS, "postgis": DATABASE}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """A Pi with both containers, which run and are healthy."""
    host = fresh()
    converge(host)
    maps = dataclasses.replace(SPEC, name=MAPS, resource="lizmap", image=NEW)
    converge(host, dataclasses.replace(maps, ports=(), mounts=(), exclusive_folders=()))
    monkeypatch.setattr(Engine, "connect", lambda: Engine(host, errors, host.execute))  # type: ignore[arg-type]
    monkeypatch.setattr(health, "POLL_SECONDS", 0)
    host.calls.clear()
    return host


def policies(host: FakeDocker) -> set[str]:
    return {container["HostConfig"]["RestartPolicy"]["Name"] for container in host.containers_by_id.values()}


def changes(host: FakeDocker) -> list[str]:
    """What was done to the containers, without the network by which Docker is tried."""
    return [call for call in host.calls if "network" not in call]


def test_what_is_stopped_stays_so_when_the_pi_restarts_and_the_map_server_stops_first(
    host: FakeDocker, run_module: Run
) -> None:
    done = run_module("service_state", containers=BOTH, state="stopped")
    assert done["changed"] and [call for call in changes(host) if call.startswith("stop")] == [
        f"stop {MAPS}",
        f"stop {DATABASE}",
    ]
    assert done["msg"] == (
        f"{MAPS} stopped; {DATABASE} stopped. What is stopped stays so, also when the Pi restarts, until it is started "
        f"or site.yml runs."
    )
    host.boot()
    assert host.names() == {DATABASE: False, MAPS: False}
    again = run_module("service_state", containers=BOTH, state="stopped")
    assert not again["changed"] and f"{MAPS} is stopped already" in again["msg"]


def test_what_is_started_is_healthy_and_comes_back_with_the_pi(host: FakeDocker, run_module: Run) -> None:
    identities = set(host.containers_by_id)
    run_module("service_state", containers=BOTH, state="stopped")
    host.calls.clear()
    done = run_module("service_state", containers=BOTH, state="started")
    assert [call for call in changes(host) if call.startswith("start")] == [f"start {DATABASE}", f"start {MAPS}"]
    assert done["msg"] == f"{DATABASE} started, healthy; {MAPS} started, healthy."
    assert {found["health"] for found in done["containers"].values()} == {"healthy"}
    assert policies(host) == {"always"} and set(host.containers_by_id) == identities
    again = run_module("service_state", containers=BOTH, state="started")
    assert not again["changed"] and again["msg"].startswith(f"{DATABASE} runs already, healthy")


def test_the_database_is_healthy_before_the_map_server_is_restarted(host: FakeDocker, run_module: Run) -> None:
    done = run_module("service_state", containers=BOTH, state="restarted")
    assert changes(host) == [f"{verb} {name}" for name in (DATABASE, MAPS) for verb in ("stop", "start")]
    assert done["steps"] == [
        step for name in (DATABASE, MAPS) for step in (f"stop {name}", f"start {name}", f"wait until {name} is healthy")
    ]
    assert done["msg"] == f"{DATABASE} restarted, healthy; {MAPS} restarted, healthy."


def test_one_service_leaves_the_other_alone(host: FakeDocker, run_module: Run) -> None:
    run_module("service_state", containers={"lizmap": MAPS}, state="stopped")
    assert host.names() == {DATABASE: True, MAPS: False}


@pytest.mark.parametrize("state", ["started", "stopped", "restarted"])
def test_check_mode_says_what_would_be_done_and_does_nothing(host: FakeDocker, run_module: Run, state: str) -> None:
    if state == "started":
        run_module("service_state", containers=BOTH, state="stopped")
    host.calls.clear()
    done = run_module("service_state", containers=BOTH, state=state, check_mode=True)
    assert done["changed"] and f"{DATABASE} would be {state}" in done["msg"] and done["steps"]
    assert host.calls == []


@pytest.mark.parametrize("state", ["started", "stopped", "restarted"])
def test_somebody_elses_container_of_that_name_is_left_alone_and_so_is_the_rest(
    host: FakeDocker, run_module: Run, state: str
) -> None:
    host.named(DATABASE)["Config"]["Labels"].clear()
    done = run_module("service_state", containers=BOTH, state=state)
    assert done["failed"] and f"A container named {DATABASE} exists that Poppyfield did not make" in done["msg"]
    assert host.calls == []


def test_one_that_is_not_there_is_told_before_anything_is_touched(host: FakeDocker, run_module: Run) -> None:
    given = {"postgis": DATABASE, "lizmap": "no-such"}
    done = run_module("service_state", containers=given, state="restarted")
    assert done["failed"] and "There is no container no-such on this host: ansible-playbook site.yml" in done["msg"]
    assert host.calls == []
    done = run_module("service_state", containers={"files": "x"}, state="started")
    assert done["failed"] and done["msg"] == "There is no service files. There are: postgis, lizmap."


def test_what_does_not_become_healthy_is_a_failure_that_tells_what_was_done(host: FakeDocker, run_module: Run) -> None:
    host.behaviours[NEW] = Behaviour(ends_with=7, log="no disk")
    done = run_module("service_state", containers=BOTH, state="restarted")
    assert done["failed"] and done["msg"].startswith(
        f"{DATABASE} restarted, healthy; The container {MAPS} did not become healthy: its process ended with code 7"
    )
    assert "no disk" in done["msg"]


def test_one_that_runs_and_is_ill_is_told_at_once(host: FakeDocker, run_module: Run) -> None:
    host.fall_ill(MAPS, "restart")
    done = run_module("service_state", containers=BOTH, state="started")
    assert done["failed"] and f"{MAPS} runs, but is not healthy" in done["msg"]
    assert "-e state=restarted may help" in done["msg"]
    assert not run_module("service_state", containers=BOTH, state="restarted").get("failed")


def test_one_that_docker_restarts_again_and_again_is_told_and_can_be_stopped(host: FakeDocker, run_module: Run) -> None:
    host.behaviours[NEW] = Behaviour(ends_with=7)
    host.boot()
    done = run_module("service_state", containers=BOTH, state="started")
    assert done["failed"] and "Docker restarts it again and again" in done["msg"]
    assert not run_module("service_state", containers=BOTH, state="stopped").get("failed")
    assert host.names() == {DATABASE: False, MAPS: False}


def test_one_that_was_paused_goes_on(host: FakeDocker, run_module: Run) -> None:
    host.pause(MAPS)
    done = run_module("service_state", containers=BOTH, state="started")
    assert not done.get("failed") and done["changed"] and f"unpause {MAPS}" in host.calls


def test_where_docker_can_start_nothing_nothing_is_stopped(
    host: FakeDocker, run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_engine: Engine) -> str:
        raise EngineError("Docker's rules are missing.")

    monkeypatch.setattr(startable, "ensure", refuse)
    done = run_module("service_state", containers=BOTH, state="restarted")
    assert done["failed"] and done["msg"] == "Docker's rules are missing." and host.calls == []


def test_without_docker_that_is_said(monkeypatch: pytest.MonkeyPatch, run_module: Run) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    done = run_module("service_state", containers=BOTH, state="started")
    assert done["failed"] and "Docker Engine does not answer" in done["msg"]
