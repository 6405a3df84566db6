"""A bundle is made on the laptop: all of it beside its place, signed, verified, and then put there by one rename."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.bundle import (
    contents,
    inventory_files,
    manifest,
    packages,
    places,
    signing,
    source,
    verification,
    wheels,
)
from ansible.module_utils.poppyfield.bundle.apt import Apt
from ansible.module_utils.poppyfield.bundle.contents import WantedContent
from ansible.module_utils.poppyfield.bundle.manifest import BundledFile, BundledImage, BundleError, Manifest
from ansible.module_utils.poppyfield.host import atomic_file, roomy

INSTALL_SOURCE = "roles/bundle/files/install"


@dataclass(frozen=True)
class ForPiAlone:
    """What a bundle also holds where a Pi is to install itself, without a laptop."""

    checkout: Path
    inventories: tuple[str, ...]
    """The inventory's files or folders, as ansible-playbook was given them."""
    hosts: Mapping[str, Mapping[str, Any]]
    """As in Manifest."""
    contents: tuple[WantedContent, ...] = ()
    """What the hosts' variables name."""


@dataclass(frozen=True)
class BundleContents:
    """What a bundle is to hold."""

    commit: str
    profile: str
    releases: tuple[str, ...]
    architectures: tuple[str, ...]
    packages: Mapping[str, Sequence[str]]
    """By release."""
    images: tuple[BundledImage, ...] = ()
    """Each with its archive on this laptop as the path."""
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By release the lines of sources.list; this laptop's own mirrors where there is none."""
    status: Mapping[str, str] = field(default_factory=dict)
    """By part the file with what dpkg has installed there; nothing is where there is none."""
    alone: ForPiAlone | None = None
    newer_than: Path | None = None
    """A first bundle, of which what is the same is left out."""


def make(folder: Path, wanted: BundleContents, keys: Path) -> Manifest:
    """Make a bundle, signed by the key in the folder `keys`. Raises BundleError, OSError; nothing is there then."""
    check_place(folder)
    check_status(wanted)
    check_alone(wanted)
    signing.ensure_key(keys)
    partial = folder.with_name(f".{folder.name}.partial")
    if partial.exists():  # of a run that was cut off
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    try:
        made = _fill(partial, wanted, keys)
        if folder.exists():
            folder.rmdir()
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    atomic_file.sync_folder(folder.parent)
    return made


def check_place(folder: Path) -> None:
    """Refuse a place where something is: a bundle is made new."""
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
        raise BundleError(f"{folder} is there already, and a bundle is made into a new folder: name another one")


def check_status(wanted: BundleContents) -> None:
    """Refuse what is said of systems that the bundle is not for, or that nobody can read."""
    parts = [manifest.part(release, machine) for release in wanted.releases for machine in wanted.architectures]
    for part, file in wanted.status.items():
        if part not in parts:
            raise BundleError(f"bundle_stock_status has {part!a}, and the bundle is for {', '.join(parts)}: correct it")
        if not Path(file).is_file():
            raise BundleError(
                f"bundle_stock_status: {file} is no file: give a copy of that system's /var/lib/dpkg/status"
            )


def check_alone(wanted: BundleContents) -> bool:
    """Refuse an inventory with a secret that anybody could read, and tell whether it has something encrypted."""
    return wanted.alone is not None and inventory_files.check(inventory_files.found(wanted.alone.inventories))


def _fill(partial: Path, wanted: BundleContents, keys: Path) -> Manifest:
    for release in wanted.releases:
        for machine in wanted.architectures:
            _packages(partial, wanted, release, machine)
    images = tuple(_image(partial, image) for image in wanted.images)
    signers = (keys / signing.SIGNERS).read_text("utf-8")
    alone = _for_a_pi_alone(partial, wanted, wanted.alone, keys) if wanted.alone else {}
    files = {path: _described(partial, path) for path in sorted(partial.rglob("*")) if path.is_file()}
    newer = _without_the_first(partial, files, wanted.newer_than, signers) if wanted.newer_than else {}
    found = Manifest(
        number=signing.next_number(keys),
        commit=wanted.commit,
        profile=wanted.profile,
        releases=wanted.releases,
        architectures=wanted.architectures,
        packages=wanted.packages,
        images=images,
        made=int(time.time()),
        files=tuple(files.values()),
        **alone,
        **newer,
    )
    content = manifest.written(found)
    (partial / manifest.NAME).write_bytes(content)
    signing.sign(content, keys, partial)
    atomic_file.sync_tree(partial)
    # As those see it who take it.
    return verification.verified(partial, signers)


def _without_the_first(partial: Path, files: Mapping[Path, BundledFile], first: Path, signers: str) -> dict[str, Any]:
    """Remove what the first bundle has just so."""
    before = verification.verified(first, signers)
    same = places.unchanged({one.path: one for one in files.values()}, before)
    for path in same:
        (partial / path).unlink()
    return {"base": places.digest(first), "elsewhere": same}


def _for_a_pi_alone(partial: Path, wanted: BundleContents, alone: ForPiAlone, keys: Path) -> dict[str, Any]:
    lock = alone.checkout / source.LOCK
    for release in wanted.releases:
        for machine in wanted.architectures:
            wheels.fetch(lock, release, machine, partial / manifest.WHEELS / manifest.part(release, machine))
    shutil.copyfile(alone.checkout / INSTALL_SOURCE, partial / manifest.INSTALL)
    shutil.copyfile(keys / signing.SIGNERS, partial / manifest.SIGNERS)
    files = inventory_files.found(alone.inventories)
    vaulted = inventory_files.check(files)
    stored = [source.store(partial, alone.checkout), inventory_files.store(partial, files)]
    stored += [contents.store(partial, one) for one in alone.contents]
    return {"contents": tuple(stored), "inventories": files.given, "vaulted": vaulted, "hosts": alone.hosts}


def _packages(partial: Path, wanted: BundleContents, release: str, machine: str) -> None:
    part = manifest.part(release, machine)
    # Where apt's own user gets at it, whatever the folder's mode.
    with roomy.folder("poppyfield-bundle-") as temporary:
        Path(temporary).chmod(0o755)
        status = Path(temporary) / "status"
        if part in wanted.status:
            shutil.copyfile(wanted.status[part], status)
        lines = packages.sources(release, wanted.sources.get(release, ()))
        apt = Apt(Path(temporary) / "apt", machine, status)
        packages.fetch(apt, lines, wanted.packages[release], partial / manifest.folder_of(part))


def _image(partial: Path, image: BundledImage) -> BundledImage:
    archive = Path(image.path)
    path = f"{manifest.IMAGES}/{archive.name}"
    (partial / manifest.IMAGES).mkdir(exist_ok=True)
    if archive.stat().st_size > contents.LARGEST:
        raise BundleError(f"{archive} is larger than a file on a stick may be, 4 GiB: make the image smaller")
    shutil.copyfile(archive, partial / path)
    return replace(image, path=path)


def _described(partial: Path, path: Path) -> BundledFile:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return BundledFile(path.relative_to(partial).as_posix(), path.stat().st_size, digest)
