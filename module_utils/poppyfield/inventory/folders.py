"""Folders on the Pi: where they may be, and that none lies inside another one. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from ansible.module_utils.poppyfield.containers import services
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown

DATABASE = "postgis_data_folder"
BESIDE_DATABASE = ("initial", "first-start")
"""Folders that the role postgis makes beside that of the data."""


def findings(host: Host) -> Iterator[Finding]:
    """Give what is wrong."""
    wanted = _wanted(host.values)
    wrong = [name for name, path in wanted.items() if not _is_a_place(path)]
    for name in wrong:
        yield Finding(
            name,
            "it must be the whole path of a folder on the Pi, not / itself, and without colons",
            "Begin it with a slash, as in /srv/poppyfield",
            shown(host.values[name]),
        )
    places = [(name, place) for name, path in wanted.items() if name not in wrong for place in _places(name, path)]
    told: set[tuple[str, str]] = set()
    for (one, first), (other, second) in combinations(places, 2):
        if one == other or (one, other) in told or not _meet(one, first, other, second):
            continue
        told.add((one, other))
        yield Finding(
            other,
            f"{second} and {first} of {one} are in one another",
            "Give each a folder of its own",
            shown(host.values[other]),
        )


def _wanted(values: Mapping[str, Any]) -> dict[str, str]:
    data = [variable for service in services.SERVICES for variable in service.data_folders]
    secrets = [f"{service.role}_secrets_folder" for service in services.SERVICES]
    return {name: str(values[name]) for name in [*data, *secrets] if name in values}


def _is_a_place(path: str) -> bool:
    # Docker reads a colon as the end of the path.
    return path.startswith("/") and _clean(path) != "/" and path.isprintable() and ":" not in path


def _clean(path: str) -> str:
    # Docker keeps no second slash at the beginning, which POSIX allows.
    return "/" + posixpath.normpath(path).lstrip("/")


def _places(name: str, path: str) -> list[str]:
    """Give a folder, and those that are made beside it."""
    place = _clean(path)
    beside = BESIDE_DATABASE if name == DATABASE else ()
    return [place, *(posixpath.join(posixpath.dirname(place), name) for name in beside)]


def _meet(one: str, first: str, other: str, second: str) -> bool:
    if first == second:
        return not (one.endswith("_secrets_folder") and other.endswith("_secrets_folder"))
    return f"{first}/".startswith(f"{second}/") or f"{second}/".startswith(f"{first}/")
