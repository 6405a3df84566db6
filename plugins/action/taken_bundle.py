"""Action plugin: brings a host its part of a bundle, in one file, where it has not taken it yet."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.bundle import taking, verification  # noqa: E402
from ansible.module_utils.poppyfield.bundle.manifest import BundleError, check_number  # noqa: E402
from ansible.module_utils.poppyfield.host import roomy  # noqa: E402

Json = dict[str, Any]
IN_CHECK_MODE = (
    "In check mode the bundle's packages are not brought to this Pi, so nobody can tell what the next tasks would do. "
    "The preflight has found that all that is to be installed is in the bundle: run without --check."
)

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Look, pack, upload, take."""

    TRANSFERS_FILES = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Run the module once to look and, only where the bundle is not taken yet, once more to take it."""
        result: Json = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        folder = Path(str(arguments.get("folder", "")))
        looked = self._module({**arguments, "_look_only": True}, task_vars)
        if looked.get("failed") or not looked.get("changed"):
            return result | looked
        if self._task.check_mode:
            return {**result, "failed": True, "msg": IN_CHECK_MODE}
        try:
            with roomy.folder("poppyfield-bundle-") as temporary:
                archive = Path(temporary) / "bundle.tar"
                found = verification.signed(folder, str(arguments["signers"]))
                # Of the one that the preflight verified.
                check_number(found.number, int(arguments["number"]))
                taking.pack(folder, found, str(arguments["part"]), archive)
                return result | self._upload_and_take(arguments, archive, task_vars)
        except BundleError as error:
            return {**result, "failed": True, "msg": f"Nothing was changed: {error}."}
        except OSError as error:
            return {**result, "failed": True, "msg": f"{error.filename or folder}: {error.strerror or error}."}

    def _upload_and_take(self, arguments: Json, archive: Path, task_vars: Json | None) -> Json:
        host = (task_vars or {}).get("inventory_hostname", "the host")
        display.display(f"Uploading the bundle's packages ({archive.stat().st_size / 1e6:.0f} MB) to {host}")
        # The task's own temporary folder, which Ansible removes with the upload.
        shell = self._connection._shell
        remote = shell.join_path(shell.tmpdir or self._make_tmp_path(), archive.name)
        self._transfer_file(os.fspath(archive), remote)
        return self._module({**arguments, "_archive": remote}, task_vars)

    def _module(self, arguments: Json, task_vars: Json | None) -> Json:
        done: Json = self._execute_module(module_name="taken_bundle", module_args=arguments, task_vars=task_vars)
        return done
