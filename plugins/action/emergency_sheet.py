"""Action plugin: writes what to do with the backups of a Pi, and their password, to be printed; on the laptop."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.backup import controller_password, sheet  # noqa: E402
from ansible.module_utils.poppyfield.host import atomic_file  # noqa: E402
from ansible.module_utils.poppyfield.host.host_files import HostFileError  # noqa: E402
from ansible.module_utils.poppyfield.host.password_file import PasswordFileError  # noqa: E402
from ansible.module_utils.poppyfield.status.words import LANGUAGES  # noqa: E402

Json = dict[str, Any]
TEMPLATES = Path(__file__).resolve().parents[2] / "playbooks" / "templates"
ARGUMENTS: Json = {
    "host": {"type": "str", "required": True},
    "targets": {"type": "list", "elements": "dict", "required": True},
    "password_folder": {"type": "path", "required": True, "no_log": False},
    "folder": {"type": "path", "required": True},
    "language": {"type": "str", "choices": list(LANGUAGES), "default": "en"},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """See the documentation in library/emergency_sheet.py."""

    _requires_connection = False
    _VALID_ARGS = frozenset(ARGUMENTS)

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Write the sheet of one host, or say why not."""
        result: Json = super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(ARGUMENTS)
        try:
            return result | self._sheet(given)
        except (HostFileError, PasswordFileError, sheet.SheetError) as error:
            return {**result, "failed": True, "msg": f"nothing was written. {error}"}
        except OSError as error:
            why = f"the sheet cannot be written to {error.filename}: {error.strerror}."
            return {**result, "failed": True, "msg": f"{why} Give sheet_folder a folder that you may write to."}

    def _sheet(self, given: Json) -> Json:
        """Write what is not there as it should be, and tell where it is."""
        host, password_file = given["host"], Path(unfrackpath(given["password_folder"])) / given["host"]
        if not given["targets"]:
            told = "it makes no backups. Name where they are to go in backup_targets and run site.yml: docs/backup.md."
            return {"failed": True, "msg": told}
        if not password_file.exists():
            told = f"its backups have no password in {password_file} (backup_password_folder) yet. Run site.yml first."
            return {"failed": True, "msg": told}
        template = (TEMPLATES / f"emergency_sheet.{given['language']}.html.j2").read_text("utf-8")
        password = controller_password.read(password_file, self._loader)
        page = sheet.as_html(template, host, given["targets"], password)
        paths = [Path(unfrackpath(given["folder"])) / f"{host}.{given['language']}.{kind}" for kind in ("html", "pdf")]
        # A PDF has the time when it was made in it, so the page tells whether it is the same.
        changed = not all(path.exists() for path in paths) or paths[0].read_bytes() != page.encode()
        if changed and not self._task.check_mode:
            _write(paths, page)
        said = "would be written to" if changed and self._task.check_mode else "is in"
        remedy = "It holds the password: print it, then delete both files."
        return {
            "changed": changed,
            "files": [str(path) for path in paths],
            "msg": f"the sheet {said} {paths[1]} and as .html. {remedy}",
        }


def _write(paths: list[Path], page: str) -> None:
    paths[0].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, content in zip(paths, (page.encode(), sheet.as_pdf(page)), strict=True):
        atomic_file.write(path, content, mode=0o600)
