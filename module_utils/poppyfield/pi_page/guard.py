"""Has containers of this Pi run that Docker was to start, and could not: systemd runs it after each start of Docker.

Docker tries once to start what ran before. After a loss of power it may hold the port of the map for a container that
is no more (moby/libnetwork#1790 and #2448): that start fails, and so does each later one, until Docker itself is
restarted. What runs meanwhile goes on (live-restore).
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.containers.spec import name_of
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


# The effect ---------------------------------------------------------------------------------------------------------


@dataclass
class Guard:
    """Has them run, and says what it did."""

    work: Path = Path(program.WORK_FOLDER)
    look: Callable[[], DockerAnswers] = program.look_at_docker
    tell: Callable[[str], bool] = order_helper.tell_docker
    command: Callable[..., subprocess.CompletedProcess[bytes]] = subprocess.run
    rest: Callable[[float], None] = time.sleep
    say: Callable[[str], object] = print

    def mend(self) -> None:
        """Have what Docker did not start run. Raises LockError while a run is at work, which sees to it itself."""
        if not not_started(self.look().own_containers):
            return
        with lock.alone("The guard of the Pi's containers", "after a start of Docker"):
            docker = self._started(self.look())
            failed = not_started(docker.own_containers)
            restarted = self.work / RESTARTED
            if holds_ports_for_nobody(failed, docker.containers) and not restarted.exists():
                restarted.touch()
                self.say("Docker holds a port for a container that is no more, and is restarted.")
                self.command(["systemctl", "restart", "docker.service"], check=False)
                failed = not_started(self._started(self._answer()).own_containers)
            for one in failed:
                self.say(f"{name_of(one)} does not start: {one['State']['Error']}")

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
        Guard().mend()
    except LockError as error:
        sys.stderr.write(f"{error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
