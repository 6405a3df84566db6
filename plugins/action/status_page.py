"""Action plugin: tells how a fleet fares, and writes its page, on the laptop."""

from __future__ import annotations

import json
import runpy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.constants import COLOR_ERROR, COLOR_OK, COLOR_UNREACHABLE, COLOR_WARN
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.host import atomic_file  # noqa: E402
from ansible.module_utils.poppyfield.status import drift, history, page, rows  # noqa: E402
from ansible.module_utils.poppyfield.status.history import History  # noqa: E402
from ansible.module_utils.poppyfield.status.words import LANGUAGES, Speech  # noqa: E402

Json = dict[str, Any]
TEMPLATES = Path(__file__).resolve().parents[2] / "playbooks" / "templates"
VERSION = 1
"""Of status.json."""

display = Display()


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core has no types
    """See the documentation in library/status_page.py."""

    _requires_connection = False
    _VALID_ARGS = frozenset({"folder", "language", "fleet", "looks", "maps"})

    def run(self, tmp: str | None = None, task_vars: Json | None = None) -> Json:
        """Put together what the Pis of this run said and what is remembered of the others."""
        result: Json = super().run(tmp, task_vars)
        _, given = self.validate_argument_spec(
            {
                "folder": {"type": "path", "required": True},
                "language": {"type": "str", "choices": list(LANGUAGES), "default": "en"},
                "fleet": {"type": "list", "elements": "str", "required": True},
                "looks": {"type": "dict", "required": True},
                "maps": {"type": "dict", "default": {}},
            }
        )
        folder = Path(unfrackpath(given["folder"]))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            before = _remembered(folder / "history.json")
            seen = [
                rows.row_of(name, given["looks"].get(name), given["maps"].get(name) or {}, before.rows.get(name), now)
                for name in dict.fromkeys([*given["fleet"], *given["looks"]])
            ]
            known = history.grown(before, seen, [row["name"] for row in seen])
            found = rows.worst_first(rows.with_drift(rows.with_old_releases(seen), _drift(folder / drift.FILE)))
            if not self._task.check_mode:
                _write(folder, found, known, given["language"], now)
        except OSError as error:
            why = f"The status cannot be written to {error.filename or folder}: {error.strerror or error}."
            return {**result, "failed": True, "msg": f"{why} Give status_folder a folder that you may write to."}
        speech = Speech(given["language"])
        _show(speech, found)
        return {**result, "changed": False, "page": str(folder / "index.html"), **_told(speech, found)}


def _told(speech: Speech, found: Sequence[Json]) -> Json:
    not_well = [row for row in found if row["asked"] and row["level"] in rows.NOT_WELL]
    return {
        "levels": {row["name"]: row["level"] for row in found},
        "not_well": {row["name"]: " ".join(speech.sentence(wrong) for wrong in row["wrong"]) for row in not_well},
    }


def _show(speech: Speech, found: Sequence[Json]) -> None:
    """Show a line for each Pi, in the colours that the operator's Ansible has for such results."""
    colors = dict(zip(rows.LEVELS, (COLOR_UNREACHABLE, COLOR_ERROR, COLOR_WARN, COLOR_OK), strict=True))
    for row in found:
        display.display(speech.line(row), color=colors[row["level"]])


def _remembered(path: Path) -> History:
    """Give what the last runs left, nothing when there was none."""
    if not path.exists():
        return History()
    found = history.read(_beginning(path, history.LARGEST_FILE))
    if found is None:
        display.warning(f"{path} is not what a status run wrote, so it begins again with what is seen now.")
    return found or History()


def _drift(path: Path) -> Json:
    return drift.read(_beginning(path, drift.LARGEST_FILE)) if path.exists() else {}


def _beginning(path: Path, most: int) -> bytes:
    with path.open("rb") as stream:
        return stream.read(most)


def _write(folder: Path, found: Sequence[Json], known: History, language: str, now: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    template, style = ((TEMPLATES / name).read_text("utf-8") for name in ("status.html.j2", "status.css"))
    pictures = _pictures(folder, found)
    shown = page.render(template, style, found, points=known.points, pictures=pictures, language=language, now=now)
    atomic_file.write(folder / "index.html", shown.encode())
    atomic_file.write(folder / "status.json", _as_json(found, language, now))
    # Last: what is remembered is what was told.
    atomic_file.write(folder / "history.json", history.written(known))


def _as_json(found: Sequence[Json], language: str, now: str) -> bytes:
    speech = Speech(language)
    pis = [{**row, "wrong": [{**one, "sentence": speech.sentence(one)} for one in row["wrong"]]} for row in found]
    document = {"version": VERSION, "at": now, "counts": rows.counts(found), "pis": pis}
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _pictures(folder: Path, found: Sequence[Json]) -> Mapping[tuple[str, str], tuple[str, str]]:
    """Give the last picture of each map that is for everybody, and when it was made."""
    pictures = {}
    for row in found:
        for one in row["maps"]:
            path = folder / "pictures" / rows.picture_name(row["name"], one["map"])
            if one["map"] and one["draws"] is not None and path.is_file():
                made = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
                pictures[row["name"], one["map"]] = (page.picture(_beginning(path, page.LARGEST_PICTURE)), made)
    return pictures
