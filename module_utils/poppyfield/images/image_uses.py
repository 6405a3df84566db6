"""Which fleet of this laptop asked for which version of an image last, so that none is taken from another.

A fleet is a checkout with its inventory. What each asked for last stands in a small file of the cache, one for each
image and fleet: whoever prunes keeps those versions. A fleet that was not seen for long is forgotten.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.images.image_names import ImageName

SECONDS_REMEMBERED = 90 * 24 * 3600
"""Longer than a season in the field without a run."""
SUFFIX = ".json"


def note(folder: Path, name: ImageName, fleet: str, reference: str) -> None:
    """Note that a fleet asked for this version of an image."""
    folder.mkdir(parents=True, exist_ok=True)
    # The fleet stands in it for people.
    content = json.dumps({"image": reference, "used_by": fleet}, indent=2) + "\n"
    atomic_file.write(folder / file_name(name, fleet), content.encode())


def used(folder: Path, name: ImageName, fleet: str, now: float) -> set[str]:
    """Give the references of an image that other fleets than this one asked for last."""
    own = file_name(name, fleet)
    found = set()
    for path in _files(folder, name):
        with suppress(OSError, ValueError, TypeError, KeyError):  # a damaged one, or just forgotten by another run
            if path.name != own and path.stat().st_mtime + SECONDS_REMEMBERED >= now:
                found.add(str(json.loads(path.read_bytes())["image"]))
    return {reference for reference in found if name.owns(reference)}


def forget(folder: Path, name: ImageName, before: float) -> None:
    """Remove what was noted of an image before a time."""
    for path in _files(folder, name):
        with suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()


def file_name(name: ImageName, fleet: str) -> str:
    """Give the name of the file in which the use of an image by a fleet is noted."""
    return f"{name.archive_stem()}{hashlib.sha256(fleet.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}{SUFFIX}"


def _files(folder: Path, name: ImageName) -> list[Path]:
    try:
        return [
            path
            for path in folder.iterdir()
            if path.name.startswith(name.archive_stem()) and path.name.endswith(SUFFIX) and not path.is_symlink()
        ]
    except OSError:
        return []
