"""Action plugin: uploads an image's archive only when the host lacks the image, and removes the upload again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Look, upload what is missing, load, clean up."""

    TRANSFERS_FILES = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module once to look and, only if something is to be done, once more to do it."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        archive = arguments.pop("archive", None)
        looked = self._module({**arguments, "_look_only": True}, task_vars)
        if looked.get("failed") or not looked.get("changed") or self._task.check_mode:
            return result | looked
        if arguments.get("state", "present") == "absent":
            return result | self._module(arguments, task_vars)
        if not archive:
            raise AnsibleActionFail(
                f"{self._task.args.get('name')} is not on {_host(task_vars)}, and no archive was given."
            )
        return result | self._upload_and_load(arguments, Path(self._loader.path_dwim(str(archive))), task_vars)

    def _upload_and_load(
        self, arguments: dict[str, Any], archive: Path, task_vars: dict[str, Any] | None
    ) -> dict[str, Any]:
        if not archive.is_file():
            raise AnsibleActionFail(f"There is no archive at {archive}: run the build stage first.")
        size = archive.stat().st_size
        display.display(f"Uploading {archive.name} ({size / 1_000_000:.0f} MB) to {_host(task_vars)}")
        # The task's own temporary folder: on disk (a Pi's /tmp may be in memory), nobody else's, and Ansible removes it
        # with the upload when the task is over, whether it failed or not.
        shell = self._connection._shell
        remote = shell.join_path(shell.tmpdir or self._make_tmp_path(), archive.name)
        self._transfer_file(os.fspath(archive), remote)
        loaded = self._module({**arguments, "archive": remote}, task_vars)
        loaded["uploaded_bytes"] = size
        return loaded

    def _module(self, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        done: dict[str, Any] = self._execute_module(
            module_name="delivered_image", module_args=arguments, task_vars=task_vars
        )
        return done


def _host(task_vars: dict[str, Any] | None) -> str:
    """Give the name of the host that the task runs on."""
    return str((task_vars or {}).get("inventory_hostname", "the host"))
