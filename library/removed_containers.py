#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: containers and networks of ours that are to be gone, the data staying."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: removed_containers
short_description: Stop and remove the containers of a map server, and their networks
version_added: "0.1.0"
description:
  - The containers end cleanly, the map server before the database, and are removed with those that an earlier run has
    set aside. Data folders, images, passwords and settings of the host stay, so that a deployment brings them back.
  - With O(compose_folder), docker-compose forgets them too, and its file goes with the last of them.
  - What has one of these names and was not made by Poppyfield is left alone and told. So is a network that another
    container uses.
options:
  containers:
    description: By service the name of its container on the host.
    type: dict
    required: true
  networks:
    description: Names of networks to be removed.
    type: list
    elements: str
    default: []
  compose_folder:
    description: Folder on the host with the file for docker-compose, as M(postgis_container) has it.
    type: path
    default: ""
attributes:
  check_mode:
    support: full
    description: Says what would be removed.
  diff_mode:
    support: full
    description: Names what is removed.
  idempotent:
    support: full
    description: Where nothing of ours is there nothing is done; that is so where there is no Docker, too.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Remove the containers, whose data stay
  removed_containers:
    containers:
      postgis: websig-postgis
      lizmap: websig-lizmap
    networks: [poppyfield]
"""

RETURN = r"""
msg:
  description: What was done, or would be done in check mode, in one line.
  returned: always
  type: str
  sample: "removed: websig-lizmap, websig-postgis, network poppyfield; the data stay."
removed:
  description: What was removed.
  returned: success
  type: list
  elements: str
stays:
  description: A sentence for each thing that has one of the names and was left alone.
  returned: success
  type: list
  elements: str
"""

from contextlib import ExitStack
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers import own_container, removal
from ansible.module_utils.poppyfield.containers.apply import Applier, ApplyError, container_lock
from ansible.module_utils.poppyfield.containers.compose_file import ComposeFile
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, EngineMissingError
from ansible.module_utils.poppyfield.containers.plan import Action, PlanError, Snapshot
from ansible.module_utils.poppyfield.containers.removal import Removal
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Json

ARGUMENTS: dict[str, Any] = {
    "containers": own_container.OPTION,
    "networks": {"type": "list", "elements": "str", "default": []},
    "compose_folder": {"type": "path", "default": ""},
}


def look(engine: Engine, specs: list[ContainerSpec], networks: list[str]) -> Removal:
    """Decide about all of them."""
    found = Removal()
    for spec in specs:
        names = (spec.name, spec.previous_name, spec.candidate_name)
        current, previous, candidate = (engine.container(name) for name in names)
        removal.add_containers(found, spec, Snapshot(current=current, previous=previous, candidate=candidate))
    gone = [s.container for planned in found.plans.values() for s in planned.steps if s.action is Action.REMOVE]
    for name in networks:
        removal.add_network(found, engine.network(name), engine.all_containers(), gone)
    return found


def look_at_file(found: Removal, file: ComposeFile, services: list[str]) -> None:
    """Decide about the file for docker-compose; one that is somebody else's stays."""
    try:
        if file.names(services):
            found.files.append(str(file.path))
    except PlanError as error:
        found.stays.append(str(error))


def converge(engine: Engine, params: dict[str, Any], *, check_mode: bool) -> Json:
    """Remove what is ours; give the module's return values."""
    names = own_container.in_order(params["containers"])
    # What uses the database is the first to go.
    specs = [own_container.spec_of(service, name) for service, name in reversed(names.items())]
    with ExitStack() as locks:
        if not check_mode:
            for spec in specs:
                locks.enter_context(container_lock(spec.name))
        found = look(engine, specs, params["networks"])
        file = ComposeFile(params["compose_folder"])
        if params["compose_folder"]:
            look_at_file(found, file, list(names))
        if not check_mode:
            for spec in specs:
                Applier(engine, spec, healthy_timeout=0).apply(found.plans[spec.resource])
            for name in found.networks:
                engine.remove_network(name)
            if found.files:
                file.forget(names)
    return {
        "changed": bool(found.gone),
        "msg": found.said(check_mode=check_mode),
        "removed": found.gone,
        "stays": found.stays,
        "diff": {"before": dict.fromkeys(found.gone, "present"), "after": dict.fromkeys(found.gone, "absent")},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = converge(Engine.connect(), module.params, check_mode=module.check_mode)
    except EngineMissingError as error:
        result = {"changed": False, "msg": f"nothing is there to remove. {error}", "removed": [], "stays": []}
    except (ApplyError, EngineError, PlanError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
