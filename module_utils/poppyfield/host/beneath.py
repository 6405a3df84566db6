"""Files below a folder that a container writes to as well: whatever it puts there, nothing outside is read or written.

Each folder on the way is opened in the one before, and no link is followed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader

UNFINISHED = ".poppyfield-put-"
"""How the names of files begin that are still written."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


class BeneathError(Exception):
    """Something other than what is expected is in the way, in a sentence for the user."""


@contextmanager
def opened(folder: str, below: Sequence[str], *, make: int | None = None) -> Iterator[int | None]:
    """Open a folder below another one; give None where it is not there, unless it is to be made, with that mode."""
    with ExitStack() as stack:
        handle: int | None = _kept(stack, os.open(folder, _FOLDER))
        for name in below:
            if handle is not None:
                inner = _open_inner(handle, name, make=make)
                handle = None if inner is None else _kept(stack, inner)
        yield handle


def _kept(stack: ExitStack, handle: int) -> int:
    stack.callback(os.close, handle)
    return handle


def _open_inner(parent: int, name: str, *, make: int | None) -> int | None:
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    except FileNotFoundError:
        if make is None:
            return None
    except OSError as error:
        raise _in_the_way(name, "a folder", error) from error
    os.mkdir(name, 0o700, dir_fd=parent)
    made = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=parent)
    _give_to_owner_of(parent, made, make)
    os.fsync(parent)
    return made


def _give_to_owner_of(parent: int, handle: int, mode: int) -> None:
    owner = os.fstat(parent)
    os.fchown(handle, owner.st_uid, owner.st_gid)
    os.fchmod(handle, mode)


def _in_the_way(name: str, wanted: str, error: OSError) -> Exception:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return BeneathError(f"{name!a} is there already and not {wanted}, so it is left alone.")
    return error


def holds(folder: int, name: str, size: int, sha256: str) -> bool | None:
    """Tell whether a file has this content; None where there is no file of this name."""
    stream = _read(folder, name)
    if stream is None:
        return None
    with stream:
        return os.fstat(stream.fileno()).st_size == size and hashlib.file_digest(stream, "sha256").hexdigest() == sha256


def beginning(folder: int, name: str, most: int) -> bytes:
    """Give the beginning of a file; nothing where there is no file of this name."""
    stream = _read(folder, name)
    if stream is None:
        return b""
    with stream:
        return stream.read(most)


def _read(folder: int, name: str) -> BufferedReader | None:
    try:
        handle = os.open(name, _FILE, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _in_the_way(name, "a file", error) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BeneathError(f"{name!a} is there already and not a file, so it is left alone.")
    return os.fdopen(handle, "rb")


def write(folder: int, name: str, pieces: Iterable[bytes], mode: int) -> None:
    """Write a file that is there whole or not at all, and belongs to whom the folder belongs to.

    Whatever the pieces raise leaves the old file as it was.
    """
    unfinished = UNFINISHED + secrets.token_hex(8)
    handle = os.open(unfinished, _NEW, 0o600, dir_fd=folder)
    try:
        with os.fdopen(handle, "wb") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            _give_to_owner_of(folder, handle, mode)
            os.fsync(handle)
        os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished, dir_fd=folder)
        raise
    os.fsync(folder)


def sweep(folder: int) -> None:
    """Remove what writing left when it was cut off."""
    for name in os.listdir(folder):
        if name.startswith(UNFINISHED):
            with suppress(IsADirectoryError, FileNotFoundError):
                os.unlink(name, dir_fd=folder)
