"""What a benchmark leaves: every figure in a file, and a table of them for whoever started it."""

from __future__ import annotations

import json
from pathlib import Path

from workshop.bench.contenders import Json
from workshop.bench.playbook import ROOT


def write(path: Path, report: Json, shown: str) -> None:
    """Write the figures, and print their table in Markdown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"{shown}\n\nEvery figure: {path.relative_to(ROOT)}")
