#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: options of the kernel in a Raspberry Pi's cmdline.txt."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: kernel_options
short_description: Add options to the line that a Raspberry Pi's kernel starts with
version_added: "0.1.0"
description:
  - Adds options that are missing to the first line of the file, the only one that the firmware reads.
  - The new file is written beside the old one, flushed to the card and then takes its name, so that a loss of power
    leaves one of both, whole. A Pi does not start without this file. No copy is left behind, as the boot partition is
    small and FAT, which refuses the names that Ansible gives to copies.
  - The options count from the next start of the host.
options:
  options:
    description: The options.
    type: list
    elements: str
    required: true
  path:
    description: The file.
    type: path
    default: /boot/firmware/cmdline.txt
attributes:
  check_mode:
    support: full
    description: Tells what would be added.
  diff_mode:
    support: full
    description: Shows the first line before and after.
  idempotent:
    support: full
    description: Options that are there stay as they are.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Let the kernel account for the memory of containers
  kernel_options:
    options: [cgroup_enable=memory, cgroup_memory=1]
"""

RETURN = r"""
added:
  description: Options that were added.
  returned: success
  type: list
  elements: str
"""

import errno
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.host.kernel_command_line import CommandLineError, with_options

ARGUMENTS: dict[str, Any] = {
    "options": {"type": "list", "elements": "str", "required": True},
    "path": {"type": "path", "default": "/boot/firmware/cmdline.txt"},
}
REMEDY = "Nothing was changed. Put the file of your Raspberry Pi OS back, or write the options into it by hand: {}."
REMEDIES = {
    errno.ENOSPC: "The old line is as it was. Make room on the boot partition (df -h {folder}), and run again.",
    errno.EROFS: (
        "The old line is as it was. Mount the boot partition for writing (sudo mount -o remount,rw {folder}), and run "
        "again. Where it became read-only by itself, the card is failing."
    ),
}


def converge(path: Path, options: list[str], *, check_mode: bool) -> dict[str, Any]:
    """Add the options that are missing; give the module's return values."""
    before = path.read_text("utf-8", "surrogateescape")
    after = with_options(before, options)
    if after != before and not check_mode:
        atomic_file.write(path, after.encode("utf-8", "surrogateescape"))
    return {
        "changed": after != before,
        "added": [option for option in options if option not in before.partition("\n")[0].split()],
        "diff": {"before": before.partition("\n")[0] + "\n", "after": after.partition("\n")[0] + "\n"},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    path, options = Path(module.params["path"]), module.params["options"]
    try:
        result = converge(path, options, check_mode=module.check_mode)
    except CommandLineError as error:
        module.fail_json(msg=f"{path}: {error}. {REMEDY.format(' '.join(options))}")
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, REMEDY.format(" ".join(options)))
        module.fail_json(msg=f"{path}: {error.strerror}. {remedy.format(folder=path.parent)}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
