"""Brings a host's database to another major version of PostgreSQL, and back: the program that does it there.

The old server is stopped and dumped from a container that nobody reaches, into a new cluster beside the data. Only
when that is equal by content the two clusters change places, in one system call; the old one is kept. Each step is
written down when it is on the disk. Whatever ends the program, `settle` puts the old cluster back into service, or,
after the decision, brings the new one into it: systemd asks for that after a kill, and when the host starts.

Leans on modules of the program of the backup, whose comparison this is. `upgrade_service` installs it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup import comparison
from ansible.module_utils.poppyfield.backup.comparison import objects_of
from ansible.module_utils.poppyfield.backup.content_queries import NUMBERS
from ansible.module_utils.poppyfield.backup.database_server import globals_dump, in_postgis, psql
from ansible.module_utils.poppyfield.backup.map_server import is_there, start, stop
from ansible.module_utils.poppyfield.backup.outcomes import PENDING
from ansible.module_utils.poppyfield.backup.restic_words import MOST_NAMED
from ansible.module_utils.poppyfield.backup.restoring import carry_numbers
from ansible.module_utils.poppyfield.backup.room import check_disks
from ansible.module_utils.poppyfield.backup.saved_content import DatabaseSession, content_of_database, roles_of
from ansible.module_utils.poppyfield.backup.settings import BackupError, Json, Settings
from ansible.module_utils.poppyfield.backup.sql import connection
from ansible.module_utils.poppyfield.backup.streams import piped
from ansible.module_utils.poppyfield.backup.this_pi import do, locked, read, sync, told_in_a_sentence, write
from ansible.module_utils.poppyfield.backup.trial_container import folder_like, trial_command, wait_for
from ansible.module_utils.poppyfield.containers.apply import ApplyError, container_lock
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.host import folder_exchange
from ansible.module_utils.poppyfield.postgis import major_upgrade
from ansible.module_utils.poppyfield.postgis.major_upgrade import CONTENT, DONE, ORDER, OUTCOME
from ansible.module_utils.poppyfield.postgis.postgres import VERSION_LABEL
from ansible.module_utils.poppyfield.postgis.upgrade_service import boot_id

LOCK_SECONDS = 600
STOP_SECONDS = "120"
"""That a server has for a clean shutdown."""
MADE_FIRST = ("template1", "postgres")
"""Databases that a new cluster has already, and that are made again as the old one had them."""
LOOK = """
SELECT json_build_object(
    'version', current_setting('server_version_num')::int / 10000,
    'bytes', (SELECT sum(pg_database_size(oid)) FROM pg_database),
    'databases', (SELECT json_agg(datname ORDER BY datname) FROM pg_database WHERE datallowconn),
    'closed', (SELECT coalesce(json_agg(datname ORDER BY datname), '[]') FROM pg_database
        WHERE NOT datallowconn AND datname <> 'template0'),
    'tablespaces', (SELECT coalesce(json_agg(spcname ORDER BY spcname), '[]') FROM pg_tablespace
        WHERE spcname !~ '^pg_'));
"""
AVAILABLE = "SELECT json_agg(name) FROM pg_available_extensions;"
PROPERTIES = """
SELECT json_build_object('encoding', pg_encoding_to_char(encoding), 'collation', datcollate, 'character type', datctype,
    'provider of the collation', datlocprovider, 'connection limit', datconnlimit, 'being a template', datistemplate,
    'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'))
FROM pg_database d WHERE datname = current_database();
"""
EXTENSIONS = "SELECT coalesce(json_object_agg(extname, extversion), '{}') FROM pg_extension;"
COUNTED = """
WITH own AS (
    SELECT c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e'))
SELECT json_build_object(
    'views', (SELECT count(*) FROM own WHERE relkind IN ('v', 'm')),
    'indexes', (SELECT count(*) FROM pg_index JOIN own ON own.oid = indrelid WHERE indisvalid),
    'constraints', (SELECT count(*) FROM pg_constraint JOIN own ON own.oid = conrelid
        WHERE contype IN ('c', 'f', 'p', 'u', 'x')),
    'triggers', (SELECT count(*) FROM pg_trigger JOIN own ON own.oid = tgrelid WHERE NOT tgisinternal),
    'rules', (SELECT count(*) FROM pg_rewrite JOIN own ON own.oid = ev_class),
    'policies', (SELECT count(*) FROM pg_policy JOIN own ON own.oid = polrelid));
"""
"""Of what has neither rows nor rights of its own."""
OF_EXTENSIONS = """
SELECT coalesce(json_agg(what), '[]') FROM (
    SELECT CASE c.relkind WHEN 'S' THEN 'sequence ' ELSE 'table ' END || c.oid::regclass FROM pg_class c
    JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e'
    UNION ALL
    SELECT 'function ' || p.oid::regprocedure FROM pg_proc p
    JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    WHERE p.proacl IS NOT NULL
) objects (what);
"""
GONE_FIRST = "ALTER DATABASE {name} IS_TEMPLATE false;\nDROP DATABASE {name};\n"


@dataclass(frozen=True)
class Order:
    """What is asked for, and where things are."""

    what: str
    """`upgrade`, `rehearse`, `back` or `forget`."""
    data_folder: str
    postgis: str
    lizmap: str
    image: str = ""
    """The new image."""
    body: Json = field(default_factory=dict)
    """Docker's request that makes the new container."""
    old_body: Json = field(default_factory=dict)
    """That which makes the old one again, for a rollback; without it the old one is kept as it is.

    docker-compose would take the old one, which it knows, for a second container of its service.
    """
    healthy_timeout: int = 600
    fresh: bool = False
    """Whether it was not begun yet."""
    boot: str = ""
    """Since which start of the host it is there: another one begins nothing."""
    state_folder: str = major_upgrade.STATE_FOLDER
    run_folder: str = "/run/poppyfield-backup"
    backup_state_folder: str = "/var/lib/poppyfield/backup"

    @property
    def settings(self) -> Settings:
        """Give what the program of the backup is to know of this host."""
        return Settings(
            host="",
            targets=[],
            keep={},
            folders={},
            also=[],
            data_folder=self.data_folder,
            postgis=self.postgis,
            lizmap=self.lizmap,
            healthy_timeout=self.healthy_timeout,
            run_folder=self.run_folder,
            state_folder=self.backup_state_folder,
        )

    @property
    def old(self) -> Settings:
        """The same with the container in which the old cluster is dumped."""
        return replace(self.settings, postgis=f"{self.postgis}-upgrade-old")

    @property
    def new(self) -> Settings:
        """The same with the container in which the new cluster is filled."""
        return replace(self.settings, postgis=f"{self.postgis}-upgrade-new")

    @property
    def candidate(self) -> str:
        """Give the name of the new container until it serves."""
        return f"{self.postgis}-candidate"

    @property
    def set_aside(self) -> str:
        """Give the name of the old container afterwards."""
        return f"{self.postgis}{major_upgrade.SET_ASIDE}"

    @property
    def staging(self) -> Path:
        """Give the folder in which the new cluster is made."""
        return Path(self.data_folder).parent / major_upgrade.STAGING

    def file(self, name: str) -> Path:
        """Give a file of the state."""
        return Path(self.state_folder) / name


# What is on this host -------------------------------------------------------------------------------------------------


def inspected(container: str) -> Json:
    """Give what Docker says of a container; nothing where there is none."""
    with suppress(BackupError):
        found: Json = json.loads(do(["docker", "inspect", "--type", "container", container]))[0]
        return found
    return {}


def is_running(container: str) -> bool:
    """Tell whether a container runs."""
    return bool(inspected(container).get("State", {}).get("Running"))


def cluster_version(data: Path) -> int:
    """Give the major version of the cluster in a data folder; 0 where there is none."""
    path = data / "cluster" / "PG_VERSION"
    return int(path.read_text("ascii")) if path.is_file() else 0


def image_version(image: str) -> int:
    """Give the major version of the PostgreSQL in an image. Raises BackupError where it does not tell."""
    label = f'{{{{index .Config.Labels "{VERSION_LABEL}"}}}}'
    said = do(["docker", "image", "inspect", "--format", label, image]).strip()
    if not said.isdecimal():
        raise BackupError(f"The image {image} does not tell which PostgreSQL it holds.")
    return int(said)


def control_digest(data: Path) -> str:
    """Give what changes as soon as a server has worked on a cluster."""
    return hashlib.sha256((data / "cluster" / "global" / "pg_control").read_bytes()).hexdigest()


def exchange(one: Path, other: Path) -> None:
    """Let two folders change places, at once. Raises OSError where the file system can't."""
    folder_exchange.exchange(one, other)
    for folder in (one.parent, other.parent):
        sync(folder)


def remove(*names: str) -> None:
    """Remove containers, where they are."""
    for name in names:
        if inspected(name):
            do(["docker", "rm", "--force", "--volumes", name])


def removed_folder(folder: Path) -> None:
    """Remove a copy of ours, and let that survive a loss of power."""
    if folder.exists():
        shutil.rmtree(folder)
        sync(folder.parent)


def set_policy(container: str, policy: str) -> None:
    """Say whether Docker starts a container by itself."""
    do(["docker", "update", "--restart", policy, container])


def start_map(order: Order, *, wanted: bool) -> None:
    """Start the map server where it ran before; how it fares is its own."""
    if wanted and is_there(order.lizmap):
        do(["docker", "start", order.lizmap])


def in_service(order: Order, container: str) -> None:
    """Start a container of the database by its own policy, and wait until it is healthy."""
    set_policy(container, "always")
    # The same as with the map server, which that one waits for.
    start(replace(order.settings, lizmap=order.postgis))


# The clusters beside ------------------------------------------------------------------------------------------------


def only_dumped(order: Order, image: str) -> list[str]:
    """Give what starts a server on the old cluster that nobody reaches but we."""
    command = trial_command(order.old.postgis, image, Path(order.data_folder))
    # As it was: with less, PostgreSQL refuses a cluster that has slots.
    options = ("-c", "autovacuum=off", "-c", "listen_addresses=", "-c", "log_min_error_statement=panic")
    return [*command[: command.index(image) + 1], "postgres", *options]


def start_new(order: Order) -> None:
    """Start a server of the new image on an empty folder, which nobody else reaches."""
    removed_folder(order.staging)
    data = folder_like(Path(order.data_folder), order.staging)
    do(trial_command(order.new.postgis, order.image, data))
    wait_for(order.new)


def copy(order: Order, source: Settings) -> Json:
    """Fill the new cluster from a server, and give what that one held. Nothing of it touches the disk in between."""
    seen = json.loads(psql(source, LOOK))
    content: Json = {"roles": roles_of(source), "databases": {}, "files": {}}
    psql(order.new, do(globals_dump(source)), tolerant=True)
    others = [name for name in seen["databases"] if name not in MADE_FIRST]
    check_extensions(order, source, seen["databases"])
    for name in (*MADE_FIRST, *others):
        content["databases"][name] = copy_database(order, source, name)
    return content


def check_extensions(order: Order, source: Settings, names: Sequence[str]) -> None:
    """Raise BackupError where the new image lacks what databases have."""
    wanted = {name: json.loads(psql(source, EXTENSIONS, name)) for name in names}
    available = json.loads(psql(order.new, AVAILABLE))
    if problem := major_upgrade.extension_problem(wanted, available):
        raise BackupError(f"{problem}.")


def copy_database(order: Order, source: Settings, name: str) -> Json:
    """Dump one database into the new cluster; give what it held at the same moment."""
    from_where = "postgres"
    if name in MADE_FIRST:
        from_where = next(other for other in MADE_FIRST if other != name)
        psql(order.new, GONE_FIRST.format(name=name), from_where)
    session = DatabaseSession(source, name)
    try:
        before = session.next_values()
        words = ("pg_dump", "--format=custom", "--compress=0", "--username=postgres", f"--snapshot={session.snapshot}")
        dump = in_postgis(source, *words, connection(name))
        into = ("pg_restore", "--create", "--exit-on-error", "--username=postgres", connection(from_where))
        pour(name, dump, in_postgis(order.new, *into))
        content = described(session, before)
        carry_numbers(order.new, name, content["numbers"])
        return content
    finally:
        session.close()


def pour(name: str, producer: Sequence[str], consumer: Sequence[str]) -> None:
    """Give what one command prints to another one. Raises BackupError unless both ended well."""
    if why := piped(producer, consumer):
        raise BackupError(f"the database {name} could not be carried over: {why}.")


def described(session: DatabaseSession, before: Mapping[str, int | None]) -> Json:
    """Give what a database holds and is."""
    content = content_of_database(session, before)
    return {
        **content,
        "properties": session.listed(PROPERTIES),
        "extensions": session.listed(EXTENSIONS),
        "counted": session.listed(COUNTED),
        "of_extensions": session.listed(OF_EXTENSIONS),
        "numbers": session.each(NUMBERS),
    }


def content_of(server: Settings, names: Sequence[str]) -> Json:
    """Give what a server holds."""
    found: Json = {"roles": roles_of(server), "databases": {}, "files": {}}
    for name in names:
        session = DatabaseSession(server, name)
        try:
            found["databases"][name] = described(session, session.next_values())
        finally:
            session.close()
    return found


def differences(order: Order, recorded: Json, versions: tuple[int, int]) -> tuple[Json, list[str]]:
    """Give what the new cluster holds, and in sentences what of it is not as it was."""
    found = content_of(order.new, list(recorded["databases"]))
    there = json.loads(psql(order.new, LOOK))["databases"]
    said = [f"The database {name} was not there." for name in there if name not in recorded["databases"]]
    new = major_upgrade.comparable(found, recorded, *versions)
    return found, [*said, *comparison.differences(recorded, new), *major_upgrade.further_differences(recorded, new)]


def settled_new(order: Order) -> None:
    """Start the new server once more with what ALTER SYSTEM has set, as it will be started; a refusal is told."""
    do(["docker", "stop", order.new.postgis])
    new = order.staging / "data" / "cluster" / "postgresql.auto.conf"
    owned = new.stat()
    shutil.copyfile(Path(order.data_folder) / "cluster" / "postgresql.auto.conf", new)
    os.chown(new, owned.st_uid, owned.st_gid)
    do(["docker", "start", order.new.postgis])
    wait_for(order.new)


def compared(order: Order, recorded: Json, versions: tuple[int, int]) -> Json:
    """Give what the new cluster holds. Raises BackupError where that is not what the old one does."""
    settled_new(order)
    for name in recorded["databases"]:
        # What a dump does not hold: without it the first maps are slow.
        with suppress(BackupError):
            psql(order.new, "ANALYZE;", name)
    found, said = differences(order, recorded, versions)
    if said:
        first = " ".join(said[:MOST_NAMED])
        raise BackupError(f"what was carried over is not equal ({len(said)}): {first}")
    return found


def bytes_of(folder: Path) -> int:
    """Give what a folder takes."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


# Checks before ------------------------------------------------------------------------------------------------------


def looked(order: Order) -> Json:
    """Look at what is there. Raises BackupError where it can't be upgraded; nothing was changed then."""
    with unchanged():
        if (order.settings.journal).exists():
            raise BackupError(PENDING)
        if order.file(DONE).exists() and order.what == "upgrade":
            raise BackupError(f"An earlier cluster is still kept: {major_upgrade.PLAYBOOK} -e forget=true lets it go.")
        found = inspected(order.postgis)
        if not is_running(order.postgis):
            raise BackupError(f"The container {order.postgis} does not run: start it, or deploy the previous release.")
        seen: Json = json.loads(psql(order.settings, LOOK))
        new = image_version(order.image)
        if problem := major_upgrade.problem(seen, new):
            raise BackupError(f"{problem}.")
        check_room(order, seen)
        known = {"old_id": found["Id"], "old_image": found["Image"], "map_ran": is_running(order.lizmap)}
        return {**seen, **known, "new": new}


@contextmanager
def unchanged() -> Iterator[None]:
    """Say of what is refused that nothing was changed."""
    try:
        yield
    except BackupError as error:
        raise BackupError(
            str(error) if "Nothing was changed" in str(error) else f"{error} Nothing was changed."
        ) from None


def check_room(order: Order, seen: Mapping[str, Any]) -> None:
    """Raise BackupError where the disk has too little room, or can't let two folders change places."""
    place = Path(order.data_folder).parent
    check_disks((order.data_folder, Path(order.data_folder), major_upgrade.needed_bytes(seen["bytes"])))
    folders = (Path(order.data_folder), Path(order.data_folder) / "cluster")
    if any(folder.stat().st_dev != place.stat().st_dev for folder in folders):
        raise BackupError(
            f"{order.data_folder} is a disk of its own: its data can't change places with a folder beside."
        )
    with tempfile.TemporaryDirectory(dir=place) as folder:
        one, other = Path(folder, "one"), Path(folder, "other")
        one.mkdir()
        other.mkdir()
        try:
            exchange(one, other)
        except OSError as error:
            raise BackupError(
                f"The file system of {order.data_folder} can't let folders change places ({error.strerror})."
            ) from None


# Upgrade ------------------------------------------------------------------------------------------------------------


class Journal:
    """How far an upgrade is, which survives whatever ends it."""

    def __init__(self, order: Order, known: Json) -> None:
        self._path = order.file(major_upgrade.JOURNAL)
        self.known = known

    @classmethod
    def find(cls, order: Order) -> Journal | None:
        """Give the one of an upgrade that was cut off."""
        known = read(order.file(major_upgrade.JOURNAL))
        return cls(order, known) if known else None

    @property
    def step(self) -> str:
        """Give the last step that was done."""
        return str(self.known["step"])

    def note(self, step: str, **more: Any) -> None:
        """Write down that a step is done, once all that it did is on the disk."""
        os.sync()
        self.known = {**self.known, **more, "step": step}
        write(self._path, self.known)

    def close(self) -> None:
        """Let nothing be left to do."""
        os.sync()
        self._path.unlink(missing_ok=True)
        sync(self._path.parent)


def upgrade(order: Order) -> Json:
    """Bring the database to the PostgreSQL of the new image; give what was done. Raises BackupError."""
    began = time.monotonic()
    journal = Journal(order, looked(order))
    journal.note("begun", at=time.time())
    try:
        outcome = prepare(order, journal)
    except (BackupError, EngineError, OSError) as error:
        undo(order, journal)
        old = journal.known["version"]
        raise BackupError(
            f"The upgrade failed: {str(error).rstrip('.')}. PostgreSQL {old} serves as before."
        ) from error
    journal.note(major_upgrade.DECISION)
    go_on(order, journal)
    return {**outcome, "seconds": round(time.monotonic() - began, 1)}


def prepare(order: Order, journal: Journal) -> Json:
    """Do all that can still be undone: a cluster beside that is equal, and a container for it."""
    began, known = time.monotonic(), journal.known
    versions = known["version"], known["new"]
    stop(order.settings)
    do(["docker", "stop", "-t", STOP_SECONDS, known["old_id"]])
    journal.note("stopped")
    do(only_dumped(order, known["old_image"]))
    wait_for(order.old)
    start_new(order)
    recorded = copy(order, order.old)
    journal.note("copied")
    found = compared(order, recorded, versions)
    for server in (order.old, order.new):
        do(["docker", "stop", server.postgis])
    write(order.file(CONTENT), found)
    (order.staging / "data" / "reserve").unlink(missing_ok=True)
    journal.note("compared", control=control_digest(Path(order.data_folder)))
    remove(order.old.postgis, order.new.postgis)
    new_id = Engine.connect().create_container(order.candidate, order.body)
    journal.note("created", new_id=new_id)
    part(order, journal)
    bytes_new = bytes_of(order.staging)
    return {**outcome_of(versions, recorded), "bytes": bytes_new, "seconds": round(time.monotonic() - began, 1)}


def outcome_of(versions: tuple[int, int], recorded: Json) -> Json:
    """Give what is told of an upgrade or a rehearsal."""
    return {"from": versions[0], "to": versions[1], "objects": objects_of(recorded)}


def part(order: Order, journal: Journal) -> None:
    """Keep the old server from serving. Raises BackupError where it has done so since it was dumped."""
    old = journal.known["old_id"]
    set_policy(old, "no")
    do(["docker", "stop", "-t", STOP_SECONDS, old])
    if control_digest(Path(order.data_folder)) != journal.known["control"]:
        raise BackupError("somebody started the old server meanwhile, and may have written to it")
    journal.note("parted")


def undo(order: Order, journal: Journal) -> None:
    """Let the old cluster serve again, and leave nothing of the new one."""
    clear(order)
    remove(order.candidate)
    set_policy(journal.known["old_id"], "always")
    do(["docker", "start", journal.known["old_id"]])
    start_map(order, wanted=journal.known["map_ran"])
    order.file(CONTENT).unlink(missing_ok=True)
    journal.close()


def clear(order: Order) -> None:
    """Remove what is only needed while a cluster is made."""
    remove(order.old.postgis, order.new.postgis)
    removed_folder(order.staging)


def go_on(order: Order, journal: Journal) -> None:
    """Do what is left after the decision. Where the new server does not come up, the old one serves again."""
    for step in major_upgrade.left_to_do(journal.step):
        try:
            AFTER[step](order, journal)
        except (BackupError, OSError) as error:
            journal.note(major_upgrade.RETURNING)
            roll_back(order, journal)
            raise BackupError(
                f"The new server did not come up: {str(error).rstrip('.')}. The old one serves again, as before."
            ) from error
        journal.note(step)
    done = {name: journal.known[name] for name in ("version", "new", "at")}
    found = {"old_id": set_aside(order, journal.known["old_id"]), "folder": str(kept(order, journal))}
    write(order.file(DONE), {**done, **found})
    start_map(order, wanted=journal.known["map_ran"])
    journal.close()


def swap(order: Order, journal: Journal) -> None:
    """Let the clusters change places."""
    data = Path(order.data_folder)
    if cluster_version(data) == journal.known["version"]:
        exchange(data / "cluster", order.staging / "data" / "cluster")


def rename(order: Order, journal: Journal) -> None:
    """Give the new container the old one's name."""
    if inspected(journal.known["old_id"])["Name"] == f"/{order.postgis}":
        do(["docker", "rename", journal.known["old_id"], order.set_aside])
    if inspected(journal.known["new_id"])["Name"] != f"/{order.postgis}":
        do(["docker", "rename", journal.known["new_id"], order.postgis])


def start_new_container(order: Order, journal: Journal) -> None:
    """Have the new server serve."""
    in_service(order, journal.known["new_id"])


def kept(order: Order, journal: Journal) -> Path:
    """Give where the old cluster is kept."""
    return Path(major_upgrade.kept_folder(order.data_folder, journal.known["version"]))


def keep(order: Order, journal: Journal) -> None:
    """Give the folder with the old cluster its name."""
    if order.staging.exists():
        (order.staging / "data").rename(kept(order, journal))
        removed_folder(order.staging)


def set_aside(order: Order, old: str) -> str:
    """Give the id of the container that a rollback starts: the old one, or another one that compose does not know."""
    twin = f"{order.postgis}-again{major_upgrade.SET_ASIDE}"
    if order.old_body and inspected(old):
        remove(twin)
        with suppress(EngineError):
            Engine.connect().create_container(twin, order.old_body)
            remove(old)
    if inspected(twin) and not inspected(order.set_aside):
        do(["docker", "rename", twin, order.set_aside])
    return str(inspected(order.set_aside)["Id"])


AFTER: dict[str, Callable[[Order, Journal], None]] = {
    "swapped": swap,
    "renamed": rename,
    "started": start_new_container,
    "kept": keep,
}


# Back, and forgetting -----------------------------------------------------------------------------------------------


def roll_back(order: Order, journal: Journal) -> None:
    """Let the old cluster serve again after the decision, wherever that was cut off before."""
    known, data = journal.known, Path(order.data_folder)
    beside = [folder for folder in (kept(order, journal), order.staging / "data") if folder.exists()]
    serving = inspected(order.postgis)
    if serving and serving["Id"] != known["old_id"]:
        remove(serving["Id"])
    remove(order.candidate, order.old.postgis, order.new.postgis)
    if cluster_version(data) != known["version"]:
        exchange(data / "cluster", beside[0] / "cluster")
    if inspected(known["old_id"])["Name"] != f"/{order.postgis}":
        do(["docker", "rename", known["old_id"], order.postgis])
    in_service(order, known["old_id"])
    start_map(order, wanted=known["map_ran"])
    # A copy, whose content the old cluster has as well.
    for folder in (*beside, order.staging):
        removed_folder(folder)
    for name in (DONE, CONTENT):
        order.file(name).unlink(missing_ok=True)
    journal.close()


def upgraded(order: Order) -> Json:
    """Give what was upgraded and is kept. Raises BackupError where nothing is."""
    done = read(order.file(DONE))
    if not done:
        raise BackupError("There is no earlier cluster beside the one that serves. Nothing was changed.")
    return done


def back(order: Order) -> Json:
    """Put the old cluster back into service, as long as nothing was written since. Raises BackupError."""
    done, recorded = upgraded(order), read(order.file(CONTENT))
    if (
        done.get("forgotten")
        or cluster_version(Path(done["folder"])) != done["version"]
        or not inspected(done["old_id"])
    ):
        raise BackupError("The earlier cluster, or its container, is not there any more. Nothing was changed.")
    if said := written(order.settings, recorded):
        raise BackupError(major_upgrade.not_back(said))
    serving = inspected(order.postgis)
    journal = Journal(order, {**done, "map_ran": is_running(order.lizmap)})
    journal.note(major_upgrade.LOOKING)
    try:
        stop(order.settings)
        do(["docker", "stop", "-t", STOP_SECONDS, serving["Id"]])
        # Once more, now that nobody can write.
        do(only_dumped(order, serving["Image"]))
        wait_for(order.old)
        if said := written(order.old, recorded):
            raise BackupError(major_upgrade.not_back(said))
    except BackupError:
        go_on_serving(order, journal)
        raise
    do(["docker", "stop", order.old.postgis])
    journal.note(major_upgrade.RETURNING)
    roll_back(order, journal)
    return {"from": done["new"], "to": done["version"]}


def go_on_serving(order: Order, journal: Journal) -> None:
    """Let the new server serve again, where it is not rolled back."""
    remove(order.old.postgis)
    do(["docker", "start", order.postgis])
    start_map(order, wanted=journal.known["map_ran"])
    journal.close()


def written(server: Settings, recorded: Json) -> list[str]:
    """Say what a server has that it did not have when the upgrade was made."""
    there = json.loads(psql(server, LOOK))["databases"]
    more = [f"The database {name} is new." for name in there if name not in recorded["databases"]]
    names = [name for name in recorded["databases"] if name in there]
    return [*comparison.differences(recorded, content_of(server, names)), *more]


def forget(order: Order) -> Json:
    """Delete the old cluster and its container, for good."""
    done = upgraded(order)
    # Cut off half-way there is no rollback, and the next time deletes the rest.
    write(order.file(DONE), {**done, "forgotten": True})
    remove(order.set_aside)
    removed_folder(Path(done["folder"]))
    for name in (CONTENT, DONE):
        order.file(name).unlink(missing_ok=True)
    return {"from": done["version"], "to": done["new"], "folder": done["folder"]}


def rehearse(order: Order) -> Json:
    """Do all of an upgrade beside what serves, tell what it took, and leave nothing of it. Raises BackupError."""
    seen, began = looked(order), time.monotonic()
    versions = seen["version"], seen["new"]
    try:
        with unchanged():
            start_new(order)
            recorded = copy(order, order.settings)
            compared(order, recorded, versions)
            do(["docker", "stop", order.new.postgis])
            taken = bytes_of(order.staging)
    finally:
        clear(order)
    free = shutil.disk_usage(order.data_folder).free
    return {
        **outcome_of(versions, recorded),
        "bytes": taken,
        "free": free,
        "seconds": round(time.monotonic() - began, 1),
    }


# By hand, and by systemd --------------------------------------------------------------------------------------------

ACTIONS: dict[str, Callable[[Order], Json]] = {"upgrade": upgrade, "rehearse": rehearse, "back": back, "forget": forget}


@contextmanager
def alone(order: Order) -> Iterator[None]:
    """Hold the locks of the backup and of whoever changes the database's container."""
    with locked(order.settings, wait=True), container_lock(order.postgis, LOCK_SECONDS):
        yield


def settle(order: Order) -> str:
    """Bring what was cut off to an end: the old cluster serves, or the new one. Say which."""
    journal = Journal.find(order)
    if journal is None:
        clear(order)
        return "It was cut off before anything was changed."
    old, new = journal.known["version"], journal.known["new"]
    if journal.step == major_upgrade.LOOKING:
        go_on_serving(order, journal)
        return f"It was cut off before the rollback began. PostgreSQL {new} serves; begin again."
    if journal.step == major_upgrade.RETURNING:
        roll_back(order, journal)
        return f"It was cut off during the rollback. PostgreSQL {old} serves, as before."
    if major_upgrade.undoes(journal.step):
        undo(order, journal)
        return f"It was cut off. PostgreSQL {old} serves, as before; begin again."
    go_on(order, journal)
    return f"It was cut off after the decision, and is complete now. PostgreSQL {new} serves."


def go(folder: Path) -> int:
    """Do what the order says, or bring to an end what was cut off; write down what came of it."""
    known = read(folder / ORDER)
    if not known:
        return 0
    order = Order(**known)
    try:
        with alone(order):
            outcome = acted(order)
    except (BackupError, EngineError, ApplyError) as error:
        outcome = {"failed": True, "said": str(error)}
    except OSError as error:
        outcome = {"failed": True, "said": f"{error.strerror}: {error.filename}."}
    write(folder / OUTCOME, outcome)
    if Journal.find(order) is None:
        (folder / ORDER).unlink(missing_ok=True)
    print(outcome["said"])
    # What was brought to an end is no failure of this run, though the order was not carried out.
    return int(outcome["failed"] and not outcome.get("settled"))


def acted(order: Order) -> Json:
    """Do what an order says."""
    pending = Journal.find(order) is not None
    if pending or not order.fresh or order.boot not in ("", boot_id()):
        return {"failed": True, "settled": True, "said": settle(order)}
    # From now on it is one that was begun.
    write(order.file(ORDER), {**read(order.file(ORDER)), "fresh": False})
    result = ACTIONS[order.what](order)
    return {
        "failed": False,
        "what": order.what,
        **result,
        "said": SENTENCES[order.what].format(**result, told=_told(result)),
    }


def _told(result: Mapping[str, Any]) -> str:
    return major_upgrade.told(result) if "objects" in result else ""


SENTENCES = {
    "upgrade": "upgraded from PostgreSQL {from} to {to}: {told}. The old cluster is kept.",
    "rehearse": "an upgrade from PostgreSQL {from} to {to} would succeed: {told} of room. Nothing was changed.",
    "back": "went back from PostgreSQL {from} to {to}.",
    "forget": "the cluster of PostgreSQL {from} was deleted ({folder}).",
}


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Poppyfield's upgrade of the database")
    parser.add_argument("--state", type=Path, default=Path(major_upgrade.STATE_FOLDER))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("go", help="do what the order says, or end what was cut off")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Run the program; a failure is one sentence."""
    asked = arguments(sys.argv[1:] if words is None else words)
    return told_in_a_sentence(lambda: go(asked.state))
