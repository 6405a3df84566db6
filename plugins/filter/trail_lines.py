"""What was deployed on a host, a line for each."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.runs import trail  # noqa: E402

DOCUMENTATION = r"""
name: trail_lines
short_description: What was deployed on a host, a line for each
version_added: "0.1.0"
description:
  - Says each entry of M(deployment_trail) in a line. A host in other hands may give anything, so that all of it is
    bounded.
positional: limit
options:
  _input:
    description: The entries.
    type: list
    elements: dict
    required: true
  limit:
    description: How many at most.
    type: int
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
lines: "{{ chore_done.entries | trail_lines(20) }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""


def lines(entries: Any, limit: int) -> list[str]:
    """Give the lines."""
    found: list[str] = trail.told(entries, limit)
    return found


class FilterModule:
    """The filter trail_lines."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"trail_lines": lines}
