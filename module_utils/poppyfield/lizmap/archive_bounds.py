"""What an archive of others may be before any of it is unpacked: files only, whose names stay below, within bounds."""

from __future__ import annotations

import copy
import stat
import zipfile
from pathlib import PurePosixPath

MOST_ENTRIES = 100_000
LARGEST = 1024**3
"""What it unpacks to at most; a release of Lizmap has some 200 MB."""
HIGHEST_RATIO = 100
"""How many times its own size it unpacks to at most; a release of Lizmap has 4."""
SMALL = 10 * 1024**2
"""What may be packed as well as it likes."""
CHUNK = 1024**2


class BoundsError(Exception):
    """The archive is one that is not unpacked; the text says why."""


def check(archive: zipfile.ZipFile, packed: int) -> None:
    """Judge an archive of so many bytes by its list of contents; raise BoundsError."""
    entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > MOST_ENTRIES:
        raise BoundsError(f"it holds {len(entries)} files and folders, more than {MOST_ENTRIES}.")
    if unpacked > max(SMALL, min(LARGEST, HIGHEST_RATIO * packed)):
        raise BoundsError(f"it unpacks from {packed} to {unpacked} bytes, more than any release does.")
    names = set()
    for entry in entries:
        if problem := _problem(entry):
            raise BoundsError(f"{entry.filename!a} in it {problem}.")
        if entry.filename in names:
            raise BoundsError(f"{entry.filename!a} is in it twice.")
        names.add(entry.filename)


def check_contents(archive: zipfile.ZipFile) -> None:
    """Unpack all of it into nothing; raise BoundsError where a file is another one than the list says."""
    for entry in archive.infolist():
        told = copy.copy(entry)
        # One byte more, as otherwise nobody asks whether the packed data end where the list says.
        told.file_size += 1
        with archive.open(told) as stream:
            size = 0
            while chunk := stream.read(CHUNK):
                size += len(chunk)
        if size != entry.file_size:
            raise BoundsError(f"{entry.filename!a} in it has another size than its list of contents says.")


def _problem(entry: zipfile.ZipInfo) -> str:
    # Python ends the name at a zero byte and takes the separator of this machine; unzip may not.
    if problem := name_problem(entry.orig_filename):
        return problem
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is no file or folder but a link or a device"
    return ""


def name_problem(name: str) -> str:
    """Say why a file of this name is not written below a folder; empty when it may be."""
    if not name.isprintable() or "\\" in name:
        return "has a name with characters that names of files do not have"
    if name.startswith("/") or ".." in PurePosixPath(name).parts or name[1:2] == ":":
        return "would be unpacked elsewhere than in the archive's folder"
    return ""
