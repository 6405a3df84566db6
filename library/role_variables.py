#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of the action plugin role_variables, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: role_variables
short_description: Check a host's variables against roles' argument specifications
description:
  - Checks, on the controller and without connecting to the host, every variable that the inventory gives the host.
  - Types, choices and required options are checked by Ansible's own validation of argument specifications.
  - A variable that begins with a role's name, or is nearly the name of a role's variable, and is not one of them, is
    taken for a misspelling.
  - Reports all problems together.
options:
  roles:
    description: The roles whose variables the host may have.
    type: list
    elements: str
    required: true
  roles_folder:
    description: The folder on the controller that holds the roles.
    type: path
    required: true
attributes:
  action:
    description: Runs on the controller.
    support: full
  check_mode:
    description: Changes nothing, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
  idempotent:
    description: Changes nothing, however often it runs.
    support: full
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Check the variables
  role_variables:
    roles: [postgis, lizmap]
    roles_folder: "{{ playbook_dir }}/../roles"
"""

RETURN = r"""
problems:
  description: What is wrong, one sentence each.
  returned: always
  type: list
  elements: str
"""
