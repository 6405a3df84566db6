"""Which archives of Lizmap and its plugins do not go with the images or with each other."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.utils.display import Display

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.lizmap.archive_compatibility import archive_notes, archive_problems  # noqa: E402

DOCUMENTATION = r"""
name: lizmap_archive_problems
short_description: Which archives do not go with the images or with each other
version_added: "0.1.0"
description:
  - Gives a sentence for each.
  - Warns of versions that cannot be compared, such as C(master), which are let through.
positional: profile
options:
  _input:
    description:
      - What M(recorded_archive) returned for each archive, with its C(item), of which C(variable) names where it was
        given. Lizmap Web Client comes first, then the plugin lizmap_server, then other plugins.
    type: list
    elements: dict
    required: true
  profile:
    description: What the images have, C(qgis_server) and C(php), and which releases of Lizmap go with these, from
      C(lizmap_from) and, unless that is empty, before C(lizmap_before); C(lizmap_tested) is the newest that was tested.
    type: dict
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
problems: "{{ archives.results | lizmap_archive_problems(profile) }}"
"""

RETURN = r"""
_value:
  description: The sentences.
  type: list
  elements: str
"""


def problems_with_warnings(releases: Sequence[Mapping[str, Any]], profile: Mapping[str, str]) -> list[str]:
    """Give what is wrong, and warn of what nobody can tell, and of a Lizmap that is newer than what was tested."""
    for note in archive_notes(releases, profile):
        Display().warning(note)
    problems: list[str] = archive_problems(releases, profile)
    return problems


class FilterModule:
    """The filter lizmap_archive_problems."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"lizmap_archive_problems": problems_with_warnings}
