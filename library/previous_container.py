#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: the previous container, that a replacement kept."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: previous_container
short_description: The map server's previous container, for a rollback
version_added: "0.1.0"
description:
  - M(lizmap_container) with its option C(keep_previous) leaves the old container, stopped, beside the new one. This
    module removes it when the new one has shown that it is good, or puts it back when the new one has not.
  - Where no container was kept, or there is no Docker, nothing is done.
  - The folders that both work on are not touched.
extends_documentation_fragment:
  - poppyfield_run
options:
  name:
    description: Name of the container that is in place.
    type: str
    default: websig-lizmap
  state:
    description:
      - With V(absent) the previous container is removed. It is kept, and the module fails, where no container runs
        under O(name), since it is the only one then.
      - With V(restored) the run is rolled back. The container in place is removed, and the previous container started
        under its name. The module waits until it is healthy, and fails when it does not become so. As this ends a run,
        the host's lock is let go.
    type: str
    choices: [absent, restored]
    required: true
  compose_folder:
    description: Folder on the host with the file for docker-compose, as M(lizmap_container) has it.
    type: path
    default: ""
attributes:
  check_mode:
    support: full
    description: Works on a bare host too.
  diff_mode:
    support: none
    description: The previous container is removed, or takes the place of the new one.
  idempotent:
    support: full
    description: Once it is done there is no previous container any more.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Remove the previous container, because the map draws
  previous_container:
    state: absent

- name: Roll back to the previous container, because the map does not draw
  previous_container:
    state: restored
"""

RETURN = r"""
msg:
  description: What was done, in a sentence.
  returned: success
  type: str
  sample: The old container was put back and serves again.
log:
  description: What the health check of the container that was removed said, and its last lines, with O(state=restored).
  returned: success
  type: str
container:
  description: The container in place after the run, with the keys that M(lizmap_container) returns.
  returned: success
  type: dict
"""

from contextlib import nullcontext, suppress
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers import container_module, health
from ansible.module_utils.poppyfield.containers.apply import Applier, ApplyError, container_lock
from ansible.module_utils.poppyfield.containers.compose_file import ComposeFile
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, EngineMissingError
from ansible.module_utils.poppyfield.containers.plan import PlanError, Snapshot, State, is_running, refuse_clashes
from ansible.module_utils.poppyfield.containers.services import LIZMAP
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Json
from ansible.module_utils.poppyfield.runs import lock, trail
from ansible.module_utils.poppyfield.runs.lock import LockError

ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "default": LIZMAP.container},
    "state": {"type": "str", "choices": ["absent", "restored"], "required": True},
    "compose_folder": {"type": "path", "default": ""},
    "run": lock.OPTION,
}
NONE_KEPT = "No previous container was kept."


def last_words(engine: Engine, container: Json) -> str:
    """Give what a container's health check says where it is not content, and the container's last lines."""
    why = health.judge(container).why
    return "\n".join(filter(None, (why, engine.last_log_lines(container["Id"]))))


def converge(engine: Engine, name: str, state: str, compose_folder: str = "", *, check_mode: bool) -> dict[str, Any]:
    """Remove the previous container, or put it back; give the module's return values, also where that failed."""
    spec = ContainerSpec(name=name, resource="lizmap", image="", network="")
    snapshot = Snapshot(current=engine.container(name), previous=engine.container(spec.previous_name))
    refuse_clashes(spec, snapshot, State.ABSENT)
    log, failed = "", False
    if snapshot.previous is None:
        said = NONE_KEPT
    elif state == "absent" and not (snapshot.current and is_running(snapshot.current)):
        raise PlanError(
            f"No container {name} runs, so {spec.previous_name}, which is the only other one, was kept. Run the play "
            f"again to mend this, or put the previous container back with the state restored."
        )
    elif check_mode:
        said = "The previous container would be removed, or put back."
    elif state == "absent":
        engine.remove_container(snapshot.previous["Id"])
        if compose_folder:
            ComposeFile(compose_folder).settle(spec.resource)
        said = "The previous container was removed."
    else:
        log = last_words(engine, snapshot.current) if snapshot.current else ""
        restored = Applier(engine, spec, healthy_timeout=0).roll_back(snapshot.previous["Id"])
        said, failed = restored.said, not restored.serves
        if compose_folder:
            ComposeFile(compose_folder).restore(spec.resource, snapshot.previous)
    return {
        "failed": failed,
        "changed": snapshot.previous is not None,
        "msg": said,
        "log": log,
        "container": container_module.describe(engine.container(name)),
    }


def note(module: AnsibleModule, container: Json | None, tried: str, by: Json | None, *, failed: bool) -> None:
    """Put the rollback into the host's trail, and let go: it ends the run on this host."""
    result = trail.FAILED if failed else trail.PUT_BACK
    what = {"service": LIZMAP.name, "container": module.params["name"], **container_module.image_in(container)}
    problem = trail.note(result, by, tried=tried, why="the new release did not pass its checks", **what)
    if problem:
        module.warn(problem)
    with suppress(LockError):
        lock.let_go(by)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    name, state = module.params["name"], module.params["state"]
    by = None if module.check_mode else module.params["run"]
    try:
        lock.take(by)
        engine = Engine.connect()
        with nullcontext() if module.check_mode else container_lock(name):
            tried = container_module.image_in(engine.container(name))["image"]
            result = converge(engine, name, state, module.params["compose_folder"], check_mode=module.check_mode)
        if state == "restored" and result["changed"]:
            note(module, engine.container(name), tried, by, failed=result["failed"])
    except EngineMissingError:
        result = {"changed": False, "msg": NONE_KEPT, "log": "", "container": {}}
    except (EngineError, PlanError, ApplyError, LockError) as error:
        module.fail_json(msg=str(error))
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
