"""Action plugin: writes the logs that a host gives into files on the controller."""

from __future__ import annotations

import runpy
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.containers import logs  # noqa: E402
from ansible.module_utils.poppyfield.host import atomic_file  # noqa: E402

Json = dict[str, Any]


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """Read on the host, write here."""

    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Run the module, and keep what it gives in files; names and sizes are none that the host chooses."""
        result: Json = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        asked = arguments.get("containers")
        answer: Json = self._execute_module(module_name="container_logs", module_args=arguments, task_vars=task_vars)
        given = answer.pop("logs", None)
        if not isinstance(given, Mapping) or not isinstance(asked, Mapping):
            return result | answer
        folder = Path(unfrackpath(str(arguments.get("folder")), follow=False))
        host = str((task_vars or {}).get("inventory_hostname"))
        kept = {folder / logs.file_name(host, name): logs.for_file(given[name]) for name in asked if name in given}
        changed = [path for path, text in kept.items() if _content(path) != text]
        if not self._task.check_mode:
            _write({path: kept[path] for path in changed})
        said = [f"{_lines(text)} in {_short(path)}" for path, text in kept.items()]
        wrong = [str(answer.get("msg", "")).rstrip(".")] if answer.get("failed") else []
        told = {"msg": f"{'; '.join([*said, *wrong])}.", "files": [str(path) for path in kept]}
        return result | answer | told | {"changed": bool(changed)}


def _content(path: Path) -> bytes | None:
    with suppress(OSError):
        return path.read_bytes()
    return None


def _write(files: Mapping[Path, bytes]) -> None:
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            # A log names those who looked at maps.
            atomic_file.write(path, text, mode=0o600)
    except OSError as error:
        raise AnsibleActionFail(f"{error.strerror}: {error.filename}.") from error


def _lines(text: bytes) -> str:
    count = len(text.splitlines())
    return "1 line" if count == 1 else f"{count or 'no'} lines"


def _short(path: Path) -> str:
    """Give a path as one would type it from here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
