"""What is asked of systemd on a host for a unit of ours."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence

from ansible.module_utils.poppyfield.host.printable import printable

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]
"""Runs a command of the host."""


class SystemdError(Exception):
    """A command failed, in a sentence."""


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command of the host. Raises OSError where it is missing."""
    return subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, check=False, encoding="utf-8", errors="replace"
    )


def what_failed(done: subprocess.CompletedProcess[str]) -> str:
    """Give what a command that failed said, in a line, or else its exit status."""
    return " ".join(printable(done.stderr or done.stdout).split()) or str(done.returncode)


def do(run: Run, *command: str) -> None:
    """Run a command that must succeed. Raises SystemdError."""
    done = run(command)
    if done.returncode:
        raise SystemdError(f"{' '.join(command[:2])} failed: {what_failed(done)}")


def is_active(run: Run, unit: str) -> bool:
    """Tell whether a unit runs, or a timer waits."""
    return run(["systemctl", "is-active", "--quiet", unit]).returncode == 0


def starting(unit: str) -> list[tuple[str, ...]]:
    """Give the commands by which a unit whose files are new runs now and at each boot."""
    return [
        ("systemctl", "daemon-reload"),
        ("systemctl", "enable", "--quiet", unit),
        ("systemctl", "restart", unit),
    ]


def start(run: Run, unit: str) -> None:
    """Have a unit whose files are new run, now and at each boot. Raises SystemdError."""
    for command in starting(unit):
        do(run, *command)
