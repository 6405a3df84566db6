# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Count the modules that a run executes on each host, and the tasks that it executes for each."""

from __future__ import annotations

DOCUMENTATION = r"""
name: module_count
type: aggregate
short_description: Count executed modules and tasks
description:
  - Appends a line of JSON to the file that the environment variable E(POPPYFIELD_MODULE_COUNT) names, for each module
    that is executed (an action plugin may execute several), and for each task of a host, skipped ones too.
requirements:
  - enable in configuration
"""

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase

execute_module = ActionBase._execute_module


def note(**what: Any) -> None:
    """Append a line; workers of several hosts do so at once."""
    with Path(os.environ["POPPYFIELD_MODULE_COUNT"]).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(what) + "\n")


def counted(self: Any, module_name: str | None = None, *rest: Any, **given: Any) -> Any:
    """Note a module, then execute it."""
    variables = given.get("task_vars") or {}
    note(
        module=module_name or self._task.action,
        host=variables.get("inventory_hostname", ""),
        on="laptop" if self._connection.transport == "local" else "host",
    )
    return execute_module(self, module_name, *rest, **given)


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """Count; Ansible's workers are made after this, and so count, too."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "module_count"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        ActionBase._execute_module = counted

    def _task(self, result: Any, ignore_errors: bool = False) -> None:
        note(task=result.task_name, host=result.host.name)

    v2_runner_on_ok = v2_runner_on_failed = _task
