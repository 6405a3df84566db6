"""Action plugin: takes what a container's host sends, judged before it is written, and sends what is to be put."""

from __future__ import annotations

import os
import posixpath
import resource
import runpy
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.containers import parcel, placed_files  # noqa: E402
from ansible.module_utils.poppyfield.containers.parcel import Parcel, ParcelError  # noqa: E402
from ansible.module_utils.poppyfield.host import file_names  # noqa: E402
from ansible.module_utils.poppyfield.host.beneath import BeneathError  # noqa: E402

Json = dict[str, Any]
BYTES_PER_MB = 1_000_000
PRIVATE = 0o700
"""Who else uses the laptop sees nothing of what was fetched."""


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """See the documentation in library/container_files.py."""

    TRANSFERS_FILES = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Fetch or put."""
        result: Json = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        src, dest = arguments.pop("src", None), arguments.pop("dest", None)
        try:
            if arguments.get("direction") == "in":
                return result | self._put(self._on_laptop(src, "src"), arguments, task_vars)
            return result | self._fetch(self._on_laptop(dest, "dest"), arguments, task_vars)
        except (BeneathError, ParcelError) as error:
            raise AnsibleActionFail(f"Nothing was copied: {error}") from error
        except OSError as error:
            raise AnsibleActionFail(f"{error.strerror}: {error.filename} on this laptop.") from error

    def _on_laptop(self, path: Any, option: str) -> Path:
        if not path:
            raise AnsibleActionFail(f"{option} is missing: a file or folder on this laptop.")
        return Path(unfrackpath(str(path), follow=False))

    # Out ------------------------------------------------------------------------------------------------------------

    def _fetch(self, dest: Path, arguments: Json, task_vars: Json | None) -> Json:
        folder = dest / file_names.of_host(str((task_vars or {}).get("inventory_hostname")))
        remote = "" if self._task.check_mode else self._remote("fetched")
        found = self._module({**arguments, **({"_contents": remote} if remote else {})}, task_vars)
        document, left_out = found.pop("_parcel", None), [str(name) for name in found.get("left_out") or []]
        if found.get("failed"):
            return found
        judged = parcel.parse(document)
        if not judged.files and not judged.folders:
            raise ParcelError(f"{arguments['path']} is no file or folder but a link or a device.")
        missing, others = placed_files.compare(str(folder), (), judged) if folder.is_dir() else (_paths(judged), [])
        if others and not arguments.get("replace"):
            raise ParcelError(
                f"these are in {folder} already with another content: {parcel.named(others)}. Replace them with "
                "-e replace=true, or choose another folder with -e to=."
            )
        wanted = [*missing, *others]
        if wanted and remote:
            self._take(remote, judged, wanted, folder)
        return {
            "changed": bool(wanted),
            "files": wanted,
            "left_out": left_out,
            "diff": {
                "before": {**dict.fromkeys(missing, "absent"), **dict.fromkeys(others, "another content")},
                "after": dict.fromkeys(wanted, "as in the container"),
            },
            "msg": _said_of_fetching(judged, wanted, left_out, folder, done=bool(remote)),
        }

    def _take(self, remote: str, judged: Parcel, wanted: list[str], folder: Path) -> None:
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder.parent) as temporary:
            local = Path(temporary) / "contents"
            with files_up_to(judged.size):
                try:
                    self._connection.fetch_file(remote, str(local))
                except AnsibleError as error:
                    raise ParcelError(f"the files could not be fetched. {error}") from error
            with local.open("rb") as stream:
                placed_files.place(str(folder), (), judged, stream, wanted=set(wanted), modes=PRIVATE)

    # In -------------------------------------------------------------------------------------------------------------

    def _put(self, src: Path, arguments: Json, task_vars: Json | None) -> Json:
        if not src.exists():
            raise AnsibleActionFail(f"Nothing was put: there is no {src} on this laptop.")
        path = str(arguments["path"])
        if path.endswith("/") and src.is_dir():
            path = posixpath.join(path, src.name)
        given, sources = parcel.of_laptop(src)
        if src.is_file():
            path, name = posixpath.split(path)
            name = name or src.name
            given, sources = Parcel((replace(given.files[0], path=name),)), {name: src}
        told = {**arguments, "path": path or "/", "_parcel": given.plain()}
        looked = self._module(told, task_vars)
        if looked.get("failed") or not looked.get("changed") or self._task.check_mode:
            return looked
        # Only what is of this parcel, whatever the host says that it lacks.
        lacking = given.only(looked.get("files") or [])
        with tempfile.TemporaryDirectory(prefix="poppyfield-") as temporary:
            local = Path(temporary) / "contents"
            _write_contents(local, lacking, sources)
            remote = self._remote("put")
            self._transfer_file(os.fspath(local), remote)
        return self._module({**told, "_contents": remote}, task_vars)

    # Both -----------------------------------------------------------------------------------------------------------

    def _remote(self, name: str) -> str:
        """Give a place in the task's own temporary folder: on disk, nobody else's, and Ansible removes it."""
        shell = self._connection._shell
        return str(shell.join_path(shell.tmpdir or self._make_tmp_path(), name))

    def _module(self, arguments: Json, task_vars: Json | None) -> Json:
        done: Json = self._execute_module(module_name="container_files", module_args=arguments, task_vars=task_vars)
        return done


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Let this process, and the programs that it starts, write no larger file: a host may send without end."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _write_contents(path: Path, sent: Parcel, sources: Mapping[str, Path]) -> None:
    with path.open("wb") as stream:
        for file in sent.files:
            with sources[file.path].open("rb") as source:
                shutil.copyfileobj(source, stream)


def _paths(judged: Parcel) -> list[str]:
    return [file.path for file in judged.files]


def _said_of_fetching(judged: Parcel, wanted: list[str], left_out: list[str], folder: Path, *, done: bool) -> str:
    size = f"{judged.only(wanted).size / BYTES_PER_MB:.1f} MB"
    said = f"all {len(judged.files)} files are in {folder} already"
    if wanted:
        said = f"{len(wanted)} files ({size}) {'fetched' if done else 'would be fetched'} to {folder}"
    return f"{said}; left out, since no files: {parcel.named(left_out)}." if left_out else f"{said}."
