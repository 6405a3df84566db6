"""A run of site.yml on the emulated Pi that something interrupts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping

from emulated_pi import command_of, environment_of_a_run

UNPACKS = "timeout 900 sh -c 'until pgrep -x dpkg > /dev/null; do sleep 0.2; done'"
"""Waits on the Pi until packages are unpacked."""
NEW_RELEASE = ("-e", "postgis_memory_limit_share=0.6", "-e", "lizmap_memory_limit_share=0.6")
"""What makes both containers be replaced."""
Interrupt = Callable[["subprocess.Popen[str]"], object]


def interrupted(
    task: str, interrupt: Interrupt, *arguments: str, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Make a run in a process group of its own, and interrupt it when a task of it begins.

    Gives its exit status, and what it said.
    """
    with subprocess.Popen(
        command_of("site.yml", arguments),
        env={**environment_of_a_run(), **(environment or {}), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as run:
        assert run.stdout
        said, is_interrupted = [], False
        for line in run.stdout:
            said.append(line)
            if line.startswith("TASK [") and task in line and not is_interrupted:
                interrupt(run)
                is_interrupted = True
    assert is_interrupted, "".join(said)
    return run.returncode, "".join(said)
