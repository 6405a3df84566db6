"""The small helper of root: takes one of a few fixed words by its socket, does that, and nothing else.

systemd starts it for one connection, one at a time. Only the operator's page may connect, which has asked for the
password. It answers one word, before it begins what ends the page's own way to whoever asked.
"""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.containers.services import SERVICES
from ansible.module_utils.poppyfield.containers.spec import is_ours, name_of
from ansible.module_utils.poppyfield.host import atomic_file, stack_status
from ansible.module_utils.poppyfield.host.stack_host import HostOfStack
from ansible.module_utils.poppyfield.host.stack_status import DockerAnswers
from ansible.module_utils.poppyfield.pi_page import orders, program, support
from ansible.module_utils.poppyfield.runs import lock
from ansible.module_utils.poppyfield.runs.lock import LockError
from ansible.module_utils.poppyfield.status import rows

Json = dict[str, Any]

ORDER_SECONDS = 5
"""The page sends a word at once."""
STOP_SECONDS = 300
"""PostgreSQL writes down what it has in memory before it ends, which takes a while on a card."""
DOCKER_SECONDS = 330
LOG_LINES = 2000
SECRETS = Path("/etc/poppyfield")
LARGEST_SECRET = 64 * 1024
STATE = "orders.json"
"""When which order was given last, in a folder that is in memory."""
COMMANDS = {
    "docker.log": ("journalctl", "--unit", "docker.service", "--lines", str(LOG_LINES), "--no-pager"),
    "kernel.log": ("journalctl", "--dmesg", "--lines", str(LOG_LINES), "--no-pager"),
    "page.log": ("journalctl", "--unit", "poppyfield-*", "--lines", str(LOG_LINES), "--no-pager"),
    "packages.txt": ("dpkg-query", "--show"),
    "disks.txt": ("df", "--human-readable"),
}
"""By file of the bundle what is asked for it."""


def read_order(connection: socket.socket) -> str | None:
    """Read an order; None where something else comes, or nothing in time."""
    said = b""
    end = time.monotonic() + ORDER_SECONDS
    with suppress(OSError):
        while not said.endswith(orders.END) and len(said) < orders.LONGEST:
            connection.settimeout(max(end - time.monotonic(), 0.001))
            more = connection.recv(orders.LONGEST - len(said))
            if not more:
                break
            said += more
    return orders.order_of(said)


def tell_docker(path: str) -> bool:
    """Have the engine do something; tell whether it did."""
    with closing(program.DockerSocketConnection(program.DOCKER)) as connection:
        connection.timeout = DOCKER_SECONDS
        connection.request("POST", path)
        # 304: it was so already.
        return connection.getresponse().status in (http.client.NO_CONTENT, http.client.NOT_MODIFIED)


def log_of(container: Json) -> str:
    """Give the end of a container's log."""
    with closing(program.DockerSocketConnection(program.DOCKER)) as connection:
        query = f"stdout=1&stderr=1&timestamps=1&tail={LOG_LINES}"
        connection.request("GET", f"/containers/{container['Id']}/logs?{query}")
        return support.log_of(connection.getresponse().read(8 * support.MOST_BYTES))


def of_service(containers: list[Json], service: str) -> Json | None:
    """Give the container of a service, ours alone, and not one that was set aside."""
    found = [one for one in containers if is_ours(one, service) and not name_of(one).endswith(rows.SET_ASIDE)]
    return next((one for one in found if stack_status.is_up(one)), found[0] if found else None)


@dataclass
class OrderHelper:
    """Does what the words say."""

    reply: Callable[[bytes], None]
    """Answers; after that nobody may listen any more."""
    work: Path = Path(program.WORK_FOLDER)
    look: Callable[[], DockerAnswers] = program.look_at_docker
    tell: Callable[[str], bool] = tell_docker
    command: Callable[..., subprocess.CompletedProcess[bytes]] = subprocess.run

    def do(self, order: str) -> str:
        """Do what an order says; give what came of it, in a sentence."""
        if orders.is_too_soon(order, self._given(), time.monotonic()):
            return self._refuse(orders.TOO_SOON)
        if order in orders.RESTARTS:
            return self._restart(order)
        return self._support() if order == orders.SUPPORT else self._shut_down()

    def _given(self) -> dict[str, float]:
        with suppress(OSError, ValueError):
            return orders.given_of(json.loads((self.work / STATE).read_text("utf-8")))
        return {}

    def _refuse(self, reply: str) -> str:
        self.reply(reply.encode() + orders.END)
        return reply

    def _accept(self, order: str, content: bytes = b"") -> None:
        state = {**self._given(), order: time.monotonic()}
        atomic_file.write(self.work / STATE, json.dumps(state).encode(), mode=0o600)
        self.reply(orders.ACCEPTED.encode() + orders.END + content)

    def _restart(self, order: str) -> str:
        container = of_service(list(self.look().own_containers), orders.RESTARTS[order])
        if container is None:
            return self._refuse(orders.MISSING)
        try:
            with lock.alone("The operator's page", "/operator"):
                self._accept(order)
                if container["State"].get("Paused"):
                    self.tell(f"/containers/{container['Id']}/unpause")
                done = self.tell(f"/containers/{container['Id']}/restart")
        except LockError:
            return self._refuse(orders.BUSY)
        self.command(["systemctl", "start", "--no-block", "poppyfield-page.service"], check=False)
        return f"{name_of(container)} was restarted" if done else f"{name_of(container)} could not be restarted"

    def _shut_down(self) -> str:
        """Stop the map server, then the database, whose clean end is waited for, then the Pi.

        A run from a laptop does not hold it up: otherwise somebody would pull the plug.
        """
        self._accept(orders.SHUT_DOWN)
        running = [one for one in self.look().own_containers if stack_status.is_up(one)]
        stopped = []
        for service in reversed(SERVICES):
            for container in (one for one in running if is_ours(one, service.name)):
                stopped.append(container)
                if not self.tell(f"/containers/{container['Id']}/stop?t={STOP_SECONDS}"):
                    return self._go_on(stopped, f"{name_of(container)} could not be stopped")
        ended = {name_of(one): one["State"].get("ExitCode") for one in self.look().own_containers}
        how = ", ".join(f"{name_of(one)} ended with {ended.get(name_of(one))}" for one in stopped)
        if self.command(["systemctl", "poweroff", "--no-block"], check=False).returncode:
            return self._go_on(stopped, f"{how}, but the Pi could not be shut down")
        return f"{how}; the Pi shuts down"

    def _go_on(self, stopped: list[Json], why: str) -> str:
        for container in reversed(stopped):
            self.tell(f"/containers/{container['Id']}/start")
        return f"{why}, so that all goes on"

    def _support(self) -> str:
        now = datetime.now(tz=UTC)
        content = support.bundle(self._texts(now), known_secrets(), int(now.timestamp()))
        self._accept(orders.SUPPORT, content)
        return f"{len(content)} bytes were handed over"

    def _texts(self, now: datetime) -> dict[str, str]:
        docker = self.look()
        host = HostOfStack(program.said_by)
        found = stack_status.describe(host.look(), docker, host.folders(stack_status.folders_in_use(docker)), None, now)
        texts = {name: program.said_by(*command) for name, command in COMMANDS.items()}
        texts["stack.json"] = json.dumps(found, indent=1, default=str)
        for container in docker.own_containers:
            with suppress(OSError, http.client.HTTPException):
                texts[f"containers/{name_of(container)}.log"] = log_of(container)
        return texts


def known_secrets(folder: Path = SECRETS) -> set[str]:
    """Give what the Pi keeps to itself, so that none of it is in what it hands over."""
    found: set[str] = set()
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as stream:
                    found |= support.secrets_of(stream.read(LARGEST_SECRET))
    return found


def main() -> int:
    """Serve the one connection that systemd hands over."""
    with socket.socket(fileno=sys.stdin.fileno()) as connection:
        order = read_order(connection)

        def reply(said: bytes) -> None:
            with suppress(OSError):
                connection.settimeout(DOCKER_SECONDS)
                connection.sendall(said)
                connection.shutdown(socket.SHUT_RDWR)

        if order is None:
            reply(orders.UNKNOWN.encode() + orders.END)
            sys.stderr.write("something that is no order was refused\n")
            return 0
        try:
            said = OrderHelper(reply).do(order)
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            reply(orders.FAILED.encode() + orders.END)
            said = f"failed: {type(error).__name__}"
        sys.stderr.write(f"{order}: {said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
