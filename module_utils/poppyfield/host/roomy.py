"""A temporary folder for what is large: on disk, where /tmp may be in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

ON_DISK = Path("/var/tmp")  # noqa: S108 - what is made in it has a name of its own, and is nobody else's


def folder(prefix: str) -> tempfile.TemporaryDirectory[str]:
    """Make one, which goes with all that is in it when its block ends."""
    return tempfile.TemporaryDirectory(prefix=prefix, dir=ON_DISK if ON_DISK.is_dir() else None)
