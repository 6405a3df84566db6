"""Who makes a run: what the laptop tells a Pi of itself. Laptop only."""

from __future__ import annotations

import getpass
import hashlib
import multiprocessing
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]

# Whoever runs git from a hook hands these down; they would make it look at that repository instead.
HANDED_DOWN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
CHECKOUT = Path(__file__).resolve().parents[3]
CALLED = b"ansible"
"""What stands in the command line of every process that makes runs."""


def describe(variables: Mapping[str, Any], playbooks: Sequence[str], *, take_over: bool = False) -> Json:
    """Give the option `run` of modules, the same wherever in a run it is asked for."""
    return {
        **identity(),
        "by": f"{_person(variables)}@{platform.node()}",
        "playbook": ", ".join(Path(name).name for name in playbooks),
        "commit": commit(),
        "living": sorted({_process(number) for number in (_main_process(), *_runs_of_this_machine())}),
        "take_over": take_over,
    }


def identity() -> Json:
    """Give what tells this run from others."""
    return {"machine": _machine(), "process": _process(_main_process())}


def _person(variables: Mapping[str, Any]) -> str:
    """Give who asked for the run: where it is a server's, the one who is logged in there."""
    given = variables.get("awx_user_name") or variables.get("run_by")
    return str(given or os.environ.get("SUDO_USER") or getpass.getuser())


def environment_of_git() -> dict[str, str]:
    """Give the environment in which git looks at the folder that it is given."""
    return {name: value for name, value in os.environ.items() if name not in HANDED_DOWN}


def commit(checkout: Path = CHECKOUT) -> str:
    """Give the commit that is checked out, with `-dirty` where files differ; empty where git does not tell."""
    environment = environment_of_git()
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _machine() -> str:
    """Give what tells this laptop's user from others: whose processes can be seen from here."""
    told = [_text(Path("/etc/machine-id")) or platform.node(), str(os.getuid())]
    # A container has processes of its own.
    try:
        told.append(str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        told.append("")
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _main_process() -> int:
    """Give Ansible's own process; its workers ask, too."""
    parent = multiprocessing.parent_process()
    return os.getpid() if parent is None or parent.pid is None else parent.pid


def _process(number: int) -> str:
    """Name a process: its number alone is given to another one later."""
    fields = _text(Path(f"/proc/{number}/stat")).rpartition(")")[2].split()
    started = fields[19] if len(fields) > 19 else ""  # noqa: PLR2004 - the 22nd field of proc_pid_stat(5)
    return f"{number}-{started}"


def _runs_of_this_machine() -> list[int]:
    numbers = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [number for number in numbers if CALLED in _text(Path(f"/proc/{number}/cmdline")).encode()]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""
