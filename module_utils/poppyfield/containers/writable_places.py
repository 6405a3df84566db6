"""Where files can be put in a container whose own files are read-only: which folder of the host it is. Pure."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from ansible.module_utils.poppyfield.containers.spec import Json, clean_path, name_of
from ansible.module_utils.poppyfield.host.file_systems import is_within

KINDS = ("bind", "volume")
"""What is on the host's disk; a folder in memory is empty again with the next start."""


class PlaceError(Exception):
    """A path at which nothing can be put, in a sentence that says where it can."""


@dataclass(frozen=True)
class HostPlace:
    """A folder of a container that lies on the host."""

    folder: str
    """Of the host, what the container mounts."""
    below: tuple[str, ...] = ()
    """The names of the folders from there on."""


def writable(container: Json) -> list[str]:
    """Give the folders of a container that can be written to."""
    return sorted(str(mount["Destination"]) for mount in _mounts(container) if mount["RW"])


def place_of(container: Json, path: str) -> HostPlace:
    """Give the place on the host of a folder of a container; raise PlaceError where nothing can be put there."""
    wanted = clean_path(path)
    around = [mount for mount in container.get("Mounts") or [] if is_within(wanted, str(mount["Destination"]))]
    nearest = max(around, key=lambda mount: len(str(mount["Destination"])), default=None)
    if nearest is None or not nearest["RW"] or nearest["Type"] not in KINDS:
        places = ", ".join(writable(container)) or "none"
        raise PlaceError(
            f"Nothing can be put into {path} of {name_of(container)}. These folders of it can be written to: {places}."
        )
    rest = posixpath.relpath(wanted, str(nearest["Destination"]))
    return HostPlace(str(nearest["Source"]), () if rest == "." else tuple(rest.split("/")))


def _mounts(container: Json) -> list[Json]:
    return [mount for mount in container.get("Mounts") or [] if mount["Type"] in KINDS]
