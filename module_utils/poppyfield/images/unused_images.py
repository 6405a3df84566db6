"""Which of a host's images of ours are used, which are kept to go back to, and which nothing needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible.module_utils.poppyfield.containers.spec import Json, name_of_listed
from ansible.module_utils.poppyfield.images import image_names

KEEP = 2
"""Versions of each image that stay besides those in use, as at a delivery: the newest, and the one to go back to."""
MB = 1_000_000


def describe(images: Sequence[Json], containers: Iterable[Json], now: datetime) -> list[Json]:
    """Give a row for each name of our images, and for each image without one; `unused` are those that can go."""
    users = _users(containers)
    old = _old(images)
    return [
        {
            "reference": reference or image["Id"],
            "megabytes": round(image["Size"] / MB),
            "days": _days(image, now),
            "used_by": users.get(image["Id"], []),
            "unused": image["Id"] not in users and (not reference or reference in old),
        }
        for image in sorted(images, key=lambda image: (_references(image), image["Id"]))
        for reference in _references(image) or [""]
    ]


def of_repositories(images: Iterable[Json], repositories: Sequence[str]) -> list[Json]:
    """Give the images of these repositories, or all of them where none is named."""
    if not repositories:
        return list(images)
    return [
        image
        for image in images
        if any(image_names.split(reference).repository in repositories for reference in _references(image))
    ]


def row_words(row: Mapping[str, Any]) -> str:
    """Say in one line what there is to know of an image."""
    use = f"used by {', '.join(row['used_by'])}" if row["used_by"] else "unused" if row["unused"] else "kept"
    return f"{row['reference']}  {row['megabytes']} MB  {_count(row['days'], 'day')} old  {use}"


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say in one line how many images there are, and how many can go."""
    unused = [row for row in rows if row["unused"]]
    found = f"{_count(len(rows), 'image')} of {sum(row['megabytes'] for row in rows)} MB"
    if not unused:
        return f"{found}, none of them unused."
    size = sum(row["megabytes"] for row in unused)
    return f"{found}, {len(unused)} of them unused ({size} MB): -e remove_unused=true removes what is unused."


def _users(containers: Iterable[Json]) -> dict[str, list[str]]:
    """Give the names of the containers of each image, whoever made them, running or not."""
    found: dict[str, list[str]] = {}
    for container in containers:
        found.setdefault(container["ImageID"], []).append(name_of_listed(container))
    return {image: sorted(names) for image, names in found.items()}


def _old(images: Sequence[Json]) -> set[str]:
    """Give the references of all versions but the newest ones."""
    names = {image_names.split(reference) for image in images for reference in _references(image)}
    return {reference for name in names for reference in image_names.to_prune(name, images, KEEP)}


def _references(image: Json) -> list[str]:
    return sorted(image.get("RepoTags") or [])


def _days(image: Json, now: datetime) -> int:
    """Give for how long a host has had an image: its own date is that of its build, or none at all."""
    tagged = (image.get("Metadata") or {}).get("LastTagTime") or ""
    moment = tagged if tagged and not tagged.startswith("0001-") else image.get("Created") or ""
    return max((now - datetime.fromisoformat(moment)).days, 0) if moment else 0


def _count(number: int, of: str) -> str:
    return f"{number} {of}" if number == 1 else f"{number} {of}s"
