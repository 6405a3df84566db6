"""Files for a database that exists: a trial in a scratch database, then a swap or an addition, each in one step. Pure.

The scratch database has the name of the served one and LOADING_SUFFIX. Whatever ends a load before its last statement
leaves that behind, and the served database as it was. What a swap replaces is kept under another name, closed.
"""

# ruff: noqa: S608 - SQL is put together here on purpose; every name and text goes through identifier() or literal().

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.poppyfield.postgis import postgres
from ansible.module_utils.poppyfield.postgis.contents import FileTable
from ansible.module_utils.poppyfield.postgis.postgres import LOADING_SUFFIX, connection, identifier, literal
from ansible.module_utils.poppyfield.postgis.spatial_tables import PLACES
from ansible.module_utils.poppyfield.projects import slow_layers

BEFORE = "__before_"
STAMP = "%Y%m%d%H%M%S"
STAMP_DIGITS = 14
MARK = "poppyfield.loaded"
"""A setting of the database: the digests of what was loaded."""
NAMED = 5
MB = 1024 * 1024
SPARE_MB = 200
"""What stays free on the disk."""


class LoadError(Exception):
    """Why nothing is loaded, and what helps."""


@dataclass(frozen=True)
class Served:
    """The database that is there, and what a load has to know of it."""

    name: str
    owner: str
    size: int
    postgresql: int
    loaded: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()
    """What earlier swaps have kept, the newest last."""
    extensions: frozenset[str] = frozenset()
    relations: frozenset[str] = frozenset()
    """With their schemas; and schemas but public, after the word schema."""
    rights: tuple[Mapping[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class LoadedTable:
    """A table as it is in the database."""

    schema: str
    name: str
    rows: int
    owner: str
    has_key: bool
    places: tuple[tuple[str, str, bool], ...] = ()
    """Of each column with geometries its name, its type with the coordinate system, whether it has a spatial index."""


# Looking ------------------------------------------------------------------------------------------------------------

_OWN = """NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = {0}.oid AND e.deptype = 'e')"""
_RELATIONS = f"""
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
AND {_OWN.format("c")}
UNION ALL SELECT 'schema ' || n.nspname FROM pg_namespace n
WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema') AND {_OWN.format("n")}
"""
_RIGHTS = f"""
SELECT json_build_object('schema', nspname, 'relation', relname, 'right', format('%s ON %s %I.%I TO %s%s',
    a.privilege_type, CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, nspname, relname,
    coalesce(quote_ident(r.rolname), 'PUBLIC'), CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)) AS one
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace, aclexplode(relacl) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND a.grantee <> relowner AND nspname !~ '^pg_' AND {_OWN.format("c")}
UNION ALL SELECT json_build_object('schema', nspname, 'relation', relname, 'column', attname, 'right', format(
    '%s (%I) ON TABLE %I.%I TO %s%s', a.privilege_type, attname, nspname, relname,
    coalesce(quote_ident(r.rolname), 'PUBLIC'), CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END))
FROM pg_attribute t JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace,
    aclexplode(attacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE NOT attisdropped AND a.grantee <> relowner AND nspname !~ '^pg_' AND {_OWN.format("c")}
UNION ALL SELECT json_build_object('schema', nspname, 'relation', '', 'right', format('%s ON SCHEMA %I TO %s',
    a.privilege_type, nspname, coalesce(quote_ident(r.rolname), 'PUBLIC')))
FROM pg_namespace n, aclexplode(nspacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE a.grantee <> nspowner AND nspname !~ '^pg_' AND nspname <> 'information_schema' AND {_OWN.format("n")}
"""
"""What others than the owners may do, as the words of a GRANT."""


def look_script(name: str) -> str:
    """Give the psql script that tells what is there, as one JSON document a line; nothing where there is no such."""
    there = f"SELECT count(*) > 0 AS there FROM pg_database WHERE datname = {literal(name)} AND datallowconn \\gset"
    mark = (
        "(SELECT substr(s, length('" + MARK + "=') + 1) FROM pg_db_role_setting, unnest(setconfig) s"
        f" WHERE setdatabase = d.oid AND setrole = 0 AND s LIKE '{MARK}=%')"
    )
    copies = (
        "ARRAY(SELECT c.datname FROM pg_database c WHERE left(c.datname, -" + str(STAMP_DIGITS) + ") = "
        f"{literal(name + BEFORE)} AND right(c.datname, {STAMP_DIGITS}) ~ '^[0-9]+$' ORDER BY 1)"
    )
    document = (
        "json_build_object('name', datname, 'owner', pg_get_userbyid(datdba), 'size', pg_database_size(oid),"
        f" 'postgresql', current_setting('server_version_num')::int / 10000, 'loaded', {mark}, 'copies', {copies})"
    )
    return "\n".join(
        [
            there,
            "\\if :there",
            f"SELECT {document} FROM pg_database d WHERE datname = {literal(name)};",
            f"\\connect {connection(name)}",
            "SELECT json_build_object('extensions', ARRAY(SELECT extname FROM pg_extension));",
            f"SELECT json_build_object('relations', ARRAY({_RELATIONS}));",
            f"SELECT json_build_object('rights', coalesce((SELECT json_agg(one) FROM ({_RIGHTS}) every), '[]'));",
            "\\endif",
            "",
        ]
    )


def read_look(output: str) -> Served | None:
    """Read what the look gave; None where there is no such database."""
    found: dict[str, Any] = {}
    for line in filter(str.strip, output.splitlines()):
        found |= json.loads(line)
    if not found:
        return None
    return Served(
        name=found["name"],
        owner=found["owner"],
        size=int(found["size"]),
        postgresql=int(found["postgresql"]),
        loaded=tuple((found["loaded"] or "").split()),
        copies=tuple(found["copies"]),
        extensions=frozenset(found["extensions"]),
        relations=frozenset(found["relations"]),
        rights=tuple(found["rights"]),
    )


def refuse_clashes(served: Served, tables: Iterable[FileTable]) -> None:
    """Raise LoadError where a table that is to be added is there already."""
    if clashes := sorted({table.full_name for table in tables} & served.relations):
        raise LoadError(
            f"{served.name} has these already: {_some(clashes)}. Load with mode=replace, which replaces the whole "
            "database, give a layer another name by -e table=, or rename the table that is there"
        )


def room_problem(needs: Iterable[tuple[str, int, int, int]]) -> str:
    """Say where there is too little room, from folder, file system, and the bytes that are needed and free."""
    wanted: dict[int, int] = {}
    for folder, device, needed, free in needs:
        wanted[device] = wanted.get(device, SPARE_MB * MB) + needed
        if wanted[device] > free:
            return (
                f"The file system of {folder} has {free // MB} MB free, but {wanted[device] // MB} MB are needed, "
                "since what is there stays beside it. Remove copies of earlier loads by -e prune=true, or free some "
                "space"
            )
    return ""


# The scratch database -----------------------------------------------------------------------------------------------


FORGET_ROLES = ("BEGIN;", "\\include /etc/poppyfield/forget-roles.sql", "COMMIT;")
"""All of them or none, so that none is left whose list is gone."""


def clear_script(name: str) -> str:
    """Give the script that removes what a load that was cut off has left, also roles that it had made for the time."""
    scratch = name + LOADING_SUFFIX
    return "\n".join(
        [
            f"SELECT count(*) > 0 AS there FROM pg_database WHERE datname = {literal(scratch)} \\gset",
            "\\if :there",
            f"\\connect {connection(scratch)}",
            # Before it is there no role is made for the time of loading.
            "SELECT count(*) > 0 AS there FROM pg_event_trigger WHERE evtname = 'poppyfield_first_start' \\gset",
            "\\if :there",
            *FORGET_ROLES,
            "\\endif",
            "\\connect postgres",
            f"DROP DATABASE {identifier(scratch)} WITH (FORCE);",
            "\\endif",
            "",
        ]
    )


def make_script(served: Served, sorting: str, extensions: Collection[str]) -> str:
    """Give the script that makes the scratch database, which sorts as an archive says, or else as the served one."""
    scratch = identifier(served.name + LOADING_SUFFIX)
    locale = "coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale')"
    as_served = (
        f"CASE datlocprovider WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L', {locale})"
        f" WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L', {locale})"
        " ELSE ' LOCALE_PROVIDER libc' END"
    )
    wanted = f"format(' LOCALE_PROVIDER icu ICU_LOCALE %L', {literal(sorting)})" if sorting else as_served
    return "\n".join(
        [
            "SELECT format('CREATE DATABASE %I OWNER %I CONNECTION LIMIT 0 TEMPLATE template0"
            f" LC_COLLATE %L LC_CTYPE %L', {literal(served.name + LOADING_SUFFIX)}, {literal(served.owner)},"
            f" datcollate, datctype) || {wanted}"
            f" FROM pg_database d WHERE datname = {literal(served.name)} \\gexec",
            f"REVOKE CONNECT, TEMPORARY ON DATABASE {scratch} FROM PUBLIC;",
            f"\\connect {connection(served.name + LOADING_SUFFIX)}",
            *(postgres.extension(name) for name in sorted(extensions)),
            "\\include /etc/poppyfield/missing-names.sql",
            f"ALTER DATABASE {scratch} CONNECTION LIMIT -1;",
            "",
        ]
    )


def settle_script(served: Served, trial: Served, *, as_served: bool) -> str:
    """Give the script that gives all that was loaded to the owner; and the extensions and rights that are served."""
    scratch = served.name + LOADING_SUFFIX
    lines = [
        # Who loaded as the owner is gone, and nobody makes anything there while it is looked at and copied.
        f"ALTER DATABASE {identifier(scratch)} CONNECTION LIMIT 0;",
        f"SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE datname = {literal(scratch)};",
        f"\\connect {connection(scratch)}",
        *FORGET_ROLES,
    ]
    if missing := sorted(served.extensions - trial.extensions) if as_served else []:
        lines += postgres.extensions_among_strangers(scratch, missing)
    if served.owner != postgres.SUPERUSER:
        lines += postgres.hand_over(scratch, postgres.SUPERUSER, served.owner)
    if as_served:
        lines += [_granted(right) for right in served.rights]
        lines += [
            # And those on the database itself.
            "SELECT format('GRANT %s ON DATABASE %I TO %I', a.privilege_type, " + literal(scratch) + ", r.rolname)"
            " FROM pg_database d, aclexplode(datacl) a JOIN pg_roles r ON r.oid = a.grantee"
            f" WHERE datname = {literal(served.name)} AND a.grantee <> datdba \\gexec",
            # Its settings as they are, which an owner has made: as words of a statement the superuser would obey them.
            "INSERT INTO pg_db_role_setting (setdatabase, setrole, setconfig)"
            f" SELECT (SELECT oid FROM pg_database WHERE datname = {literal(scratch)}), setrole, kept"
            " FROM pg_db_role_setting s JOIN pg_database d ON d.oid = setdatabase,"
            f" LATERAL (SELECT array_agg(one) FROM unnest(setconfig) one WHERE one NOT LIKE '{MARK}=%') k (kept)"
            f" WHERE datname = {literal(served.name)} AND kept IS NOT NULL AND NOT EXISTS ("
            "SELECT FROM pg_db_role_setting o JOIN pg_database n ON n.oid = o.setdatabase"
            f" WHERE n.datname = {literal(scratch)} AND o.setrole = s.setrole);",
        ]
    return "\n".join([*lines, ""])


def _granted(right: Mapping[str, str]) -> str:
    """Give a right again, where what it is on is there."""
    there = f"EXISTS (SELECT FROM pg_namespace WHERE nspname = {literal(right['schema'])})"
    if column := right.get("column", ""):
        there = (
            "EXISTS (SELECT FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
            f" JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = {literal(right['schema'])}"
            f" AND relname = {literal(right['relation'])} AND attname = {literal(column)} AND NOT attisdropped)"
        )
    elif right["relation"]:
        there = (
            "EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            f" WHERE nspname = {literal(right['schema'])} AND relname = {literal(right['relation'])})"
        )
    return f"SELECT {literal('GRANT ' + right['right'])} WHERE {there} \\gexec"


def tables_script(database: str) -> str:
    """Give the script that tells the tables of a database, each as a line of JSON."""
    rows = (
        "(xpath('/table/row/count/text()', query_to_xml(format('SELECT count(*) FROM ONLY %I.%I', nspname, relname),"
        " true, false, '')))[1]::text::bigint"
    )
    return "\n".join(
        [
            f"\\connect {connection(database)}",
            "SELECT json_build_object('schema', nspname, 'name', relname, 'owner', pg_get_userbyid(relowner),"
            f" 'rows', {rows}, 'has_key', EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND indisprimary),"
            f" 'places', {PLACES}) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE relkind IN ('r', 'p') AND nspname !~ '^pg_' AND nspname <> 'information_schema'"
            f" AND {_OWN.format('c')} ORDER BY nspname, relname;",
            "",
        ]
    )


def read_tables(output: str) -> list[LoadedTable]:
    """Read what it gave."""
    found = []
    for line in filter(str.strip, output.splitlines()):
        document = json.loads(line)
        places = tuple((name, kind, has_index) for name, kind, has_index in document.pop("places"))
        found.append(LoadedTable(**document, places=places))
    return found


def differences(expected: Iterable[FileTable], found: Sequence[LoadedTable]) -> list[str]:
    """Say what of the files is not in the database as they have it."""
    there = {(table.schema, table.name): table for table in found}
    told = []
    for table in filter(lambda one: one.certain, expected):
        loaded = there.get((table.schema, table.name))
        if loaded is None:
            told.append(f"the table {table.full_name} is not there")
        elif table.rows is not None and loaded.rows != table.rows:
            told.append(f"{table.full_name} has {loaded.rows} rows instead of {table.rows}")
    return told


def warnings(found: Iterable[LoadedTable]) -> list[str]:
    """Say what keeps a table that is there from being of use to projects."""
    told = []
    for table in found:
        name = f"{table.schema}.{table.name}"
        if not table.has_key:
            told.append(f"{name} has no primary key: nobody can edit it in Lizmap.")
        indexed = {column: has_index for column, _, has_index in table.places}
        slow = slow_layers.of_loaded(table.schema, table.name, table.rows, indexed)
        told += [f"{problem} {remedy}" for problem, remedy in slow]
    return told


# The last step ------------------------------------------------------------------------------------------------------


def stamp_after(copies: Sequence[str], now: str) -> str:
    """Give a stamp after those of all copies: a Pi that was without power may have an earlier time than then."""
    return str(max(int(now), *(int(copy[-STAMP_DIGITS:]) + 1 for copy in copies), 0))


def before_name(name: str, stamp: str) -> str:
    """Give the name under which a database is kept. Raises LoadError."""
    new = f"{name}{BEFORE}{stamp}"
    if len(new.encode()) > postgres.MAX_IDENTIFIER:
        raise LoadError(f"The name of the database {name} is too long to keep a copy of it beside: rename it first")
    return new


def swap_script(name: str, incoming: str, aside: str, mark: Sequence[str] | None = None) -> str:
    """Give the script by which one database takes another one's name, in one transaction; that is kept, closed.

    While pg_database is locked nobody can connect, so that the sessions which are ended do not come again in between.
    """
    marked = [mark_script(incoming, mark).rstrip()] if mark else []
    ended = (
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
        f" WHERE datname IN ({literal(name)}, {literal(incoming)}) AND pid <> pg_backend_pid();"
    )
    return "\n".join(
        [
            ended,
            "BEGIN;",
            # Whoever waits for the lock keeps others waiting: a dump of another database can hold it for hours.
            "SET LOCAL lock_timeout = '10s';",
            "LOCK TABLE pg_database IN ACCESS EXCLUSIVE MODE;",
            *marked,
            ended,
            f"ALTER DATABASE {identifier(name)} RENAME TO {identifier(aside)};",
            f"ALTER DATABASE {identifier(aside)} ALLOW_CONNECTIONS false;",
            f"ALTER DATABASE {identifier(incoming)} RENAME TO {identifier(name)};",
            f"ALTER DATABASE {identifier(name)} ALLOW_CONNECTIONS true CONNECTION LIMIT -1;",
            "COMMIT;",
            "",
        ]
    )


def prune_script(copies: Iterable[str]) -> str:
    """Give the script that removes copies."""
    return "".join(f"DROP DATABASE {identifier(copy)};\n" for copy in copies)


ADDING = """
set -o pipefail
{
    echo 'BEGIN;'
    pg_dump --username=postgres --no-owner --no-privileges --extension=plpgsql "$1" && echo 'COMMIT;'
} | PGOPTIONS="-c client_min_messages=warning -c default_transaction_read_only=off" \\
    psql --no-psqlrc --quiet --output=/dev/null --set=ON_ERROR_STOP=1 --set=VERBOSITY=terse --no-password "${@:3}" "$2"
"""
"""Copies a database into another one as its owner, in one transaction: without its last line nothing of it stays."""


def adding_command(served: Served, password: str) -> tuple[tuple[str, ...], str]:
    """Give the command that adds what is in the scratch database to the served one, and its input.

    The owner logs in: what it has made, as a constraint's function, is called then, and as the superuser with the
    owner's role set it could take that role off.
    """
    source, target = (postgres.conninfo(name) for name in (served.name + LOADING_SUFFIX, served.name))
    login: tuple[str, ...] = ("--username=postgres",)
    if served.owner != postgres.SUPERUSER:
        login = ("--host=127.0.0.1", f"--username={served.owner}")
    adding = ("bash", "-c", ADDING, "bash", source, target, *login)
    return ("bash", "-c", postgres.LOGGING_IN, "bash", *adding), postgres.password_line(password)


def mark_script(name: str, mark: Sequence[str]) -> str:
    """Give the script that notes what was loaded."""
    return f"ALTER DATABASE {identifier(name)} SET {MARK} = {literal(' '.join(mark))};\n"


def addition_problem(served: Served, scratch: Served) -> str:
    """Say why what is in the scratch database can't be added; empty when it can."""
    if missing := sorted(scratch.extensions - served.extensions):
        return (
            f"it needs extensions that {served.name} does not have: {', '.join(missing)}. Add them to "
            "postgis_databases[].extensions, run site.yml, then load again"
        )
    if clashes := sorted(scratch.relations & served.relations):
        return f"{served.name} has these already: {_some(clashes)}. Rename them in the file, or load with mode=replace"
    return ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


UNLOGGED = ("env", "PGOPTIONS=-c log_min_error_statement=panic")
"""A statement that fails can hold a password, and does not get into the container's log."""
RESTORING = """
IFS= read -r kept
exec pg_restore --exit-on-error --no-owner --no-privileges --username=postgres --use-list=<(tr ' ' '\\n' <<< "$kept") \\
    --dbname="$1"
"""
"""Restores an archive from the standard input, of which the first line tells what is kept."""


def restoring_command(database: str, *, chosen: bool) -> tuple[str, ...]:
    """Give the command that restores an archive, or what is chosen of it."""
    target = postgres.conninfo(database)
    if chosen:
        return (*UNLOGGED, "bash", "-c", RESTORING, "bash", target)
    options = ("--exit-on-error", "--no-owner", "--no-privileges", "--username=postgres")
    return (*UNLOGGED, "pg_restore", *options, f"--dbname={target}")


def sql_command(database: str) -> tuple[str, ...]:
    """Give the command that runs SQL as the superuser, as the image's first start does."""
    options = ("--no-psqlrc", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse")
    return (*UNLOGGED, "psql", *options, "--username=postgres", f"--dbname={postgres.conninfo(database)}", "--file=-")


def last_error(errors: str) -> str:
    """Give the last line that tells an error: what follows can be a statement with a password."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    told = [line for line in lines if re.search(r"(?:ERROR|FATAL|error):", line)]
    return (told or lines or ["it ended without a word"])[-1]
