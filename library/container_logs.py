#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the logs of a host's containers, collected on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: container_logs
short_description: Collect the logs of a map server's containers on the controller
version_added: "0.1.0"
description:
  - Writes one file for each container into a folder on the controller, named by the host and the service. It replaces
    what an earlier run wrote there.
  - A file has 1 MiB at most, the end of the log, with the time of each line by the host's clock. Control characters and
    sequences that a terminal obeys are taken out.
  - A container of one of these names that Poppyfield did not make is not read.
options:
  containers:
    description: By service the name of its container on the host.
    type: dict
    required: true
  folder:
    description: Folder on the controller for the files. It is made where it does not exist.
    type: path
    required: true
  since:
    description: How long ago the first line may be, a number with V(s), V(m), V(h) or V(d), such as V(2h).
    type: str
  lines:
    description: How many lines of each log at most, the last ones.
    type: int
    default: 1000
attributes:
  action:
    support: full
    description: The action plugin of the same name writes the files.
  check_mode:
    support: full
    description: Writes no file.
  diff_mode:
    support: none
    description: A log is different each time.
  idempotent:
    support: full
    description: It reads only, and a file whose log has not grown stays as it is.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Collect what the containers wrote in the last two hours
  container_logs:
    containers:
      postgis: websig-postgis
      lizmap: websig-lizmap
    folder: "{{ playbook_dir }}/../build/logs"
    since: 2h
"""

RETURN = r"""
msg:
  description: What was collected, in one line.
  returned: always
  type: str
  sample: 120 lines in build/logs/pi-marsh.postgis.log; 1000 lines in build/logs/pi-marsh.lizmap.log.
files:
  description: The files on the controller.
  returned: always
  type: list
  elements: str
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers import logs, own_container
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.containers.plan import PlanError

ARGUMENTS: dict[str, Any] = {
    "containers": own_container.OPTION,
    "folder": {"type": "path", "required": True},
    "since": {"type": "str"},
    "lines": {"type": "int", "default": 1000},
}


def collect(engine: Engine, params: dict[str, Any], now: float) -> dict[str, Any]:
    """Give what each container wrote, by service, and a sentence for each that was not read."""
    since = max(int(now) - logs.seconds(params["since"]), 1) if params["since"] else 0
    found: dict[str, str] = {}
    problems: list[str] = []
    for service, name in own_container.in_order(params["containers"]).items():
        try:
            container = own_container.require(engine, service, name)
            found[service] = engine.last_of_log(container["Id"], since, params["lines"], logs.MOST_BYTES)
        except (EngineError, PlanError) as error:
            problems.append(str(error))
    return {"logs": found, "problems": problems}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        collected = collect(Engine.connect(), module.params, time.time())
    except (EngineError, PlanError, ValueError) as error:
        module.fail_json(msg=str(error))
    if collected["problems"]:
        module.fail_json(msg=" ".join(collected["problems"]), **collected)
    module.exit_json(changed=False, **collected)


if __name__ == "__main__":
    main()
