#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: prepare the image of a card, so that the Pi installs itself from a stick."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: card_image
short_description: Prepare an image of Raspberry Pi OS for a Pi that installs itself
version_added: "0.1.0"
description:
  - Writes C(user-data) and C(network-config) of cloud-init and the keys that sign bundles into the FAT partition of a
    file with a stock image of Raspberry Pi OS. At its first start the Pi takes its name and user, waits for the stick
    with O(label), and runs C(install) of the newest bundle on it.
  - Only a file is written to, never a device, and no rights of root are needed.
options:
  image:
    description: The file with the image, unpacked. It is changed in place.
    type: path
    required: true
  host:
    description: The name of the Pi, in the inventory and in the network.
    type: str
    required: true
  user:
    description: The user who may log in, and do what root can.
    type: str
    required: true
  keys:
    description: Files of this machine with the public keys that log in as O(user). There is no password.
    type: list
    elements: path
    required: true
  label:
    description: The label of the stick's file system.
    type: str
    required: true
  network:
    description: What netplan is given. Without it, the cable with DHCP.
    type: dict
    default: {}
  signers:
    description: The file with the keys that are trusted, C(bundle.signers).
    type: path
    required: true
  program:
    description: The program that waits for the stick.
    type: path
    required: true
requirements:
  - mtools and fdisk
attributes:
  check_mode:
    support: full
    description: Tells what would be written.
  diff_mode:
    support: none
    description: The files are what this module makes of its options.
  idempotent:
    support: full
    description: Files that are the same are not written again.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Prepare the card of a Pi
  card_image:
    image: ~/Downloads/raspios-lite.img
    host: pi-orchard
    user: pi
    keys: [~/.ssh/id_ed25519.pub]
    label: BUNDLE
    signers: "{{ inventory_dir }}/bundle.signers"
    program: roles/bundle/files/first-boot
  delegate_to: localhost
"""

RETURN = r"""
written:
  description: The files that were written, or would be.
  returned: success
  type: list
  elements: str
  sample: [user-data]
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.bundle import card
from ansible.module_utils.poppyfield.bundle.manifest import BundleError

ARGUMENTS: dict[str, Any] = {
    "image": {"type": "path", "required": True},
    "host": {"type": "str", "required": True},
    "user": {"type": "str", "required": True},
    "keys": {"type": "list", "elements": "path", "required": True, "no_log": False},
    "label": {"type": "str", "required": True},
    "network": {"type": "dict", "default": {}},
    "signers": {"type": "path", "required": True},
    "program": {"type": "path", "required": True},
}


def wanted(params: dict[str, Any]) -> dict[str, bytes]:
    """Give what is to be on the FAT partition."""
    texts = [Path(name).read_text("utf-8", "replace") for name in params["keys"]]
    one = card.NewCard(
        host=params["host"],
        user=params["user"],
        keys=tuple(line.strip() for text in texts for line in text.splitlines() if line.strip()),
        label=params["label"],
        signers=Path(params["signers"]).read_text("utf-8"),
        network=params["network"],
    )
    return card.files(one, Path(params["program"]).read_text("utf-8"))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    try:
        files = wanted(params)
        image = card.CardImage(Path(params["image"]))
        names = card.differing(image, files)
        for name in () if module.check_mode else names:
            image.write(name, files[name])
    except BundleError as error:
        module.fail_json(msg=f"The image is as it was: {error}.")
    except OSError as error:
        hint = "; playbooks/bundle.yml makes it" if error.filename == params["signers"] else ""
        module.fail_json(msg=f"The image is as it was: {error.filename}: {error.strerror or error}{hint}.")
    module.exit_json(changed=bool(names), written=list(names))


if __name__ == "__main__":
    main()
