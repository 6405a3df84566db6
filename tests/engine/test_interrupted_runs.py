"""Runs that are killed or ended in the middle, on a real engine: the old container serves, or the next run mends.

A run is a process of its own here, as a module is.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import docker
import pytest
from ansible.module_utils.poppyfield.containers.apply import ApplyError
from ansible.module_utils.poppyfield.containers.plan import DesiredState
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec
from docker.utils import kwargs_from_env

from tests.doubles.docker_engine import Behaviour
from tests.engine.worlds import IMAGES, NAME, NEW, OLD, PATIENCE, RealWorld, Watched, converge, hurry, look

STOPS_IN = "2"
PUT_BACK = "The run was interrupted.\nThe old container was put back and serves again."


class Run:
    """A run in a process of its own, with its own connection to the engine."""

    def __init__(
        self,
        wanted: ContainerSpec,
        state: Path,
        *,
        changed: Callable[[str], None] = lambda _name: None,
        sleep: Callable[[float], None] = hurry,
    ) -> None:
        self._wanted = wanted
        self._state = state
        self._changed = changed
        self._sleep = sleep
        fork = multiprocessing.get_context("fork")
        self._answer, sender = fork.Pipe(duplex=False)
        self.process = fork.Process(target=self._work, args=(sender,))
        self.process.start()
        sender.close()

    def _work(self, sender: Connection) -> None:
        world = RealWorld(docker.APIClient(version="auto", **kwargs_from_env()), self._state, self._sleep)
        try:
            converge(world, self._wanted, DesiredState(), api=Watched(world.api, self._changed))
        except ApplyError as error:
            sender.send(str(error))

    def end(self) -> int | None:
        """Wait for the end; give the exit code, which is -9 for one that was killed."""
        self.process.join(PATIENCE)
        return self.process.exitcode

    def error(self) -> str:
        """Wait for the error that it ends with."""
        assert self._answer.poll(PATIENCE)
        return str(self._answer.recv())


def life(folder: Path) -> list[str]:
    """Give what the servers wrote about themselves into the data folder."""
    file = folder / "data" / "life"
    return file.read_text().splitlines() if file.exists() else []


def assert_never_two(lines: list[str]) -> None:
    """Each server must have ended its shutdown before the next one started."""
    ends = [line.split()[1] for line in lines if not line.endswith("stopping")]
    assert ends == ["started", "stopped"] * (len(ends) // 2) + ["started"], lines


def serving(real: RealWorld, wanted: ContainerSpec) -> dict[str, str]:
    """Give the image of each container, all of which must run."""
    found = look(real, wanted)
    assert all(container["runs"] for container in found.values()), found
    return {name: container["fields"]["image"] for name, container in found.items()}


def kill_myself(after: str) -> Callable[[str], None]:
    def changed(name: str) -> None:
        if name == after:
            os.kill(os.getpid(), signal.SIGKILL)

    return changed


@pytest.mark.field("B17", "a run that was ended, then another one")
@pytest.mark.parametrize("after", ["stop", "create_container_from_config", "start"])
def test_a_run_that_was_killed_is_mended_by_the_next(
    real: RealWorld, wanted: ContainerSpec, tmp_path: Path, after: str
) -> None:
    converge(real, wanted, DesiredState())
    newer = replace(wanted, image=NEW)
    assert Run(newer, tmp_path / "state", changed=kill_myself(after)).end() == -signal.SIGKILL
    converge(real, newer, DesiredState())
    assert serving(real, newer) == {NAME: NEW}
    assert not converge(real, newer, DesiredState()).changed
    assert_never_two(life(tmp_path))


def end_myself(number: signal.Signals, folder: Path) -> Callable[[float], None]:
    """Give what sends this process a signal, once, as soon as it waits for a new container that has started."""
    endings = iter([number])

    def sleep(seconds: float) -> None:
        if "2 started" in life(folder):
            for ending in endings:
                os.kill(os.getpid(), ending)
        hurry(seconds)

    return sleep


@pytest.mark.field("A12", "Ctrl-C while a container is deployed")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_run_that_is_ended_while_it_waits_rolls_back_itself(
    real: RealWorld, wanted: ContainerSpec, tmp_path: Path, number: signal.Signals
) -> None:
    converge(real, wanted, DesiredState())
    real.behave(NEW, Behaviour(looks_until_healthy=-1))
    run = Run(replace(wanted, image=NEW), tmp_path / "state", sleep=end_myself(number, tmp_path))
    assert run.error() == PUT_BACK
    assert serving(real, wanted) == {NAME: OLD}
    assert not converge(real, wanted, DesiredState()).changed


def test_a_second_signal_does_not_end_the_rollback(real: RealWorld, wanted: ContainerSpec, tmp_path: Path) -> None:
    converge(real, wanted, DesiredState())
    real.behave(NEW, Behaviour(looks_until_healthy=-1))
    takes_long_to_stop(tmp_path, NEW)
    run = Run(replace(wanted, image=NEW), tmp_path / "state", sleep=end_myself(signal.SIGTERM, tmp_path))
    wait_for(lambda: "2 stopping" in life(tmp_path))
    run.process.terminate()
    assert run.error() == PUT_BACK
    assert serving(real, wanted) == {NAME: OLD}


def takes_long_to_stop(folder: Path, reference: str) -> None:
    (folder / "state" / IMAGES[reference] / "stops-in").write_text(STOPS_IN)


def test_a_replaced_container_gets_its_own_signal_and_its_whole_shutdown(
    real: RealWorld, wanted: ContainerSpec, tmp_path: Path
) -> None:
    takes_long_to_stop(tmp_path, OLD)
    converge(real, wanted, DesiredState())
    converge(real, replace(wanted, image=NEW), DesiredState())
    assert life(tmp_path) == ["1 started", "1 stopping", "1 stopped", "2 started"]


def test_a_shutdown_goes_on_when_the_run_that_asked_for_it_is_killed(
    real: RealWorld, wanted: ContainerSpec, tmp_path: Path
) -> None:
    takes_long_to_stop(tmp_path, OLD)
    converge(real, wanted, DesiredState())
    newer = replace(wanted, image=NEW)
    run = Run(newer, tmp_path / "state")
    wait_for(lambda: "1 stopping" in life(tmp_path))
    run.process.kill()
    assert run.end() == -signal.SIGKILL
    converge(real, newer, DesiredState())
    assert "1 stopped" in life(tmp_path)
    assert serving(real, newer) == {NAME: NEW}


def wait_for(reached: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)
