"""Which snapshots make a backup that counts, and which of them is meant by a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible.module_utils.poppyfield.backup.settings import BackupError

TAG = "poppyfield"
RECORD = "record"
RUN_TAG = "run="
ORDER_TAG = "order="
# Of what comes by a stream; restic 0.18 (trixie) takes no such name with a folder in it.
RECORD_NAME = "/record.json"
GLOBALS_NAME = "/globals.sql"


@dataclass(frozen=True)
class Run:
    """A backup that is complete."""

    name: str
    time: datetime
    record: str
    """The id of its last snapshot."""
    order: int = 0
    """Which one it is on its target: a Pi has no clock that can be trusted. Those of earlier releases have none."""


def run_of(snapshot: Mapping[str, Any]) -> str:
    """Give the run that a snapshot belongs to, empty when it is none of ours."""
    tags = snapshot.get("tags") or []
    return next((tag.removeprefix(RUN_TAG) for tag in tags if TAG in tags and tag.startswith(RUN_TAG)), "")


def complete_runs(snapshots: Iterable[Mapping[str, Any]]) -> list[Run]:
    """Give the backups that count, the newest last, whatever the clock said when they were made."""
    found = [
        Run(run_of(snapshot), moment(snapshot["time"]), snapshot["id"], order_of(snapshot))
        for snapshot in snapshots
        if run_of(snapshot) and RECORD in snapshot["tags"]
    ]
    return sorted(found, key=lambda run: (run.order, run.time))


def order_of(snapshot: Mapping[str, Any]) -> int:
    """Give which backup of its target a snapshot belongs to, 0 where it does not say."""
    return next((int(tag.removeprefix(ORDER_TAG)) for tag in snapshot["tags"] if tag.startswith(ORDER_TAG)), 0)


def clock_problem(earlier: Sequence[Run], now: datetime) -> str:
    """Say that a backup is made at a time before that of one made earlier, empty where it is not."""
    latest = max((run.time for run in earlier), default=now)
    if latest <= now:
        return ""
    kept = "Until then only the newest of those that seem older is kept."
    return f" This Pi's clock is wrong, or was: an earlier backup is of {told(latest)}. Set it. {kept}"


def without_record(snapshots: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give the ids of our snapshots that belong to no backup that counts."""
    complete = {run.name for run in complete_runs(snapshots)}
    return [snapshot["id"] for snapshot in snapshots if run_of(snapshot) and run_of(snapshot) not in complete]


def chosen(runs: Sequence[Run], when: str) -> Run:
    """Give the newest backup, or the newest that is not younger than a time."""
    if not runs:
        raise BackupError("There is no complete backup of this Pi.")
    if when == "latest":
        return runs[-1]
    try:
        limit = datetime.fromisoformat(when).astimezone(UTC)
    except ValueError:
        raise BackupError(f"{when!r} is no time. Write latest, or a time as in 2026-11-29T10:02.") from None
    if not limit.second:
        # Backups are told by the minute.
        limit += timedelta(seconds=59)
    earlier = [run for run in runs if run.time <= limit]
    if not earlier:
        raise BackupError(f"There is no backup that old: the oldest is of {told(runs[0].time)}.")
    return earlier[-1]


def moment(text: str) -> datetime:
    """Read a time as restic writes it, to the second."""
    return datetime.fromisoformat(re.sub(r"\.\d+", "", text)).astimezone(UTC)


def told(time_of: datetime) -> str:
    """Write a time for people, in that of this Pi."""
    return time_of.astimezone().strftime("%Y-%m-%d %H:%M")


def keep_options(keep: Mapping[str, int]) -> list[str]:
    """Give restic's options for how many backups are kept."""
    return [f"--keep-{period}={count}" for period, count in sorted(keep.items()) if count > 0]
