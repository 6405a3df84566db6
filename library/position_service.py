#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: where a host is, and what time it is there, from a GPS receiver."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: position_service
short_description: Where a map server is, and what time it is there, from a GPS receiver
version_added: "0.1.0"
description:
  - Has gpsd read a GPS receiver from the start of the host on, and a program write what it says into
    C(/run/poppyfield-page/position), which is in memory. With the option C(page_folder) of M(lizmap_container) the map
    server hands it out as C(/position), with its age and accuracy.
  - The same program gives chrony the time, but no date before this host was set up, or took its newest bundle, so that
    a receiver whose count of weeks began again does not set the clock back.
  - chrony gives the time to who asks for it in a private network, also where nobody has set it. A host without a
    battery goes on, at its start, with the time at which it last knew it.
  - The packages gpsd and chrony must be there already. Their own files stay as they are; what is wanted of them stands
    in files beside these.
options:
  state:
    description: V(absent) takes away what this module has put there. The packages stay.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: What the host is called in C(/position). Needed unless it is to be absent.
    type: str
  device:
    description: The receiver, such as C(/dev/ttyACM0). Needed unless it is to be absent.
    type: str
  rtc:
    description:
      - The battery's clock on the pins of a Raspberry Pi, as the overlay C(i2c-rtc) names it, such as C(ds3231). It is
        written into the firmware's C(config.txt), which is read at the next start. Empty, there is none.
    type: str
    default: ""
attributes:
  check_mode:
    description: Tells what would be changed.
    support: full
  diff_mode:
    description: Shows which files are made, replaced or removed.
    support: full
  idempotent:
    description: A host that is set up stays as it is.
    support: full
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Have the Pi know where it is
  position_service:
    name: "{{ inventory_hostname }}"
    device: /dev/ttyACM0

- name: Have it do so no more
  position_service:
    state: absent
"""

RETURN = r"""
reasons:
  description: Which files changed.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.host import host_files
from ansible.module_utils.poppyfield.host.host_files import HostFileError
from ansible.module_utils.poppyfield.host.systemd import SystemdError
from ansible.module_utils.poppyfield.position.service import PositionError, PositionService

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "name": {"type": "str"},
    "device": {"type": "str"},
    "rtc": {"type": "str", "default": ""},
}
AT_ITS_START = "{} has changed, which the firmware reads at the next start of this host."


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", "present", ("name", "device"))],
        supports_check_mode=True,
    )
    params, service = module.params, PositionService()
    try:
        if params["state"] == "absent":
            changes = service.remove(check_mode=module.check_mode)
        else:
            changes = service.converge(params["name"], params["device"], params["rtc"], check_mode=module.check_mode)
    except (PositionError, HostFileError, SystemdError) as error:
        module.fail_json(msg=f"{str(error).rstrip('.')}.")
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}.")
    if any(change.path == service.firmware for change in changes):
        module.warn(AT_ITS_START.format(service.firmware))
    module.exit_json(**host_files.result(changes))


if __name__ == "__main__":
    main()
