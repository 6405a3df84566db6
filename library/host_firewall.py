#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what of a host may be reached from outside."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_firewall
short_description: What of a host may be reached from outside
version_added: "0.1.0"
description:
  - Closes a host to its networks, by IPv4 and IPv6, but for SSH and the ports that are named. A port that a container
    publishes counts as one of the host; what it does not publish cannot be reached by routing either.
  - What is let pass goes on to the rules of others, such as those of ufw, which stay as they are. Containers are
    not restrained in what they ask of the host and of each other.
  - Errors and neighbours of the network, an address by DHCP, and the host's name (mDNS) are always let in, and so are
    the port of the SSH connection in use and those that sshd has.
  - New rules are on trial at first. The action plugin confirms them over a second connection; without that they are
    taken back after O(take_back_after) seconds, and at the next boot.
options:
  open:
    description: Ports of the host that may be reached.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: The port.
        type: int
        required: true
      protocol:
        description: Of the port.
        type: str
        choices: [tcp, udp]
        default: tcp
      source:
        description: The IP address, or network, of those who may reach it. Empty is everybody.
        type: str
        default: ""
      connections:
        description: How many TCP connections one address may have there at a time. 0 bounds none.
        type: int
        default: 0
  take_back_after:
    description: How many seconds new rules stay without being confirmed.
    type: int
    default: 90
attributes:
  check_mode:
    support: full
    description: Tells what would be changed.
  diff_mode:
    support: none
    description: The rules are in the results.
  idempotent:
    support: full
    description: Rules that are in force stay as they are.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Let only SSH, the map and a time server in
  host_firewall:
    open:
      - {port: 80, connections: 400}
      - {port: 123, protocol: udp, source: 192.168.1.0/24}
"""

RETURN = r"""
open:
  description: What may be reached, with the ports of SSH.
  returned: success
  type: list
  elements: dict
reasons:
  description: Which files changed.
  returned: success
  type: list
  elements: str
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.host import firewall, host_files, ssh_connection
from ansible.module_utils.poppyfield.host.firewall_service import FirewallError, FirewallService, run

ARGUMENTS: dict[str, Any] = {
    "open": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "port": {"type": "int", "required": True},
            "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
            "source": {"type": "str", "default": ""},
            "connections": {"type": "int", "default": 0},
        },
    },
    "take_back_after": {"type": "int", "default": 90},
    # Of the action plugin: what is on trial is kept.
    "_confirm": {"type": "bool", "default": False},
}
TAKEN_BACK = (
    "The firewall was not confirmed in time and is as it was before. Run the same again; where this host answers "
    "slowly, with a greater take_back_after"
)


def port_in_use(proc: Path = Path("/proc"), process: int = 0) -> set[int]:
    """Give the port of the SSH connection over which this process was started."""
    found = ssh_connection.find(proc, process)
    return {found[1]} if found else set()


def ports_of_sshd(settings: str) -> set[int]:
    """Give the ports in what `sshd -T` says."""
    return {int(port) for port in re.findall(r"^port (\d+)$", settings, re.MULTILINE)}


def openings(wanted: Iterable[dict[str, Any]], ssh: Iterable[int]) -> list[dict[str, Any]]:
    """Give all that may be reached, SSH first."""
    return [*({"port": port, "protocol": "tcp", "source": "", "connections": 0} for port in sorted(ssh)), *wanted]


def problem(wanted: Iterable[dict[str, Any]]) -> str:
    """Say what is wrong with what is to be open."""
    for entry in wanted:
        wrong = firewall.port_problem(entry["port"]) or (entry["source"] and firewall.address_problem(entry["source"]))
        if wrong:
            return f"open: {wrong}."
    return ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if wrong := problem(module.params["open"]):
        module.fail_json(msg=f"Nothing was changed. {wrong}")
    service = FirewallService()
    try:
        if module.params["_confirm"] and not service.confirm():
            module.fail_json(msg=f"{TAKEN_BACK}.")
        ssh = port_in_use() | ports_of_sshd(run(["sshd", "-T"]).stdout)
        opened = openings(module.params["open"], ssh)
        policy = firewall.with_host(service.policy(), {"open": opened})
        changes = service.changes(policy)
        changed = bool(changes) or not service.runs()
        if changed and not (module.check_mode or module.params["_confirm"]):
            service.try_out(policy, module.params["take_back_after"])
    except FirewallError as error:
        module.fail_json(msg=f"The firewall is as it was before. {error}.")
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}.")
    module.exit_json(changed=changed, open=opened, reasons=host_files.reasons(changes))


if __name__ == "__main__":
    main()
