"""FAT's rules as Linux's vfat keeps them, over the folder that it is mounted on: `fat.py FOLDER`.

A double of a Raspberry Pi's boot partition, in user space, since the kernel of the machine around may have no vfat.
What is stored lies in the folder itself, beneath the mount, and outlives a loss of power as all of the Pi's files do.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fusepy import FUSE, FuseOSError, Operations

REFUSED = set('"*/:<>?\\|') | set(map(chr, range(32)))
CLUSTER = 4096
# A Pi has 512 MB; this much is filled quickly.
CLUSTERS = 8 * 1024 * 1024 // CLUSTER
UNCHANGED = (0, 2**32 - 1)
"""Root, or nobody in particular: the only owner that a file can be given."""


class Fat(Operations):  # type: ignore[misc]  # fusepy has no types
    """Names without case and without some characters; no owners, modes or links; little room."""

    def __init__(self, folder: str) -> None:
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def init(self, path: str) -> None:
        """Work in what the mount covers."""
        os.fchdir(self._folder)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """Tell of a file what FAT knows: all belong to root and may be executed."""
        found = place_of(path).stat()
        times = {name: getattr(found, name) // 2 * 2 for name in ("st_atime", "st_mtime", "st_ctime")}
        kind = stat.S_IFMT(found.st_mode)
        return {"st_mode": kind | 0o755, "st_nlink": 1, "st_size": found.st_size, "st_uid": 0, "st_gid": 0, **times}

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        """Give the names in a folder."""
        yield from (".", "..", *(found.name for found in place_of(path).iterdir()))

    def open(self, path: str, flags: int) -> int:
        """Open a file."""
        return os.open(place_of(path), os.O_RDWR)

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        """Make a file and open it."""
        return os.open(new_place(path), os.O_RDWR | os.O_CREAT)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Read."""
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Write, if there is room."""
        require_room(os.fstat(fh).st_size, offset + len(data))
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        """Make a file longer, if there is room, or shorter."""
        place = place_of(path)
        require_room(place.stat().st_size, length)
        os.truncate(place, length)

    def fsync(self, path: str, datasync: int, fh: int) -> None:
        """Bring a file onto the disk."""
        os.fsync(fh)

    def release(self, path: str, fh: int) -> None:
        """Close a file."""
        os.close(fh)

    def unlink(self, path: str) -> None:
        """Remove a file."""
        place_of(path).unlink()

    def mkdir(self, path: str, mode: int) -> None:
        """Make a folder."""
        new_place(path).mkdir()

    def rmdir(self, path: str) -> None:
        """Remove a folder."""
        place_of(path).rmdir()

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, or that of a file which it replaces."""
        place_of(old).rename(new_place(new))

    def utimens(self, path: str, times: tuple[float, float] | None = None) -> None:
        """Set the times."""
        os.utime(place_of(path), times)

    def chmod(self, path: str, mode: int) -> None:
        """Do nothing and say nothing, as vfat."""

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Refuse another owner than root."""
        if uid not in UNCHANGED or gid not in UNCHANGED:
            raise FuseOSError(errno.EPERM)

    def symlink(self, target: str, source: str) -> None:
        """Refuse."""
        raise FuseOSError(errno.EPERM)

    def link(self, target: str, source: str) -> None:
        """Refuse."""
        raise FuseOSError(errno.EPERM)

    def mknod(self, path: str, mode: int, dev: int) -> None:
        """Refuse."""
        raise FuseOSError(errno.EPERM)

    def statfs(self, path: str) -> dict[str, int]:
        """Tell how much room there is."""
        free = free_clusters()
        return {"f_bsize": CLUSTER, "f_frsize": CLUSTER, "f_blocks": CLUSTERS, "f_bfree": free, "f_bavail": free}


def place_of(path: str) -> Path:
    """Give where a path lies, relative to the partition; neither case nor dots at the end of a name count."""
    place = Path()
    for name in filter(None, path.split("/")):
        plain = name.rstrip(".")
        there = [found for found in place.iterdir() if found.name.casefold() == plain.casefold()]
        place = there[0] if there else place / plain
    return place


def new_place(path: str) -> Path:
    """Give where a path will lie, if FAT takes its name."""
    name = path.rpartition("/")[2]
    if set(name) & REFUSED or name.endswith(" "):
        raise FuseOSError(errno.EINVAL)
    return place_of(path)


def require_room(size: int, wanted: int) -> None:
    """Refuse a file that needs more clusters than are free."""
    if clusters(wanted) - clusters(size) > free_clusters():
        raise FuseOSError(errno.ENOSPC)


def free_clusters() -> int:
    """Count the clusters that no file has."""
    return max(0, CLUSTERS - sum(clusters(found.stat().st_size) for found in Path().rglob("*") if found.is_file()))


def clusters(size: int) -> int:
    """Give how many clusters so many bytes fill."""
    return -(-size // CLUSTER)


if __name__ == "__main__":
    # Every user may read, as the modes say; the folder may hold the files that lie beneath.
    rights = {"allow_other": True, "default_permissions": True}
    FUSE(Fat(sys.argv[1]), sys.argv[1], nothreads=True, nonempty=True, big_writes=True, **rights)
