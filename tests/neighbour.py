"""A network of its own for a neighbour: one of this machine's kernel, for as long as a process holds it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def network() -> Iterator[int]:
    """Give the number of the process that holds the network."""
    command = ["unshare", "--net", "sh", "-c", "echo; read -r _"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
    finally:
        process.communicate()
