"""Which file system holds a folder, and whether it keeps data: the kernel's table of mounts -> words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

IN_MEMORY = ("devtmpfs", "hugetlbfs", "ramfs", "rootfs", "tmpfs")
LAYERED = ("aufs", "overlay", "overlayfs", "unionfs")
"""Also what raspi-config's Overlay File System makes of the whole card: its upper layer is in memory."""
WITHOUT_OWNERS = ("cifs", "exfat", "fuse", "fuseblk", "hfs", "msdos", "ntfs", "ntfs3", "smb3", "umsdos", "vfat")
"""fuse and fuseblk are NTFS or exFAT in user space, or a network's folder: fsync is up to the program."""
NEVER_WRITTEN = ("cramfs", "erofs", "iso9660", "romfs", "squashfs", "udf")
FIELDS_BEFORE_SEPARATOR = 6


@dataclass(frozen=True)
class MountPoint:
    """A row of /proc/self/mountinfo."""

    number: int
    parent: int
    point: str
    kind: str
    source: str
    read_only: bool


@dataclass(frozen=True)
class FileSystem:
    """What holds a folder, or will hold it."""

    folder: str
    kind: str
    point: str
    """Where it is mounted."""
    source: str = ""
    read_only: bool = False


def parse(mountinfo: str) -> list[MountPoint]:
    """Read /proc/self/mountinfo; a line that is not understood is left out."""
    return [mount for line in mountinfo.splitlines() for mount in _row(line)]


def _row(line: str) -> Iterator[MountPoint]:
    # Blanks within a field are written as octal escapes.
    before, separator, after = line.partition(" - ")
    fields, rest = before.split(" "), after.split(" ")
    if separator and len(fields) >= FIELDS_BEFORE_SEPARATOR and len(rest) > 1 and fields[0].isdigit():
        options = {*fields[5].split(","), *(rest[2].split(",") if len(rest) > 2 else ())}  # noqa: PLR2004
        yield MountPoint(
            number=int(fields[0]),
            parent=int(fields[1]),
            point=_unescaped(fields[4]),
            kind=rest[0],
            source=_unescaped(rest[1]),
            read_only="ro" in options,
        )


def _unescaped(text: str) -> str:
    raw = re.sub(
        rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8) & 255]), text.encode("utf-8", "surrogateescape")
    )
    return raw.decode("utf-8", "surrogateescape")


def holding(folder: str, mounts: list[MountPoint]) -> FileSystem | None:
    """Give the file system of a path without symbolic links, whether or not there is a folder yet.

    The way from the root is walked as the kernel does, so that a mount that a later one hides does not count.
    """
    numbers = {mount.number for mount in mounts}
    roots = [mount for mount in mounts if mount.point == "/" and mount.parent not in numbers - {mount.number}]
    if not roots:
        return None
    current = roots[-1]
    left = [mount for mount in mounts if mount is not current]
    while True:
        following = [mount for mount in left if mount.parent == current.number and is_within(folder, mount.point)]
        if not following:
            return FileSystem(folder, current.kind, current.point, current.source, current.read_only)
        # Of two the one nearer to the root comes first, and of two in one place the newer one is on top.
        nearest = min(len(mount.point) for mount in following)
        current = [mount for mount in following if len(mount.point) == nearest][-1]
        left.remove(current)


def is_within(path: str, folder: str) -> bool:
    """Tell whether a path is a folder or lies in it; both are whole and clean."""
    return folder in ("/", path) or path.startswith(f"{folder}/")


def unfit(found: FileSystem) -> str:
    """Say why a file system can't hold data that must last; empty for one that can."""
    kind = found.kind.partition(".")[0]
    if kind in IN_MEMORY:
        return "which is in memory, so that everything in it is lost when the Pi restarts. Choose a folder on a disk"
    if kind in LAYERED:
        return (
            "a layer over another file system, mostly in memory, which loses what is written when the Pi restarts. "
            "Turn it off (sudo raspi-config, Performance Options, Overlay File System) and restart the Pi, or choose a "
            "folder on a disk"
        )
    if kind in WITHOUT_OWNERS:
        return (
            "which keeps no owners and modes of files, or does not promise that what was written is on the disk. "
            "Choose a folder on a disk with ext4"
        )
    if kind in NEVER_WRITTEN:
        return "which nothing can be written to. Choose a folder on a disk with ext4"
    if found.read_only:
        return (
            "which is mounted read-only. Find out why (sudo dmesg: the kernel does so with a disk that fails; or "
            "/etc/fstab says so), and mount it for writing, or choose another folder"
        )
    return ""
