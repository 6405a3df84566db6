#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: what an upgrade of the database to another major version needs, its rehearsal and its rollback."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: database_upgrade
short_description: Rehearse, take back or keep an upgrade of the database to another major version of PostgreSQL
version_added: "0.1.0"
description:
  - Installs the program that M(postgis_container) with its option C(upgrade) has do such an upgrade.
  - Rehearses one beside the database that serves, and compares the copy with it by content. Nothing of it stays.
  - Goes back to the old cluster as long as nothing was written to the new one, which is judged by content.
  - Deletes the old cluster, and its container, when that is asked.
  - The program runs under systemd and goes on when the connection is lost. What was cut off is brought to an end first,
    so that either the old cluster serves or the new one.
options:
  state:
    description: What is wanted.
    type: str
    choices: [installed, rehearsed, back, forgotten]
    default: installed
  image:
    description: Image with the new PostgreSQL. V(rehearsed) needs it.
    type: str
    default: ""
  name:
    description: Name of the database's container.
    type: str
    default: websig-postgis
  map_server:
    description: Container that is stopped meanwhile, but not for a rehearsal.
    type: str
    default: websig-lizmap
  data_folder:
    description: Folder on the host that holds the data.
    type: path
    default: /srv/poppyfield/postgis/data
  healthy_timeout:
    description: Seconds that a server may take to be healthy.
    type: int
    default: 600
attributes:
  check_mode:
    support: full
    description: Tells what would be done. What can go wrong with it a rehearsal tells.
  diff_mode:
    support: none
    description: There is no difference to show.
  idempotent:
    support: partial
    details: Each rehearsal is one of its own; where there is no old cluster V(back) and V(forgotten) are refused.
    description: What is installed stays as it is.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Tell what an upgrade takes, without making one
  database_upgrade:
    state: rehearsed
    image: "{{ postgis.image }}"
"""

RETURN = r"""
msg:
  description: What was done, in a line.
  returned: always
  type: str
seconds:
  description: How long a rehearsal took, and so about how long the map is away for an upgrade.
  returned: for a rehearsal
  type: float
bytes:
  description: The room that the new cluster takes.
  returned: for a rehearsal
  type: int
objects:
  description: How many databases, tables, rows, sequences and rights were compared.
  returned: for a rehearsal
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers.services import LIZMAP, POSTGIS
from ansible.module_utils.poppyfield.host import host_files
from ansible.module_utils.poppyfield.host.host_files import HostFileError
from ansible.module_utils.poppyfield.host.systemd import SystemdError
from ansible.module_utils.poppyfield.postgis import upgrade_files
from ansible.module_utils.poppyfield.postgis.upgrade_service import UpgradeService, UpgradeServiceError

ORDERS = {"rehearsed": "rehearse", "back": "back", "forgotten": "forget"}
WOULD = {
    "rehearsed": "an upgrade would be rehearsed.",
    "back": "would go back from PostgreSQL {new} to {version}, unless something was written since.",
    "forgotten": "the cluster of PostgreSQL {version} would be deleted ({folder}).",
}
NOTHING = "There is no earlier cluster beside the one that serves. Nothing was changed."
TOLD = ("seconds", "bytes", "objects")
ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["installed", *ORDERS], "default": "installed"},
    "image": {"type": "str", "default": ""},
    "name": {"type": "str", "default": POSTGIS.container},
    "map_server": {"type": "str", "default": LIZMAP.container},
    "data_folder": {"type": "path", "default": POSTGIS.data_folders["postgis_data_folder"]},
    "healthy_timeout": {"type": "int", "default": 600},
}


def order_of(params: dict[str, Any]) -> dict[str, Any]:
    """Give what the program is asked."""
    return {
        "what": ORDERS[params["state"]],
        "data_folder": params["data_folder"],
        "postgis": params["name"],
        "lizmap": params["map_server"],
        "image": params["image"],
        "healthy_timeout": params["healthy_timeout"],
    }


def done(service: UpgradeService, params: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Bring about what is wanted; give the module's result. Raises UpgradeServiceError."""
    installed = upgrade_files.install(service, check_mode=check_mode)
    if params["state"] == "installed":
        changed = bool(host_files.result(installed)["changed"])
        return {"changed": changed, "msg": "the program was installed." if changed else "it is installed already."}
    kept = service.kept()
    if params["state"] != "rehearsed" and not (kept or service.is_pending()):
        raise UpgradeServiceError(NOTHING)
    if check_mode:
        return {"changed": params["state"] != "rehearsed", "msg": WOULD[params["state"]].format(**kept)}
    outcome = service.give(order_of(params))
    told = {name: outcome[name] for name in TOLD if name in outcome}
    return {"changed": params["state"] != "rehearsed", "msg": outcome["said"], **told}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS, supports_check_mode=True, required_if=[("state", "rehearsed", ("image",))]
    )
    try:
        module.exit_json(**done(UpgradeService(), module.params, check_mode=module.check_mode))
    except (UpgradeServiceError, HostFileError, SystemdError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}.")


if __name__ == "__main__":
    main()
