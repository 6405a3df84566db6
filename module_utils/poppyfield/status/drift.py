"""What `site.yml` would change on each Pi, as its last run found out: the status asks no Pi for it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

FILE = "drift.json"
"""In the folder of the status."""
VERSION = 1
LARGEST_FILE = 8 * 1024**2
MOST_CHANGES = 20


@dataclass(frozen=True)
class RunKind:
    """What kind of run it was."""

    whole: bool
    """Whether it was site.yml with all of its stages."""
    check: bool
    """Whether it changed nothing, and only told what it would change."""


def read(content: bytes) -> dict[str, Json]:
    """Read what `written` wrote, by the name of the Pi; nothing of what is something else."""
    try:
        document = json.loads(content)
        if document["version"] != VERSION:
            return {}
        known = document["pis"].items()
        return {str(name): {"at": str(one["at"]), "would": [str(what) for what in one["would"]]} for name, one in known}
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return {}


def written(known: Mapping[str, Json]) -> bytes:
    """Give what is to be kept in the file."""
    return (json.dumps({"version": VERSION, "pis": known}, indent=1, ensure_ascii=False) + "\n").encode()


def after(known: Mapping[str, Json], name: str, changes: Sequence[str], kind: RunKind, *, well: bool, now: str) -> Json:
    """Give what is known once a run has ended on a Pi, with the names of the tasks that changed something there.

    A whole run that ended well leaves nothing to do. After one of some stages, or one that failed, what the last look
    has found may be done or not: it is forgotten.
    """
    others = {other: one for other, one in known.items() if other != name}
    if kind.whole and well:
        would = list(dict.fromkeys(changes))[:MOST_CHANGES] if kind.check else []
        return {**others, name: {"at": now, "would": would}}
    return others if changes and not kind.check else dict(known)
