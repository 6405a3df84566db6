#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: files between a container of ours and the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: container_files
short_description: Bring files and folders out of a container to the controller, or into it
version_added: "0.1.0"
description:
  - With O(direction=out) what is at O(path) of the container is copied into a folder of the controller, which has a
    folder for each host. The container need not run. Links and devices are left out and named.
  - With O(direction=in) a file or folder of the controller is copied to O(path). Since a container's own files are
    read-only, that works only in the folders of the host that it mounts and can write to; elsewhere it is refused with
    the list of these. The files belong to whom such a folder belongs to, and nobody else can write to them.
  - Files are there whole or not at all, each with the checksum that it had where it comes from. One that is there
    already with another content is replaced only with O(replace); others in the same folder stay.
  - At most 10000 files and 1024 MB are taken at once. What a host sends is judged on the controller before any of it is
    written, and leads to no other folder; through no link of a container's is anything of its host read or written.
  - A container that Poppyfield did not make is left alone.
options:
  container:
    description: Name of the container.
    type: str
    required: true
  service:
    description: The service that it belongs to, as its label says.
    type: str
    required: true
  direction:
    description: Out of the container, or into it.
    type: str
    choices: [out, in]
    required: true
  path:
    description:
      - The whole path in the container. With O(direction=in), the name that the file or folder gets; with a slash at
        the end, the folder into which it is put under its own name.
    type: str
    required: true
  src:
    description: File or folder on the controller, for O(direction=in).
    type: path
  dest:
    description: Folder on the controller, for O(direction=out). It is made when missing.
    type: path
  replace:
    description: Whether files with another content are replaced.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Reads on both sides, and says which files would be written.
  diff_mode:
    support: full
    description: Names the files, without their content.
  idempotent:
    support: full
    description: Files that are there with the same content stay as they are.
  action:
    support: full
    description: The action plugin of the same name does what is done on the controller.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Fetch Lizmap's settings
  container_files:
    container: websig-lizmap
    service: lizmap
    direction: out
    path: /srv/lizmap
    dest: fetched

- name: Put a picture into Lizmap's folder
  container_files:
    container: websig-lizmap
    service: lizmap
    direction: in
    src: logo.png
    path: /srv/lizmap/
"""

RETURN = r"""
msg:
  description: What was done, or would be done in check mode, in a sentence.
  returned: always
  type: str
  sample: 2 files (0.1 MB) fetched to /home/ann/fetched/pi-marsh.
files:
  description: Files that were written, or would be.
  returned: success
  type: list
  elements: str
left_out:
  description: What is no file or folder, and so was left out, with O(direction=out).
  returned: success
  type: list
  elements: str
"""

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers import own_container, parcel, placed_files, writable_places
from ansible.module_utils.poppyfield.containers.apply import ApplyError, container_lock
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.containers.parcel import Parcel, ParcelError
from ansible.module_utils.poppyfield.containers.plan import PlanError
from ansible.module_utils.poppyfield.containers.spec import Json
from ansible.module_utils.poppyfield.containers.writable_places import HostPlace, PlaceError
from ansible.module_utils.poppyfield.host import data_folders
from ansible.module_utils.poppyfield.host.beneath import BeneathError

ARGUMENTS: dict[str, Any] = {
    "container": {"type": "str", "required": True},
    "service": {"type": "str", "required": True},
    "direction": {"type": "str", "choices": ["out", "in"], "required": True},
    "path": {"type": "str", "required": True},
    "src": {"type": "path"},
    "dest": {"type": "path"},
    "replace": {"type": "bool", "default": False},
}
OF_PLUGIN: dict[str, Any] = {"_contents": {"type": "path"}, "_parcel": {"type": "dict"}}
"""What the action plugin hands over: where the contents of the files are, or shall be, and their list."""
ROOM_LEFT = 256 * 1024 * 1024
"""What a disk keeps free while files are on their way."""


def fetch(engine: Engine, container: Json, path: str, contents: str | None) -> Json:
    """Say what is at a path of the container, and write it to a file where one is named."""
    most = parcel.LARGEST
    if contents:
        disk = os.statvfs(Path(contents).parent)
        most = min(most, max(disk.f_bavail * disk.f_frsize - ROOM_LEFT, 0))
    with _new_file(contents) if contents else nullcontext() as stream:
        write = stream.write if stream else len
        found, left_out = parcel.of_archive(engine.files_of(container["Id"], path), write, most)
    return {"changed": False, "_parcel": found.plain(), "left_out": left_out, "msg": f"{len(found.files)} files found."}


def _new_file(path: str) -> IO[bytes]:
    """Make a file for the user who logs in: it is his temporary folder."""
    folder = Path(path).parent.stat()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.fchown(handle, folder.st_uid, folder.st_gid)
    return os.fdopen(handle, "wb")


def put(container: Json, params: dict[str, Any], *, write: bool) -> Json:
    """Say which files differ, and write them where that is wanted."""
    given = parcel.parse(params["_parcel"])
    place = writable_places.place_of(container, params["path"])
    _refuse_marks(place, given)
    missing, others = placed_files.compare(place.folder, place.below, given)
    if others and not params["replace"]:
        raise PlaceError(
            f"Nothing was put: these are there already with another content: {parcel.named(others)}. Replace them with "
            f"-e replace=true, or choose another path."
        )
    wanted = [*missing, *others]
    folders = placed_files.missing_folders(place.folder, place.below, given)
    if write and params["_contents"]:
        sent = replace(given.only(wanted), folders=given.folders)
        with Path(params["_contents"]).open("rb") as stream:
            placed_files.place(place.folder, place.below, sent, stream, wanted=set(wanted), modes=parcel.MODES)
    return {
        "changed": bool(wanted or folders),
        "files": wanted,
        "diff": {
            "before": {**dict.fromkeys(missing, "absent"), **dict.fromkeys(others, "another content")},
            "after": dict.fromkeys(wanted, "as on the laptop"),
        },
        "msg": _said(wanted, folders, f"{params['path']} of {params['container']}", done=write),
    }


def _said(wanted: list[str], folders: list[str], place: str, *, done: bool) -> str:
    if not wanted and not folders:
        return f"All files are in {place} already."
    return f"{len(wanted)} files {'put' if done else 'would be put'} into {place}."


def _refuse_marks(place: HostPlace, given: Parcel) -> None:
    names = [*place.below, *(name for file in given.files for name in file.path.split("/"))]
    if any(name.startswith(data_folders.PREFIX) for name in names):
        raise PlaceError(f"Files whose names begin with {data_folders.PREFIX} are Poppyfield's own: nothing was put.")


def converge(engine: Engine, params: dict[str, Any], *, check_mode: bool) -> Json:
    """Look, and write where that is wanted."""
    if not params["path"].startswith("/"):
        raise PlaceError(f"path must be a whole path in the container, as /srv/data, not {params['path']}.")
    container = own_container.require(engine, params["service"], params["container"])
    if params["direction"] == "out":
        return fetch(engine, container, params["path"], None if check_mode else params["_contents"])
    writing = bool(params["_contents"]) and not check_mode
    with container_lock(params["container"]) if writing else nullcontext():
        return put(container, params, write=writing)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={**ARGUMENTS, **OF_PLUGIN}, supports_check_mode=True)
    try:
        result = converge(Engine.connect(), module.params, check_mode=module.check_mode)
    except (ApplyError, BeneathError, EngineError, PlaceError, PlanError) as error:
        module.fail_json(msg=str(error))
    except ParcelError as error:
        module.fail_json(msg=f"{module.params['path']}: {error}")
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
