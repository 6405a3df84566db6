#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: QGIS projects in folders, checked before they are published. Read only."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: qgis_projects
short_description: Check folders with QGIS projects before they are published
version_added: "0.1.0"
description:
  - Reads the projects (C(.qgs), C(.qgz)) and Lizmap's C(.cfg) files at the top of each folder, and says layer by
    layer what would not work on a Pi and how to mend it in QGIS Desktop.
  - Refused are projects that are none, or were saved by a newer QGIS; that hold a password; layers whose file is
    missing, lies outside of the folder or is given by a path of the laptop, whose database is not reached by the
    service C(poppyfield), that are temporary, or that need a server in the internet to open; and two projects with
    the same address.
  - Warned of are background tiles from the internet and a map that opens with these alone, pictures of symbols that
    the Pi will not have, and for Lizmap projects without a C(.cfg) or with one that does not fit.
  - Warned of is also what makes a map slow, a file without a spatial index or overviews, one with a million features
    that are drawn at all scales, and expressions that ask for other features or compute new shapes for each one.
  - A project that is refused withholds only itself, and the module succeeds where others can be published. It fails
    when none can, or when something is wrong with a whole folder.
  - Of data files only the heads are read, so that it is quick whatever their size. Whether tables exist and layers
    really open is asked of QGIS Server itself, see M(published_projects).
  - Runs where the folders are, usually on the controller with C(delegate_to).
requirements:
  - defusedxml
  - Pillow, without which nothing is said of overviews
options:
  repositories:
    description: The folders.
    type: list
    elements: dict
    required: true
    suboptions:
      repository:
        description: The name under which the folder is published (letters, digits, hyphen, underscore).
        type: str
        required: true
      folder:
        description: The folder.
        type: path
        required: true
      accept_newer_qgis:
        description: Whether a project that a newer QGIS saved is only warned of.
        type: bool
        default: false
      internet:
        description: Whether layers may come from servers, without which the project opens. They are only warned of.
        type: bool
        default: false
  qgis_server:
    description: Version of the QGIS Server that will draw the projects, such as V(3.40).
    type: str
    required: true
  web_client:
    description: With V(archive) the projects are for Lizmap Web Client, which has demands of its own.
    type: str
    choices: [archive, none]
    default: archive
  basemaps:
    description:
      - Files of base maps that the hosts have in the folder C(basemaps) beside the projects' (see
        M(delivered_basemaps)), such as V(valley.mbtiles), which a project may use as C(../basemaps/valley.mbtiles).
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Changes nothing, so it does the same in check mode.
  diff_mode:
    support: none
    description: Changes nothing, so there is no difference to show.
  idempotent:
    support: full
    description: Changes nothing, however often it runs.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Check the projects
  qgis_projects:
    repositories:
      - repository: fields
        folder: ~/maps/fields
    qgis_server: "3.40"
  delegate_to: localhost
"""

RETURN = r"""
projects:
  description: The projects that were found, as repository/project.
  returned: always
  type: list
  elements: str
withheld:
  description: Those that are refused, while others can be published.
  returned: always
  type: list
  elements: str
refused:
  description: What is wrong with them, in words.
  returned: always
  type: str
findings:
  description: What is wrong.
  returned: always
  type: list
  elements: dict
  contains:
    repository:
      description: The repository.
      type: str
    project:
      description: File of the project, empty when it is about the folder.
      type: str
    layer:
      description: Name of the layer, empty when it is about the whole project.
      type: str
    problem:
      description: What is wrong.
      type: str
    remedy:
      description: What to do about it.
      type: str
    refuses:
      description: Whether the project cannot be published like that. Otherwise it is a warning.
      type: bool
"""

import re
import traceback
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.poppyfield.projects import data_files
from ansible.module_utils.poppyfield.projects.findings import ProjectFinding, as_message, withheld_warning
from ansible.module_utils.poppyfield.projects.folder_difference import FolderError, beginning, walk
from ansible.module_utils.poppyfield.projects.qgis_project import (
    ENDINGS,
    LARGEST_PROJECT,
    Expected,
    RepositoryFolder,
    check_folder,
    parse_version,
)

MISSING = ""
try:
    import defusedxml  # noqa: F401 - qgis_project needs it
except ImportError:
    MISSING = traceback.format_exc()

REPOSITORY = re.compile(r"[A-Za-z0-9_-]+")

ARGUMENTS: dict[str, Any] = {
    "repositories": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "repository": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "accept_newer_qgis": {"type": "bool", "default": False},
            "internet": {"type": "bool", "default": False},
        },
    },
    "qgis_server": {"type": "str", "required": True},
    "web_client": {"type": "str", "choices": ["archive", "none"], "default": "archive"},
    "basemaps": {"type": "list", "elements": "str", "default": []},
}


def read_folder(repository: str, path: Path) -> tuple[RepositoryFolder, dict[str, bytes]]:
    """Give the names of what a folder holds, and the content of the projects at its top and of their .cfg files."""
    files = dict(walk(path))
    unfinished = {name: file.stat().st_size for name, file in walk(path, unfinished=True)}
    sizes = {name: file.stat().st_size for name, file in files.items()}
    folder = RepositoryFolder(repository, sizes, unfinished, data_files.read(files))
    wanted = (*ENDINGS, ".cfg")
    return folder, {
        name: beginning(file, LARGEST_PROJECT)
        for name, file in files.items()
        if "/" not in name and name.lower().endswith(wanted)
    }


def check_repository(
    given: dict[str, Any], server: tuple[int, int], *, lizmap: bool, basemaps: frozenset[str]
) -> tuple[list[str], list[ProjectFinding]]:
    """Check one folder: the names of its projects, and what is wrong."""
    repository, path = given["repository"], Path(given["folder"])
    if not REPOSITORY.fullmatch(repository):
        remedy = "Use letters, digits, hyphen and underscore."
        return [], [ProjectFinding(repository, "", "a repository cannot have such a name.", remedy)]
    if not path.is_dir():
        return [], [ProjectFinding(repository, "", f"there is no folder {path} on this laptop.", "Correct 'folder'.")]
    try:
        folder, contents = read_folder(repository, path)
    except FolderError as error:
        return [], [ProjectFinding(repository, "", str(error))]
    expected = Expected(server, lizmap, given["accept_newer_qgis"], given["internet"], basemaps)
    return [f"{repository}/{name}" for name in folder.projects()], check_folder(folder, contents, expected)


def check_all(params: dict[str, Any]) -> tuple[list[str], list[ProjectFinding]]:
    """Check every folder once, however many Pis have it."""
    projects: list[str] = []
    findings: list[ProjectFinding] = []
    unique = {tuple(sorted(given.items())): given for given in params["repositories"]}
    for given in unique.values():
        server = parse_version(params["qgis_server"])
        lizmap = params["web_client"] == "archive"
        names, found = check_repository(given, server, lizmap=lizmap, basemaps=frozenset(params["basemaps"]))
        projects += names
        findings += found
    return projects, findings


def withheld(projects: list[str], refused: list[ProjectFinding]) -> list[str]:
    """Name the projects that are left out; none when it is a whole folder that is refused, or no project is good."""
    bad = {f"{finding.repository}/{finding.project}" for finding in refused}
    if set(projects) <= bad or not all(finding.project for finding in refused):
        return []
    return sorted(bad)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if MISSING:
        module.fail_json(msg=missing_required_lib("defusedxml"), exception=MISSING)
    try:
        projects, findings = check_all(module.params)
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}.")
    refused = [finding for finding in findings if finding.refuses]
    told, left_out = as_message(refused), withheld(projects, refused)
    result = {
        **{"changed": False, "projects": projects, "findings": [finding.as_dict() for finding in findings]},
        **{"withheld": left_out, "refused": told},
    }
    for finding in findings:
        if not finding.refuses:
            module.warn(finding.sentence())
    if refused and not left_out:
        module.fail_json(msg=f"Nothing was changed. lizmap_projects: {told}", **result)
    if left_out:
        module.warn(withheld_warning(left_out, told))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
