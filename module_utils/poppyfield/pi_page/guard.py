"""Has the containers of this Pi run, and well: systemd runs it after each start of Docker, and every few minutes.

Docker tries once to start what ran before. After a loss of power it may hold the port of the map for a container that
is no more (moby/libnetwork#1790 and #2448): that start fails, and so does each later one, until Docker itself is
restarted. What runs meanwhile goes on (live-restore).

Docker says of a container that runs that it is unhealthy, and leaves it so. Here it is restarted, within bounds.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.containers import health
from ansible.module_utils.poppyfield.containers.spec import is_ours, name_of
from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.host.stack_status import DockerAnswers
from ansible.module_utils.poppyfield.pi_page import order_helper, program
from ansible.module_utils.poppyfield.runs import lock
from ansible.module_utils.poppyfield.runs.lock import LockError

Json = dict[str, Any]

PORT_IS_TAKEN = "port is already allocated"
"""Docker's own words for a port that it holds; of a port that a program has it says "address already in use"."""
RESTARTED = "docker-restarted"
"""Is there when Docker was restarted since this Pi started: once has to be enough."""
ANSWER_SECONDS = 180
UNHEALTHY_SECONDS = 300
"""A look at a map may take long once, and a database that is being loaded, too."""
MOST_RESTARTS = 3
RESTARTS_SECONDS = 24 * 3600
"""In which a container is restarted so often at most: what does not help need not be done again and again."""
RESTARTS = "restarts-of-unhealthy.json"
NANOSECONDS = 10**9
DATABASE = "postgis"
RECOVERS = ("starting up", "shutting down", "in recovery mode", "not yet accepting connections")
"""What PostgreSQL says while it does what a restart would have it begin again."""


# The decision -------------------------------------------------------------------------------------------------------


def not_started(containers: Sequence[Json]) -> list[Json]:
    """Give the containers that Docker was to start, and could not."""
    return [
        one
        for one in containers
        if one["HostConfig"]["RestartPolicy"]["Name"] in ("always", "unless-stopped")
        and one["State"]["Status"] in ("created", "exited")
        and one["State"].get("Error")
    ]


def holds_ports_for_nobody(failed: Sequence[Json], listed: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether Docker calls a port taken that no container has; `listed` are all, as the engine lists them."""
    wanted = {
        binding["HostPort"]
        for one in failed
        if PORT_IS_TAKEN in one["State"]["Error"]
        for bindings in (one["HostConfig"].get("PortBindings") or {}).values()
        for binding in bindings or []
    }
    taken = {str(port["PublicPort"]) for one in listed for port in one.get("Ports") or [] if port.get("PublicPort")}
    return bool(wanted) and not wanted & taken


def stays_unhealthy(container: Json) -> bool:
    """Tell whether a container that runs has been unhealthy for long, and may be well when it is restarted."""
    state = container["State"]
    found = state.get("Health") or {}
    if state["Status"] != "running" or found.get("Status") != "unhealthy" or health.is_hopeless(state):
        return False
    if any(words in health.last_words(state) for words in RECOVERS):
        return False
    interval = ((container["Config"].get("Healthcheck") or {}).get("Interval") or 0) / NANOSECONDS
    return bool(found.get("FailingStreak", 0) * interval >= UNHEALTHY_SECONDS)


def to_restart(containers: Sequence[Json]) -> Json | None:
    """Give the container that is to be restarted now: while the database is not well, no other can be."""
    sick = [one for one in containers if stays_unhealthy(one)]
    of_database = [one for one in containers if is_ours(one, DATABASE) and one["State"]["Status"] == "running"]
    if any((one["State"].get("Health") or {}).get("Status") != "healthy" for one in of_database):
        sick = [one for one in sick if is_ours(one, DATABASE)]
    return next(iter(sick), None)


def recent(restarts: Mapping[str, Sequence[float]], now: float) -> dict[str, list[float]]:
    """Give by container when it was restarted, of the last day: seconds since this Pi started."""
    return {name: [one for one in times if 0 <= now - one < RESTARTS_SECONDS] for name, times in restarts.items()}


# The effect ---------------------------------------------------------------------------------------------------------


@dataclass
class ContainerGuard:
    """Has them run, and says what it did."""

    work: Path = Path(program.WORK_FOLDER)
    look: Callable[[], DockerAnswers] = program.look_at_docker
    tell: Callable[[str], bool] = order_helper.tell_docker
    command: Callable[..., subprocess.CompletedProcess[bytes]] = subprocess.run
    rest: Callable[[float], None] = time.sleep
    say: Callable[[str], object] = print
    clock: Callable[[], float] = time.monotonic

    def mend(self) -> None:
        """Have what Docker did not start run, and what stays unhealthy restarted.

        Raises LockError while a run is at work, which sees to it itself.
        """
        found = self.look().own_containers
        if not_started(found) or to_restart(found):
            with lock.alone("The guard of the Pi's containers", "of what does not run, or not well"):
                self._have_run()
                self._have_well()

    def _have_run(self) -> None:
        docker = self.look()
        if not_started(docker.own_containers):
            docker = self._started(docker)
            failed = not_started(docker.own_containers)
            restarted = self.work / RESTARTED
            if holds_ports_for_nobody(failed, docker.containers) and not restarted.exists():
                restarted.touch()
                self.say("Docker holds a port for a container that is no more, and is restarted.")
                self.command(["systemctl", "restart", "docker.service"], check=False)
                failed = not_started(self._started(self._answer()).own_containers)
            for one in failed:
                self.say(f"{name_of(one)} does not start: {one['State']['Error']}")

    def _have_well(self) -> None:
        """Restart what has been unhealthy for long, unless that was done too often."""
        one, restarts = to_restart(self.look().own_containers), recent(self._restarts(), self.clock())
        if one is None or len(before := restarts.get(name_of(one), [])) >= MOST_RESTARTS:
            return
        # Noted first: a restart that does not come back is one, too.
        noted = {**restarts, name_of(one): [*before, self.clock()]}
        atomic_file.write(self.work / RESTARTS, json.dumps(noted).encode(), mode=0o600)
        which = f"{len(before) + 1} of {MOST_RESTARTS} times in a day"
        self.say(f"{name_of(one)} stays unhealthy, and is restarted, {which}: {health.last_words(one['State'])}")
        with suppress(OSError, http.client.HTTPException):
            self.tell(f"/containers/{one['Id']}/restart")

    def _restarts(self) -> dict[str, list[float]]:
        with suppress(OSError, ValueError):
            found: dict[str, list[float]] = json.loads((self.work / RESTARTS).read_text("utf-8"))
            return found
        return {}

    def _started(self, docker: DockerAnswers) -> DockerAnswers:
        """Start what does not run, and look again."""
        failed = not_started(docker.own_containers)
        for one in failed:
            with suppress(OSError, http.client.HTTPException):
                if self.tell(f"/containers/{one['Id']}/start"):
                    self.say(f"{name_of(one)} was started, which Docker could not: {one['State']['Error']}")
        return self.look() if failed else docker

    def _answer(self) -> DockerAnswers:
        """Wait until Docker answers again."""
        end = time.monotonic() + ANSWER_SECONDS
        while (docker := self.look()).why and time.monotonic() < end:
            self.rest(1)
        return docker


def main() -> int:
    """Run the program."""
    try:
        ContainerGuard().mend()
    except LockError as error:
        sys.stderr.write(f"{error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
