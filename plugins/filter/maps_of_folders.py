"""Which maps are published of folders on the controller."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.projects.qgis_project import published_maps  # noqa: E402

DOCUMENTATION = r"""
name: maps_of_folders
short_description: Which maps are published of folders on the controller
version_added: "0.1.0"
description:
  - Gives each project at the top of the folders as repository/project, sorted. What is not published is left out.
  - Names of folders are taken as they are, C([), C(*) and C(?) in them too.
  - Fails when one of the folders is not there.
options:
  _input:
    description: The folders, each with C(repository) and C(folder), as in C(lizmap_projects).
    type: list
    elements: dict
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
maps: "{{ lizmap_projects | maps_of_folders }}"
"""

RETURN = r"""
_value:
  description: The maps.
  type: list
  elements: str
"""


def maps_of_folders(projects: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give each map as repository/project, sorted."""
    return sorted(
        f"{entry['repository']}/{name}" for entry in projects for name in published_maps(_names(entry["folder"]))
    )


def _names(folder: Any) -> list[str]:
    path = Path(unfrackpath(str(folder), follow=False))
    try:
        return [entry.name for entry in path.iterdir() if entry.is_file()]
    except OSError as error:
        raise AnsibleFilterError(f"The folder {path} of lizmap_projects cannot be read: {error.strerror}.") from error


class FilterModule:
    """The filter maps_of_folders."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"maps_of_folders": maps_of_folders}
