"""Action plugin: the controller makes the password of a host's backups once, and keeps it."""

from __future__ import annotations

import runpy
import secrets
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.backup import controller_password  # noqa: E402
from ansible.module_utils.poppyfield.host import atomic_file  # noqa: E402
from ansible.module_utils.poppyfield.host.host_files import HostFileError  # noqa: E402
from ansible.module_utils.poppyfield.host.password_file import PasswordFileError  # noqa: E402

Json = dict[str, Any]


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """See the documentation in library/backup_service.py."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Find or make the password, and run the module with it."""
        result: Json = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        folder = arguments.pop("password_folder", "")
        if not folder or not arguments.get("host"):
            return {**result, "failed": True, "msg": "backup_service needs host and password_folder."}
        path = Path(unfrackpath(folder)) / str(arguments["host"])
        if not path.exists() and (refused := self._make(path, arguments, task_vars)):
            return result | refused
        try:
            return result | self._module({**arguments, "_password": self._password(path)}, task_vars)
        except (HostFileError, PasswordFileError) as error:
            return {**result, "failed": True, "msg": f"Nothing was changed. {error}"}

    def _make(self, path: Path, arguments: Json, task_vars: Json | None) -> Json:
        """Make a password, unless the host has one that the controller has lost; give what is wrong then."""
        asked = self._module({**arguments, "_ask": True}, task_vars)
        if asked.get("failed") or asked.get("unreachable"):
            return asked
        if asked["_has_password"]:
            told = (
                f"Nothing was changed. The Pi has a password for its backups, and this laptop has none in {path} "
                f"(backup_password_folder). Put there what stands on the Pi in /etc/poppyfield/backup/password."
            )
            return {"failed": True, "msg": told}
        if not self._task.check_mode:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic_file.write(path, secrets.token_urlsafe(24).encode() + b"\n", mode=0o600)
        return {}

    def _password(self, path: Path) -> str:
        """Give what is there: nothing in check mode, where none was made."""
        return controller_password.read(path, self._loader) if path.exists() else ""

    def _module(self, arguments: Json, task_vars: Json | None) -> Json:
        """Run the module on the host."""
        done: Json = self._execute_module(
            module_name="backup_service", module_args=arguments, task_vars=task_vars or {}
        )
        return done
