# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Show at the end of a run what became of each Pi, and what to do."""

from __future__ import annotations

DOCUMENTATION = r"""
name: pi_table
type: aggregate
short_description: Show at the end of a run what became of each Pi
description:
  - After the run of a stage, or of all of them by C(site.yml), it shows a table. For each Pi what changed, how many
    seconds nobody had a map, and what to do; those that failed or can't be reached come first.
  - Where a play serves a few hosts at a time, and ended before all had their turn, it names those that were not
    touched.
  - It is on wherever its folder is among the callback plugins, as in C(ansible.cfg).
"""

import runpy
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.runs import table
from ansible.module_utils.poppyfield.runs.table import PiOutcome

LAPTOP = "localhost"
INCLUDES = ("include_role", "include_tasks")
LETTING_GO = "End the run on this Pi"
"""The task of playbooks/tasks/let_go.yml that fails because another one did, which is the one to tell of."""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """Collects what each task said, and shows the table last."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "pi_table"

    def __init__(self) -> None:
        super().__init__()
        self._shown = False
        self._outcomes: dict[str, PiOutcome] = {}
        self._in_batches = False
        self._due: set[str] = set()
        self._begun: set[str] = set()

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """See whether this playbook ends with a table."""
        self._shown = Path(playbook._file_name).name in table.PLAYBOOKS

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Note whom a play is for that serves a few at a time: it starts once for each few."""
        self._in_batches = bool(play.serial)
        if self._in_batches:
            hosts = play.get_variable_manager()._inventory.get_hosts(play.hosts, ignore_restrictions=True)
            self._due = {host.name for host in hosts}

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Note whose turn has come."""
        self._of(result)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Note what changed."""
        said = result.result
        one = self._of(result)
        if said.get("changed"):
            one.changes.append(result.task_name)
        one.seconds += _seconds(said)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note what was wrong; what is put right by a rescue does not count in the end."""
        if not ignore_errors and result.task_name != LETTING_GO:
            self._of(result).failed = f"{result.task_name}: {result.result.get('msg') or 'it failed'}"

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note who is away."""
        self._of(result).unreachable = str(result.result.get("msg") or "?")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Show the table."""
        for name, one in self._outcomes.items():
            one.failed = one.failed if stats.failures.get(name) else ""
            one.unreachable = one.unreachable if stats.dark.get(name) else ""
            one.waited = name in self._due - self._begun
        pis = {name: one for name, one in self._outcomes.items() if name != LAPTOP}
        if self._shown and pis:
            self._display.banner("PIS")
            for line in table.lines(pis):
                self._display.display(line)

    def _of(self, result: Any) -> PiOutcome:
        name = result.host.name
        # What is included is not done yet.
        if self._in_batches and result.task.action.rpartition(".")[2] not in INCLUDES:
            self._begun.add(name)
        return self._outcomes.setdefault(name, PiOutcome())


def _seconds(said: Any) -> float:
    seconds = said.get("seconds_without_service")
    return float(seconds) if isinstance(seconds, int | float) else 0.0
