#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: make the folder from which Pis are installed where no internet is."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: made_bundle
short_description: Make a bundle for Pis without internet
version_added: "0.1.0"
description:
  - Makes one folder that holds Debian packages with all that they need and their index, and the archives of images,
    for each release and architecture that is named. It runs where the internet is.
  - apt itself resolves and fetches the packages, for the other release and architecture, with folders, sources and a
    dpkg status of its own. What this machine has installed and its sources stay as they are.
  - The file C(MANIFEST) has the size and SHA-256 of every file, and C(MANIFEST.sig) is its signature by ssh-keygen,
    with a key that is made once, C(bundle.key), in O(key_folder). Neither is of limited validity, since a Pi has no
    clock; a Pi whose clock is behind the time in C(MANIFEST) is set to that.
  - With O(alone) a Pi can install itself from the bundle, without a laptop. Then it also holds the Python packages of
    C(locks/demo.txt) for each release and architecture, by the digests of that lock, the checkout, the inventory's
    files and what its variables name. A secret in the inventory that is not encrypted is refused. What is larger than a
    file on FAT32 may be is split.
  - The bundle is made beside its place and renamed when it is whole, signed and verified.
options:
  folder:
    description: The folder to make. It must be missing, or empty.
    type: path
    required: true
  key_folder:
    description: >-
      The folder of C(bundle.key) (mode 0600), C(bundle.signers) (the keys that are trusted) and C(bundle.number) (that
      of the last bundle). What is missing there is made.
    type: path
    required: true
  commit:
    description: The commit that the bundle was made with.
    type: str
    default: ""
  profile:
    description: The profile of the images.
    type: str
    choices: [trixie, bookworm]
    required: true
  releases:
    description: The Debian releases of the Pis.
    type: list
    elements: str
    choices: [trixie, bookworm]
    required: true
  architectures:
    description: Debian's names of the Pis' architectures.
    type: list
    elements: str
    choices: [arm64, armhf, amd64]
    required: true
  packages:
    description: By release the packages that are to be installed from the bundle.
    type: dict
    required: true
  sources:
    description: >-
      By release the lines of sources.list from which its packages come. Without them they come from the mirrors that
      this machine's own apt uses for Debian.
    type: dict
    default: {}
  stock_status:
    description: >-
      By release and architecture, as in V(trixie-arm64), a file of this machine with what dpkg has installed on the
      Pis, a copy of their C(/var/lib/dpkg/status). Without one, nothing counts as installed, and the bundle holds
      more.
    type: dict
    default: {}
  images:
    description: The archives of images.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: Name of the service.
        type: str
        required: true
      architecture:
        description: Debian's name of it.
        type: str
        required: true
      image:
        description: The full reference.
        type: str
        required: true
      digest:
        description: The digest of what it was built from.
        type: str
        required: true
      archive:
        description: Its file on this machine.
        type: path
        required: true
  alone:
    description: What a Pi needs to install itself. Without it only a controller installs from the bundle.
    type: dict
    suboptions:
      checkout:
        description: The checkout of Poppyfield. What is committed goes in, or its files where they differ from that.
        type: path
        required: true
      inventories:
        description: The files or folders of the inventory, as ansible-playbook was given them.
        type: list
        elements: path
        required: true
      hosts:
        description: By host the variables that name files, with C(bundle:KEY) in place of each path.
        type: dict
        default: {}
      contents:
        description: The files and folders of projects that the variables name.
        type: list
        elements: dict
        default: []
        suboptions:
          key:
            description: What stands for it in the variables.
            type: str
            required: true
          source:
            description: The file or folder on this machine.
            type: path
            required: true
  newer_than:
    description: >-
      The folder of a first bundle, beside O(folder) and signed by the same key. What it has just so is left out, and is
      looked for there where the new one is used.
    type: path
requirements:
  - apt, apt-utils, openssh-client and debian-archive-keyring
attributes:
  check_mode:
    support: full
    description: Tells whether the place is free, and makes nothing.
  diff_mode:
    support: none
    description: There is no difference to show.
  idempotent:
    support: none
    description: Each bundle is a new one, with a number of its own.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Make the bundle
  made_bundle:
    folder: /media/stick/bundle
    key_folder: "{{ inventory_dir }}"
    profile: trixie
    releases: [trixie]
    architectures: [arm64]
    packages:
      trixie: [docker.io, docker-cli, python3-docker]
  delegate_to: localhost
"""

RETURN = r"""
number:
  description: The number of the bundle.
  returned: when it was made
  type: int
files:
  description: How many files it has, without MANIFEST and its signature.
  returned: when it was made
  type: int
bytes:
  description: How large they are together.
  returned: when it was made
  type: int
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.bundle import making
from ansible.module_utils.poppyfield.bundle.contents import WantedContent
from ansible.module_utils.poppyfield.bundle.manifest import BundledImage, BundleError
from ansible.module_utils.poppyfield.host.architectures import PLATFORMS
from ansible.module_utils.poppyfield.images.profiles import NAMES

ARGUMENTS: dict[str, Any] = {
    "folder": {"type": "path", "required": True},
    "key_folder": {"type": "path", "required": True, "no_log": False},
    "commit": {"type": "str", "default": ""},
    "profile": {"type": "str", "choices": list(NAMES), "required": True},
    "releases": {"type": "list", "elements": "str", "choices": list(NAMES), "required": True},
    "architectures": {"type": "list", "elements": "str", "choices": list(PLATFORMS), "required": True},
    "packages": {"type": "dict", "required": True},
    "sources": {"type": "dict", "default": {}},
    "stock_status": {"type": "dict", "default": {}},
    "images": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "service": {"type": "str", "required": True},
            "architecture": {"type": "str", "required": True},
            "image": {"type": "str", "required": True},
            "digest": {"type": "str", "required": True},
            "archive": {"type": "path", "required": True},
        },
    },
    "newer_than": {"type": "path"},
    "alone": {
        "type": "dict",
        "options": {
            "checkout": {"type": "path", "required": True},
            "inventories": {"type": "list", "elements": "path", "required": True},
            "hosts": {"type": "dict", "default": {}},
            "contents": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "key": {"type": "str", "required": True, "no_log": False},
                    "source": {"type": "path", "required": True},
                },
            },
        },
    },
}


def wanted(params: dict[str, Any]) -> making.BundleContents:
    """Give what the bundle is to hold."""
    return making.BundleContents(
        commit=params["commit"],
        profile=params["profile"],
        releases=tuple(params["releases"]),
        architectures=tuple(params["architectures"]),
        packages=params["packages"],
        images=tuple(
            BundledImage(one["service"], one["architecture"], one["image"], one["digest"], one["archive"])
            for one in params["images"]
        ),
        sources=params["sources"],
        status=params["stock_status"],
        newer_than=Path(params["newer_than"]) if params["newer_than"] else None,
        alone=for_a_pi_alone(params["alone"]) if params["alone"] else None,
    )


def for_a_pi_alone(given: dict[str, Any]) -> making.ForPiAlone:
    """Give what a Pi needs that has no laptop."""
    return making.ForPiAlone(
        checkout=Path(given["checkout"]),
        inventories=tuple(given["inventories"]),
        hosts=given["hosts"],
        contents=tuple(WantedContent(one["key"], Path(one["source"])) for one in given["contents"]),
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    folder = Path(module.params["folder"])
    try:
        if module.check_mode:
            making.check_place(folder)
            making.check_status(wanted(module.params))
            making.check_alone(wanted(module.params))
            module.exit_json(changed=True)
        made = making.make(folder, wanted(module.params), Path(module.params["key_folder"]))
    except BundleError as error:
        module.fail_json(msg=f"No bundle was made: {error}.")
    except OSError as error:
        module.fail_json(msg=f"No bundle was made: {error.filename or folder}: {error.strerror or error}.")
    size = sum(file.size for file in made.files)
    module.exit_json(changed=True, number=made.number, files=len(made.files), bytes=size)


if __name__ == "__main__":
    main()
