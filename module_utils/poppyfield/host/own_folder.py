"""A folder of root's own on a host, which nobody else may even look into."""

from __future__ import annotations

import os
import stat
from pathlib import Path

MODE = 0o700


class NotOwnFolderError(Exception):
    """Somebody else's folder, or no folder, is in the way."""


def ensure(folder: Path) -> None:
    """Make the folder where it is missing, and close it to others. Raises OSError, too."""
    folder.mkdir(mode=MODE, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise NotOwnFolderError(
            f"{folder} is not a folder of this user, so that others could hold up every run: remove it."
        )
    if stat.S_IMODE(found.st_mode) != MODE:
        folder.chmod(MODE)
