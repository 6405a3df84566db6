"""Cuts of a recorded disk: what each leaves, started again and looked at."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.power_cuts import write_log
from tests.power_cuts.classes import Class, Recording
from tests.power_cuts.database import Database, DatabaseError
from tests.power_cuts.recorded_disk import copied, mounted
from tests.power_cuts.write_log import Cut, Entry


@dataclass(frozen=True)
class Row:
    """One cut: `dropped` writes are gone from the disk; of `acknowledged` commits, all due, `lost` are not there."""

    name: str
    seed: int
    last: int
    dropped: int
    acknowledged: int
    lost: int
    up: bool
    damage: str
    seconds: float


class Cutter:
    """A recording of a class, cut again and again; the disk of the moment lies in `folder`."""

    def __init__(self, kind: Class, recording: Recording, image: str, folder: Path, disk_bytes: int) -> None:
        self._kind = kind
        self._recording = recording
        self._image = image
        self._folder = folder
        with recording.log.open("rb") as log:
            self._entries: list[Entry] = list(write_log.entries(log))
        self._disk = folder / "flushed.img"
        self._disk.unlink(missing_ok=True)
        self._disk.touch()
        os.truncate(self._disk, disk_bytes)
        self._replay = write_log.Replay(recording.log, self._disk)

    def cuts(self, seeds: Iterable[int]) -> list[Cut]:
        """Choose one cut for each seed, in the order in which they can be played."""
        begin, end = self._recording.begin, self._recording.end
        chances = write_log.moments(self._entries, begin, end)
        return sorted((write_log.choose(chances, seed) for seed in seeds), key=lambda cut: cut.last)

    def play(self, cuts: Iterable[Cut]) -> Iterator[Row]:
        """Play cuts, whose moments must not go back."""
        for cut in cuts:
            flushed = write_log.flushed_before(self._entries, cut.last)
            self._replay.forward(self._entries, flushed)
            disk = copied(self._disk, self._folder / "cut.img")
            window = self._entries[flushed : cut.last + 1]
            kept = write_log.survivors(window, cut.seed)
            write_log.write(self._recording.log, disk, kept)
            yield self._looked_at(cut, disk, sum(entry.is_write for entry in window) - len(kept))
            disk.unlink()

    def _looked_at(self, cut: Cut, disk: Path, dropped: int) -> Row:
        """Start the product's container on what the cut left, and look."""
        ended = self._entries[cut.last].end
        expected = [(one.client, one.number) for one in self._recording.commits if one.position <= ended]
        began = time.monotonic()
        lost, up, damage = 0, True, ""
        try:
            with (
                mounted(disk, self._folder / "cut") as folder,
                Database(self._image, folder / "data").running() as database,
            ):
                if self._recording.commits:
                    found = database.look(expected)
                    lost, damage = found.lost, found.damage
        except DatabaseError as error:
            lost, up, damage = len(expected), False, str(error)
        seconds = round(time.monotonic() - began, 1)
        return Row(self._kind.name, cut.seed, cut.last, dropped, len(expected), lost, up, damage, seconds)
