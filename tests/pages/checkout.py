"""A copy of this checkout, as somebody has it who begins: with no fleet, and nothing built."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.documented import ROOT

NOT_TAKEN = ("build", ".git", "node_modules", "__pycache__", ".*_cache", ".ansible")
FLEET = "inventory/fleet"


def copied(to: Path) -> Path:
    """Copy it."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        # A role has that name, too.
        fleet = {name for name in names if Path(folder, name) == ROOT / FLEET}
        return shutil.ignore_patterns(*NOT_TAKEN)(folder, names) | fleet

    shutil.copytree(ROOT, to, ignore=left_out, symlinks=True)
    return to
