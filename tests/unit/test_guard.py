"""What Docker could not start after a loss of power runs, and Docker is restarted where only that helps, once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host.stack_status import DockerAnswers
from ansible.module_utils.poppyfield.pi_page import guard
from ansible.module_utils.poppyfield.pi_page.guard import Guard
from ansible.module_utils.poppyfield.runs import lock
from ansible.module_utils.poppyfield.runs.lock import LockError

Json = dict[str, Any]
TAKEN = "driver failed programming external connectivity: Bind for 0.0.0.0:80 failed: port is already allocated"
OTHER = "failed to create task for container: no such file or directory"


class Pi:
    """A Docker that could not start the map server at its own start, and what is done to it."""

    def __init__(self, folder: Path, error: str, mends: str, policy: str = "always", neighbour: int = 0) -> None:
        """`mends` is what makes the container run: "start", "restart" of Docker, or nothing."""
        self.done: list[str] = []
        self.said: list[str] = []
        self._error, self._mends, self._policy, self._neighbour = error, mends, policy, neighbour
        self.guard = Guard(folder, self._look, self._tell, self._command, lambda _: None, self.said.append)

    def _look(self) -> DockerAnswers:
        own = {
            "Id": "7",
            "Name": "/websig-lizmap",
            "State": {"Status": "exited" if self._error else "running", "Error": self._error},
            "HostConfig": {
                "RestartPolicy": {"Name": self._policy},
                "PortBindings": {"8080/tcp": [{"HostIp": "", "HostPort": "80"}]},
            },
        }
        neighbour = {"Ports": [{"PrivatePort": 80, "PublicPort": self._neighbour}] if self._neighbour else []}
        return DockerAnswers(containers=[{"Ports": []}, neighbour], own_containers=[own])

    def _tell(self, path: str) -> bool:
        self.done.append(path)
        if self._mends == "start":
            self._error = ""
        return not self._error

    def _command(self, command: list[str], *, check: bool) -> subprocess.CompletedProcess[bytes]:
        del check
        self.done.append(" ".join(command))
        if self._mends == "restart":
            self._error = ""
        return subprocess.CompletedProcess(command, 0)


MakePi = Callable[..., Pi]
RESTART = "systemctl restart docker.service"
START = "/containers/7/start"


@pytest.fixture
def make_pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePi:
    @contextmanager
    def alone(*_: str) -> Iterator[None]:
        yield

    monkeypatch.setattr(lock, "alone", alone)
    return lambda *given, **more: Pi(tmp_path, *given, **more)


def test_what_runs_is_left_alone(make_pi: MakePi) -> None:
    for pi in (make_pi("", ""), make_pi(OTHER, "start", policy="no")):
        pi.guard.mend()
        assert not pi.done and not pi.said


def test_what_docker_could_not_start_is_started(make_pi: MakePi) -> None:
    pi = make_pi(OTHER, "start")
    pi.guard.mend()
    assert pi.done == [START]
    assert pi.said == [f"websig-lizmap was started, which Docker could not: {OTHER}"]


def test_a_port_that_docker_holds_for_nobody_is_let_go_by_a_restart_of_docker_once(make_pi: MakePi) -> None:
    pi = make_pi(TAKEN, "restart")
    pi.guard.mend()
    assert pi.done == [START, RESTART]
    assert pi.said == ["Docker holds a port for a container that is no more, and is restarted."]
    again = make_pi(TAKEN, "")
    again.guard.mend()
    assert again.done == [START]
    assert again.said == [f"websig-lizmap does not start: {TAKEN}"]


@pytest.mark.parametrize(("error", "neighbour"), [(TAKEN, 80), (OTHER, 0)])
def test_docker_is_not_restarted_for_a_port_that_somebody_has_nor_for_another_error(
    make_pi: MakePi, error: str, neighbour: int
) -> None:
    pi = make_pi(error, "restart", neighbour=neighbour)
    pi.guard.mend()
    assert pi.done == [START] and "does not start" in pi.said[0]


def test_a_run_that_is_at_work_sees_to_it_itself(
    make_pi: MakePi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pi = make_pi(OTHER, "start")

    @contextmanager
    def taken(*_: str) -> Iterator[None]:
        raise LockError("Somebody has been working on this Pi.")
        yield

    monkeypatch.setattr(lock, "alone", taken)
    monkeypatch.setattr(guard, "Guard", lambda: pi.guard)
    assert guard.main() == 0 and not pi.done
    assert capsys.readouterr().err == "Somebody has been working on this Pi.\n"
