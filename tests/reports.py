"""Reports that several tests write together."""

from __future__ import annotations

import json
from pathlib import Path

REPORTS = Path(__file__).resolve().parents[1] / "build" / "reports"
HOUSE = REPORTS / "house.json"
RESTORE = REPORTS / "restore.json"


def add_to_report(path: Path = HOUSE, **figures: object) -> None:
    """Add figures to a report."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**before, **figures}, indent=2, sort_keys=True) + "\n", "utf-8")
