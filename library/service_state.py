#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: start, stop and restart the containers of a host."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: service_state
short_description: Start, stop or restart the containers of a map server
version_added: "0.1.0"
description:
  - Takes the containers as they are and needs no specification of them. Neither they nor their data are replaced.
  - The database comes before the map server, and stops after it.
  - A container that is stopped stays so when the host restarts, until it is started here or deployed again. One that
    is started has the restart policy C(always).
  - A container of one of these names that Poppyfield did not make is never touched, and none of the others then.
options:
  containers:
    description: By service the name of its container on the host.
    type: dict
    required: true
  state:
    description:
      - With V(started) and V(restarted) the module waits until each container is healthy, and fails when it does not
        become so. A container that runs and is not healthy is left as it is with V(started).
    type: str
    choices: [started, stopped, restarted]
    required: true
  healthy_timeout:
    description: How many seconds each container may take until it is healthy.
    type: int
    default: 900
attributes:
  check_mode:
    support: full
    description: Says what would be done.
  diff_mode:
    support: none
    description: The steps say what is done.
  idempotent:
    support: partial
    description: V(restarted) restarts each time.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Stop the map server
  service_state:
    containers:
      lizmap: websig-lizmap
    state: stopped

- name: Restart both, the database first
  service_state:
    containers:
      postgis: websig-postgis
      lizmap: websig-lizmap
    state: restarted
"""

RETURN = r"""
msg:
  description: What was done, in one line.
  returned: always
  type: str
  sample: websig-postgis restarted, healthy; websig-lizmap restarted, healthy.
steps:
  description: What was done, or would be done in check mode, in order.
  returned: success
  type: list
  elements: str
containers:
  description: The containers after the run, by service, with the keys that M(lizmap_container) returns.
  returned: success
  type: dict
"""

from contextlib import nullcontext
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers import container_module, own_container, startable
from ansible.module_utils.poppyfield.containers.apply import Applier, ApplyError, container_lock
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.containers.plan import Plan, PlanError, Step, is_healthy
from ansible.module_utils.poppyfield.containers.service_state import AskedState, in_words, refuse_ill, said, steps

ARGUMENTS: dict[str, Any] = {
    "containers": own_container.OPTION,
    "state": {"type": "str", "choices": [asked.value for asked in AskedState], "required": True},
    "healthy_timeout": {"type": "int", "default": 900},
}


def converge(engine: Engine, params: dict[str, Any], done: list[str], *, check_mode: bool) -> dict[str, Any]:
    """Bring about what is asked; give the module's return values, and note in `done` what was done so far."""
    asked = AskedState(params["state"])
    names = own_container.in_order(params["containers"])
    for service, name in names.items():
        # Before any of them is touched.
        own_container.require(engine, service, name)
    planned: list[Step] = []
    for service in reversed(names) if asked is AskedState.STOPPED else names:
        name = names[service]
        with nullcontext() if check_mode else container_lock(name):
            container = own_container.require(engine, service, name)
            found = steps(container, asked)
            refuse_ill(container, asked)
            if not check_mode:
                applier = Applier(
                    engine, own_container.spec_of(service, name), healthy_timeout=params["healthy_timeout"]
                )
                carry_out(applier, Plan(tuple(found)))
                if asked is AskedState.STARTED and not is_healthy(container):
                    applier.wait_until_healthy(name)
        planned += found
        done.append(said(name, asked, found, check_mode=check_mode))
    return {
        "changed": bool(planned),
        "msg": in_words(done, asked),
        "steps": [str(step) for step in planned],
        "containers": {service: container_module.describe(engine.container(name)) for service, name in names.items()},
    }


def carry_out(applier: Applier, plan: Plan) -> None:
    """Carry out the steps; where Docker can start nothing, nothing is stopped either."""
    if startable.is_asked(plan):
        startable.ensure(applier.engine)
    applier.apply(plan)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    done: list[str] = []
    try:
        result = converge(Engine.connect(), module.params, done, check_mode=module.check_mode)
    except (EngineError, PlanError, ApplyError) as error:
        module.fail_json(msg="; ".join([*done, str(error)]))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
