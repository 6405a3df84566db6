"""The settings of a Pi's backup, as the module backup_service writes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PASSWORD = "the password of the repository"
FOLDERS = ("projects", "config", "secrets")


def described(
    folder: Path, *, data: Path, postgis: str, target: Mapping[str, str], state: Path | None = None, **others: Any
) -> dict[str, Any]:
    """Give them, with the password's file; what a Pi keeps in memory is in `folder`, and its state unless told."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    (folder / "password").chmod(0o600)
    return {
        "host": "pi-orchard",
        "targets": [dict(target)],
        "keep": {"hourly": 2},
        "folders": {name: str(folder / name) for name in FOLDERS},
        "also": [],
        "data_folder": str(data),
        "postgis": postgis,
        "lizmap": "none-of-this-name",
        "password_file": str(folder / "password"),
        "run_folder": str(folder / "run"),
        "state_folder": str(state or folder / "state"),
        **others,
    }
