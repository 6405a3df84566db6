#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: a Wi-Fi of the host's own."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: hotspot_service
short_description: A Wi-Fi of the host's own, with addresses and names
version_added: "0.1.0"
description:
  - Has NetworkManager open a Wi-Fi on an adapter, from each start of the host on, and a dnsmasq of its own give
    addresses and names there. The names are C(map.internal), which is the host, and those by which devices find out
    whether they are online, which lead to it, too; nothing else is known, and nobody is asked.
  - Nothing is passed on between this Wi-Fi and other networks, but to ports that containers publish. The host's
    firewall sees to that, with what is there for M(host_firewall).
  - Sets the country of the adapters, and switches their radio on.
  - A host that is asked over the same adapter answers first, and switches two seconds later. The action plugin then
    waits for it, and confirms. What is not confirmed within two minutes NetworkManager takes back, by a checkpoint of
    its own, and a loss of power does the same. Other profiles stay as they are.
  - Its password is in a file on the controller, where it is made at random once.
  - NetworkManager must run, and the packages dnsmasq-base and iw must be there already.
options:
  state:
    description: V(absent) takes away what this module has put there. Packages, country and radio stay.
    type: str
    choices: [present, absent]
    default: present
  host:
    description: Name of the host among O(password_folder). Needed unless it is to be absent.
    type: str
  password_folder:
    description:
      - Folder of the controller with a file for each host that holds the password of its Wi-Fi. Files encrypted with
        ansible-vault are read, too. Needed unless it is to be absent, or O(open).
    type: path
  password:
    description: The password, where it is not to be made at random. Of 8 to 63 characters of ASCII.
    type: str
    default: ""
  open:
    description: Whether the Wi-Fi has no password.
    type: bool
    default: false
  interface:
    description: The adapter.
    type: str
    default: wlan0
  country:
    description: The country, as in V(FR). Needed unless it is to be absent.
    type: str
  ssid:
    description: The name of the Wi-Fi, of 32 bytes at most. Needed unless it is to be absent.
    type: str
  channel:
    description: The channel, 1 to 13 of 2.4 GHz, or one of 5 GHz on which radar has no precedence.
    type: int
    default: 6
  network:
    description: The network of those who join. The host has its first address.
    type: str
    default: 10.77.77.0/24
attributes:
  check_mode:
    description: Tells what would be changed.
    support: full
  diff_mode:
    description: Shows which files are made, replaced or removed, never their content.
    support: full
  idempotent:
    description: A Wi-Fi that is there stays as it is.
    support: full
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Have the Pi open a Wi-Fi
  hotspot_service:
    host: "{{ inventory_hostname }}"
    password_folder: inventory/fleet/hotspot-passwords
    country: FR
    ssid: "{{ inventory_hostname }}"

- name: Have it do so no more
  hotspot_service:
    state: absent
"""

RETURN = r"""
on_trial:
  description: Whether the switch was confirmed over the new Wi-Fi, or would have to be.
  returned: success
  type: bool
reasons:
  description: Which files changed, and what was done besides.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.host import host_files, ssh_connection
from ansible.module_utils.poppyfield.host.firewall_service import FirewallError
from ansible.module_utils.poppyfield.host.host_files import HostFileError
from ansible.module_utils.poppyfield.host.systemd import SystemdError
from ansible.module_utils.poppyfield.hotspot import settings
from ansible.module_utils.poppyfield.hotspot.service import HotspotError, HotspotOutcome, HotspotService
from ansible.module_utils.poppyfield.hotspot.settings import Hotspot

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "host": {"type": "str"},
    "password_folder": {"type": "path", "no_log": False},
    "password": {"type": "str", "default": "", "no_log": True},
    "open": {"type": "bool", "default": False},
    "interface": {"type": "str", "default": "wlan0"},
    "country": {"type": "str"},
    "ssid": {"type": "str"},
    "channel": {"type": "int", "default": 6},
    "network": {"type": "str", "default": "10.77.77.0/24"},
    # Of the action plugin: whether there is a password, and that what is on trial is kept.
    "_ask": {"type": "bool", "default": False},
    "_confirm": {"type": "bool", "default": False},
}


def hotspot_of(params: dict[str, Any]) -> Hotspot:
    """Give what is asked for. Raises HotspotError for what no Wi-Fi can be."""
    wanted = Hotspot(
        **{name: params[name] for name in ("interface", "country", "ssid", "channel", "network")},
        password="" if params["open"] else params["password"],
    )
    wrong = {
        "ssid": settings.ssid_problem(wanted.ssid),
        "network": settings.network_problem(wanted.network),
        "channel": "" if settings.band_of(wanted.channel) else "it is no channel that a hotspot may have",
        # In check mode there may be none yet.
        "password": "" if params["open"] or not wanted.password else settings.password_problem(wanted.password),
    }
    for name, why in wrong.items():
        if why:
            raise HotspotError(f"Nothing was changed. {name}: {why}")
    return wanted


def result(outcome: HotspotOutcome) -> dict[str, Any]:
    """Give the result of the module."""
    found: dict[str, Any] = host_files.result(outcome.changes)
    return {
        **found,
        "changed": found["changed"] or bool(outcome.actions),
        "reasons": [*found["reasons"], *outcome.actions],
        "on_trial": outcome.on_trial,
    }


def outcome_of(params: dict[str, Any], service: HotspotService, *, check_mode: bool) -> dict[str, Any]:
    """Do what is asked for, and give the result."""
    connection = ssh_connection.find()
    client = connection[0] if connection else ""
    if params["state"] == "absent":
        return result(service.remove(client, check_mode=check_mode))
    if params["_ask"]:
        return {"_has_password": service.has_password()}
    wanted = hotspot_of(params)
    if params["_confirm"]:
        return {"changed": True, "confirmed": service.confirm(wanted)}
    if not (wanted.password or params["open"] or check_mode):
        raise HotspotError("Nothing was changed. There is no password, and the Wi-Fi is not to be open")
    return result(service.converge(wanted, client, check_mode=check_mode))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", "present", ("host", "country", "ssid"))],
        supports_check_mode=True,
    )
    try:
        found = outcome_of(module.params, HotspotService(), check_mode=module.check_mode)
    except (HotspotError, HostFileError, FirewallError, SystemdError) as error:
        module.fail_json(msg=f"{str(error).rstrip('.')}.")
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}.")
    module.exit_json(**found)


if __name__ == "__main__":
    main()
