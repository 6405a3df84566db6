"""A Pi takes a bundle: its part is copied, flushed, the copy verified, and only then it counts."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from ansible.module_utils.poppyfield.bundle import manifest, places, verification
from ansible.module_utils.poppyfield.bundle.apt import Apt, local_source
from ansible.module_utils.poppyfield.bundle.manifest import BundleError, Manifest
from ansible.module_utils.poppyfield.containers.services import COMPOSE_FOLDER, SECRETS_FOLDER
from ansible.module_utils.poppyfield.host import atomic_file

PARTIAL = ".partial"
BLOCK = 1 << 20


@dataclass(frozen=True)
class TakenRecord:
    """What a Pi remembers of the bundle that it took last."""

    number: int = 0
    signers: str = ""
    """Whose bundles it takes; empty before the first one."""


@dataclass(frozen=True)
class BundlePlace:
    """Where a Pi keeps what it took."""

    folder: Path = Path(COMPOSE_FOLDER) / "bundles"
    record_file: Path = Path(SECRETS_FOLDER).parent / "bundle.json"

    @property
    def apt(self) -> Apt:
        """Give the apt that sees nothing but the bundle."""
        return Apt(self.folder / "apt")

    @property
    def configuration(self) -> Path:
        """Give the file for the environment's APT_CONFIG."""
        return self.folder / "apt" / "apt.conf"

    def of(self, number: int) -> Path:
        """Give the folder of a bundle."""
        return self.folder / str(number)


def recorded(place: BundlePlace) -> TakenRecord:
    """Give what the Pi remembers. Raises BundleError where that can't be read."""
    try:
        given = json.loads(place.record_file.read_text("utf-8"))
        return TakenRecord(int(given["number"]), str(given["signers"]))
    except FileNotFoundError:
        return TakenRecord()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{place.record_file} on the Pi can't be read, which says whose bundles it takes: restore or remove it"
        ) from error


def check_record(record: TakenRecord, number: int, signers: str) -> None:
    """Refuse another key's bundle, and an older one."""
    if record.signers and record.signers.strip() != signers.strip():
        raise BundleError(
            "this Pi takes bundles of another key than this one is signed with: use the laptop whose key it trusts, or "
            f"remove {BundlePlace().record_file} on the Pi, after which it trusts the next one"
        )
    manifest.check_number(number, record.number)


def is_taken(place: BundlePlace, number: int) -> bool:
    """Tell whether the Pi has taken this bundle, as far as it remembers."""
    return recorded(place).number == number and place.of(number).is_dir() and place.configuration.is_file()


def take(place: BundlePlace, archive: Path, signers: str, part: str) -> Manifest:
    """Take a part of a bundle out of a tar archive, which MANIFEST and its signature begin.

    Raises BundleError or OSError; what was taken before stays as it is then.
    """
    before = recorded(place)
    place.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    _remove(path for path in place.folder.iterdir() if path.name.endswith(PARTIAL))
    with tarfile.open(archive, "r:") as tar:
        found, partial = _begin(place, tar, signers)
        try:
            check_record(before, found.number, signers)
            _unpack(partial, tar, found, part)
            atomic_file.sync_tree(partial)
            # What counts is what is on this disk now, wherever it came from.
            verification.verified(partial, signers, taken=before.number, part=part, whole=True)
            _switch(place, partial, found.number, part)
        finally:
            _remove([partial])
    _remember(place, TakenRecord(found.number, signers))
    _remove(path for path in place.folder.iterdir() if path.name.isdigit() and path.name != str(found.number))
    return found


def _begin(place: BundlePlace, tar: tarfile.TarFile, signers: str) -> tuple[Manifest, Path]:
    """Unpack what says what else is to come, once it was found to be signed."""
    partial = place.folder / f"new{PARTIAL}"
    partial.mkdir(mode=0o755)
    try:
        for name, most in (
            (manifest.NAME, places.LARGEST_MANIFEST),
            (manifest.SIGNATURE, verification.LARGEST_SIGNATURE),
        ):
            member = tar.next()
            if member is None or member.name != name or not member.isreg() or member.size > most:
                raise BundleError("what came to the Pi does not begin as a bundle does: run again")
            _write(partial / name, tar, member)
        found = verification.signed(partial, signers)
        named = place.folder / f"{found.number}{PARTIAL}"
        partial.rename(named)
    except BaseException:
        _remove([partial])
        raise
    return found, named


def _unpack(partial: Path, tar: tarfile.TarFile, found: Manifest, part: str) -> None:
    sizes = {file.path: file.size for file in found.files_of(part)}
    while (member := tar.next()) is not None:
        if not member.isreg() or sizes.get(member.name) != member.size:
            raise BundleError(
                f"{member.name[:100]!a} came to the Pi, which {manifest.NAME} does not name so: run again"
            )
        target = partial / member.name
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _write(target, tar, member)


def _write(target: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    stream: IO[bytes] | None = tar.extractfile(member)
    with target.open("xb") as written:
        target.chmod(0o644)
        shutil.copyfileobj(stream, written, BLOCK)  # type: ignore[arg-type]  # None only for what is no file


def _switch(place: BundlePlace, partial: Path, number: int, part: str) -> None:
    taken = place.of(number)
    _remove([taken])
    partial.rename(taken)
    atomic_file.sync_folder(place.folder)
    _remove([place.apt.folder])  # its lists are those of the bundle before
    place.apt.prepare([local_source(taken / manifest.folder_of(part))])
    atomic_file.write(place.configuration, place.apt.configuration().encode())


def _remember(place: BundlePlace, record: TakenRecord) -> None:
    place.record_file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    atomic_file.write(place.record_file, json.dumps(asdict(record)).encode(), mode=0o600)


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        if path.exists():
            shutil.rmtree(path)


def pack(folder: Path, found: Manifest, part: str, archive: Path) -> None:
    """Write the archive from which a Pi takes its part."""
    there = places.of_bundle(folder, found)
    with tarfile.open(archive, "w:") as tar:
        for name in (manifest.NAME, manifest.SIGNATURE, *(file.path for file in found.files_of(part))):
            # A link that took a file's place since then is packed as what it is, and refused on the Pi.
            tar.add(there.of(name), name, recursive=False)
