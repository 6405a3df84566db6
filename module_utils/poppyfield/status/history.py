"""What is remembered of each Pi from one run to the next: its last row, and a few figures of the last runs. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.poppyfield.status.rows import sums

Json = dict[str, Any]

VERSION = 1
MOST_POINTS = 60
"""Runs that the sparklines show."""
LARGEST_FILE = 64 * 1024**2
"""More than the last rows of some thousand Pis have."""


@dataclass(frozen=True)
class History:
    """What is remembered, by the name of the Pi."""

    rows: Mapping[str, Json] = field(default_factory=dict)
    points: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    """The oldest first."""


def read(content: bytes) -> History | None:
    """Read what `written` wrote; None if it is something else."""
    try:
        document = json.loads(content)
        if document["version"] != VERSION:
            return None
        known = document["pis"].items()
        rows = {name: dict(entry["row"]) for name, entry in known}
        return History(rows, {name: [dict(point) for point in entry["points"]] for name, entry in known})
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return None


def written(history: History) -> bytes:
    """Give what is to be kept in a file."""
    known = {name: {"row": row, "points": history.points.get(name, [])} for name, row in history.rows.items()}
    return (json.dumps({"version": VERSION, "pis": known}, indent=1) + "\n").encode()


def grown(history: History, rows: Sequence[Json], fleet: Collection[str]) -> History:
    """Give the history with the rows of this run, without Pis that the fleet no longer has."""
    known = {**history.rows, **{row["name"]: row for row in rows}}
    points: dict[str, Sequence[Json]] = dict(history.points)
    for row in rows:
        earlier = points.get(row["name"], [])
        if row["seen"] and row["seen"] not in [point["at"] for point in earlier]:
            points[row["name"]] = [*earlier, sums(row)][-MOST_POINTS:]
    kept = [name for name in known if name in fleet]
    return History({name: known[name] for name in kept}, {name: points.get(name, []) for name in kept})
