"""A text from the command line with all its words."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.context import cliargs_deferred_get

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.inventory import chores  # noqa: E402

DOCUMENTATION = r"""
name: whole_text
short_description: A text from the command line with all its words
version_added: "0.1.0"
description:
  - Of C(-e command='df -h') Ansible takes C(df) for the variable's value. This gives C(df -h).
  - A value that was quoted twice, or that comes from a file, is the whole already.
positional: name
options:
  _input:
    description: The variable's value.
    type: str
    required: true
  name:
    description: The variable's name.
    type: str
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
command: "{{ command | whole_text('command') }}"
"""

RETURN = r"""
_value:
  description: The text.
  type: str
"""


def whole_text(value: Any, name: str) -> str:
    """Give the text as it was typed."""
    typed = cliargs_deferred_get("extra_vars")() or ()
    text: str = chores.whole(name, str(value), [str(one) for one in typed])
    return text


class FilterModule:
    """The filter whole_text."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"whole_text": whole_text}
