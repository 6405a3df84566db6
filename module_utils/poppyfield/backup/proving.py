"""Restores backups for trial, and compares what is restored with what was saved."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup.backup_runs import GLOBALS_NAME, RECORD_NAME, chosen, told
from ansible.module_utils.poppyfield.backup.comparison import differences, faults_of_maps, objects_of
from ansible.module_utils.poppyfield.backup.database_server import in_postgis, psql
from ansible.module_utils.poppyfield.backup.map_server import is_there, password_in
from ansible.module_utils.poppyfield.backup.outcomes import PROOF, is_due
from ansible.module_utils.poppyfield.backup.repository import BackupRepository, CopiedRepository
from ansible.module_utils.poppyfield.backup.saved_content import (
    DatabaseSession,
    content_of_database,
    of_basemaps,
    roles_of,
)
from ansible.module_utils.poppyfield.backup.settings import AbsentError, BackupError, Json, NotTriedError, Settings
from ansible.module_utils.poppyfield.backup.sql import connection
from ansible.module_utils.poppyfield.backup.targets import mounted
from ansible.module_utils.poppyfield.backup.this_pi import FOLDER, TRIAL_MAPS, do, is_installed, locked, read, write
from ansible.module_utils.poppyfield.backup.trial_container import PROOF_LABEL, remove_trial, trial

MOST_DIFFERENCES = 20
"""Of a proof, that are written down."""


def proven_if_due(settings: Settings, outcome: Json, now: datetime) -> Json:
    """Restore for trial the backup that was just made, where that is due; give how it all went."""
    target = settings.target(outcome["target"])
    if outcome["state"] != "saved" or target not in settings.near or not is_due(outcome, now):
        return outcome
    return attempt_proof(settings, target, now)


def prove_backups(settings: Settings, name: str) -> int:
    """Restore for trial the newest backup on one target or all; give the exit status."""
    targets = [settings.target(name)] if name else settings.targets
    with locked(settings, wait=True):
        remove_trial(settings)
        outcomes = [attempt_proof(settings, target, datetime.now(UTC)) for target in targets]
    for outcome in outcomes:
        print("\n".join([f"{outcome['target']}: {outcome[PROOF]['said']}", *outcome[PROOF].get("differences", [])]))
    return int(any(outcome[PROOF]["result"] != "equal" for outcome in outcomes))


def attempt_proof(settings: Settings, target: Mapping[str, Any], now: datetime) -> Json:
    """Restore for trial the newest backup on a target, and write down what came of it."""
    before = read(settings.state_of(target))
    proof: Json = {"at": now.isoformat(timespec="seconds")}
    try:
        proof |= prove(settings, target, now)
    except (AbsentError, NotTriedError) as error:
        proof |= {"result": "not tried", "said": f"It could not be restored for trial: {error}"}
    except (BackupError, OSError) as error:
        proof |= {"result": "failed", "said": f"Restored for trial on {told(now)}, and that failed: {error}"}
    after = {"target": target["name"], "said": "no backup of this card yet.", **before, PROOF: proof}
    if proof["result"] == "equal":
        after |= {"proven": proof["at"], "usual": before.get("bytes", 0)}
    write(settings.state_of(target), after)
    return after


def prove(settings: Settings, target: Mapping[str, Any], now: datetime) -> Json:
    """Restore the newest backup on a target for trial, and compare its content with what was recorded with it."""
    if target not in settings.near:
        raise NotTriedError("there is no room for it on another machine.")
    started = time.monotonic()
    with mounted(settings, target) as place:
        repository = BackupRepository(settings, place)
        repository.open()
        try:
            run = chosen(repository.runs(), "latest")
            record = json.loads(repository.dump(run.record, RECORD_NAME))
            if "content" not in record:
                raise NotTriedError(
                    f"an earlier release made the backup of {told(run.time)}, and did not record what it holds. "
                    f"Make one now."
                )
            content = restored_content(settings, repository, record, place)
            said = differences(record["content"], content) + faults_of_maps(content["maps"])
            proof = {
                "run": run.name,
                "result": "different" if said else "equal",
                "objects": {**objects_of(record["content"]), "maps": len(content["maps"])},
                "differences": said[:MOST_DIFFERENCES],
                "seconds": round(time.monotonic() - started, 1),
            }
            proof["said"] = verdict(proof, len(said), told(run.time), told(now))
            # On the target as well, and gone with the backup.
            repository.save_bytes(json.dumps(proof).encode(), f"/{PROOF}.json", run.name, f"{PROOF}={proof['result']}")
        finally:
            repository.close()
    return proof


def prove_copy(folder: Path, host: str, password_file: Path, image: str, scratch: Path) -> int:
    """Restore for trial on this machine the newest backup of a Pi in a folder; give the exit status."""
    now = datetime.now(UTC)
    image = image or own_image()
    with tempfile.TemporaryDirectory(prefix="poppyfield-proof-", dir=scratch) as made:
        place = Path(made)
        uid = int(do(["docker", "run", "--rm", "--network", "none", "--entrypoint", "id", image, "-u", "postgres"]))
        (place / "poppyfield").mkdir()
        # For the owner of the data.
        (place / "model").mkdir()
        os.chown(place / "model", uid, uid)
        settings = Settings(
            host=host,
            targets=[],
            keep={},
            folders={},
            also=[],
            data_folder=str(place / "model"),
            postgis=f"poppyfield-{host}",
            lizmap="",
            image=image,
            password_file=str(password_file),
            run_folder=str(place / "run"),
        )
        repository = CopiedRepository(settings, place, folder)
        repository.open(unlock=False)
        run = chosen(repository.runs(), "latest")
        record = json.loads(repository.dump(run.record, RECORD_NAME))
        if "content" not in record:
            raise BackupError(
                f"an earlier release made the backup of {told(run.time)}, and recorded nothing to compare."
            )
        said = differences(record["content"], restored_content(settings, repository, record, place))
    proof = {"objects": objects_of(record["content"]), "differences": said[:MOST_DIFFERENCES]}
    print("\n".join([f"{host}: {verdict(proof, len(said), told(run.time), told(now))}", *proof["differences"]]))
    return int(bool(said))


def own_image() -> str:
    """Give the newest image of the database that is of this machine's own architecture."""
    kind = do(["docker", "version", "--format", "{{.Server.Arch}}"]).strip()
    for name in do(["docker", "images", "--quiet", "--filter", "reference=poppyfield/postgis"]).split():
        if do(["docker", "inspect", "--format", "{{.Architecture}}", name]).strip() == kind:
            return name
    raise BackupError(f"this machine has no image poppyfield/postgis for {kind}: name one.")


def verdict(proof: Mapping[str, Any], wrong: int, made: str, now: str) -> str:
    """Say what came of a proof."""
    if wrong:
        first = proof["differences"][0]
        return f"The backup of {made} was restored for trial on {now}, and is not equal ({wrong}): {first}"
    counted = ", ".join(f"{count} {name}" for name, count in proof["objects"].items())
    return f"The backup of {made} was restored for trial on {now}, and is equal: {counted}."


def restored_content(settings: Settings, repository: BackupRepository, record: Json, place: Path) -> Json:
    """Restore a backup into a container that is thrown away; give what it holds then."""
    files = repository.files_in(record["files"]["snapshot"])
    with trial(settings, record, place) as there:
        psql(there, repository.dump(record["globals"], GLOBALS_NAME).decode(), tolerant=True)
        found: Json = {"roles": roles_of(there), "databases": {}, "files": files}
        for database in record["databases"]:
            consumer = in_postgis(
                there, "pg_restore", "--create", "--exit-on-error", "--username=postgres", connection("postgres")
            )
            repository.pour(database["snapshot"], database["file"], consumer)
            session = DatabaseSession(there, database["name"])
            try:
                found["databases"][database["name"]] = content_of_database(session, session.next_values())
            finally:
                session.close()
        for entry in record["sqlite"]:
            check_sqlite(repository.dump(entry["snapshot"], entry["file"]), entry["path"])
        found["maps"] = maps_drawn(settings, repository, record, Path(there.data_folder).parent)
    return found


def maps_drawn(settings: Settings, repository: BackupRepository, record: Json, scratch: Path) -> dict[str, str]:
    """Draw each map from what was restored; give by its name why it does not draw, empty where it does.

    The projects are restored into `scratch`. Raises NotTriedError where none can be drawn here.
    """
    if not is_installed(TRIAL_MAPS) or not is_there(settings.lizmap):
        return {}
    saved, snapshot = record["folders"]["projects"], record["files"]["snapshot"]
    repository.unpack(snapshot, saved, scratch)
    projects, basemaps = scratch / saved.lstrip("/"), Path(of_basemaps(settings)[0])
    projects.mkdir(parents=True, exist_ok=True)
    if basemaps.is_dir():
        (projects / basemaps.name).mkdir(exist_ok=True)
    asked = {
        "postgis": settings.trial.postgis,
        "map_server": settings.lizmap,
        "name": settings.trial.lizmap,
        "label": f"{PROOF_LABEL}=true",
        "projects": str(projects),
        "basemaps": str(basemaps) if basemaps.is_dir() else "",
        "password": repository.dump(snapshot, password_in(settings, record)).decode().strip(),
    }
    command = [sys.executable, "-I", "-B", str(FOLDER), TRIAL_MAPS]
    done = subprocess.run(command, input=json.dumps(asked).encode(), capture_output=True, check=False)
    if done.returncode:
        raise NotTriedError(f"no map could be drawn from it: {' '.join(done.stderr.decode().split())[-300:]}")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def check_sqlite(content: bytes, path: str) -> None:
    """Raise BackupError where a database of SQLite is damaged."""
    with closing(sqlite3.connect(":memory:")) as database:
        try:
            database.deserialize(content)
            (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            said = str(error)
    if said != "ok":
        raise BackupError(f"{path} is damaged: {said}.")
