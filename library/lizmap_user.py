#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: accounts of Lizmap."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lizmap_user
short_description: Accounts of Lizmap
version_added: "0.1.0"
description:
  - Creates, changes, disables and removes accounts, one or a whole list in one go, in the Lizmap of a running
    container.
  - A password is read from a file on the host, compared with the hash that Lizmap keeps, and handed over by standard
    input. It is in no argument, result, diff or log.
  - Whoever is removed or disabled, or gets another password, is logged out.
  - The last administrator is never removed, disabled or taken out of the group V(admins).
  - Accounts that people made in Lizmap's administration, and that are not named here, are left alone.
options:
  container:
    description: Name of the container that Lizmap runs in.
    type: str
    default: websig-lizmap
  login:
    description: Name by which the person logs in.
    type: str
  state:
    description:
      - V(present) creates or changes the account, which can log in.
      - With V(disabled) it exists and cannot log in.
      - V(absent) removes it.
    type: str
    choices: [present, disabled, absent]
    default: present
  email:
    description: E-mail address. Needed for a new account.
    type: str
  password_file:
    description: File on the host with the password as its only line. Needed for a new account.
    type: path
  update_password:
    description:
      - With V(always) the password is the one in O(password_file) after each run.
      - With V(on_create) the person may choose another one, which then stays.
    type: str
    choices: [always, on_create]
    default: always
  groups:
    description:
      - All groups that the person is in, besides those that everybody is in (V(users)).
      - The memberships stay as they are when this is not given.
    type: list
    elements: str
  rights:
    description:
      - All rights that the person has in the administration and on every repository without being in a group, by
        Lizmap's names. A right on one repository is given with M(lizmap_repository), also to a single person.
      - What the person may do stays as it is when this is not given.
    type: list
    elements: str
  users:
    description:
      - Accounts, each with the options O(login), O(state), O(email), O(password_file), O(update_password), O(groups)
        and O(rights).
    type: list
    elements: dict
    suboptions:
      login:
        description: See O(login).
        type: str
        required: true
      state:
        description: See O(state).
        type: str
        choices: [present, disabled, absent]
        default: present
      email:
        description: See O(email).
        type: str
      password_file:
        description: See O(password_file).
        type: path
      update_password:
        description: See O(update_password).
        type: str
        choices: [always, on_create]
        default: always
      groups:
        description: See O(groups).
        type: list
        elements: str
      rights:
        description: See O(rights).
        type: list
        elements: str
  protected:
    description: Logins of administrators that must stay as such, also when there are others.
    type: list
    elements: str
    default: []
  purge:
    description:
      - Also remove the accounts that this module made in an earlier run and that are no longer among O(users).
        An account that was there before it was first named is never removed like this.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: >-
      Works on a bare host too, where it tells what happens in a new Lizmap. A group or password file that does not
      exist yet is taken for one that an earlier task of a real run makes.
  diff_mode:
    support: full
    description: Shows what differs of each account, and all of one that is added or removed, never a password.
  idempotent:
    support: full
    description: A password is compared with the hash that Lizmap keeps.
extends_documentation_fragment:
  - poppyfield_host_files
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Create an account for a surveyor
  lizmap_user:
    login: anna
    email: anna@example.org
    password_file: /etc/poppyfield/secrets/lizmap_user_anna
    groups: [mappers]

- name: Disable somebody's account for a while
  lizmap_user:
    login: bruno
    state: disabled

- name: Create these accounts, and remove those that an earlier run of this task created
  lizmap_user:
    users:
      - login: anna
        email: anna@example.org
        password_file: /etc/poppyfield/secrets/lizmap_user_anna
      - login: chris
        state: absent
    protected: [admin]
    purge: true
"""

RETURN = r"""
reasons:
  description: What changed, or would change in check mode.
  returned: always
  type: list
  elements: str
  sample: ["user anna: groups: users -> mappers, users"]
removed:
  description: Logins of the accounts that were removed.
  returned: always
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.host import host_files, password_file
from ansible.module_utils.poppyfield.host.host_files import HostFileError
from ansible.module_utils.poppyfield.host.password_file import PasswordFileError
from ansible.module_utils.poppyfield.lizmap import lizmap_module
from ansible.module_utils.poppyfield.lizmap.accounts import (
    AccountsPlan,
    AccountsState,
    LizmapError,
    User,
    check_password,
    plan_users,
)

FIELDS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "disabled", "absent"], "default": "present"},
    "email": {"type": "str"},
    "password_file": {"type": "path", "no_log": False},
    "update_password": {"type": "str", "choices": ["always", "on_create"], "default": "always", "no_log": False},
    "groups": {"type": "list", "elements": "str"},
    "rights": {"type": "list", "elements": "str"},
}

ARGUMENTS: dict[str, Any] = {
    "container": lizmap_module.CONTAINER_OPTION,
    "login": {"type": "str"},
    **FIELDS,
    "users": {"type": "list", "elements": "dict", "options": {"login": {"type": "str", "required": True}, **FIELDS}},
    "protected": {"type": "list", "elements": "str", "default": []},
    "purge": {"type": "bool", "default": False},
    "host_files": host_files.OPTION,
}


def user_of(entry: dict[str, Any], *, file_may_be_missing: bool) -> User:
    """Give the wanted account, with the password read from its file."""
    password = None
    if entry["password_file"] and entry["state"] != "absent":
        password = password_in(Path(entry["password_file"]), may_be_missing=file_may_be_missing)
    return User.of(entry, password)


def password_in(path: Path, *, may_be_missing: bool) -> str:
    """Read a password; an empty one, which is nobody's, stands for what an earlier task of a real run would make."""
    if may_be_missing and not path.exists():
        return ""
    return str(check_password(password_file.read(path).removesuffix("\n"), str(path)))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True, **lizmap_module.one_or_many("login", "users"))
    try:
        files = host_files.converge(module.params["host_files"], check_mode=module.check_mode)
        entries = lizmap_module.entries(module.params, "users")
        users = [user_of(entry, file_may_be_missing=module.check_mode) for entry in entries]
    except (HostFileError, LizmapError, PasswordFileError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}.")
    passwords = {user.login: user.password for user in users if user.password is not None}
    purge, protected = module.params["purge"], module.params["protected"]

    def planner(state: AccountsState) -> AccountsPlan:
        return plan_users(users, state, purge=purge, protected=protected, lenient=module.check_mode)

    module.exit_json(**host_files.with_changes(lizmap_module.run(module, planner, passwords), files))


if __name__ == "__main__":
    main()
