"""A program at a terminal, whose questions are answered as a person would."""

from __future__ import annotations

import os
import pty
import select
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PATIENCE = 120
"""Seconds."""
KEY_SECONDS = 0.3
LENGTH_OF_QUESTION = 160


def at_a_terminal(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, answers: Mapping[str, str]
) -> tuple[int, str]:
    """Run a program; `answers` has what is typed by the words of a question. Give its exit status and all it showed."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe(command[0], list(command), dict(environment))
    shown, deadline = "", time.monotonic() + PATIENCE
    while time.monotonic() < deadline and (part := _read_on(terminal)) is not None:
        shown += part
        # Ansible throws away what is typed before its question waits for it: then it is typed again.
        newest = max(answers, key=shown.rfind)
        if not part and newest in shown[-LENGTH_OF_QUESTION:]:
            os.write(terminal, f"{answers[newest]}\r".encode())
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), shown


def _read_on(terminal: int) -> str | None:
    """Give what was written since; None where the program has ended."""
    if not select.select([terminal], [], [], KEY_SECONDS)[0]:
        return ""
    try:
        return os.read(terminal, 65536).decode("utf-8", "replace") or None
    except OSError:
        return None
