"""What a restore changes, written down before: what was set aside is taken back, wherever that was cut off, or kept."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup.database_server import databases, globals_dump, psql
from ansible.module_utils.poppyfield.backup.map_server import start, stop
from ansible.module_utils.poppyfield.backup.settings import BackupError, Json, Settings
from ansible.module_utils.poppyfield.backup.sql import set_aside, taking_back
from ansible.module_utils.poppyfield.backup.this_pi import do, read, sync, write

STAGING = ".restoring-"
"""How the folders begin into which a backup is unpacked, beside those whose place it is to take."""


def clear(settings: Settings) -> None:
    """Remove what was unpacked and not put in place."""
    for target in settings.folders.values():
        for beside in Path(target).parent.glob(f"{STAGING}*"):
            shutil.rmtree(beside)


def begin(settings: Settings, record: Mapping[str, Any], staged: Mapping[str, str], stamp: str) -> Json:
    """Write down all that a restore will change, before it changes it."""
    present = {database["name"] for database in databases(settings)}
    journal = {
        "state": "begun",
        "stamp": stamp,
        "run": record["run"],
        "databases": {database["name"]: database["name"] in present for database in record["databases"]},
        "folders": dict(staged),
        "replaced": [target for target in staged if Path(target).exists()],
        # Roles get the passwords of the backup, and these again where it is taken back.
        "globals": do(globals_dump(settings)),
    }
    write(settings.journal, journal)
    return journal


def take_back(settings: Settings) -> str:
    """Put back what a restore has set aside, wherever it was cut off; say what became of it."""
    journal = read(settings.journal)
    if not journal:
        return "There was nothing to take back."
    stamp = journal["stamp"]
    stop(settings)
    psql(settings, taking_back(journal["databases"], stamp))
    psql(settings, journal["globals"], tolerant=True)
    if back := journal.get("back"):
        psql(settings, back["sql"], back["database"])
    # A release before this one did not write down what was there.
    replaced = journal["replaced"] if "replaced" in journal else journal["folders"]
    for target, new in journal["folders"].items():
        aside = {what: folder_aside(journal, target, what) for what in ("before", "failed")}
        put_back(Path(target), Path(new), **aside, was_there=target in replaced)
    said = "Everything is again as it was; what was restored is called failed now, and can be removed."
    try:
        start(settings)
    except BackupError as error:
        said += f" But {error}"
    clear(settings)
    if not journal.get("part"):
        settings.restored.unlink(missing_ok=True)
    close_journal(settings)
    return said


def folder_aside(journal: Mapping[str, Any], target: str, what: str) -> Path:
    """Give where a folder lies while another one has its place: beside it, or where the journal says."""
    return Path(f"{journal.get('beside', {}).get(target, target)}.{what}-{journal['stamp']}")


def put_back(target: Path, new: Path, *, before: Path, failed: Path, was_there: bool) -> None:
    """Give a folder its name again. One that was there, and is not set aside, is as it was, or was put back before."""
    if was_there and not before.exists():
        return
    # While the new one still lies beside, it has not taken the name.
    if target.exists() and not new.exists():
        target.rename(failed)
    if before.exists():
        before.rename(target)
    sync(target.parent)


def names_set_aside(journal: Mapping[str, Any]) -> list[str]:
    """Give the names of what was set aside."""
    stamp = journal["stamp"]
    folders = [str(folder_aside(journal, target, "before")) for target in journal["folders"]]
    aside = [set_aside(name, "before", stamp) for name, was_there in journal["databases"].items() if was_there]
    names = [*(f"the database {name}" for name in aside), *journal.get("aside", [])]
    return [*names, *(folder for folder in folders if Path(folder).exists())]


def finish(settings: Settings) -> str:
    """Keep what was restored."""
    journal = read(settings.journal)
    if not journal:
        return "There was nothing to finish."
    close_journal(settings)
    settings.new_card.unlink(missing_ok=True)
    return f"What was there before is kept: {', '.join(names_set_aside(journal)) or 'nothing'}."


def close_journal(settings: Settings) -> None:
    """Let nothing be taken back any more, after a loss of power neither."""
    settings.journal.unlink()
    sync(settings.journal.parent)
