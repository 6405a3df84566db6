"""What is wrong with Lizmap's users, groups and repositories in the inventory, told before anything is changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ansible.module_utils

# On the controller, Ansible finds a project's own module_utils for modules only.
ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.poppyfield.lizmap_accounts import inventory_problems  # noqa: E402

DOCUMENTATION = r"""
name: lizmap_problems
short_description: What is wrong with Lizmap's users, groups and repositories
version_added: "0.1.0"
description:
  - Gives a sentence for each entry that Lizmap could not have, when it has all the others.
positional: groups, repositories
options:
  _input:
    description: Users, as in M(lizmap_user).
    type: list
    elements: dict
    required: true
  groups:
    description: Groups, as in M(lizmap_group).
    type: list
    elements: dict
    required: true
  repositories:
    description: Repositories, as in M(lizmap_repository).
    type: list
    elements: dict
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
problems: "{{ users | lizmap_problems(groups, repositories) }}"
"""

RETURN = r"""
_value:
  description: The sentences.
  type: list
  elements: str
"""


class FilterModule:
    """The filter lizmap_problems."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"lizmap_problems": inventory_problems}
