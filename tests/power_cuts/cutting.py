"""Cuts of a recorded disk: what each leaves, started again and looked at."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.power_cuts.classes import DISK_MB, Class, Found, Recording
from tests.power_cuts.database import DatabaseError
from tests.power_cuts.recorded_disk import MB, MOUNT, copied, mounted
from workshop.emulator import write_log
from workshop.emulator.write_log import Cut, Entry


@dataclass(frozen=True)
class Row:
    """One cut: `dropped` writes are gone from the disk; of `acknowledged` things, all due, `lost` are not there.

    `last` is the entry of the log after which it was, -1 where that is not known before.
    """

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
    """A recording of a class, cut again and again; the disk of the moment lies beside it."""

    def __init__(self, kind: Class, recording: Recording, image: str) -> None:
        self._kind = kind
        self._recording = recording
        self._image = image
        self._folder = recording.log.parent
        with recording.log.open("rb") as log:
            self._entries: list[Entry] = list(write_log.entries(log))
        self._disk = self._folder / "flushed.img"
        self._disk.unlink(missing_ok=True)
        self._disk.touch()
        os.truncate(self._disk, DISK_MB * MB)
        self._replay = write_log.Replay(recording.log, self._disk)

    def cuts(self, seeds: Iterable[int]) -> list[Cut]:
        """Choose a cut for each seed, in an order in which they can be played: half of them before the last promise."""
        begin, end = self._recording.begin, self._recording.end
        anytime = write_log.moments(self._entries, begin, end)
        last = max((promise.position for promise in self._recording.promises), default=end)
        before = write_log.moments(self._entries, begin, last) or anytime
        chosen = [write_log.choose(anytime if seed % 2 else before, seed) for seed in seeds]
        return sorted(chosen, key=lambda cut: cut.last)

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
        """Start the product on what the cut left, and look."""
        ended = self._entries[cut.last].end
        due = [promise.what for promise in self._recording.promises if promise.position <= ended]
        began, up = time.monotonic(), True
        try:
            # Where it was when it was recorded: a program may have written down paths.
            with mounted(disk, self._folder / MOUNT) as folder:
                found = self._kind.look(self._image, folder, due)
        except DatabaseError as error:
            found, up = Found(len(due), str(error)), False
        seconds = round(time.monotonic() - began, 1)
        return Row(self._kind.name, cut.seed, cut.last, dropped, len(due), found.lost, up, found.damage, seconds)
