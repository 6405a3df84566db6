"""Whether what was saved can be put in place here."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup.database_server import postgresql
from ansible.module_utils.poppyfield.backup.settings import BackupError, Settings

SPARE_BYTES = 200_000_000


def room_problem(needs: Iterable[tuple[str, int, int, int]]) -> str:
    """Say where there is too little room, from folder, file system, bytes that are needed and bytes that are free."""
    wanted: dict[int, int] = {}
    for folder, device, needed, free in needs:
        wanted[device] = wanted.get(device, SPARE_BYTES) + needed
        if wanted[device] > free:
            megabytes = (wanted[device] - free) // 1_000_000 + 1
            return f"{megabytes} MB are missing on the disk of {folder}, where what is in place stays beside it"
    return ""


def check_room(settings: Settings, record: Mapping[str, Any]) -> None:
    """Raise BackupError where what was saved cannot be put in place here."""
    check_version(settings, record)
    projects = settings.folders["projects"]
    check_disks(
        (settings.data_folder, Path(settings.data_folder), sum(database["bytes"] for database in record["databases"])),
        (projects, Path(projects).parent, record["files"]["bytes"]),
    )


def check_version(settings: Settings, record: Mapping[str, Any]) -> None:
    """Raise BackupError where this PostgreSQL is older than the one of the backup."""
    found = postgresql(settings)
    if found < record["postgresql"]:
        raise BackupError(
            f"The backup is of PostgreSQL {record['postgresql']}, and this is {found}. Nothing was changed."
        )


def check_disks(*wanted: tuple[str, Path, int]) -> None:
    """Raise BackupError where a disk has too little room: each folder's name, where it lies, and its bytes."""
    needs = []
    for folder, disk, needed in wanted:
        needs.append((folder, disk.stat().st_dev, needed, shutil.disk_usage(disk).free))
    if problem := room_problem(needs):
        raise BackupError(f"{problem}. Nothing was changed.")
