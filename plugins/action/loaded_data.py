"""Action plugin: judges files, makes SQL of spatial ones, and sends them once the host can take them."""

from __future__ import annotations

import os
import re
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.host import roomy  # noqa: E402
from ansible.module_utils.poppyfield.postgis import load_files, spatial_files  # noqa: E402
from ansible.module_utils.poppyfield.postgis.load_files import LoadFile, LoadFileError  # noqa: E402
from ansible.module_utils.poppyfield.postgis.spatial_files import SpatialOptions  # noqa: E402

Json = dict[str, Any]

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """See the documentation in library/loaded_data.py."""

    TRANSFERS_FILES = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Judge, look at the host, then send and load."""
        result: Json = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if arguments.get("mode") == "undo":
            return result | self._module(arguments, task_vars)
        try:
            asked = _asked(arguments)
            with roomy.folder("poppyfield-") as folder:
                files = _read(_paths(arguments.get("files")), Path(folder), asked)
                return result | self._load(files, asked, arguments, task_vars)
        except LoadFileError as error:
            raise AnsibleActionFail(f"Nothing was changed. {error}.") from error

    def _load(self, files: Sequence[LoadFile], asked: SpatialOptions, arguments: Json, task_vars: Json | None) -> Json:
        _refuse(load_files.problems(files))
        for words in load_files.left_out(files):
            display.warning(words)
        own = {
            **arguments,
            "files": [str(file.source) for file in files],
            "_digest": load_files.digest_of(files, asked),
            "_tables": [table.plain() for file in files for table in file.tables],
        }
        told = [file.told() for file in files]
        upload = self._upload_folder()
        looked = self._module({**own, "_files": told, "_folder": upload, "_look": True}, task_vars)
        if looked.get("failed"):
            return looked
        _refuse(load_files.problems(files, int(looked.pop("postgresql"))))
        if not looked.get("changed") or self._task.check_mode:
            return looked
        sent = []
        for number, (file, entry) in enumerate(zip(files, told, strict=True)):
            remote = self._connection._shell.join_path(upload, f"load-{number}")
            self._transfer_file(os.fspath(file.source), remote)
            sent.append({**entry, "path": remote})
        done = self._module({**own, "_files": sent, "_folder": upload}, task_vars)
        done.pop("postgresql", None)
        return done

    def _upload_folder(self) -> str:
        """Give the task's own temporary folder: on disk, nobody else's, and Ansible removes it."""
        return str(self._connection._shell.tmpdir or self._make_tmp_path())

    def _module(self, arguments: Json, task_vars: Json | None) -> Json:
        done: Json = self._execute_module(module_name="loaded_data", module_args=arguments, task_vars=task_vars)
        return done


def _asked(arguments: Json) -> SpatialOptions:
    srs, encoding = str(arguments.get("srs") or "").upper(), str(arguments.get("encoding") or "")
    if srs and not re.fullmatch(spatial_files.SYSTEM, srs):
        raise LoadFileError(f"srs must be like EPSG:2154, not {srs}")
    if problem := spatial_files.encoding_problem(encoding):
        raise LoadFileError(problem.rstrip("."))
    keep_names = boolean(arguments.get("keep_names") or False)
    return SpatialOptions(srs, encoding, str(arguments.get("table") or ""), keep_names)


def _paths(given: Any) -> list[Path]:
    texts = given.split(",") if isinstance(given, str) else given or []
    if not texts:
        raise LoadFileError("Say which files: -e files=FILE,FILE")
    return [Path(unfrackpath(str(text).strip(), follow=False)) for text in texts]


def _read(paths: Sequence[Path], folder: Path, asked: SpatialOptions) -> list[LoadFile]:
    """Read all files, each into a folder of its own; tell what is wrong with any of them together."""
    found, wrong = [], []
    for number, path in enumerate(paths):
        own = folder / str(number)
        own.mkdir()
        try:
            found.append(load_files.read(path, own, asked))
        except LoadFileError as error:
            wrong.append(str(error))
    _refuse(wrong)
    return found


def _refuse(problems: Any) -> None:
    if told := list(problems):
        raise LoadFileError(". ".join(told))
