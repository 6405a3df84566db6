"""Runs of the container modules' core against the fake engine, and the containers that they are to make."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from ansible.module_utils.poppyfield.containers import container_module, plan
from ansible.module_utils.poppyfield.containers.engine import Engine
from ansible.module_utils.poppyfield.containers.plan import DesiredState, PlanError, Recreate, State
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, HealthTiming, Mount, Port, Proof
from docker import errors

from tests.doubles.docker_engine import FakeDocker
from tests.unit.modules_report import compared

OLD = "poppyfield/postgis:trixie-arm64-000000000001"
NEW = "poppyfield/postgis:trixie-arm64-000000000002"
THIRD = "poppyfield/postgis:trixie-arm64-000000000003"
NAME = "websig-postgis"
PREVIOUS = "websig-postgis-previous"
CANDIDATE = "websig-postgis-candidate"
SPEC = ContainerSpec(
    name=NAME,
    resource="postgis",
    image=OLD,
    network="poppyfield",
    network_aliases=("postgis",),
    command=("postgres", "-c", "shared_buffers=128MB"),
    environment={"LANG": "C.UTF-8", "WORKERS": "1"},
    mounts=(Mount("/srv", "/data", read_only=False), Mount("/etc", "/secrets", read_only=True)),
    tmpfs={"/tmp": "mode=1777"},
    ports=(Port("0.0.0.0", 80, 8080),),
    health=HealthTiming(start_period=60),
    shm_size=64,
    stop_timeout=20,
    secret_stamps={"password": "1"},
    memory_limit=256,
    exclusive_folders=("/srv",),
)


def changed(**fields: Any) -> ContainerSpec:
    """Give the specification with other fields."""
    return dataclasses.replace(SPEC, **fields)


WANT_NEW = changed(image=NEW)
BESIDE = changed(
    mounts=(Mount("/srv", "/projects", read_only=True), Mount("/etc", "/config", read_only=False)),
    exclusive_folders=(),
    proof=Proof(tmpfs={"/config": "mode=0750"}, environment={"WORKERS": "0"}),
)
BESIDE_NEW = dataclasses.replace(BESIDE, image=NEW)


def fresh() -> FakeDocker:
    """Give an engine that has both images and nothing else."""
    docker = FakeDocker()
    docker.add_image(OLD, "1")
    docker.add_image(NEW, "2")
    return docker


def converge(
    docker: FakeDocker,
    wanted: ContainerSpec = SPEC,
    state: State = State.STARTED,
    recreate: Recreate = Recreate.AUTO,
    restart: bool = False,
    *,
    keep_previous: bool = False,
) -> Any:
    """Predict in check mode, then do it; both must say the same."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    desired = DesiredState(state, recreate, restart, keep_previous)
    engine = Engine(docker, errors, docker.execute)  # type: ignore[arg-type]
    predicted = predict(docker, wanted, desired)
    outcome = container_module.converge(engine, wanted, desired, healthy_timeout=30, clock=lambda: now[0], sleep=sleep)
    compared(predicted == outcome.plan)
    assert predicted == outcome.plan
    return outcome


def predict(docker: FakeDocker, wanted: ContainerSpec, desired: DesiredState) -> plan.Plan | None:
    """Plan in check mode, which changes nothing; None where that is refused."""
    # A copy, because looking at a container makes time go by for it.
    twin = copy.deepcopy(docker)
    twin.power_cut_after = None
    try:
        engine = Engine(twin, errors, twin.execute)  # type: ignore[arg-type]
        return container_module.converge(engine, wanted, desired, healthy_timeout=30, check_mode=True).plan
    except PlanError:
        return None
    finally:
        assert twin.calls == docker.calls


# What a test begins from --------------------------------------------------------------------------------------------


def deployed(host: FakeDocker) -> None:
    """Make the container."""
    converge(host)


def deployed_beside(host: FakeDocker) -> None:
    """Make the one that may be tried beside another."""
    converge(host, BESIDE)


def kept(host: FakeDocker) -> None:
    """Make the one that may be tried beside another, and replace it so that it is kept."""
    converge(host, BESIDE)
    converge(host, BESIDE_NEW, keep_previous=True)


def stopped(host: FakeDocker) -> None:
    """Make the container and do not start it."""
    converge(host, state=State.STOPPED)
