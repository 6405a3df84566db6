"""Finds the backup that is meant on a target, and offers those from before this card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ansible.module_utils.poppyfield.backup.backup_runs import RECORD_NAME, chosen, told
from ansible.module_utils.poppyfield.backup.outcomes import is_new
from ansible.module_utils.poppyfield.backup.repository import BackupRepository, repository_on
from ansible.module_utils.poppyfield.backup.settings import BackupError, Json, Settings
from ansible.module_utils.poppyfield.backup.targets import mounted
from ansible.module_utils.poppyfield.backup.this_pi import locked, write


@contextmanager
def opened(settings: Settings, name: str) -> Iterator[BackupRepository]:
    """Give the repository on a target, to read from it."""
    target = settings.target(name)
    with mounted(settings, target) as place:
        repository = repository_on(settings, target, place)
        repository.open()
        try:
            yield repository
        finally:
            repository.close()


def find(settings: Settings, name: str, when: str) -> Json:
    """Give the backup that a restore would take, for a person to agree to."""
    with locked(settings, wait=True):
        return found_on(settings, name, when)


def found_on(settings: Settings, name: str, when: str) -> Json:
    """Give the name of a backup and what it is; whoever calls this holds the lock."""
    with opened(settings, name) as repository:
        run = chosen(repository.runs(), when)
        record = json.loads(repository.dump(run.record, RECORD_NAME))
    held = ", ".join(database["name"] for database in record["databases"]) or "no database"
    return {
        "run": run.name,
        "time": run.time.isoformat(),
        "said": f"the backup of {settings.host} of {told(run.time)} on {name}, with {held}",
    }


def offers(settings: Settings) -> list[Json]:
    """Give the newest backup on each target that is from before this card; none while a backup is at work."""
    found = []
    with locked(settings, wait=False) as alone:
        for name in [target["name"] for target in settings.targets if alone and is_new(settings, target)]:
            # A target that is not there, or holds no backup, has nothing to offer.
            with suppress(BackupError):
                found.append({"target": name, "said": found_on(settings, name, "latest")["said"]})
    return found


def decline(settings: Settings) -> str:
    """Go on without the backups from before this card: they are offered no more, and the timer adds its own."""
    write(settings.restored, {"run": ""})
    settings.new_card.unlink(missing_ok=True)
    return "The backups from before this card stay where they are, and are offered no more."


def record_of(repository: BackupRepository, name: str) -> Json:
    """Give the record of a backup."""
    for run in repository.runs():
        if run.name == name:
            found: Json = json.loads(repository.dump(run.record, RECORD_NAME))
            return found
    raise BackupError(f"There is no complete backup {name}.")
