"""Lizmap's users, groups and rights. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible.module_utils.poppyfield.inventory.problems import Finding, Host
from ansible.module_utils.poppyfield.lizmap import accounts as lizmap_accounts

Json = dict[str, Any]
ADMIN = "admin"
"""The first administrator's login, as the image has it."""
PASSWORD = re.compile(rf"[ -~]{{12,{lizmap_accounts.MAX_PASSWORD}}}")
NEEDING_LIZMAP = (
    "label",
    "view",
    "edit",
    "export",
    "links",
    "unfiltered",
    "themes",
    "allowed_origins",
    "embedding_origins",
)
"""Options of a repository that the small map page knows nothing of."""


def findings(host: Host) -> Iterator[Finding]:
    """Give what is wrong."""
    if host.values["lizmap_web_client"] == "archive":
        yield from accounts(host.values)
        yield from passwords(host.given.get("lizmap_users"), host.given.get("lizmap_admin_password", ""))
    else:
        yield from needing_lizmap(host.values)


def accounts(values: Mapping[str, Any]) -> Iterator[Finding]:
    """Give each user, group and repository that a new Lizmap could not have."""
    if ADMIN in [user["login"] for user in values["lizmap_users"]]:
        yield Finding(
            "lizmap_users",
            f"the account {ADMIN} is set by lizmap_admin_email and lizmap_admin_password",
            "Remove it from lizmap_users",
        )
        return
    for said in lizmap_accounts.inventory_problems(
        _users(values), _groups(values["lizmap_groups"]), _repositories(values["lizmap_projects"])
    ):
        variable, _, wrong = said.partition(": ")
        if f"The user {ADMIN}: " in wrong:
            variable = "lizmap_admin_email"
        if "is given twice" not in wrong or variable != "lizmap_projects":
            yield Finding(variable, wrong, "Correct that entry")


def _users(values: Mapping[str, Any]) -> list[Json]:
    users: list[Json] = [{"login": ADMIN, "email": values["lizmap_admin_email"], "groups": [lizmap_accounts.ADMINS]}]
    for user in values["lizmap_users"]:
        login = user["login"]
        email = login if "@" in login else f"{login}@localhost.localdomain"
        users.append({"groups": [], "rights": [], "email": email, **user})
    return users


def _groups(groups: Sequence[Json]) -> list[Json]:
    known = lizmap_accounts.BUILT_IN
    return [{**({} if group["name"] in known else {"label": group["name"], "rights": []}), **group} for group in groups]


def _repositories(projects: Sequence[Json]) -> list[Json]:
    unless_given: Json = {"themes": False, "allowed_origins": [], "embedding_origins": [], "view": "everyone"}
    unless_given |= {"edit": [], "export": [], "links": [], "unfiltered": []}
    return [
        {**unless_given, "label": project["repository"], **project, "key": project["repository"]}
        for project in projects
    ]


def passwords(users: Any, admin: Any) -> Iterator[Finding]:
    """Name those whose given password is none that Lizmap could keep; no password is shown."""
    given = users if isinstance(users, list) else []
    entries = [("lizmap_users", user.get("login"), user) for user in given if isinstance(user, Mapping)]
    if admin not in ("", None):
        entries.append(("lizmap_admin_password", ADMIN, {"password": admin}))
    for variable, login, entry in entries:
        if wrong := _password_problem(entry.get("password")):
            yield Finding(
                variable,
                f"the password of {login} {wrong}",
                "Choose another one, or leave it out: then the Pi makes one of its own",
            )


def _password_problem(password: Any) -> str:
    if password is None:
        return ""
    if not isinstance(password, str):
        return "is not a text: YAML takes it for a number or something else, so put it between quotation marks"
    if not PASSWORD.fullmatch(password):
        return f"must be one line of 12 to {lizmap_accounts.MAX_PASSWORD} printable ASCII characters"
    return "has a blank at one end" if password != password.strip() else ""


def needing_lizmap(values: Mapping[str, Any]) -> Iterator[Finding]:
    """Name what is of no use without Lizmap."""
    for variable in ("lizmap_users", "lizmap_groups", "lizmap_admin_password"):
        if values[variable]:
            yield _needs(variable, "it needs Lizmap")
    for project in values["lizmap_projects"]:
        for option in NEEDING_LIZMAP:
            if option in project:
                yield _needs("lizmap_projects", f"{option} of {project['repository']} needs Lizmap")


def _needs(variable: str, wrong: str) -> Finding:
    return Finding(
        variable,
        f"{wrong}, but lizmap_web_client is none: the small map page has no users and rights",
        "Remove it, or set lizmap_web_client to archive",
    )
