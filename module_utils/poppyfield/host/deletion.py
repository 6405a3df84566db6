"""Deleting a data folder with all that is in it: whether it is the one that this Pi's data are in, and nobody's else.

The decision is pure. What is deleted last is the mark, so that the next run knows and ends a deletion that was cut off.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.poppyfield.host import atomic_file, data_folders, file_systems
from ansible.module_utils.poppyfield.host.data_folders import Found
from ansible.module_utils.poppyfield.host.file_systems import is_within


@dataclass(frozen=True)
class FolderToDelete:
    """What is found of a folder that is to be deleted."""

    variable: str
    folder: str
    found: Found
    exists: bool = True
    is_empty: bool = False
    users: tuple[str, ...] = ()
    """Containers that mount it, or something in it."""
    within: tuple[str, ...] = ()
    """What lies in it and is not its own: the folders of other variables, disks that are mounted there."""

    @property
    def is_gone(self) -> bool:
        """Tell whether there is nothing to delete, and nothing to forget."""
        nothing = not self.exists or (self.is_empty and not self.found.marks)
        return nothing and self.found.record is None


def problem(folder: FolderToDelete) -> str:
    """Say why a folder is not deleted; empty where it is."""
    if folder.is_gone:
        return ""
    place = f"{folder.folder} ({folder.variable})"
    return _not_the_data(folder, place) or _not_alone(folder, place)


def _not_the_data(folder: FolderToDelete, place: str) -> str:
    record = folder.found.record
    if record is not None and record.folder != folder.folder:
        return f"This Pi's data are in {record.folder}, not in {place}: correct {folder.variable}."
    if not folder.found.marks:
        remembered = f", with {data_folders.RECORDS / folder.variable}" if record else ""
        return (
            f"{place} has no mark of Poppyfield's: it is not a folder of ours, its disk is not mounted, or the data "
            f"are gone already. Look at it, and remove by hand what is not wanted{remembered}."
        )
    if record is not None and not folder.found.is_as_recorded:
        return f"{place} is another folder than the one that this Pi's data are in, or an old copy of it."
    return ""


def _not_alone(folder: FolderToDelete, place: str) -> str:
    if folder.within:
        return f"In {place} lies what is not its own: {', '.join(folder.within)}. Move it, or unmount it."
    if folder.users:
        return f"{place} is used by the container {', '.join(folder.users)}: remove it first."
    return ""


def mounted_in(folder: str, containers: Iterable[tuple[str, Iterable[str]]]) -> tuple[str, ...]:
    """Name the containers, each with what it mounts, that mount a folder or something in it."""
    return tuple(name for name, sources in containers if any(is_within(source, folder) for source in sources))


# Looking, and deleting ------------------------------------------------------------------------------------------------


def look(
    variable: str, folder: str, containers: Iterable[tuple[str, Iterable[str]]], others: Iterable[str]
) -> FolderToDelete:
    """Look at a folder; `others` are the variables of all data folders."""
    place = os.path.realpath(folder)
    exists = Path(place).is_dir()
    mounts = file_systems.parse(Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape"))
    disks = [mount.point for mount in mounts if mount.point != place and is_within(mount.point, place)]
    return FolderToDelete(
        variable,
        folder,
        data_folders.look(folder, variable),
        exists,
        is_empty=exists and not any(Path(place).iterdir()),
        users=mounted_in(place, [(name, map(os.path.realpath, sources)) for name, sources in containers]),
        within=(*sorted(disks), *_others_within(variable, place, others)),
    )


def _others_within(variable: str, place: str, others: Iterable[str]) -> tuple[str, ...]:
    records = [data_folders.recorded(other) for other in others if other != variable]
    return tuple(record.folder for record in records if record and is_within(os.path.realpath(record.folder), place))


def delete(folder: FolderToDelete) -> None:
    """Delete everything in the folder, what is remembered of it, and the folder itself where it is no mount point."""
    place = Path(os.path.realpath(folder.folder))
    if folder.exists:
        for entry in place.iterdir():
            if entry.name not in folder.found.marks:
                _remove(entry)
        atomic_file.sync_folder(place)
    (data_folders.RECORDS / folder.variable).unlink(missing_ok=True)
    if folder.exists:
        for mark in folder.found.marks:
            (place / mark).unlink(missing_ok=True)
        if not place.is_mount() and not Path(folder.folder).is_symlink():
            place.rmdir()


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
