"""What Lizmap wrote last into its log of errors."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.lizmap.errors_log import last_errors  # noqa: E402

DOCUMENTATION = r"""
name: lizmap_last_errors
short_description: What Lizmap wrote last into its log of errors
version_added: "0.1.0"
description:
  - Gives the last different entries of the end of Lizmap's C(errors.log), the newest last, each with its time and in
    one line. Entries that were written long before the last one are left out.
options:
  _input:
    description: The end of the file; what stands before its first whole entry is left out.
    type: str
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
said: "{{ log.stdout | lizmap_last_errors }}"
"""

RETURN = r"""
_value:
  description: The entries.
  type: list
  elements: str
"""


class FilterModule:
    """The filter lizmap_last_errors."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"lizmap_last_errors": last_errors}
