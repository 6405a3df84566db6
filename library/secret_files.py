#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: secrets as files that only their readers can read."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: secret_files
short_description: Keep secrets in files, random unless given
version_added: "0.1.0"
description:
  - Each secret is the only line of a file with mode C(0600), without a newline at its end.
  - A secret that is missing is made at random on the host itself, so that it never travels. One that exists stays
    as it is, unless a value is given and differs.
  - The content of a secret is in no result, diff or log.
options:
  secrets:
    description: The secrets.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Path of the file. Its folder must exist.
        type: path
        required: true
      owner:
        description: User who may read it, by name or number.
        type: str
        default: root
      group:
        description: Group of the file, by name or number.
        type: str
        default: root
      value:
        description: The secret, when it is not to be random. One line of printable ASCII characters.
        type: str
  purge:
    description:
      - A pattern of paths, such as C(/etc/poppyfield/secrets/lizmap_user_*). Files like it that are not among
        O(secrets) are removed.
    type: path
  length:
    description: Number of characters of a random secret. Each has six bits of randomness.
    type: int
    default: 32
  minimum_length:
    description: A given O(secrets[].value) that is shorter is refused.
    type: int
    default: 12
attributes:
  check_mode:
    support: full
    description: Works on a bare host too, where neither folders nor users exist yet.
  diff_mode:
    support: full
    description: Shows which files are made, renewed, corrected or removed, never their content.
  idempotent:
    support: full
    description: A secret that exists is kept.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Make the database password, random and known to this host only
  secret_files:
    secrets:
      - path: /etc/poppyfield/secrets/postgis_password
        owner: "5432"

- name: Set a password that was chosen
  secret_files:
    secrets:
      - path: /etc/poppyfield/secrets/lizmap_admin_password
        owner: "33"
        value: "{{ lizmap_admin_password }}"
  no_log: true

- name: Keep one password for each user, and none of those who left
  secret_files:
    secrets:
      - path: /etc/poppyfield/secrets/lizmap_user_anna
    purge: /etc/poppyfield/secrets/lizmap_user_*
"""

RETURN = r"""
files:
  description: What was done about each file.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Path of the file.
      type: str
    action:
      description:
        - One of V(created), V(renewed) (another value), V(corrected) (owner, group or mode), V(removed) and
          V(unchanged).
      type: str
reasons:
  description: Why something changed.
  returned: always
  type: list
  elements: str
"""

import grp
import os
import pwd
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

MODE = 0o600

ARGUMENTS: dict[str, Any] = {
    "secrets": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "no_log": False,
        "options": {
            "path": {"type": "path", "required": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "value": {"type": "str", "no_log": True},
        },
    },
    "purge": {"type": "path"},
    "length": {"type": "int", "default": 32},
    "minimum_length": {"type": "int", "default": 12},
}


class SecretError(Exception):
    """A secret that cannot be kept, in a sentence that does not contain it."""


def random_secret(length: int) -> str:
    """Make a random secret of characters that are safe in a URL, a file and a shell."""
    return secrets.token_urlsafe(length)[:length]


def check_value(path: str, value: str, minimum: int) -> None:
    """Refuse a given value that is too short, or that could be read in two ways."""
    if len(value) < minimum:
        raise SecretError(
            f"The value for {path} has {len(value)} characters, but at least {minimum} are needed (minimum_length)."
        )
    if not value.isascii() or not value.isprintable():
        raise SecretError(f"The value for {path} must be one line of printable ASCII characters.")


def number_of(name: str, lookup: Any, kind: str, *, missing_allowed: bool) -> int:
    """Give the number of a user or group that is named or numbered."""
    if name.isdigit():
        return int(name)
    try:
        return int(lookup(name)[2])
    except KeyError as error:
        if missing_allowed:
            return -1
        raise SecretError(f"There is no {kind} named {name} on this host.") from error


def action_for(path: Path, value: str | None, uid: int, gid: int) -> str:
    """Decide what is to be done about one file."""
    try:
        state = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "created"
    if not stat.S_ISREG(state.st_mode):
        raise SecretError(f"{path} is not a file, so it is left alone.")
    if value is not None and path.read_bytes() != value.encode():
        return "renewed"
    if state.st_size == 0:
        return "renewed"
    right = stat.S_IMODE(state.st_mode) == MODE and (state.st_uid, state.st_gid) == (uid, gid)
    return "unchanged" if right else "corrected"


def write(path: Path, value: str, uid: int, gid: int) -> None:
    """Write a file that is there whole or not at all, and at no moment readable to others."""
    if not path.parent.is_dir():
        raise SecretError(f"The folder {path.parent} does not exist.")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(handle, MODE)
            os.fchown(handle, uid, gid)
            stream.write(value.encode())
            stream.flush()
            os.fsync(handle)
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Let the names in a folder survive a loss of power."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def others(pattern: str | None, wanted: list[str]) -> list[Path]:
    """Give the files that are like a pattern and not wanted."""
    found = sorted(Path(pattern).parent.glob(Path(pattern).name)) if pattern else []
    return [path for path in found if str(path) not in wanted and not path.is_dir()]


def remove(path: Path) -> None:
    """Remove a file."""
    path.unlink()
    sync_folder(path.parent)


def correct(path: Path, uid: int, gid: int) -> None:
    """Give an existing file its owner and mode."""
    os.chown(path, uid, gid, follow_symlinks=False)
    path.chmod(MODE)


def converge(params: dict[str, Any], *, check_mode: bool) -> list[dict[str, str]]:
    """Make every secret as it should be; say what was done."""
    planned = []
    for secret in params["secrets"]:
        value = secret["value"]
        if value is not None:
            check_value(secret["path"], value, params["minimum_length"])
        uid = number_of(secret["owner"], pwd.getpwnam, "user", missing_allowed=check_mode)
        gid = number_of(secret["group"], grp.getgrnam, "group", missing_allowed=check_mode)
        path = Path(secret["path"])
        planned.append((path, value, uid, gid, action_for(path, value, uid, gid)))
    for path, value, uid, gid, action in planned:
        if check_mode or action == "unchanged":
            continue
        if action == "corrected":
            correct(path, uid, gid)
        else:
            write(path, random_secret(params["length"]) if value is None else value, uid, gid)
    unwanted = others(params["purge"], [str(path) for path, *_ in planned])
    for path in unwanted:
        if not check_mode:
            remove(path)
    done = [{"path": str(path), "action": action} for path, _, _, _, action in planned]
    return done + [{"path": str(path), "action": "removed"} for path in unwanted]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if module.params["length"] < module.params["minimum_length"]:
        module.fail_json(msg="length must not be smaller than minimum_length.")
    try:
        files = converge(module.params, check_mode=module.check_mode)
    except SecretError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}.")
    changes = [file for file in files if file["action"] != "unchanged"]
    before = {
        "created": "absent",
        "renewed": "another value",
        "corrected": "another owner, group or mode",
        "removed": "present",
    }
    module.exit_json(
        changed=bool(changes),
        files=files,
        reasons=[f"secret {file['path']}: {file['action']}" for file in changes],
        diff={
            "before": {file["path"]: before[file["action"]] for file in changes},
            "after": {
                file["path"]: "absent" if file["action"] == "removed" else f"{file['action']} (content hidden)"
                for file in changes
            },
        },
    )


if __name__ == "__main__":
    main()
