"""Files that are there whole or not at all, whenever the power goes."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_LEFTOVER = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}", re.DOTALL)
"""How tempfile ends the names of files that are still written."""


def write(path: Path, content: bytes, *, mode: int = 0o644, owner: int = -1, group: int = -1) -> None:
    """Write a file beside the one that it replaces, flush it to the disk, and let it take that one's name.

    At no moment may others read it than its mode says. `owner` and `group` are numbers, -1 for those of this process.
    Raises OSError; the old file is then as it was.
    """
    with replacing(path, mode=mode, owner=owner, group=group) as stream:
        stream.write(content)


@contextmanager
def replacing(
    path: Path, *, mode: int = 0o644, owner: int = -1, group: int = -1, one_of_many: bool = False
) -> Iterator[IO[bytes]]:
    """Give a stream for what `write` would write; whatever is raised meanwhile leaves the old file as it was.

    Whoever writes `one_of_many` files into a folder calls `sweep` and `sync_folder` for all of them together.
    """
    if not one_of_many:
        sweep(path.parent, lambda name: name == path.name)
    handle, partial = _begin(path)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchown(handle, owner, group)
            os.fchmod(handle, mode)
            yield stream
            stream.flush()
            os.fsync(handle)
            with _kept(path):
                # Locked until it has its name: see sweep.
                partial.rename(path)
                if not one_of_many:
                    # With FAT a name's new entry goes to the disk with the file, not with its folder.
                    os.fsync(handle)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if not one_of_many:
        sync_folder(path.parent)


@contextmanager
def _kept(path: Path) -> Iterator[None]:
    """Keep the content of a file meanwhile: FAT frees it with the last name, and its new one may not be on the disk."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # there is none, or it is no file
        yield
        return
    try:
        yield
    finally:
        os.close(handle)


def _begin(path: Path) -> tuple[int, Path]:
    """Make the file that will be renamed, locked for as long as this process writes it."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with suppress(OSError):  # a network's file system may have no locks, and then nothing is swept either
            fcntl.flock(handle, fcntl.LOCK_EX)
        # Another process may have swept it before it was locked.
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)


def sweep(folder: Path, belongs: Callable[[str], bool]) -> list[Path]:
    """Remove what writing a file that `belongs` left when it was cut off, and give it.

    That is a plain file named `.NAME.RANDOM` which no process holds locked: one that is being written is.
    """
    swept = []
    with suppress(FileNotFoundError):
        for path in sorted(folder.iterdir()):
            match = _LEFTOVER.fullmatch(path.name)
            if match and belongs(match["name"]) and _remove_unless_locked(path):
                swept.append(path)
    return swept


def _remove_unless_locked(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # a link, gone already, or somebody else's
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return False
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def sync_folder(path: Path) -> None:
    """Let the names in a folder survive a loss of power."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot
            raise
    finally:
        os.close(folder)


def sync_tree(path: Path) -> None:
    """Let all files below a folder survive a loss of power, and their names."""
    for found in [*path.rglob("*"), path]:
        if found.is_dir():
            sync_folder(found)
        else:
            with found.open("rb") as stream:
                os.fsync(stream.fileno())
