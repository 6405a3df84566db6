"""PostgreSQL's side of the database container: its command, roles, databases, extensions. Pure.

The running cluster is read with one psql call that answers in JSON, compared with what is wanted, and changed with
psql scripts. Those run as the superuser in databases where other roles may create what they like, so SUPERUSER_PSQL
takes nothing from a database: neither a function of a schema nor a setting. The server only ever sees SCRAM verifiers;
a plaintext password goes no further than to a psql that logs in with it, through its standard input.
"""

# ruff: noqa: S608 - SQL is put together here on purpose; every name and text goes through identifier() or literal().

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.poppyfield.host.architectures import ENGINE_NAMES

MIB = 1024 * 1024
LOADING_SUFFIX = "__loading"
MAX_IDENTIFIER = 63
OPEN_DATABASES = ("postgres", "template1")
"""Databases that PostgreSQL makes, and lets every role connect to."""
OWN_NAMES = {"role": ("postgres",), "database": (*OPEN_DATABASES, "template0")}
"""What the cluster has of itself, by kind; a role's name may not begin with pg_, either."""
FIRST_START_NAME = r"^([0-9]+-)?([A-Za-z_][A-Za-z0-9_-]*)(\..*)?\.(sql|sql\.gz|dump)$"
"""The name of a file of the first start, [NUMBER-]DATABASE[.NOTE].KIND: the image's entrypoint has the same rule."""
DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")
"""Settings that must stay on, since a loss of power could cost data."""
LEAST_PASSWORD = 16
SCRAM_ITERATIONS = 4096
PSQL = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--file=-")
SESSION = {
    # Nothing but PostgreSQL's own functions, operators and types: a role may create others of the same name.
    "search_path": "",
    # Event triggers of a restored dump are not called: their functions may have gone to the database's owner.
    "session_replication_role": "replica",
    # What an owner may set for its database (ALTER DATABASE), and what would stop us or change what we say.
    "role": "none",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
    # A failed statement must not put a verifier into the container's log.
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_min_duration_statement": "-1",
}
"""Settings of each connection of the superuser's psql, above those of databases and roles, whatever it connects to."""
SUPERUSER_PSQL = (
    "env",
    "PGOPTIONS=" + " ".join(f"-c {name}={value}" for name, value in SESSION.items()),
    *PSQL,
    "--username=postgres",
    "--dbname=postgres",
)
SUPERUSER = "postgres"
"""The superuser, and the container's user whom PostgreSQL takes for it."""
POWERFUL = ("pg_execute_server_program", "pg_read_server_files", "pg_write_server_files")
"""PostgreSQL's own roles whose members can become superuser."""
ROLE_ATTRIBUTES = {
    "rolcanlogin": "LOGIN",
    "rolsuper": "NOSUPERUSER",
    "rolcreatedb": "NOCREATEDB",
    "rolcreaterole": "NOCREATEROLE",
    "rolreplication": "NOREPLICATION",
    "rolbypassrls": "NOBYPASSRLS",
}


class PostgresError(Exception):
    """Something wrong with the wanted roles or databases, or with what psql said, in words for the user."""


@dataclass(frozen=True)
class Role:
    """An application's role. Its password is compared, never shown."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Database:
    """A database, its owner and its extensions; `initial_sql` is a file loaded once, when the database is made."""

    name: str
    owner: str
    extensions: tuple[str, ...] = ()
    initial_sql: str = ""


# The server's command -----------------------------------------------------------------------------------------------


def shared_memory_size(memory: int, share: float) -> int:
    """Give the size in bytes of /dev/shm, which parallel queries and index builds use, for this share of the memory."""
    return max(64 * MIB, min(int(memory * share) // 4 // MIB * MIB, 512 * MIB))


def server_command(settings: Mapping[str, str]) -> tuple[str, ...]:
    """Give the container's command for these settings."""
    words = ["postgres"]
    for name, value in sorted(settings.items()):
        if not re.fullmatch(r"[a-z_][a-z0-9_.]*", name):
            raise PostgresError(f"{name!r} is not the name of a PostgreSQL setting.")
        words += ["-c", f"{name}={value}"]
    return tuple(words)


# The data folder ----------------------------------------------------------------------------------------------------

VERSION_LABEL = "fr.poppyfield.postgresql"
"""Label of an image that tells the major version of PostgreSQL in it."""


@dataclass(frozen=True)
class DataFolder:
    """What a folder holds: the major version and the architecture (Debian's name) of its cluster, empty if unknown."""

    path: str
    version: str = ""
    architecture: str = ""


def version_of(image: Mapping[str, Any]) -> str:
    """Give the major version of the PostgreSQL in an image; empty where it does not tell."""
    return str(((image.get("Config") or {}).get("Labels") or {}).get(VERSION_LABEL, ""))


def data_problem(folder: DataFolder, image: Mapping[str, Any]) -> str:
    """Say why a server of this image must not work on this folder, and what to do; empty if it may."""
    wanted = version_of(image)
    if folder.version and wanted and folder.version != wanted:
        return (
            f"The data folder {folder.path} was made by PostgreSQL {folder.version}, but the image holds PostgreSQL "
            f"{wanted}, which cannot read it. Nothing was changed. Upgrade the database with "
            f"ansible-playbook playbooks/upgrade_database.yml, or use an image of PostgreSQL {folder.version} again "
            f"(another arm_images_profile)."
        )
    made_on = ENGINE_NAMES.get(folder.architecture, folder.architecture)
    if made_on and image.get("Architecture") and made_on != image["Architecture"]:
        return (
            f"The data folder {folder.path} was made on {made_on}, but the image is for {image['Architecture']}: "
            f"PostgreSQL's files do not move between architectures. Nothing was changed. Use an image for {made_on}, "
            f"or dump the databases there and load them into another data folder."
        )
    return ""


# Quoting and passwords ----------------------------------------------------------------------------------------------


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    if not name or "\0" in name or "\n" in name or len(name.encode()) > MAX_IDENTIFIER:
        raise PostgresError(f"{name!r} cannot be a name in PostgreSQL: 1 to {MAX_IDENTIFIER} bytes, one line.")
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text for SQL."""
    if "\0" in text:
        raise PostgresError("A text for PostgreSQL cannot hold a zero byte.")
    quoted = "'" + text.replace("'", "''") + "'"
    return " E" + quoted.replace("\\", "\\\\") if "\\" in quoted else quoted


def check_password(password: str, where: str) -> str:
    """Refuse a password that PostgreSQL and we could read differently; `where` names its file."""
    if not password or not password.isascii() or not password.isprintable():
        raise PostgresError(f"The password in {where} must be one line of printable ASCII characters.")
    return password


def scram_verifier(password: str, salt: bytes, iterations: int = SCRAM_ITERATIONS) -> str:
    """Give what PostgreSQL stores for a password (RFC 5803)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    parts = [base64.b64encode(part).decode() for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{parts[0]}${parts[1]}:{parts[2]}"


def password_matches(password: str, stored: str | None) -> bool:
    """Tell whether a stored verifier belongs to this password."""
    match = re.fullmatch(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$[^:]+:.+", stored or "")
    if not match:
        return False
    wanted = scram_verifier(password, base64.b64decode(match[2]), int(match[1]))
    return hmac.compare_digest(wanted, stored or "")


# Reading the cluster ------------------------------------------------------------------------------------------------


def state_script(roles: Iterable[Role], databases: Iterable[Database]) -> str:
    """Give the psql script that tells the state of these roles and databases, one JSON document a line."""
    databases = list(databases)
    names = [*OPEN_DATABASES, *(name for db in databases for name in (db.name, db.name + LOADING_SUFFIX))]
    attributes = ", ".join(f"'{a}', {a}" for a in ROLE_ATTRIBUTES)
    lines = [
        f"SELECT json_build_object('role', rolname, 'password', rolpassword, {attributes}, 'powers', ARRAY("
        "SELECT p.rolname FROM pg_auth_members m JOIN pg_authid p ON p.oid = m.roleid"
        f" WHERE m.member = a.oid AND (p.rolsuper OR p.rolname IN ({_list(POWERFUL)})) ORDER BY 1))"
        f" FROM pg_authid a WHERE rolname IN ({_list(role.name for role in roles)});",
        "SELECT json_build_object('database', d.datname, 'owner', r.rolname, 'public', EXISTS ("
        "SELECT FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a"
        " WHERE a.grantee = 0 AND a.privilege_type = 'CONNECT'))"
        f" FROM pg_database d JOIN pg_authid r ON r.oid = d.datdba WHERE d.datname IN ({_list(names)});",
    ]
    for number, db in enumerate(databases):
        if db.extensions:
            # A database that does not exist yet cannot be connected to, so psql decides.
            lines += [
                f"SELECT count(*) > 0 AS there_{number} FROM pg_database WHERE datname = {literal(db.name)} \\gset",
                f"\\if :there_{number}",
                f"\\connect {connection(db.name)}",
                f"SELECT json_build_object('extension', extname, 'in', {literal(db.name)}) FROM pg_extension;",
                "\\connect postgres",
                "\\endif",
            ]
    return "\n".join(lines) + "\n"


def connection(database: str) -> str:
    """Give the argument of psql's connect command for a database with any name."""
    identifier(database)
    # As a connection string, and that inside psql's own quotes.
    return "'" + conninfo(database).replace("\\", "\\\\").replace("'", "''") + "'"


def conninfo(database: str) -> str:
    """Give a connection string for a database with any name."""
    inside = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{inside}'"


def _list(texts: Iterable[str]) -> str:
    return ", ".join(literal(text) for text in texts) or "NULL"


@dataclass(frozen=True)
class ClusterState:
    """What the cluster has of the wanted roles and databases."""

    roles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    databases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    extensions: frozenset[tuple[str, str]] = frozenset()
    """Pairs of database and extension."""
    written: Mapping[str, Any] = field(default_factory=dict)
    """See written_tables.py."""


def parse_state(output: str) -> ClusterState:
    """Read what the state script printed."""
    roles = {}
    databases = {}
    extensions = set()
    written = {}
    for line in output.splitlines():
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except ValueError as error:
            raise PostgresError(f"psql gave an answer that is not JSON: {line[:200]!r}") from error
        if "role" in document:
            roles[document["role"]] = document
        elif "database" in document:
            databases[document["database"]] = document
        elif "written_tables" in document:
            written = document
        else:
            extensions.add((document["in"], document["extension"]))
    return ClusterState(roles, databases, frozenset(extensions), written)


NEW_CLUSTER = ClusterState(databases={name: {"owner": SUPERUSER, "public": True} for name in OPEN_DATABASES})
"""What a cluster has that nobody has changed yet."""


# Planning and applying ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FirstContent:
    """A file with SQL for a new database, loaded by its owner; `after` is the superuser's script that follows."""

    path: str
    database: str
    owner: Role | None
    """None is the superuser."""
    after: str


@dataclass(frozen=True)
class ClusterChange:
    """Its words for the user, the superuser's script, and what is loaded after it."""

    words: tuple[str, ...]
    script: str = field(repr=False)
    load: FirstContent | None = None


def check_wanted(roles: Sequence[Role], databases: Sequence[Database]) -> None:
    """Refuse names that cannot be, and names given twice."""
    for problem in wrong_names("role", [role.name for role in roles]):
        raise PostgresError(problem)
    for problem in wrong_names("database", [database.name for database in databases]):
        raise PostgresError(problem)


def wrong_names(kind: str, names: Sequence[str]) -> Iterator[str]:
    """Give a sentence for each name of a role or database that cannot be, is PostgreSQL's own, or is given twice."""
    for name in dict.fromkeys(names):
        try:
            identifier(name if kind == "role" else name + LOADING_SUFFIX)
        except PostgresError:
            yield f"{name!r} cannot be a name in PostgreSQL: a {kind} has 1 to {_longest(kind)} bytes, one line."
        if names.count(name) > 1:
            yield f"The {kind} {name} is given twice."
        if name in OWN_NAMES[kind] or (kind == "role" and name.startswith("pg_")):
            yield f"The {kind} {name} belongs to PostgreSQL itself: choose another name."


def _longest(kind: str) -> int:
    return MAX_IDENTIFIER if kind == "role" else MAX_IDENTIFIER - len(LOADING_SUFFIX)


def plan_changes(
    roles: Sequence[Role], databases: Sequence[Database], state: ClusterState, salts: Mapping[str, bytes]
) -> list[ClusterChange]:
    """Give the psql runs from the cluster's state to what is wanted; `salts` has one for each role."""
    check_wanted(roles, databases)
    changes = [change for role in roles if (change := _role_change(role, state, salts))]
    changes += [_closed(name) for name in OPEN_DATABASES if state.databases.get(name, {}).get("public")]
    merged = []
    if changes:
        words = tuple(word for change in changes for word in change.words)
        script = "\n".join(["BEGIN;", *(c.script for c in changes), "COMMIT;", ""])
        merged.append(ClusterChange(words, script))
    owners = {SUPERUSER: None, **{role.name: role for role in roles}}
    for db in databases:
        if db.owner not in owners:
            raise PostgresError(f"The owner {db.owner} of the database {db.name} is not among the roles.")
        made = db.name in state.databases
        change = _database_change(db, state) if made else _new_database(db, state, owners[db.owner])
        if change:
            merged.append(change)
    return merged


def _role_change(role: Role, state: ClusterState, salts: Mapping[str, bytes]) -> ClusterChange | None:
    found = state.roles.get(role.name)
    name = identifier(role.name)
    password = f"PASSWORD {literal(scram_verifier(role.password, salts[role.name]))}"
    if found is None:
        attributes = " ".join(ROLE_ATTRIBUTES.values())
        return ClusterChange((f"role {role.name}: absent -> present",), f"CREATE ROLE {name} {attributes} {password};")
    wrong = [words for column, words in ROLE_ATTRIBUTES.items() if found[column] != (column == "rolcanlogin")]
    options = list(wrong)
    words = [f"role {role.name}: {', '.join(wrong)}"] if wrong else []
    if not password_matches(role.password, found["password"]):
        options.append(password)
        words.append(f"role {role.name}: password renewed")
    lines = [f"ALTER ROLE {name} {' '.join(options)};"] if options else []
    for power in found["powers"]:
        words.append(f"role {role.name}: no longer a member of {power}")
        lines.append(f"REVOKE {identifier(power)} FROM {name} CASCADE;")
    return ClusterChange(tuple(words), "\n".join(lines)) if lines else None


def _closed(database: str) -> ClusterChange:
    """Close a database to roles to which nothing in it was granted."""
    script = f"REVOKE CONNECT, TEMPORARY ON DATABASE {identifier(database)} FROM PUBLIC;"
    return ClusterChange((f"database {database}: no longer open to every role",), script)


def _database_change(db: Database, state: ClusterState) -> ClusterChange | None:
    found = state.databases[db.name]
    words: list[str] = []
    lines: list[str] = []
    leftover = db.name + LOADING_SUFFIX
    if leftover in state.databases:
        words.append(f"database {leftover}: left by a run that was cut off, removed")
        lines.append(f"DROP DATABASE {identifier(leftover)} WITH (FORCE);")
    if found["public"]:
        closed = _closed(db.name)
        words += closed.words
        lines.append(closed.script)
    missing = [e for e in db.extensions if (db.name, e) not in state.extensions]
    if missing:
        words += [f"database {db.name}: extension {e} added" for e in missing]
        lines += [f"\\connect {connection(db.name)}", *extensions_among_strangers(db.name, missing)]
    # After the extensions, which trust what is the superuser's, as all that a first start loaded is until here.
    if found["owner"] != db.owner:
        words.append(f"database {db.name}: owner {found['owner']} -> {db.owner}")
        lines += [f"\\connect {connection(db.name)}", *hand_over(db.name, found["owner"], db.owner)]
    return ClusterChange(tuple(words), "\n".join([*lines, ""])) if lines else None


def _new_database(db: Database, state: ClusterState, owner: Role | None) -> ClusterChange:
    """Make the database under another name and give it its own when all is in it, so that it is whole or not there.

    Until its extensions are there nobody else can connect to it, so their scripts find nothing of a role in it.
    """
    loading = identifier(db.name + LOADING_SUFFIX)
    lines = []
    if db.name + LOADING_SUFFIX in state.databases:
        lines.append(f"DROP DATABASE {loading} WITH (FORCE);")
    lines += [
        f"CREATE DATABASE {loading} OWNER {identifier(db.owner)} CONNECTION LIMIT 0;",
        _closed(db.name + LOADING_SUFFIX).script,
        f"\\connect {connection(db.name + LOADING_SUFFIX)}",
        *(extension(e) for e in db.extensions),
    ]
    words = [f"database {db.name}: absent -> present"]
    words += [f"database {db.name}: extension {e} added" for e in db.extensions]
    open_it = f"ALTER DATABASE {loading} CONNECTION LIMIT -1;"
    finish = ["BEGIN;", open_it, f"ALTER DATABASE {loading} RENAME TO {identifier(db.name)};", "COMMIT;", ""]
    if not db.initial_sql:
        return ClusterChange(tuple(words), "\n".join([*lines, "\\connect postgres", *finish]))
    words.append(f"database {db.name}: first content loaded from {db.initial_sql}")
    load = FirstContent(db.initial_sql, db.name + LOADING_SUFFIX, owner, "\n".join(finish))
    return ClusterChange(tuple(words), "\n".join([*lines, open_it, ""]), load)


NOBODY = "65534:65534"
"""The container's user whom PostgreSQL takes for nobody."""
# The password comes as the first line, in the form of a password file, and is kept in a file that has no name.
LOGGING_IN = (
    'umask 077; IFS= read -r line; file=$(mktemp); exec {fd}<> "$file"; rm "$file"; printf "%s\\n" "$line" >&"$fd";'
    ' PGPASSFILE=/proc/self/fd/$fd exec "$@"'
)
"""Runs a command with the password that its input begins with, as `password_line` gives it."""


def loading_command(content: FirstContent) -> tuple[str, tuple[str, ...], str]:
    """Give the container's user who loads the content, the command, and what its input begins with.

    The owner logs in like anybody outside the container; SET SESSION AUTHORIZATION would be no barrier, as the SQL can
    take it back, and psql's commands can ask for a shell.
    """
    database = f"--dbname={conninfo(content.database)}"
    if content.owner is None:
        return SUPERUSER, (*PSQL, f"--username={SUPERUSER}", database), ""
    login = ("--host=127.0.0.1", f"--username={content.owner.name}", "--no-password", database)
    return NOBODY, ("bash", "-c", LOGGING_IN, "bash", *PSQL, *login), password_line(content.owner.password)


def password_line(password: str) -> str:
    """Give a password as a line of a PGPASSFILE, for any server."""
    return "*:*:*:*:" + re.sub(r"([\\:])", r"\\\1", password) + "\n"


OWNED = """
    SELECT 'pg_namespace'::regclass AS catalog, oid, nspowner AS owner FROM pg_namespace WHERE nspname !~ '^pg_'
    UNION ALL SELECT 'pg_class'::regclass, oid, relowner FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL SELECT 'pg_proc'::regclass, oid, proowner FROM pg_proc
    UNION ALL SELECT 'pg_type'::regclass, t.oid, typowner FROM pg_type t LEFT JOIN pg_class c ON c.oid = typrelid
        WHERE typtype IN ('d', 'e', 'r') OR c.relkind = 'c'
"""
"""What a user makes in a database: schemas, relations, routines and types; what belongs to one of these follows it."""


def hand_over(database: str, old: str, new: str) -> list[str]:
    """Give a database, and what its owner owns in it, to another role, in one transaction. For psql, connected to it.

    REASSIGN OWNED would not do: it refuses for postgres, and reaches into every other database of the old owner.
    Object ids below 16384 are PostgreSQL's own; an extension keeps what it made; a sequence goes with its column. The
    superuser, too, calls the function of an event trigger: whoever owns that function is superuser.
    """
    return [
        "BEGIN;",
        "SELECT format('ALTER %s %s OWNER TO %I', o.type, o.identity, " + literal(new) + ")"
        f" FROM ({OWNED}) w, pg_identify_object(w.catalog, w.oid, 0) o"
        f" WHERE w.oid >= 16384 AND pg_get_userbyid(w.owner) = {literal(old)} AND NOT EXISTS ("
        "SELECT FROM pg_depend d WHERE d.classid = w.catalog AND d.objid = w.oid AND (d.deptype = 'e'"
        " OR d.deptype IN ('a', 'i') AND d.refobjsubid > 0)) AND NOT EXISTS ("
        "SELECT FROM pg_event_trigger t WHERE w.catalog = 'pg_proc'::regclass AND t.evtfoid = w.oid) \\gexec",
        f"ALTER DATABASE {identifier(database)} OWNER TO {identifier(new)};",
        "COMMIT;",
    ]


def extension(name: str) -> str:
    """Make an extension in public, if it has no schema of its own: with an empty search_path it must be said."""
    return f"CREATE EXTENSION IF NOT EXISTS {identifier(name)} SCHEMA public CASCADE;"


NO_STRANGERS = """
DO $$
DECLARE
    wanted CONSTANT name[] := ARRAY[{extensions}];
    strange text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_available_extension_versions v JOIN pg_available_extensions e USING (name)
                   WHERE v.version = e.default_version AND v.name = ANY (wanted) AND NOT v.trusted) THEN
        RETURN;
    END IF;
    SELECT string_agg(thing, ', ') INTO strange FROM (
        SELECT p.oid::regprocedure::text, p.pronamespace, p.proowner FROM pg_proc p
        UNION ALL SELECT o.oid::regoperator::text, o.oprnamespace, o.oprowner FROM pg_operator o
        UNION ALL SELECT 'the schema ' || quote_ident(nspname), oid, nspowner FROM pg_namespace
            WHERE nspname IN (SELECT v.schema FROM pg_available_extension_versions v WHERE v.name = ANY (wanted))
        UNION ALL SELECT 'the setting ' || setting, 'public'::regnamespace::oid, datdba
            FROM pg_db_role_setting, unnest(setconfig) setting, pg_database d
            WHERE d.oid = setdatabase AND d.datname = current_database() AND setting ~ '^search_path=.*;'
    ) found (thing, schema, owner)
    WHERE NOT (SELECT rolsuper FROM pg_authid a WHERE a.oid = owner) AND schema IN (
        SELECT 'public'::regnamespace::oid UNION SELECT extnamespace FROM pg_extension
        UNION SELECT oid FROM pg_namespace
            WHERE nspname IN (SELECT v.schema FROM pg_available_extension_versions v WHERE v.name = ANY (wanted)));
    IF strange IS NOT NULL THEN
        RAISE EXCEPTION 'The database % has % of other roles, which the scripts of %, run as superuser, could use. '
            'Move them to another schema, or remove them.', current_database(), strange, array_to_string(wanted, ', ');
    END IF;
END
$$;
"""
"""Ends the transaction where roles left what an extension's script, run by the superuser, could take for its own.

Scripts look for functions and operators in the extension's schema, and in those of the extensions that it needs;
postgis_topology also puts the database's search_path into a statement. Trusted extensions are those that PostgreSQL
lets every owner of a database make, so their scripts must do with it.
"""


def extensions_among_strangers(database: str, names: Sequence[str]) -> list[str]:
    """Make extensions in a database where others are at work, in one transaction. For psql, connected to it.

    While they are looked for, and until all is done, nobody can add a function, an operator or a setting: the locks
    stop those who begin now, and what the sessions from before have not committed goes with them.
    """
    return [
        "BEGIN;",
        "LOCK TABLE pg_proc, pg_operator, pg_namespace, pg_db_role_setting IN SHARE ROW EXCLUSIVE MODE;",
        "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
        f" WHERE datname = {literal(database)} AND backend_type = 'client backend' AND pid <> pg_backend_pid();",
        "CREATE SCHEMA IF NOT EXISTS public AUTHORIZATION pg_database_owner;",
        NO_STRANGERS.format(extensions=_list(names)).strip(),
        *(extension(name) for name in names),
        "COMMIT;",
    ]
