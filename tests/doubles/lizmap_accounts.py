"""A stateful fake of Lizmap behind the script accounts.php, in the place of `docker exec`.

It keeps accounts, groups, rights and repositories, does what Lizmap 3.9's commands do with them, and refuses what they
refuse, in their words (tests/doubles/lizmap_web_client/CONTRACT-accounts.md names the sources). The tests in
tests/lizmap/ play the same on a real Lizmap.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.poppyfield.containers.engine import Result

Json = dict[str, Any]

FLUSH = "sync --file-system /srv/lizmap"
SCRIPT = "php /usr/local/lib/poppyfield/web-client/accounts.php"
KNOWN_RIGHTS = (
    "acl.group.modify",
    "acl.user.modify",
    "auth.user.view",
    "lizmap.admin.access",
    "lizmap.admin.repositories.view",
    "lizmap.repositories.view",
    "lizmap.tools.displayGetCapabilitiesLinks",
    "lizmap.tools.edition.use",
    "lizmap.tools.layer.export",
    "lizmap.tools.loginFilteredLayers.override",
)


class RefusedError(Exception):
    """What Lizmap's command says."""


@dataclass
class FakeLizmap:
    """A newly installed Lizmap with its first administrator. Tests read and change its public fields freely."""

    users: dict[str, Json] = field(default_factory=dict)
    """E-mail address, status and password by login."""
    groups: dict[str, Json] = field(default_factory=dict)
    members: set[tuple[str, str]] = field(default_factory=set)
    rights: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    """Whether it is taken away, by group, right and resource."""
    repositories: dict[str, Json] = field(default_factory=dict)
    ours: dict[str, list[str]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"/srv/projects/fields/", "/srv/projects/nests/"})
    edits: list[Json] = field(default_factory=list)
    """Every edit that was asked for."""
    unflushed: list[Json] = field(default_factory=list)
    """Those that a loss of power would take back."""
    flushed_ours: dict[str, list[str]] = field(default_factory=dict)
    disk_fails: bool = False
    requests: list[str] = field(default_factory=list)
    """Every command line; nothing secret may be in one."""
    logged_out: list[str] = field(default_factory=list)
    power_cut_after: int | None = None
    """So many edits are made until the machine loses power."""
    deaf: bool = False
    """It says yes to every edit and does nothing."""
    broken: str = ""
    """What the script writes to standard error instead of an answer."""

    def __post_init__(self) -> None:
        names = {"__anonymous": "anonymous", "admins": "admins", "users": "users", "publishers": "Publishers"}
        self.groups = {name: {"name": label, "type": int(name == "users")} for name, label in names.items()}
        # Lizmap's installer does so, whether it makes this account or not.
        self.groups["__priv_admin"] = {"name": "admin", "type": 2}
        self.members = {("admin", "admins"), ("admin", "__priv_admin")}
        for right in ("acl.group.modify", "lizmap.admin.access"):
            self.rights["admins", right, "-"] = False
        self.rights["users", "auth.user.view", "-"] = False
        self._create_user("admin", "admin@example.org", "the first password")
        self.edits.clear()

    def execute(self, argv: Sequence[str], chunks: Iterable[bytes]) -> Result:
        """Stand in for the docker command."""
        words = " ".join(argv)
        self.requests.append(words)
        assert words.startswith("docker exec -i --user www-data "), words
        if words.endswith(FLUSH):
            self.unflushed.clear()
            self.flushed_ours = dict(self.ours)
            return Result(1, "", "sync: error syncing: Input/output error") if self.disk_fails else Result(0, "", "")
        assert words.endswith(SCRIPT), words
        request = json.loads(b"".join(chunks))
        if self.broken:
            return Result(255, "", self.broken)
        failed = self._make(request["edits"])
        return Result(0, json.dumps({"state": self._state(request["passwords"]), "failed": failed}), "")

    def groups_of(self, login: str) -> list[str]:
        return sorted(group for member, group in self.members if member == login and not group.startswith("__priv_"))

    def rights_on(self, key: str) -> dict[str, list[str]]:
        """Who has which right on a repository."""
        found: dict[str, list[str]] = {}
        for group, right, resource in sorted(self.rights):
            if resource == key:
                found.setdefault(right, []).append(group)
        return found

    def _make(self, edits: list[Json]) -> Json | None:
        for number, edit in enumerate(edits):
            self.edits.append(edit)
            self.unflushed.append(edit)
            if self.power_cut_after is not None:
                if not self.power_cut_after:
                    raise PowerCut
                self.power_cut_after -= 1
            if self.deaf:
                continue
            try:
                self._edit(edit)
            except RefusedError as error:
                return {"number": number, "message": str(error)}
        return None

    def _edit(self, edit: Json) -> None:
        if "command" in edit:
            name, *words = edit["command"]
            separator = words.index("--")
            self._commands[name](self, *words[separator + 1 :], options=words[:separator])
        elif "user" in edit:
            self.users[edit["user"]] |= {"email": edit["email"], "status": edit["status"]}
        elif "end_sessions_of" in edit:
            self.logged_out.append(edit["end_sessions_of"])
        elif "repository" in edit and edit["values"] is None:
            del self.repositories[edit["repository"]]
        elif "repository" in edit:
            self.repositories[edit["repository"]] |= edit["values"]
        else:
            names = set(self.ours.get(edit["ours"], ())) - {edit["name"]}
            self.ours[edit["ours"]] = sorted(names | ({edit["name"]} if edit["made"] else set()))

    def _state(self, passwords: dict[str, str]) -> Json:
        users = {
            login: {
                "email": user["email"],
                "status": user["status"],
                "password_matches": user["password"] == passwords[login] if login in passwords else None,
            }
            for login, user in self.users.items()
        }
        return {
            "users": users,
            "groups": self.groups,
            "members": sorted(self.members),
            "rights": [[*right, denied] for right, denied in sorted(self.rights.items())],
            "known_rights": list(KNOWN_RIGHTS),
            "repositories": self.repositories,
            "ours": {"users": [], "groups": [], "repositories": [], **self.ours},
        }

    # Lizmap's commands --------------------------------------------------------------------------------------------

    def _create_user(self, login: str, email: str, password: str, options: Sequence[str] = ()) -> None:
        if login in self.users or "@" not in email:
            raise RefusedError("jcommunity:user:create ended with 2. ")
        self.users[login] = {"email": email, "status": 1, "password": password}
        self.members |= {(login, name) for name, group in self.groups.items() if group["type"] == 1}
        self.members.add((login, f"__priv_{login}"))
        self.groups[f"__priv_{login}"] = {"name": login, "type": 2}

    def _delete_user(self, login: str, options: Sequence[str]) -> None:
        del self.users[login]
        self._delete_group(f"__priv_{login}", ["--confirm"])
        self.members = {(member, group) for member, group in self.members if member != login}

    def _change_password(self, login: str, password: str, options: Sequence[str]) -> None:
        assert options == ["--force"]
        self.users[login]["password"] = password

    def _create_group(self, name: str, label: str, options: Sequence[str]) -> None:
        if name in self.groups:
            raise RefusedError("this group already exists")
        self.groups[name] = {"name": label, "type": 0}

    def _name_group(self, name: str, label: str, options: Sequence[str]) -> None:
        self._group(name)["name"] = label

    def _delete_group(self, name: str, options: Sequence[str]) -> None:
        assert options == ["--confirm"], "it would ask and wait"
        self._group(name)
        del self.groups[name]
        self.rights = {right: denied for right, denied in self.rights.items() if right[0] != name}
        self.members = {(member, group) for member, group in self.members if group != name}

    def _add_member(self, login: str, group: str, options: Sequence[str]) -> None:
        self._group(group)
        if (login, group) in self.members:
            raise RefusedError("The user is already in this group")
        if (login, f"__priv_{login}") not in self.members:
            raise RefusedError("The user doesn't exist")
        self.members.add((login, group))

    def _remove_member(self, login: str, group: str, options: Sequence[str]) -> None:
        self._group(group)
        self.members.discard((login, group))

    def _add_right(self, group: str, right: str, resource: str, options: Sequence[str]) -> None:
        self._group(group)
        if (group, right, resource) in self.rights:
            raise RefusedError("right already set")
        if right not in KNOWN_RIGHTS:
            raise RefusedError("right is unknown")
        self.rights[group, right, resource] = False

    def _remove_right(self, group: str, right: str, resource: str, options: Sequence[str]) -> None:
        assert options == ["--confirm"], "it would ask and wait"
        self._group(group)
        if self.rights.pop((group, right, resource), None) is None:
            raise RefusedError("Error: this right is not set")

    def _create_repository(self, key: str, label: str, path: str, options: Sequence[str]) -> None:
        if key in self.repositories:
            raise RefusedError("The repository already exists!")
        if path not in self.folders:
            raise RefusedError("The path provided doesn't exist or is not a directory !")
        self.repositories[key] = {"label": label, "path": path, "allowUserDefinedThemes": False}

    def _group(self, name: str) -> Json:
        if name not in self.groups:
            raise RefusedError("this group doesn't exist or is private")
        return self.groups[name]

    _commands: dict[str, Callable[..., None]] = field(
        default_factory=lambda: {
            "jcommunity:user:create": FakeLizmap._create_user,
            "jcommunity:user:delete": FakeLizmap._delete_user,
            "jcommunity:password:change": FakeLizmap._change_password,
            "acl2group:create": FakeLizmap._create_group,
            "acl2group:name": FakeLizmap._name_group,
            "acl2group:delete": FakeLizmap._delete_group,
            "acl2user:addgroup": FakeLizmap._add_member,
            "acl2user:removegroup": FakeLizmap._remove_member,
            "acl2:add": FakeLizmap._add_right,
            "acl2:remove": FakeLizmap._remove_right,
            "repository:create": FakeLizmap._create_repository,
        },
        repr=False,
    )


class PowerCut(BaseException):
    """The machine lost power."""
