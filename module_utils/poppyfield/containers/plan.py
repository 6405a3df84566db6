"""Desired specification and what exists -> an ordered list of steps. Pure.

`changed` is "the list is not empty", check mode stops before the first step, and the diff comes from the same fields.

Replacing a container never leaves the host without the old one. Where two at once are allowed, a candidate is first
tried beside it. Then the old one is stopped and renamed to `<name>-previous`, and removed only when the new one is
healthy, or kept there until somebody has looked at what the new one serves (`DesiredState.keep_previous`). A run that
is cut off leaves these names behind, and the next plan begins by mending: see `_mend`.

After a power cut Docker starts what has the policy `always`. That is the old container until the new one exists, then
the new one: at no moment both, and nothing only for the moment in which the policy is handed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ansible.module_utils.poppyfield.containers.health import is_hopeless
from ansible.module_utils.poppyfield.containers.spec import (
    ALWAYS,
    DIGEST,
    NEVER,
    RESTART_POLICY,
    ContainerSpec,
    Difference,
    Json,
    actual_fields,
    desired_fields,
    differences,
    intent_digest,
    is_ours,
    name_of,
    name_of_listed,
)

HOPELESS = "failed for good"
"""The illness of a container whose health check says that waiting does not help: something else is to be mended."""


class PlanError(Exception):
    """Something that the plan must not do, in a sentence for the user."""


class State(StrEnum):
    """What the user wants of a container."""

    STARTED = "started"
    STOPPED = "stopped"
    ABSENT = "absent"


class Recreate(StrEnum):
    """When a container is replaced."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class Action(StrEnum):
    """What one step does."""

    CREATE_NETWORK = "create network"
    RESTART_POLICY = "set restart policy"
    STOP = "stop"
    UNPAUSE = "unpause"
    RENAME = "rename"
    CREATE = "create"
    START = "start"
    WAIT = "wait until healthy"
    REMOVE = "remove"


@dataclass(frozen=True)
class Step:
    """One step. `container` is the id it acts on; empty means one made in this plan, known by its name only."""

    action: Action
    name: str
    container: str = ""
    argument: str = ""

    def __str__(self) -> str:
        """Say it in words."""
        words = f"{self.action} {self.name}"
        if self.action is Action.WAIT:
            words = f"wait until {self.name} is healthy"
        return f"{words}: {self.argument}" if self.argument else words


@dataclass(frozen=True)
class DesiredState:
    """What the user wants of a container, besides its specification."""

    state: State = State.STARTED
    recreate: Recreate = Recreate.AUTO
    restart: bool = False
    keep_previous: bool = False
    """Whether the old container stays set aside, stopped, when the new one is healthy."""


@dataclass(frozen=True)
class Snapshot:
    """What `docker inspect` says; None for what does not exist."""

    image: Json | None = None
    network: Json | None = None
    current: Json | None = None
    current_image: Json | None = None
    previous: Json | None = None
    previous_image: Json | None = None
    candidate: Json | None = None
    neighbours: Sequence[Json] = ()
    """All running containers, as the Engine lists them."""

    @property
    def own(self) -> tuple[Json, ...]:
        """Every container that exists under one of our names."""
        return tuple(c for c in (self.current, self.previous, self.candidate) if c is not None)


@dataclass(frozen=True)
class Plan:
    """The steps in order, why, and what a rollback puts back when one of them fails."""

    steps: tuple[Step, ...] = ()
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    before: Json = field(default_factory=dict)
    after: Json = field(default_factory=dict)
    rollback_to: str = ""
    """Id of the container that must serve again when a step fails; empty when there is none."""
    rollback_runs: bool = False
    rollback_is_ill: bool = False
    """Whether that container was tried in vain already."""
    otherwise: Plan | None = None
    """What is done next when the container is not healthy after these steps; None when the old one is put back then."""

    @property
    def changed(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.steps)

    @property
    def replaces(self) -> bool:
        """Tell whether a container is made."""
        return any(step.action is Action.CREATE for step in self.steps)


def is_running(container: Json) -> bool:
    """Tell whether the container has a process, or Docker is about to give it one again, which it calls running too."""
    return bool(container["State"]["Running"])


def is_paused(container: Json) -> bool:
    """Tell whether somebody froze the container's processes, which Docker calls running all the same."""
    return bool(container["State"].get("Paused"))


def is_healthy(container: Json) -> bool:
    """Tell whether the container runs and its health check, if any, passes."""
    state = container["State"]
    health = (state.get("Health") or {}).get("Status", "healthy")
    works = state.get("Running") and not state.get("Restarting") and not is_paused(container)
    return bool(works and health in ("healthy", "none"))


def plan(spec: ContainerSpec, snapshot: Snapshot, desired: DesiredState) -> Plan:
    """Give the steps from what exists to what is wanted."""
    refuse_clashes(spec, snapshot, desired.state)
    if desired.restart and desired.state is not State.STARTED:
        raise PlanError(f"restart needs the state started, not {desired.state}.")
    if desired.state is State.ABSENT:
        return _absent(snapshot)
    for mount in spec.mounts:
        if not mount.source.startswith("/"):
            raise PlanError(f'"{mount.source}" cannot be mounted at {mount.target}: it must be an absolute path.')
    if snapshot.image is None:
        raise PlanError(f"The image {spec.image} is not on this host: deliver it first.")
    return _Planner(spec, snapshot, snapshot.image, desired).plan()


def refuse_clashes(spec: ContainerSpec, snapshot: Snapshot, state: State) -> None:
    """Raise PlanError where something of another owner has one of our names, or writes to our folders."""
    for container in snapshot.own:
        if not is_ours(container, spec.resource):
            raise PlanError(
                f"A container named {name_of(container)} exists that Poppyfield did not make, so it is left alone. "
                f"Rename or remove it, or choose another name."
            )
    if state is State.ABSENT:
        return
    if snapshot.network is not None and not is_ours(snapshot.network, "network"):
        raise PlanError(
            f"A network named {spec.network} exists that Poppyfield did not make, so it is left alone. "
            f"Remove it, or choose another network name."
        )
    own = {container["Id"] for container in snapshot.own}
    for neighbour in snapshot.neighbours:
        if neighbour["Id"] not in own and (folder := _written_by(neighbour, spec.exclusive_folders)):
            name = name_of_listed(neighbour)
            raise PlanError(
                f"The folder {folder} is in use by the running container {name}. Two database servers on one "
                f"data folder destroy it: stop that container first."
            )


def _written_by(container: Json, folders: Sequence[str]) -> str:
    """Give the first of the folders that the container writes to, itself or something inside it."""
    for mount in container.get("Mounts") or []:
        for folder in folders:
            source = mount["Source"]
            if mount["RW"] and (source == folder or source.startswith(f"{folder}/")):
                return folder
    return ""


def _absent(snapshot: Snapshot) -> Plan:
    steps = []
    for container in snapshot.own:
        steps += _remove(container)
    names = [name_of(container) for container in snapshot.own]
    reasons = tuple(f"container {name}: present -> absent" for name in names)
    return Plan(tuple(steps), reasons, before={"containers": names}, after={"containers": []})


class _Planner:
    def __init__(self, spec: ContainerSpec, snapshot: Snapshot, image: Json, desired: DesiredState) -> None:
        self.spec = spec
        self.snapshot = snapshot
        self.image = image
        self.desired = desired
        self.started = desired.state is State.STARTED
        # A container that was stopped on purpose must not come back with the next boot.
        self.restart_policy = ALWAYS if self.started else NEVER
        self.wanted = desired_fields(spec, image, restart_policy=self.restart_policy)
        self.steps: list[Step] = []
        self.reasons: list[str] = []
        self.warnings: list[str] = []
        self.fallback: Json | None = None
        self.handed_over = False
        self.otherwise: Plan | None = None

    def plan(self) -> Plan:
        self._network()
        self._sweep_candidate()
        old, is_aside = self._mend()
        now = self._fields(old) if old else {}
        found = self._differences(old) if old else []
        if old is None:
            replacing = True
            self.reasons.append(f"container {self.spec.name}: absent -> {self.desired.state}")
        else:
            replacing = self._must_replace(found)
        if replacing:
            self._replace(old, is_aside=is_aside)
            self.fallback = self.fallback or old
        elif old is not None:
            self._keep(old, is_aside=is_aside, found=found)
        fallback = self.fallback
        return Plan(
            tuple(self.steps),
            tuple(self.reasons),
            tuple(self.warnings),
            before=now,
            after=self.wanted if replacing else {**now, RESTART_POLICY: self.restart_policy},
            rollback_to=fallback["Id"] if fallback else "",
            # One that does not run was most likely stopped by a run that was cut off, and the user wants one that runs.
            rollback_runs=fallback is not None and (self.started or is_running(fallback)),
            otherwise=self.otherwise,
        )

    def _network(self) -> None:
        if self.snapshot.network is None:
            self.steps.append(Step(Action.CREATE_NETWORK, self.spec.network))
            self.reasons.append(f"network {self.spec.network}: absent -> present")

    def _sweep_candidate(self) -> None:
        if self.snapshot.candidate is not None:
            self.reasons.append(f"{self.spec.candidate_name}: left by a run that was cut off")
            self.steps += _remove(self.snapshot.candidate)

    def _mend(self) -> tuple[Json | None, bool]:
        """Begin with what a run that was cut off left; give the container to go on from, and whether it is set aside.

        Only `-previous` exists: it was set aside and no new one made, so it is the one to go on from. Both exist: the
        one in place stays if it is what is wanted (it is yet to prove itself, and `_keep` sees to that) or if it is
        healthy; otherwise it goes, and the one set aside is the one to go on from.
        """
        current, previous = self.snapshot.current, self.snapshot.previous
        if previous is None or self._is_kept(current, previous):
            return current, False
        self.reasons.append(f"{self.spec.previous_name}: {_why_aside(current, previous)}")
        if current is None:
            self.fallback = previous
            return previous, True
        lasting = [d for d in self._differences(current) if d.field != RESTART_POLICY]
        if self.desired.recreate is not Recreate.ALWAYS and not lasting:
            # A restart of Docker may have brought the one set aside back.
            self.steps += [*_stop(previous), *_give_policy(previous, NEVER)]
            self.fallback = previous
            return current, False
        if is_healthy(current):
            self.steps += _remove(previous)
            return current, False
        # The policy is handed over before the one in place goes, so that a power cut leaves one that Docker starts.
        self.steps += [*_stop(current), *_give_policy(current, NEVER), *_give_policy(previous, self.restart_policy)]
        self.steps.append(_step(Action.REMOVE, current))
        self.handed_over = True
        self.fallback = previous
        return previous, True

    def _is_kept(self, current: Json | None, previous: Json) -> bool:
        """Tell whether an earlier run did all that is wanted, and has set the old one aside to be kept."""
        settled = self.desired == DesiredState(keep_previous=True)
        at_rest = _policy(previous) == NEVER and not is_running(previous)
        return settled and at_rest and current is not None and is_healthy(current) and not self._differences(current)

    def _must_replace(self, found: Sequence[Difference]) -> bool:
        lasting = [d.words for d in found if d.field != RESTART_POLICY]
        if self.desired.recreate is Recreate.NEVER:
            self.warnings += [f"Not applied, because recreate is never: {words}" for words in lasting]
            self.reasons += [d.words for d in found if d.field == RESTART_POLICY]
            return False
        self.reasons += [d.words for d in found]
        if self.desired.recreate is Recreate.ALWAYS:
            self.reasons.append("recreate: always")
            return True
        return bool(lasting)

    def _fields(self, container: Json) -> Json:
        return actual_fields(self.spec, container, self._image_of(container))

    def _image_of(self, container: Json) -> Json | None:
        if container is self.snapshot.previous:
            return self.snapshot.previous_image
        return self.snapshot.current_image

    def _differences(self, container: Json) -> list[Difference]:
        own = container["Config"].get("Labels") or {}
        same_intent = own.get(DIGEST) == intent_digest(self.spec, self.image)
        found = differences(self._fields(container), self.wanted, same_intent=same_intent)
        network = (self.snapshot.network or {}).get("Id")
        endpoint = container["NetworkSettings"]["Networks"].get(self.spec.network) or {}
        if not network or endpoint.get("NetworkID") not in (network, "", None):
            found.append(Difference("network", f"network: {self.spec.network} was recreated"))
        if not found and not same_intent:
            found.append(Difference("digest", "settings: not those that the container was made with"))
        return found

    def _replace(self, old: Json | None, *, is_aside: bool) -> None:
        name = self.spec.name
        if old is not None and self.started and self.spec.proof is not None and is_running(old):
            self._prove_beside()
        if old is not None:
            self.steps += _stop(old)
            if not is_aside:
                self.steps.append(_step(Action.RENAME, old, self.spec.previous_name))
        self.steps.append(Step(Action.CREATE, name))
        if old is not None:
            self.steps.append(Step(Action.RESTART_POLICY, self.spec.previous_name, old["Id"], NEVER))
        if self.started:
            self.steps.append(Step(Action.RESTART_POLICY, name, argument=ALWAYS))
            self.steps.append(Step(Action.START, name))
            self.steps.append(Step(Action.WAIT, name))
        if old is not None and not self.desired.keep_previous:
            self.steps.append(Step(Action.REMOVE, self.spec.previous_name, old["Id"]))

    def _prove_beside(self) -> None:
        name = self.spec.candidate_name
        actions = (Action.CREATE, Action.START, Action.WAIT, Action.STOP, Action.REMOVE)
        self.steps += [Step(action, name) for action in actions]

    def _keep(self, old: Json, *, is_aside: bool, found: Sequence[Difference]) -> None:
        target = self.spec.name
        runs = is_running(old)
        unpausing = self.started and not self.desired.restart and is_paused(old)
        illness = "" if unpausing else _illness(old)
        stopping = runs and (bool(illness) or not self.started or self.desired.restart)
        if stopping:
            self.steps += _stop(old)
        if is_aside:
            self.steps.append(_step(Action.RENAME, old, target))
        if not self.handed_over and any(d.field == RESTART_POLICY for d in found):
            self.steps.append(Step(Action.RESTART_POLICY, target, old["Id"], self.restart_policy))
        # The one in place may have been made by a run that was cut off before it had proved itself.
        unproven = self.fallback is not None and self.fallback is not old
        starting = self.started and (stopping or not runs)
        if unpausing or (starting and illness):
            done = "unpaused" if unpausing else "restarted"
            # Where there is another one to roll back to, that is better than going on with this one; and what found the
            # same hopeless twice is to be mended elsewhere.
            further = () if unproven or is_aside or illness == HOPELESS else self._further(done)
            self.otherwise = self._otherwise(old, further)
            self.reasons.append(f"container {target}: {illness or 'paused'} -> {done}{_announced(further)}")
        elif starting:
            self.reasons.append("restart: asked for" if runs else f"container {target}: stopped -> started")
        elif stopping:
            self.reasons.append(f"container {target}: started -> stopped")
        if starting or unpausing:
            self.steps.append(Step(Action.UNPAUSE if unpausing else Action.START, target, old["Id"]))
            if runs:
                self.fallback = self.fallback or old
        if starting or unpausing or (self.started and (unproven or is_aside)):
            self.steps.append(Step(Action.WAIT, target, old["Id"]))
        if unproven and self.fallback is not None and not self.desired.keep_previous:
            self.steps.append(_step(Action.REMOVE, self.fallback))

    def _further(self, done: str) -> tuple[str, ...]:
        """Name what is left to do with a container that is as wanted, but still not healthy when this was done."""
        restarted = ("restarted",) if done == "unpaused" else ()
        return restarted if self.desired.recreate is Recreate.NEVER else (*restarted, "replaced")

    def _otherwise(self, old: Json, further: Sequence[str]) -> Plan | None:
        """Give the plans for that, each for when the previous one did not help."""
        if not further:
            return None
        mending = _Planner(self.spec, self.snapshot, self.image, self.desired)
        if further[0] == "restarted":
            mending.steps = [_step(action, old) for action in (Action.STOP, Action.START, Action.WAIT)]
        else:
            mending._replace(old, is_aside=False)
        return Plan(
            tuple(mending.steps),
            (f"container {self.spec.name}: still not healthy -> {further[0]}",),
            rollback_to=old["Id"],
            rollback_runs=True,
            rollback_is_ill=True,
            otherwise=self._otherwise(old, further[1:]),
        )


def _announced(further: Sequence[str]) -> str:
    """Say what follows if what is done first does not help, which only the run itself can find out."""
    return f"; if that does not help, {', then '.join(further)}" if further else ""


def _illness(container: Json) -> str:
    """Say what a restart may mend, of a container that runs; empty when there is nothing."""
    state = container["State"]
    if state.get("Restarting"):
        return "restarting again and again"
    if is_running(container) and not is_healthy(container) and is_hopeless(state):
        return HOPELESS
    unhealthy = (state.get("Health") or {}).get("Status") == "unhealthy"
    return "unhealthy" if unhealthy and is_running(container) else ""


def _why_aside(current: Json | None, previous: Json) -> str:
    """Say why a container is set aside: one that is kept on purpose looks like one left just before it was to go."""
    at_rest = _policy(previous) == NEVER and not is_running(previous)
    if at_rest and current is not None and _policy(current) == ALWAYS:
        return "kept by an earlier run, or left by one that was cut off"
    return "left by a run that was cut off"


def _policy(container: Json) -> str:
    return str(container["HostConfig"]["RestartPolicy"]["Name"])


def _step(action: Action, container: Json, argument: str = "") -> Step:
    return Step(action, name_of(container), container["Id"], argument)


def _stop(container: Json) -> list[Step]:
    return [_step(Action.STOP, container)] if is_running(container) else []


def _give_policy(container: Json, policy: str) -> list[Step]:
    return [] if _policy(container) == policy else [_step(Action.RESTART_POLICY, container, policy)]


def _remove(container: Json) -> list[Step]:
    return [*_stop(container), _step(Action.REMOVE, container)]
