"""Makes backups, and looks after those that are there."""

from __future__ import annotations

import inspect
import json
import secrets
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ansible.module_utils.poppyfield.backup import sqlite_copies
from ansible.module_utils.poppyfield.backup.backup_runs import (
    GLOBALS_NAME,
    ORDER_TAG,
    RECORD,
    RECORD_NAME,
    clock_problem,
    moment,
    told,
)
from ansible.module_utils.poppyfield.backup.content_queries import NUMBERS
from ansible.module_utils.poppyfield.backup.database_server import databases, globals_dump, in_postgis, postgresql
from ansible.module_utils.poppyfield.backup.map_server import deployed
from ansible.module_utils.poppyfield.backup.outcomes import is_disproven, is_new, outcome_line
from ansible.module_utils.poppyfield.backup.proving import proven_if_due
from ansible.module_utils.poppyfield.backup.repository import BackupRepository, Saved, repository_on
from ansible.module_utils.poppyfield.backup.restic_words import not_in_it
from ansible.module_utils.poppyfield.backup.restore_journal import take_back
from ansible.module_utils.poppyfield.backup.saved_content import (
    DatabaseSession,
    content_of_database,
    content_of_files,
    look_at_files,
    of_basemaps,
    roles_of,
)
from ansible.module_utils.poppyfield.backup.settings import AbsentError, BackupError, Json, Settings
from ansible.module_utils.poppyfield.backup.sql import connection
from ansible.module_utils.poppyfield.backup.targets import mounted
from ansible.module_utils.poppyfield.backup.this_pi import locked, read, write
from ansible.module_utils.poppyfield.backup.trial_container import remove_trial

COPIER = inspect.getsource(sqlite_copies)
"""In memory, since another release that is installed meanwhile takes this one's files away."""
CHECK_EVERY = timedelta(days=7)


def back_up(settings: Settings, target: Mapping[str, Any], checked: str, now: datetime, *, only_if_empty: bool) -> Json:
    """Make a backup on one target; give how it went. Raises BackupError."""
    started = time.monotonic()
    with mounted(settings, target) as place:
        repository = repository_on(settings, target, place)
        repository.open(make=True)
        try:
            earlier = repository.runs()
            if only_if_empty and earlier:
                # Otherwise the newest backup would soon be one of an empty map.
                raise BackupError(
                    f"there are backups of {settings.host} from before this card. Restore one (playbooks/restore.yml), "
                    f"or go on without: playbooks/backup.yml makes one now."
                )
            run, saved = save_all(settings, repository, now, order=max([0, *(run.order for run in earlier)]) + 1)
            outcome = {
                "state": "saved",
                "saved": now.isoformat(timespec="seconds"),
                "snapshot": run,
                "bytes_added": sum(part.bytes_added for part in saved),
                "bytes": sum(part.bytes_read for part in saved),
                "seconds": round(time.monotonic() - started, 1),
                "checked": checked,
            }
            outcome["said"] = (
                f"backup of {told(now)}, {outcome['bytes_added']} bytes added, {outcome['seconds']} seconds."
                f"{not_in_it([path for part in saved for path in part.unread])}{clock_problem(earlier, now)}"
            )
            return {**outcome, **look_after(repository, settings, outcome, now)}
        finally:
            repository.close()


def save_all(settings: Settings, repository: BackupRepository, now: datetime, order: int) -> tuple[str, list[Saved]]:
    """Save every part, and at last the record; give the run and its snapshots."""
    run = f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    record: Json = {
        "host": settings.host,
        "time": now.isoformat(timespec="seconds"),
        "run": run,
        "postgresql": postgresql(settings),
        "folders": settings.folders,
        "containers": deployed(settings),
    }
    saved = [repository.save_output(globals_dump(settings), GLOBALS_NAME, run, "globals")]
    record["globals"] = saved[-1].snapshot
    content: Json = {"roles": roles_of(settings), "databases": {}}
    record["databases"] = []
    for database in databases(settings):
        name = f"/{quote(database['name'], safe='')}.dump"
        dump, content["databases"][database["name"]] = save_database(settings, repository, database["name"], name, run)
        saved.append(dump)
        numbers = content["databases"][database["name"]].pop("numbers")
        record["databases"].append({**database, "file": name, "snapshot": dump.snapshot, "numbers": numbers})
    record["sqlite"] = []
    for path in sqlite_copies.sqlite_files(Path(settings.folders["config"])):
        copier = [sys.executable, "-I", "-c", COPIER, str(path)]
        name = f"/sqlite/{quote(str(path), safe='')}"
        saved.append(repository.save_output(copier, name, run, "sqlite", path.lstat()))
        record["sqlite"].append({"path": str(path), "file": name, "snapshot": saved[-1].snapshot})
    paths = [path for path in (*settings.folders.values(), *settings.also) if Path(path).exists()]
    left_out = of_basemaps(settings)
    seen = look_at_files(paths, left_out)
    saved.append(repository.save_paths(paths, left_out, run, "files"))
    record["files"] = {"snapshot": saved[-1].snapshot, "bytes": saved[-1].bytes_read}
    content["files"] = content_of_files(settings, seen, saved[-1].unread)
    record["content"] = content
    kind = f"{RECORD},{ORDER_TAG}{order}"
    saved.append(repository.save_bytes(json.dumps(record, indent=1).encode(), RECORD_NAME, run, kind))
    return run, saved


def save_database(
    settings: Settings, repository: BackupRepository, database: str, name: str, run: str
) -> tuple[Saved, Json]:
    """Save a database; give that, and what it held at the same moment."""
    session = DatabaseSession(settings, database)
    try:
        before = session.next_values()
        # Uncompressed, so that restic finds again what is unchanged; it compresses itself.
        words = ("pg_dump", "--format=custom", "--compress=0", "--username=postgres", f"--snapshot={session.snapshot}")
        dump = in_postgis(settings, *words, connection(database))
        saved = repository.save_output(dump, name, run, "database")
        return saved, {**content_of_database(session, before), "numbers": session.each(NUMBERS)}
    finally:
        session.close()


def look_after(repository: BackupRepository, settings: Settings, outcome: Json, now: datetime) -> Json:
    """Forget old backups and, once a week, look whether what is stored can be read; give what that changes."""
    try:
        repository.tidy(settings.keep, outcome["snapshot"])
        if outcome["checked"] and now - datetime.fromisoformat(outcome["checked"]) < CHECK_EVERY:
            return {}
        repository.check(now.isocalendar().week)
    except BackupError as error:
        return {"state": "failed", "said": f"{outcome['said']} But in looking after earlier ones: {error}"}
    return {"checked": now.isoformat(timespec="seconds")}


def attempt(settings: Settings, target: Mapping[str, Any], now: datetime, *, by_timer: bool) -> Json:
    """Make a backup on one target, and write down how it went."""
    path = settings.state_of(target)
    before = read(path)
    outcome = {**before, "target": target["name"], "at": now.isoformat(timespec="seconds")}
    last = f" The newest backup is of {told(moment(before['saved']))}." if before.get("saved") else ""
    try:
        only_if_empty = by_timer and is_new(settings, target)
        outcome |= back_up(settings, target, before.get("checked", ""), now, only_if_empty=only_if_empty)
        # When the first was made, and how much there was when one was last proven.
        outcome = {"since": outcome["saved"], "usual": outcome["bytes"], **outcome}
        settings.new_card.unlink(missing_ok=True)
    except AbsentError as error:
        outcome |= {"state": "absent", "said": f"{error}{last}"}
    except (BackupError, OSError) as error:
        outcome |= {"state": "failed", "said": f"{error}{last}"}
    # A stick that is missing for days is not written down every hour.
    if (outcome["state"], outcome["said"]) != ("absent", before.get("said")):
        write(path, outcome)
    return outcome


def run_backups(settings: Settings, *, by_timer: bool) -> int:
    """Make a backup on every target; give the exit status."""
    with locked(settings, wait=not by_timer) as alone:
        if not alone:
            print("Another backup, a restore or a proof is at work.")
            return 0
        if read(settings.journal).get("state") == "begun":
            print(f"A restore was cut off half-way. {take_back(settings)}")
        remove_trial(settings)
        outcomes = [attempt(settings, target, datetime.now(UTC), by_timer=by_timer) for target in settings.targets]
        if by_timer and settings.prove:
            outcomes = [proven_if_due(settings, outcome, datetime.now(UTC)) for outcome in outcomes]
    print("\n".join(outcome_line(outcome) for outcome in outcomes))
    # That a stick is not there is no error of the timer, which would be one every hour.
    bad = {"failed"} if by_timer else {"failed", "absent"}
    return int(any(outcome["state"] in bad or (by_timer and is_disproven(outcome)) for outcome in outcomes))
