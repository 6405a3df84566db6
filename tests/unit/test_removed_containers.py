"""removed_containers as Ansible runs it, against the fake engine: ours go, all that is somebody else's stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineMissingError
from ansible.module_utils.poppyfield.containers.spec import network_body
from docker import errors

from tests.doubles.docker_engine import FakeDocker
from tests.unit.converging import BESIDE, BESIDE_NEW, SPEC, converge, fresh

Run = Callable[..., dict[str, Any]]
NAMES = {"postgis": "websig-postgis", "lizmap": "websig-lizmap"}
NETWORK = SPEC.network


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    """A Pi with both containers, and the one that the map server's followed."""
    host = fresh()
    for image in (BESIDE, BESIDE_NEW):
        wanted = dataclasses.replace(image, name=NAMES["lizmap"], resource="lizmap")
        converge(host, wanted, keep_previous=True)
    database = dataclasses.replace(
        BESIDE, name=NAMES["postgis"], resource="postgis", ports=(), mounts=(), exclusive_folders=()
    )
    converge(host, database)
    monkeypatch.setattr(Engine, "connect", lambda: Engine(host, errors, host.execute))  # type: ignore[arg-type]
    return host


def remove(run_module: Run, services: tuple[str, ...] = ("postgis", "lizmap"), **given: Any) -> dict[str, Any]:
    chosen = {name: NAMES[name] for name in services}
    return run_module("removed_containers", containers=chosen, networks=[NETWORK], **given)


def test_all_that_is_ours_goes_the_map_server_first(host: FakeDocker, run_module: Run) -> None:
    names = host.names()
    predicted = remove(run_module, check_mode=True)
    assert predicted["changed"] and "would be removed" in predicted["msg"]
    assert host.names() == names and NETWORK in host.networks_by_name
    host.calls.clear()
    done = remove(run_module)
    gone = ["websig-lizmap", "websig-lizmap-previous", "websig-postgis", f"network {NETWORK}"]
    assert done["removed"] == predicted["removed"] == gone
    assert done["msg"] == f"removed: {', '.join(gone)}; the data stay."
    assert host.names() == {} and host.networks_by_name == {}
    assert host.calls.index("stop websig-lizmap") < host.calls.index("stop websig-postgis")
    again = remove(run_module)
    assert not again["changed"] and "nothing of ours" in again["msg"]


def test_one_service_goes_and_the_network_stays_for_the_other(host: FakeDocker, run_module: Run) -> None:
    done = remove(run_module, ("lizmap",))
    assert host.names() == {"websig-postgis": True}
    assert f"The network {NETWORK} stays, since it is used by websig-postgis." in done["msg"]
    assert NETWORK in host.networks_by_name


@pytest.mark.parametrize("name", ["websig-lizmap", "websig-lizmap-previous", "websig-postgis"])
def test_a_container_of_others_survives_and_is_told(host: FakeDocker, run_module: Run, name: str) -> None:
    host.named(name)["Config"]["Labels"].clear()
    runs = host.names()[name]
    done = remove(run_module)
    assert host.names() == {name: runs}
    assert f"{name} stays, since Poppyfield did not make it." in done["msg"]
    assert NETWORK in host.networks_by_name


def test_a_network_of_others_survives_and_is_told(host: FakeDocker, run_module: Run) -> None:
    host.networks_by_name[NETWORK]["Labels"] = {}
    done = remove(run_module)
    assert f"The network {NETWORK} stays, since Poppyfield did not make it." in done["msg"]
    assert NETWORK in host.networks_by_name and host.names() == {}


def test_a_network_alone_goes(host: FakeDocker, run_module: Run) -> None:
    remove(run_module)
    host.create_network(NETWORK, "bridge", network_body(NETWORK)["Labels"], check_duplicate=True)
    assert remove(run_module)["removed"] == [f"network {NETWORK}"]


def test_an_unknown_service_is_told_and_where_there_is_no_docker_nothing_is_done(
    host: FakeDocker, run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_module("removed_containers", containers={"files": "websig-files"})
    assert done["failed"] and "There is no service files. There are: postgis, lizmap." in done["msg"]

    def missing() -> Engine:
        raise EngineMissingError("No Docker.")

    monkeypatch.setattr(Engine, "connect", missing)
    assert not remove(run_module)["changed"]


def test_what_docker_refuses_is_a_failure(host: FakeDocker, run_module: Run) -> None:
    host.refuse = "remove websig-lizmap"
    assert remove(run_module)["failed"]
