#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: take a bundle on a Pi. The action plugin of the same name brings what it takes."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: taken_bundle
short_description: Copy a bundle's packages to a Pi, and verify the copy
version_added: "0.1.0"
description:
  - Copies what a Pi needs of a bundle that M(made_bundle) made to C(/srv/poppyfield/bundles), flushes it to the disk,
    verifies the copy by its signature, and each file by size and SHA-256, and gives it its name only then. Whatever
    is wrong with it is refused, and what the host took before stays.
  - A bundle of another key than that of the host's first one is refused, and so is one with a lower number than the
    last.
  - Writes C(/srv/poppyfield/bundles/apt/apt.conf), with which, in the environment's C(APT_CONFIG), apt sees nothing but
    the bundle. The host's own sources and lists are not touched.
options:
  folder:
    description: The bundle on the controller.
    type: path
    required: true
  number:
    description: The number of that bundle.
    type: int
    required: true
  signers:
    description: The keys that are trusted, as the controller's C(bundle.signers) has them.
    type: str
    required: true
  part:
    description: What of the bundle is for this host, its release and architecture, as in V(trixie-arm64).
    type: str
    required: true
attributes:
  check_mode:
    support: partial
    description: Takes nothing.
    details: Fails and says so where the bundle is not taken yet, since no later task could tell what it would install.
  diff_mode:
    support: none
    description: There is no difference to show.
  idempotent:
    support: full
    description: A bundle is taken once.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Take the bundle
  taken_bundle:
    folder: /media/stick/bundle
    number: 3
    signers: "{{ trusted_signers }}"
    part: trixie-arm64
"""

RETURN = r"""
number:
  description: The number of the bundle that the host has taken.
  returned: success
  type: int
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.bundle import taking
from ansible.module_utils.poppyfield.bundle.manifest import BundleError

ARGUMENTS: dict[str, Any] = {
    "folder": {"type": "path", "required": True},
    "number": {"type": "int", "required": True},
    "signers": {"type": "str", "required": True},
    "part": {"type": "str", "required": True},
}
OF_ACTION = {"_archive": {"type": "path"}, "_look_only": {"type": "bool", "default": False}}
REFUSED = "The bundle was refused, and this Pi is as it was"


def converge(place: taking.BundlePlace, params: dict[str, Any]) -> dict[str, Any]:
    """Look, or take what the archive holds."""
    if params["_look_only"]:
        taking.check_record(taking.recorded(place), params["number"], params["signers"])
        return {"changed": not taking.is_taken(place, params["number"]), "number": params["number"]}
    found = taking.take(place, Path(params["_archive"]), params["signers"], params["part"])
    return {"changed": True, "number": found.number}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**ARGUMENTS, **OF_ACTION}, supports_check_mode=True)
    try:
        result = converge(taking.BundlePlace(), module.params)
    except BundleError as error:
        module.fail_json(msg=f"{REFUSED}: {error}.")
    except OSError as error:
        module.fail_json(msg=f"{REFUSED}: {error.filename or 'a file'}: {error.strerror or error}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
