"""Action plugin: reads what files of tiles say of themselves, and sends to the host those that it lacks."""

from __future__ import annotations

import hashlib
import os
import runpy
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.basemaps import digests, published, tiles_file  # noqa: E402
from ansible.module_utils.poppyfield.basemaps.tiles_file import TilesFileError, TilesForm  # noqa: E402
from ansible.module_utils.poppyfield.inventory import basemaps  # noqa: E402
from ansible.module_utils.poppyfield.projects.folder_difference import FolderError  # noqa: E402
from ansible.module_utils.poppyfield.projects.sending import SendsFiles  # noqa: E402

Json = dict[str, Any]

display = Display()


class ActionModule(SendsFiles, ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """See the documentation in library/delivered_basemaps.py."""

    TRANSFERS_FILES = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Look, send what is missing, and let it take its place."""
        result: Json = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        entries = arguments.pop("basemaps", None) or []
        cache_folder = Path(unfrackpath(str(arguments.get("cache_folder", "")), follow=False))
        with tempfile.TemporaryDirectory(prefix="poppyfield-") as folder:
            try:
                files, sources = _read(entries, cache_folder, Path(folder))
                return result | self._deliver({**arguments, "_files": files}, sources, task_vars)
            except FolderError as error:
                raise AnsibleActionFail(str(error)) from error

    def _deliver(self, arguments: Json, sources: dict[str, Path], task_vars: Json | None) -> Json:
        looked = self._module({**arguments, "_step": "look"}, task_vars)
        missing, begun = looked.pop("_missing", {}), looked.pop("_begun", {})
        if looked.get("failed") or not looked.get("changed") or self._task.check_mode:
            return looked
        # Only what is of these files, whatever the host says that it lacks.
        sizes = {sha256: size for size, sha256 in arguments["_files"].values() if sha256 in missing}
        host = (task_vars or {}).get("inventory_hostname", "the host")
        failed, sent = self.send_files(
            sources,
            sizes,
            begun,
            lambda archive: self._module({**arguments, "_step": "receive", "_archive": archive}, task_vars),
            lambda part: display.display(f"Sending base maps, {part}, to {host}"),
        )
        if failed:
            return failed
        return {**self._module({**arguments, "_step": "publish"}, task_vars), "uploaded_bytes": sent}

    def _module(self, arguments: Json, task_vars: Json | None) -> Json:
        done: Json = self._execute_module(module_name="delivered_basemaps", module_args=arguments, task_vars=task_vars)
        return done


def _read(entries: Any, cache_folder: Path, folder: Path) -> tuple[dict[str, list[Any]], dict[str, Path]]:
    """Give size and SHA-256 of each file by its name on the host, and where it lies here by that digest.

    The list that the map page reads is written into the folder.
    """
    found = []
    for entry in entries:
        path = Path(unfrackpath(os.fspath(entry["file"]), follow=False))
        try:
            one = basemaps.of_entry(entry, tiles_file.read(path))
            found.append((one, digests.of_file(path, cache_folder), path))
        except TilesFileError as error:
            raise AnsibleActionFail(f"{path}: {error.wrong}. {error.remedy}.") from error
        except OSError as error:
            raise AnsibleActionFail(f"{error.strerror}: {error.filename}.") from error
    files = {one.published_name(sha256): [one.file.size, sha256] for one, sha256, _ in found}
    sources = {sha256: path for _, sha256, path in found}
    if any(one.file.form is TilesForm.PMTILES for one, _, _ in found):
        content = published.index((one, sha256) for one, sha256, _ in found)
        sha256 = hashlib.sha256(content).hexdigest()
        (folder / published.INDEX).write_bytes(content)
        files[published.INDEX] = [len(content), sha256]
        sources[sha256] = folder / published.INDEX
    return files, sources
