"""Which layers of published maps people may add features to."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.utils.path import unfrackpath

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.lizmap import edited_layers as pure  # noqa: E402
from ansible.module_utils.poppyfield.projects.folder_difference import beginning  # noqa: E402
from ansible.module_utils.poppyfield.projects.qgis_project import (  # noqa: E402
    ENDINGS,
    LARGEST_PROJECT,
    ProjectError,
)

DOCUMENTATION = r"""
name: edited_layers
short_description: Which layers of published maps people may add features to
version_added: "0.1.0"
description:
  - Gives each layer that Lizmap's settings of a map (its C(.cfg)) let people add features to, as M(editing_trial) wants
    it.
  - A project that cannot be read has none here. What is wrong with it is told where projects are checked.
options:
  _input:
    description: The folders, each with C(repository) and C(folder), as in C(lizmap_projects).
    type: list
    elements: dict
    required: true
  maps:
    description: The maps, each as repository/project.
    type: list
    elements: str
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
layers: "{{ lizmap_projects | edited_layers(['fields/meadow']) }}"
"""

RETURN = r"""
_value:
  description: The layers, each with its map, name, id, schema, table and key.
  type: list
  elements: dict
"""


def edited_layers(projects: Sequence[Mapping[str, Any]], maps: Collection[str]) -> list[dict[str, str]]:
    """Give the layers of these maps, in the order of the projects."""
    return [layer for project in projects for layer in _of_folder(project, maps)]


def _of_folder(project: Mapping[str, Any], maps: Collection[str]) -> Iterator[dict[str, str]]:
    folder = Path(unfrackpath(str(project["folder"]), follow=False))
    files = sorted(path for ending in ENDINGS for path in folder.glob(f"*{ending}"))
    for path in files:
        if f"{project['repository']}/{path.stem}" not in maps:
            continue
        try:
            cfg = beginning(path.with_name(f"{path.name}.cfg"), LARGEST_PROJECT)
            content = beginning(path, LARGEST_PROJECT)
            found = pure.edited_layers(project["repository"], path.name, content, cfg)
        except (OSError, ProjectError):
            continue
        yield from map(asdict, found)


class FilterModule:
    """The filter edited_layers."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"edited_layers": edited_layers}
