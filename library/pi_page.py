#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the page on which a Pi tells how it fares."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: pi_page
short_description: The page on which a map server tells how it fares
version_added: "0.1.0"
description:
  - Installs a program that looks at the host every 40 seconds, at low priority, and the timer of systemd that runs it.
    It writes the page C(/status), in English and French, and where asked a front page, into C(/run/poppyfield-page),
    which is in memory. With the option C(page_folder) of M(lizmap_container) the map server hands them out.
  - Another timer has each page of the databases read once a week, to see whether it is what PostgreSQL wrote there.
    What it found stands in C(/var/lib/poppyfield/data-check/state.json), for M(stack_info).
  - The pages tell anybody about health and nothing more. They need neither the database nor PHP nor QGIS Server.
  - With C(operator_password) there is a page C(/operator), too, which takes four orders together with that password.
    They restart the map server or the database, shut the host down, or hand over what support needs. A program of a
    user of its own answers, at a socket in the folder of the pages, and gives one fixed word to a small helper of root.
options:
  name:
    description: What the pages call the host.
    type: str
    required: true
  front:
    description:
      - Whether there is a front page, which the map server shows at C(/) before Lizmap Web Client, unless the operator
        made one there.
    type: bool
    default: false
  operator_password:
    description:
      - Password of the page C(/operator), of 12 characters or more. The host keeps a salted digest of it. Without one
        there is no such page, and one that was there is removed.
    type: str
    default: ""
  operator_over_http:
    description: Whether that page is also answered without HTTPS, where others in the network can read the password.
    type: bool
    default: false
attributes:
  check_mode:
    description: Tells what would be changed.
    support: full
  diff_mode:
    description: Shows which files are made or replaced.
    support: full
  idempotent:
    description: A host that is set up stays as it is.
    support: full
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Have the Pi tell how it fares
  pi_page:
    name: "{{ inventory_hostname }}"

- name: Have its operator restart services from a browser, too
  pi_page:
    name: "{{ inventory_hostname }}"
    operator_password: "{{ pi_page_operator_password }}"
"""

RETURN = r"""
reasons:
  description: Which files changed.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.host import host_files
from ansible.module_utils.poppyfield.host.host_files import HostFileError
from ansible.module_utils.poppyfield.host.systemd import SystemdError
from ansible.module_utils.poppyfield.pi_page import operator_login
from ansible.module_utils.poppyfield.pi_page.service import PiPageService

ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "front": {"type": "bool", "default": False},
    "operator_over_http": {"type": "bool", "default": False},
}
PASSWORD: dict[str, Any] = {"operator_password": {"type": "str", "default": "", "no_log": True}}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**ARGUMENTS, **PASSWORD}, supports_check_mode=True)
    settings = {name: module.params[name] for name in ARGUMENTS}
    password = module.params["operator_password"]
    if password and not operator_login.LEAST_LENGTH <= len(password) <= operator_login.LONGEST:
        module.fail_json(msg=f"operator_password: give {operator_login.LEAST_LENGTH} characters or more, 200 at most.")
    try:
        changes = PiPageService().converge(settings, password, check_mode=module.check_mode)
    except (HostFileError, SystemdError) as error:
        module.fail_json(msg=f"{str(error).rstrip('.')}.")
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}.")
    module.exit_json(**host_files.result(changes))


if __name__ == "__main__":
    main()
