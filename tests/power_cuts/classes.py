"""What is done while the power goes: each class is recorded once, and then cut at many moments.

A class fulfils promises: what was acknowledged to somebody before the cut has to be there after it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from tests.images.postgis_server import owned_folder
from tests.power_cuts.database import SCHEMA, Database
from tests.power_cuts.recorded_disk import LOG, RecordedDisk

DISK_MB = 1500
CONTROL = "control"


class Promise(NamedTuple):
    """What was acknowledged, and where the log of the disk ended at that time, in bytes."""

    what: str
    position: int


class Found(NamedTuple):
    """What was found after a cut: how many promises are broken, and what else is damaged, if anything."""

    lost: int
    damage: str


class Recording(NamedTuple):
    """A disk that was recorded: where in its log, in bytes, cuts may be, and what was promised."""

    log: Path
    begin: int
    end: int
    promises: Sequence[Promise]

    def keep(self) -> None:
        """Write beside the log what else is needed to play its cuts again."""
        _notes(self.log.parent).write_text(json.dumps([self.begin, self.end, self.promises]), encoding="utf-8")


def kept(folder: Path) -> Recording:
    """Give the recording that a folder has; OSError where there is none."""
    begin, end, promises = json.loads(_notes(folder).read_text(encoding="utf-8"))
    return Recording(folder / LOG, begin, end, [Promise(*one) for one in promises])


def _notes(folder: Path) -> Path:
    return folder / "recording.json"


class Class(Protocol):
    """A class of cuts."""

    name: str

    def record(self, image: str, disk: RecordedDisk, seconds: float) -> tuple[int, list[Promise]]:
        """Do what is to be cut off; give where in the log it began, and what was promised meanwhile."""

    def look(self, image: str, folder: Path, due: Collection[str]) -> Found:
        """Start the product on the disk, mounted at a folder; DatabaseError where it does not come up."""


class Commits:
    """Five clients commit, with a checkpoint each second; without `sync`, PostgreSQL does not flush."""

    def __init__(self, name: str, *, sync: bool = True) -> None:
        self.name = name
        self._sync = sync

    def record(self, image: str, disk: RecordedDisk, seconds: float) -> tuple[int, list[Promise]]:
        folder = owned_folder(disk.mount / "data")
        with Database(image, folder).running() as database:
            database.sql("CREATE DATABASE gis")
            database.sql(SCHEMA, "gis")
        with Database(image, folder, sync=self._sync).running() as database:
            begin = disk.position
            return begin, [Promise(*one) for one in database.walk(seconds, lambda: disk.position)]

    def look(self, image: str, folder: Path, due: Collection[str]) -> Found:
        with Database(image, folder / "data").running() as database:
            there = set(database.sql("SELECT client || '/' || n FROM walked", "gis").split())
            return Found(len(set(due) - there), database.damage("gis"))


class FirstStart:
    """The container makes its database, from an empty folder on."""

    name = "first-start"

    def record(self, image: str, disk: RecordedDisk, seconds: float) -> tuple[int, list[Promise]]:
        del seconds
        folder = owned_folder(disk.mount / "data")
        # Ansible makes it, long before the container starts.
        os.sync()
        begin = disk.position
        with Database(image, folder).running():
            return begin, []

    def look(self, image: str, folder: Path, due: Collection[str]) -> Found:
        del due
        with Database(image, folder / "data").running() as database:
            return Found(0, database.damage("postgres"))


def recorded(kind: Class, image: str, folder: Path, seconds: float) -> Recording:
    """Record a class in a folder of its own."""
    disk = RecordedDisk(folder, DISK_MB)
    with disk.recording():
        begin, promises = kind.record(image, disk, seconds)
        end = disk.position
    recording = Recording(disk.log, begin, end, promises)
    recording.keep()
    return recording
