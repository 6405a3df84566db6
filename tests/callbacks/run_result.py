# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Note what a whole run changed."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_result
type: aggregate
short_description: Note what a run changed
description:
  - At the end of a run it appends a line of JSON to the file that the environment variable E(POPPYFIELD_RUN_RESULTS)
    names, with the playbook, whether it ran in check mode, and how many tasks changed something.
requirements:
  - enable in configuration
"""

import json
import os
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """Note it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "run_result"
    CALLBACK_NEEDS_ENABLED = True

    playbook = ""

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self.playbook = Path(playbook._file_name).name

    def v2_playbook_on_stats(self, stats: Any) -> None:
        check = bool(context.CLIARGS["check"])
        line = {"playbook": self.playbook, "check": check, "changed": sum(stats.changed.values())}
        with Path(os.environ["POPPYFIELD_RUN_RESULTS"]).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
