"""The containers of a host that a chore is for: found by their names, and taken only where they are ours."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.module_utils.poppyfield.containers import services
from ansible.module_utils.poppyfield.containers.engine import Engine
from ansible.module_utils.poppyfield.containers.plan import PlanError, Snapshot, State, refuse_clashes
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Json

OPTION: Json = {"type": "dict", "required": True}
"""By service the name of its container on this host."""


def spec_of(service: str, name: str) -> ContainerSpec:
    """Give as much of a container's specification as there is to know of one that is not to be replaced."""
    return ContainerSpec(name=name, resource=service, image="", network="")


def in_order(containers: Mapping[str, str]) -> dict[str, str]:
    """Give the names by service, in the order in which the services are deployed."""
    known = [service.name for service in services.SERVICES]
    if unknown := sorted(set(containers) - set(known)):
        raise PlanError(f"There is no service {', '.join(unknown)}. There are: {', '.join(known)}.")
    return {service: str(containers[service]) for service in known if service in containers}


def find(engine: Engine, service: str, name: str) -> Json | None:
    """Inspect the container of a service; raise PlanError where one of that name is somebody else's."""
    found = engine.container(name)
    refuse_clashes(spec_of(service, name), Snapshot(current=found), State.ABSENT)
    return found


def require(engine: Engine, service: str, name: str) -> Json:
    """Inspect the container of a service; raise PlanError where there is none."""
    found = find(engine, service, name)
    if found is None:
        raise PlanError(f"There is no container {name} on this host: ansible-playbook site.yml deploys it.")
    return found
