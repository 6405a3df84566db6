"""Action plugin: confirms new rules of a host's firewall over a connection that they have let in."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

Json = dict[str, Any]


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Put the rules on trial, connect once more, and keep them."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Run the module once, and where it changed something once more over a new connection."""
        result: Json = super().run(tmp, task_vars)
        tried = self._module({}, task_vars)
        if tried.get("failed") or not tried.get("changed") or self._task.check_mode:
            return result | tried
        # What is open already would go on however wrong the rules are.
        self._connection.reset()
        try:
            confirmed = self._module({"_confirm": True}, task_vars)
        except AnsibleConnectionFailure as error:
            why = f"With the new rules no second connection came about ({error}). They are taken back by themselves."
            return result | tried | {"failed": True, "msg": why}
        return result | (confirmed if confirmed.get("failed") else tried)

    def _module(self, more: Json, task_vars: Json | None) -> Json:
        arguments = {**self._task.args, **more}
        done: Json = self._execute_module(module_name="host_firewall", module_args=arguments, task_vars=task_vars)
        return done
