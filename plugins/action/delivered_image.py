"""Action plugin: uploads of an image's archive what the host lacks, and removes the upload again."""

from __future__ import annotations

import os
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.containers.engine import EngineError  # noqa: E402
from ansible.module_utils.poppyfield.host import roomy  # noqa: E402
from ansible.module_utils.poppyfield.images import partial_archive  # noqa: E402

Json = dict[str, Any]
BYTES_PER_MB = 1_000_000
MEGABYTES_WITHOUT_DECIMAL = 10

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Look, upload what is missing, load, clean up."""

    TRANSFERS_FILES = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Run the module once to look and, only if something is to be done, once more to do it."""
        result: Json = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        archive = arguments.pop("archive", None)
        looked = self._module({**arguments, "_look_only": True}, task_vars)
        layers = looked.pop("layers", [])
        if looked.get("failed") or not looked.get("changed") or self._task.check_mode:
            return result | looked
        if arguments.get("state", "present") == "absent":
            return result | self._module(arguments, task_vars)
        if not archive:
            raise AnsibleActionFail(
                f"{self._task.args.get('name')} is not on {_host(task_vars)}, and no archive was given."
            )
        return result | self._deliver(arguments, Path(self._loader.path_dwim(str(archive))), layers, task_vars)

    def _deliver(self, arguments: Json, archive: Path, layers: Sequence[Sequence[str]], task_vars: Json | None) -> Json:
        if not archive.is_file():
            raise AnsibleActionFail(f"There is no archive at {archive}: run the build stage first.")
        # Not beside the archive: that may be in a bundle, to which nothing is added, on a stick that is read-only.
        with roomy.folder("poppyfield-partial-") as folder:
            partial = Path(folder) / archive.name
            if self._wrote_partial(archive, layers, partial):
                rest = f" of {_megabytes(archive)}; it has the rest already"
                loaded = self._upload_and_load(arguments, partial, rest, task_vars)
                if not loaded.get("failed"):
                    return loaded
                display.warning(f"{_host(task_vars)} needs the whole archive. {loaded.get('msg')}")
        return self._upload_and_load(arguments, archive, "", task_vars)

    def _wrote_partial(self, archive: Path, layers: Sequence[Sequence[str]], partial: Path) -> bool:
        try:
            return bool(partial_archive.write(archive, layers, partial))
        except (EngineError, OSError) as error:
            display.warning(f"The whole of {archive} is uploaded. {error}")
            return False

    def _upload_and_load(self, arguments: Json, archive: Path, rest: str, task_vars: Json | None) -> Json:
        display.display(f"Uploading {archive.name} ({_megabytes(archive)}{rest}) to {_host(task_vars)}")
        # The task's own temporary folder: on disk (a Pi's /tmp may be in memory), nobody else's, and Ansible removes it
        # with the upload when the task is over, whether it failed or not.
        shell = self._connection._shell
        remote = shell.join_path(shell.tmpdir or self._make_tmp_path(), archive.name)
        self._transfer_file(os.fspath(archive), remote)
        loaded = self._module({**arguments, "archive": remote}, task_vars)
        loaded["uploaded_bytes"] = archive.stat().st_size
        return loaded

    def _module(self, arguments: Json, task_vars: Json | None) -> Json:
        done: Json = self._execute_module(module_name="delivered_image", module_args=arguments, task_vars=task_vars)
        return done


def _host(task_vars: Json | None) -> str:
    """Give the name of the host that the task runs on."""
    return str((task_vars or {}).get("inventory_hostname", "the host"))


def _megabytes(file: Path) -> str:
    """Give the size of a file in megabytes: with a decimal where that matters."""
    megabytes = file.stat().st_size / BYTES_PER_MB
    return f"{megabytes:.{1 if megabytes < MEGABYTES_WITHOUT_DECIMAL else 0}f} MB"
