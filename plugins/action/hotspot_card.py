"""Action plugin: writes how people join the Wi-Fi of a Pi, and its password, to be printed; on the laptop."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.host import printed_files  # noqa: E402
from ansible.module_utils.poppyfield.host.password_file import PasswordFileError  # noqa: E402
from ansible.module_utils.poppyfield.hotspot import card, settings  # noqa: E402
from ansible.module_utils.poppyfield.hotspot import password as password_of_wifi  # noqa: E402
from ansible.module_utils.poppyfield.hotspot.card import CardError, JoiningCard  # noqa: E402
from ansible.module_utils.poppyfield.status.words import LANGUAGES  # noqa: E402

Json = dict[str, Any]
TEMPLATES = Path(__file__).resolve().parents[2] / "playbooks" / "templates"
ARGUMENTS: Json = {
    "host": {"type": "str", "required": True},
    "enabled": {"type": "bool", "default": True},
    "ssid": {"type": "str", "required": True},
    "open": {"type": "bool", "default": False},
    "password": {"type": "str", "default": "", "no_log": True},
    "password_folder": {"type": "path", "required": True, "no_log": False},
    "folder": {"type": "path", "required": True},
    "language": {"type": "str", "choices": list(LANGUAGES), "default": "en"},
}


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """See the documentation in library/hotspot_card.py."""

    _requires_connection = False
    _VALID_ARGS = frozenset(ARGUMENTS)

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Write the card of one host, or say why not."""
        result: Json = super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(ARGUMENTS)
        try:
            return result | self._card(given)
        except (CardError, PasswordFileError) as error:
            return {**result, "failed": True, "msg": f"nothing was written. {error}"}
        except OSError as error:
            why = f"the card cannot be written to {error.filename}: {error.strerror}."
            return {**result, "failed": True, "msg": f"{why} Give card_folder a folder that you may write to."}

    def _card(self, given: Json) -> Json:
        """Write what is not there as it should be, and tell where it is."""
        if not given["enabled"]:
            told = "it has no Wi-Fi of its own. Set hotspot_enabled to true and run site.yml: docs/hotspot.md."
            return {"failed": True, "msg": told}
        host, language = given["host"], given["language"]
        template = (TEMPLATES / f"hotspot_card.{language}.html.j2").read_text("utf-8")
        wanted = JoiningCard(host, given["ssid"], self._password(given))
        paths = printed_files.paths_of(Path(unfrackpath(given["folder"])), host, language)
        page, check = card.as_html(template, wanted), self._task.check_mode
        changed = printed_files.keep(paths, page, lambda: card.as_pdf(template, wanted), check_mode=check)
        said = "would be written to" if changed and check else "is in"
        remedy = "It holds the password: print it, then delete both files." if wanted.password else "Print it."
        return {
            "changed": changed,
            "files": [str(path) for path in paths],
            "msg": f"the card {said} {paths[1]} and as .html. {remedy}",
        }

    def _password(self, given: Json) -> str:
        """Give the password; nothing of a Wi-Fi that is open. Raises CardError or PasswordFileError."""
        if given["open"]:
            return ""
        path = Path(unfrackpath(given["password_folder"])) / given["host"]
        if not given["password"] and not path.exists():
            raise CardError(f"Its Wi-Fi has no password in {path} (hotspot_password_folder) yet. Run site.yml first.")
        found = str(given["password"] or password_of_wifi.read(path, self._loader))
        if wrong := settings.password_problem(found):
            raise CardError(f"The password of its Wi-Fi is none: {wrong}.")
        return found
