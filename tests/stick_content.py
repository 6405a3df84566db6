"""What is on a stick with backups, looked into on the laptop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup.backup_runs import RECORD_NAME
from ansible.module_utils.poppyfield.backup.repository import BackupRepository
from ansible.module_utils.poppyfield.backup.settings import Settings

from tests.power_cuts.recorded_disk import mounted


@contextmanager
def repository(stick: Path, password_file: Path, place: Path, host: str = "demo-pi") -> Iterator[BackupRepository]:
    """Open the backups of a Pi on a stick, a device or the image of one, that is mounted at a place meanwhile."""
    settings = Settings(
        host=host,
        targets=[],
        keep={},
        folders={},
        also=[],
        data_folder="",
        postgis="",
        lizmap="",
        password_file=str(password_file),
    )
    with mounted(stick, place) as folder:
        found = BackupRepository(settings, folder)
        found.open()
        yield found
        found.close()


def newest(found: BackupRepository) -> dict[str, Any]:
    """Give what the newest backup held, by its record."""
    record = json.loads(found.dump(found.runs()[-1].record, RECORD_NAME))
    content: dict[str, Any] = record["content"]
    return content
