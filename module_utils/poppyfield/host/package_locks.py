"""Who holds the locks of apt and dpkg, and what an interrupted dpkg has left: the kernel's and dpkg's tables. Pure."""

from __future__ import annotations

from collections.abc import Mapping

LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
HALF_DONE = ("half-installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending")
COLUMNS_OF_LOCKS = 8


def candidates(locks: str, inodes: Mapping[int, str]) -> list[tuple[int, str]]:
    """Read /proc/locks: the processes that may hold one of these files, by the inode's number alone, with the file.

    The device is not compared, since on an overlay the kernel writes another one there than it tells of the file.
    """
    found = []
    for line in locks.splitlines():
        words = line.split()
        # A line with an arrow is somebody who waits; without a process the lock is another machine's.
        if len(words) < COLUMNS_OF_LOCKS or words[1] not in ("POSIX", "FLOCK") or not words[4].isdigit():
            continue
        inode = words[5].rpartition(":")[2]
        if inode.isdigit() and int(inode) in inodes:
            found.append((int(words[4]), inodes[int(inode)]))
    return found


def half_done(listing: str, journal: list[str]) -> list[str]:
    """Give the packages that dpkg was interrupted at, from names and states and the names in its journal's folder."""
    rows = [line.split("\t") for line in listing.splitlines()]
    found = sorted({row[0] for row in rows if len(row) > 1 and row[1] in HALF_DONE})
    # What was not yet in the table when the power went.
    return found or (["dpkg's own table"] if any(name.isdigit() for name in journal) else [])


def is_damaged(said: str) -> bool:
    """Tell by what `dpkg --verify` says of a package whether a file is not what was unpacked, settings apart."""
    lines = [line.split() for line in said.splitlines()]
    return any(line[0][2:3] == "5" and line[1] != "c" for line in lines if len(line) > 1)


def described(process: int, command: str) -> str:
    """Name a process for people."""
    words = command.split()
    if not words:
        return f"process {process}"
    shown = " ".join(words)[:100]
    return f"{shown} (process {process})"
