"""Action plugin: takes a host's lock for this run by the module, and lets it go by a command, which costs less."""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path
from typing import Any

from ansible.context import cliargs_deferred_get
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.runs import lock, who  # noqa: E402

Json = dict[str, Any]

LET_GO = """
read -r machine && read -r process
if grep -qsF "\\"$machine\\"" {file} && grep -qsF "\\"$process\\"" {file}; then rm -f {file}; fi
"""


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """See the documentation in library/run_lock.py."""

    _VALID_ARGS = frozenset({"state"})

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Find out who makes this run, and have the lock taken or let go."""
        result: Json = super().run(tmp, task_vars)
        variables = task_vars or {}
        _, given = self.validate_argument_spec(
            {"state": {"type": "str", "choices": ["taken", "released"], "required": True}}
        )
        if self._task.check_mode:
            return {**result, "changed": False}
        if given["state"] == "released":
            self._low_level_execute_command(command(), in_data=given_to_it(who.identity()))
            return {**result, "changed": False}
        playbooks = cliargs_deferred_get("args")() or ()
        run = who.describe(variables, playbooks, take_over=boolean(variables.get(lock.TAKE_OVER, False)))
        done: Json = self._execute_module(module_args={"state": "taken", "run": run}, task_vars=variables)
        return {**result, **done}


def command() -> str:
    """Give the command that removes the lock of the run that it is given, and no other; alone, as the module is."""
    folder = shlex.quote(str(lock.FOLDER))
    script = LET_GO.format(file=shlex.quote(str(lock.FOLDER / lock.NAME)))
    return f"test ! -d {folder} || flock {folder} sh -c {shlex.quote(script)}"


def given_to_it(run: Json) -> bytes:
    """Give the command's input: a run's names, which are other ones each time, are no part of it."""
    return f"{run['machine']}\n{run['process']}\n".encode()
