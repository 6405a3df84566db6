"""The database: roles, databases, passwords, settings, and the files that are loaded. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from ansible.module_utils.poppyfield.inventory.laptop import Laptop
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown
from ansible.module_utils.poppyfield.postgis import postgres

FOR_LIZMAP = "lizmap"
"""The role and the database of Lizmap's accounts, which are never those of projects."""
LEAST_SHARE, MOST_SHARE = 0.05, 0.9
NAME_RULE = "[NUMBER-]DATABASE[.NOTE] with .sql, .sql.gz or .dump at the end (for example 10-gis.dump)"


def findings(host: Host, laptop: Laptop) -> Iterator[Finding]:
    """Give what is wrong."""
    values = host.values
    roles = [role["name"] for role in values["postgis_roles"]]
    databases = [database["name"] for database in values["postgis_databases"]]
    yield from _names("postgis_roles", "role", roles, values)
    yield from _names("postgis_databases", "database", databases, values)
    yield from _owners(values["postgis_databases"], roles)
    yield from passwords(
        values["postgis_passwords"], [*roles, *(person["name"] for person in values["postgis_people"])]
    )
    yield from _of_the_map_server(values, roles, databases)
    yield from _initial_sql(values["postgis_databases"], laptop)
    yield from first_start_files(values["postgis_first_start_files"], laptop)
    yield from settings(values["postgis_settings"])
    yield from _shares(values)


def has_accounts(values: Mapping[str, Any]) -> bool:
    """Tell whether Lizmap keeps its accounts in PostGIS."""
    return bool(values["lizmap_accounts"] == "postgis" and values["lizmap_web_client"] == "archive")


def _names(variable: str, kind: str, names: Sequence[str], values: Mapping[str, Any]) -> Iterator[Finding]:
    for said in postgres.wrong_names(kind, names):
        yield Finding(variable, said, "Correct its name, or remove it")
    for name in dict.fromkeys(names):
        if "/" in name:
            yield Finding(
                variable, f"{name} has a slash, but files are named after each {kind}", "Choose a name without one"
            )
    if FOR_LIZMAP in names and has_accounts(values):
        yield Finding(
            variable,
            f"with lizmap_accounts set to postgis, the {kind} {FOR_LIZMAP} is that of Lizmap's accounts",
            "Give yours another name",
            shown(FOR_LIZMAP),
        )


def _owners(databases: Sequence[Mapping[str, Any]], roles: Sequence[str]) -> Iterator[Finding]:
    for database in databases:
        if database["owner"] not in roles:
            yield Finding(
                "postgis_databases",
                f"the database {database['name']} is to belong to a role that postgis_roles does not have",
                "Add the role to postgis_roles, or name another owner",
                shown(database["owner"]),
            )


def passwords(given: Mapping[Any, Any], roles: Sequence[str]) -> Iterator[Finding]:
    """Give what is wrong with passwords by role; none of them is shown."""
    for role, password in given.items():
        if role not in roles:
            yield Finding(
                "postgis_passwords",
                f"it has a password for the role {role}, which neither postgis_roles nor postgis_people has",
                "Add the role to one of these, or remove the password",
            )
        if wrong := password_problem(password):
            yield Finding(
                "postgis_passwords",
                f"the password of {role} {wrong}",
                f"Choose one of {postgres.LEAST_PASSWORD} or more printable ASCII characters, or remove it and get a "
                "random one",
            )


def password_problem(password: Any) -> str:
    """Say why a password would not reach PostgreSQL as it was written, or is too short; empty when it will do."""
    if not isinstance(password, str):
        return "is not a text: YAML takes it for a number or something else, so put it between quotation marks"
    try:
        postgres.check_password(password, "postgis_passwords")
    except postgres.PostgresError:
        return "must be one line of printable ASCII characters"
    if password != password.strip():
        return "has a blank at one end"
    if len(password.encode()) < postgres.LEAST_PASSWORD:
        return f"is shorter than {postgres.LEAST_PASSWORD} characters"
    return ""


def _of_the_map_server(values: Mapping[str, Any], roles: Sequence[str], databases: Sequence[str]) -> Iterator[Finding]:
    database, user = values["lizmap_database"], values["lizmap_database_user"]
    if database not in {*databases, *_loaded(values["postgis_first_start_files"])}:
        yield Finding(
            "lizmap_database",
            "neither postgis_databases nor postgis_first_start_files has this database, which projects are to reach",
            "Add it to postgis_databases, or name one of these",
            shown(database),
        )
    if user not in roles:
        yield Finding(
            "lizmap_database_user",
            "postgis_roles does not have this role, by which projects are to reach the database",
            "Add it to postgis_roles, or name one of these",
            shown(user),
        )


def _loaded(files: Sequence[str]) -> Iterator[str]:
    """Give the databases that files of the first start make."""
    for path in files:
        if named := re.match(postgres.FIRST_START_NAME, PurePath(path).name):
            yield named[2]


def _initial_sql(databases: Sequence[Mapping[str, Any]], laptop: Laptop) -> Iterator[Finding]:
    for database in databases:
        path = database.get("initial_sql")
        if path and not laptop.is_file(path):
            yield Finding(
                "postgis_databases",
                f"the file of the database {database['name']} is not on this laptop",
                "Correct initial_sql",
                shown(path),
            )


def first_start_files(paths: Sequence[str], laptop: Laptop) -> Iterator[Finding]:
    """Give what is wrong with the files of the first start."""
    names = [PurePath(path).name for path in paths]
    for path, name in zip(paths, names, strict=True):
        wrong = []
        if not laptop.is_file(path):
            wrong.append("is not a file on this laptop")
        if not is_first_start_name(name):
            wrong.append(f"is not named {NAME_RULE}")
        if names.count(name) > 1:
            wrong.append("has the name of another one")
        if wrong:
            yield Finding(
                "postgis_first_start_files",
                f"it {' and '.join(wrong)}",
                "Correct the path, or rename the file",
                shown(path),
            )


def is_first_start_name(name: str) -> bool:
    """Tell whether a file's name says its database and its kind."""
    return "\n" not in name and re.match(postgres.FIRST_START_NAME, name) is not None


def settings(given: Mapping[Any, Any]) -> Iterator[Finding]:
    """Give what is wrong with settings of PostgreSQL."""
    for name, value in given.items():
        try:
            postgres.server_command({str(name): ""})
        except postgres.PostgresError as error:
            yield Finding("postgis_settings", str(error), "Correct the name")
        if name in postgres.DURABILITY and value not in (True, "on"):
            yield Finding(
                "postgis_settings",
                f"{name} must stay on, because a loss of power could cost data",
                "Remove it",
                shown(value),
            )
        elif not isinstance(value, str | int | float):
            yield Finding("postgis_settings", f"{name} must be a text, a number, or true or false", "Correct it")


def _shares(values: Mapping[str, Any]) -> Iterator[Finding]:
    if not LEAST_SHARE <= values["postgis_memory_share"] <= MOST_SHARE:
        yield Finding(
            "postgis_memory_share",
            "it is no share that a database can work with",
            f"Give a number between {LEAST_SHARE} and {MOST_SHARE}",
            shown(values["postgis_memory_share"]),
        )
