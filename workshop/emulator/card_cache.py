"""What the Pi has written to its card since power-on, and what of it the card keeps when its power is cut.

QEMU leaves the card itself alone meanwhile: it writes to `SESSION`, and logs each write and flush. At a clean end the
whole log goes to the card. At a cut what was flushed does, and of the rest a part: none, or what a seed chooses.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from workshop.emulator import machine_options as o
from workshop.emulator import write_log
from workshop.emulator.write_log import Entry, Kept


@dataclass(frozen=True)
class Loss:
    """What a cut did to the writes that were not flushed: how many are lost in whole, and how many the card has."""

    dropped: int
    kept: int


def begin(folder: Path) -> None:
    """Make ready for power-on; a power that nobody saw go was cut."""
    if (folder / o.WRITES).exists():
        cut(folder, None)
    make = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", o.CARD, "-F", "raw", o.SESSION]
    subprocess.run(make, cwd=folder, check=True)
    (folder / o.WRITES).touch()


def end(folder: Path) -> None:
    """Bring to the card all that was written."""
    _bring(folder, whole(written(folder)))


def cut(folder: Path, seed: int | None) -> Loss:
    """Bring to the card what was flushed, and what a seed chooses of the rest; without a seed, nothing of it."""
    if not (folder / o.WRITES).exists():
        # It had no power.
        return Loss(0, 0)
    found = written(folder)
    flushed = write_log.flushed_before(found, len(found) - 1)
    window = found[flushed:]
    can_be_lost = sum(write_log.can_be_lost(entry) for entry in window)
    if seed is None or not can_be_lost:
        some = whole([entry for entry in window if entry.is_lasting])
    else:
        some = write_log.survivors(window, seed)
    _bring(folder, [*whole(found[:flushed]), *some])
    kept = sum(write_log.can_be_lost(part.entry) for part in some)
    return Loss(can_be_lost - kept, kept)


def waiting(folder: Path) -> int:
    """Give how many writes wait for a flush now."""
    found = written(folder)
    return sum(write_log.can_be_lost(entry) for entry in found[write_log.flushed_before(found, len(found) - 1) :])


def written(folder: Path) -> list[Entry]:
    """Read the log, which is empty until QEMU has begun."""
    with (folder / o.WRITES).open("rb") as log:
        return list(write_log.entries(log)) if log.read(1) and log.seek(0) == 0 else []


def whole(found: list[Entry]) -> list[Kept]:
    """Give all of each write."""
    return [Kept(entry, 0, entry.sectors) for entry in found if entry.is_write]


def _bring(folder: Path, kept: list[Kept]) -> None:
    """Write to the card; whoever is interrupted does it again, since the log goes last."""
    write_log.write(folder / o.WRITES, folder / o.CARD, kept)
    (folder / o.SESSION).unlink(missing_ok=True)
    (folder / o.WRITES).unlink()
