"""Removing what Poppyfield made of a host's containers and networks: what is ours, and what is left alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ansible.module_utils.poppyfield.containers.plan import DesiredState, Plan, Snapshot, State, plan
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Json, is_ours, name_of, name_of_listed


@dataclass
class Removal:
    """What goes, and a sentence for each thing that stays though it has one of our names."""

    plans: dict[str, Plan] = field(default_factory=dict)
    """By service what is done to its containers."""
    networks: list[str] = field(default_factory=list)
    stays: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    """What told docker-compose of them."""

    @property
    def gone(self) -> list[str]:
        """Name all that goes."""
        containers = [name for planned in self.plans.values() for name in planned.before.get("containers", ())]
        return [*containers, *(f"network {name}" for name in self.networks), *self.files]

    def said(self, *, check_mode: bool) -> str:
        """Say it in one line."""
        done = "would be removed" if check_mode else "removed"
        gone = f"{done}: {', '.join(self.gone)}; the data stay." if self.gone else "nothing of ours is there to remove."
        return " ".join([gone, *self.stays])


def add_containers(removal: Removal, spec: ContainerSpec, found: Snapshot) -> None:
    """Decide about a container, and those beside it that a run has set aside or left."""
    for container in found.own:
        if not is_ours(container, spec.resource):
            removal.stays.append(f"{name_of(container)} stays, since Poppyfield did not make it.")
    current, previous, candidate = (
        container if container is not None and is_ours(container, spec.resource) else None
        for container in (found.current, found.previous, found.candidate)
    )
    own = Snapshot(current=current, previous=previous, candidate=candidate)
    removal.plans[spec.resource] = plan(spec, own, DesiredState(State.ABSENT))


def add_network(removal: Removal, network: Json | None, listed: Iterable[Json], gone: Sequence[str]) -> None:
    """Decide about a network; `listed` are all containers, and `gone` the ids of those that go."""
    if network is None:
        return
    name = str(network["Name"])
    if not is_ours(network, "network"):
        removal.stays.append(f"The network {name} stays, since Poppyfield did not make it.")
        return
    users = [name_of_listed(entry) for entry in listed if entry["Id"] not in gone and name in _networks(entry)]
    if users:
        removal.stays.append(f"The network {name} stays, since it is used by {', '.join(sorted(users))}.")
    else:
        removal.networks.append(name)


def _networks(listed: Json) -> Json:
    return (listed.get("NetworkSettings") or {}).get("Networks") or {}
