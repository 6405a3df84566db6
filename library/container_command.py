#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: run a command inside one of a host's containers."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: container_command
short_description: Run a command inside a container of a map server
version_added: "0.1.0"
description:
  - Runs a command by the container's C(sh), and gives what it writes and its exit status.
  - A container of this name that Poppyfield did not make is never touched.
  - The command is seen by whoever lists the processes of the host, so that no password belongs into it.
options:
  service:
    description: The service whose container it is.
    type: str
    required: true
  name:
    description: Name of the container on the host.
    type: str
    required: true
  command:
    description: The command, with what a shell makes of it.
    type: str
    required: true
  as_root:
    description:
      - Whether to run it as root, and not as the user whose the service's data are. Root in a container of ours is
        without most of root's powers.
    type: bool
    default: false
  seconds:
    description: How long it may take until it is ended, by the container's C(timeout).
    type: int
    default: 300
attributes:
  check_mode:
    support: full
    description: Does not run it, and says that it would.
  diff_mode:
    support: none
    description: Nobody knows what a command changes.
  idempotent:
    support: none
    description: It runs each time.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Show how large the databases are
  container_command:
    service: postgis
    name: websig-postgis
    command: psql --list --no-psqlrc
"""

RETURN = r"""
msg:
  description: How it ended, in a sentence.
  returned: always
  type: str
  sample: websig-postgis ended with 0.
rc:
  description: The exit status. The module fails unless it is 0.
  returned: when it ran
  type: int
stdout:
  description:
    - What it wrote, also to its standard error, the first 64 KiB, without what would give a terminal orders.
  returned: when it ran
  type: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers import own_container, services
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.containers.plan import PlanError, is_running
from ansible.module_utils.poppyfield.host.printable import printable

ARGUMENTS: dict[str, Any] = {
    "service": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "command": {"type": "str", "required": True},
    "as_root": {"type": "bool", "default": False},
    "seconds": {"type": "int", "default": 300},
}
MOST_BYTES = 64 * 1024
SECONDS_TO_END = 5
TIMED_OUT = 124
"""What `timeout` ends with, unless the command does."""


def run(engine: Engine, params: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Run it; give the module's return values."""
    service, name = params["service"], params["name"]
    own_container.in_order({service: name})
    container = own_container.require(engine, service, name)
    if not is_running(container):
        raise PlanError(f"{name} does not run: -e state=started of playbooks/service.yml starts it.")
    user = "root" if params["as_root"] else services.named(service).user
    if check_mode:
        return {"changed": True, "msg": f"The command would run in {name}, as {user or 'its user'}."}
    done = engine.run_in(container["Id"], user, bounded(params["command"], params["seconds"]), MOST_BYTES)
    said = f"{name} ended with {done.code}"
    if done.code == TIMED_OUT:
        said += f", which is also what a command ends with that takes longer than {params['seconds']} seconds"
    return {
        "changed": True,
        "failed": done.code != 0,
        "msg": f"{said}.",
        "rc": done.code,
        "stdout": printable(done.output),
    }


def bounded(command: str, seconds: int) -> list[str]:
    """Give a command of a shell, bounded in time."""
    return ["timeout", "-k", str(SECONDS_TO_END), str(seconds), "sh", "-c", command]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = run(Engine.connect(), module.params, check_mode=module.check_mode)
    except (EngineError, PlanError) as error:
        module.fail_json(msg=str(error))
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
