#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the image to which a service can be rolled back on its host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: previous_image
short_description: The image that a service had before, where its host still has it
version_added: "0.1.0"
description:
  - M(delivered_image) keeps the version of an image that was delivered before. This module names it, for a rollback
    that needs neither the internet nor a build, and with it the images that the other services have.
  - Nothing is changed.
  - The version before is the one that was delivered last before the one that the container has. What is newer is none,
    so that a second rollback does not lead forward again.
options:
  containers:
    description: By service the name of its container on the host.
    type: dict
    required: true
  service:
    description: The service that is to be rolled back.
    type: str
    required: true
attributes:
  check_mode:
    support: full
    description: Nothing is changed anyway.
  diff_mode:
    support: none
    description: Nothing is changed.
  idempotent:
    support: full
    description: Nothing is changed.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Find what the map server can be rolled back to
  previous_image:
    containers:
      postgis: websig-postgis
      lizmap: websig-lizmap
    service: lizmap
"""

RETURN = r"""
found:
  description: Whether there is an image to roll back to.
  returned: success
  type: bool
images:
  description: By service the image that it has after a rollback.
  returned: success
  type: dict
msg:
  description: What a rollback does, in one line.
  returned: always
  type: str
  sample: from poppyfield/lizmap:trixie-arm64-3f1c0a9be2d4 to poppyfield/lizmap:trixie-arm64-0b1de4fa7721.
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers import own_container
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.containers.plan import PlanError
from ansible.module_utils.poppyfield.containers.spec import Json
from ansible.module_utils.poppyfield.images import image_names

ARGUMENTS: dict[str, Any] = {
    "containers": own_container.OPTION,
    "service": {"type": "str", "required": True},
}


def look(engine: Engine, containers: dict[str, str], service: str) -> Json:
    """Give the module's return values."""
    names = own_container.in_order(containers).items()
    images = {key: str(own_container.require(engine, key, name)["Config"]["Image"]) for key, name in names}
    current = images[service]
    previous = image_names.previous(engine.images(image_names.split(current).repository), current)
    if not previous:
        return {"found": False, "images": images, "msg": f"{current} stays: no version from before it is on this Pi."}
    changes = version_changes(engine.image(current), engine.image(previous))
    return {
        "found": True,
        "images": {**images, service: previous},
        "msg": f"from {current} to {previous}{' (' + ', '.join(changes) + ')' if changes else ''}.",
    }


def version_changes(now: Json | None, before: Json | None) -> list[str]:
    """Say which versions of what the images hold differ, such as Lizmap's."""
    one, other = versions(now), versions(before)
    return [
        f"{name} {one.get(name, 'none')} -> {other.get(name, 'none')}"
        for name in sorted({*one, *other})
        if one.get(name) != other.get(name)
    ]


def versions(image: Json | None) -> dict[str, str]:
    """Give the versions that an image is labelled with, by what they are of."""
    return image_names.versions(((image or {}).get("Config") or {}).get("Labels") or {})


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = look(Engine.connect(), module.params["containers"], module.params["service"])
    except (EngineError, PlanError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
