"""What is to change in Lizmap's users, groups and repositories, from what is wanted and what there is. Pure.

Lizmap keeps rights as triples of a group, a right and a resource: a repository, or "-" for all of them. Everybody who
is not logged in is the group __anonymous; everybody who is has a private group, and is in the default groups, but not
in __anonymous. Rights on a repository are decided with the repository, all others with the group or the user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible.module_utils.poppyfield.projects.names import LONGEST_REPOSITORY, OF_REPOSITORY, repository_for_lizmap

Json = dict[str, Any]
Right = tuple[str, str, str]
"""Group, right and resource."""

ANONYMOUS = "__anonymous"
ADMINS = "admins"
BUILT_IN = frozenset({ANONYMOUS, ADMINS, "users", "publishers", "lizadmins"})
"""Groups that Lizmap makes or counts on."""
EVERYWHERE = "-"
DEFAULT_GROUP, PRIVATE_GROUP = 1, 2
VALID, DEACTIVATED = 1, -1
MAX_PASSWORD = 72
"""Bytes of a password that bcrypt takes into account."""
MAX_LOGIN = 50
MAX_LABEL = 150
PROJECTS = "/srv/projects"
"""Where the projects are in the container."""

RIGHTS = {
    "view": "lizmap.repositories.view",
    "edit": "lizmap.tools.edition.use",
    "export": "lizmap.tools.layer.export",
    "links": "lizmap.tools.displayGetCapabilitiesLinks",
    "unfiltered": "lizmap.tools.loginFilteredLayers.override",
}
"""Our short names of the rights that Lizmap gives on a repository."""
SHORT_NAMES = {right: name for name, right in RIGHTS.items()}
EVERYONE, LOGGED_IN, NOBODY = "everyone", "logged-in", "nobody"
KEYWORDS = (EVERYONE, LOGGED_IN, NOBODY)
USER_PREFIX = "user:"


class LizmapError(Exception):
    """Something that cannot be wanted of Lizmap, in a sentence for the user."""


# What there is ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AccountsState:
    """What Lizmap has. `known` is False when there is no Lizmap yet that could be asked."""

    users: Mapping[str, Json] = field(default_factory=dict)
    groups: Mapping[str, Json] = field(default_factory=dict)
    members: frozenset[tuple[str, str]] = frozenset()
    """Pairs of login and group."""
    rights: frozenset[Right] = frozenset()
    denied: frozenset[Right] = frozenset()
    """Rights that are taken away whatever other groups have."""
    known_rights: frozenset[str] = frozenset()
    repositories: Mapping[str, Json] = field(default_factory=dict)
    ours: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Names of what Poppyfield made, by kind."""
    known: bool = True
    place: str = "in this Lizmap"
    """Where these groups and users are, for messages."""

    @classmethod
    def of(cls, document: Json) -> AccountsState:
        """Read what the script in the container prints."""
        rights = [((group, right, resource), denied) for group, right, resource, denied in document["rights"]]
        return cls(
            users=document["users"],
            groups=document["groups"],
            members=frozenset((login, group) for login, group in document["members"]),
            rights=frozenset(right for right, denied in rights if not denied),
            denied=frozenset(right for right, denied in rights if denied),
            known_rights=frozenset(document["known_rights"]),
            repositories=document["repositories"],
            ours={kind: frozenset(names) for kind, names in document["ours"].items()},
        )

    @classmethod
    def of_new_lizmap(cls) -> AccountsState:
        """Give what a Lizmap that is still to be installed will have, as far as it matters for a prediction."""
        names = {ANONYMOUS: 0, ADMINS: 0, "users": DEFAULT_GROUP, "publishers": 0}
        return cls(
            # The image makes it, with the password that it is given.
            users={"admin": {"email": "admin@localhost.localdomain", "status": VALID, "password_matches": True}},
            groups={name: {"name": name, "type": kind} for name, kind in names.items()},
            members=frozenset({("admin", ADMINS), ("admin", "users")}),
            known=False,
        )

    def groups_of(self, login: str) -> frozenset[str]:
        """Give the groups that a user is in, but for the private one."""
        private = private_group(login)
        return frozenset(group for member, group in self.members if member == login and group != private)

    def members_of(self, group: str) -> list[str]:
        """Give the users in a group."""
        return sorted(login for login, of in self.members if of == group and login in self.users)

    def default_groups(self) -> frozenset[str]:
        """Give the groups that every new user is put into."""
        return frozenset(name for name, group in self.groups.items() if group["type"] == DEFAULT_GROUP)

    def is_enabled(self, login: str) -> bool:
        """Tell whether an account may log in."""
        return bool(self.users[login]["status"] >= VALID)

    def is_ours(self, kind: str, name: str) -> bool:
        """Tell whether Poppyfield made it."""
        return name in self.ours.get(kind, ())


def private_group(login: str) -> str:
    """Give the group that is a single user."""
    return f"__priv_{login}"


def shown(group: str) -> str:
    """Give a group, or the user whose private group it is, as a person writes it."""
    private = private_group("")
    return USER_PREFIX + group.removeprefix(private) if group.startswith(private) else group


# What is wanted -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class User:
    """A wanted account; what is None stays as it is."""

    login: str
    state: str = "present"
    email: str | None = None
    groups: Sequence[str] | None = None
    rights: Sequence[str] | None = None
    password: str | None = field(default=None, repr=False)
    password_file: str = ""
    always_this_password: bool = True

    @classmethod
    def of(cls, entry: Json, password: str | None) -> User:
        """Read the options of lizmap_user."""
        return cls(
            login=entry["login"],
            state=entry.get("state") or "present",
            email=entry.get("email"),
            groups=entry.get("groups"),
            rights=entry.get("rights"),
            password=password,
            password_file=entry.get("password_file") or "",
            always_this_password=entry.get("update_password") != "on_create",
        )


@dataclass(frozen=True)
class Group:
    """A wanted group; what is None stays as it is."""

    name: str
    state: str = "present"
    label: str | None = None
    rights: Sequence[str] | None = None

    @classmethod
    def of(cls, entry: Json) -> Group:
        """Read the options of lizmap_group."""
        return cls(entry["name"], entry.get("state") or "present", entry.get("label"), entry.get("rights"))


@dataclass(frozen=True)
class Repository:
    """A wanted repository; what is None stays as it is."""

    key: str
    path: str
    state: str = "present"
    label: str | None = None
    themes: bool | None = None
    allowed_origins: Sequence[str] | None = None
    embedding_origins: Sequence[str] | None = None
    rights: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Groups, users and keywords by the short or full name of a right."""

    @classmethod
    def of(cls, entry: Json) -> Repository:
        """Read the options of lizmap_repository."""
        given = {**{name: entry.get(name) for name in RIGHTS}, **(entry.get("rights") or {})}
        return cls(
            key=entry["key"],
            path=entry.get("path") or f"{PROJECTS}/{entry['key']}/",
            state=entry.get("state") or "present",
            label=entry.get("label"),
            themes=entry.get("themes"),
            allowed_origins=entry.get("allowed_origins"),
            embedding_origins=entry.get("embedding_origins"),
            rights={name: [who] if isinstance(who, str) else who for name, who in given.items() if who is not None},
        )


# The plan -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edit:
    """One change, as the script in the container takes it, and the words for a person when it fails."""

    about: str
    body: Json = field(repr=False)


@dataclass
class AccountsPlan:
    """What is to be done, and why."""

    edits: list[Edit] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    before: Json = field(default_factory=dict)
    after: Json = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Tell whether there is anything to do."""
        return bool(self.edits)


TITLES = {"users": "user", "groups": "group", "repositories": "repository"}


class _Resource:
    """Collects what is to be done about one user, group or repository."""

    def __init__(self, plan: AccountsPlan, state: AccountsState, kind: str, name: str) -> None:
        self.plan = plan
        self.state = state
        self.kind = kind
        self.name = name
        self.title = f"{TITLES[kind]} {name}"

    def do(self, **body: Any) -> None:
        self.plan.edits.append(Edit(self.title, body))

    def command(self, name: str, *arguments: str, options: Sequence[str] = ()) -> None:
        # What comes after "--" is never taken for an option, whatever a person calls things.
        self.do(command=[name, *options, "--", *arguments])

    def make_ours(self) -> None:
        """Note it before it is made: a run that is cut off leaves nothing that nobody would remove."""
        if not self.state.is_ours(self.kind, self.name):
            self.do(ours=self.kind, name=self.name, made=True)

    def forget(self) -> None:
        """Forget it after it went."""
        if self.state.is_ours(self.kind, self.name):
            self.do(ours=self.kind, name=self.name, made=False)

    def gone(self, before: Json | None, why: str) -> None:
        self.forget()
        if before is not None:
            self.plan.before[self.title] = before
            self.plan.reasons.append(f"{self.title}: removed{why}")
            self.plan.removed.append(self.name)
        elif self.state.is_ours(self.kind, self.name):
            self.plan.reasons.append(f"{self.title}: was removed by somebody else, now forgotten")

    def added(self, after: Json) -> None:
        self.plan.after[self.title] = after
        self.plan.reasons.append(f"{self.title}: added")

    def changed(self, before: Json, after: Json) -> None:
        """Show the fields that differ."""
        names = [name for name in after if after[name] != before.get(name)]
        if names:
            self.plan.before[self.title] = {name: before[name] for name in names if name in before}
            self.plan.after[self.title] = {name: after[name] for name in names}
        for name in names:
            self.plan.reasons.append(f"{self.title}: {name}: {_words(before.get(name))} -> {_words(after[name])}")

    def set_rights(self, wanted: Iterable[Right], now: Iterable[Right]) -> None:
        """Take rights away first, so that at no moment somebody has more than is wanted or was there."""
        wanted, now = set(wanted), set(now)
        for group, right, resource in sorted((now - wanted) | (wanted & self.state.denied)):
            self.command("acl2:remove", group, right, resource, options=["--confirm"])
        for group, right, resource in sorted(wanted - now):
            self.command("acl2:add", group, right, resource)


def _words(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value not in (None, "") else "nothing"


def _refuse_twice(names: Sequence[str], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise LizmapError(f"The {what} {name} is given twice.")


def _leftovers(state: AccountsState, kind: str, wanted: Iterable[str], *, purge: bool) -> list[str]:
    """Give what Poppyfield made and nobody asks for any more."""
    return sorted(state.ours.get(kind, frozenset()) - set(wanted)) if purge else []


NO_LONGER_WANTED = ", because it is no longer asked for"


# Users --------------------------------------------------------------------------------------------------------------


def plan_users(
    wanted: Sequence[User],
    state: AccountsState,
    *,
    purge: bool = False,
    protected: Iterable[str] = (),
    lenient: bool = False,
) -> AccountsPlan:
    """Plan accounts. `protected` are administrators that stay; `lenient` warns of groups that are still to come."""
    plan = AccountsPlan()
    _refuse_twice([user.login for user in wanted], "user")
    administrators = {name for name in state.users if state.is_enabled(name) and ADMINS in state.groups_of(name)}
    left = set(administrators)
    leftovers = _leftovers(state, "users", [user.login for user in wanted], purge=purge)
    for user in [*wanted, *(User(login, "absent") for login in leftovers)]:
        why = NO_LONGER_WANTED if user.login in leftovers else ""
        groups = _plan_user(plan, user, state, why=why, lenient=lenient)
        may_administer = user.state == "present" and ADMINS in groups
        left = left | {user.login} if may_administer else left - {user.login}
        if user.login in protected and not may_administer:
            raise LizmapError(
                f"The user {user.login} is the administrator of this Lizmap, and cannot be removed, disabled or taken "
                f"out of the group {ADMINS}."
            )
    if administrators and not left:
        raise LizmapError(
            f"Nobody could administer Lizmap any more: {_list(administrators)} would no longer be an administrator. "
            f"Put another user into the group {ADMINS} first."
        )
    return plan


def _plan_user(plan: AccountsPlan, user: User, state: AccountsState, *, why: str, lenient: bool) -> frozenset[str]:
    """Plan one account; give the groups that it will be in."""
    resource = _Resource(plan, state, "users", user.login)
    before = _user_fields(user.login, state) if user.login in state.users else None
    if user.state == "absent":
        if before is not None:
            resource.command("jcommunity:user:delete", user.login)
            resource.do(end_sessions_of=user.login)
        resource.gone(before, why)
        return frozenset()
    now = state.groups_of(user.login) | (frozenset() if before else state.default_groups())
    groups = now if user.groups is None and before else state.default_groups() | set(user.groups or ())
    _check_groups(f"user {user.login}", groups, state, plan, lenient=lenient)
    private = private_group(user.login)
    rights_now = {right for right in state.rights if right[0] == private and right[2] == EVERYWHERE}
    rights = _everywhere(private, user.rights, state, rights_now)
    after = {
        "email": user.email or (before or {}).get("email", ""),
        "enabled": user.state == "present",
        "groups": sorted(groups),
        "rights": sorted(_short(right[1]) for right in rights),
    }
    if before is None:
        _create_user(resource, user)
        after["password"] = _password_in(user)
    else:
        _change_user(resource, user, before, after)
    for group in sorted(now - groups):
        resource.command("acl2user:removegroup", user.login, group)
    for group in sorted(groups - now):
        resource.command("acl2user:addgroup", user.login, group)
    resource.set_rights(rights, rights_now)
    if before is None:
        resource.added(after)
    else:
        resource.changed(before, after)
    return frozenset(groups)


def _create_user(resource: _Resource, user: User) -> None:
    check_login(user.login)
    if user.password is None or not user.email:
        raise LizmapError(f"The user {user.login} does not exist yet: give its email and its password_file.")
    check_email(user.login, user.email)
    resource.make_ours()
    resource.command("jcommunity:user:create", user.login, user.email, user.password)
    if user.state == "disabled":
        resource.do(user=user.login, email=user.email, status=DEACTIVATED)


def _change_user(resource: _Resource, user: User, before: Json, after: Json) -> None:
    """Change e-mail address, status and password of an account. With another password, people must log in again."""
    account = resource.state.users[user.login]
    status = account["status"]
    if before["enabled"] != after["enabled"]:
        status = VALID if after["enabled"] else DEACTIVATED
    if before["email"] != after["email"]:
        check_email(user.login, after["email"])
    if (before["email"], account["status"]) != (after["email"], status):
        resource.do(user=user.login, email=after["email"], status=status)
    renew = user.password is not None and user.always_this_password and account["password_matches"] is not True
    if renew:
        resource.command("jcommunity:password:change", user.login, str(user.password), options=["--force"])
        before["password"] = "another one"  # noqa: S105 - words for the diff
        after["password"] = _password_in(user)
    if renew or status < VALID <= account["status"]:
        resource.do(end_sessions_of=user.login)


def _password_in(user: User) -> str:
    return f"the one in {user.password_file} (hidden)"


def _user_fields(login: str, state: AccountsState) -> Json:
    private = private_group(login)
    rights = [right for group, right, resource in state.rights if group == private and resource == EVERYWHERE]
    return {
        "email": state.users[login]["email"],
        "enabled": state.is_enabled(login),
        "groups": sorted(state.groups_of(login)),
        "rights": sorted(map(_short, rights)),
    }


# Groups -------------------------------------------------------------------------------------------------------------


def plan_groups(wanted: Sequence[Group], state: AccountsState, *, purge: bool = False) -> AccountsPlan:
    """Plan groups and their rights on all repositories and in the administration."""
    plan = AccountsPlan()
    _refuse_twice([group.name for group in wanted], "group")
    leftovers = _leftovers(state, "groups", [group.name for group in wanted], purge=purge)
    for group in [*wanted, *(Group(name, "absent") for name in leftovers)]:
        if group.name in BUILT_IN and group.state == "absent":
            raise LizmapError(f"The group {group.name} is Lizmap's own and cannot be removed.")
        _plan_group(plan, group, state, why=NO_LONGER_WANTED if group.name in leftovers else "")
    return plan


def _plan_group(plan: AccountsPlan, group: Group, state: AccountsState, *, why: str) -> None:
    resource = _Resource(plan, state, "groups", group.name)
    found = state.groups.get(group.name)
    if group.state == "absent":
        before = found and {
            "label": found["name"],
            "members": state.members_of(group.name),
            "rights": sorted(_on(right, where) for of, right, where in state.rights if of == group.name),
        }
        if found:
            resource.command("acl2group:delete", group.name, options=["--confirm"])
        resource.gone(before, why)
        return
    now = {right for right in state.rights if right[0] == group.name and right[2] == EVERYWHERE}
    rights = _everywhere(group.name, group.rights, state, now)
    if group.name == ADMINS and now - rights:
        lost = _list(right for _, right, _ in now - rights)
        raise LizmapError(f"The group {ADMINS} must keep its rights: {lost} would be taken away.")
    label = group.label or (found["name"] if found else group.name)
    if not label.isprintable() or len(label) > MAX_LABEL:
        raise LizmapError(f"The label of the group {group.name} must be one line of at most {MAX_LABEL} characters.")
    if not found:
        check_group_name(group.name)
        resource.make_ours()
        resource.command("acl2group:create", group.name, label)
    elif label != found["name"]:
        resource.command("acl2group:name", group.name, label)
    resource.set_rights(rights, now)
    after = {"label": label, "rights": sorted(_short(right) for _, right, _ in rights)}
    if found:
        resource.changed({"label": found["name"], "rights": sorted(_short(right) for _, right, _ in now)}, after)
    else:
        resource.added(after)


def _everywhere(group: str, names: Sequence[str] | None, state: AccountsState, now: Iterable[Right]) -> set[Right]:
    """Give a group's rights that hold everywhere: those that are wanted, or, with None, those that it has."""
    if names is None:
        return set(now)
    return {(group, right_of(name, state), EVERYWHERE) for name in names}


def _on(right: str, resource: str) -> str:
    return _short(right) if resource == EVERYWHERE else f"{_short(right)} on {resource}"


# Repositories -------------------------------------------------------------------------------------------------------

SETTINGS = {
    "label": "label",
    "path": "path",
    "themes": "allowUserDefinedThemes",
    "allowed_origins": "accessControlAllowOrigin",
    "embedding_origins": "iframeEmbedAllowOrigin",
}
"""Our names of a repository's settings, and Lizmap's."""


def plan_repositories(
    wanted: Sequence[Repository], state: AccountsState, *, purge: bool = False, lenient: bool = False
) -> AccountsPlan:
    """Plan repositories and the rights on them. `lenient` warns of groups and users that are still to come."""
    plan = AccountsPlan()
    _refuse_twice([repository.key for repository in wanted], "repository")
    leftovers = _leftovers(state, "repositories", [repository.key for repository in wanted], purge=purge)
    for repository in [*wanted, *(Repository(key, "", "absent") for key in leftovers)]:
        if repository.state == "absent":
            _remove_repository(plan, repository, state, NO_LONGER_WANTED if repository.key in leftovers else "")
        else:
            _plan_repository(plan, repository, state, lenient=lenient)
    return plan


def _remove_repository(plan: AccountsPlan, repository: Repository, state: AccountsState, why: str) -> None:
    """Take the repository away, then the rights on it, which another one of this name would otherwise inherit."""
    resource = _Resource(plan, state, "repositories", repository.key)
    now = {right for right in state.rights | state.denied if right[2] == repository.key}
    found = repository.key in state.repositories
    before = {**_settings(state.repositories.get(repository.key, {})), **_granted(now)} if found or now else None
    if found:
        resource.do(repository=repository.key, values=None)
    resource.set_rights([], now)
    resource.gone(before, why)


def _plan_repository(plan: AccountsPlan, repository: Repository, state: AccountsState, *, lenient: bool) -> None:
    check_key(repository.key)
    resource = _Resource(plan, state, "repositories", repository.key)
    found = state.repositories.get(repository.key)
    before = _settings(found or {})
    label = repository.label or (before["label"] if found else repository.key)
    path = repository.path.rstrip("/") + "/"
    check_text(f"label of the repository {repository.key}", label)
    check_text(f"path of the repository {repository.key}", path)
    given = {
        "label": label,
        "path": path,
        "themes": repository.themes,
        "allowed_origins": _origins(repository, repository.allowed_origins),
        "embedding_origins": _origins(repository, repository.embedding_origins, any_allowed=True),
    }
    after = {name: before[name] if value is None else value for name, value in given.items()}
    now = {right for right in state.rights if right[2] == repository.key}
    rights = _rights_on(repository, state, now, plan, lenient=lenient)
    if found is None:
        resource.make_ours()
        # Nobody sees a repository without rights, so what an earlier one of this name left is removed first.
        resource.set_rights(rights & now, now)
        resource.command("repository:create", repository.key, label, path)
        before = {**_settings({}), "label": label, "path": path}
    differing = {SETTINGS[name]: _for_lizmap(after[name]) for name in SETTINGS if after[name] != before[name]}
    if differing:
        resource.do(repository=repository.key, values=differing)
    resource.set_rights(rights, now if found else rights & now)
    if found is None:
        resource.added({**{name: value for name, value in after.items() if value}, **_granted(rights)})
    else:
        resource.changed({**before, **_granted(now, rights)}, {**after, **_granted(rights, now)})


def _settings(found: Json) -> Json:
    return {
        "label": found.get("label", ""),
        "path": found.get("path", ""),
        "themes": bool(found.get("allowUserDefinedThemes")),
        "allowed_origins": _split(found.get("accessControlAllowOrigin", "")),
        "embedding_origins": _split(found.get("iframeEmbedAllowOrigin", "")),
    }


def _split(origins: str) -> list[str]:
    return [origin for origin in re.split(r"\s*,\s*", origins.strip()) if origin]


def _for_lizmap(value: Any) -> Any:
    return ",".join(value) if isinstance(value, list) else value


def _origins(repository: Repository, origins: Sequence[str] | None, *, any_allowed: bool = False) -> list[str] | None:
    if origins is None:
        return None
    if any_allowed and list(origins) == ["*"]:
        return ["*"]
    for origin in origins:
        if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d+)?", origin):
            raise LizmapError(
                f"The repository {repository.key}: '{origin}' is not an origin, such as https://example.org or "
                f"http://example.org:8080."
            )
    return list(origins)


def _granted(rights: Iterable[Right], others: Iterable[Right] = ()) -> dict[str, list[str]]:
    """Give who has which right, by our short names; rights that only `others` have are there with nobody."""
    granted: dict[str, list[str]] = {_short(right): [] for _, right, _ in sorted(others)}
    for group, right, _ in sorted(rights):
        granted.setdefault(_short(right), []).append(shown(group))
    return granted


def _rights_on(
    repository: Repository, state: AccountsState, now: set[Right], plan: AccountsPlan, *, lenient: bool
) -> set[Right]:
    """Give the rights on a repository: those that are wanted; rights that are not mentioned stay as they are."""
    key = repository.key
    wanted = set(now)
    for name, holders in repository.rights.items():
        right = right_of(name, state)
        groups = groups_of_holders(holders, state.default_groups())
        if right == RIGHTS["view"] and groups:
            # Administrators look after what others see.
            groups |= {ADMINS}
        _check_groups(f"repository {key}", groups, state, plan, lenient=lenient)
        wanted = {other for other in wanted if other[1] != right} | {(group, right, key) for group in groups}
    viewers = {group for group, right, _ in wanted if right == RIGHTS["view"]}
    for group, right, _ in sorted(wanted):
        if not _may_view(group, viewers, state):
            raise LizmapError(
                f"The repository {key}: {shown(group)} would have the right '{_short(right)}', but not the right "
                f"'view', without which it is of no use."
            )
    return wanted


def _may_view(group: str, viewers: set[str], state: AccountsState) -> bool:
    """Tell whether the members of a group see what these groups see; whoever is logged in is in the default groups."""
    login = shown(group).removeprefix(USER_PREFIX)
    memberships = state.groups_of(login) if group == private_group(login) else frozenset()
    everybody_logged_in = state.default_groups() if group != ANONYMOUS else frozenset()
    return not viewers.isdisjoint({group} | memberships | everybody_logged_in)


def groups_of_holders(holders: Sequence[str], default_groups: Iterable[str]) -> set[str]:
    """Give the groups that are meant by names of groups, names of users, and keywords."""
    groups: set[str] = set()
    for holder in holders:
        if holder in (EVERYONE, LOGGED_IN):
            # Whoever logs in is no longer in __anonymous.
            groups |= set(default_groups) | ({ANONYMOUS} if holder == EVERYONE else set())
        elif holder.startswith(USER_PREFIX):
            groups.add(private_group(holder.removeprefix(USER_PREFIX)))
        elif holder != NOBODY:
            groups.add(holder)
    if NOBODY in holders and groups:
        raise LizmapError(f"'{NOBODY}' cannot stand beside others: {', '.join(holders)}.")
    return groups


# What cannot be -----------------------------------------------------------------------------------------------------


def right_of(name: str, state: AccountsState) -> str:
    """Give Lizmap's name of a right; refuse one that it does not have."""
    right = RIGHTS.get(name, name)
    if state.known and right not in state.known_rights:
        known = sorted(map(_short, state.known_rights))
        raise LizmapError(f"There is no right '{name}' in this Lizmap. There are {', '.join(known)}.")
    return right


def _short(right: str) -> str:
    return SHORT_NAMES.get(right, right)


def _check_groups(what: str, groups: Iterable[str], state: AccountsState, plan: AccountsPlan, *, lenient: bool) -> None:
    for group in sorted(set(groups) - set(state.groups)):
        is_user = shown(group).startswith(USER_PREFIX)
        there = (
            sorted(state.users)
            if is_user
            else sorted(name for name, known in state.groups.items() if known["type"] != PRIVATE_GROUP)
        )
        missing = f"user {shown(group).removeprefix(USER_PREFIX)}" if is_user else f"group {group}"
        message = f"The {what}: there is no {missing} {state.place}. There are {', '.join(there) or 'none'}."
        if not lenient:
            raise LizmapError(message)
        plan.warnings.append(f"{message} An earlier task of a real run may make it.")


def check_login(login: str) -> None:
    """Refuse a login that Lizmap could not keep."""
    if not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_.@-]{{0,{MAX_LOGIN - 1}}}", login):
        raise LizmapError(
            f"'{login}' cannot be a login: 1 to {MAX_LOGIN} letters, digits, and characters of _ . @ -, of which a "
            f"letter or digit is first."
        )


def check_email(login: str, email: str) -> None:
    """Refuse what is no e-mail address."""
    if not re.fullmatch(r"[^@\s\"']+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", email):
        raise LizmapError(f"The user {login}: '{email}' is not an e-mail address.")


def check_group_name(name: str) -> None:
    """Refuse the name of a group that Lizmap could not keep, or that means something else here."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}", name) or name in KEYWORDS:
        raise LizmapError(
            f"'{name}' cannot be the name of a group: 1 to 50 letters, digits, hyphens and underscores, of which a "
            f"letter or digit is first, and none of {', '.join(KEYWORDS)}."
        )


def check_key(key: str) -> None:
    """Refuse the name of a repository in which Lizmap would not find its projects."""
    if not OF_REPOSITORY.fullmatch(key):
        raise LizmapError(
            f"'{key}' cannot be the name of a repository: Lizmap takes letters, digits and underscores, up to "
            f"{LONGEST_REPOSITORY}. Call it {repository_for_lizmap(key)}."
        )


def check_text(what: str, text: str) -> None:
    """Refuse a text that would not come out of Lizmap's configuration as it went in."""
    if not text.isprintable() or re.search(r'["\\$]', text) or text != text.strip() or len(text) > MAX_LABEL:
        raise LizmapError(
            f"The {what}, '{text}', must be one line of at most {MAX_LABEL} characters without \" \\ and $."
        )
    if re.fullmatch(r"(?i)true|false|on|off|yes|no|none|null", text):
        raise LizmapError(f"The {what} cannot be '{text}', which means something else in Lizmap's configuration.")


def check_password(password: str, where: str) -> str:
    """Refuse a password that could be read in two ways, or whose end would not count; `where` names its file."""
    if not password or not password.isascii() or not password.isprintable() or len(password) > MAX_PASSWORD:
        raise LizmapError(
            f"The password in {where} must be one line of 1 to {MAX_PASSWORD} printable ASCII characters."
        )
    return password


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


# The inventory ------------------------------------------------------------------------------------------------------


def inventory_problems(users: Sequence[Json], groups: Sequence[Json], repositories: Sequence[Json]) -> list[str]:
    """Give a sentence for each entry that a new Lizmap could not have, when it has all the others."""
    new = AccountsState.of_new_lizmap()
    present = [entry for entry in users if entry.get("state") != "absent"]
    names = [entry["name"] for entry in groups if entry.get("state") != "absent"]
    logins = [entry["login"] for entry in present]
    everything = AccountsState(
        groups={
            **new.groups,
            **{name: {"name": name, "type": 0} for name in names},
            **{private_group(login): {"name": login, "type": PRIVATE_GROUP} for login in logins},
        },
        users={login: {"email": "", "status": VALID, "password_matches": True} for login in logins},
        members=frozenset(
            (entry["login"], group)
            for entry in present
            for group in {*(entry.get("groups") or ()), *new.default_groups()}
        ),
        known=False,
        place="in lizmap_groups and lizmap_users",
    )
    with_groups = replace(everything, users={}, members=frozenset())
    checks: list[tuple[str, Sequence[Json], Callable[[Sequence[Json]], object]]] = [
        ("groups", groups, lambda some: plan_groups([Group.of(entry) for entry in some], new)),
        ("users", users, lambda some: plan_users([User.of(entry, "some") for entry in some], with_groups)),
        (
            "projects",
            repositories,
            lambda some: plan_repositories([Repository.of(entry) for entry in some], everything),
        ),
    ]
    problems = []
    for kind, entries, check in checks:
        # Each alone, so that all mistakes are told at once; then the others together, for what is there twice.
        single = [(entry, _problem(check, [entry])) for entry in entries]
        together = _problem(check, [entry for entry, problem in single if not problem])
        found = [*(problem for _, problem in single), together]
        problems += [f"lizmap_{kind}: {problem}" for problem in found if problem]
    return problems


def _problem(check: Callable[[Sequence[Json]], object], entries: Sequence[Json]) -> str:
    try:
        check(entries)
    except LizmapError as error:
        return str(error)
    return ""
