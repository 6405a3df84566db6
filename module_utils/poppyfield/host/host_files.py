"""Folders, files and secrets that a service needs on its host: what differs from what is wanted, and making it so.

Secrets are made at random on the host itself unless a value is given, so that they never travel; neither they nor the
content of files is in any result.
"""

from __future__ import annotations

import grp
import os
import pwd
import secrets
import stat
import string
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.host import atomic_file, data_folders, ownership

SECRET_MODE = 0o600
SECRET_LENGTH = 32
"""Characters of a random secret. Each has six bits of randomness."""
LEAST_LENGTH = 12
UNKNOWN = -1
"""The number of a user or group that does not exist yet."""

OWNERSHIP: dict[str, Any] = {"owner": {"type": "str", "default": "root"}, "group": {"type": "str", "default": "root"}}
PATH: dict[str, Any] = {"type": "path", "required": True}
SECRETS_OPTION: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "no_log": False,
    "options": {"path": PATH, **OWNERSHIP, "value": {"type": "str", "no_log": True}},
}
OPTION: dict[str, Any] = {
    "type": "dict",
    "default": {},
    "options": {
        "folders": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "path": PATH,
                **OWNERSHIP,
                "mode": {"type": "str", "default": "0755"},
                "recurse": {"type": "bool", "default": False},
                "remember_as": {"type": "str"},
                "may_change": {"type": "bool", "default": False},
            },
        },
        "files": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "path": PATH,
                **OWNERSHIP,
                "mode": {"type": "str", "default": "0644"},
                "content": {"type": "str", "required": True, "no_log": True},
            },
        },
        "secrets": SECRETS_OPTION,
        "purge": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"pattern": PATH, "keep": {"type": "list", "elements": "str", "default": []}},
        },
    },
}
"""The option of the modules that bring about what they need on the host."""


class HostFileError(Exception):
    """Something that cannot be brought about, in a sentence that holds no secret."""


class HostFileAction(StrEnum):
    """What is to be done about a folder or file."""

    CREATE = "created"
    RENEW = "renewed"
    CORRECT = "corrected"
    REMOVE = "removed"
    KEEP = "unchanged"


BEFORE = {
    HostFileAction.CREATE: "absent",
    HostFileAction.RENEW: "another content",
    HostFileAction.CORRECT: "another owner, group or mode",
    HostFileAction.REMOVE: "present",
}


@dataclass(frozen=True)
class WantedHostFile:
    """A folder or file as it should be."""

    path: Path
    uid: int
    gid: int
    mode: int
    what: str = "file"
    """For people: folder, file or secret."""
    recurse: bool = False
    """Whether what is in a folder should belong to the same."""
    content: bytes | None = None
    """What a file should hold; None for a secret that is random, and for a folder."""

    @property
    def is_folder(self) -> bool:
        """Tell a folder."""
        return self.what == "folder"


@dataclass(frozen=True)
class HostFileChange:
    """What is done about one folder or file."""

    path: Path
    action: HostFileAction
    what: str

    @property
    def is_new(self) -> bool:
        """Tell whether another content stands there from now on."""
        return self.action in (HostFileAction.CREATE, HostFileAction.RENEW)


def wanted_of(params: Mapping[str, Any], minimum: int, *, missing_allowed: bool) -> list[WantedHostFile]:
    """Give what the option asks for: folders first, so that files find theirs."""
    found = [
        _owned(folder, missing_allowed, _mode(folder), what="folder", recurse=folder.get("recurse", False))
        for folder in params.get("folders") or []
    ]
    for file in params.get("files") or []:
        found.append(_owned(file, missing_allowed, _mode(file), content=file["content"].encode()))
    for secret in params.get("secrets") or []:
        value = secret.get("value")
        if value is not None:
            check_value(secret["path"], value, minimum)
        content = None if value is None else value.encode()
        found.append(_owned(secret, missing_allowed, SECRET_MODE, what="secret", content=content))
    return found


def _owned(entry: Mapping[str, Any], missing_allowed: bool, mode: int, **given: Any) -> WantedHostFile:
    uid = _number_of(entry["owner"], pwd.getpwnam, "user", missing_allowed)
    gid = _number_of(entry["group"], grp.getgrnam, "group", missing_allowed)
    return WantedHostFile(Path(entry["path"]), uid, gid, mode, **given)


def _mode(entry: Mapping[str, Any]) -> int:
    try:
        return int(entry["mode"], 8)
    except ValueError as error:
        raise HostFileError(f"{entry['path']}: {entry['mode']!r} is no mode: give one as '0700'.") from error


def _number_of(name: str, lookup: Callable[[str], Any], kind: str, missing_allowed: bool) -> int:
    if name.isdigit():
        return int(name)
    try:
        return int(lookup(name)[2])
    except KeyError as error:
        if missing_allowed:
            return UNKNOWN
        raise HostFileError(f"There is no {kind} named {name} on this host.") from error


def check_value(path: str, value: str, minimum: int) -> None:
    """Refuse a given secret that is too short, or that could be read in two ways."""
    if len(value) < minimum:
        raise HostFileError(
            f"The value for {path} has {len(value)} characters, but at least {minimum} are needed (minimum_length)."
        )
    if not value.isascii() or not value.isprintable():
        raise HostFileError(f"The value for {path} must be one line of printable ASCII characters.")


def action_for(wanted: WantedHostFile) -> HostFileAction:
    """Decide what is to be done about a folder or file, by what stands there."""
    try:
        state = wanted.path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return HostFileAction.CREATE
    if wanted.is_folder and not stat.S_ISDIR(state.st_mode):
        raise HostFileError(f"{wanted.path} is not a folder, so it is left alone.")
    if not wanted.is_folder:
        if not stat.S_ISREG(state.st_mode):
            raise HostFileError(f"{wanted.path} is not a file, so it is left alone.")
        if _holds_another(wanted, state):
            return HostFileAction.RENEW
    owned = (state.st_uid, state.st_gid) == (wanted.uid, wanted.gid) and _is_owned_within(wanted)
    return HostFileAction.KEEP if owned and stat.S_IMODE(state.st_mode) == wanted.mode else HostFileAction.CORRECT


def _is_owned_within(wanted: WantedHostFile) -> bool:
    return not wanted.recurse or ownership.is_right(wanted.path, wanted.uid, wanted.gid)


def _holds_another(wanted: WantedHostFile, state: os.stat_result) -> bool:
    if wanted.content is None:
        return state.st_size == 0  # a secret whose making was cut off
    return wanted.path.read_bytes() != wanted.content


def converge(
    params: Mapping[str, Any], *, check_mode: bool, length: int = SECRET_LENGTH, minimum: int = LEAST_LENGTH
) -> list[HostFileChange]:
    """Make folders, files and secrets as they should be; say what was done, or would be done in check mode."""
    remembered = [_Remembered.of(folder) for folder in params.get("folders") or [] if folder.get("remember_as")]
    planned = [(want, action_for(want)) for want in wanted_of(params, minimum, missing_allowed=check_mode)]
    kept = {want.path for want, _ in planned}
    unwanted = [path for purge in params.get("purge") or [] for path in _others(purge, kept)]
    if not check_mode:
        for want, action in planned:
            _do(want, action, length)
        for path in unwanted:
            path.unlink()
        # Also where nothing is to be written: a file may be right again since.
        for folder in {want.path.parent for want, _ in planned if not want.is_folder}:
            _sweep(folder, kept)
        for folder in sorted({path.parent for path in unwanted}):
            atomic_file.sync_folder(folder)
    done = [HostFileChange(want.path, action, want.what) for want, action in planned]
    whose = {str(want.path): (want.uid, want.gid) for want, _ in planned}
    done += [folder.converge(*whose[folder.path], check_mode=check_mode) for folder in remembered]
    return [*done, *(HostFileChange(path, HostFileAction.REMOVE, "secret") for path in unwanted)]


@dataclass(frozen=True)
class _Remembered:
    """A folder whose content must not be taken for another one's."""

    path: str
    variable: str
    found: data_folders.Found

    @classmethod
    def of(cls, folder: Mapping[str, Any]) -> _Remembered:
        """Look at it. Raises HostFileError where it is not the one that it was."""
        path, variable = folder["path"], folder["remember_as"]
        found = data_folders.look(path, variable)
        if not folder["may_change"] and (problem := data_folders.problem(path, variable, found)):
            raise HostFileError(problem)
        return cls(str(Path(path)), variable, found)

    def converge(self, owner: int, group: int, *, check_mode: bool) -> HostFileChange:
        """Mark and record it."""
        record = data_folders.RECORDS / self.variable
        if data_folders.is_settled(self.path, self.found):
            return HostFileChange(record, HostFileAction.KEEP, "record")
        if not check_mode:
            data_folders.remember(self.path, self.variable, self.found, owner=owner, group=group)
        return HostFileChange(record, HostFileAction.RENEW if self.found.record else HostFileAction.CREATE, "record")


def _sweep(folder: Path, wanted: Container[Path]) -> None:
    atomic_file.sweep(folder, lambda name: folder / name in wanted)


def _others(purge: Mapping[str, Any], wanted: Iterable[Path]) -> list[Path]:
    """Give the files that are like a pattern and not wanted, and what a loss of power left of writing one."""
    pattern, keep = Path(purge["pattern"]), purge.get("keep") or []
    found = sorted({*pattern.parent.glob(pattern.name), *pattern.parent.glob(f".{pattern.name}.*")})
    return [path for path in found if path not in wanted and path.name not in keep and not path.is_dir()]


def _do(wanted: WantedHostFile, action: HostFileAction, length: int) -> None:
    if action is HostFileAction.KEEP:
        return
    if wanted.is_folder:
        _make_folder(wanted)
    elif action is HostFileAction.CORRECT:
        os.chown(wanted.path, wanted.uid, wanted.gid, follow_symlinks=False)
        wanted.path.chmod(wanted.mode)
    else:
        if not wanted.path.parent.is_dir():
            raise HostFileError(f"The folder {wanted.path.parent} does not exist.")
        content = random_secret(length).encode() if wanted.content is None else wanted.content
        atomic_file.write(wanted.path, content, mode=wanted.mode, owner=wanted.uid, group=wanted.gid)


def _make_folder(wanted: WantedHostFile) -> None:
    if not wanted.path.exists():
        wanted.path.parent.mkdir(parents=True, exist_ok=True)
        # Open to nobody until it is right.
        wanted.path.mkdir(mode=0o700)
        atomic_file.sync_folder(wanted.path.parent)
    os.chown(wanted.path, wanted.uid, wanted.gid, follow_symlinks=False)
    wanted.path.chmod(wanted.mode)
    if not _is_owned_within(wanted):
        ownership.put_right(wanted.path, wanted.uid, wanted.gid, wanted.mode)


def random_secret(length: int) -> str:
    """Make a random secret of characters that are safe in a URL, a file and a shell; it begins as no option does."""
    return secrets.choice(string.ascii_letters) + secrets.token_urlsafe(length)[: length - 1]


def reasons(changes: Sequence[HostFileChange]) -> list[str]:
    """Say what changed."""
    return [f"{change.what} {change.path}: {change.action}" for change in _real(changes)]


def diff(changes: Sequence[HostFileChange]) -> dict[str, dict[str, str]]:
    """Give what changed as a module's diff, by path."""
    real = _real(changes)
    return {
        "before": {str(change.path): BEFORE[change.action] for change in real},
        "after": {str(change.path): _after(change) for change in real},
    }


def result(changes: Sequence[HostFileChange]) -> dict[str, Any]:
    """Give the result of a module that does nothing else."""
    return {"changed": bool(_real(changes)), "reasons": reasons(changes), "diff": diff(changes)}


def with_changes(result: dict[str, Any], changes: Sequence[HostFileChange]) -> dict[str, Any]:
    """Add what changed to the result of a module that brings about what it needs."""
    if not _real(changes):
        return result
    shown = diff(changes)
    sides = {side: {**result["diff"][side], "files": shown[side]} for side in ("before", "after")}
    return result | {"changed": True, "reasons": [*reasons(changes), *result["reasons"]], "diff": sides}


def _after(change: HostFileChange) -> str:
    if change.action is HostFileAction.REMOVE:
        return "absent"
    return str(change.action) if change.what in ("folder", "record") else f"{change.action} (content hidden)"


def _real(changes: Sequence[HostFileChange]) -> list[HostFileChange]:
    return [change for change in changes if change.action is not HostFileAction.KEEP]
