"""Which data folder a Pi has used, so that the empty mount point of a disk is not taken for a new Pi's folder.

In the folder stands a mark, an empty file with a name that no other folder has, and in /etc a record of it and of the
file system. Containers mount the mark, too: Docker starts none whose mount it can't find, also at boot.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ansible.module_utils.poppyfield.host import atomic_file, file_systems

RECORDS = Path("/etc/poppyfield/data-folders")
DISKS_BY_UUID = Path("/dev/disk/by-uuid")
PREFIX = ".poppyfield-data-"
MARK_MODE = 0o444
SYSTEM = "system"
"""What stands for the file system of the records themselves, whose number changes with each card."""


@dataclass(frozen=True)
class Record:
    """What is remembered of a data folder."""

    folder: str
    mark: str
    file_system: str


@dataclass(frozen=True)
class Found:
    """What is found of a data folder, and what is remembered."""

    marks: tuple[str, ...] = ()
    file_system: str = ""
    record: Record | None = None

    @property
    def is_as_recorded(self) -> bool:
        """Tell whether this is the folder that is remembered, on its file system."""
        return self.record is not None and self.record.mark in self.marks and self.has_same_file_system

    @property
    def has_same_file_system(self) -> bool:
        """Tell whether nothing speaks against it."""
        recorded = self.record.file_system if self.record else ""
        return not recorded or not self.file_system or recorded == self.file_system


def is_settled(folder: str, found: Found) -> bool:
    """Tell whether there is nothing to remember that is not remembered."""
    return found.record is not None and found.record.folder == folder and found.is_as_recorded


def permission(variable: str) -> str:
    """Give the name of the variable that allows another folder than the one that is remembered."""
    return f"{variable}_may_change"


def problem(folder: str, variable: str, found: Found) -> str:
    """Say why a folder must not be used; empty when it may."""
    record = found.record
    if record is None or found.is_as_recorded:
        return ""
    before = f"{record.folder} on {_named(record.file_system)}"
    if record.mark in found.marks:
        why = f"is on {_named(found.file_system)} now, so it may be an old copy"
    elif found.marks:
        why = "is another one, made by another Pi or for another disk"
    else:
        why = f"is not that one, for it lacks the file {record.mark}: its disk is not mounted, or the data are gone"
    return (
        f"This Pi's data are in {before}, but {folder} ({variable}) {why}. Mount the right disk (findmnt and "
        f"/etc/fstab show what is mounted where), or correct {variable}. If the Pi is to go on with what is in "
        f"{folder} now, even with nothing, run once with -e {permission(variable)}=true."
    )


def _named(file_system: str) -> str:
    if file_system == SYSTEM:
        return "the disk of the system"
    return f"the disk {file_system}" if file_system else "a disk without a name"


def mark_to_keep(found: Found) -> str:
    """Give the mark that stays the folder's own; empty where it gets a new one.

    A copy on another disk gets a new one, so that no container starts from the old copy when that disk is missing.
    """
    record = found.record
    if record is not None and record.mark in found.marks:
        return record.mark if found.has_same_file_system else ""
    return next(iter(found.marks), "")


# Looking, and writing -----------------------------------------------------------------------------------------------


def look(folder: str, variable: str) -> Found:
    """Look at a data folder, whether or not there is one."""
    return Found(_marks(Path(folder)), _file_system(Path(folder)), recorded(variable))


def recorded(variable: str) -> Record | None:
    """Give what is remembered; None where nothing is."""
    try:
        document = json.loads((RECORDS / variable).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    names = ("folder", "mark", "file_system")
    if not isinstance(document, Mapping) or not all(isinstance(document.get(name), str) for name in names):
        return None
    return Record(**{name: document[name] for name in names})


def remember(folder: str, variable: str, found: Found, *, owner: int = -1, group: int = -1) -> None:
    """Mark the folder, and record it."""
    mark = mark_to_keep(found)
    if not mark:
        mark = PREFIX + secrets.token_hex(8)
        atomic_file.write(Path(folder) / mark, b"", mode=MARK_MODE, owner=owner, group=group)
    for other in set(found.marks) - {mark}:
        (Path(folder) / other).unlink()
    RECORDS.mkdir(parents=True, exist_ok=True)
    record = Record(folder, mark, _file_system(Path(folder)))
    atomic_file.write(RECORDS / variable, json.dumps(asdict(record)).encode())


def _marks(folder: Path) -> tuple[str, ...]:
    """Give the names of the marks: plain files only, since a container may write to the folder."""
    try:
        with os.scandir(folder) as entries:
            own = [entry for entry in entries if entry.name.startswith(PREFIX)]
            return tuple(sorted(entry.name for entry in own if entry.is_file(follow_symlinks=False)))
    except (FileNotFoundError, NotADirectoryError):
        return ()


def _file_system(folder: Path) -> str:
    """Give what tells a folder's file system from another one: its UUID, or where it comes from."""
    place = _nearest(folder.resolve())
    if place.stat().st_dev == _nearest(RECORDS).stat().st_dev:
        return SYSTEM
    mounts = file_systems.parse(Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape"))
    held = file_systems.holding(str(place), mounts)
    return _uuid_of(held.source) or held.source if held else ""


def _nearest(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _uuid_of(source: str) -> str:
    try:
        links = sorted(DISKS_BY_UUID.iterdir())
    except OSError:
        return ""
    return next((link.name for link in links if os.path.realpath(link) == os.path.realpath(source)), "")
