#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: base maps on this host, as they are in files of the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: delivered_basemaps
short_description: Deliver base maps for the map page and for projects
version_added: "0.1.0"
description:
  - Keeps the folder C(basemaps) in O(projects_folder), which the map server sees and cannot write, as O(basemaps)
    says.
  - PMTiles are for the map page. Their addresses hold a part of their SHA-256, and C(index.json) lists them. One that
    is replaced stays for a day, for pages that are open, until the next run after that.
  - MBTiles with pictures are for projects, which name them C(../basemaps/NAME.mbtiles).
  - Only files that the host lacks travel, in pieces. Where a run was cut off, the next one goes on from there. Each
    file is compared with its SHA-256 on the host, and all take their places in one step.
  - A base map that is no longer named is removed. Nothing else is.
options:
  basemaps:
    description: The base maps. Empty removes those that there are.
    type: list
    elements: dict
    default: []
    suboptions:
      file:
        description: The file on the controller, PMTiles or MBTiles.
        type: path
        required: true
      name:
        description:
          - Its name on the host (letters, digits, hyphen, underscore). Without one, the file's without its end.
        type: str
      title:
        description: What people read. Without one, what the file says of itself.
        type: str
      attribution:
        description: Whose data it shows, as plain text. Without one, what the file says of itself.
        type: str
  cache_folder:
    description: A folder on the controller in which the digests of files that do not change are remembered.
    type: path
    required: true
  projects_folder:
    description: Folder on the host with one folder for each repository. It must exist.
    type: path
    default: /srv/poppyfield/lizmap/projects
  container:
    description:
      - Name of the map server's container. Where an MBTiles file was replaced, QGIS Server there reads it again.
    type: str
    default: websig-lizmap
  refresh_timeout:
    description: Seconds that this may take.
    type: int
    default: 300
  owner:
    description: Number of the user that the files belong to.
    type: int
    default: 0
  group:
    description: Number of the group that the files belong to.
    type: int
    default: 0
attributes:
  check_mode:
    support: full
    description: Works on a bare host too. Nothing is sent.
  diff_mode:
    support: full
    description: Shows each file that is added, changed or removed, with its size and digest.
  idempotent:
    support: full
    description: Files that did not change since the last run are not read again.
  action:
    support: full
    description: The action plugin of the same name reads the files on the controller and sends what is missing.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Deliver a background for the map page, and one for projects
  delivered_basemaps:
    basemaps:
      - file: ~/maps/valley.pmtiles
        title: The valley
        attribution: © OpenStreetMap contributors
      - file: ~/maps/relief.mbtiles
    cache_folder: ~/.cache/poppyfield

- name: Remove all of them
  delivered_basemaps:
    basemaps: []
    cache_folder: ~/.cache/poppyfield
"""

RETURN = r"""
added:
  description: Files that were added.
  returned: always
  type: list
  elements: str
updated:
  description: Files whose content was replaced.
  returned: always
  type: list
  elements: str
removed:
  description: Files that were removed.
  returned: always
  type: list
  elements: str
left:
  description: Files that were replaced and stay for pages that are open.
  returned: always
  type: list
  elements: str
uploaded_bytes:
  description: How much was sent, packed.
  returned: when something was sent
  type: int
reasons:
  description: Why something changed.
  returned: always
  type: list
  elements: str
"""

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.basemaps import published
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.containers.services import LIZMAP
from ansible.module_utils.poppyfield.projects.folder_difference import (
    File,
    FolderDifference,
    FolderError,
    FoundFile,
    before_and_after,
    beginning,
    compare,
    missing,
    not_begun,
    shown,
    too_little_room,
)
from ansible.module_utils.poppyfield.projects.published_folder import BASEMAPS, PublishedFolder
from ansible.module_utils.poppyfield.projects.server_checks import NotRunningError, ProjectServer

Json = dict[str, Any]

ARGUMENTS: Json = {
    "basemaps": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "file": {"type": "path", "required": True},
            "name": {"type": "str"},
            "title": {"type": "str"},
            "attribution": {"type": "str"},
        },
    },
    "cache_folder": {"type": "path", "required": True},
    "projects_folder": {"type": "path", "default": "/srv/poppyfield/lizmap/projects"},
    "container": {"type": "str", "default": LIZMAP.container},
    "refresh_timeout": {"type": "int", "default": 300},
    "owner": {"type": "int", "default": 0},
    "group": {"type": "int", "default": 0},
}
# What the action plugin gives.
INTERNAL: Json = {
    "_files": {"type": "dict", "default": {}},
    "_step": {"type": "str"},
    "_archive": {"type": "path"},
}


def converge(params: Json, *, check_mode: bool) -> Json:
    """Do one step."""
    folder = PublishedFolder(Path(params["projects_folder"]), BASEMAPS, params["owner"], params["group"])
    if params["_step"] == "receive":
        with folder.locked():
            return {"changed": True, "received_bytes": folder.receive(Path(params["_archive"]))}
    wanted = {name: File(*file) for name, file in params["_files"].items()}
    found = folder.found()
    old = _old_ones(folder.path / published.INDEX, found, wanted)
    kept = wanted | {name: File(*found[name][:2]) for name in old}
    difference = compare(kept, found, prune=True)
    before, after = before_and_after(kept, found, difference)
    result = {
        "changed": bool(difference) or (not kept and folder.path.is_dir()),
        "added": list(difference.added),
        "updated": list(difference.changed),
        "removed": [shown(name) for name in difference.removed],
        "left": sorted(old),
        "reasons": difference.reasons(),
        "diff": {"before": before, "after": after},
    }
    if params["_step"] == "publish":
        _publish(folder, kept, difference, params)
        return result
    needed, begun = missing(wanted, difference, folder.arrived()), folder.begun()
    if problem := too_little_room(not_begun(needed, begun), folder.free_bytes()):
        raise FolderError(f"lizmap_basemaps: {problem}")
    if not difference and found and not check_mode:
        with folder.locked():
            folder.settle()
    return result | {"_missing": needed, "_begun": begun}


def _old_ones(index: Path, found: dict[str, FoundFile], wanted: dict[str, File]) -> set[str]:
    """Give the files that were replaced, or are now, and that pages which are open may still read."""
    if published.INDEX not in found:
        return set()
    present = published.listed(beginning(index, published.LARGEST_INDEX))
    changes = found[published.INDEX].sha256 != wanted.get(published.INDEX, (0, ""))[1]
    age = time.time() - index.stat().st_mtime
    return published.old_ones(found, present, list(wanted), changes=changes, age=age)


def _publish(folder: PublishedFolder, kept: dict[str, File], difference: FolderDifference, params: Json) -> None:
    """Let what arrived take its place; without any base map there is no folder."""

    def replaced() -> None:
        if any(name.endswith(".mbtiles") for name in difference.changed):
            _refresh(params)

    with folder.locked():
        if kept:
            folder.publish(kept, prune=True, check=lambda _: None, swapped=replaced)
        else:
            folder.remove()


def _refresh(params: Json) -> None:
    """Have QGIS Server read its files again; where it does not run, it will."""
    try:
        server = ProjectServer(Engine.connect(), params["container"], params["refresh_timeout"])
    except NotRunningError:
        return
    server.wait_until_refreshable()
    server.refresh()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**ARGUMENTS, **INTERNAL}, supports_check_mode=True)
    if not module.params["_step"]:
        module.fail_json(msg="It is the action plugin of the same name that reads the files on the controller.")
    try:
        result = converge(module.params, check_mode=module.check_mode)
    except (FolderError, EngineError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {shown(str(error.filename))}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
