"""Whom everything within a folder belongs to, such as data that root has copied back."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

OF_FILE_SYSTEM = ("lost+found",)
LOOKED_AT = 2
"""Levels that are looked at in each run. Who copies data back copies all of it, so that these tell."""


def is_right(folder: Path, uid: int, gid: int) -> bool:
    """Tell whether the entries of a folder, and theirs, belong to a user and group."""
    return all((state.st_uid, state.st_gid) == (uid, gid) for state in _states(folder, LOOKED_AT))


def _states(folder: Path, levels: int) -> Iterator[os.stat_result]:
    try:
        entries = [entry for entry in os.scandir(folder) if entry.name not in OF_FILE_SYSTEM]
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        # A server that runs removes files meanwhile.
        try:
            yield entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        if levels > 1 and entry.is_dir(follow_symlinks=False):
            yield from _states(Path(entry.path), levels - 1)


def put_right(folder: Path, uid: int, gid: int, allowed: int) -> None:
    """Give everything within a folder on its file system to a user and group, closed to whom `allowed` leaves out."""
    device = folder.lstat().st_dev
    for _, folders, files, opened in os.fwalk(folder, follow_symlinks=False):
        for name in [*folders, *files]:
            if _is_on(name, opened, device) and name not in OF_FILE_SYSTEM:
                os.chown(name, uid, gid, dir_fd=opened, follow_symlinks=False)
                _close_to_others(name, opened, allowed)
        folders[:] = [name for name in folders if _is_on(name, opened, device) and name not in OF_FILE_SYSTEM]


def _is_on(name: str, parent: int, device: int) -> bool:
    return os.stat(name, dir_fd=parent, follow_symlinks=False).st_dev == device


def _close_to_others(name: str, parent: int, allowed: int) -> None:
    mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return
    # A program may write there meanwhile: nothing is opened through a link.
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
    try:
        own = stat.S_IRWXU if stat.S_ISDIR(mode) else stat.S_IRUSR | stat.S_IWUSR
        os.fchmod(handle, stat.S_IMODE(mode) & allowed | own)
    finally:
        os.close(handle)
