#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: repositories on this host that are published no more."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: withdrawn_repositories
short_description: Serve no repository that is published no more
version_added: "0.1.0"
description:
  - Withdraws all repositories that M(published_projects) published in earlier runs and that are not named any more.
    Nobody is served them, neither by Lizmap nor by QGIS Server, which is restarted since it has projects in its memory.
  - Their files stay, readable by root only, and a warning names them. M(published_projects) publishes such a
    repository again without sending what did not change. With O(prune) the files are removed.
  - A folder that somebody made by hand among the repositories is left alone.
options:
  published:
    description: Names of the repositories that are published.
    type: list
    elements: str
    required: true
  projects_folder:
    description: Folder on the host with one folder for each repository.
    type: path
    default: /srv/poppyfield/lizmap/projects
  prune:
    description: Whether the files of the others are removed.
    type: bool
    default: false
  container:
    description: Name of the map server's container. It need not run.
    type: str
    default: websig-lizmap
  timeout:
    description: Seconds that QGIS Server may take to restart.
    type: int
    default: 300
attributes:
  check_mode:
    support: full
    description: Works on a bare host too.
  diff_mode:
    support: full
    description: Shows what becomes of each repository that is published no more.
  idempotent:
    support: full
    description: A repository that is withdrawn already is only warned of.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Serve only these two repositories
  withdrawn_repositories:
    published: [fields, nests]

- name: Serve one repository, and remove the files of the others
  withdrawn_repositories:
    published: [fields]
    prune: true
"""

RETURN = r"""
withdrawn:
  description: Repositories that were served until now.
  returned: always
  type: list
  elements: str
removed:
  description: Repositories whose files were removed.
  returned: always
  type: list
  elements: str
left:
  description: Repositories whose files stay though nobody is served them.
  returned: always
  type: list
  elements: str
reasons:
  description: What changed, or would change in check mode.
  returned: always
  type: list
  elements: str
  sample: ["repository nests: published -> withdrawn"]
"""

import os
import platform
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers.engine import EngineError
from ansible.module_utils.poppyfield.containers.services import LIZMAP
from ansible.module_utils.poppyfield.projects.folder_difference import FolderError, shown
from ansible.module_utils.poppyfield.projects.published_folder import PublishedFolder, published_repositories
from ansible.module_utils.poppyfield.projects.withdrawal import withdraw

Json = dict[str, Any]
PUBLISHED = "published"
WITHDRAWN = "withdrawn"
ABSENT = "absent"

ARGUMENTS: Json = {
    "published": {"type": "list", "elements": "str", "required": True},
    "projects_folder": {"type": "path", "default": "/srv/poppyfield/lizmap/projects"},
    "prune": {"type": "bool", "default": False},
    "container": {"type": "str", "default": LIZMAP.container},
    "timeout": {"type": "int", "default": 300},
}


def converge(params: Json, *, check_mode: bool) -> Json:
    """Withdraw, or remove, what is not published any more."""
    projects_folder = Path(params["projects_folder"])
    names = [name for name in published_repositories(projects_folder) if name not in params["published"]]
    folders = {name: PublishedFolder(projects_folder, name, os.geteuid(), os.getegid()) for name in names}
    before = {name: PUBLISHED if folder.is_open() else WITHDRAWN for name, folder in folders.items()}
    after = dict.fromkeys(names, ABSENT if params["prune"] else WITHDRAWN)
    changing = [name for name in names if before[name] != after[name]]
    told = [shown(name) for name in changing]
    sides = {"before": before, "after": after}
    diff = {side: {shown(name): states[name] for name in changing} for side, states in sides.items()}
    if changing and not check_mode:
        chosen = [folders[name] for name in changing]
        withdraw(chosen, params["container"], params["timeout"], remove=params["prune"])
    return {
        "changed": bool(changing),
        "withdrawn": [shown(name) for name in changing if before[name] == PUBLISHED],
        "removed": told if params["prune"] else [],
        "left": [] if params["prune"] else [shown(name) for name in names],
        "reasons": [f"repository {shown(name)}: {before[name]} -> {after[name]}" for name in changing],
        "diff": diff,
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = converge(module.params, check_mode=module.check_mode)
    except (FolderError, EngineError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}.")
    if result["left"]:
        module.warn(
            f"{platform.node()} keeps the files of repositories that are published no more: "
            f"{', '.join(result['left'])}. Nobody is served them. They stay, unless prune (in the inventory "
            "lizmap_prune_repositories) is true."
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
