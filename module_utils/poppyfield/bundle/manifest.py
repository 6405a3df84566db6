"""What a bundle says of itself: the file MANIFEST, as JSON. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

NAME = "MANIFEST"
SIGNATURE = "MANIFEST.sig"
VERSION = 1
PACKAGES = "packages"
IMAGES = "images"
WHEELS = "wheels"
CONTENTS = "contents"
INSTALL = "install"
"""What somebody on a Pi starts who has no laptop."""
SIGNERS = "signers"
"""The keys that a person compares who installs such a Pi for the first time."""
INDEX = "Packages"
HIGHEST_NUMBER = 10**9
LATEST = 2**32
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME_IN_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~@-]*")
"""Of a file or folder: nothing that a shell, a FAT file system or apt could take for something else."""


class BundleError(Exception):
    """Why a bundle is refused, in a sentence."""


@dataclass(frozen=True)
class BundledFile:
    """One file of a bundle."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class BundledImage:
    """The archive of one service's image for one architecture."""

    service: str
    architecture: str
    image: str
    digest: str
    path: str


@dataclass(frozen=True)
class BundledContent:
    """A file of the laptop, or a folder as a tar archive, whole or in parts that a FAT file system holds."""

    key: str
    name: str
    """The file's own name; empty for a folder."""
    paths: tuple[str, ...]
    """In the bundle, in their order."""


@dataclass(frozen=True)
class Manifest:
    """What a bundle is and holds."""

    number: int
    commit: str
    profile: str
    releases: tuple[str, ...]
    architectures: tuple[str, ...]
    packages: Mapping[str, Sequence[str]]
    """By release the packages that are asked for; those that they need are in the bundle as well."""
    images: tuple[BundledImage, ...]
    files: tuple[BundledFile, ...]
    contents: tuple[BundledContent, ...] = ()
    """What a Pi needs to install itself; nothing in a bundle that only a laptop uses."""
    inventories: tuple[str, ...] = ()
    """What of the inventory's content ansible-playbook is given with -i."""
    vaulted: bool = False
    """Whether the inventory has something encrypted, so that its password is asked for."""
    base: str = ""
    """The SHA-256 of the MANIFEST of the first bundle, where this one holds only what is newer."""
    elsewhere: tuple[str, ...] = ()
    """The files that are in that one alone."""
    made: int = 0
    """When, in seconds since 1970 by the clock of who made it: the time is no earlier. 0 where that is not known."""
    hosts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By host its variables that name files, with `bundle:KEY` in place of each path."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Give the name of each part that a Pi takes."""
        return tuple(part(release, machine) for release in self.releases for machine in self.architectures)

    def files_of(self, of_part: str) -> tuple[BundledFile, ...]:
        """Give the files of a part; of the whole where it is empty."""
        within = f"{folder_of(of_part)}/" if of_part else ""
        return tuple(file for file in self.files if file.path.startswith(within))


def part(release: str, architecture: str) -> str:
    """Name what a Pi with this release and architecture takes."""
    return f"{release}-{architecture}"


def folder_of(of_part: str) -> str:
    """Give the folder in the bundle with the packages of a part."""
    return f"{PACKAGES}/{of_part}"


def written(manifest: Manifest) -> bytes:
    """Give the file's content."""
    return (json.dumps({"version": VERSION, **asdict(manifest)}, indent=1, sort_keys=True) + "\n").encode()


def read(content: bytes) -> Manifest:
    """Read it; what is not exactly as it is written here is refused."""
    try:
        given = json.loads(content)
        if given["version"] != VERSION:
            raise BundleError(
                f"{NAME} is of version {str(given['version'])[:20]!a}, and this Poppyfield reads version {VERSION}: "
                f"use the Poppyfield that made the bundle, or make it again"
            )
        found = _read(given)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{NAME} can't be read as what a bundle says of itself: make the bundle again") from error
    _check(found)
    return found


def _read(given: Mapping[str, Any]) -> Manifest:
    return Manifest(
        number=int(given["number"]),
        commit=str(given["commit"]),
        profile=str(given["profile"]),
        releases=tuple(map(str, given["releases"])),
        architectures=tuple(map(str, given["architectures"])),
        packages={str(release): tuple(map(str, names)) for release, names in given["packages"].items()},
        images=tuple(BundledImage(**image) for image in given["images"]),
        files=tuple(BundledFile(str(file["path"]), int(file["size"]), str(file["sha256"])) for file in given["files"]),
        contents=tuple(
            BundledContent(str(one["key"]), str(one["name"]), tuple(map(str, one["paths"])))
            for one in given.get("contents", ())
        ),
        inventories=tuple(map(str, given.get("inventories", ()))),
        vaulted=bool(given.get("vaulted", False)),
        base=str(given.get("base", "")),
        elsewhere=tuple(map(str, given.get("elsewhere", ()))),
        made=int(given.get("made", 0)),
        hosts={str(name): dict(values) for name, values in given.get("hosts", {}).items()},
    )


def _check(found: Manifest) -> None:
    if not 0 < found.number <= HIGHEST_NUMBER:
        raise BundleError(f"{NAME} has the number {found.number}: make the bundle again")
    if not 0 <= found.made <= LATEST:
        raise BundleError(f"{NAME} has a date that is none: make the bundle again, with a clock that is right")
    paths = [file.path for file in found.files]
    for path in paths:
        check_path(path)
    if len(set(map(str.lower, paths))) != len(paths):
        raise BundleError(f"{NAME} names a file twice: make the bundle again")
    if any(not _SHA256.fullmatch(file.sha256) or file.size < 0 for file in found.files):
        raise BundleError(f"{NAME} has a file without its size and SHA-256: make the bundle again")
    if lost := sorted({image.path for image in found.images} - set(paths)):
        raise BundleError(f"{NAME} has an image without its file, {lost[0]}: make the bundle again")
    if lost := sorted({path for content in found.contents for path in content.paths} - set(paths)):
        raise BundleError(f"{NAME} has a content without its file, {lost[0]}: make the bundle again")
    if (found.base and not _SHA256.fullmatch(found.base)) or not set(found.elsewhere) <= set(
        paths if found.base else ()
    ):
        raise BundleError(f"{NAME} does not say which bundle it is newer than: make the bundle again")
    for content in found.contents:
        if not content.paths or "/" in content.name or content.name in (".", ".."):
            raise BundleError(f"{NAME} has a content {content.key[:100]!a} that is none: make the bundle again")


def check_path(path: str) -> None:
    """Refuse a path that leads out of the bundle, or that some file system would take for another."""
    if path in (NAME, SIGNATURE) or not all(map(_NAME_IN_PATH.fullmatch, path.split("/"))):
        raise BundleError(f"{NAME} names a file {path[:100]!a}, which no bundle has: make the bundle again")


def compared(expected: Iterable[str], found: Iterable[str]) -> None:
    """Refuse files that are missing, or that the manifest does not name."""
    wanted, there = set(expected), set(found)
    if lost := sorted(wanted - there):
        raise BundleError(f"{lost[0]} is missing{_and_more(lost)}: copy the bundle again, or make it again")
    if more := sorted(there - wanted):
        raise BundleError(
            f"{more[0]!a} is in the folder{_and_more(more)}, and {NAME} does not name it: remove it, or copy the "
            f"bundle again into an empty folder"
        )


def _and_more(paths: Sequence[str]) -> str:
    return f", and {len(paths) - 1} more" if len(paths) > 1 else ""


def check_number(number: int, taken: int) -> None:
    """Refuse a bundle that is older than one that was taken before."""
    if number < taken:
        raise BundleError(
            f"this is bundle {number}, and bundle {taken} was taken before: an older one is never taken again, so make "
            f"a new one"
        )
