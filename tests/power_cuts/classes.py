"""What people do while the power goes: each class is recorded once, and then cut at many moments."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.power_cuts.database import SCHEMA, Commit, Database, data_folder
from tests.power_cuts.recorded_disk import LOG, RecordedDisk

DISK_MB = 1500
CONTROL = "control"


class Recording(NamedTuple):
    """A disk that was recorded: where in its log, in bytes, cuts may be; and the commits that were acknowledged."""

    log: Path
    begin: int
    end: int
    commits: Sequence[Commit]

    def keep(self) -> None:
        """Write beside the log what else is needed to play its cuts again."""
        _notes(self.log.parent).write_text(json.dumps([self.begin, self.end, self.commits]), encoding="utf-8")


def kept(folder: Path) -> Recording:
    """Give the recording that a folder has; OSError where there is none."""
    begin, end, acknowledged = json.loads(_notes(folder).read_text(encoding="utf-8"))
    return Recording(folder / LOG, begin, end, [Commit(*one) for one in acknowledged])


def _notes(folder: Path) -> Path:
    return folder / "recording.json"


@dataclass(frozen=True)
class Class:
    """A class of cuts: what is recorded, whether PostgreSQL flushes, and whether there are rows to look for."""

    name: str
    records: Callable[[str, RecordedDisk, float], tuple[int, list[Commit]]]
    sync: bool = True


def commits(image: str, disk: RecordedDisk, seconds: float, *, sync: bool = True) -> tuple[int, list[Commit]]:
    """Let five clients commit; give where in the log they began, and what was acknowledged."""
    folder = data_folder(disk.mount / "data")
    with Database(image, folder).running() as database:
        database.sql("CREATE DATABASE gis")
        database.sql(SCHEMA, "gis")
    with Database(image, folder, sync=sync).running() as database:
        begin = disk.position
        return begin, database.walk(seconds, lambda: disk.position)


def without_flushes(image: str, disk: RecordedDisk, seconds: float) -> tuple[int, list[Commit]]:
    """As `commits`, but with fsync off."""
    return commits(image, disk, seconds, sync=False)


def first_start(image: str, disk: RecordedDisk, _seconds: float) -> tuple[int, list[Commit]]:
    """Let the container make its database, from an empty folder on."""
    folder = data_folder(disk.mount / "data")
    # Ansible makes it, long before the container starts.
    os.sync()
    begin = disk.position
    with Database(image, folder).running():
        return begin, []


CLASSES = (Class("commits", commits), Class("first-start", first_start), Class(CONTROL, without_flushes, sync=False))


def recorded(kind: Class, image: str, folder: Path, seconds: float) -> Recording:
    """Record a class in a folder of its own."""
    disk = RecordedDisk(folder, DISK_MB)
    with disk.recording():
        begin, acknowledged = kind.records(image, disk, seconds)
        end = disk.position
    recording = Recording(disk.log, begin, end, acknowledged)
    recording.keep()
    return recording
