"""Where the files of a bundle are: in its folder, or in the first one's, where it holds only what is newer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.poppyfield.bundle.manifest import (
    INSTALL,
    NAME,
    SIGNERS,
    BundledFile,
    BundleError,
    Manifest,
)

ALWAYS_HERE = (INSTALL, SIGNERS)
"""What a person or a new card begins with."""
LARGEST_MANIFEST = 8_000_000


@dataclass(frozen=True)
class BundlePlaces:
    """The folders of a bundle."""

    folder: Path
    base: Path | None = None
    """The first bundle; None for one that is whole."""
    elsewhere: frozenset[str] = frozenset()
    """What is in the first one alone."""

    def of(self, path: str) -> Path:
        """Give a file of the bundle."""
        return self.base / path if self.base and path in self.elsewhere else self.folder / path


def of_bundle(folder: Path, found: Manifest) -> BundlePlaces:
    """Find the folders of a bundle whose MANIFEST is signed. Raises BundleError where the first one is missing."""
    elsewhere = frozenset(path for path in found.elsewhere if not os.path.lexists(folder / path))
    if not elsewhere:  # a copy is whole
        return BundlePlaces(folder)
    for one in sorted(folder.absolute().parent.iterdir()):
        if digest(one) == found.base:
            return BundlePlaces(folder, one, elsewhere)
    raise BundleError(
        f"it holds only what is newer than another bundle, which is not beside it: put the folder of that one into "
        f"{folder.absolute().parent}, too"
    )


def digest(folder: Path) -> str:
    """Give the SHA-256 of a bundle's MANIFEST, by which another one names it; nothing where there is none."""
    file = folder / NAME
    try:
        if not file.is_file() or file.stat().st_size > LARGEST_MANIFEST:
            return ""
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def unchanged(files: Mapping[str, BundledFile], first: Manifest) -> tuple[str, ...]:
    """Name the files that the first bundle has just so, which a newer one need not hold again. Pure."""
    if first.base:
        raise BundleError("bundle_newer_than itself holds only what is newer than another bundle: name the first one")
    return tuple(one.path for one in first.files if files.get(one.path) == one and one.path not in ALWAYS_HERE)
