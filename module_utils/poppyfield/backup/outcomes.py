"""What is written down of backups and proofs on a Pi, and what it says of how they fare."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup.settings import Settings
from ansible.module_utils.poppyfield.backup.this_pi import read

PENDING = (
    "A restore is neither kept nor taken back: sudo /usr/local/lib/poppyfield/backup finish keeps it, "
    "and take-back in place of finish puts back what was there before."
)
PROOF = "proof"
PROVE_EVERY = timedelta(days=7)
PROVE_AGAIN = timedelta(days=1)
"""After one that was not equal: what is wrong may be gone, and a restore is much to read and write."""


def outcome_line(outcome: Mapping[str, Any]) -> str:
    """Say in a line how a backup went, and the newest proof."""
    proof = outcome.get(PROOF) or {"said": "It was not restored for trial yet."}
    return f"{outcome['target']}: {outcome['said']}{' ' + proof['said'] if outcome.get('saved') else ''}"


def is_due(state: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether a backup is to be restored for trial: the first, then once a week, or a day after a failure."""
    proof = state.get(PROOF)
    if not proof:
        return True
    return now - datetime.fromisoformat(proof["at"]) >= (PROVE_EVERY if proof["result"] == "equal" else PROVE_AGAIN)


def is_disproven(state: Mapping[str, Any]) -> bool:
    """Tell whether the newest backup that was restored for trial is not what was saved."""
    return (state.get(PROOF) or {}).get("result") in ("different", "failed")


def is_new(settings: Settings, target: Mapping[str, Any]) -> bool:
    """Tell whether this card was neither saved on a target nor restored."""
    return not read(settings.state_of(target)).get("saved") and not settings.restored.exists()


def status(settings: Settings) -> str:
    """Say how the newest backup on each target went."""
    found = {target["name"]: read(settings.state_of(target)) for target in settings.targets}
    lines = [outcome_line({"target": name, "said": "no backup yet.", **was}) for name, was in found.items()]
    if settings.wal:
        lines += [f"{name}: {said}" for name, said in last_minutes(settings).items()]
    return "\n".join([*lines, *([PENDING] if read(settings.journal) else [])])


def last_minutes(settings: Settings) -> dict[str, str]:
    """Say by target how its last minute fares."""
    found = {one["name"]: read(Path(settings.last_minute_folder) / f"{one['name']}.json") for one in settings.near}
    return {
        name: was.get("said", "The last minute is not saved: its service does not run.") for name, was in found.items()
    }
