"""The lock of a set of images: the packages that their builds recorded, to be installed again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ansible.module_utils.poppyfield.containers.services import SERVICES

from image_contents.archive import RECORD, ImageArchiveError, read

NAMES = "|".join(service.name for service in SERVICES)
ARCHIVE = re.compile(rf"poppyfield-(?:{NAMES})-(?P<prefix>.+)-[0-9a-f]+\.tar\..+")


def locks(archives: Iterable[Path]) -> dict[str, str]:
    """Give the lock of each profile and architecture, such as trixie-arm64, from the archives of its images."""
    records: dict[str, set[str]] = {}
    for archive in archives:
        if match := ARCHIVE.fullmatch(archive.name):
            record = read(archive).files.texts.get(RECORD)
            if record is None:
                raise ImageArchiveError(f"{archive} has no record of its packages: build the image again.")
            records.setdefault(match["prefix"], set()).update(record.decode("utf-8").splitlines())
    return {prefix: text(prefix, lines) for prefix, lines in records.items()}


def text(prefix: str, lines: Iterable[str]) -> str:
    """Give the content of a lock; raise ArchiveError when the images have different versions of a package."""
    found: dict[str, str] = {}
    for line in sorted(lines):
        name = line.partition("\t")[0]
        if name in found:
            raise ImageArchiveError(
                f"The images for {prefix} were built at different times and have different versions of {name}: set "
                "arm_images_packages_as_of to today's date and run ansible-playbook playbooks/build.yml first."
            )
        found[name] = line
    return "".join(f"{line}\n" for line in found.values())
