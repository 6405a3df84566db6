"""The log of what was written to a recorded disk, and what the disk holds after a cut of power. Pure but for files.

The format is that of Linux's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst), which QEMU's block
driver blklogwrites writes: a header, then one entry for each write, flush and discard, in their order.

What was flushed is kept. Of what was written since, a disk may keep any part and in any order, down to single sectors.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from typing import BinaryIO

MAGIC = 0x6A736677736872
SECTOR = 512
"""Bytes; disks write each of them whole or not at all."""
HEAD = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")
MANY = 8
"""Writes that wait for a flush, where half of the cuts are."""
CHANCES = (0.0, 0.3, 0.6, 0.9)
"""Of a write that was not flushed, to be kept: of one disk hardly any is, of another nearly all."""
TORN = 0.2
"""Of what is kept so, the share of which only some sectors are."""


class Flag(IntFlag):
    """What kind of an entry it is; a plain write has none."""

    FLUSH = 1
    FUA = 2
    DISCARD = 4


@dataclass(frozen=True)
class Entry:
    """One write: `sector` and `sectors` on the disk; where its data begin and it ends in the log, in bytes."""

    sector: int
    sectors: int
    flags: Flag
    data: int
    end: int

    @property
    def is_lasting(self) -> bool:
        """Whether it is on the disk for good at once (Force Unit Access)."""
        return bool(self.flags & Flag.FUA)

    @property
    def is_write(self) -> bool:
        """Whether it changes the disk."""
        return self.sectors > 0


@dataclass(frozen=True)
class Kept:
    """Sectors of an entry that a disk kept: the first one of the entry, and how many."""

    entry: Entry
    first: int
    count: int


@dataclass(frozen=True)
class Cut:
    """A cut of power after entry `last`, and which writes survive it: the same seed chooses the same ones."""

    last: int
    seed: int


def entries(log: BinaryIO) -> Iterator[Entry]:
    """Read a log up to its last whole entry; ValueError where it is none."""
    magic, version, _, sector_bytes = HEAD.unpack(log.read(HEAD.size))
    if (magic, version, sector_bytes) != (MAGIC, 1, SECTOR):
        raise ValueError(f"not a log of writes in sectors of {SECTOR} bytes")
    size = log.seek(0, 2)
    position = SECTOR
    while position + SECTOR <= size:
        log.seek(position)
        sector, sectors, flags, _ = ENTRY.unpack(log.read(ENTRY.size))
        data = position + SECTOR
        position = data if flags & Flag.DISCARD else data + sectors * SECTOR
        if position <= size:
            yield Entry(sector, sectors, Flag(flags), data, position)


def flushed_before(found: Sequence[Entry], last: int) -> int:
    """Give how many of the entries up to `last` were flushed for sure."""
    return next((number + 1 for number in range(last, -1, -1) if found[number].flags & Flag.FLUSH), 0)


def moments(found: Sequence[Entry], begin: int, end: int) -> list[tuple[int, int]]:
    """Give the entries between two positions of the log, after which writes can be lost, and how many."""
    waiting, chances = 0, []
    for number, entry in enumerate(found):
        waiting = 0 if entry.flags & Flag.FLUSH else waiting + can_be_lost(entry)
        if waiting and begin < entry.end <= end:
            chances.append((number, waiting))
    return chances


def choose(chances: Sequence[tuple[int, int]], seed: int) -> Cut:
    """Choose a cut at one of these moments. Most have one write that waits: half of the cuts are at others."""
    # Not for secrets: the same seed must give the same cut.
    dice = random.Random(seed)  # noqa: S311
    least = dice.choice((1, MANY))
    many = [number for number, waiting in chances if waiting >= least]
    return Cut(dice.choice(many or [number for number, _ in chances]), seed)


def can_be_lost(entry: Entry) -> bool:
    """Say whether a disk may lose this write where no flush comes after it."""
    return entry.is_write and not entry.is_lasting


def survivors(window: Sequence[Entry], seed: int) -> list[Kept]:
    """Choose what is kept of writes after the last flush, in an order in which to write it; at least one is lost."""
    dice = random.Random(seed)  # noqa: S311
    chance = dice.choice(CHANCES)
    loses = [number for number, entry in enumerate(window) if can_be_lost(entry)]
    lost = dice.choice(loses)
    kept = []
    for number, entry in enumerate(window):
        if not entry.is_write:
            continue
        if entry.is_lasting:
            kept.append(Kept(entry, 0, entry.sectors))
        elif number != lost and dice.random() < chance:
            first, count = 0, entry.sectors
            if dice.random() < TORN:
                first = dice.randrange(entry.sectors)
                count = dice.randint(1, entry.sectors - first)
            kept.append(Kept(entry, first, count))
    return kept


class Replay:
    """A disk's image that is brought forward along a log, and never back."""

    def __init__(self, log: Path, image: Path) -> None:
        """Begin before the first entry: `image` is empty, of the disk's size."""
        self._log = log
        self._image = image
        self._applied = 0

    def forward(self, found: Sequence[Entry], count: int) -> None:
        """Apply the first `count` entries, but those that were applied before."""
        window = found[self._applied : count]
        write(self._log, self._image, [Kept(entry, 0, entry.sectors) for entry in window if entry.is_write])
        self._applied = max(self._applied, count)


def write(log: Path, image: Path, kept: Sequence[Kept]) -> None:
    """Write parts of a log into an image; what was discarded reads as zeros."""
    with log.open("rb") as source, image.open("r+b") as disk:
        for part in kept:
            disk.seek((part.entry.sector + part.first) * SECTOR)
            if part.entry.flags & Flag.DISCARD:
                disk.write(bytes(part.count * SECTOR))
            else:
                source.seek(part.entry.data + part.first * SECTOR)
                disk.write(source.read(part.count * SECTOR))
