"""People who edit with QGIS Desktop from the Pi's network: who, from where, and what they may do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible.module_utils.poppyfield.host.firewall import address_problem, wide_problem
from ansible.module_utils.poppyfield.inventory.postgis import FOR_LIZMAP
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown
from ansible.module_utils.poppyfield.postgis import people, postgres

OWN_SCHEMAS = ("information_schema",)


def findings(host: Host) -> Iterator[Finding]:
    """Give what is wrong."""
    values = host.values
    yield from _networks(values["postgis_desktop_networks"])
    yield from _both(values["postgis_desktop_networks"], values["postgis_people"])
    yield from _names([person["name"] for person in values["postgis_people"]], values["postgis_roles"])
    databases = [database["name"] for database in values["postgis_databases"]]
    for person in values["postgis_people"]:
        yield from _rights(person, databases)


def _networks(networks: Sequence[str]) -> Iterator[Finding]:
    for network in networks:
        if problem := address_problem(network) or wide_problem(network):
            yield Finding(
                "postgis_desktop_networks",
                problem,
                "Give the network in which people and the Pi are, as 192.168.1.0/24",
                shown(network),
            )


def _both(networks: Sequence[str], persons: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    if persons and not networks:
        yield Finding(
            "postgis_people",
            "postgis_desktop_networks is empty, so none of these people could come in",
            "Name the networks there, or remove the people",
        )
    if networks and not persons:
        yield Finding(
            "postgis_desktop_networks",
            "postgis_people is empty, so the database would be open to these networks for nobody",
            "Name the people there, or remove the networks",
        )


def _names(names: Sequence[str], roles: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for said in postgres.wrong_names("role", names):
        yield Finding("postgis_people", said, "Correct the name, or remove it")
    taken = {role["name"] for role in roles} | {FOR_LIZMAP, people.GROUP}
    for name in dict.fromkeys(names):
        if "/" in name:
            yield Finding(
                "postgis_people",
                f"{name} has a slash, but files are named after each person",
                "Choose a name without one",
            )
        if name in taken:
            yield Finding(
                "postgis_people",
                f"{name} is the role of a program, which may not come in from outside",
                "Give the person a name of their own",
                shown(name),
            )


def _rights(person: Mapping[str, Any], databases: Sequence[str]) -> Iterator[Finding]:
    if not person["rights"]:
        yield Finding(
            "postgis_people", f"{person['name']} has no rights", "Name a database in rights, or remove the person"
        )
    seen = set()
    for right in person["rights"]:
        if right["database"] not in databases:
            yield Finding(
                "postgis_people",
                f"{person['name']} is to have rights in a database that postgis_databases does not have",
                "Add it to postgis_databases, or name one of these",
                shown(right["database"]),
            )
        for schema in right.get("schemas", ["public"]):
            if problem := _schema_problem(schema):
                yield Finding("postgis_people", problem, "Name a schema with tables, such as public", shown(schema))
            if (right["database"], schema) in seen:
                where = f"the schema {schema} of {right['database']}"
                yield Finding("postgis_people", f"{person['name']} has {where} twice", "Remove one of them")
            seen.add((right["database"], schema))


def _schema_problem(schema: str) -> str:
    try:
        postgres.identifier(schema)
    except postgres.PostgresError as error:
        return str(error)
    if schema in OWN_SCHEMAS or schema.startswith("pg_"):
        return f"the schema {schema} is PostgreSQL's own"
    return ""
