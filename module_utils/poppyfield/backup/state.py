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
LAST_MINUTES = "run/poppyfield-backup-wal"
LATEST = timedelta(hours=1)
"""How long the last minute of a target that is there may be unsaved: a base copy and a restart have their time."""
LEAST_SHARE = 0.5
"""Of what there was when a backup was last proven: one with less is too small."""
HEADS = ("Pi", "newest", "where", "committed until", "proven", "what failed")


def look(now: datetime, root: Path = Path("/")) -> list[Json]:
    """Give how the backups of this host fare; nothing where it makes none."""
    settings = _read(root / SETTINGS)
    if not settings:
        return []
    installed = datetime.fromtimestamp((root / SETTINGS).stat().st_mtime, UTC)
    states = {target["name"]: _read(root / STATES / f"{target['name']}.json") for target in settings["targets"]}
    for name, state in states.items():
        state["minute"] = _read(root / LAST_MINUTES / f"{name}.json")
    # Of what lies on another machine neither the last minute is saved, nor is it restored for trial here.
    far = {**settings, "prove": False, "wal": False}
    of = {target["name"]: far if target.get("sftp") else settings for target in settings["targets"]}
    return [judged(name, state, of[name], installed, now) for name, state in states.items()]


def _read(path: Path) -> Json:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def judged(
    name: str, state: Mapping[str, Any], settings: Mapping[str, Any], installed: datetime, now: datetime
) -> Json:
    """Give how the backups on a target fare, from what was written down of them, and when the host was set up.

    What was written down of the last minute is in it as `minute`.
    """
    minute = state.get("minute") or {}
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
        "committed": minute.get("until"),
        "committed_said": minute.get("said"),
        "failed": state.get("state") == "failed",
        "too_old": now - (_moment(state.get("saved")) or installed) > oldest,
        "unproven": settings["prove"] and now - (_moment(state.get("proven")) or since) > unproven,
        "different": proof.get("result") in ("different", "failed"),
        "too_small": state.get("bytes", 0) < LEAST_SHARE * state.get("usual", 0),
        "behind": settings.get("wal", False)
        and minute.get("state") != "absent"
        and now - (_moment(minute.get("until") or minute.get("begun")) or installed) > LATEST,
    }
    return {**found, "wrong": failures(found)}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


WORDS = {
    "too_old": "its newest is too old",
    "unproven": "none was proven for too long",
    "different": "restored for trial, it was not what was saved",
    "too_small": "it has less than half of what was proven",
    "behind": "what is committed is not saved on it within a minute",
}


def failures(backup: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with the backups on a target, the program's own words first."""
    said = [backup["said"]] if backup["failed"] else []
    return said + [_words(name, backup) for name in WORDS if backup[name]]


def _words(name: str, backup: Mapping[str, Any]) -> str:
    """Say what is wrong, of the last minute with why."""
    why = f" ({backup['committed_said']})" if name == "behind" and backup["committed_said"] else ""
    return WORDS[name] + why


def summary(backups: Iterable[Mapping[str, Any]]) -> list[str]:
    """Tell of each target in a sentence."""
    return [f"Backups on {one['target']}: {_state_words(one)}." for one in backups]


def _state_words(backup: Mapping[str, Any]) -> str:
    newest = f"the newest is of {_minute(backup['saved'])}" if backup["saved"] else "there is none yet"
    proven = f"one was last proven on {_minute(backup['proven'])}" if backup["proven"] else "none was proven yet"
    minute = [f"what was committed until {_second(backup['committed'])} is on it"] if backup["committed"] else []
    return "; ".join([newest, proven, *minute, *(words for name, words in WORDS.items() if backup[name])])


def table(found: Mapping[str, Sequence[Mapping[str, Any]] | None]) -> list[str]:
    """Give the lines of a table of the fleet: by Pi its backups, None for one that did not answer."""
    rows = [HEADS, *(row for pi, backups in found.items() for row in _rows(pi, backups))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    return [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _rows(pi: str, backups: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, ...]]:
    if backups is None:
        return [(pi, "?", "?", "?", "?", "it does not answer")]
    if not backups:
        return [(pi, "none", "-", "-", "-", "it makes no backups: backup_targets")]
    return [_row(pi, one) for one in backups]


def _row(pi: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    wrong = "; ".join(one["wrong"]) or "nothing"
    return (pi, _minute(one["saved"]), one["target"], _second(one["committed"]), _minute(one["proven"]), wrong)


def _minute(moment: str | None) -> str:
    return f"{moment[:16].replace('T', ' ')} UTC" if moment else "never"


def _second(moment: str | None) -> str:
    return f"{moment[:19].replace('T', ' ')} UTC" if moment else "-"
