"""A program at a terminal, whose questions are answered as a person would."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PATIENCE = 600
"""Seconds; of a machine with much to do, on which several playbooks are run."""
KEY_SECONDS = 0.3
LENGTH_OF_QUESTION = 160


def at_a_terminal(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, answers: Mapping[str, str]
) -> tuple[int, str]:
    """Run a program; `answers` has what is typed by the words of a question. Give its exit status and all it showed."""
    terminal, theirs = os.openpty()
    at_it = ["setsid", "--ctty", "--wait", *command]
    process = subprocess.Popen(at_it, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=dict(environment))
    os.close(theirs)
    shown, deadline = "", time.monotonic() + PATIENCE
    while time.monotonic() < deadline and (part := _read_on(terminal)) is not None:
        shown += part
        # Ansible throws away what is typed before its question waits for it: then it is typed again.
        newest = max(answers, key=shown.rfind)
        if not part and newest in shown[-LENGTH_OF_QUESTION:]:
            os.write(terminal, f"{answers[newest]}\r".encode())
    os.close(terminal)
    return process.wait(), shown


def _read_on(terminal: int) -> str | None:
    """Give what was written since; None where the program has ended."""
    if not select.select([terminal], [], [], KEY_SECONDS)[0]:
        return ""
    try:
        return os.read(terminal, 65536).decode("utf-8", "replace") or None
    except OSError:
        return None
