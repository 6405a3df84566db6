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
- name: Create a random database password that only this host knows
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

- name: Keep one password for each user, and remove those of users who left
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

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.host import host_files
from ansible.module_utils.poppyfield.host.host_files import HostFileError

ARGUMENTS: dict[str, Any] = {
    "secrets": {**host_files.SECRETS_OPTION, "required": True},
    "purge": {"type": "path"},
    "length": {"type": "int", "default": host_files.SECRET_LENGTH},
    "minimum_length": {"type": "int", "default": host_files.LEAST_LENGTH},
}
del ARGUMENTS["secrets"]["default"]


def converge(params: dict[str, Any], *, check_mode: bool) -> list[host_files.HostFileChange]:
    """Make every secret as it should be; say what was done."""
    wanted = {"secrets": params["secrets"], "purge": [{"pattern": params["purge"]}] if params["purge"] else []}
    changes: list[host_files.HostFileChange] = host_files.converge(
        wanted, check_mode=check_mode, length=params["length"], minimum=params["minimum_length"]
    )
    return changes


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if module.params["length"] < module.params["minimum_length"]:
        module.fail_json(msg="length must not be smaller than minimum_length.")
    try:
        changes = converge(module.params, check_mode=module.check_mode)
    except HostFileError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}.")
    files = [{"path": str(change.path), "action": str(change.action)} for change in changes]
    module.exit_json(files=files, **host_files.result(changes))


if __name__ == "__main__":
    main()
