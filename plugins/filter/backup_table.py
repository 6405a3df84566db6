"""How the backups of a fleet fare, as a table."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.backup import state  # noqa: E402
from ansible.module_utils.poppyfield.status import rows  # noqa: E402

DOCUMENTATION = r"""
name: backup_table
short_description: How the backups of a fleet fare, as a table
version_added: "0.1.0"
description:
  - Gives a line for each target of each host, with the newest backup, when one was last proven, and what failed. A host
    in other hands may give anything, so that all of it is bounded.
options:
  _input:
    description: By host what M(stack_info) found.
    type: dict
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
lines: "{{ {'pi-orchard': stack} | backup_table }}"
"""

RETURN = r"""
_value:
  description: The lines, the first with the heads.
  type: list
  elements: str
"""


def lines(looks: Any) -> list[str]:
    """Give the lines."""
    found: list[str] = state.table({name: rows.backups_of(look) for name, look in looks.items()})
    return found


class FilterModule:
    """The filter backup_table."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"backup_table": lines}
