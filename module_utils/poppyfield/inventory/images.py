"""The images: what the profile makes possible, and what all Pis of a run must share. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ansible.module_utils.poppyfield.containers.services import SERVICES
from ansible.module_utils.poppyfield.images import git_context, profiles
from ansible.module_utils.poppyfield.images.context_digest import ContextError
from ansible.module_utils.poppyfield.inventory.laptop import Laptop
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown

SHARED_PREFIX = "arm_images_"
OF_LIZMAP = (
    "lizmap_archive",
    "lizmap_archive_sha256",
    "lizmap_server_plugin",
    "lizmap_server_plugin_sha256",
    "lizmap_server_extra_plugins",
)
"""What is built into the image of the map server, if it has Lizmap."""

IN_REGISTRY = "docker-image://"
"""What BuildKit writes before an image in place of a build context."""
IMAGE = re.compile(r"[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[a-z0-9._-]+)*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?")


def findings(host: Host, laptop: Laptop) -> Iterator[Finding]:
    """Give the architectures that the profile has no packages for, and lists of packages that are not there."""
    profile = profiles.table().get(host.values["arm_images_profile"])
    wanted = host.values["arm_images_architectures"]
    impossible = sorted(set(wanted) - set(profile["architectures"])) if profile else []
    if impossible:
        yield Finding(
            "arm_images_architectures",
            f"the profile {host.values['arm_images_profile']} has no images for {', '.join(impossible)}",
            profiles.what_fits(),
            shown(wanted),
        )
    lists = host.values["arm_images_lock_folder"]
    if lists and not laptop.is_folder(lists):
        yield Finding("arm_images_lock_folder", "it is not a folder on this laptop", "Correct it", shown(lists))
    for service, context in host.values["arm_images_contexts"].items():
        yield from _of_context(str(service), str(context), laptop)


def _of_context(service: str, context: str, laptop: Laptop) -> Iterator[Finding]:
    """Give what is wrong with where an image is to be built from; a password in it is not shown."""
    name, value = f"arm_images_contexts.{service}", shown(git_context.without_credentials(context))
    names = [one.name for one in SERVICES]
    if service not in names:
        yield Finding(name, "there is no such service", f"Write {' or '.join(names)}", value)
        return
    if context.startswith(IN_REGISTRY):
        if not IMAGE.fullmatch(context.removeprefix(IN_REGISTRY)):
            remedy = f"Write {IN_REGISTRY}REGISTRY/NAME:TAG, and leave a password to docker login"
            yield Finding(name, "after docker-image:// is no name of an image", remedy, value)
        return
    try:
        git = git_context.parse(context)
    except ContextError as error:
        yield Finding(name, f"it cannot be read: {error}", "Correct it", value)
        return
    if git and git.credentials:
        yield Finding(
            name, "there is a password in it", "Leave it to git's credential helper, or use an SSH key", value
        )
    if git is None and not laptop.is_file(f"{context}/Dockerfile"):
        yield Finding(name, "there is no Dockerfile in that folder of this laptop", "Correct it", value)


def shared(hosts: Sequence[Host]) -> Iterator[tuple[str, Finding]]:
    """Give what the hosts do not agree on, since images are built once for all of them."""
    names = [name for name in hosts[0].values if name.startswith(SHARED_PREFIX)] if hosts else []
    names += ["lizmap_web_client"]
    if any(host.values["lizmap_web_client"] == "archive" for host in hosts):
        names += OF_LIZMAP
    for name in names:
        by_value: dict[str, list[Host]] = {}
        for host in hosts:
            by_value.setdefault(_exactly(host.values[name]), []).append(host)
        if len(by_value) > 1:
            said = ", but ".join(_said(some, name) for some in by_value.values())
            finding = Finding(
                name,
                f"the images are built once for all Pis of a run, so these must agree, but do not ({said})",
                "Write it once, in the group_vars of all Pis, or run each kind by itself with --limit",
            )
            yield from ((host.name, finding) for host in hosts)


def _exactly(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _said(hosts: Sequence[Host], name: str) -> str:
    return f"{', '.join(host.name for host in hosts)}: {shown(hosts[0].values[name])}"
