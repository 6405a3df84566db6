"""How much fuller a card is after a day with a hostile visitor, from a flood of some seconds that was measured. Pure.

A flood is a number of requests, sent as fast as they are answered, and what they had written: to the container's log,
and below the data folders. A day is so many of these floods. What has a limit, in the image or in Docker's settings,
stops there: the limits are read from the files that set them, so one that is taken away is missed here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DAY_SECONDS = 86_400
BYTES_PER_ROW = 256
"""Of Lizmap's table of what visitors did, with its index; a row has 100 to 150."""
UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(frozen=True)
class Flood:
    """What was asked, and what was written meanwhile."""

    requests: int
    seconds: float
    log_bytes: int
    """By the container, as Docker tells its log."""
    folder_bytes: int
    """By how much more the data folders hold on the card, those of the database included."""


@dataclass(frozen=True)
class Limits:
    """What the card never holds more of, in bytes."""

    log_bytes: int
    folder_bytes: int


def limits(root: Path = ROOT) -> Limits:
    """Read the limits from the files that set them."""
    engine = (root / "roles/docker_engine/defaults/main.yml").read_text("utf-8")
    janitor = (root / "images/lizmap/services/janitor/run").read_text("utf-8")
    prune = (root / "images/lizmap/web-client/prune.php").read_text("utf-8")
    size, unit = _found(r"^docker_engine_log_max_size: (\d+)([kmg])$", engine)
    (files,) = _found(r"^docker_engine_log_max_files: (\d+)$", engine)
    (pictures,) = _found(r"^pictures_bytes=\$\(\((\d+) \* 1024 \* 1024\)\)$", janitor)
    (rows,) = _found(r"^const MOST_ROWS = (\d+);$", prune)
    return Limits(int(size) * UNITS[unit] * int(files), int(pictures) * UNITS["m"] + int(rows) * BYTES_PER_ROW)


def card_bytes_per_hostile_day(flood: Flood, most: Limits | None = None) -> int:
    """Give by how many bytes the card is fuller after a day of such floods, at most.

    Both parts grow in proportion to the time, up to their limits: that of the log is what Docker keeps of it, that of
    the folders is the cache of pictures and the rows of the table. A service may write 256 kB to the log at once, and
    1 kB a second after that (images/lizmap/bounded-log), so a flood of some seconds says more for a day than it would
    write. Edits that a visitor may make are not hostile here: who may edit a layer may fill its table.
    """
    most = most or limits()
    floods = DAY_SECONDS / flood.seconds
    log = min(flood.log_bytes * floods, most.log_bytes)
    return round(log + min(flood.folder_bytes * floods, most.folder_bytes))


def _found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text, re.MULTILINE)
    if match is None:
        raise ValueError(f"No limit is set by {pattern}")
    return match.groups()
