"""The SSH connection over which a module was started, which sudo keeps from its environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

WORDS = 4
"""Whence and where to, each with its port."""


def ancestors(proc: Path, process: int) -> Iterator[int]:
    """Give the numbers of a process and of those that led to it."""
    while process > 0:
        yield process
        status = re.search(r"^PPid:\s*(\d+)$", (proc / str(process) / "status").read_text(), re.MULTILINE)
        process = int(status[1]) if status else 0


def find(proc: Path = Path("/proc"), process: int = 0) -> tuple[str, int] | None:
    """Give the address that it comes from and the port that it goes to; None where there is no such connection."""
    for ancestor in ancestors(proc, process or os.getpid()):
        environment = b""
        with suppress(PermissionError):  # of a process that may not be looked into, such as that of a container's host
            environment = (proc / str(ancestor) / "environ").read_bytes()
        for words in (entry.split() for entry in environment.split(b"\0") if entry.startswith(b"SSH_CONNECTION=")):
            if len(words) == WORDS and words[-1].isdigit():
                return words[0].decode("utf-8", "replace").partition("=")[2], int(words[-1])
    return None
