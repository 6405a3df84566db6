"""PostgreSQL's side of the database container: its command, roles, databases, extensions. Pure.

The running cluster is read with one psql call that answers in JSON, compared with what is wanted, and changed with
psql scripts. A plaintext password never leaves the module: the cluster only ever sees SCRAM verifiers.
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
OWN_NAMES = {"role": ("postgres",), "database": ("postgres", "template0", "template1")}
"""What the cluster has of itself, by kind; a role's name may not begin with pg_, either."""
FIRST_START_NAME = r"^([0-9]+-)?([A-Za-z_][A-Za-z0-9_-]*)(\..*)?\.(sql|sql\.gz|dump)$"
"""The name of a file of the first start, [NUMBER-]DATABASE[.NOTE].KIND: the image's entrypoint has the same rule."""
DURABILITY = ("fsync", "full_page_writes", "synchronous_commit")
"""Settings that must stay on, since a loss of power could cost data."""
LEAST_PASSWORD = 16
SCRAM_ITERATIONS = 4096
PSQL = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
# A failed statement must not put a verifier into the container's log.
QUIET_LOG = "SET log_statement = 'none'; SET log_min_error_statement = 'panic'; SET log_min_duration_statement = -1;"
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


def data_problem(folder: DataFolder, image: Mapping[str, Any]) -> str:
    """Say why a server of this image must not work on this folder, and what to do; empty if it may."""
    wanted = ((image.get("Config") or {}).get("Labels") or {}).get(VERSION_LABEL, "")
    if folder.version and wanted and folder.version != wanted:
        return (
            f"The data folder {folder.path} was made by PostgreSQL {folder.version}, but the image holds PostgreSQL "
            f"{wanted}, which cannot read it. Nothing was changed. Use an image of PostgreSQL {folder.version} again "
            f"(another arm_images_profile), or dump the databases with it and load them into another data folder."
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
    names = [name for db in databases for name in (db.name, db.name + LOADING_SUFFIX)]
    attributes = ", ".join(f"'{a}', {a}" for a in ROLE_ATTRIBUTES)
    lines = [
        QUIET_LOG,
        f"SELECT json_build_object('role', rolname, 'password', rolpassword, {attributes}) FROM pg_authid"
        f" WHERE rolname IN ({_list(role.name for role in roles)});",
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
    inside = database.replace("\\", "\\\\").replace("'", "\\'")
    identifier(database)
    # As a connection string, and that inside psql's own quotes.
    text = f"dbname='{inside}'"
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _list(texts: Iterable[str]) -> str:
    return ", ".join(literal(text) for text in texts) or "NULL"


@dataclass(frozen=True)
class ClusterState:
    """What the cluster has of the wanted roles and databases."""

    roles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    databases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    extensions: frozenset[tuple[str, str]] = frozenset()
    """Pairs of database and extension."""


def parse_state(output: str) -> ClusterState:
    """Read what the state script printed."""
    roles = {}
    databases = {}
    extensions = set()
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
        else:
            extensions.add((document["in"], document["extension"]))
    return ClusterState(roles, databases, frozenset(extensions))


# Planning and applying ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClusterChange:
    """One psql run: its words for the user, its script, and the file that follows the script."""

    words: tuple[str, ...]
    script: str = field(repr=False)
    sql_file: str = ""
    after_file: str = ""


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
    merged = []
    if changes:
        words = tuple(word for change in changes for word in change.words)
        script = "\n".join([QUIET_LOG, "BEGIN;", *(c.script for c in changes), "COMMIT;", ""])
        merged.append(ClusterChange(words, script))
    for db in databases:
        known = {role.name for role in roles} | {"postgres"}
        if db.owner not in known:
            raise PostgresError(f"The owner {db.owner} of the database {db.name} is not among the roles.")
        change = _database_change(db, state) if db.name in state.databases else _new_database(db, state)
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
    return ClusterChange(tuple(words), f"ALTER ROLE {name} {' '.join(options)};") if options else None


def _database_change(db: Database, state: ClusterState) -> ClusterChange | None:
    found = state.databases[db.name]
    name = identifier(db.name)
    words = []
    lines = []
    leftover = db.name + LOADING_SUFFIX
    if leftover in state.databases:
        words.append(f"database {leftover}: left by a run that was cut off, removed")
        lines.append(f"DROP DATABASE {identifier(leftover)} WITH (FORCE);")
    if found["owner"] != db.owner:
        words.append(f"database {db.name}: owner {found['owner']} -> {db.owner}")
        lines += [f"\\connect {connection(db.name)}", *_hand_over(db.name, found["owner"], db.owner)]
    if found["public"]:
        words.append(f"database {db.name}: no longer open to every role")
        lines.append(f"REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC;")
    missing = [e for e in db.extensions if (db.name, e) not in state.extensions]
    if missing:
        words += [f"database {db.name}: extension {e} added" for e in missing]
        lines.append(f"\\connect {connection(db.name)}")
        lines += [_extension(e) for e in missing]
    return ClusterChange(tuple(words), "\n".join([*lines, ""])) if lines else None


def _new_database(db: Database, state: ClusterState) -> ClusterChange:
    """Make the database under another name and give it its own when all is in it, so that it is whole or not there."""
    loading = identifier(db.name + LOADING_SUFFIX)
    lines = []
    if db.name + LOADING_SUFFIX in state.databases:
        lines.append(f"DROP DATABASE {loading} WITH (FORCE);")
    lines += [
        f"CREATE DATABASE {loading} OWNER {identifier(db.owner)};",
        f"REVOKE CONNECT, TEMPORARY ON DATABASE {loading} FROM PUBLIC;",
        f"\\connect {connection(db.name + LOADING_SUFFIX)}",
        *(_extension(e) for e in db.extensions),
    ]
    words = [f"database {db.name}: absent -> present"]
    words += [f"database {db.name}: extension {e} added" for e in db.extensions]
    finish = ["\\connect postgres", f"ALTER DATABASE {loading} RENAME TO {identifier(db.name)};", ""]
    if not db.initial_sql:
        return ClusterChange(tuple(words), "\n".join([*lines, *finish]))
    words.append(f"database {db.name}: first content loaded from {db.initial_sql}")
    lines += [f"SET SESSION AUTHORIZATION {identifier(db.owner)};", ""]
    return ClusterChange(tuple(words), "\n".join(lines), db.initial_sql, "\n".join(["", *finish]))


OWNED = """
    SELECT 'pg_namespace'::regclass AS catalog, oid, nspowner AS owner FROM pg_namespace WHERE nspname !~ '^pg_'
    UNION ALL SELECT 'pg_class'::regclass, oid, relowner FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL SELECT 'pg_proc'::regclass, oid, proowner FROM pg_proc
    UNION ALL SELECT 'pg_type'::regclass, t.oid, typowner FROM pg_type t LEFT JOIN pg_class c ON c.oid = typrelid
        WHERE typtype IN ('d', 'e', 'r') OR c.relkind = 'c'
"""
"""What a user makes in a database: schemas, relations, routines and types; what belongs to one of these follows it."""


def _hand_over(database: str, old: str, new: str) -> list[str]:
    """Give a database, and what its owner owns in it, to another role, in one transaction. For psql, connected to it.

    REASSIGN OWNED would not do: it refuses for postgres, and reaches into every other database of the old owner.
    Object ids below 16384 are PostgreSQL's own; an extension keeps what it made; a sequence goes with its column.
    """
    return [
        "BEGIN;",
        "SELECT format('ALTER %s %s OWNER TO %I', o.type, o.identity, " + literal(new) + ")"
        f" FROM ({OWNED}) w, pg_identify_object(w.catalog, w.oid, 0) o"
        f" WHERE w.oid >= 16384 AND pg_get_userbyid(w.owner) = {literal(old)} AND NOT EXISTS ("
        "SELECT FROM pg_depend d WHERE d.classid = w.catalog AND d.objid = w.oid AND (d.deptype = 'e'"
        " OR d.deptype IN ('a', 'i') AND d.refobjsubid > 0)) \\gexec",
        f"ALTER DATABASE {identifier(database)} OWNER TO {identifier(new)};",
        "COMMIT;",
    ]


def _extension(name: str) -> str:
    return f"CREATE EXTENSION IF NOT EXISTS {identifier(name)} CASCADE;"
