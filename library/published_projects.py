#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: a repository of QGIS projects on this host, as it is in a folder of the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: published_projects
short_description: Publish a folder of QGIS projects, checked and at once
version_added: "0.1.0"
description:
  - Keeps a repository (a folder of QGIS projects with their data, media and Lizmap's C(.cfg) files) on a host as it
    is in a folder on the controller. Only files that changed travel, over the connection that Ansible has already.
  - The new folder is put together beside the published one, where the map server sees it and visitors do not. There
    QGIS Server opens each project and draws it. One that fails is withheld. What is published of it stays, the others
    are published, and RV(refused) names the project, the layer, the cause and the remedy.
  - The module fails, and nothing changes, when QGIS Server refuses every project, or one that did not change.
  - The new folder then takes the old one's place in one step, so that nobody sees half a project. A power cut leaves
    the old or the new one, whole, and the next run goes on from there.
  - Large files travel in pieces. Where a run was cut off, the next one sends what is missing.
  - A file that somebody changed on the host is noticed and put back. Content is compared, not times, but what did not
    change since the last run is not read again.
  - Backups (names with C(~) at the end), hidden files, and what SQLite keeps beside an open database are not
    published.
  - What can be seen without the map server, M(qgis_projects) checks before anything is changed.
options:
  repository:
    description: Name of the repository (letters, digits, hyphen, underscore). Needed unless O(repositories) is given.
    type: str
  repositories:
    description:
      - Several repositories in place of O(repository), O(folder) and O(prune). All are looked at in one execution on
        the host, and those that differ are published one after the other.
    type: list
    elements: dict
    suboptions:
      repository:
        description: Name of the repository.
        type: str
        required: true
      folder:
        description: The folder on the controller.
        type: path
        required: true
      prune:
        description: Whether files that are on the host only are removed.
        type: bool
        default: false
      internet:
        description: As O(internet).
        type: bool
        default: false
      withheld:
        description: See O(withheld).
        type: list
        elements: str
        default: []
  folder:
    description: The folder on the controller. Needed unless O(state=absent).
    type: path
  projects_folder:
    description: Folder on the host with one folder for each repository. It must exist.
    type: path
    default: /srv/poppyfield/lizmap/projects
  internet:
    description:
      - Whether a project is published, too, that opens only without its layers of servers, such as WMS, while the host
        does not reach these.
    type: bool
    default: false
  prune:
    description:
      - Whether files that are on the host only are removed. Otherwise they stay, and a warning names them.
    type: bool
    default: false
  withheld:
    description:
      - Files of projects in the folder that are not published. What is on the host of them stays as it is, and as long
        as there are such projects, O(prune) removes nothing.
    type: list
    elements: str
    default: []
  container:
    description:
      - Name of the map server's container, in which the projects are checked. It must run, unless O(state=absent).
    type: str
    default: websig-lizmap
  unpack:
    description:
      - Whether a project that is saved as C(.qgz) is published as C(.qgs), without what else it holds. Lizmap Web
        Client shows no others.
    type: bool
    default: false
  database:
    description:
      - The database that the projects show, which is asked for what makes their layers slow. That is warned of.
      - Not asked when empty.
    type: str
    default: ""
  database_container:
    description: Name of the database's container.
    type: str
    default: websig-postgis
  check_timeout:
    description: Seconds that QGIS Server may take to open and draw one project.
    type: int
    default: 300
  owner:
    description: Number of the user that the files belong to.
    type: int
    default: 0
  group:
    description: Number of the group that the files belong to.
    type: int
    default: 0
  state:
    description:
      - With V(present) the host publishes what the folder holds.
      - With V(absent) it does not publish the repository, and its files there are removed. The controller's folder
        stays.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Works on a bare host too. Nothing is sent, so the projects are not opened.
  diff_mode:
    support: full
    description: Shows each file that is added, changed or removed, with its size and digest.
  idempotent:
    support: full
    description: A repository that is as it should be is only looked at, and its projects are opened and drawn.
  action:
    support: full
    description: The action plugin of the same name reads the folder on the controller and sends what is missing.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Publish the projects of the fields
  published_projects:
    repository: fields
    folder: ~/maps/fields

- name: Publish exactly what the folder holds
  published_projects:
    repository: fields
    folder: ~/maps/fields
    prune: true

- name: Publish two repositories
  published_projects:
    repositories:
      - {repository: fields, folder: ~/maps/fields}
      - {repository: nests, folder: ~/maps/nests, prune: true}

- name: Withdraw a repository
  published_projects:
    repository: fields
    state: absent
"""

RETURN = r"""
results:
  description: What the other keys tell, for each of O(repositories) by name.
  returned: with O(repositories)
  type: dict
others:
  description:
    - Repositories that earlier runs published and that are not among O(repositories).
    - M(withdrawn_repositories) is for them.
  returned: with O(repositories)
  type: list
  elements: str
has_basemaps:
  description: Whether there are base maps, which M(delivered_basemaps) keeps.
  returned: with O(repositories)
  type: bool
added:
  description: Files that were added.
  returned: with O(repository)
  type: list
  elements: str
updated:
  description: Files whose content was replaced.
  returned: with O(repository)
  type: list
  elements: str
corrected:
  description: Files whose owner or mode was put right.
  returned: with O(repository)
  type: list
  elements: str
removed:
  description: Files that were removed.
  returned: with O(repository)
  type: list
  elements: str
left:
  description: Files that are on the host only and stayed, because O(prune) is false.
  returned: with O(repository)
  type: list
  elements: str
uploaded_bytes:
  description: How much was sent, packed.
  returned: with O(repository)
  type: int
checked:
  description: Projects that QGIS Server opened and drew, before they were published or, unchanged, where they are.
  returned: with O(repository)
  type: list
  elements: str
findings:
  description: What QGIS Server found wrong, with the keys of the findings of M(qgis_projects).
  returned: with O(repository)
  type: list
  elements: dict
slow:
  description:
    - Layers whose table has no spatial index, or a million rows that are drawn at all scales, with the keys of the
      findings of M(qgis_projects).
  returned: with O(repository)
  type: list
  elements: dict
withheld:
  description: Projects that QGIS Server refused, so that the others alone were published.
  returned: when there are any, and with O(repositories)
  type: list
  elements: str
refused:
  description: What is wrong with them, in words.
  returned: when there are any, and with O(repositories)
  type: str
reasons:
  description: Why something changed.
  returned: always
  type: list
  elements: str
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.containers.services import LIZMAP, POSTGIS
from ansible.module_utils.poppyfield.postgis import postgres, spatial_tables
from ansible.module_utils.poppyfield.projects import slow_layers
from ansible.module_utils.poppyfield.projects.findings import ProjectFinding, as_message
from ansible.module_utils.poppyfield.projects.folder_difference import (
    File,
    FolderDifference,
    FolderError,
    before_and_after,
    compare,
    missing,
    not_begun,
    of_projects,
    shown,
    too_little_room,
)
from ansible.module_utils.poppyfield.projects.published_folder import (
    BASEMAPS,
    PublishedFolder,
    published_repositories,
)
from ansible.module_utils.poppyfield.projects.server_checks import ProjectServer, check_projects
from ansible.module_utils.poppyfield.projects.withdrawal import withdraw

Json = dict[str, Any]

ARGUMENTS: Json = {
    "repository": {"type": "str"},
    "repositories": {
        "type": "list",
        "elements": "dict",
        "options": {
            "repository": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "prune": {"type": "bool", "default": False},
            "internet": {"type": "bool", "default": False},
            "withheld": {"type": "list", "elements": "str", "default": []},
        },
    },
    "folder": {"type": "path"},
    "projects_folder": {"type": "path", "default": "/srv/poppyfield/lizmap/projects"},
    "prune": {"type": "bool", "default": False},
    "internet": {"type": "bool", "default": False},
    "withheld": {"type": "list", "elements": "str", "default": []},
    "container": {"type": "str", "default": LIZMAP.container},
    "unpack": {"type": "bool", "default": False},
    "database": {"type": "str", "default": ""},
    "database_container": {"type": "str", "default": POSTGIS.container},
    "check_timeout": {"type": "int", "default": 300},
    "owner": {"type": "int", "default": 0},
    "group": {"type": "int", "default": 0},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
# What the action plugin gives, of each repository and of all.
CONTENT: Json = {"_files": {"type": "dict", "default": {}}, "_projects": {"type": "dict", "default": {}}}
INTERNAL: Json = {**CONTENT, "_step": {"type": "str"}, "_archive": {"type": "path"}}


class RefusedError(Exception):
    """Projects that QGIS Server cannot publish."""

    def __init__(self, findings: list[ProjectFinding]) -> None:
        super().__init__(as_message(findings))
        self.findings = findings


def look_at_all(params: Json, *, check_mode: bool) -> Json:
    """Look at several repositories; give what is said of each."""
    results = [converge({**params, **entry}, check_mode=check_mode) for entry in params["repositories"]]
    named = {entry["repository"] for entry in params["repositories"]}
    projects_folder = Path(params["projects_folder"])
    others = [name for name in published_repositories(projects_folder) if name not in named]
    return {
        "changed": any(result["changed"] for result in results),
        "results": results,
        "others": [shown(name) for name in others],
        "has_basemaps": (projects_folder / BASEMAPS).is_dir(),
    }


def converge(params: Json, *, check_mode: bool) -> Json:
    """Do one step of publishing, or withdraw the repository."""
    folder = PublishedFolder(Path(params["projects_folder"]), params["repository"], params["owner"], params["group"])
    if params["state"] == "absent":
        return _withdraw(folder, params, check_mode=check_mode)
    wanted = {name: File(*file) for name, file in params["_files"].items()}
    if params["_step"] == "receive":
        with folder.locked():
            return {"changed": True, "received_bytes": folder.receive(Path(params["_archive"]))}
    found = folder.found()
    wanted |= {name: File(*found[name][:2]) for name in of_projects(params["withheld"]) if name in found}
    # A project that stays may need any of the files.
    prune = params["prune"] and not params["withheld"]
    difference = compare(wanted, found, prune=prune)
    before, after = before_and_after(wanted, found, difference)
    result = _result(difference, before, after)
    if params["_step"] == "publish":
        checked = _publish(folder, wanted, {**params, "prune": prune}, is_new=not found)
        return result | {"checked": checked} | _slow(params)
    needed = missing(wanted, difference, folder.arrived())
    begun = folder.begun()
    if problem := too_little_room(not_begun(needed, begun), folder.free_bytes()):
        raise FolderError(problem)
    if not difference and not check_mode:
        with folder.locked():
            folder.settle()
        # They are as they were, but what they show may have gone from the database.
        server = ProjectServer(Engine.connect(), params["container"], params["check_timeout"])
        result["checked"] = _check(server, folder, folder.path, params)
        result |= _slow(params)
    return result | {"_missing": needed, "_begun": begun}


def _publish(folder: PublishedFolder, wanted: dict[str, File], params: Json, *, is_new: bool) -> list[str]:
    checked: list[str] = []
    server = ProjectServer(Engine.connect(), params["container"], params["check_timeout"])

    def check(staged: Path) -> None:
        checked.extend(_check(server, folder, staged, params))
        server.wait_until_refreshable()

    with folder.locked():
        folder.publish(wanted, prune=params["prune"], check=check, swapped=server.refresh)
    if is_new:
        server.know(params["repository"])
    return checked


def _check(server: ProjectServer, folder: PublishedFolder, place: Path, params: Json) -> list[str]:
    """Have QGIS Server open and draw the projects in a place; name them."""
    inside = f"/srv/projects/{place.relative_to(folder.projects_folder).as_posix()}"
    names, findings = check_projects(
        server, params["repository"], inside, params["_projects"], without_servers=params["internet"]
    )
    if findings:
        raise RefusedError(findings)
    return list(names)


def _slow(params: Json) -> Json:
    """Look for what makes the projects slow, of which the action plugin warns."""
    layers = [layer for layers in params["_projects"].values() for layer in layers.values()]
    if not params["database"] or not any("place" in layer for layer in layers):
        return {}
    script = spatial_tables.script(params["database"])
    try:
        asked = Engine.connect().execute(
            params["database_container"], postgres.SUPERUSER, postgres.SUPERUSER_PSQL, [script.encode()]
        )
    except EngineError:
        return {}
    # A database that does not answer is told by others: here it is only not known what is slow.
    tables = spatial_tables.read(asked.output) if not asked.code else {}
    found = slow_layers.of_tables(params["repository"], params["_projects"], tables)
    return {"slow": [one.as_dict() for one in found]}


def _withdraw(folder: PublishedFolder, params: Json, *, check_mode: bool) -> Json:
    found = folder.found()
    there = folder.path.is_dir()
    difference = compare({}, found, prune=True)
    before, after = before_and_after({}, found, difference)
    if there and not check_mode:
        withdraw([folder], params["container"], params["check_timeout"], remove=True)
    result = _result(difference, before, after)
    return result | {
        "changed": there,
        "reasons": [f"repository {folder.path.name}: present -> absent"] if there else [],
    }


def _result(difference: FolderDifference, before: dict[str, str], after: dict[str, str]) -> Json:
    return {
        "changed": bool(difference),
        "added": list(difference.added),
        "updated": list(difference.changed),
        "corrected": list(difference.corrected),
        "removed": [shown(name) for name in difference.removed],
        "left": [shown(name) for name in difference.left],
        "uploaded_bytes": 0,
        "checked": [],
        "findings": [],
        "slow": [],
        "reasons": difference.reasons(),
        "diff": {"before": before, "after": after},
    }


def arguments_with_content() -> Json:
    """Give the module's arguments with what the action plugin adds."""
    many = ARGUMENTS["repositories"]
    each = {**many, "options": {**many["options"], **CONTENT}}
    return {**ARGUMENTS, **INTERNAL, "repositories": each}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=arguments_with_content(),
        supports_check_mode=True,
        required_one_of=[("repository", "repositories")],
        mutually_exclusive=[("repository", "repositories"), ("folder", "repositories")],
    )
    if module.params["state"] == "present" and not module.params["_step"]:
        module.fail_json(msg="It is the action plugin of the same name that reads the folder on the controller.")
    try:
        do = converge if module.params["repositories"] is None else look_at_all
        result = do(module.params, check_mode=module.check_mode)
    except RefusedError as error:
        module.fail_json(msg=str(error), findings=[finding.as_dict() for finding in error.findings])
    except (FolderError, EngineError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {shown(str(error.filename))}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
