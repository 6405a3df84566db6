"""People who edit with QGIS Desktop from the Pi's network: their roles, and what each may do in which database. Pure.

A role of a person is a member of GROUP, by which the server's pg_hba.conf knows whom it lets in from outside, and we
know whose role it is. What a person may do is compared with the access lists that the server has, in each database, by
one query that gives the statements that are missing; these are run, and nothing is asked of the database but its
catalogs.
"""

# ruff: noqa: S608 - SQL is put together here on purpose; every name and text goes through identifier() or literal().

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible.module_utils.poppyfield.postgis.postgres import (
    SUPERUSER,
    ClusterChange,
    PostgresError,
    Role,
    connection,
    identifier,
    literal,
)

GROUP = "poppyfield_desktop"
"""The image's entrypoint has the same name."""
GROUP_ROLE = Role(GROUP, "")
CONNECTIONS = 10
"""Of each person at most: PostgreSQL has forty, which the map server needs."""


@dataclass(frozen=True)
class Right:
    """What a person may do in one schema: look at all that is in it, or edit that, too."""

    database: str
    schema: str
    edit: bool


@dataclass(frozen=True)
class Person:
    """A person's role and rights."""

    role: Role
    rights: tuple[Right, ...]


@dataclass(frozen=True)
class Member:
    """A role that is in GROUP, and the databases in which something refers to it."""

    name: str
    databases: tuple[str, ...]
    connections: int


@dataclass(frozen=True)
class PeopleState:
    """What the cluster has of people."""

    group: bool = False
    members: Sequence[Member] = ()
    statements: Sequence[tuple[str, str]] = ()
    """Pairs of a database and a statement that is missing in it."""
    schemas: frozenset[tuple[str, str]] = frozenset()
    """Pairs of a database and a schema that it has."""
    owners: Mapping[str, str] = field(default_factory=dict)
    """Of each database."""
    closed: frozenset[str] = frozenset()
    """Databases to which nobody can connect, such as what an earlier load has replaced."""


def state_script(people: Sequence[Person], services: Iterable[str], databases: Iterable[str]) -> str:
    """Give the psql script that tells the state of people, one JSON document a line.

    `services` are the roles of applications, whose rights are none of these; `databases` those that are looked into.
    """
    services = list(services)
    lines = [
        f"SELECT json_build_object('group', EXISTS (SELECT FROM pg_authid WHERE rolname = {literal(GROUP)}));",
        "SELECT json_build_object('member', a.rolname, 'connections', a.rolconnlimit, 'databases', ARRAY("
        "SELECT DISTINCT datname FROM pg_shdepend JOIN pg_database d ON d.oid = dbid"
        " WHERE refclassid = 'pg_authid'::regclass AND refobjid = a.oid ORDER BY 1))"
        " FROM pg_auth_members m JOIN pg_authid a ON a.oid = m.member JOIN pg_authid g ON g.oid = m.roleid"
        f" WHERE g.rolname = {literal(GROUP)} ORDER BY a.rolname;",
        "SELECT json_build_object('database', datname, 'owner', pg_get_userbyid(datdba), 'open', datallowconn)"
        " FROM pg_database;",
    ]
    for number, database in enumerate(databases):
        lines += [
            f"SELECT count(*) > 0 AS has_{number} FROM pg_database WHERE datname = {literal(database)} \\gset",
            f"\\if :has_{number}",
            f"\\connect {connection(database)}",
            f"SELECT json_build_object('schema', nspname, 'in', {literal(database)}) FROM pg_namespace;",
            f"SELECT json_build_object('statement', s, 'in', {literal(database)})"
            f" FROM ({_differences(people, services, database)}) d (s);",
            "\\connect postgres",
            "\\endif",
        ]
    return "\n".join(lines) + "\n"


# What a right means for each kind of object. What belongs to an extension is PostGIS's own: it may be read anyway.
PRIVILEGES = """CASE kind
        WHEN 'DATABASE' THEN '{CONNECT}'
        WHEN 'SCHEMA' THEN '{USAGE}'
        WHEN 'TABLE' THEN CASE WHEN edit THEN '{SELECT,INSERT,UPDATE,DELETE}' ELSE '{SELECT}' END
        ELSE CASE WHEN edit THEN '{USAGE,SELECT}' ELSE '{}' END
    END::text[]"""
OBJECTS = """
    SELECT 'DATABASE', quote_ident(datname), NULL::name, datacl, datdba FROM pg_database
        WHERE datname = current_database()
    UNION ALL SELECT 'SCHEMA', quote_ident(nspname), nspname, nspacl, nspowner FROM pg_namespace
    UNION ALL SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, format('%I.%I', nspname, relname), nspname,
        relacl, relowner FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND nspname !~ '^pg_' AND NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"""


def _differences(people: Sequence[Person], services: Iterable[str], database: str) -> str:
    """Give the query for the statements by which the members of GROUP, and these people, get just their rights.

    A role of an application that somebody has put into GROUP keeps its own, and so does the owner of a table.
    """
    names = ", ".join(literal(person.role.name) for person in people) or "NULL"
    wanted = ", ".join(
        f"({literal(person.role.name)}, {literal(right.schema)}, {str(right.edit).lower()})"
        for person in people
        for right in person.rights
        if right.database == database
    )
    return (
        "WITH wanted (person, schema, edit) AS ("
        + (f"VALUES {wanted}" if wanted else "SELECT '', '', false WHERE false")
        + f"), objects (kind, name, schema, acl, owner) AS ({OBJECTS}"
        "), people (oid, person) AS (SELECT a.oid, a.rolname::text FROM pg_authid a"
        f" WHERE a.rolname IN ({names}) OR a.oid IN (SELECT m.member FROM pg_auth_members m"
        f" JOIN pg_authid g ON g.oid = m.roleid WHERE g.rolname = {literal(GROUP)})"
        f" AND a.rolname NOT IN ({', '.join(map(literal, services)) or literal('')})"
        "), should (person, kind, name, privilege) AS (SELECT person, kind, name, privilege FROM wanted w"
        f" JOIN objects o ON o.kind = 'DATABASE' OR o.schema = w.schema, unnest({PRIVILEGES}) privilege"
        " WHERE pg_get_userbyid(o.owner) <> w.person"
        "), has (person, kind, name, privilege) AS (SELECT person, kind, name, x.privilege_type"
        " FROM objects, aclexplode(acl) x JOIN people ON people.oid = x.grantee WHERE x.grantee <> owner"
        ") SELECT format('GRANT %s ON %s %s TO %I', string_agg(privilege, ', ' ORDER BY privilege), kind, name, person)"
        " FROM (TABLE should EXCEPT TABLE has) missing GROUP BY kind, name, person"
        " UNION ALL"
        " SELECT format('REVOKE %s ON %s %s FROM %I CASCADE', string_agg(privilege, ', ' ORDER BY privilege), kind,"
        " name, person) FROM (TABLE has EXCEPT TABLE should) beyond GROUP BY kind, name, person"
    )


def parse_state(output: str) -> PeopleState:
    """Read what the state script printed."""
    found = [json.loads(line) for line in output.splitlines() if line.strip()]
    return PeopleState(
        group=any(document.get("group") for document in found),
        members=[Member(d["member"], tuple(d["databases"]), d["connections"]) for d in found if "member" in d],
        statements=[(d["in"], d["statement"]) for d in found if "statement" in d],
        schemas=frozenset((d["in"], d["schema"]) for d in found if "schema" in d),
        owners={d["database"]: d["owner"] for d in found if "database" in d},
        closed=frozenset(d["database"] for d in found if "database" in d and not d["open"]),
    )


def plan_changes(people: Sequence[Person], services: Iterable[str], state: PeopleState) -> list[ClusterChange]:
    """Give the psql runs by which people have their rights, and those who are not named any more have nothing.

    `services` are the roles of applications, which may not come in as a person does. The people's roles are there.
    """
    check_schemas(people, state)
    services, names = set(services), [person.role.name for person in people]
    changes = []
    if names and not state.group:
        changes.append(
            ClusterChange((f"role {GROUP}: absent -> present",), f"CREATE ROLE {identifier(GROUP)} NOLOGIN;")
        )
    members = {member.name: member for member in state.members}
    for name in names:
        changes += _let_in(name, members.get(name))
    changes += _rights(state)
    for member in state.members:
        if member.name in services:
            script = f"REVOKE {identifier(GROUP)} FROM {identifier(member.name)} CASCADE;"
            changes.append(ClusterChange((f"role {member.name}: no longer a member of {GROUP}",), script))
        elif member.name not in names:
            changes.append(_removal(member, state))
    return changes


def check_schemas(people: Sequence[Person], state: PeopleState) -> None:
    """Refuse rights in a schema that its database does not have."""
    for person in people:
        for right in person.rights:
            if right.database in state.owners and (right.database, right.schema) not in state.schemas:
                raise PostgresError(
                    f"The database {right.database} has no schema {right.schema}, in which {person.role.name} is to "
                    "have rights (postgis_people). Correct its name, or make it; until then nobody's rights change."
                )


def _let_in(name: str, member: Member | None) -> list[ClusterChange]:
    lines, words = [], []
    if member is None:
        lines.append(f"GRANT {identifier(GROUP)} TO {identifier(name)};")
        words.append(f"role {name}: may come in from the networks of postgis_desktop_networks")
    if member is None or member.connections != CONNECTIONS:
        lines.append(f"ALTER ROLE {identifier(name)} CONNECTION LIMIT {CONNECTIONS};")
        words.append(f"role {name}: {CONNECTIONS} connections at most")
    return [ClusterChange(tuple(words), "\n".join(lines))] if lines else []


def _rights(state: PeopleState) -> list[ClusterChange]:
    changes = []
    for database in dict.fromkeys(database for database, _ in state.statements):
        statements = [statement for name, statement in state.statements if name == database]
        lines = [f"\\connect {connection(database)}", "BEGIN;", *(f"{one};" for one in statements), "COMMIT;"]
        words = tuple(f"database {database}: {one}" for one in statements)
        changes.append(ClusterChange(words, "\n".join([*lines, ""])))
    return changes


def _removal(member: Member, state: PeopleState) -> ClusterChange:
    """Take a person's role away; what it owns goes to the database's owner."""
    name = identifier(member.name)
    lines = [
        f"ALTER ROLE {name} NOLOGIN;",
        f"SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE usename = {literal(member.name)};",
    ]
    for database in dict.fromkeys([*member.databases, SUPERUSER]):
        there = [
            f"\\connect {connection(database)}",
            "BEGIN;",
            f"REASSIGN OWNED BY {name} TO {identifier(state.owners[database])};",
            f"DROP OWNED BY {name};",
            "COMMIT;",
            "\\connect postgres",
        ]
        lines += _opened(database, there) if database in state.closed else there
    lines += [f"DROP ROLE {name};", ""]
    return ClusterChange((f"role {member.name}: present -> absent",), "\n".join(lines))


def _opened(database: str, lines: Sequence[str]) -> list[str]:
    """Open a database for us alone while this is done; one that a cut-off run leaves open still lets nobody else in."""
    to_all = f"ALTER DATABASE {identifier(database)}"
    return [
        f"{to_all} CONNECTION LIMIT 0;",
        f"{to_all} ALLOW_CONNECTIONS true;",
        *lines,
        f"{to_all} ALLOW_CONNECTIONS false;",
    ]
