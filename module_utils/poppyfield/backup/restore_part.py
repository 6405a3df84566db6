"""One table or one project out of a backup, in place of what a Pi has of it, or beside it under another name.

What is in place is set aside first, and comes back where the restore fails or its map does not draw. A table is
restored by way of a database that is thrown away, which gets all definitions and the rows of that table alone: from
there pg_dump gives it with its sequences, indexes, keys, triggers and rights.

A part of the program of the backup, whose command line hands over to this one.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup import finding, map_server
from ansible.module_utils.poppyfield.backup.database_server import PG_OPTIONS, PSQL, databases, in_postgis, psql
from ansible.module_utils.poppyfield.backup.finding import record_of
from ansible.module_utils.poppyfield.backup.map_server import start
from ansible.module_utils.poppyfield.backup.repository import BackupRepository
from ansible.module_utils.poppyfield.backup.restic_words import MOST_NAMED
from ansible.module_utils.poppyfield.backup.restore_journal import STAGING, clear, names_set_aside, take_back
from ansible.module_utils.poppyfield.backup.restoring import put_folders
from ansible.module_utils.poppyfield.backup.room import check_disks, check_version
from ansible.module_utils.poppyfield.backup.settings import SETTINGS, BackupError, Json, Settings
from ansible.module_utils.poppyfield.backup.sql import connection, identifier, literal, set_aside
from ansible.module_utils.poppyfield.backup.streams import CHUNK, last_words
from ansible.module_utils.poppyfield.backup.this_pi import do, locked, read, sync, told_in_a_sentence, write

SCRATCH = "poppyfield_restoring__loading"
"""The database that is thrown away; one with this ending is in no backup."""
LIST = "/tmp/poppyfield-restore.list"  # noqa: S108 - memory of the container, which has one user
PART_OF_NAME = r'"(?:[^"]|"")+"|[^".]+'
NEW_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
PROJECT_ENDINGS = (".qgs", ".qgz")
NOT_ROWS_OF_OTHERS = ("TABLE DATA ", "MATERIALIZED VIEW DATA ", "BLOB", "SUBSCRIPTION ", "PUBLICATION ")
"""How entries of a dump begin that are left out, but for the rows of the table itself."""
SYSTEMS = " spatial_ref_sys "
"""Whose rows are wanted, too: a computed column may need one."""

IN_PLACE = """
WITH t AS (SELECT * FROM pg_class WHERE oid = to_regclass({name})),
own (classid, objid) AS (
    SELECT 'pg_class'::regclass, oid FROM t
    UNION SELECT 'pg_type'::regclass, unnest(ARRAY[reltype, (SELECT typarray FROM pg_type WHERE oid = reltype)]) FROM t
    UNION SELECT d.classid, d.objid FROM pg_depend d, t WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
        AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    UNION SELECT 'pg_class'::regclass, indexrelid FROM pg_index, t WHERE indrelid IN (t.oid, t.reltoastrelid)
    UNION SELECT 'pg_constraint'::regclass, c.oid FROM pg_constraint c, t WHERE conrelid = t.oid
    UNION SELECT 'pg_attrdef'::regclass, c.oid FROM pg_attrdef c, t WHERE adrelid = t.oid
    UNION SELECT 'pg_trigger'::regclass, c.oid FROM pg_trigger c, t WHERE tgrelid = t.oid
    UNION SELECT 'pg_policy'::regclass, c.oid FROM pg_policy c, t WHERE polrelid = t.oid
    UNION SELECT 'pg_statistic_ext'::regclass, c.oid FROM pg_statistic_ext c, t WHERE stxrelid = t.oid
    UNION SELECT 'pg_rewrite'::regclass, c.oid FROM pg_rewrite c, t WHERE ev_class = t.oid
)
SELECT json_build_object(
    'there', EXISTS (SELECT FROM t),
    'plain', NOT EXISTS (
        SELECT FROM t WHERE relkind <> 'r' OR relispartition
        OR EXISTS (SELECT FROM pg_inherits i WHERE t.oid IN (i.inhrelid, i.inhparent))
        OR EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
    ),
    'needing', (SELECT coalesce(json_agg(DISTINCT pg_describe_object(d.classid, d.objid, 0)), '[]')
        FROM pg_depend d JOIN own ON d.refclassid = own.classid AND d.refobjid = own.objid
        WHERE NOT EXISTS (SELECT FROM own o WHERE o.classid = d.classid AND o.objid = d.objid)
        AND NOT EXISTS (SELECT FROM pg_trigger g
            WHERE d.classid = 'pg_trigger'::regclass AND g.oid = d.objid AND g.tgisinternal)
        AND NOT EXISTS (SELECT FROM pg_rewrite r JOIN pg_class v ON v.oid = r.ev_class
            WHERE d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid AND v.relkind = 'v')));
"""
"""What needs a table and would go on with the one that is set aside: views alone can be led to the other one."""
REMEMBER_VIEWS = """
CREATE TEMPORARY TABLE poppyfield_views ON COMMIT DROP AS
SELECT DISTINCT format('CREATE OR REPLACE VIEW %s%s AS %s', v.oid::regclass, (
        SELECT ' WITH (' || string_agg(
            format('%I=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') || ')'
        FROM unnest(v.reloptions) o), pg_get_viewdef(v.oid)) AS sql
FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
JOIN pg_class v ON v.oid = r.ev_class
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass({name}) AND v.relkind = 'v';
"""
LEAD_VIEWS = "SELECT sql FROM pg_temp.poppyfield_views \\gexec\n"
RENAME = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname)
FROM pg_constraint WHERE conrelid = to_regclass({name}) AND contype = 'f' \\gexec
SELECT format('ALTER %s %s RENAME TO %I', what, oid::regclass,
    CASE WHEN octet_length(new) <= 63 THEN new ELSE left(new, 12) || '_' || oid END)
FROM (SELECT c.oid, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'INDEX' END AS what,
        CASE WHEN starts_with(c.relname, {old}) THEN {new} || substr(c.relname, length({old}) + 1)
        ELSE {new} || '_' || c.relname END AS new
    FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind IN ('i', 'S')
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = to_regclass({name})
    AND d.deptype IN ('a', 'i')
    UNION SELECT i.oid, 'INDEX',
        CASE WHEN starts_with(i.relname, {old}) THEN {new} || substr(i.relname, length({old}) + 1)
        ELSE {new} || '_' || i.relname END
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = to_regclass({name})) s \\gexec
ALTER TABLE {table} RENAME TO {new_name};
"""
GRANTED = """
FROM (SELECT to_regclass({name}) AS oid UNION SELECT d.objid FROM pg_depend d JOIN pg_class s ON s.oid = d.objid
    WHERE s.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
    AND d.refobjid = to_regclass({name}) AND d.deptype IN ('a', 'i')) o
JOIN pg_class c ON c.oid = o.oid, aclexplode(c.relacl) a
"""
RIGHTS = f"""
SELECT coalesce(json_agg(format('%s %s %s', c.oid::regclass, a.grantee::regrole, a.privilege_type)), '[]') {GRANTED};
"""
TAKE_RIGHTS = f"""
SELECT format('REVOKE %s ON %s %s FROM %s', a.privilege_type, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
    c.oid::regclass, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
{GRANTED} WHERE a.grantee <> c.relowner
AND format('%s %s %s', c.oid::regclass, a.grantee::regrole, a.privilege_type)
    NOT IN (SELECT json_array_elements_text({{rights}}::json)) \\gexec
"""  # noqa: S608
"""A database may give rights on each new table (ALTER DEFAULT PRIVILEGES) that the backup's table did not have."""


# Decisions ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SavedTable:
    """A table of a database."""

    database: str
    schema: str
    name: str

    @classmethod
    def named(cls, text: str) -> SavedTable:
        """Read `database.schema.table`, as it is written; a part with a dot in it stands in quotation marks."""
        found = re.fullmatch(rf"({PART_OF_NAME})\.({PART_OF_NAME})\.({PART_OF_NAME})", text)
        if not found:
            raise BackupError(f"{text!r} names no table. Write database.schema.table, as in gis.public.trees.")
        parts = [one[1:-1].replace('""', '"') if one.startswith('"') else one for one in found.groups()]
        return cls(*parts)

    def __str__(self) -> str:
        """Write it for people."""
        return f"{self.database}.{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        """Write it for SQL."""
        return f"{identifier(self.schema)}.{identifier(self.name)}"

    def called(self, name: str) -> SavedTable:
        """Give the table of another name beside it."""
        return SavedTable(self.database, self.schema, name)


@dataclass(frozen=True)
class SavedProject:
    """A project with the folder that holds it and all that it needs."""

    folder: str
    file: str

    @classmethod
    def named(cls, text: str) -> SavedProject:
        """Read `FOLDER/NAME.qgs`, below the folder of the projects."""
        folder, _, file = text.partition("/")
        steps = file.split("/")
        if not FOLDER.fullmatch(folder) or not file.endswith(PROJECT_ENDINGS) or {"", ".", ".."} & {*steps}:
            raise BackupError(f"{text!r} names no project. Write its folder and its file, as in fields/fields.qgs.")
        return cls(folder, file)


def wanted_entries(listing: str, table: SavedTable) -> list[str]:
    """Choose from the list of a dump all but the rows of other tables.

    Rows come last: keys that lead to other tables are then there before, and nobody misses those tables' rows.
    """
    definitions, rows = [], []
    for line in listing.splitlines():
        found = re.match(r"\d+; \d+ \d+ (.*)", line)
        if not found or " LARGE OBJECT" in found[1]:
            continue
        if found[1].startswith(f"TABLE DATA {table.schema} {table.name} ") or _is_of_systems(found[1]):
            rows.append(line)
        elif not found[1].startswith(NOT_ROWS_OF_OTHERS):
            definitions.append(line)
    return definitions + rows


def _is_of_systems(entry: str) -> bool:
    return entry.startswith("TABLE DATA ") and SYSTEMS in entry


def setting_aside(table: SavedTable, aside: str) -> str:
    """Give the script that puts a table into a schema of its own, with all that belongs to it."""
    owner = "GRANT USAGE ON SCHEMA %I TO %I"
    whose = f"SELECT format('{owner}', {literal(aside)}, pg_get_userbyid(relowner)) FROM pg_class"  # noqa: S608
    return (
        f"CREATE SCHEMA {identifier(aside)};\n{whose} WHERE oid = to_regclass({literal(table.sql)}) \\gexec\n"
        f"ALTER TABLE {table.sql} SET SCHEMA {identifier(aside)};\n"
    )


def before_the_table(table: SavedTable, aside: str) -> str:
    """Give the script before the new table is made, within its transaction; `aside` is empty where there is none."""
    begin = "BEGIN;\nSET LOCAL lock_timeout = '60s';\n" + REMEMBER_VIEWS.format(name=literal(table.sql))
    return begin + (setting_aside(table, aside) if aside else "")


def after_the_table(table: SavedTable, rights: Iterable[str]) -> str:
    """Give the script after it, which makes all of it count."""
    taken = TAKE_RIGHTS.format(name=literal(table.sql), rights=literal(json.dumps(list(rights))))
    return f"{taken}{LEAD_VIEWS}COMMIT;\n"


def taking_back(table: SavedTable, stamp: str, *, was_there: bool) -> str:
    """Give the script that puts a table back, if the new one has taken its place."""
    before, failed = set_aside(table.name, "before", stamp), set_aside(table.name, "failed", stamp)
    mark = f"to_regnamespace({literal(identifier(before))})" if was_there else f"to_regclass({literal(table.sql)})"
    back = (
        f"ALTER TABLE {identifier(before)}.{identifier(table.name)} SET SCHEMA {identifier(table.schema)};\n"
        f"DROP SCHEMA {identifier(before)};\n{LEAD_VIEWS}"
    )
    return (
        f"SELECT {mark} IS NOT NULL AS swapped \\gset\n\\if :swapped\n"
        f"{before_the_table(table, failed)}{back if was_there else ''}COMMIT;\n\\endif\n"
    )


def why_not(found: Mapping[str, Any], table: SavedTable) -> str:
    """Say why a table can't be taken out of its place; empty where it can."""
    if not found["plain"]:
        return f"{table} is a view, has partitions or heirs, or belongs to an extension"
    if needing := found["needing"]:
        more = f" and {len(needing) - MOST_NAMED} more" if len(needing) > MOST_NAMED else ""
        named = "; ".join(needing[:MOST_NAMED])
        return f"these need {table}, and would go on with the table that is set aside: {named}{more}"
    return ""


# What both have in common -------------------------------------------------------------------------------------------


def switch(settings: Settings, journal: Json, action: Callable[[], None]) -> Json:
    """Change what is served, as it is written down; it comes back where that fails. Give what was set aside."""
    write(settings.journal, journal)
    try:
        map_server.stop(settings)
        action()
        start(settings)
    except (Exception, KeyboardInterrupt) as error:
        raise BackupError(f"{error or type(error).__name__} {take_back(settings)}") from error
    write(settings.journal, {**journal, "state": "switched"})
    return {"set_aside": names_set_aside(journal)}


def begun(record: Mapping[str, Any], **more: Any) -> Json:
    """Give what is written down before anything is changed."""
    stamp = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
    always = {"state": "begun", "part": True, "stamp": stamp, "run": record["run"], "databases": {}, "globals": ""}
    return {**always, "folders": {}, "replaced": [], **more}


@contextmanager
def opened(settings: Settings, name: str, run: str) -> Iterator[tuple[BackupRepository, Json]]:
    """Give a repository with the record of a backup; nothing of another restore is left half done."""
    with locked(settings, wait=True), finding.opened(settings, name) as repository:
        if read(settings.journal).get("state") == "begun":
            take_back(settings)
        yield repository, record_of(repository, run)


# A table ------------------------------------------------------------------------------------------------------------


def restore_table(settings: Settings, name: str, run: str, table: SavedTable, new: str) -> Json:
    """Restore a table in place, or beside it as `new`; give what was set aside."""
    with opened(settings, name, run) as (repository, record):
        entry = entry_of(record, table)
        there = look_in_place(settings, table, new)
        check_version(settings, record)
        # Once in the database that is thrown away, and once in place.
        check_disks((settings.data_folder, Path(settings.data_folder), 2 * entry["bytes"]))
        with scratch(settings):
            fill(settings, repository, entry, table)
            if new:
                psql(settings, renaming(table, new), SCRATCH)
                pour(settings, table.called(new), "")
                return {"set_aside": []}
            return put_in_place(settings, record, table, there=there)


def entry_of(record: Mapping[str, Any], table: SavedTable) -> Json:
    """Give the database of a backup that has a table. Raises BackupError."""
    for entry in record["databases"]:
        if entry["name"] == table.database:
            # An earlier release did not record what a backup holds.
            tables = record["content"]["databases"][table.database]["tables"] if "content" in record else None
            if tables is not None and (table.schema, table.name) not in names_of(tables):
                raise BackupError(f"There is no table {table.schema}.{table.name} in that backup of {table.database}.")
            return dict(entry)
    held = ", ".join(one["name"] for one in record["databases"])
    raise BackupError(f"There is no database {table.database} in that backup; it has {held}.")


def names_of(tables: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give schema and name of tables as they were recorded, with quotation marks where SQL needs them."""
    for name in tables:
        # Large objects are among them, and are no table.
        with suppress(BackupError):
            table = SavedTable.named(f"x.{name}")
            yield table.schema, table.name


def look_in_place(settings: Settings, table: SavedTable, new: str) -> bool:
    """Tell whether the table is there. Raises BackupError where it can't be put where it is to be."""
    if table.database not in [one["name"] for one in databases(settings)]:
        raise BackupError(f"There is no database {table.database} on this Pi: restore all of it. Nothing was changed.")
    if new and not NEW_NAME.fullmatch(new):
        raise BackupError(f"{new!r} can't be the name of a table: letters, digits and _, at most 63.")
    wanted = table.called(new) if new else table
    found = json.loads(psql(settings, IN_PLACE.format(name=literal(wanted.sql)), table.database))
    if new:
        if found["there"]:
            raise BackupError(f"There is a table {wanted} already. Choose another name.")
    elif found["there"] and (wrong := why_not(found, table)):
        raise BackupError(
            f"Nothing was changed: {wrong}. Restore it beside (-e restore_as=NAME, or --as), and copy its rows."
        )
    else:
        set_aside(table.name, "before", "0" * 14)
    return bool(found["there"])


@contextmanager
def scratch(settings: Settings) -> Iterator[None]:
    """Give the database that is thrown away, into which nobody else can look."""
    drop = f"DROP DATABASE IF EXISTS {SCRATCH} WITH (FORCE);\n"
    closed = f"REVOKE ALL ON DATABASE {SCRATCH} FROM PUBLIC;"
    psql(settings, f"{drop}CREATE DATABASE {SCRATCH} TEMPLATE template0;\n{closed}")
    try:
        yield
    finally:
        with suppress(BackupError):
            psql(settings, drop)


def fill(settings: Settings, repository: BackupRepository, entry: Mapping[str, Any], table: SavedTable) -> None:
    """Restore all definitions of a database, and the rows of one table, into the one that is thrown away."""
    saved = entry["snapshot"], entry["file"]
    listing = repository.beginning(*saved, in_postgis(settings, "pg_restore", "--list"))
    wanted = "\n".join(wanted_entries(listing, table)).encode()
    do(in_postgis(settings, "sh", "-c", f"cat > {LIST}"), given=wanted)
    # Neither triggers nor keys act on the rows.
    options = f"options='{PG_OPTIONS} -c session_replication_role=replica'"
    into = f"{connection(SCRATCH)} {options}"
    try:
        words = ("pg_restore", "--exit-on-error", f"--use-list={LIST}", "--username=postgres", into)
        repository.pour(*saved, in_postgis(settings, *words))
    finally:
        do(in_postgis(settings, "rm", "-f", LIST))


def renaming(table: SavedTable, new: str) -> str:
    """Give the script that renames a table with its indexes and sequences, and lets its keys to others go."""
    names = {"name": literal(table.sql), "old": literal(table.name), "new": literal(new)}
    return RENAME.format(**names, table=table.sql, new_name=identifier(new))


def put_in_place(settings: Settings, record: Mapping[str, Any], table: SavedTable, *, there: bool) -> Json:
    """Set the table aside and put that of the backup in its place, in one transaction."""
    journal = begun(record)
    aside = set_aside(table.name, "before", journal["stamp"]) if there else ""
    journal["back"] = {
        "database": table.database,
        "sql": taking_back(table, journal["stamp"], was_there=there),
    }
    journal["aside"] = [f"the table {table.database}.{aside}.{table.name}"] if there else []
    return switch(settings, journal, lambda: pour(settings, table, aside))


def pour(settings: Settings, table: SavedTable, aside: str) -> None:
    """Take a table over from the database that is thrown away, all or nothing. Raises BackupError."""
    rights = json.loads(psql(settings, RIGHTS.format(name=literal(table.sql)), SCRATCH))
    dump = in_postgis(settings, "pg_dump", f"--table={table.sql}", "--username=postgres", connection(SCRATCH))
    stop = ("--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", connection(table.database))
    quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
        with (
            subprocess.Popen(dump, stdin=quiet, stdout=pipe, stderr=said) as dumping,
            subprocess.Popen(in_postgis(settings, *PSQL, *stop), stdin=pipe, stdout=quiet, stderr=complaints) as taking,
        ):
            assert dumping.stdout and taking.stdin  # noqa: S101 - both are pipes
            with suppress(BrokenPipeError):
                taking.stdin.write(before_the_table(table, aside).encode())
                shutil.copyfileobj(dumping.stdout, taking.stdin, CHUNK)
            dumping.stdout.close()
            # Without the end of its transaction, nothing of it counts.
            if not dumping.wait():
                with suppress(BrokenPipeError):
                    taking.stdin.write(after_the_table(table, rights).encode())
            with suppress(BrokenPipeError):
                taking.stdin.close()
        if dumping.returncode or taking.returncode:
            why = last_words(complaints if taking.returncode else said)
            raise BackupError(f"{table} could not be restored: {why}.")


# A project ----------------------------------------------------------------------------------------------------------


def restore_project(settings: Settings, name: str, run: str, project: SavedProject, new: str) -> Json:
    """Restore the folder of a project in place, or beside the folder of the projects; give what was set aside."""
    with opened(settings, name, run) as (repository, record):
        projects = Path(settings.folders["projects"])
        beside = beside_projects(projects, new) if new else None
        check_disks((str(projects), projects.parent, record["files"]["bytes"]))
        try:
            staged = stage(settings, repository, record, project)
            if beside:
                staged.rename(beside)
                sync(beside.parent)
                return {"set_aside": []}
            target = projects / project.folder
            journal = begun(
                record,
                folders={str(target): str(staged)},
                replaced=[str(target)] if target.exists() else [],
                # Not within the folder of the projects, which the map server reads.
                beside={str(target): f"{projects}-{project.folder}"},
            )
            return switch(settings, journal, lambda: put_folders(journal))
        finally:
            clear(settings)


def beside_projects(projects: Path, new: str) -> Path:
    """Give where a folder lies that no map server reads. Raises BackupError where something is there."""
    if not FOLDER.fullmatch(new):
        raise BackupError(f"{new!r} can't be the name of a folder: letters, digits, -, _ and ., at most 63.")
    beside = projects.with_name(f"{projects.name}-{new}")
    if beside.exists():
        raise BackupError(f"There is {beside} already. Choose another name.")
    return beside


def stage(settings: Settings, repository: BackupRepository, record: Mapping[str, Any], project: SavedProject) -> Path:
    """Unpack the folder of a project beside the folder of the projects. Raises BackupError where it is not there."""
    clear(settings)
    unpacked = Path(settings.folders["projects"]).with_name(f"{STAGING}project")
    unpacked.mkdir(mode=0o700)
    saved = f"{record['folders']['projects']}/{project.folder}"
    repository.unpack(record["files"]["snapshot"], re.sub(r"([\\*?\[])", r"\\\1", saved), unpacked)
    staged = unpacked / saved.lstrip("/")
    if not (staged / project.file).is_file():
        held = sorted(path.name for path in staged.glob("*.qg[sz]"))
        told = f"the folder has {', '.join(held)}" if held else "it has no such folder with a project"
        raise BackupError(f"There is no project {project.folder}/{project.file} in that backup; {told}.")
    do(["sync", "--file-system", str(staged)])
    return staged


# By hand ------------------------------------------------------------------------------------------------------------


def find(settings: Settings, asked: argparse.Namespace) -> Json:
    """Give what a restore would put in place, for a person to agree to; what it refuses is said now."""
    found = finding.find(settings, asked.target, asked.time)
    if asked.table:
        look_in_place(settings, SavedTable.named(asked.table), asked.new)
        what = f"the table {SavedTable.named(asked.table)}"
    else:
        what = f"the folder of the project {asked.project}, with all that is in it"
        SavedProject.named(asked.project)
    return {**found, "said": f"{what}, of {found['said']}"}


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="One table or one project out of Poppyfield's backup")
    parser.add_argument("--settings", type=Path, default=Path(SETTINGS))
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("find", "restore"):
        one = commands.add_parser(command)
        one.add_argument("--from", dest="target", required=True)
        one.add_argument("--time", default="latest")
        one.add_argument("--run", default="")
        one.add_argument("--as", dest="new", default="")
        what = one.add_mutually_exclusive_group(required=True)
        what.add_argument("--table", default="")
        what.add_argument("--project", default="")
    return parser.parse_args(words)


def act(asked: argparse.Namespace) -> int:
    """Do what was asked; give the exit status."""
    settings = Settings.read(asked.settings)
    if asked.command == "find":
        print(json.dumps(find(settings, asked)))
        return 0
    run = asked.run or finding.find(settings, asked.target, asked.time)["run"]
    if asked.table:
        done = restore_table(settings, asked.target, run, SavedTable.named(asked.table), asked.new)
    else:
        done = restore_project(settings, asked.target, run, SavedProject.named(asked.project), asked.new)
    print(json.dumps(done))
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Run the program; a failure is one sentence."""
    return told_in_a_sentence(lambda: act(arguments(sys.argv[1:] if words is None else words)))
