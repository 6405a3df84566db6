#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: repositories of Lizmap, and who may do what in them."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: lizmap_repository
short_description: Repositories of Lizmap, and who may do what in them
version_added: "0.1.0"
description:
  - Creates, changes and removes repositories, one or a whole list in one go, in the Lizmap of a running container. A
    repository is a folder of QGIS projects under a name.
  - Removing a repository removes the rights on it, and leaves the folder as it is.
  - Repositories that people made in Lizmap's administration, and that are not named here, are left alone.
  - Who has a right is told by names of groups, by C(user:LOGIN) for a single person, or by one of the words
    C(everyone) (also who is not logged in), C(logged-in) and C(nobody).
  - A right that is not given here stays as it is. One that is given is taken from everybody else.
  - Nobody has another right without O(view). Such a mistake is refused.
options:
  container:
    description: Name of the container that Lizmap runs in.
    type: str
    default: websig-lizmap
  key:
    description: Name of a repository in addresses; letters, digits and underscores.
    type: str
  state:
    description:
      - V(present) creates or changes the repository.
      - V(absent) removes it and the rights on it, never its folder.
    type: str
    choices: [present, absent]
    default: present
  path:
    description: Folder in the container. C(/srv/projects/KEY/) unless this is given.
    type: str
  label:
    description: What people read. A new repository is called as its O(key) unless this is given.
    type: str
  themes:
    description: Whether the projects may bring style sheets of their own.
    type: bool
  allowed_origins:
    description: Other web sites whose scripts may ask for this repository (CORS), such as https://example.org.
    type: list
    elements: str
  embedding_origins:
    description: Other web sites that may show a map of this repository in a frame; V(*) is all of them.
    type: list
    elements: str
  view:
    description:
      - Who may see the maps. The group V(admins) may, too, if anybody may.
    type: list
    elements: str
  edit:
    description: Who may change data, in layers whose project allows it.
    type: list
    elements: str
  export:
    description: Who may download layers.
    type: list
    elements: str
  links:
    description: Who is shown the addresses of the WMS and WMTS.
    type: list
    elements: str
  unfiltered:
    description: Who sees all features of layers that are filtered by user.
    type: list
    elements: str
  rights:
    description: Who has other rights, by Lizmap's names of them.
    type: dict
    default: {}
  repositories:
    description: Repositories, each with the options above, from O(key) to O(rights).
    type: list
    elements: dict
    suboptions:
      key:
        description: See O(key).
        type: str
        required: true
      state:
        description: See O(state).
        type: str
        choices: [present, absent]
        default: present
      path:
        description: See O(path).
        type: str
      label:
        description: See O(label).
        type: str
      themes:
        description: See O(themes).
        type: bool
      allowed_origins:
        description: See O(allowed_origins).
        type: list
        elements: str
      embedding_origins:
        description: See O(embedding_origins).
        type: list
        elements: str
      view:
        description: See O(view).
        type: list
        elements: str
      edit:
        description: See O(edit).
        type: list
        elements: str
      export:
        description: See O(export).
        type: list
        elements: str
      links:
        description: See O(links).
        type: list
        elements: str
      unfiltered:
        description: See O(unfiltered).
        type: list
        elements: str
      rights:
        description: See O(rights).
        type: dict
        default: {}
  purge:
    description:
      - Also remove the repositories that this module made in an earlier run and that are no longer among
        O(repositories). One that was there before it was first named is never removed like this.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: >-
      Works on a bare host too, where it tells what happens in a new Lizmap. A group or user that does not exist yet is
      taken for one that an earlier task of a real run makes.
  diff_mode:
    support: full
    description: Shows what differs of each repository and its rights, and all of one that is added or removed.
  idempotent:
    support: full
    description: A repository that is as it should be stays so.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Publish a folder that everyone may see and field mappers may edit
  lizmap_repository:
    key: fields
    label: Fields of the valley
    view: everyone
    edit: [mappers, "user:anna"]

- name: Create these repositories, and remove those that an earlier run of this task created
  lizmap_repository:
    repositories:
      - key: fields
        view: logged-in
      - key: nests
        view: [wardens]
        edit: [wardens]
    purge: true
"""

RETURN = r"""
reasons:
  description: What changed, or would change in check mode.
  returned: always
  type: list
  elements: str
  sample: ["repository fields: edit: none -> mappers"]
removed:
  description: Names of the repositories that were removed.
  returned: always
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.lizmap import lizmap_module
from ansible.module_utils.poppyfield.lizmap.accounts import (
    RIGHTS,
    AccountsPlan,
    AccountsState,
    Repository,
    plan_repositories,
)

NAMES: dict[str, Any] = {"type": "list", "elements": "str"}

FIELDS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "path": {"type": "str"},
    "label": {"type": "str"},
    "themes": {"type": "bool"},
    "allowed_origins": NAMES,
    "embedding_origins": NAMES,
    **dict.fromkeys(RIGHTS, NAMES),
    "rights": {"type": "dict", "default": {}},
}

ARGUMENTS: dict[str, Any] = {
    "container": lizmap_module.CONTAINER_OPTION,
    "key": {"type": "str", "no_log": False},
    **FIELDS,
    "repositories": {
        "type": "list",
        "elements": "dict",
        "options": {"key": {"type": "str", "required": True, "no_log": False}, **FIELDS},
    },
    "purge": {"type": "bool", "default": False},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True, **lizmap_module.one_or_many("key", "repositories"))
    repositories = [Repository.of(entry) for entry in lizmap_module.entries(module.params, "repositories")]
    purge = module.params["purge"]

    def planner(state: AccountsState) -> AccountsPlan:
        return plan_repositories(repositories, state, purge=purge, lenient=module.check_mode)

    module.exit_json(**lizmap_module.run(module, planner))


if __name__ == "__main__":
    main()
