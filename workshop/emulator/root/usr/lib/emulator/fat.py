#!/usr/bin/python3
"""A double of FAT: `fat.py FOLDER MOUNTPOINT` shows a folder by the rules of Linux's vfat, on a kernel that has no FAT.

It refuses what vfat refuses, with the same error numbers: names with one of `"*:<>?|` or a backslash, links, devices,
and other owners than root. It knows no mode: what is set is forgotten. Names have no case, and keep that in which they
were made; dots and blanks at their end are cut off; times have two seconds. What it is not: a partition. Sizes, the
attributes of DOS, 8.3 names, and what a power cut does to a table of clusters are not FAT's.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import Any

FORBIDDEN = frozenset('"*/:<>?|\\') | {chr(number) for number in range(32)}
LONGEST_NAME = 255
MODE = 0o755
PERMITTED = stat.S_IFREG | stat.S_IFDIR | 0o777
TIMES = ("st_atime", "st_ctime", "st_mtime")


def kept_name(name: str) -> str:
    """Return a new name as it is kept; OSError where FAT has none like that."""
    kept = name.rstrip(". ")
    if not kept or set(kept) & FORBIDDEN:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    if len(kept) > LONGEST_NAME:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)
    return kept


class FatFolder:
    """The files of a folder, under names without case."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, path: str) -> Path:
        """Return where a path that exists is kept."""
        found = self.folder
        for name in path.strip("/").split("/") if path.strip("/") else ():
            wanted = name.rstrip(". ").casefold()
            match = next((kept for kept in os.listdir(found) if kept.casefold() == wanted), None)  # noqa: PTH208
            if match is None:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            found /= match
        return found

    def place(self, path: str) -> Path:
        """Return where a path is or would be kept."""
        try:
            return self.find(path)
        except FileNotFoundError:
            parent, _, name = path.rstrip("/").rpartition("/")
            return self.find(parent) / kept_name(name)

    def rename(self, old: str, new: str) -> None:
        """Rename, also to the same name in another case."""
        source, target = self.find(old), self.place(new)
        if source == target:
            target = source.with_name(kept_name(new.rpartition("/")[2]))
        source.rename(target)

    def attributes(self, path: str) -> dict[str, Any]:
        """Return what stat tells: root's, readable by everybody, with times of two seconds."""
        found = self.find(path).lstat()
        told = {name: getattr(found, name) for name in ("st_size", "st_nlink", "st_blocks")}
        times = {name: int(getattr(found, name)) // 2 * 2 for name in TIMES}
        return {**told, **times, "st_mode": stat.S_IFMT(found.st_mode) | MODE, "st_uid": 0, "st_gid": 0}


def change_mode(mode: int) -> None:
    """Forget a mode, as vfat does, or refuse one that it refuses."""
    if mode & ~PERMITTED:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def change_owner(user: int, group: int) -> None:
    """Refuse any owner but root; -1 is no change."""
    if {user, group} - {-1, 0, 0xFFFFFFFF}:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def serve(folder: Path, mountpoint: str) -> None:
    """Mount, go into the background, and answer until it is unmounted."""
    from fusepy import FUSE, FuseOSError, Operations  # noqa: PLC0415 - only the Pi has it

    class Fat(Operations):  # type: ignore[misc]  # fusepy has no types
        """The answers, in fusepy's terms."""

        def __init__(self) -> None:
            self.files = FatFolder(folder)

        def __call__(self, operation: str, *arguments: Any) -> Any:
            try:
                return super().__call__(operation, *arguments)
            except FuseOSError:
                raise
            except OSError as error:
                raise FuseOSError(error.errno) from error

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            return self.files.attributes(path)

        def readdir(self, path: str, fh: int) -> list[str]:
            return [".", "..", *os.listdir(self.files.find(path))]  # noqa: PTH208

        def chmod(self, path: str, mode: int) -> None:
            change_mode(mode)

        def chown(self, path: str, uid: int, gid: int) -> None:
            change_owner(uid, gid)

        def link(self, target: str, source: str) -> None:
            raise FuseOSError(errno.EPERM)

        symlink = mknod = link

        def create(self, path: str, mode: int, fi: Any = None) -> int:
            return os.open(self.files.place(path), os.O_RDWR | os.O_CREAT, 0o600)

        def open(self, path: str, flags: int) -> int:
            return os.open(self.files.find(path), flags & (os.O_ACCMODE | os.O_TRUNC))

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            return os.pread(fh, size, offset)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            return os.pwrite(fh, data, offset)

        def truncate(self, path: str, length: int, fh: int | None = None) -> None:
            os.truncate(self.files.find(path), length)

        def flush(self, path: str, fh: int) -> None:
            pass

        def fsync(self, path: str, datasync: int, fh: int) -> None:
            os.fsync(fh)

        def release(self, path: str, fh: int) -> None:
            os.close(fh)

        def rename(self, old: str, new: str) -> None:
            self.files.rename(old, new)

        def mkdir(self, path: str, mode: int) -> None:
            self.files.place(path).mkdir()

        def rmdir(self, path: str) -> None:
            self.files.find(path).rmdir()

        def unlink(self, path: str) -> None:
            self.files.find(path).unlink()

        def utimens(self, path: str, times: tuple[float, float] | None = None) -> None:
            os.utime(self.files.find(path), times)

        def statfs(self, path: str) -> dict[str, int]:
            found = os.statvfs(folder)
            names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_frsize")
            return {**{name: getattr(found, name) for name in names}, "f_namemax": LONGEST_NAME}

    FUSE(Fat(), mountpoint, nothreads=True, allow_other=True, default_permissions=True, fsname="fat", subtype="vfat")


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
