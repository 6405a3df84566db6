"""Action plugin: writes what to do with the backups of a Pi, and their password, to be printed; on the laptop."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.backup import controller_password, sheet  # noqa: E402
from ansible.module_utils.poppyfield.host import printed_files  # noqa: E402
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
        paths = printed_files.paths_of(Path(unfrackpath(given["folder"])), host, given["language"])
        check = self._task.check_mode
        changed = printed_files.keep(paths, page, lambda: sheet.as_pdf(page), check_mode=check)
        said = "would be written to" if changed and check else "is in"
        remedy = "It holds the password: print it, then delete both files."
        return {
            "changed": changed,
            "files": [str(path) for path in paths],
            "msg": f"the sheet {said} {paths[1]} and as .html. {remedy}",
        }
