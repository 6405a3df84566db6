#!/usr/bin/python3
"""Poppyfield's backup on a Pi, and the way from a backup to a Pi that serves it again.

Stands alone, on Python's own library: the module backup_service installs this file as it is. restic keeps the backups,
and is fed by streams. One backup is several snapshots of one run, and counts from the moment on when the last of them,
the record, is there, which names the others. Whatever ends a run before leaves snapshots without a record, which the
next run removes.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.parse import quote

Json = dict[str, Any]

SETTINGS = "/etc/poppyfield/backup/settings.json"
TAG = "poppyfield"
RECORD = "record"
RUN_TAG = "run="
ORDER_TAG = "order="
# Of what comes by a stream; restic 0.18 (trixie) takes no such name with a folder in it.
RECORD_NAME = "/record.json"
GLOBALS_NAME = "/globals.sql"
CHUNK = 1 << 20
CHECK_EVERY = timedelta(days=7)
CHECK_PARTS = 10
"""A weekly check reads the next tenth of all that is stored."""
MOST_REPACKED = "256M"
"""What is written at most to give up room in one week: a stick wears."""
SPARE_BYTES = 200_000_000
STAGING = ".restoring-"
"""How the folders begin into which a backup is unpacked, beside those whose place it is to take."""
PENDING = (
    "A restore is neither kept nor taken back: sudo /usr/local/lib/poppyfield/backup finish keeps it, "
    "and take-back in place of finish puts back what was there before."
)
LONGEST_NAME = 63
LAST_MINUTE = "last_minute"
"""What the program is called that saves and restores it, beside this one."""
TRIAL_MAPS = "trial_maps"
"""What the program is called that draws the maps of a trial, beside this one."""
PART = "restore_part"
"""What the program is called that restores one table or one project, beside this one."""
NEW_CARD = "card.new"
WITHOUT_LAST_MINUTE = {
    True: ", without a last minute: this Pi is to save none (backup_wal)",
    False: ", without a last minute: none is saved on another machine",
}
"""By whether the target is in this Pi."""
SSH_FOLDER = "ssh"
"""Beside the password: the Pi's key for targets by SFTP, and the keys of their machines."""
SSH_KEY = "id_ed25519"
SFTP = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)@([A-Za-z0-9][A-Za-z0-9.-]*):(/[^\s]*)")
"""User, machine and folder."""
AWAY = re.compile(r"timed out|timeout|refused|no route|unreachable|could not resolve|temporary failure", re.IGNORECASE)
"""What ssh says of a machine that is not there."""
PROOF = "proof"
PROVE_EVERY = timedelta(days=7)
PROVE_AGAIN = timedelta(days=1)
"""After one that was not equal: what is wrong may be gone, and a restore is much to read and write."""
PROOF_SECONDS = 3 * 3600
READY_SECONDS = 900
PROOF_LABEL = "fr.poppyfield.proof"
PROOF_MEMORY = "384m"
MOST_DIFFERENCES = 20
"""Of a proof, that are written down."""
MAGIC_OF_SQLITE = b"SQLite format 3\0"
PULLED_OUT = "it was pulled out, or is damaged"
DAMAGED = (
    "it is damaged: take another one for new backups, and keep this one: restic check on another computer tells more"
)
SIGNS_OF_DAMAGE = (
    *("does not contain", "is damaged", "verification failed", "invalid data", "unmarshal", "unexpected eof", "): eof"),
    *("not found in repository", "runtime.goexit"),
)
"""The last one is of restic itself, which ends so where its configuration is empty."""
MEANINGS = (
    (
        "wrong password",
        "it was made with another password than this Pi's, or its keys are lost. It is of another Pi of this name, or "
        "the password was replaced: give this Pi the right one (backup_password_folder), or name another target",
    ),
    ("no space left", "it is full. Take a bigger one, or keep fewer (backup_keep)"),
    ("read-only file system", "it can't be written to: it was pulled out, is write-protected, or is damaged"),
    ("input/output error", PULLED_OUT),
    ("no such file or directory", PULLED_OUT),
    *((words, DAMAGED) for words in SIGNS_OF_DAMAGE),
)
"""What restic says, and what that means for a person."""
UNREADABLE = "could not load snapshot"
"""What restic says of a snapshot that it leaves out of a list."""
SOME_UNREAD = 3
"""What restic ends with when it has saved all but some files that it could not read."""
MOST_NAMED = 5
PG_OPTIONS = "-c role=none -c search_path= -c log_min_error_statement=panic -c statement_timeout=0"
"""Nothing that the owner of a database may have set changes what a dump holds, and no verifier gets into the log."""
PSQL = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--username=postgres", "--file=-")
DATABASES = """
SELECT coalesce(json_agg(json_build_object('name', datname, 'bytes', pg_database_size(oid)) ORDER BY datname), '[]')
FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres' AND datname !~ '__loading$';
"""
SESSION = """
SET client_encoding = 'UTF8'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC';
SET bytea_output = 'hex'; SET extra_float_digits = 1; SET lc_monetary = 'C'; SET quote_all_identifiers = off;
SET jit = off;
SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN
('idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout', 'lock_timeout');
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
"""
"""What an owner may have set changes neither how a row is written as text, nor how long the session lasts."""
EXPORT = "SELECT pg_export_snapshot();"
OF_PEOPLE = "{schema}::regnamespace::text !~ '^(pg_|information_schema$)'"
OF_EXTENSION = """
LEFT JOIN pg_depend d ON d.classid = '{catalogue}'::regclass AND d.objid = {oid} AND d.objsubid = 0 AND d.deptype = 'e'
"""
RELATIONS = f"""
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
{OF_EXTENSION.format(catalogue="pg_class", oid="c.oid")}
LEFT JOIN pg_extension e ON e.oid = d.refobjid
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't'
AND (e.oid IS NULL OR c.oid = ANY (e.extconfig))
"""
"""As pg_dump chooses them: of an extension's own tables those that people fill, and of these what is not its own."""
TABLES = f"""
SELECT coalesce(json_agg(json_build_object('name', format('%I.%I', n.nspname, c.relname), 'sql', format(
    'SELECT json_build_array(count(*), coalesce(sum(hashtextextended(ROW(%s)::text, 0)), 0)::text,'
    ' coalesce(pg_relation_filenode(%s) = %s, false)) FROM ONLY %I.%I t %s;',
    (SELECT string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attname) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    c.oid, c.relfilenode, n.nspname, c.relname,
    e.extcondition[array_position(e.extconfig, c.oid)]))), '[]')
{RELATIONS} AND c.relkind = 'r';
"""  # noqa: S608
SEQUENCES = f"""
SELECT coalesce(json_agg(json_build_object('name', format('%I.%I', n.nspname, c.relname), 'sql', format(
    'SELECT to_json((last_value::numeric + CASE WHEN is_called THEN %s ELSE 0 END)::text) FROM %I.%I;',
    (SELECT seqincrement FROM pg_sequence WHERE seqrelid = c.oid), n.nspname, c.relname))), '[]')
{RELATIONS} AND c.relkind = 'S';
"""  # noqa: S608
NUMBERS = """
SELECT coalesce(json_agg(json_build_object('name', s.name, 'sql', format(
    'SELECT json_build_array(last_value, is_called) FROM %s;', s.name))), '[]')
FROM (SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e'
    WHERE c.relkind = 'S') s;
"""
"""Sequences of extensions, which a dump holds only where the extension says so. One numbers PostGIS' topologies."""
SET_NUMBER = "SELECT pg_catalog.setval({name}, {value}, {called}) WHERE pg_catalog.to_regclass({name}) IS NOT NULL;\n"
LARGE_OBJECTS = """
SELECT json_build_array(
    count(*), coalesce(sum(hashtextextended(oid || encode(sha256(lo_get(oid)), 'hex'), 0)), 0)::text, true)
FROM pg_largeobject_metadata;
"""
RIGHTS = f"""
WITH objects (kind, name, owner, acl, of_extension) AS (
    SELECT 'database', quote_ident(datname), datdba, coalesce(datacl, acldefault('d', datdba)), false
    FROM pg_database WHERE datname = current_database()
    UNION ALL
    SELECT 'schema', n.oid::regnamespace::text, n.nspowner,
        CASE WHEN d.objid IS NULL THEN coalesce(n.nspacl, acldefault('n', n.nspowner)) ELSE n.nspacl END,
        d.objid IS NOT NULL
    FROM pg_namespace n {OF_EXTENSION.format(catalogue="pg_namespace", oid="n.oid")}
    WHERE {OF_PEOPLE.format(schema="n.oid")}
    UNION ALL
    SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, c.oid::regclass::text, c.relowner,
        CASE WHEN d.objid IS NULL
        THEN coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
        ELSE c.relacl END, d.objid IS NOT NULL
    FROM pg_class c {OF_EXTENSION.format(catalogue="pg_class", oid="c.oid")}
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {OF_PEOPLE.format(schema="c.relnamespace")}
    UNION ALL
    SELECT 'column', format('%s.%I', c.oid::regclass, a.attname), c.relowner, a.attacl, true
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND {OF_PEOPLE.format(schema="c.relnamespace")}
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text, p.proowner,
        CASE WHEN d.objid IS NULL THEN coalesce(p.proacl, acldefault('f', p.proowner)) ELSE p.proacl END,
        d.objid IS NOT NULL
    FROM pg_proc p {OF_EXTENSION.format(catalogue="pg_proc", oid="p.oid")}
    WHERE {OF_PEOPLE.format(schema="p.pronamespace")}
    UNION ALL
    SELECT 'type', t.oid::regtype::text, t.typowner, coalesce(t.typacl, acldefault('T', t.typowner)), false
    FROM pg_type t {OF_EXTENSION.format(catalogue="pg_type", oid="t.oid")}
    WHERE t.typtype IN ('d', 'e', 'r') AND d.objid IS NULL AND {OF_PEOPLE.format(schema="t.typnamespace")}
    UNION ALL
    SELECT 'rights given beforehand', concat_ws(' ', defaclobjtype, nullif(defaclnamespace, 0)::regnamespace),
        defaclrole, defaclacl, false
    FROM pg_default_acl
    UNION ALL
    SELECT 'large object', oid::text, lomowner, coalesce(lomacl, acldefault('L', lomowner)), false
    FROM pg_largeobject_metadata
)
SELECT coalesce(json_agg(line), '[]') FROM (
    SELECT format('%s %s is owned by %s', kind, name, pg_get_userbyid(owner)) FROM objects WHERE NOT of_extension
    UNION
    SELECT format('%s %s: %s has %s%s%s', kind, name,
        CASE grantee WHEN 0 THEN 'everybody' ELSE pg_get_userbyid(grantee) END, privilege_type,
        CASE WHEN is_grantable THEN ' and may give it on' ELSE '' END,
        CASE WHEN of_extension OR grantor = owner THEN '' ELSE ', given by ' || pg_get_userbyid(grantor) END)
    FROM objects, aclexplode(acl) WHERE NOT of_extension OR grantee <> owner
    UNION
    SELECT format('setting of the database%s: %s',
        CASE setrole WHEN 0 THEN '' ELSE ' for ' || pg_get_userbyid(setrole) END, setting)
    FROM pg_db_role_setting, unnest(setconfig) setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) lines (line);
"""  # noqa: S608
"""In words, so that what differs can be said. Of an extension only what others got: its owner is whoever made it."""
ROLES = """
SELECT coalesce(json_agg(line), '[]') FROM (
    SELECT format('role %I: %s', rolname, concat_ws(', ', 'limit ' || rolconnlimit, 'until ' || rolvaliduntil,
        CASE WHEN rolsuper THEN 'superuser' END, CASE WHEN rolinherit THEN 'inherits' END,
        CASE WHEN rolcreaterole THEN 'makes roles' END, CASE WHEN rolcreatedb THEN 'makes databases' END,
        CASE WHEN rolcanlogin THEN 'logs in' END, CASE WHEN rolreplication THEN 'replicates' END,
        CASE WHEN rolbypassrls THEN 'passes row security' END,
        'password ' || left(encode(sha256(convert_to(rolpassword, 'UTF8')), 'hex'), 8)))
    FROM pg_authid WHERE rolname !~ '^pg_'
    UNION ALL
    SELECT DISTINCT format('role %I is in %I%s', pg_get_userbyid(member), pg_get_userbyid(roleid),
        CASE WHEN admin_option THEN ', and may take others in' ELSE '' END)
    FROM pg_auth_members WHERE pg_get_userbyid(member) !~ '^pg_'
    UNION ALL
    SELECT format('setting of role %I: %s', pg_get_userbyid(setrole), setting)
    FROM pg_db_role_setting, unnest(setconfig) setting WHERE setdatabase = 0 AND setrole <> 0
) lines (line);
"""


class BackupError(Exception):
    """What went wrong, in a sentence."""


class AbsentError(BackupError):
    """The target is not there."""


class NotTriedError(BackupError):
    """A backup could not be restored for trial, which tells nothing of it."""


@dataclass(frozen=True)
class Settings:
    """What the module backup_service has written down for this Pi."""

    host: str
    targets: list[Json]
    keep: dict[str, int]
    folders: dict[str, str]
    """By name the folders that are restored."""
    also: list[str]
    """What is saved for people to look at."""
    data_folder: str
    postgis: str
    lizmap: str
    healthy_timeout: int = 900
    prove: bool = True
    """Whether the timer restores backups for trial."""
    wal: bool = False
    """Whether the last minute is saved as well, see `last_minute`."""
    max_age_days: int = 3
    max_unproven_days: int = 14
    """These two are for whoever judges what is written down, see `state`."""
    image: str = ""
    """Of what a backup is restored for trial into, where that is no Pi's; else that of the database's container."""
    password_file: str = "/etc/poppyfield/backup/password"  # noqa: S105 - a path
    run_folder: str = "/run/poppyfield-backup"
    state_folder: str = "/var/lib/poppyfield/backup"

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Read them from their file."""
        return cls(**json.loads(path.read_text("utf-8")))

    def target(self, name: str) -> Json:
        """Give a target by its name."""
        for target in self.targets:
            if target["name"] == name:
                return target
        names = ", ".join(str(target["name"]) for target in self.targets)
        raise BackupError(f"There is no target {name}; this Pi has {names}.")

    @property
    def journal(self) -> Path:
        """Where a restore writes down what it has begun: no name that a target's file can have, as the next."""
        return Path(self.state_folder) / "restore.journal"

    @property
    def restored(self) -> Path:
        """What this card was restored from."""
        return Path(self.state_folder) / "restored.from"

    @property
    def new_card(self) -> Path:
        """Is there where this card was empty when backups were set up, until it was saved or restored."""
        return Path(self.state_folder) / NEW_CARD

    @property
    def digests(self) -> Path:
        """Where it is remembered, in memory, which files have which digest."""
        return Path(self.run_folder) / "digests.json"

    @property
    def last_minute_folder(self) -> str:
        """Where it is written down, in memory, how the last minute fares on each target."""
        return f"{self.run_folder}-wal"

    @property
    def trial(self) -> Settings:
        """The same with the containers in which a backup is restored for trial."""
        return replace(self, postgis=f"{self.postgis}-proof", lizmap=f"{self.lizmap}-proof")

    @property
    def near(self) -> list[Json]:
        """The targets that are in this Pi: they get the last minute, and backups on them are restored for trial."""
        return [target for target in self.targets if not target.get("sftp")]

    @property
    def ssh_folder(self) -> Path:
        """Where the key of this Pi lies, and the keys of the machines that are targets by SFTP."""
        return Path(self.password_file).parent / SSH_FOLDER

    def state_of(self, target: Mapping[str, Any]) -> Path:
        """Where it is written down how the backups on a target went."""
        return Path(self.state_folder) / f"{target['name']}.json"


# Decisions ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A backup that is complete."""

    name: str
    time: datetime
    record: str
    """The id of its last snapshot."""
    order: int = 0
    """Which one it is on its target: a Pi has no clock that can be trusted. Those of earlier releases have none."""


def run_of(snapshot: Mapping[str, Any]) -> str:
    """Give the run that a snapshot belongs to, empty when it is none of ours."""
    tags = snapshot.get("tags") or []
    return next((tag.removeprefix(RUN_TAG) for tag in tags if TAG in tags and tag.startswith(RUN_TAG)), "")


def complete_runs(snapshots: Iterable[Mapping[str, Any]]) -> list[Run]:
    """Give the backups that count, the newest last, whatever the clock said when they were made."""
    found = [
        Run(run_of(snapshot), moment(snapshot["time"]), snapshot["id"], order_of(snapshot))
        for snapshot in snapshots
        if run_of(snapshot) and RECORD in snapshot["tags"]
    ]
    return sorted(found, key=lambda run: (run.order, run.time))


def order_of(snapshot: Mapping[str, Any]) -> int:
    """Give which backup of its target a snapshot belongs to, 0 where it does not say."""
    return next((int(tag.removeprefix(ORDER_TAG)) for tag in snapshot["tags"] if tag.startswith(ORDER_TAG)), 0)


def clock_problem(earlier: Sequence[Run], now: datetime) -> str:
    """Say that a backup is made at a time before that of one made earlier, empty where it is not."""
    latest = max((run.time for run in earlier), default=now)
    if latest <= now:
        return ""
    kept = "Until then only the newest of those that seem older is kept."
    return f" This Pi's clock is wrong, or was: an earlier backup is of {told(latest)}. Set it. {kept}"


def without_record(snapshots: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give the ids of our snapshots that belong to no backup that counts."""
    complete = {run.name for run in complete_runs(snapshots)}
    return [snapshot["id"] for snapshot in snapshots if run_of(snapshot) and run_of(snapshot) not in complete]


def chosen(runs: Sequence[Run], when: str) -> Run:
    """Give the newest backup, or the newest that is not younger than a time."""
    if not runs:
        raise BackupError("There is no complete backup of this Pi.")
    if when == "latest":
        return runs[-1]
    try:
        limit = datetime.fromisoformat(when).astimezone(UTC)
    except ValueError:
        raise BackupError(f"{when!r} is no time. Write latest, or a time as in 2026-11-29T10:02.") from None
    if not limit.second:
        # Backups are told by the minute.
        limit += timedelta(seconds=59)
    earlier = [run for run in runs if run.time <= limit]
    if not earlier:
        raise BackupError(f"There is no backup that old: the oldest is of {told(runs[0].time)}.")
    return earlier[-1]


def moment(text: str) -> datetime:
    """Read a time as restic writes it, to the second."""
    return datetime.fromisoformat(re.sub(r"\.\d+", "", text)).astimezone(UTC)


def told(time_of: datetime) -> str:
    """Write a time for people, in that of this Pi."""
    return time_of.astimezone().strftime("%Y-%m-%d %H:%M")


def meaning(said: str) -> str:
    """Say what went wrong, from what restic has printed."""
    for words, sentence in MEANINGS:
        if words in said.lower():
            return sentence
    lines = [_words_of(line) for line in said.splitlines() if line.strip()]
    return " ".join(" ".join(lines[-2:]).split()) or "restic ended without a word"


def unread(said: str) -> list[str]:
    """Give the files that restic could not read, from what it has printed."""
    documents = []
    for line in said.splitlines():
        with suppress(ValueError):
            documents.append(json.loads(line))
    errors = [one for one in documents if isinstance(one, dict) and one.get("message_type") == "error"]
    return list(dict.fromkeys(str(one.get("item", "?")) for one in errors))


def not_in_it(paths: Sequence[str]) -> str:
    """Say which files a backup lacks, empty where there are none."""
    more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    named = ", ".join(paths[:MOST_NAMED]) + more
    return f" These could not be read, and are not in it: {named}. The card may be failing." if paths else ""


def _words_of(line: str) -> str:
    """Give what a line says to people: newer versions of restic write their last one as JSON."""
    with suppress(ValueError):
        document = json.loads(line)
        if isinstance(document, dict):
            return str(document.get("message", line))
    return line


def mount_points(mountinfo: str) -> set[str]:
    """Give the folders on which something is mounted."""
    fields = (line.split(" ") for line in mountinfo.splitlines())
    return {re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field[4]) for field in fields}


def set_aside(name: str, what: str, stamp: str) -> str:
    """Give the name that a database gets while another one takes its place."""
    new = f"{name}__{what}_{stamp}"
    if len(new.encode()) > LONGEST_NAME:
        raise BackupError(f"The name of the database {name} is too long to set it aside. Nothing was changed.")
    return new


def room_problem(needs: Iterable[tuple[str, int, int, int]]) -> str:
    """Say where there is too little room, from folder, file system, bytes that are needed and bytes that are free."""
    wanted: dict[int, int] = {}
    for folder, device, needed, free in needs:
        wanted[device] = wanted.get(device, SPARE_BYTES) + needed
        if wanted[device] > free:
            megabytes = (wanted[device] - free) // 1_000_000 + 1
            return f"{megabytes} MB are missing on the disk of {folder}, where what is in place stays beside it"
    return ""


def keep_options(keep: Mapping[str, int]) -> list[str]:
    """Give restic's options for how many backups are kept."""
    return [f"--keep-{period}={count}" for period, count in sorted(keep.items()) if count > 0]


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text for SQL."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def connection(database: str) -> str:
    """Give the option that connects to a database of any name."""
    inside = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"--dbname=dbname='{inside}'"


def if_there(database: str, *statements: str) -> str:
    """Give the psql script that does something where there is such a database."""
    asked = f"SELECT count(*) > 0 AS there FROM pg_database WHERE datname = {literal(database)} \\gset\n"  # noqa: S608
    return f"{asked}\\if :there\n{''.join(statements)}\\endif\n"


def closing_off(database: str) -> str:
    """Give the script that ends the sessions of a database, and lets nobody in: a later dump leaves it out, too."""
    closed = f"ALTER DATABASE {identifier(database)} ALLOW_CONNECTIONS false;\n"
    ended = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
    return if_there(database, closed, f"{ended} WHERE datname = {literal(database)};\n")


def renaming(old: str, new: str) -> str:
    """Give the script that renames a database."""
    return if_there(old, f"ALTER DATABASE {identifier(old)} RENAME TO {identifier(new)};\n")


def setting_aside(names: Iterable[str], stamp: str) -> str:
    """Give the script that sets databases aside, all or none."""
    names = list(names)
    renamed = "".join(renaming(name, set_aside(name, "before", stamp)) for name in names)
    return f"{''.join(map(closing_off, names))}BEGIN;\n{renamed}COMMIT;\n"


def taking_back(names: Mapping[str, bool], stamp: str) -> str:
    """Give the script that gives databases their names again, wherever the setting aside or what followed was cut off.

    `names` tells of each whether it was there. One that was, and has not been set aside, is as it was.
    """
    renamed = ""
    for name, was_there in names.items():
        before, failed = set_aside(name, "before", stamp), set_aside(name, "failed", stamp)
        swapped = renaming(name, failed) + renaming(before, name)
        renamed += if_there(before, swapped) if was_there else swapped
    opened_again = "".join(
        if_there(name, f"ALTER DATABASE {identifier(name)} ALLOW_CONNECTIONS true;\n")
        for name, was_there in names.items()
        if was_there
    )
    return f"{''.join(map(closing_off, names))}BEGIN;\n{renamed}COMMIT;\n{opened_again}"


def outcome_line(outcome: Mapping[str, Any]) -> str:
    """Say in a line how a backup went, and the newest proof."""
    proof = outcome.get(PROOF) or {"said": "It was not restored for trial yet."}
    return f"{outcome['target']}: {outcome['said']}{' ' + proof['said'] if outcome.get('saved') else ''}"


def is_due(state: Mapping[str, Any], now: datetime) -> bool:
    """Tell whether a backup is to be restored for trial: the first, then once a week, or a day after a failure."""
    proof = state.get(PROOF)
    if not proof:
        return True
    return now - datetime.fromisoformat(proof["at"]) >= (PROVE_EVERY if proof["result"] == "equal" else PROVE_AGAIN)


def is_disproven(state: Mapping[str, Any]) -> bool:
    """Tell whether the newest backup that was restored for trial is not what was saved."""
    return (state.get(PROOF) or {}).get("result") in ("different", "failed")


# Whether what was restored is what was saved. Each is given what was recorded and what was found, and gives sentences.


def differences(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Say all that differs between what a backup held, as it was recorded then, and what was restored from it."""
    said = _of_rights("", recorded["roles"], found["roles"])
    for name, content in recorded["databases"].items():
        if name not in found["databases"]:
            said.append(f"The database {name} is missing.")
            continue
        restored = found["databases"][name]
        said += _of_tables(f"{name}: ", content["tables"], restored["tables"])
        said += _of_sequences(f"{name}: ", content["sequences"], restored["sequences"])
        said += _of_rights(f"{name}: ", content["rights"], restored["rights"])
    return said + _of_files(recorded["files"], found["files"])


def _of_tables(where: str, recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    said = [f"{where}{name} was not saved, and is there." for name in found if name not in recorded]
    for name, content in recorded.items():
        if name not in found:
            said.append(f"{where}{name} is missing.")
        # One that was emptied or rewritten while it was saved looks empty to whoever began before.
        elif content is None or content == found[name]:
            continue
        elif found[name] is None:
            said.append(f"{where}{name} can't be read.")
        elif content[0] != found[name][0]:
            said.append(f"{where}{name} has {found[name][0]} rows, and had {content[0]}.")
        else:
            said.append(f"{where}{name} has other values in its {content[0]} rows than it had.")
    return said


def _of_sequences(where: str, recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Compare the next value: a sequence goes on while it is saved, so that there is a first and a last one."""
    said = [f"{where}the sequence {name} was not saved, and is there." for name in found if name not in recorded]
    for name, between in recorded.items():
        if name not in found:
            said.append(f"{where}the sequence {name} is missing.")
        elif between is not None and (found[name] is None or not between[0] <= found[name][0] <= between[1]):
            value = "nothing" if found[name] is None else found[name][0]
            said.append(f"{where}the sequence {name} would give {value} next, and not {between[0]}.")
    return said


def _of_rights(where: str, recorded: Sequence[str], found: Sequence[str]) -> list[str]:
    missing = [f"{where}missing: {line}." for line in sorted({*recorded} - {*found})]
    return missing + [f"{where}was not so: {line}." for line in sorted({*found} - {*recorded})]


def _of_files(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    said = []
    for path, saved in recorded.items():
        restored = found.get(path)
        if restored is None:
            said.append(f"{path} is missing.")
        elif restored["bytes"] != saved["bytes"]:
            said.append(f"{path} has {restored['bytes']} bytes, and had {saved['bytes']}.")
        elif restored["digest"] != saved["digest"]:
            said.append(f"{path} has another content than it had.")
        elif restored["owner"] != saved["owner"]:
            said.append(f"{path} has another owner or other rights than it had.")
    return said


def faults_of_maps(maps: Mapping[str, str]) -> list[str]:
    """Say which maps do not draw from what was restored, and why."""
    return [f"The map {name} does not draw from it: {why}" for name, why in maps.items() if why]


def objects_of(content: Mapping[str, Any]) -> dict[str, int]:
    """Count what a proof compares."""
    databases_in = content["databases"].values()
    tables = [table for one in databases_in for table in one["tables"].values() if table is not None]
    return {
        "databases": len(content["databases"]),
        "tables": len(tables),
        "rows": sum(rows for rows, _ in tables),
        "sequences": sum(len(one["sequences"]) for one in databases_in),
        "rights": len(content["roles"]) + sum(len(one["rights"]) for one in databases_in),
        "files": len(content["files"]),
    }


# What is on this Pi -------------------------------------------------------------------------------------------------


def do(command: Sequence[str], *, given: bytes = b"") -> str:
    """Run a command; give what it printed. Raises BackupError."""
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())[-500:]
        raise BackupError(f"{command[0]} {command[1]}: {said or done.returncode}")
    return done.stdout.decode(errors="replace")


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a file of ours, which is there whole or not at all whenever the power goes."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=1, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Let the names in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path) -> Json:
    """Read such a file; nothing where there is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def locked(settings: Settings, *, wait: bool) -> Iterator[bool]:
    """Hold the one lock of backup and restore; False where another one holds it and nobody is to wait."""
    folder = Path(settings.run_folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def mounted(settings: Settings, target: Mapping[str, Any]) -> Iterator[Path]:
    """Mount a target for as long as it is needed, out of reach of others. Raises AbsentError where it is not there.

    A folder is mounted once more, too: what is written goes to its file system even if that is unmounted meanwhile,
    and never to the card.
    """
    place = Path(settings.run_folder) / target["name"]
    if target.get("sftp"):
        SftpServer.of(settings, target).reach()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield place
        return
    source = source_of(target)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    unmount(place)
    do(["mount", *source, str(place)])
    try:
        yield place
    finally:
        unmount(place)


def source_of(target: Mapping[str, Any]) -> list[str]:
    """Give what mounts a target. Raises AbsentError."""
    if target.get("folder"):
        folder = os.path.realpath(target["folder"])
        if folder not in mount_points(Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")):
            raise AbsentError(f"nothing is mounted on {target['folder']}, so nothing was written.")
        return ["--bind", folder]
    label = target["label"]
    command = ["blkid", "--cache-file", "/dev/null", "--match-token", f"LABEL={label}", "--output", "device"]
    devices = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    if not devices:
        raise AbsentError(f"no stick with the label {label} is in this Pi.")
    if len(devices) > 1:
        raise BackupError(f"{len(devices)} sticks have the label {label}, so none was written to: pull out the others.")
    # Whoever made the stick has not made links in it that lead to the card.
    return ["--options", "nosuid,nodev,noexec,nosymfollow,noatime", devices[0]]


def unmount(place: Path) -> None:
    """Take a mount of ours away, with whatever a run that was cut off has left."""
    while str(place) in mount_points(Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")):
        try:
            do(["umount", str(place)])
        except BackupError:
            do(["umount", "--lazy", str(place)])


@dataclass(frozen=True)
class SftpServer:
    """The machine of a target by SFTP."""

    name: str
    user: str
    machine: str
    port: int
    folder: str
    keys: Path

    @classmethod
    def of(cls, settings: Settings, target: Mapping[str, Any]) -> SftpServer:
        """Read a target."""
        found = SFTP.fullmatch(target["sftp"])
        if not found:
            raise BackupError(f"{target['sftp']} is not USER@MACHINE:/FOLDER.")
        return cls(target["name"], found[1], found[2], target.get("port") or 22, found[3], settings.ssh_folder)

    def command(self) -> list[str]:
        """Give the command whose input and output are SFTP: by this Pi's key alone, and with that machine alone."""
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": f"{self.keys}/{self.name}.known_hosts",
            "GlobalKnownHostsFile": "none",
            "UpdateHostKeys": "no",
            "ConnectTimeout": "10",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "4",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        where = ("-i", f"{self.keys}/{SSH_KEY}", "-p", str(self.port), "-l", self.user, self.machine)
        return ["ssh", "-F", "none", *words, *where, "-s", "sftp"]

    def reach(self) -> None:
        """Raise AbsentError where the machine does not answer, and BackupError where it is another or refuses."""
        quiet = subprocess.DEVNULL
        done = subprocess.run(self.command(), stdin=quiet, stdout=quiet, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode == 0:
            return
        if "Host key verification failed" in done.stderr:
            raise BackupError(
                f"{self.machine} shows another key than host_key in backup_targets, so nothing was sent. If it was set "
                f"up again, give its new key; if not, somebody is in between."
            )
        if "Permission denied" in done.stderr:
            key = (self.keys / f"{SSH_KEY}.pub").read_text("utf-8").strip()
            raise BackupError(
                f"{self.machine} does not let this Pi in. Add this line to .ssh/authorized_keys of {self.user} there: "
                f"{key}"
            )
        said = " ".join(done.stderr.split())[-300:]
        if AWAY.search(said):
            raise AbsentError(f"{self.machine} does not answer, so nothing was saved there.")
        raise BackupError(f"{self.machine}: {said or 'ssh ended without a word'}")


# The repository -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Saved:
    """A snapshot that was made."""

    snapshot: str
    name: str
    bytes_added: int
    bytes_read: int
    unread: tuple[str, ...] = ()
    """Files that are there, and not in it."""


class BackupRepository:
    """This Pi's repository on a target, through restic."""

    def __init__(self, settings: Settings, place: Path) -> None:
        self._host = settings.host
        self.place = place
        """Where its target is mounted."""
        self._folder = place / "poppyfield" / settings.host
        # restic writes each pack into a temporary file first: not on the card.
        self._temporary = place / "poppyfield" / f"{settings.host}.tmp"
        self._scratch = scratch_folder(settings, place)
        others = {name: value for name, value in os.environ.items() if not name.startswith("RESTIC_")}
        self.environment = {
            **others,
            "RESTIC_REPOSITORY": str(self._folder),
            "RESTIC_PASSWORD_FILE": settings.password_file,
            "RESTIC_PROGRESS_FPS": "0.01",
            "TMPDIR": str(self._temporary),
            # A Pi has little memory.
            "GOGC": "20",
        }

    def open(self, *, make: bool = False, unlock: bool = True) -> None:
        """Find the repository, or make it. Raises BackupError where something else is there.

        To unlock it takes restic a second: needless for who has done so just before.
        """
        if not self._is_there():
            if not make:
                raise BackupError(f"there is no backup of {self._host}{self._others()}.")
            self._make()
        # Of a proof that was cut off.
        shutil.rmtree(self._scratch, ignore_errors=True)
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(mode=0o700)
        if unlock:
            # Those of programs that have ended.
            self.do("unlock")

    def _others(self) -> str:
        """Say whose backups are there."""
        names = sorted(path.parent.name for path in self._folder.parent.glob("*/config") if "." not in path.parent.name)
        return f"; it has some of {', '.join(names)}" if names else ""

    def close(self) -> None:
        """Leave nothing but the repository."""
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _is_there(self) -> bool:
        return (self._folder / "config").exists()

    def _make(self) -> None:
        """Make the repository whole, or not at all."""
        if self._folder.exists():
            raise BackupError(f"{self._folder.name} in poppyfield/ is no backup. Remove it, or take another target.")
        partial = self._folder.with_name(f"{self._host}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700, parents=True)
        self._temporary.mkdir(mode=0o700, exist_ok=True)
        self.do("init", RESTIC_REPOSITORY=str(partial))
        partial.rename(self._folder)
        sync(self._folder.parent)

    def _command(self, *words: str) -> list[str]:
        return ["restic", "--no-cache", *words]

    def do(self, *words: str, **environment: str) -> str:
        """Run restic; give what it printed."""
        return self._done(*words, **environment).stdout

    def _done(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self._command(*words),
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise BackupError(meaning(done.stderr or done.stdout) + ".")
        return done

    def snapshots(self) -> list[Json]:
        """Give all snapshots of this Pi that can be read."""
        return self._listed()[0]

    def _listed(self) -> tuple[list[Json], bool]:
        """Give all snapshots of this Pi that can be read, and whether there are others."""
        done = self._done("snapshots", "--json", "--host", self._host)
        return json.loads(done.stdout or "[]") or [], UNREADABLE in done.stderr

    def runs(self) -> list[Run]:
        """Give the backups that count. Raises BackupError where there is none that can be read, and others."""
        snapshots, others = self._listed()
        runs = complete_runs(snapshots)
        if others and not runs:
            raise BackupError(f"{DAMAGED}.")
        return runs

    def save_output(
        self, producer: Sequence[str], name: str, run: str, kind: str, owner: os.stat_result | None = None
    ) -> Saved:
        """Save what a command prints. No snapshot is made where the command fails: restic never sees the end."""
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
            drops = owner is not None and owner.st_uid != os.geteuid()
            process = subprocess.Popen(
                producer,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                user=owner.st_uid if owner and drops else None,
                group=owner.st_gid if owner and drops else None,
                extra_groups=[] if drops else None,
            )
            restic = subprocess.Popen(
                self._backup(run, kind, "--stdin", "--stdin-filename", name),
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=self.environment,
            )
            assert process.stdout and restic.stdin  # noqa: S101 - both are pipes
            with suppress(BrokenPipeError):
                shutil.copyfileobj(process.stdout, restic.stdin, CHUNK)
            process.stdout.close()
            if process.wait() and restic.poll() is None:
                interrupt(restic)
                raise BackupError(f"{name} could not be made: {last_words(complaints)}. This backup does not count.")
            with suppress(BrokenPipeError):
                restic.stdin.close()
            return self._saved(name, restic.wait(), _text(said))

    def save_bytes(self, content: bytes, name: str, run: str, kind: str) -> Saved:
        """Save what is there already."""
        command = self._backup(run, kind, "--stdin", "--stdin-filename", name)
        done = subprocess.run(command, input=content, env=self.environment, capture_output=True, check=False)
        return self._saved(name, done.returncode, (done.stdout + done.stderr).decode(errors="replace"))

    def save_paths(self, paths: Sequence[str], left_out: Iterable[str], run: str, kind: str) -> Saved:
        """Save files and folders, but for those within them that are left out."""
        without = [word for path in left_out for word in ("--exclude", re.sub(r"([\\*?\[])", r"\\\1", path))]
        command = self._backup(run, kind, *without, "--", *paths)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, env=self.environment, capture_output=True, check=False)
        said = (done.stdout + done.stderr).decode(errors="replace")
        saved = self._saved("the files", 0 if done.returncode == SOME_UNREAD else done.returncode, said)
        # What was removed while it was being read, as sessions of Lizmap are, is nobody's loss.
        return replace(saved, unread=tuple(path for path in unread(said) if os.path.lexists(path)))

    def _backup(self, run: str, kind: str, *words: str) -> list[str]:
        tags = [word for tag in (TAG, RUN_TAG + run, kind) for word in ("--tag", tag)]
        return self._command("backup", "--json", "--host", self._host, *tags, *words)

    @staticmethod
    def _saved(name: str, code: int, said: str) -> Saved:
        summaries = [line for line in said.splitlines() if '"message_type":"summary"' in line]
        if code or not summaries:
            raise BackupError(f"{name} could not be saved: {meaning(said)}.")
        summary = json.loads(summaries[-1])
        return Saved(summary["snapshot_id"], name, summary["data_added"], summary["total_bytes_processed"])

    def dump(self, snapshot: str, name: str) -> bytes:
        """Give what was saved of one stream, when it is little."""
        command = self._command("dump", snapshot, name)
        done = subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            raise BackupError(meaning(done.stderr.decode(errors="replace")) + ".")
        return done.stdout

    def pour(self, snapshot: str, name: str, consumer: Sequence[str]) -> None:
        """Give what was saved of one stream to a command. Raises BackupError unless both ended well."""
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
            restic = subprocess.Popen(
                self._command("dump", snapshot, name),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
            )
            done = subprocess.run(
                consumer, stdin=restic.stdout, stdout=subprocess.DEVNULL, stderr=complaints, check=False
            )
            assert restic.stdout  # noqa: S101 - it is a pipe
            restic.stdout.close()
            if restic.wait() and not done.returncode:
                raise BackupError(f"{name} could not be read: {meaning(_text(said))}.")
            if done.returncode:
                raise BackupError(f"{name} could not be restored: {last_words(complaints)}.")

    def beginning(self, snapshot: str, name: str, consumer: Sequence[str]) -> str:
        """Give what a command prints that reads only the beginning of what was saved of a stream."""
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
            command, quiet = self._command("dump", snapshot, name), subprocess.DEVNULL
            with subprocess.Popen(
                command, env=self.environment, stdin=quiet, stdout=subprocess.PIPE, stderr=said
            ) as restic:
                done = subprocess.run(
                    consumer, stdin=restic.stdout, stdout=subprocess.PIPE, stderr=complaints, check=False
                )
                restic.kill()
            if done.returncode:
                why = meaning(_text(said)) if _text(said).strip() else last_words(complaints)
                raise BackupError(f"{name} could not be read: {why}.")
        return done.stdout.decode(errors="replace")

    def files_in(self, snapshot: str) -> dict[str, Json]:
        """Give what the files of a snapshot hold, as restic restores them, without a place to put them."""
        with tempfile.TemporaryFile() as said:
            command = self._command("dump", "--archive", "tar", snapshot, "/")
            environment, quiet = self.environment, subprocess.DEVNULL
            with subprocess.Popen(command, env=environment, stdin=quiet, stdout=subprocess.PIPE, stderr=said) as restic:
                try:
                    found = files_of_archive(restic.stdout)
                except (tarfile.TarError, OSError) as error:
                    restic.kill()
                    raise BackupError(f"the files could not be read: {error}: {meaning(_text(said))}.") from error
            if restic.returncode:
                raise BackupError(f"the files could not be read: {meaning(_text(said))}.")
        return found

    def unpack(self, snapshot: str, path: str, folder: Path) -> None:
        """Restore a folder with owners and rights below another folder."""
        self.do("restore", snapshot, "--include", path, "--target", str(folder))

    def tidy(self, keep: Mapping[str, int], newest: str) -> None:
        """Forget what is not to be kept, and what belongs to no backup that counts; no room is given up yet.

        The newest run stays, which may be the oldest by its time.
        """
        kept = (*keep_options(keep), "--keep-tag", RUN_TAG + newest)
        self.do("forget", "--host", self._host, "--tag", f"{TAG},{RECORD}", "--group-by", "host", *kept)
        snapshots, others = self._listed()
        if others:
            # What seems to belong to no backup may belong to one whose record can't be read.
            raise BackupError(f"{DAMAGED}.")
        if gone := without_record(snapshots):
            self.do("forget", *gone)

    def prune(self) -> None:
        """Give up the room of what was forgotten, within bounds."""
        self.do("prune", "--max-repack-size", MOST_REPACKED)

    def check(self, week: int) -> None:
        """Give up the room of what was forgotten, and read a part of all that is stored."""
        self.prune()
        self.do("check", f"--read-data-subset={week % CHECK_PARTS + 1}/{CHECK_PARTS}")


class CopiedRepository(BackupRepository):
    """A Pi's repository in a folder of any machine, of which nothing is changed: no file there is of another owner."""

    def __init__(self, settings: Settings, place: Path, folder: Path) -> None:
        super().__init__(settings, place)
        self._folder = folder / "poppyfield" / settings.host
        self.environment["RESTIC_REPOSITORY"] = str(self._folder)

    def _command(self, *words: str) -> list[str]:
        return super()._command("--no-lock", *words)


class SftpRepository(BackupRepository):
    """This Pi's repository on another machine; what is written into files before it is sent is in memory."""

    def __init__(self, settings: Settings, place: Path, server: SftpServer) -> None:
        super().__init__(settings, place)
        self._server = server
        where = f"sftp:{server.user}@{server.machine}:{server.folder.rstrip('/')}/poppyfield/{settings.host}"
        self.environment["RESTIC_REPOSITORY"] = where

    def _command(self, *words: str) -> list[str]:
        return [*super()._command(), "--option", f"sftp.command={shlex.join(self._server.command())}", *words]

    def _is_there(self) -> bool:
        self._temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        command, quiet = self._command("cat", "config"), subprocess.DEVNULL
        done = subprocess.run(
            command, env=self.environment, stdin=quiet, capture_output=True, text=True, errors="replace", check=False
        )
        # As restic 0.14 and 0.18 say it.
        if done.returncode and "is there a repository at" not in done.stderr.lower():
            raise BackupError(meaning(done.stderr) + ".")
        return done.returncode == 0

    def _make(self) -> None:
        """Make it; its last file is the one by which it is found."""
        self.do("init")


def repository_on(settings: Settings, target: Mapping[str, Any], place: Path) -> BackupRepository:
    """Give this Pi's repository on a target."""
    if target.get("sftp"):
        return SftpRepository(settings, place, SftpServer.of(settings, target))
    return BackupRepository(settings, place)


def files_of_archive(stream: IO[bytes] | None) -> dict[str, Json]:
    """Give what the files in a tar archive hold."""
    found = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            path, content = f"/{member.name.strip('/')}", archive.extractfile(member) if member.isreg() else None
            if content is not None:
                owner = [member.uid, member.gid, member.mode]
                found[path] = {"digest": digest_of(content), "bytes": member.size, "owner": owner}
    # What a tar archive is filled up with, so that restic sees its reader go on to the end.
    while stream is not None and stream.read(CHUNK):
        pass
    return found


def digest_of(stream: IO[bytes]) -> str:
    """Give the digest of what is left of a stream."""
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def interrupt(restic: subprocess.Popen[bytes]) -> None:
    """End restic before it has seen the end of its input."""
    restic.send_signal(signal.SIGINT)
    try:
        restic.wait(timeout=30)
    except subprocess.TimeoutExpired:
        restic.kill()
        restic.wait()
    assert restic.stdin  # noqa: S101 - it is a pipe
    with suppress(BrokenPipeError):
        restic.stdin.close()


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def last_words(stream: IO[bytes]) -> str:
    """Give the last lines of what a command has complained of."""
    lines = [line for line in _text(stream).splitlines() if line.strip()]
    return " ".join(" ".join(lines[-2:]).split()).rstrip(".") or "it ended without a word"


def piped(producer: Sequence[str], consumer: Sequence[str]) -> str:
    """Give what one command prints to another one; say why that did not end well, empty where both did."""
    quiet = subprocess.DEVNULL
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(producer, stdin=quiet, stdout=subprocess.PIPE, stderr=said) as producing:
            done = subprocess.run(consumer, stdin=producing.stdout, stdout=quiet, stderr=complaints, check=False)
        if producing.returncode or done.returncode:
            return last_words(complaints if done.returncode else said)
    return ""


# Databases and containers -------------------------------------------------------------------------------------------


def in_postgis(settings: Settings, *words: str) -> list[str]:
    """Give the command that runs in the database's container, as its superuser."""
    return [
        *("docker", "exec", "--interactive", "--user", "postgres", "--env", f"PGOPTIONS={PG_OPTIONS}"),
        *(settings.postgis, *words),
    ]


def psql(settings: Settings, script: str, database: str = "postgres", *, tolerant: bool = False) -> str:
    """Run SQL; give what it printed. What is in the script is in no message."""
    stop = () if tolerant else ("--set=ON_ERROR_STOP=1",)
    command = in_postgis(settings, *PSQL, *stop, "--set=VERBOSITY=terse", connection(database))
    done = subprocess.run(command, input=script.encode(), capture_output=True, check=False)
    if done.returncode:
        raise BackupError(f"PostgreSQL refused: {' '.join(done.stderr.decode(errors='replace').split())[-300:]}")
    return done.stdout.decode().strip()


def databases(settings: Settings) -> list[Json]:
    """Give the databases with their sizes."""
    found: list[Json] = json.loads(psql(settings, DATABASES))
    return found


def postgresql(settings: Settings) -> int:
    """Give the major version of the server."""
    return int(psql(settings, "SHOW server_version_num;")) // 10000


def globals_dump(settings: Settings) -> list[str]:
    """Give the command that dumps roles and tablespaces."""
    return in_postgis(settings, "pg_dumpall", "--globals-only", "--username=postgres", connection("postgres"))


def containers() -> dict[str, str]:
    """Give the images of all containers by their names."""
    lines = do(["docker", "ps", "--all", "--format", "{{.Names}} {{.Image}}"]).splitlines()
    return {name: image for name, _, image in (line.partition(" ") for line in lines)}


def is_there(container: str) -> bool:
    """Tell whether there is a container of this name."""
    return container in containers()


def deployed(settings: Settings) -> Json:
    """Give the images of our containers, for the record."""
    return {name: image for name, image in containers().items() if name in (settings.postgis, settings.lizmap)}


def start(settings: Settings) -> None:
    """Start the map server, and wait until it is healthy."""
    if not is_there(settings.lizmap):
        return
    do(["docker", "start", settings.lizmap])
    form = "{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}"
    deadline = time.monotonic() + settings.healthy_timeout
    while (state := do(["docker", "inspect", "--format", form, settings.lizmap]).split()) != ["running", "healthy"]:
        if state == ["running"]:
            return
        if state[-1] in ("unhealthy", "exited", "dead") or time.monotonic() > deadline:
            raise BackupError(f"{settings.lizmap} is {state[-1]}.")
        time.sleep(1)


def stop(settings: Settings) -> None:
    """Stop the map server."""
    if is_there(settings.lizmap):
        do(["docker", "stop", settings.lizmap])


# Content ------------------------------------------------------------------------------------------------------------


class DatabaseSession:
    """A session that sees a database as it is at one moment, for as long as it is open."""

    def __init__(self, settings: Settings, database: str) -> None:
        self._end = secrets.token_hex(8)
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the session
        self._psql = subprocess.Popen(
            in_postgis(settings, *PSQL, "--set=VERBOSITY=terse", connection(database)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            encoding="utf-8",
        )
        self.ask(SESSION)
        self.snapshot = self.ask(EXPORT)
        # What was dropped since can't be read any more: that is no end of all. Before, no moment could be exported.
        self.ask("\\set ON_ERROR_ROLLBACK on")

    def ask(self, sql: str) -> str:
        """Run SQL; give what it printed."""
        assert self._psql.stdin and self._psql.stdout  # noqa: S101 - both are pipes
        with suppress(BrokenPipeError):
            self._psql.stdin.write(f"{sql}\n\\echo {self._end}\n")
            self._psql.stdin.flush()
        lines: list[str] = []
        for line in self._psql.stdout:
            if line.strip() == self._end:
                return "".join(lines).strip()
            lines.append(line)
        raise BackupError(f"PostgreSQL ended a session: {last_words(self._complaints)}.")

    def listed(self, sql: str) -> Any:
        """Give what a query answers in JSON. Raises BackupError where it fails."""
        if not (said := self.ask(sql)):
            raise BackupError(f"what a database holds could not be listed: {last_words(self._complaints)}.")
        return json.loads(said)

    def each(self, sql: str) -> dict[str, Any]:
        """Give by name what each of the things says that a query lists; None for what can't be read."""
        return {one["name"]: json.loads(self.ask(one["sql"]) or "null") for one in self.listed(sql)}

    def next_values(self) -> dict[str, int | None]:
        """Give what each sequence would give next."""
        return {name: None if value is None else int(value) for name, value in self.each(SEQUENCES).items()}

    def close(self) -> None:
        """End it."""
        assert self._psql.stdin and self._psql.stdout  # noqa: S101 - both are pipes
        with suppress(BrokenPipeError):
            self._psql.stdin.close()
        self._psql.wait()
        self._psql.stdout.close()
        self._complaints.close()


def content_of_database(session: DatabaseSession, before: Mapping[str, int | None]) -> Json:
    """Give what a database holds; `before` is what its sequences would have given at first."""
    tables = {**session.each(TABLES), "large objects": json.loads(session.ask(LARGE_OBJECTS) or "null")}
    after = session.next_values()
    return {
        "tables": {name: one[:2] if one and one[2] else None for name, one in tables.items()},
        "sequences": {name: _between(value, after.get(name)) for name, value in before.items()},
        "rights": session.listed(RIGHTS),
    }


def _between(before: int | None, after: int | None) -> list[int] | None:
    return None if before is None or after is None else sorted((before, after))


def roles_of(settings: Settings) -> list[str]:
    """Give the roles, in words."""
    found: list[str] = json.loads(psql(settings, ROLES))
    return found


def of_basemaps(settings: Settings) -> tuple[str, str]:
    """Give the folder of the base maps, and that of what is on its way there: these are the laptop's, and large."""
    projects = settings.folders["projects"]
    return f"{projects}/basemaps", f"{projects}/.poppyfield/basemaps"


def look_at_files(paths: Iterable[str], left_out: Iterable[str] = ()) -> dict[str, list[int]]:
    """Give of each file in folders what changes with its content: size, times and number."""
    found, without = {}, tuple(f"{path}/" for path in left_out)
    for top in paths:
        walked = ((parent, files) for parent, _, files in os.walk(top) if not f"{parent}/".startswith(without))
        names = [os.path.join(parent, name) for parent, files in walked for name in files]  # noqa: PTH118
        for path in names or [top]:
            with suppress(OSError):
                seen = os.lstat(path)
                if stat.S_ISREG(seen.st_mode):
                    found[path] = [seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino]
    return found


def content_of_files(settings: Settings, before: Mapping[str, list[int]], left_out: Iterable[str]) -> dict[str, Json]:
    """Give what the files hold that were the same before and after they were saved.

    As restic does, it reads only those that have changed since it last did, and remembers the others in memory.
    """
    known, found, skipped = read(settings.digests), {}, {*left_out}
    after = look_at_files(before)
    for path, seen in before.items():
        if after.get(path) != seen or path in skipped:
            continue
        with suppress(OSError):
            old = known.get(path, {})
            digest = old["digest"] if old.get("seen") == seen else digest_of_file(path)
            kept = os.lstat(path)
            if look_at_files([path]).get(path) == seen:
                owner = [kept.st_uid, kept.st_gid, stat.S_IMODE(kept.st_mode)]
                found[path] = {"digest": digest, "bytes": seen[0], "owner": owner, "seen": seen}
    write(settings.digests, {path: {name: one[name] for name in ("digest", "seen")} for path, one in found.items()})
    return {path: {name: one[name] for name in ("digest", "bytes", "owner")} for path, one in found.items()}


def digest_of_file(path: str) -> str:
    """Give the digest of a file, and of nothing that a link leads to."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
        return digest_of(stream)


# SQLite -------------------------------------------------------------------------------------------------------------


def sqlite_files(folder: Path) -> Iterator[Path]:
    """Find the SQLite databases in a folder, which may change while they are copied."""
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in sorted(names) if name.endswith(".db")):
            if stat.S_ISREG(path.lstat().st_mode) and _begins_as_sqlite(path):
                yield path


def _begins_as_sqlite(path: Path) -> bool:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
        return stream.read(len(MAGIC_OF_SQLITE)) == MAGIC_OF_SQLITE


def copy_sqlite(path: str, out: IO[bytes]) -> None:
    """Write a database out as it is at one moment; run as its owner, who may have made anything of it."""
    with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=30)) as database:
        database.execute("BEGIN")
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        out.write(database.serialize())


# Backup -------------------------------------------------------------------------------------------------------------


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
    for path in sqlite_files(Path(settings.folders["config"])):
        copier = [sys.executable, "-I", str(Path(__file__).resolve()), "copy-sqlite", str(path)]
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


def is_new(settings: Settings, target: Mapping[str, Any]) -> bool:
    """Tell whether this card was neither saved on a target nor restored."""
    return not read(settings.state_of(target)).get("saved") and not settings.restored.exists()


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


def status(settings: Settings) -> str:
    """Say how the newest backup on each target went."""
    found = {target["name"]: read(settings.state_of(target)) for target in settings.targets}
    lines = [outcome_line({"target": name, "said": "no backup yet.", **was}) for name, was in found.items()]
    if settings.wal:
        lines += [f"{name}: {said}" for name, said in last_minutes(settings).items()]
    return "\n".join([*lines, *([PENDING] if read(settings.journal) else [])])


def last_minutes(settings: Settings) -> dict[str, str]:
    """Say by target how its last minute fares."""
    found = {one["name"]: read(Path(settings.last_minute_folder) / f"{one['name']}.json") for one in settings.near}
    return {
        name: was.get("said", "The last minute is not saved: its service does not run.") for name, was in found.items()
    }


# Proof --------------------------------------------------------------------------------------------------------------


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
    beside = Path(__file__).resolve().with_name(TRIAL_MAPS)
    if not beside.exists() or not is_there(settings.lizmap):
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
    command = [sys.executable, "-I", "-B", str(beside)]
    done = subprocess.run(command, input=json.dumps(asked).encode(), capture_output=True, check=False)
    if done.returncode:
        raise NotTriedError(f"no map could be drawn from it: {' '.join(done.stderr.decode().split())[-300:]}")
    found: dict[str, str] = json.loads(done.stdout)
    return found


def password_in(settings: Settings, record: Mapping[str, Any]) -> str:
    """Give where, in a backup, the password is by which the map server asks the database."""
    form = '{{range .Mounts}}{{if eq .Destination "/run/secrets/postgis_password"}}{{.Source}}{{end}}{{end}}'
    source = Path(do(["docker", "inspect", "--format", form, settings.lizmap]).strip())
    secrets_folder = settings.folders["secrets"]
    if not source.is_relative_to(secrets_folder):
        raise NotTriedError(f"the map server has its password from {source}, and not from {secrets_folder}.")
    return str(Path(record["folders"]["secrets"]) / source.relative_to(secrets_folder))


def database_host(settings: Settings) -> str:
    """Give the name by which the map server asks for the database, empty where there is none."""
    if not is_there(settings.lizmap):
        return ""
    environment = do(["docker", "inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", settings.lizmap])
    return dict(line.partition("=")[::2] for line in environment.splitlines()).get("POSTGIS_HOST", "")


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


@contextmanager
def trial(settings: Settings, record: Mapping[str, Any], place: Path) -> Iterator[Settings]:
    """Give a container of the deployed image with a cluster of its own on the target, which is thrown away.

    Restoring runs what is in a database as its superuser: here without a network, and with no folder but its own.
    """
    there = settings.trial
    scratch = scratch_folder(settings, place)
    host = database_host(settings)
    needed = SPARE_BYTES + sum(database["bytes"] for database in record["databases"]) * 3 // 2
    needed += record["files"]["bytes"] if host else 0
    if (missing := needed - shutil.disk_usage(place).free) > 0:
        raise NotTriedError(f"{missing // 1_000_000 + 1} MB of room are missing on the target.")
    late = threading.Timer(PROOF_SECONDS, remove_trial, [settings])
    try:
        with folder_for_trial(Path(settings.data_folder), scratch, needed) as data:
            image = settings.image or do(["docker", "inspect", "--format", "{{.Image}}", settings.postgis]).strip()
            try:
                do(trial_command(there.postgis, image, data, host))
                late.start()
                wait_for(there)
                yield replace(there, data_folder=str(data))
            finally:
                # Before what it has its data on.
                remove_trial(settings)
    finally:
        late.cancel()
        remove_trial(settings)
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def folder_for_trial(model: Path, scratch: Path, needed: int) -> Iterator[Path]:
    """Give a folder with the owner of another one; where the target keeps no owners, on ext4 in a file there."""
    try:
        data = folder_like(model, scratch)
    except NotTriedError:
        with ext4_in_a_file(scratch, needed) as inside:
            yield folder_like(model, inside / PROOF)
        return
    yield data


@contextmanager
def ext4_in_a_file(scratch: Path, needed: int) -> Iterator[Path]:
    """Give a file system that keeps owners, in a file of this size, which goes with its folder."""
    image, inside = scratch / "ext4", scratch / "mounted"
    inside.mkdir()
    try:
        with image.open("wb") as stream:
            stream.truncate(needed)
        # Nobody needs it after a loss of power.
        do(["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", str(image)])
        do(["mount", "--options", "loop,nosuid,nodev,noexec,noatime", str(image), str(inside)])
    except (BackupError, OSError) as error:
        raise NotTriedError(
            f"the target's file system keeps no owners and rights, and none could be made in a file on it: {error}"
        ) from error
    try:
        yield inside
    finally:
        unmount(inside)


def folder_like(model: Path, scratch: Path) -> Path:
    """Make a folder with the owner of another one, that nobody else can look into."""
    owned, data = model.stat(), scratch / "data"
    scratch.mkdir(mode=0o700)
    data.mkdir(mode=0o700)
    with suppress(PermissionError):
        os.chown(data, owned.st_uid, owned.st_gid)
    found = data.stat()
    if (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) != (owned.st_uid, owned.st_gid, 0o700):
        raise NotTriedError("the target's file system keeps no owners and rights: make it ext4, see docs/backup.md.")
    return data


def scratch_folder(settings: Settings, place: Path) -> Path:
    """Give where a backup is restored for trial."""
    return place / "poppyfield" / f"{settings.host}.proof"


def trial_command(name: str, image: str, data: Path, host: str = "") -> list[str]:
    """Give what starts the container: the map comes first, and nothing in it outlives it.

    A `host` is by what name the map server that shares its network, which leads nowhere, asks for it.
    """
    addresses = ("--add-host", f"{host}:127.0.0.1") if host else ()
    return [
        *("docker", "run", "--detach", "--name", name, "--label", f"{PROOF_LABEL}=true", "--log-driver", "none"),
        *("--network", "none", *addresses, "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--memory", PROOF_MEMORY, "--memory-swap", PROOF_MEMORY, "--cpu-shares", "256", "--oom-score-adj", "1000"),
        *("--pids-limit", "64", "--tmpfs", "/tmp:mode=1777,size=16m", "--shm-size", "64m"),  # noqa: S108
        *("--tmpfs", f"/run/postgresql:uid={data.stat().st_uid},mode=0755,size=1m"),
        # Fails where the folder is not there for Docker, too.
        *("--mount", f"type=bind,source={data},target=/var/lib/postgresql/data", image, "postgres"),
        *("-c", "shared_buffers=32MB", "-c", "maintenance_work_mem=32MB", "-c", "work_mem=4MB", "-c", "autovacuum=off"),
        *("-c", "max_connections=8", "-c", "max_wal_size=128MB", "-c", "min_wal_size=32MB", "-c"),
        f"listen_addresses={'127.0.0.1' if host else ''}",
        *("-c", "wal_level=minimal", "-c", "max_wal_senders=0", "-c", "log_min_error_statement=panic"),
    ]


def wait_for(there: Settings) -> None:
    """Wait until the container's database answers. Raises BackupError when it never does."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            psql(there, "SELECT 1;")
            return
        except BackupError as error:
            state = do(["docker", "inspect", "--format", "{{.State.Status}}", there.postgis]).strip()
            if state != "running" or time.monotonic() > deadline:
                raise BackupError(f"the container for it is {state}: {error}") from error
            time.sleep(1)


def remove_trial(settings: Settings) -> None:
    """Remove the containers of a proof, and nobody else's of their names. Without Docker there are none."""
    named = "|".join(re.escape(name) for name in (settings.trial.lizmap, settings.trial.postgis))
    ours = ("--filter", f"label={PROOF_LABEL}=true", "--filter", f"name=^/?({named})$")
    with suppress(BackupError, OSError):
        for container in do(["docker", "ps", "--all", "--quiet", *ours]).split():
            do(["docker", "rm", "--force", "--volumes", container])


def clear_up(settings: Settings) -> None:
    """Take away what a run that was ended has left, unless another one is at work."""
    with locked(settings, wait=False) as alone:
        if alone:
            remove_trial(settings)
            for target in settings.targets:
                unmount(Path(settings.run_folder) / target["name"])


# Restore ------------------------------------------------------------------------------------------------------------


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


def record_of(repository: BackupRepository, name: str) -> Json:
    """Give the record of a backup."""
    for run in repository.runs():
        if run.name == name:
            found: Json = json.loads(repository.dump(run.record, RECORD_NAME))
            return found
    raise BackupError(f"There is no complete backup {name}.")


def check_room(settings: Settings, record: Mapping[str, Any]) -> None:
    """Raise BackupError where what was saved cannot be put in place here."""
    check_version(settings, record)
    projects = settings.folders["projects"]
    check_disks(
        (settings.data_folder, Path(settings.data_folder), sum(database["bytes"] for database in record["databases"])),
        (projects, Path(projects).parent, record["files"]["bytes"]),
    )


def check_version(settings: Settings, record: Mapping[str, Any]) -> None:
    """Raise BackupError where this PostgreSQL is older than the one of the backup."""
    found = postgresql(settings)
    if found < record["postgresql"]:
        raise BackupError(
            f"The backup is of PostgreSQL {record['postgresql']}, and this is {found}. Nothing was changed."
        )


def check_disks(*wanted: tuple[str, Path, int]) -> None:
    """Raise BackupError where a disk has too little room: each folder's name, where it lies, and its bytes."""
    needs = []
    for folder, disk, needed in wanted:
        needs.append((folder, disk.stat().st_dev, needed, shutil.disk_usage(disk).free))
    if problem := room_problem(needs):
        raise BackupError(f"{problem}. Nothing was changed.")


def clear(settings: Settings) -> None:
    """Remove what was unpacked and not put in place."""
    for target in settings.folders.values():
        for beside in Path(target).parent.glob(f"{STAGING}*"):
            shutil.rmtree(beside)


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


# By hand ------------------------------------------------------------------------------------------------------------


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Poppyfield's backup")
    parser.add_argument("--settings", type=Path, default=Path(SETTINGS))
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="make a backup now").add_argument("--by-timer", action="store_true")
    commands.add_parser("copy-sqlite").add_argument("path")
    commands.add_parser("clear-up", help="take away what a run that was ended has left")
    one = commands.add_parser("prove", help="restore the newest backup for trial, and compare it with what was saved")
    one.add_argument("--from", dest="target", default="")
    one = commands.add_parser("prove-copy", help="the same without a Pi, for backups in a folder of this machine")
    one.add_argument("--folder", type=Path, required=True, help="what is the target: it has poppyfield/ in it")
    one.add_argument("--host", required=True)
    one.add_argument("--password-file", type=Path, required=True)
    one.add_argument("--image", default="", help="of the database; else the newest of this machine's architecture")
    one.add_argument("--scratch", type=Path, default=Path("/var/tmp"), help="where there is room")  # noqa: S108
    commands.add_parser("status", help="how the newest backups went")
    commands.add_parser("take-back", help="put back what a restore has set aside")
    commands.add_parser("finish", help="keep what was restored")
    commands.add_parser("offers", help="which backups are from before this card")
    commands.add_parser("decline", help="go on without the backups from before this card")
    for command, words_of_help in (("find", "which backup a restore would take"), ("restore", "put a backup in place")):
        one = commands.add_parser(command, help=words_of_help)
        one.add_argument("--from", dest="target", required=True)
        one.add_argument("--time", default="latest")
        one.add_argument("--last-minute", action="store_true", help="the databases as they were last")
        one.add_argument("--table", default="", help="one table alone, such as gis.public.trees")
        one.add_argument("--project", default="", help="one project alone with its folder, such as fields/fields.qgs")
        one.add_argument("--as", dest="new", default="", help="beside what is in place, under this name")
        if command == "restore":
            one.add_argument("--run", default="")
            one.add_argument("--database", default="")
    return parser.parse_args(words)


def act(asked: argparse.Namespace) -> int:
    """Do what was asked; give the exit status."""
    if asked.command == "copy-sqlite":
        copy_sqlite(asked.path, sys.stdout.buffer)
        return 0
    if asked.command == "prove-copy":
        return prove_copy(asked.folder, asked.host, asked.password_file, asked.image, asked.scratch)
    if getattr(asked, "table", "") or getattr(asked, "project", ""):
        return hand_over_part(asked)
    return act_with(Settings.read(asked.settings), asked)


def act_with(settings: Settings, asked: argparse.Namespace) -> int:
    """Do what was asked of all that a backup holds; give the exit status."""
    is_near = getattr(asked, "last_minute", False) and settings.target(asked.target) in settings.near
    if is_near and (beside := last_minute_program()).exists():
        return hand_over(asked, beside)
    if asked.command == "run":
        return run_backups(settings, by_timer=asked.by_timer)
    if asked.command == "prove":
        return prove_backups(settings, asked.target)
    if asked.command == "clear-up":
        clear_up(settings)
    elif asked.command == "status":
        print(status(settings))
    elif asked.command == "offers":
        print(json.dumps(offers(settings)))
    elif asked.command == "find":
        found = find(settings, asked.target, asked.time)
        is_in_pi = settings.target(asked.target) in settings.near
        said = f"{found['said']}{WITHOUT_LAST_MINUTE[is_in_pi] if asked.last_minute else ''}"
        print(json.dumps({**found, "said": said}))
    elif asked.command == "restore":
        run = asked.run or find(settings, asked.target, asked.time)["run"]
        if asked.new:
            restore_beside(settings, asked.target, run, asked.database, asked.new)
        else:
            print(json.dumps(restore(settings, asked.target, run)))
    else:
        with locked(settings, wait=True):
            print({"take-back": take_back, "finish": finish, "decline": decline}[asked.command](settings))
    return 0


def last_minute_program() -> Path:
    """Give the program of the last minute, which lies beside this one where the Pi saves it."""
    return Path(__file__).resolve().with_name(LAST_MINUTE)


def hand_over(asked: argparse.Namespace, beside: Path) -> int:
    """Have the program of the last minute do what was asked."""
    if asked.time != "latest" or getattr(asked, "new", "") or getattr(asked, "database", ""):
        raise BackupError("--last-minute goes with no --time, --database or --as. Nothing was changed.")
    run = ("--run", asked.run) if getattr(asked, "run", "") else ()
    words = ("--settings", str(asked.settings), asked.command, "--from", asked.target, *run)
    return subprocess.run([sys.executable, "-I", "-B", str(beside), *words], check=False).returncode


def hand_over_part(asked: argparse.Namespace) -> int:
    """Have the program that restores one table or one project do what was asked."""
    if asked.last_minute or getattr(asked, "database", ""):
        raise BackupError("--table and --project go with no --last-minute or --database. Nothing was changed.")
    beside = Path(__file__).resolve().with_name(PART)
    words = [f"--{name}={value}" for name in ("time", "run", "table", "project") if (value := getattr(asked, name, ""))]
    command = ("--settings", str(asked.settings), asked.command, "--from", asked.target, *words, f"--as={asked.new}")
    return subprocess.run([sys.executable, "-I", "-B", str(beside), *command], check=False).returncode


def main(words: Sequence[str] | None = None) -> int:
    """Run the program; a failure is one sentence."""
    return told_in_a_sentence(lambda: act(arguments(sys.argv[1:] if words is None else words)))


def told_in_a_sentence(action: Callable[[], int]) -> int:
    """Do something; where it fails, say so in one sentence. Give the exit status."""
    try:
        return action()
    except BackupError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{error.strerror}: {error.filename}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
