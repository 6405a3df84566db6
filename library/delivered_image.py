#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: an image that this host's Docker Engine has, delivered from the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: delivered_image
short_description: Deliver a built image to a host that has no registry to pull it from
version_added: "0.1.0"
description:
  - The image counts as delivered when the host has it under its name with the digest that M(arm_image) gave it.
  - Otherwise its archive is uploaded from the controller over the connection that Ansible has already, loaded into
    the host's Docker Engine, and the upload removed again.
  - Layers that images on the host have already are not uploaded, so that an update carries little. Where the engine
    cannot put the image together with them, the whole archive is uploaded after all. An engine that keeps its images
    in containerd always gets the whole archive.
  - Of the versions of an image that were delivered before, the newest stay, so that there is one to go back to.
extends_documentation_fragment:
  - poppyfield_run
options:
  name:
    description: Full reference of the image, as M(arm_image) returns it.
    type: str
    required: true
  digest:
    description: Digest of the image, as M(arm_image) returns it.
    type: str
    required: true
  archive:
    description: Path of the archive on the controller. It is read only when the host lacks the image.
    type: path
  keep:
    description: How many versions of the image to keep on the host, this one included. Those in use always stay.
    type: int
    default: 2
  state:
    description: Whether the host should have this version of the image.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Uploads nothing. On a host without Docker it says that the image would be delivered.
  diff_mode:
    support: full
    description: Shows the reference before and after.
  idempotent:
    support: full
    description: A host that has the image is only looked at.
  action:
    support: full
    description: The action plugin of the same name uploads the archive.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Deliver the database image
  delivered_image:
    name: "{{ postgis.image }}"
    digest: "{{ postgis.digest }}"
    archive: "{{ postgis.archive }}"
"""

RETURN = r"""
image:
  description: Full reference of the image.
  returned: always
  type: str
digest:
  description: Digest of the image.
  returned: always
  type: str
image_id:
  description: Id of the image in the host's engine, empty when it is not there.
  returned: always
  type: str
present:
  description: Whether the host had the image before.
  returned: always
  type: bool
uploaded_bytes:
  description: How much was uploaded, compressed.
  returned: always
  type: int
pruned:
  description: References of old versions that were removed.
  returned: always
  type: list
  elements: str
reasons:
  description: Why something changed.
  returned: always
  type: list
  elements: str
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.containers.engine import (
    Engine,
    EngineError,
    EngineGoneError,
    EngineMissingError,
)
from ansible.module_utils.poppyfield.host import systemd
from ansible.module_utils.poppyfield.host.systemd import SystemdError
from ansible.module_utils.poppyfield.images import image_names
from ansible.module_utils.poppyfield.images.unfinished_loads import UnfinishedLoads
from ansible.module_utils.poppyfield.images.unused_layers import DockerFolder
from ansible.module_utils.poppyfield.runs import lock
from ansible.module_utils.poppyfield.runs.lock import LockError

START_SECONDS = 120
"""For Docker, after it was stopped."""
ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "digest": {"type": "str", "required": True},
    "archive": {"type": "path"},
    "keep": {"type": "int", "default": 2},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "run": lock.OPTION,
}


@contextmanager
def docker_stopped() -> Iterator[None]:
    """Have Docker stopped meanwhile; its containers start again with it."""
    systemd.do(systemd.run, "systemctl", "stop", "docker.socket", "docker.service")
    try:
        yield
    finally:
        systemd.do(systemd.run, "systemctl", "start", "docker.service")


def converge(
    engine: Engine,
    params: dict[str, Any],
    *,
    look_only: bool,
    unfinished: UnfinishedLoads | None = None,
    stopped: Callable[[], AbstractContextManager[None]] = docker_stopped,
) -> dict[str, Any]:
    """Say whether the host has the image; unless only looking, load or remove it."""
    unfinished = unfinished or UnfinishedLoads()
    reference, digest = params["name"], params["digest"]
    wanted = params["state"] == "present"
    cut_off = wanted and unfinished.has(reference)
    # Docker may fail on what is left of it.
    found = None if cut_off else engine.image(reference)
    has_it = found is not None and image_names.digest_of(found) == digest
    if not wanted and found is not None and not image_names.digest_of(found):
        raise EngineError(f"The image {reference} was not made by Poppyfield, so it is left alone.")
    differs = (not has_it) if wanted else found is not None
    pruned: list[str] = []
    if differs and not look_only:
        if wanted:
            pruned = _deliver(engine, params, unfinished, stopped)
        elif not engine.remove_image(reference):
            raise EngineError(f"The image {reference} is in use by a container, so it cannot be removed.")
        found = engine.image(reference)
    result = _result(params, present=has_it, changed=differs, image_id=(found or {}).get("Id", ""), pruned=pruned)
    if differs and wanted and look_only:
        # Of what was being loaded nobody knows what is whole.
        result["layers"] = [] if cut_off else engine.layers_for_loading()
    return result


def _deliver(
    engine: Engine,
    params: dict[str, Any],
    unfinished: UnfinishedLoads,
    stopped: Callable[[], AbstractContextManager[None]],
) -> list[str]:
    reference = params["name"]
    archive = params["archive"]
    if not archive:
        raise EngineError(f"The image {reference} is not on this host, and no archive was given to load it from.")
    if not Path(archive).is_file():
        raise EngineError(f"There is no archive at {archive} on this host: it is the action plugin that uploads it.")
    _load(engine, params, unfinished, stopped())
    if image_names.digest_of(engine.image(reference)) != params["digest"]:
        raise EngineError(f"The archive does not hold {reference} with the digest {params['digest']}.")
    name = image_names.split(reference)
    old = image_names.to_prune(name, engine.images(name.repository), params["keep"], reference)
    return [tag for tag in old if engine.remove_image(tag)]


def _load(
    engine: Engine, params: dict[str, Any], unfinished: UnfinishedLoads, docker: AbstractContextManager[None]
) -> None:
    """Load an image so that it is on the disk, after what an earlier load has left that was cut off by the power."""
    reference = params["name"]
    cut_off = unfinished.has(reference)
    if cut_off:
        folder = DockerFolder(Path(engine.about()["DockerRootDir"]))
        if folder.is_known():
            with docker:
                folder.forget(reference, params["digest"])
                folder.remove_unused()
            engine.wait(START_SECONDS)
    unfinished.begin(reference)
    try:
        engine.load_image(Path(params["archive"]))
    except EngineError as error:
        # What Docker itself refuses it takes back: that is no load that was cut off.
        if not (cut_off or isinstance(error, EngineGoneError)):
            unfinished.end(reference)
        raise
    engine.flush()
    unfinished.end(reference)


def _result(
    params: dict[str, Any], *, present: bool, changed: bool, image_id: str = "", pruned: list[str] | None = None
) -> dict[str, Any]:
    reference = params["name"]
    wanted = params["state"]
    other = "absent" if wanted == "present" else "present"
    before = other if changed else wanted
    return {
        "changed": changed,
        "image": reference,
        "digest": params["digest"],
        "image_id": image_id,
        "present": present,
        "uploaded_bytes": 0,
        "pruned": pruned or [],
        "reasons": [f"image {reference}: {before} -> {wanted}"] if changed else [],
        "diff": {"before": {reference: before}, "after": {reference: wanted}},
    }


def main() -> None:
    """Run the module."""
    arguments = {**ARGUMENTS, "_look_only": {"type": "bool", "default": False}}
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    look_only = module.check_mode or module.params["_look_only"]
    try:
        lock.take(None if module.check_mode else module.params["run"])
        result = converge(Engine.connect(), module.params, look_only=look_only)
    except EngineMissingError as error:
        if not module.check_mode:
            module.fail_json(msg=str(error))
        wanted = module.params["state"] == "present"
        result = _result(module.params, present=False, changed=wanted)
        result["reasons"] = [str(error), *result["reasons"]]
    except (EngineError, LockError, SystemdError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
