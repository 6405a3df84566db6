"""What is wrong with what a chore was given on the command line."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.inventory import chores  # noqa: E402

DOCUMENTATION = r"""
name: chore_problems
short_description: What is wrong with what a chore was given on the command line
version_added: "0.1.0"
description:
  - Gives a sentence for each value that is wrong, and one for all that are missing.
positional: given
options:
  _input:
    description:
      - By name what the chore takes, a dictionary with C(required), C(choices), C(pattern) and an C(example) of it.
        Every chore takes C(service).
    type: dict
    required: true
  given:
    description: The variables of a host.
    type: dict
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
problems: "{{ {'state': {'choices': ['started', 'stopped']}} | chore_problems(hostvars[inventory_hostname]) }}"
"""

RETURN = r"""
_value:
  description: The sentences.
  type: list
  elements: str
"""


class FilterModule:
    """The filter chore_problems."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"chore_problems": chores.problems}
