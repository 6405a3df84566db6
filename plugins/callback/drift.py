# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Remember of each run what site.yml would change on each Pi, for the status of the fleet."""

from __future__ import annotations

DOCUMENTATION = r"""
name: drift
type: aggregate
short_description: Remember what site.yml would change on each Pi
description:
  - C(site.yml --check) tells what differs from the inventory. This keeps it in the folder of the status, which is
    C(build/status) or what C(status_folder) names, so that C(playbooks/status.yml) shows it without asking the Pis.
  - A run of C(site.yml) that ended well leaves nothing to change. A run of some of its stages leaves that open.
  - It is on wherever its folder is among the callback plugins, as in C(ansible.cfg).
"""

import runpy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible.template import Templar
from ansible.utils.path import unfrackpath

PLUGINS = Path(__file__).resolve().parents[1]
runpy.run_path(str(PLUGINS / "project_imports.py"))

from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.runs.table import PLAYBOOKS, WHOLE
from ansible.module_utils.poppyfield.status import drift
from ansible.module_utils.poppyfield.status.drift import RunKind

FOLDER = PLUGINS.parent / "build" / "status"


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """Collects the names of the tasks that changed, or would change, something on a Pi."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "drift"

    def __init__(self) -> None:
        super().__init__()
        self._playbook = ""
        self._play: Any = None
        self._changes: dict[Any, list[str]] = {}

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Remember the name of the playbook."""
        self._playbook = Path(playbook._file_name).name

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Remember who knows the variables."""
        self._play = play

    def v2_runner_on_ok(self, result: Any) -> None:
        """Note what changed on the Pi itself, not on this laptop."""
        changes = self._changes.setdefault(result.host, [])
        if result.result.get("changed") and not result.task.delegate_to:
            changes.append(str(result.task_name).rpartition(" : ")[2])

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write it down."""
        if self._playbook not in PLAYBOOKS:
            return
        kind = RunKind(whole=self._playbook == WHOLE and _all_stages(), check=bool(context.CLIARGS["check"]))
        now = datetime.now(UTC).isoformat(timespec="seconds")
        for host, changes in self._changes.items():
            well = not (stats.failures.get(host.name) or stats.dark.get(host.name))
            try:
                self._note(host, changes, kind, well=well, now=now)
            except OSError as error:
                self._display.warning(f"The status will not know what changed: {error.filename}: {error.strerror}.")

    def _note(self, host: Any, changes: list[str], kind: RunKind, *, well: bool, now: str) -> None:
        path = self._folder(host) / drift.FILE
        known = drift.read(path.read_bytes()) if path.exists() else {}
        told = drift.after(known, host.name, changes, kind, well=well, now=now)
        if told != known:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_file.write(path, drift.written(told))

    def _folder(self, host: Any) -> Path:
        manager = self._play.get_variable_manager()
        variables = manager.get_vars(host=host)
        named = Templar(loader=self._play.get_loader(), variables=variables).template(variables.get("status_folder"))
        return Path(unfrackpath(str(named), follow=False)) if named else FOLDER


def _all_stages() -> bool:
    chosen = context.CLIARGS
    return tuple(chosen["tags"]) == ("all",) and not chosen["skip_tags"] and not chosen.get("start_at_task")
