"""What Docker could not start after a loss of power runs, and what stays unhealthy is restarted, within bounds."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.health import HOPELESS
from ansible.module_utils.poppyfield.containers.spec import MANAGED, RESOURCE
from ansible.module_utils.poppyfield.host.stack_status import DockerAnswers
from ansible.module_utils.poppyfield.pi_page import guard
from ansible.module_utils.poppyfield.pi_page.guard import ContainerGuard
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
        self.guard = ContainerGuard(folder, self._look, self._tell, self._command, lambda _: None, self.said.append)

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


SECOND = 10**9


def running(resource: str, status: str, failing: int = 40, said: str = "It hangs.", code: int = 1) -> Json:
    """Return a container that is looked at every ten seconds, and how many looks in a row have failed."""
    probe = {"Start": "2026-01-02T00:00:00Z", "ExitCode": code, "Output": said}
    return {
        "Id": resource,
        "Name": f"/websig-{resource}",
        "Config": {
            "Labels": {MANAGED: "true", RESOURCE: resource},
            "Healthcheck": {"Interval": 10 * SECOND},
        },
        "State": {
            "Status": "running",
            "StartedAt": "2026-01-01T00:00:00Z",
            "Health": {"Status": status, "FailingStreak": failing, "Log": [probe]},
        },
        "HostConfig": {"RestartPolicy": {"Name": "always"}},
    }


SICK, WELL, LONG_SICK = "unhealthy", "healthy", 30


@pytest.mark.parametrize(
    ("container", "restarted"),
    [
        (running("lizmap", SICK, LONG_SICK), True),
        (running("lizmap", SICK, LONG_SICK - 1), False),
        (running("lizmap", WELL), False),
        (running("lizmap", "starting"), False),
        (running("lizmap", SICK, code=HOPELESS), False),
        (running("postgis", SICK, said="FATAL:  the database system is starting up"), False),
        (running("postgis", SICK, said="psql: error: timeout expired"), True),
    ],
    ids=["long", "not long yet", "well", "starting", "nothing helps", "recovers", "database"],
)
def test_what_may_be_well_after_a_restart(container: Json, *, restarted: bool) -> None:
    assert (guard.to_restart([container]) is not None) == restarted


def test_the_map_server_waits_for_its_database() -> None:
    lizmap = running("lizmap", SICK)
    for database, first in (
        (running("postgis", SICK), "postgis"),
        (running("postgis", SICK, failing=1), None),
        (running("postgis", "starting"), None),
        (running("postgis", WELL), "lizmap"),
    ):
        found = guard.to_restart([lizmap, database])
        assert (found and found["Id"]) == first


def test_an_unhealthy_container_is_restarted_three_times_a_day(make_pi: MakePi, tmp_path: Path) -> None:
    done: list[str] = []
    said: list[str] = []
    now = [1000.0]
    seen = DockerAnswers(own_containers=[running("lizmap", SICK)])

    def tell(path: str) -> bool:
        done.append(path)
        return True

    make_pi("", "")
    for hour in range(6):
        now[0] = 1000.0 + hour * 3600
        # systemd starts another process each time.
        ContainerGuard(tmp_path, lambda: seen, tell, say=said.append, clock=lambda: now[0]).mend()
    assert done == ["/containers/lizmap/restart"] * 3
    assert said[-1] == "websig-lizmap stays unhealthy, and is restarted, 3 of 3 times in a day: It hangs."
    now[0] += 24 * 3600
    ContainerGuard(tmp_path, lambda: seen, tell, say=said.append, clock=lambda: now[0]).mend()
    assert len(done) == 4
    # The clock that it goes by begins anew when the Pi does.
    assert guard.recent({"websig-lizmap": [1e9]}, 10.0) == {"websig-lizmap": []}


def test_a_run_that_is_at_work_sees_to_it_itself(
    make_pi: MakePi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pi = make_pi(OTHER, "start")

    @contextmanager
    def taken(*_: str) -> Iterator[None]:
        raise LockError("Somebody has been working on this Pi.")
        yield

    monkeypatch.setattr(lock, "alone", taken)
    monkeypatch.setattr(guard, "ContainerGuard", lambda: pi.guard)
    assert guard.main() == 0 and not pi.done
    assert capsys.readouterr().err == "Somebody has been working on this Pi.\n"
