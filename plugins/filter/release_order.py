"""Whom a release is for, and how many get it at a time."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.inventory import fleet  # noqa: E402

DOCUMENTATION = r"""
name: release_order
short_description: Whom a release is for, and how many get it at a time
version_added: "0.1.0"
positional: known
description:
  - Goes by what a run has found out so far. A release is for the hosts that answered when they were looked at, and
    that got its images where the run delivers any. One that can't be served is thus never the one that goes first.
options:
  _input:
    description: The hosts, in their order.
    type: list
    elements: str
    required: true
  known:
    description: What is known of each host, by its name, as in C(hostvars).
    type: dict
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
hosts: "{{ (groups.pis | release_order(hostvars)).hosts | join(',') }}"
"""

RETURN = r"""
_value:
  description: C(hosts), their names; and C(batches), as in C(fleet_batch).
  type: dict
"""


def release_order(hosts: Sequence[str], known: Mapping[str, Any]) -> dict[str, list[str]]:
    """Give the names of the hosts, and the sizes of the batches."""
    facts = [known[host] for host in hosts if host in known]
    return {"hosts": fleet.ready(facts), "batches": fleet.batches(facts)}


class FilterModule:
    """The filter release_order."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"release_order": release_order}
