"""Running modules: as tasks of ansible-playbook, and as the process that Ansible starts on a host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from workshop.bench.contenders import Json, Request

ROOT = Path(__file__).resolve().parents[2]


class BenchError(Exception):
    """The benchmark cannot go on, in words for whoever started it."""


@dataclass(frozen=True)
class Task:
    """A module call as a task of a playbook."""

    request: Request
    check_mode: bool = False
    variables: Mapping[str, str] | None = None

    def as_yaml(self) -> Json:
        """Give it as it stands in a playbook."""
        return {
            "name": f"{self.request.module} {self.request.arguments['name']}",
            self.request.module: self.request.arguments,
            "check_mode": self.check_mode,
            # Each task tells how it ended; a broken image must not end the play.
            "ignore_errors": True,
            "vars": dict(self.variables or {}),
        }


@dataclass(frozen=True)
class Done:
    """A task that ran: what it returned, and how long it took as ansible-playbook sees it."""

    result: Json
    seconds: float


def play(tasks: Sequence[Task], environment: Mapping[str, str] | None = None) -> list[Done]:
    """Run tasks on this machine, in one run of ansible-playbook with --diff."""
    with tempfile.TemporaryDirectory(prefix="pf-bench-") as folder:
        playbook = Path(folder) / "playbook.json"
        content = [{"hosts": "localhost", "gather_facts": False, "tasks": [task.as_yaml() for task in tasks]}]
        playbook.write_text(json.dumps(content), encoding="utf-8")
        program = str(Path(sys.executable).parent / "ansible-playbook")
        interpreter = f"ansible_python_interpreter={sys.executable}"
        done = subprocess.run(
            [program, "-i", "localhost,", "-c", "local", "-e", interpreter, "--diff", str(playbook)],
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
                "ANSIBLE_PIPELINING": "true",
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        ran = json.loads(done.stdout)["plays"][0]["tasks"]
    except (ValueError, LookupError) as error:
        raise BenchError(f"ansible-playbook failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}") from error
    return [Done(task["hosts"]["localhost"], _seconds(task["task"]["duration"])) for task in ran]


def _seconds(duration: Mapping[str, str]) -> float:
    start, end = (datetime.fromisoformat(duration[name]) for name in ("start", "end"))
    return (end - start).total_seconds()


def apply(tasks: Sequence[Task], environment: Mapping[str, str] | None = None) -> None:
    """Run tasks of which none may fail."""
    require(play(tasks, environment))


def require(done: Sequence[Done]) -> None:
    """Refuse to go on after a task that failed."""
    for task in done:
        if task.result.get("failed"):
            raise BenchError(f"{task.result['action']} failed: {task.result['msg']}")


def payloads(requests: Sequence[Request], folder: Path) -> list[Path]:
    """Run modules once, and keep what Ansible sent to the host for each: the module with its arguments in one file."""
    folders = [folder / str(number) for number in range(len(requests))]
    tasks = [
        Task(request, variables={"ansible_remote_tmp": str(own)})
        for request, own in zip(requests, folders, strict=True)
    ]
    apply(tasks, {"ANSIBLE_KEEP_REMOTE_FILES": "true"})
    return [next(own.glob("*/AnsiballZ_*.py")) for own in folders]


@dataclass(frozen=True)
class Measured:
    """One run of a module's process: wall clock and CPU in seconds, the latter of the process, not of Docker Engine."""

    result: Json
    seconds: float
    cpu_seconds: float


def start(program: Path) -> subprocess.Popen[bytes]:
    """Start a module's process as Ansible would."""
    return subprocess.Popen(
        [sys.executable, str(program)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def measure(program: Path) -> Measured:
    """Run a module's process to its end."""
    began = time.perf_counter()
    process = start(program)
    output = process.stdout.read() if process.stdout else b""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    return Measured(read_result(output), seconds, usage.ru_utime + usage.ru_stime)


def read_result(output: bytes) -> dict[str, Any]:
    """Read what a module printed."""
    result: dict[str, Any] = json.loads(output)
    return result
