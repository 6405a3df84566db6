#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: groups of Lizmap's users, and what they may do everywhere."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lizmap_group
short_description: Groups of Lizmap's users
version_added: "0.1.0"
description:
  - Creates, changes and removes groups, one or a whole list in one go, in the Lizmap of a running container.
  - Rights on one repository are given with M(lizmap_repository). A group has others that hold everywhere (O(rights)).
  - The groups that Lizmap itself makes (V(admins), V(users), V(publishers) and V(__anonymous)) can get rights, and
    are never removed.
  - Groups that people made in Lizmap's administration, and that are not named here, are left alone.
options:
  container:
    description: Name of the container that Lizmap runs in.
    type: str
    default: websig-lizmap
  name:
    description: Name of a group, by which rights and users refer to it.
    type: str
  state:
    description:
      - V(present) creates or changes the group.
      - V(absent) removes it with all its rights. Its members stay.
    type: str
    choices: [present, absent]
    default: present
  label:
    description: What people read. A new group is called as its O(name) unless this is given.
    type: str
  rights:
    description:
      - All rights that the group has in the administration and on every repository, by Lizmap's names. For the
        rights on repositories these are short names too, see M(lizmap_repository).
      - The group V(admins) cannot lose rights.
      - What the group may do stays as it is when this is not given.
    type: list
    elements: str
  groups:
    description: Groups, each with the options O(name), O(state), O(label) and O(rights).
    type: list
    elements: dict
    suboptions:
      name:
        description: See O(name).
        type: str
        required: true
      state:
        description: See O(state).
        type: str
        choices: [present, absent]
        default: present
      label:
        description: See O(label).
        type: str
      rights:
        description: See O(rights).
        type: list
        elements: str
  purge:
    description:
      - Also remove the groups that this module made in an earlier run and that are no longer among O(groups).
        A group that was there before it was first named is never removed like this.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Works on a bare host too, where it tells what happens in a new Lizmap.
  diff_mode:
    support: full
    description: Shows what differs of each group, and all of one that is added or removed.
  idempotent:
    support: full
    description: A group that is as it should be stays so.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Create a group whose members may see every repository
  lizmap_group:
    name: wardens
    label: Wardens of the reserve
    rights: [view]

- name: Create these groups, and remove those that an earlier run of this task created
  lizmap_group:
    groups:
      - name: mappers
        label: Field mappers
      - name: guests
    purge: true
"""

RETURN = r"""
reasons:
  description: What changed, or would change in check mode.
  returned: always
  type: list
  elements: str
  sample: ["group mappers: label: mappers -> Field mappers"]
removed:
  description: Names of the groups that were removed.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.lizmap import lizmap_module
from ansible.module_utils.poppyfield.lizmap.accounts import Group, plan_groups

FIELDS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "label": {"type": "str"},
    "rights": {"type": "list", "elements": "str"},
}

ARGUMENTS: dict[str, Any] = {
    "container": lizmap_module.CONTAINER_OPTION,
    "name": {"type": "str"},
    **FIELDS,
    "groups": {"type": "list", "elements": "dict", "options": {"name": {"type": "str", "required": True}, **FIELDS}},
    "purge": {"type": "bool", "default": False},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True, **lizmap_module.one_or_many("name", "groups"))
    groups = [Group.of(entry) for entry in lizmap_module.entries(module.params, "groups")]
    purge = module.params["purge"]
    module.exit_json(**lizmap_module.run(module, lambda state: plan_groups(groups, state, purge=purge)))


if __name__ == "__main__":
    main()
