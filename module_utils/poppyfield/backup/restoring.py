"""Puts a backup in place, or one of its databases beside those that are served."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from ansible.module_utils.poppyfield.backup.backup_runs import GLOBALS_NAME
from ansible.module_utils.poppyfield.backup.database_server import databases, in_postgis, psql
from ansible.module_utils.poppyfield.backup.finding import opened, record_of
from ansible.module_utils.poppyfield.backup.map_server import start, stop
from ansible.module_utils.poppyfield.backup.repository import BackupRepository
from ansible.module_utils.poppyfield.backup.restore_journal import (
    STAGING,
    begin,
    clear,
    folder_aside,
    names_set_aside,
    take_back,
)
from ansible.module_utils.poppyfield.backup.room import check_disks, check_room, check_version
from ansible.module_utils.poppyfield.backup.settings import BackupError, Json, Settings
from ansible.module_utils.poppyfield.backup.sql import connection, identifier, literal, set_aside, setting_aside
from ansible.module_utils.poppyfield.backup.this_pi import do, locked, read, sync, write

SET_NUMBER = "SELECT pg_catalog.setval({name}, {value}, {called}) WHERE pg_catalog.to_regclass({name}) IS NOT NULL;\n"


def restore(settings: Settings, name: str, run: str) -> Json:
    """Put a backup in place; what was there is set aside, and comes back where this fails. Give what was set aside."""
    with locked(settings, wait=True), opened(settings, name) as repository:
        return put_in_place(settings, repository, run)


class DatabaseSource(Protocol):
    """Where the databases come from that a restore puts in place."""

    @property
    def databases(self) -> list[Json]:
        """Give them, each with its `name` and `bytes`."""

    def globals(self) -> str:
        """Give the script that makes the roles."""

    def pour(self, database: Mapping[str, Any], consumer: Sequence[str]) -> None:
        """Give a database's dump to a command. Raises BackupError unless both ended well."""

    def numbers(self, database: Mapping[str, Any]) -> dict[str, Any]:
        """Give by name where its extensions' sequences are: their last value, and whether that was given out."""


@dataclass(frozen=True)
class SavedDatabases:
    """The databases of a backup."""

    repository: BackupRepository
    record: Json

    @property
    def databases(self) -> list[Json]:
        """Give them, as they were recorded."""
        found: list[Json] = self.record["databases"]
        return found

    def globals(self) -> str:
        """Give the script that makes the roles."""
        return self.repository.dump(self.record["globals"], GLOBALS_NAME).decode()

    def pour(self, database: Mapping[str, Any], consumer: Sequence[str]) -> None:
        """Give a database's dump to a command."""
        self.repository.pour(database["snapshot"], database["file"], consumer)

    def numbers(self, database: Mapping[str, Any]) -> dict[str, Any]:
        """Give where its extensions' sequences are; earlier releases did not record it."""
        return dict(database.get("numbers") or {})


def put_in_place(
    settings: Settings, repository: BackupRepository, run: str, source: DatabaseSource | None = None
) -> Json:
    """Put the folders of a backup in place, and its databases or those of another source; the lock is held."""
    if read(settings.journal).get("state") == "begun":
        take_back(settings)
    record = record_of(repository, run)
    source = source or SavedDatabases(repository, record)
    record = {**record, "databases": source.databases}
    check_room(settings, record)
    stamp = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
    for database in record["databases"]:
        set_aside(database["name"], "before", stamp)
    try:
        journal = begin(settings, record, stage(settings, repository, record), stamp)
    except BaseException:
        clear(settings)
        raise
    try:
        stop(settings)
        put_databases(settings, source, record["databases"], stamp)
        put_folders(journal)
        start(settings)
    # Whatever it was, half of a backup must not be served.
    except (Exception, KeyboardInterrupt) as error:
        raise BackupError(f"{error or type(error).__name__} {take_back(settings)}") from error
    write(settings.journal, {**journal, "state": "switched"})
    write(settings.restored, {"run": run})
    clear(settings)
    return {"set_aside": names_set_aside(journal)}


def stage(settings: Settings, repository: BackupRepository, record: Mapping[str, Any]) -> dict[str, str]:
    """Restore the folders beside those in place; give by folder where its new content lies."""
    clear(settings)
    staged: dict[str, str] = {}
    for name, target in settings.folders.items():
        saved = record["folders"][name]
        beside = Path(target).parent / f"{STAGING}{name}"
        beside.mkdir(mode=0o700, parents=True)
        repository.unpack(record["files"]["snapshot"], saved, beside)
        new = beside / saved.lstrip("/")
        if new.is_dir():
            staged[target] = str(new)
    for entry in record["sqlite"]:
        put_sqlite(settings, repository, record, staged, entry)
    # restic does not: after a loss of power, files that have their place would be full of zeros.
    for new in staged.values():
        do(["sync", "--file-system", new])
    return staged


def put_sqlite(
    settings: Settings, repository: BackupRepository, record: Mapping[str, Any], staged: Mapping[str, str], entry: Json
) -> None:
    """Put a database that was copied at one moment in place of the file that was copied while it may have changed."""
    root = Path(staged[settings.folders["config"]]).resolve()
    path = root / Path(entry["path"]).relative_to(record["folders"]["config"])
    # The map server, to which the folder belonged, may have made a link of it.
    if not path.parent.resolve().is_relative_to(root) or not path.is_file() or path.is_symlink():
        raise BackupError(f"{entry['path']} is no file in the backup. Nothing was changed.")
    owned = path.stat()
    path.unlink()
    for ending in ("-journal", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        os.fchown(stream.fileno(), owned.st_uid, owned.st_gid)
        os.fchmod(stream.fileno(), stat.S_IMODE(owned.st_mode))
        stream.write(repository.dump(entry["snapshot"], entry["file"]))
        os.fsync(stream.fileno())


def put_databases(settings: Settings, source: DatabaseSource, wanted: Sequence[Json], stamp: str) -> None:
    """Set the databases aside, all or none, and make those of the source."""
    psql(settings, setting_aside((database["name"] for database in wanted), stamp))
    psql(settings, source.globals(), tolerant=True)
    for database in wanted:
        consumer = in_postgis(
            settings, "pg_restore", "--create", "--exit-on-error", "--username=postgres", connection("postgres")
        )
        source.pour(database, consumer)
        carry_numbers(settings, database["name"], source.numbers(database))


def carry_numbers(settings: Settings, database: str, numbers: Mapping[str, Sequence[Any]]) -> None:
    """Let the sequences of extensions in a database go on where they were."""
    script = "".join(
        SET_NUMBER.format(name=literal(name), value=int(value), called=str(called).lower())
        for name, (value, called) in numbers.items()
    )
    if script:
        psql(settings, script, database)


def put_folders(journal: Mapping[str, Any]) -> None:
    """Set the folders aside, and give their names to those of the backup."""
    for target, new in journal["folders"].items():
        before = folder_aside(journal, target, "before")
        if Path(target).exists():
            Path(target).rename(before)
        Path(new).rename(target)
        sync(Path(target).parent)


def restore_beside(settings: Settings, name: str, run: str, database: str, new: str) -> None:
    """Restore one database under another name, beside those that are served."""
    with locked(settings, wait=True), opened(settings, name) as repository:
        record = record_of(repository, run)
        entry = next((one for one in record["databases"] if one["name"] == database), None)
        if entry is None:
            held = ", ".join(one["name"] for one in record["databases"])
            raise BackupError(f"There is no database {database} in that backup; it has {held}.")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,62}", new):
            raise BackupError(f"{new!r} can't be the name of a database: letters, digits, _ and -, at most 63.")
        if any(one["name"] == new for one in databases(settings)):
            remedy = f"sudo docker exec -u postgres {settings.postgis} dropdb {new}"
            raise BackupError(f"There is a database {new} already. Choose another name, or remove it: {remedy}")
        check_version(settings, record)
        check_disks((settings.data_folder, Path(settings.data_folder), entry["bytes"]))
        psql(settings, f"CREATE DATABASE {identifier(new)} TEMPLATE template0;")
        try:
            fill_beside(settings, repository, entry, new)
        except BaseException:
            psql(settings, f"DROP DATABASE {identifier(new)};")
            raise


def fill_beside(settings: Settings, repository: BackupRepository, entry: Mapping[str, Any], new: str) -> None:
    """Fill a database from a backup; it gets the owner of the one that is served."""
    psql(settings, f"REVOKE ALL ON DATABASE {identifier(new)} FROM PUBLIC;")
    owned = f"SELECT format('ALTER DATABASE %I OWNER TO %I', {literal(new)}, pg_get_userbyid(datdba))"
    psql(settings, f"{owned} FROM pg_database WHERE datname = {literal(entry['name'])} \\gexec\n")
    consumer = in_postgis(settings, "pg_restore", "--exit-on-error", "--username=postgres", connection(new))
    repository.pour(entry["snapshot"], entry["file"], consumer)
    carry_numbers(settings, new, entry.get("numbers") or {})
