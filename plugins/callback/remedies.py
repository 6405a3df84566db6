# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell at the end of a run what to do about Pis that this laptop could not get into."""

from __future__ import annotations

DOCUMENTATION = r"""
name: remedies
type: aggregate
short_description: Tell at the end of a run how to get into the hosts that were not reached
description:
  - Ansible tells at once that sudo asks for a password which nobody gave, or that a host key is another one, and goes
    on with the other hosts. This tells it again as the last words, with what to do about it.
  - It is on wherever its folder is among the callback plugins, as in C(ansible.cfg).
"""

import runpy
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.callback import CallbackBase

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.host.printable import printable
from ansible.module_utils.poppyfield.host.ways_in import remedy


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """Remembers what is wrong with which host."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "remedies"

    def __init__(self) -> None:
        super().__init__()
        self._remedies: dict[str, str] = {}

    def _look(self, result: Any, ignore_errors: bool = False) -> None:
        if found := remedy(str(result.result.get("msg", ""))):
            self._remedies[result.host.name] = found

    v2_runner_on_failed = v2_runner_on_unreachable = _look

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Tell it."""
        for host, found in sorted(self._remedies.items()):
            self._display.display(printable(f"{host}: {found}"), color=constants.COLOR_ERROR)
