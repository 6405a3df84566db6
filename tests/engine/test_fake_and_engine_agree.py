"""Each scenario is played on the fake and on a real engine; every run must say and leave the same on both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.plan import DesiredState, Recreate, State
from ansible.module_utils.poppyfield.containers.spec import HealthTiming, Json, Mount, Proof

from tests.engine.worlds import CANDIDATE, LABEL, NAME, NETWORK, NEW, OLD, OTHER, PREFIX, PREVIOUS, Both

BROKEN = {"ends_with": 3, "log": "FATAL: broken\n"}
NEVER_HEALTHY = {"looks_until_healthy": -1, "log": "FATAL: broken\n"}
SOON = 3.0


def theirs(name: str, **host: Any) -> Callable[[Any], None]:
    """Return what somebody does who makes a container without us."""

    def act(api: Any) -> None:
        ports: Json = {port: {} for port in host.get("PortBindings", ())}
        request = {"Image": OLD, "ExposedPorts": ports, "HostConfig": {"NetworkMode": NETWORK, **host}}
        api.create_container_from_config(request, name)

    return act


def allow_two(both: Both) -> None:
    """Let a new container be tried beside the old one."""
    both.wanted = replace(both.wanted, exclusive_folders=(), proof=Proof(tmpfs={"/data": "mode=0750"}))


def test_twice(both: Both) -> None:
    assert both.converge().running == [NAME]
    assert not both.converge().steps


def test_each_field_changed_once(both: Both) -> None:
    both.converge()
    first, data, _ = both.wanted.mounts
    changes: list[dict[str, Any]] = [
        {"image": NEW},
        {"command": ()},
        {"environment": {"LANG": "C", "TZ": "UTC"}},
        {"mounts": (first, data, Mount("/etc", "/secrets", read_only=False))},
        {"mounts": (first, data)},
        {"tmpfs": {}},
        {"capabilities": ("SETUID", "KILL")},
        {"ports": (replace(both.wanted.ports[0], container_port=8081),)},
        {"network_aliases": ()},
        {"network": f"{PREFIX}network-2"},
        {"health": HealthTiming(timeout=7, retries=2)},
        {"stop_timeout": 21},
        {"memory_limit": 0},
        {"secret_stamps": {"password": "2"}},
    ]
    for change in changes:
        assert both.converge(**change).steps, change
    assert not both.converge().steps


@pytest.mark.parametrize("state", [State.STOPPED, State.ABSENT])
def test_another_state(both: Both, state: State) -> None:
    both.converge(DesiredState(state))
    both.converge()
    both.converge(DesiredState(state))
    assert not both.converge(DesiredState(state)).steps
    assert both.converge().running == [NAME]


def test_recreate_and_restart(both: Both) -> None:
    both.converge()
    assert both.converge(DesiredState(recreate=Recreate.ALWAYS)).steps
    assert both.converge(DesiredState(restart=True)).steps
    assert not both.converge(DesiredState(recreate=Recreate.NEVER), stop_timeout=21).steps


def test_changed_by_hand(both: Both) -> None:
    both.converge()
    both.by_hand(lambda api: api.update_container(NAME, restart_policy={"Name": "no"}))
    assert len(both.converge().steps) == 1
    both.by_hand(lambda api: api.stop(NAME, timeout=20))
    both.converge()
    both.by_hand(lambda api: api.kill(NAME))
    both.converge()
    both.by_hand(lambda api: api.remove_container(NAME, v=False, force=True))
    both.converge()
    both.by_hand(lambda api: api.rename(NAME, OTHER))
    assert "in use by the running container" in both.converge().error


def test_paused_by_hand(both: Both) -> None:
    both.converge()
    both.by_hand(lambda api: api.pause(NAME))
    assert both.converge().steps == (f"unpause {NAME}", f"wait until {NAME} is healthy")
    assert not both.converge().steps
    both.by_hand(lambda api: api.pause(NAME))
    assert both.converge(DesiredState(State.STOPPED)).running == []
    both.converge()
    both.by_hand(lambda api: api.pause(NAME))
    assert both.converge(image=NEW).running == [NAME]
    both.by_hand(lambda api: api.pause(NAME))
    assert both.converge(DesiredState(State.ABSENT)).containers == {}


def wait_for(status: str, api: Any) -> None:
    """Wait until the health check says so."""
    while api.inspect_container(NAME)["State"]["Health"]["Status"] != status:
        time.sleep(0.02)


def test_unhealthy_whatever_is_tried(both: Both) -> None:
    both.converge()
    both.behave(OLD, **NEVER_HEALTHY)
    both.by_hand(lambda api: wait_for("unhealthy", api))
    failed = both.converge(timeout=SOON)
    assert "unhealthy -> restarted; if that does not help, replaced" in failed.error
    assert failed.running == list(failed.containers) == [NAME]
    both.behave(OLD)
    both.by_hand(lambda api: wait_for("healthy", api))
    assert not both.converge().steps


@pytest.mark.parametrize("written", ["{}/", "/{}", "{}//.", "{}/../data"])
def test_a_folder_however_somebody_writes_it(both: Both, written: str) -> None:
    both.converge(DesiredState(State.STOPPED))
    source = written.format(both.wanted.exclusive_folders[0])
    both.by_hand(theirs(OTHER, Mounts=[{"Type": "bind", "Source": source, "Target": "/x/../data/"}]))
    both.by_hand(lambda api: api.start(OTHER))
    assert both.look().containers[OTHER]["fields"]["mounts"].keys() == {"/data"}
    assert "in use by the running container" in both.converge().error


def test_network_recreated_by_hand(both: Both) -> None:
    both.converge()

    def recreate(api: Any) -> None:
        labels = api.networks(names=[NETWORK])[0]["Labels"]
        api.stop(NAME, timeout=20)
        api.remove_network(NETWORK)
        api.create_network(NETWORK, driver="bridge", labels=labels, check_duplicate=True)

    both.by_hand(recreate)
    assert f"network: {NETWORK} was recreated" in both.converge().reasons
    assert not both.converge().steps


def test_network_removed_by_hand(both: Both) -> None:
    both.converge()

    def remove(api: Any) -> None:
        api.stop(NAME, timeout=20)
        api.remove_network(NETWORK)

    both.by_hand(remove)
    assert both.converge().running == [NAME]
    assert not both.converge().steps


@pytest.mark.parametrize("behaviour", [BROKEN, NEVER_HEALTHY], ids=["ends", "never healthy"])
@pytest.mark.parametrize("beside", [False, True], ids=["in its place", "beside"])
def test_a_new_image_that_does_not_work(both: Both, behaviour: dict[str, Any], beside: bool) -> None:
    if beside:
        allow_two(both)
    both.converge()
    both.behave(NEW, **behaviour)
    failed = both.converge(image=NEW, timeout=SOON)
    assert "did not become healthy" in failed.error
    assert failed.running == [NAME]
    assert not both.converge(image=OLD).steps
    both.behave(NEW)
    assert both.converge(image=NEW).running == [NAME]


def test_a_first_container_that_does_not_work(both: Both) -> None:
    both.behave(OLD, **BROKEN)
    assert "its process ended" in both.converge().error
    assert both.converge(image=NEW).running == [NAME]


def test_still_in_its_start_period(both: Both) -> None:
    both.behave(OLD, **NEVER_HEALTHY)
    # Newer engines probe every five seconds during the start period, whatever the interval is.
    failed = both.converge(health=HealthTiming(start_period=3600), timeout=7)
    assert "its health check says starting: not yet" in failed.error


@pytest.mark.parametrize("name", [NAME, PREVIOUS])
def test_a_container_of_somebody_else(both: Both, name: str) -> None:
    both.by_hand(theirs(name))
    assert f"named {name} exists that Poppyfield did not make" in both.converge().error
    assert "did not make" in both.converge(DesiredState(State.ABSENT)).error


def test_a_network_of_somebody_else(both: Both) -> None:
    both.by_hand(lambda api: api.create_network(NETWORK, driver="bridge", labels={LABEL: "true"}, check_duplicate=True))
    assert "did not make" in both.converge().error


def test_a_port_that_is_taken(both: Both) -> None:
    ports = both.wanted.ports
    both.converge(ports=())
    taken = {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(ports[0].host_port)}]}
    both.by_hand(theirs(OTHER, PortBindings=taken))
    both.by_hand(lambda api: api.start(OTHER))
    failed = both.converge(ports=ports)
    assert "port is already allocated" in failed.error
    assert failed.running == [OTHER, NAME]
    assert not both.converge(ports=()).steps
    both.converge(DesiredState(State.ABSENT))
    assert "port is already allocated" in both.converge(ports=ports).error


def test_what_is_missing(both: Both) -> None:
    assert "deliver it first" in both.converge(image=f"{PREFIX}server:missing").error
    both.converge(image=OLD)
    missing = Mount(f"{both.wanted.mounts[0].source}/missing", "/missing", read_only=True)
    assert "do not exist on this host" in both.converge(mounts=(*both.wanted.mounts, missing)).error


# As many changes as a replacement makes.
@pytest.mark.parametrize("changes", range(1, 8))
def test_a_run_that_is_cut_off(both: Both, changes: int) -> None:
    both.converge()
    both.cut_off(changes, image=NEW)
    mended = both.converge(image=NEW)
    assert mended.running == list(mended.containers) == [NAME]
    assert not both.converge().steps


def test_a_run_that_is_cut_off_while_it_tries_a_new_container_beside(both: Both) -> None:
    allow_two(both)
    both.converge()
    assert both.cut_off(2, image=NEW).running == [NAME, CANDIDATE]
    mended = both.converge(image=NEW)
    assert mended.running == list(mended.containers) == [NAME]


@pytest.mark.parametrize("changes", [3, 6])
def test_a_run_that_is_cut_off_and_not_wanted_any_more(both: Both, changes: int) -> None:
    both.converge()
    both.behave(NEW, **NEVER_HEALTHY)
    both.cut_off(changes, image=NEW)
    back = both.converge()
    assert back.running == list(back.containers) == [NAME]
