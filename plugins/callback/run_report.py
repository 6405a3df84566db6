# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write the outcome of a run as JSON, for whoever started ansible-playbook."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_report
type: aggregate
short_description: Write the outcome of a run as JSON
description:
  - Writes the totals over all hosts (ok, changed, failed, unreachable) and the seconds that the run took to the
    file that the environment variable E(POPPYFIELD_RUN_REPORT) names, and nothing where it is not set.
requirements:
  - enable in configuration
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

COUNTERS = ("ok", "changed", "failures", "dark")
PUBLIC_NAMES = {"failures": "failed", "dark": "unreachable"}


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """Collect the totals at the end of a run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "run_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Write the report."""
        path = os.environ.get("POPPYFIELD_RUN_REPORT")
        if not path:
            return
        totals = {PUBLIC_NAMES.get(name, name): sum(getattr(stats, name).values()) for name in COUNTERS}
        report = {**totals, "seconds": round(time.monotonic() - self._started, 1)}
        Path(path).write_text(json.dumps(report) + "\n", encoding="utf-8")
