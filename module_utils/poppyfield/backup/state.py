"""How the backups of a Pi fare: what its program has written down -> what is wrong with them, and a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Json = dict[str, Any]

SETTINGS = "etc/poppyfield/backup/settings.json"
STATES = "var/lib/poppyfield/backup"
LEAST_SHARE = 0.5
"""Of what there was when a backup was last proven: one with less is too small."""
HEADS = ("Pi", "newest", "where", "proven", "what failed")


def look(now: datetime, root: Path = Path("/")) -> list[Json]:
    """Give how the backups of this host fare; nothing where it makes none."""
    settings = _read(root / SETTINGS)
    if not settings:
        return []
    installed = datetime.fromtimestamp((root / SETTINGS).stat().st_mtime, UTC)
    states = {target["name"]: _read(root / STATES / f"{target['name']}.json") for target in settings["targets"]}
    return [judged(name, state, settings, installed, now) for name, state in states.items()]


def _read(path: Path) -> Json:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def judged(
    name: str, state: Mapping[str, Any], settings: Mapping[str, Any], installed: datetime, now: datetime
) -> Json:
    """Give how the backups on a target fare, from what was written down of them, and when the host was set up."""
    proof = state.get("proof") or {}
    since = _moment(state.get("since")) or installed
    oldest = timedelta(days=settings["max_age_days"])
    unproven = timedelta(days=settings["max_unproven_days"])
    found = {
        "target": name,
        "saved": state.get("saved"),
        "proven": state.get("proven"),
        "said": state.get("said", "no backup yet."),
        "proof": proof.get("result"),
        "proof_said": proof.get("said"),
        "failed": state.get("state") == "failed",
        "too_old": now - (_moment(state.get("saved")) or installed) > oldest,
        "unproven": settings["prove"] and now - (_moment(state.get("proven")) or since) > unproven,
        "different": proof.get("result") in ("different", "failed"),
        "too_small": state.get("bytes", 0) < LEAST_SHARE * state.get("usual", 0),
    }
    return {**found, "wrong": failures(found)}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


WORDS = {
    "too_old": "its newest is too old",
    "unproven": "none was proven for too long",
    "different": "restored for trial, it was not what was saved",
    "too_small": "it has less than half of what was proven",
}


def failures(backup: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with the backups on a target, the program's own words first."""
    said = [backup["said"]] if backup["failed"] else []
    return said + [words for name, words in WORDS.items() if backup[name]]


def summary(backups: Iterable[Mapping[str, Any]]) -> list[str]:
    """Tell of each target in a sentence."""
    return [f"Backups on {one['target']}: {_state_words(one)}." for one in backups]


def _state_words(backup: Mapping[str, Any]) -> str:
    newest = f"the newest is of {_minute(backup['saved'])}" if backup["saved"] else "there is none yet"
    proven = f"one was last proven on {_minute(backup['proven'])}" if backup["proven"] else "none was proven yet"
    return "; ".join([newest, proven, *(words for name, words in WORDS.items() if backup[name])])


def table(found: Mapping[str, Sequence[Mapping[str, Any]] | None]) -> list[str]:
    """Give the lines of a table of the fleet: by Pi its backups, None for one that did not answer."""
    rows = [HEADS, *(row for pi, backups in found.items() for row in _rows(pi, backups))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    return [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _rows(pi: str, backups: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, ...]]:
    if backups is None:
        return [(pi, "?", "?", "?", "it does not answer")]
    if not backups:
        return [(pi, "none", "-", "-", "it makes no backups: backup_targets")]
    return [
        (pi, _minute(one["saved"]), one["target"], _minute(one["proven"]), "; ".join(one["wrong"]) or "nothing")
        for one in backups
    ]


def _minute(moment: str | None) -> str:
    return f"{moment[:16].replace('T', ' ')} UTC" if moment else "never"
