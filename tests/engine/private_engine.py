"""A Docker Engine of the tests' own, which they may restart, and whose power they may cut."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
from docker import errors

ANSWER_SECONDS = 60

# Everything of this engine lives in namespaces of its own, so that it never meets the machine's engine, and so that all
# of it, containers too, is gone at once when their first process is killed. A line of input restarts it, and it
# ends by itself when its input does.
SCRIPT = """
mount -t tmpfs tmpfs /run
busybox ip link set lo up
dockerd "$@" &
while read -r _; do
    kill $!
    wait $!
    dockerd "$@" &
done
kill $!
wait $!
"""


class PrivateEngine:
    """This machine's own dockerd, started a second time, with its data in a folder that outlives it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.base_url = f"unix://{folder}/docker.sock"
        self.data_root = folder / "data"
        self._log = folder / "dockerd.log"
        self._command = [
            *["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"],
            *[SCRIPT, "sh", "--host", self.base_url, "--data-root", f"{folder}/data"],
            *["--exec-opt", "native.cgroupdriver=cgroupfs", *options],
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._launch()
        self._wait_until(self._answers)

    def fails_to_start(self) -> str:
        """Start it, which must fail; give what it said."""
        before = len(self._log.read_text())
        self._launch()
        self._wait_until(lambda: "failed to start daemon" in self._log.read_text()[before:])
        self.stop()
        return self._log.read_text()[before:]

    def restart(self) -> None:
        """Start it again on the same machine, whose network stays as it is."""
        assert self._process is not None and self._process.stdin is not None
        started = self._starts()
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        self._wait_until(lambda: self._starts() != started and self._answers())

    def stop(self) -> None:
        """Stop it as an init system would: containers first."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def cut_power(self) -> None:
        """End it and all its containers in the middle of whatever they do."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def in_its_network(self, *command: str) -> None:
        """Run a command as if on the machine of this engine."""
        subprocess.run(self.as_if_there(*command), check=True)

    def as_if_there(self, *command: str) -> list[str]:
        """Give the command that runs another one as if on the machine of this engine."""
        return ["nsenter", "--target", self._first(), "--net", *command]

    def file(self, path: str) -> Path:
        """Give a file as this engine sees it."""
        return Path(f"/proc/{self._first()}/root{path}")

    def client(self) -> Any:
        """Give a new client."""
        return docker.APIClient(base_url=self.base_url, version="auto")

    def _launch(self) -> None:
        environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, env=environment
            )

    def _wait_until(self, reached: Callable[[], bool]) -> None:
        assert self._process is not None
        deadline = time.monotonic() + ANSWER_SECONDS
        while not reached():
            assert self._process.poll() is None and time.monotonic() < deadline, self._log.read_text()[-3000:]
            time.sleep(0.1)

    def _first(self) -> str:
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0]

    def _starts(self) -> int:
        return self._log.read_text().count("Daemon has completed initialization")

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except errors.DockerException:
            return False
