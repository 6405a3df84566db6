"""Before a container is stopped it is known that Docker can start one."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import container_module, startable
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.containers.plan import DesiredState
from ansible.module_utils.poppyfield.containers.spec import network_body
from docker import errors

from tests.doubles.docker_engine import FakeDocker
from tests.unit.converging import SPEC, WANT_NEW, converge, fresh

MADE, GONE = "create network poppyfield-probe", "remove network poppyfield-probe"


class Firewall:
    """An engine whose rules of the firewall were removed until it is restarted."""

    def __init__(self, docker: FakeDocker, *, live_restore: bool = True, restarts: bool = True) -> None:
        self.docker = docker
        self.restarts = restarts
        self.restarted = 0
        self.info = docker.info
        docker.info = lambda: {**self.info(), "LiveRestoreEnabled": live_restore}  # type: ignore[method-assign]
        self.create = docker.create_network
        docker.create_network = self.refuse  # type: ignore[method-assign, assignment]

    def refuse(self, name: str, **_: object) -> None:
        response = "Failed to Setup IP tables: (iptables failed: iptables: No chain/target/match by that name.)"
        raise errors.APIError(response, explanation=response)

    def restart(self) -> bool:
        self.restarted += 1
        if self.restarts:
            self.docker.create_network = self.create  # type: ignore[method-assign]
        return self.restarts


def release(docker: FakeDocker, firewall: Firewall | None = None) -> container_module.Outcome:
    return container_module.converge(
        Engine(docker, errors, docker.execute),  # type: ignore[arg-type]
        WANT_NEW,
        DesiredState(),
        healthy_timeout=30,
        before_start=lambda engine: startable.ensure(engine, restart=firewall.restart if firewall else None),
        sleep=lambda _: None,
    )


@pytest.fixture
def docker() -> FakeDocker:
    host = fresh()
    converge(host, SPEC)
    return host


def test_a_network_that_somebody_else_removed_meanwhile_is_gone(docker: FakeDocker) -> None:
    create = docker.create_network

    def create_and_lose(name: str, **given: Any) -> None:
        create(name, **given)
        docker.remove_network(name)

    docker.create_network = create_and_lose  # type: ignore[method-assign, assignment]
    assert startable.ensure(Engine(docker, errors, docker.execute)) == ""  # type: ignore[arg-type]
    assert startable.PROBE not in docker.networks_by_name


def test_a_network_of_a_moment_shows_it_before_the_first_step(docker: FakeDocker) -> None:
    made = len(docker.calls)
    assert release(docker).plan.warnings == ()
    assert docker.calls[made : made + 2] == [MADE, GONE]
    made = len(docker.calls)
    release(docker)
    # Where nothing is to be started, nothing is tried.
    assert docker.calls[made:] == []


def test_docker_is_restarted_where_containers_outlive_that(docker: FakeDocker) -> None:
    firewall = Firewall(docker)
    (warning,) = release(docker, firewall).plan.warnings
    assert "nft flush ruleset" in warning and "Docker was restarted" in warning
    assert firewall.restarted == 1
    assert docker.named(SPEC.name)["Config"]["Image"] == WANT_NEW.image


@pytest.mark.parametrize(("live_restore", "restarts", "restarted"), [(False, True, 0), (True, False, 1)])
def test_otherwise_it_is_refused_and_nothing_is_stopped(
    docker: FakeDocker, live_restore: bool, restarts: bool, restarted: int
) -> None:
    firewall, calls = Firewall(docker, live_restore=live_restore, restarts=restarts), list(docker.calls)
    with pytest.raises(EngineError, match="Nothing was stopped") as raised:
        release(docker, firewall)
    assert "No chain/target/match" in str(raised.value) and "sudo systemctl restart docker" in str(raised.value)
    assert firewall.restarted == restarted
    assert docker.calls == calls


def test_a_network_that_a_run_left_is_removed_and_a_strangers_is_left_alone(docker: FakeDocker) -> None:
    Engine(docker, errors).create_network(network_body(startable.PROBE, resource=startable.PROBE))
    made = len(docker.calls)
    release(docker)
    assert docker.calls[made : made + 3] == [GONE, MADE, GONE]
    assert startable.PROBE not in docker.networks_by_name
    docker.create_network(startable.PROBE, driver="bridge", labels={}, check_duplicate=True)
    converge(docker, SPEC)
    release(docker)
    assert startable.PROBE in docker.networks_by_name


def test_a_host_without_systemctl_is_told_what_to_do_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startable, "RESTART", ("/no/such/command",))
    assert not startable.restart_docker()
    monkeypatch.setattr(startable, "RESTART", ("true",))
    assert startable.restart_docker()


def test_an_engine_that_restarts_is_waited_for(docker: FakeDocker) -> None:
    firewall = Firewall(docker)
    mend = firewall.restart

    def restart() -> bool:
        docker._restarting = True
        return mend()

    firewall.restart = restart  # type: ignore[method-assign]
    (warning,) = release(docker, firewall).plan.warnings
    assert warning == startable.MENDED
    assert docker.unanswered == 0


def test_a_refusal_for_another_reason_is_none_of_its_business(docker: FakeDocker) -> None:
    docker.refuse = MADE
    assert release(docker).plan.warnings == ()
