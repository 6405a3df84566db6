"""Every kind of plan, cut off after each of its changes, ends as the uninterrupted run does once it is run again."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import signal
from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.apply import ApplyError
from ansible.module_utils.poppyfield.containers.plan import DesiredState, Recreate, State
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec

from tests.doubles.docker_engine import Behaviour, FakeDocker, PowerCut
from tests.unit.converging import (
    BESIDE,
    BESIDE_NEW,
    CANDIDATE,
    NAME,
    OLD,
    SPEC,
    THIRD,
    WANT_NEW,
    changed,
    converge,
    deployed,
    deployed_beside,
    fresh,
    kept,
    stopped,
)

WANT_THIRD = changed(image=THIRD)
START, STOPPED = DesiredState(), DesiredState(State.STOPPED)
ABSENT, RESTART = DesiredState(State.ABSENT), DesiredState(restart=True)
RECREATE, KEEP = DesiredState(recreate=Recreate.ALWAYS), DesiredState(recreate=Recreate.NEVER)
KEEP_PREVIOUS = DesiredState(keep_previous=True)

Before = Callable[[FakeDocker], object]


def nothing(_: FakeDocker) -> None:
    """Leave the host bare."""


def stopped_by_hand(host: FakeDocker) -> None:
    converge(host)
    host.stop(NAME, 1)


def policy_by_hand(host: FakeDocker) -> None:
    converge(host)
    host.update_container(NAME, {"Name": "no"})


def paused_by_hand(host: FakeDocker) -> None:
    converge(host)
    host.pause(NAME)


def unhealthy(host: FakeDocker) -> None:
    converge(host)
    host.fall_ill(NAME, until="restart")


def memory_by_hand(host: FakeDocker) -> None:
    converge(host)
    host.named(NAME)["HostConfig"]["Memory"] = 999


def network_recreated(host: FakeDocker) -> None:
    converge(host)
    host.networks_by_name["poppyfield"]["Id"] = "another"


def network_gone(host: FakeDocker) -> None:
    # Docker lets no network go that a running container is in.
    stopped(host)
    del host.networks_by_name["poppyfield"]


def ends_again_and_again(host: FakeDocker) -> None:
    host.behaviours[OLD] = Behaviour(ends_with=1)
    with pytest.raises(ApplyError):
        converge(host)
    host.behaviours[OLD] = Behaviour()


def cut_off(changes: int, before: Before = deployed, wanted: ContainerSpec = WANT_NEW, reboots: bool = False) -> Before:
    """Give what makes a host on which a run was cut off after so many changes."""

    def make(host: FakeDocker) -> None:
        before(host)
        host.power_cut_after = changes
        with pytest.raises(PowerCut):
            converge(host, wanted)
        host.come_back()
        if reboots:
            host.boot()

    return make


@dataclasses.dataclass
class Case:
    """One kind of plan: what there is before, and what is wanted then."""

    name: str
    before: Before
    wanted: ContainerSpec = SPEC
    desired: DesiredState = START

    def __post_init__(self) -> None:
        self._host = fresh()
        self._host.add_image(THIRD, "3")
        self.before(self._host)
        host = self.host()
        made = len(host.calls)
        self.run(host)
        self.changes = host.calls[made:]
        self.state_before, self.state_after = state_of(self._host), state_of(host)
        self.serves_throughout = bool(serving(self._host)) and bool(serving(host))
        self.survives_reboots = all(serves_after_reboot(h) for h in (self._host, host))

    def host(self) -> FakeDocker:
        return copy.deepcopy(self._host)

    def run(self, host: FakeDocker) -> Any:
        return converge(host, self.wanted, **dataclasses.asdict(self.desired))


def state_of(host: FakeDocker) -> dict[str, Any]:
    """Give what one can tell containers apart by, save what is another with each run."""
    return {
        container["Name"].lstrip("/"): {
            "labels": container["Config"]["Labels"],
            "policy": container["HostConfig"]["RestartPolicy"]["Name"],
            "memory": container["HostConfig"]["Memory"],
            "network": container["NetworkSettings"]["Networks"]["poppyfield"]["NetworkID"],
            "runs": container["State"]["Status"] == "running",
        }
        for container in host.containers_by_id.values()
    }


def serving(host: FakeDocker) -> list[str]:
    """Name the containers that serve. Nobody reaches a candidate."""
    return [name for name, container in state_of(host).items() if container["runs"] and name != CANDIDATE]


def serves_after_reboot(host: FakeDocker) -> bool:
    host = copy.deepcopy(host)
    host.boot()
    return bool(serving(host))


PLAIN = [
    Case("first creation", nothing),
    Case("first creation of a stopped one", nothing, desired=STOPPED),
    Case("replacement", deployed, WANT_NEW),
    Case("replacement with a trial", deployed_beside, BESIDE_NEW),
    Case("replacement of a stopped one", stopped, WANT_NEW),
    Case("replacement of a stopped one by another", stopped, WANT_NEW, STOPPED),
    Case("replacement by a stopped one", deployed, WANT_NEW, STOPPED),
    Case("replacement of one that ends again and again", ends_again_and_again, WANT_NEW),
    Case("start", stopped),
    Case("start of one that was stopped by hand", stopped_by_hand),
    Case("start of one that ends again and again", ends_again_and_again),
    Case("stop", deployed, desired=STOPPED),
    Case("stop of one that ends again and again", ends_again_and_again, desired=STOPPED),
    Case("absent", deployed, desired=ABSENT),
    Case("absent after a stop", stopped, desired=ABSENT),
    Case("restart", deployed, desired=RESTART),
    Case("unpausing", paused_by_hand),
    Case("stop of a paused one", paused_by_hand, desired=STOPPED),
    Case("replacement of a paused one", paused_by_hand, WANT_NEW),
    Case("restart of an unhealthy one", unhealthy),
    Case("replacement of an unhealthy one", unhealthy, WANT_NEW),
    Case("restart with a policy changed by hand", policy_by_hand, desired=RESTART),
    Case("policy changed by hand", policy_by_hand),
    Case("policy changed by hand, recreate never", policy_by_hand, WANT_NEW, KEEP),
    Case("memory limit changed by hand", memory_by_hand),
    Case("recreate always", deployed, desired=RECREATE),
    Case("recreate always with a trial", deployed_beside, BESIDE, RECREATE),
    Case("network recreated", network_recreated),
    Case("replacement, the old one kept", deployed, WANT_NEW, KEEP_PREVIOUS),
    Case("replacement with a trial, the old one kept", deployed_beside, BESIDE_NEW, KEEP_PREVIOUS),
]
# What a replacement leaves after each of its seven changes but the last.
MENDING = [
    Case(f"{name}, after {changes} changes and {'a' if reboots else 'no'} reboot", before, wanted, desired)
    for changes in range(1, 7)
    for reboots in (False, True)
    for name, wanted, desired in (
        ("again", WANT_NEW, START),
        ("back", SPEC, START),
        ("another", WANT_THIRD, START),
        ("again, recreate always", WANT_NEW, RECREATE),
        ("another, recreate never", WANT_THIRD, KEEP),
        ("restart", WANT_NEW, RESTART),
        ("stop", WANT_NEW, STOPPED),
        ("stop and back", SPEC, STOPPED),
        ("absent", WANT_NEW, ABSENT),
    )
    for before in [cut_off(changes, reboots=reboots)]
]
MENDING_A_TRIAL = [
    Case(f"{name} with a trial, after {changes} changes", before, wanted, desired)
    for changes in range(1, 8)
    for name, wanted, desired in (
        ("again", BESIDE_NEW, START),
        ("back", BESIDE, START),
        ("stop", BESIDE, STOPPED),
        ("absent", BESIDE, ABSENT),
    )
    for before in [cut_off(changes, deployed_beside, BESIDE_NEW)]
]
# What was kept is removed first, and is not missed: the one in place is healthy.
WHILE_ONE_IS_KEPT = [
    Case("replacement while one is kept", kept, BESIDE, KEEP_PREVIOUS),
    Case("one is kept, but no longer wanted", kept, BESIDE_NEW),
]
# Where there is no network the old one cannot be put back either.
CASES = [*PLAIN, *MENDING, *MENDING_A_TRIAL, *WHILE_ONE_IS_KEPT, Case("network gone", network_gone)]
POINTS = [
    pytest.param(case, number, id=f"{case.name}: {number} {change}")
    for case in CASES
    for number, change in enumerate(case.changes, start=1)
]
PLAIN_POINTS = POINTS[: sum(len(case.changes) for case in PLAIN)]


@pytest.mark.crash_point
@pytest.mark.parametrize("reboots", [True, False], ids=["power cut", "killed"])
@pytest.mark.parametrize(("case", "changes"), POINTS)
def test_a_run_that_is_cut_off_is_finished_by_the_same_run(case: Case, changes: int, reboots: bool) -> None:
    host = case.host()
    host.power_cut_after = changes
    with pytest.raises((PowerCut, ApplyError)) as raised:
        case.run(host)
    assert PowerCut in (type(raised.value), type(raised.value.__cause__))
    host.boot() if reboots else host.come_back()
    assert len(serving(host)) <= 1
    if reboots and case.survives_reboots:
        # Only while the policy is handed over from one container to another is there none for Docker to start.
        assert serving(host) or host.calls[-1].startswith("restart policy of ")
    case.run(host)
    assert state_of(host) == case.state_after
    if not case.desired.restart and case.desired.recreate is not Recreate.ALWAYS:
        assert not case.run(host).plan.changed


def interrupt(host: FakeDocker, changes: int, number: signal.Signals) -> None:
    """Let somebody end the run politely during this change."""
    numbers = itertools.count(1)
    changed = host._changed

    def interrupted() -> None:
        changed()
        if next(numbers) == changes:
            signal.raise_signal(number)

    host.__dict__["_changed"] = interrupted


@pytest.mark.crash_point
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize(("case", "changes"), PLAIN_POINTS)
def test_a_run_that_is_interrupted_leaves_the_old_or_the_new_one(
    case: Case, changes: int, number: signal.Signals
) -> None:
    host = case.host()
    interrupt(host, changes, number)
    with pytest.raises(ApplyError, match=r"The run was interrupted\."):
        case.run(host)
    assert state_of(host) in (case.state_before, case.state_after) or not case.serves_throughout
    case.run(host)
    assert state_of(host) == case.state_after


@pytest.mark.parametrize(("case", "changes"), PLAIN_POINTS)
def test_a_change_that_docker_refuses_leaves_the_old_or_the_new_one(case: Case, changes: int) -> None:
    host = case.host()
    host.refuse = case.changes[changes - 1]
    with pytest.raises(ApplyError, match="refused to"):
        case.run(host)
    assert state_of(host) in (case.state_before, case.state_after) or not case.serves_throughout
    case.run(host)
    assert state_of(host) == case.state_after
