"""What is wrong with what a chore was given on the command line."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible.context import cliargs_deferred_get

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.inventory import chores  # noqa: E402

DOCUMENTATION = r"""
name: chore_problems
short_description: What is wrong with what a chore was given on the command line
version_added: "0.1.0"
description:
  - Gives a sentence for each value that is wrong, and one for all that are missing.
  - Looks at what was typed after each C(-e), too.
positional: given
options:
  _input:
    description:
      - By name what the chore takes, a dictionary with C(required), C(choices), C(pattern) with an C(example) of it,
        and C(whole) for a text with blanks. Every chore takes C(service).
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


def problems(arguments: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Give the sentences."""
    typed = cliargs_deferred_get("extra_vars")() or ()
    found: list[str] = chores.problems(arguments, given, [str(text) for text in typed])
    return found


class FilterModule:
    """The filter chore_problems."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"chore_problems": problems}
