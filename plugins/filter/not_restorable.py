"""Filter: which hosts of a run of site.yml cannot take the backup that restore_from names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

DOCUMENTATION = r"""
---
name: not_restorable
short_description: Which hosts cannot take the backup that a run is to restore
version_added: "0.1.0"
description:
  - Tells of each host of a run of site.yml whether C(restore_from) names one of its targets, and whether its card is
    new. What a host had before backups were set up on it is not replaced by a run that prepares it.
positional: restore_from
options:
  _input:
    description: The variables of the hosts, after the first look at each.
    type: list
    elements: dict
    required: true
  restore_from:
    description: The name of a target, or C(none).
    type: str
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
refused: "{{ ansible_play_hosts | map('extract', hostvars) | not_restorable('stick') }}"
"""

RETURN = r"""
_value:
  description: Why not, by the name of the host; those that can are not in it.
  type: dict
"""

NONE = "none"


def not_restorable(hosts: Iterable[Mapping[str, Any]], restore_from: str) -> dict[str, str]:
    """Give by host why not, from the variables of the hosts after the first look at each."""
    found = {host["inventory_hostname"]: why_not(host, restore_from) for host in hosts}
    return {name: why for name, why in found.items() if why}


def why_not(host: Mapping[str, Any], restore_from: str) -> str:
    """Say why not; empty where it can."""
    names = [target["name"] for target in host.get("backup_targets") or []]
    if restore_from == NONE:
        return ""
    if restore_from not in names:
        told = ", ".join([*names, NONE])
        return f"restore_from: there is no target {restore_from} in backup_targets. Give one of {told}."
    name = host["inventory_hostname"]
    card = host["inventory_check"]["requirements"][name]["card"]
    files = host["ansible_facts"]["poppyfield_pi"]["files"]
    if files.get(card["data"]) and not files.get(card["new"]):
        return (
            "restore_from is for a new card, and this Pi has data of its own. To put a backup in their place: "
            f"ansible-playbook playbooks/restore.yml --limit {name} -e restore_from={restore_from}"
        )
    return ""


class FilterModule:
    """Registers the filter with Ansible."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"not_restorable": not_restorable}
