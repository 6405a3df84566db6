#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the images of ours on a host, and those that nothing uses."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: unused_images
short_description: List Poppyfield's images on a map server, and remove the unused ones
version_added: "0.1.0"
description:
  - Lists the images that Poppyfield built, with size, age and use. Those of others are neither listed nor touched.
  - An image is in use while a container is made of it, whoever made that, running or not. Besides, the two newest
    versions of each image stay, so that there is one to go back to, as when M(delivered_image) delivers one.
options:
  remove:
    description: Whether to remove those that nothing uses. Without a network they can only be delivered again.
    type: bool
    default: false
  repositories:
    description: Names of images, without tags, for which alone this is. All of ours unless it is given.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Says what would be removed.
  diff_mode:
    support: none
    description: What is removed is named.
  idempotent:
    support: full
    description: What is removed is not there any more.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: List the images
  unused_images: {}

- name: Remove those of the database that nothing uses
  unused_images:
    remove: true
    repositories: [poppyfield/postgis]
"""

RETURN = r"""
msg:
  description: What there is, or what was removed, in one line.
  returned: success
  type: str
  sample: "5 images of 1530 MB, 1 of them unused (310 MB): -e remove_unused=true removes what is unused."
images:
  description: The images before the run.
  returned: success
  type: list
  elements: dict
  contains:
    reference:
      description: Full reference, or the id of one that lost its name.
      type: str
    megabytes:
      description: Its size on the disk. Images share layers, so that together they take less.
      type: int
    days:
      description: For how long the host has had it.
      type: int
    used_by:
      description: Names of the containers that are made of it.
      type: list
      elements: str
    unused:
      description: Whether it can go.
      type: bool
lines:
  description: The same in words, a line for each image.
  returned: success
  type: list
  elements: str
removed:
  description: What was removed, or would be in check mode.
  returned: success
  type: list
  elements: str
"""

from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.host import stack_status
from ansible.module_utils.poppyfield.images import unused_images

ARGUMENTS: dict[str, Any] = {
    "remove": {"type": "bool", "default": False},
    "repositories": {"type": "list", "elements": "str", "default": []},
}


def converge(engine: Engine, params: dict[str, Any], now: datetime, *, check_mode: bool) -> dict[str, Any]:
    """List the images, and remove those that nothing uses; give the module's return values."""
    own = {listed["Id"] for listed in engine.all_images() if stack_status.is_own_image(listed)}
    images = [image for identity in sorted(own) if (image := engine.image(identity))]
    chosen = unused_images.of_repositories(images, params["repositories"])
    rows = unused_images.describe(chosen, engine.all_containers(), now)
    unused = [row["reference"] for row in rows if row["unused"]] if params["remove"] else []
    # Docker itself refuses one that a container uses by now.
    removed = [reference for reference in unused if check_mode or engine.remove_image(reference)]
    return {
        "changed": bool(removed),
        "images": rows,
        "lines": [unused_images.row_words(row) for row in rows],
        "removed": removed,
        "msg": said(removed, check_mode=check_mode) if removed else unused_images.summary(rows),
    }


def said(removed: list[str], *, check_mode: bool) -> str:
    """Say what was removed."""
    return f"{'would remove' if check_mode else 'removed'} {', '.join(removed)}."


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = converge(Engine.connect(), module.params, datetime.now(tz=UTC), check_mode=module.check_mode)
    except EngineError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
