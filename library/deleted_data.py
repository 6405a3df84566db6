#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: data folders that are deleted with all that is in them."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: deleted_data
short_description: Delete the data of a map server, for good
version_added: "0.1.0"
description:
  - Deletes data folders with all that is in them, and what the host remembers of them, so that the next deployment
    begins with empty ones. Nothing brings the data back.
  - Only a folder that carries Poppyfield's mark is deleted, and where the host remembers which folder its data are in,
    only that one. Another folder, an old copy, or a mount point whose disk is missing is refused.
  - A folder is refused while a container mounts it or something in it, be it Poppyfield's or not, and while another
    data folder or a disk lies in it. When one of the folders is refused, none is deleted.
  - Passwords and settings of the host stay.
options:
  folders:
    description: By variable the folder that it names.
    type: dict
    required: true
  ignore_containers:
    description: Names of containers that are gone by then, for check mode.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Says what would be deleted, or refused.
  diff_mode:
    support: full
    description: Names the folders, not what is in them.
  idempotent:
    support: full
    description: A folder that is not there is not missed.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Delete the database's data, for good
  deleted_data:
    folders:
      postgis_data_folder: /srv/poppyfield/postgis/data
"""

RETURN = r"""
msg:
  description: What was done, or would be done in check mode, in one line.
  returned: always
  type: str
  sample: "deleted: /srv/poppyfield/postgis/data."
deleted:
  description: The folders that were deleted.
  returned: success
  type: list
  elements: str
"""

from collections.abc import Iterator
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, EngineMissingError
from ansible.module_utils.poppyfield.containers.services import SERVICES
from ansible.module_utils.poppyfield.containers.spec import Json, clean_path, name_of_listed
from ansible.module_utils.poppyfield.host import deletion
from ansible.module_utils.poppyfield.host.deletion import FolderToDelete

ARGUMENTS: dict[str, Any] = {
    "folders": {"type": "dict", "required": True},
    "ignore_containers": {"type": "list", "elements": "str", "default": []},
}

Users = list[tuple[str, list[str]]]


def users(ignored: list[str]) -> Users:
    """Give what each container of the host mounts, also one that does not run."""
    try:
        listed = Engine.connect().all_containers()
    except EngineMissingError:
        return []
    return [(name, sources) for name, sources in _mounting(listed) if name not in ignored]


def _mounting(listed: list[Json]) -> Iterator[tuple[str, list[str]]]:
    for entry in listed:
        sources = [str(mount["Source"]) for mount in entry.get("Mounts") or [] if mount.get("Source")]
        yield name_of_listed(entry), sources


def look(folders: dict[str, str], containers: Users) -> list[FolderToDelete]:
    """Look at all of them."""
    every = [variable for service in SERVICES for variable in service.data_folders]
    return [deletion.look(variable, clean_path(str(folder)), containers, every) for variable, folder in folders.items()]


def result_of(found: list[FolderToDelete], *, check_mode: bool) -> Json:
    """Give the module's return values."""
    deleted = [entry.folder for entry in found if not entry.is_gone]
    done = "would be deleted" if check_mode else "deleted"
    return {
        "changed": bool(deleted),
        "msg": f"{done}: {', '.join(deleted)}." if deleted else "there are no data to delete.",
        "deleted": deleted,
        "diff": {"before": dict.fromkeys(deleted, "present"), "after": dict.fromkeys(deleted, "absent")},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    ignored = module.params["ignore_containers"] if module.check_mode else []
    try:
        found = look(module.params["folders"], users(ignored))
        if problems := [words for entry in found if (words := deletion.problem(entry))]:
            module.fail_json(msg=f"Nothing was deleted. {' '.join(problems)}")
        if not module.check_mode:
            for entry in found:
                if not entry.is_gone:
                    deletion.delete(entry)
    except EngineError as error:
        module.fail_json(msg=f"Nothing was deleted. {error}")
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}.")
    module.exit_json(**result_of(found, check_mode=module.check_mode))


if __name__ == "__main__":
    main()
