"""Whether a folder is a bundle of somebody who is trusted, whole and unchanged: the only reader of a bundle's files."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.poppyfield.bundle import manifest
from ansible.module_utils.poppyfield.bundle.manifest import BundledFile, BundleError, Manifest
from ansible.module_utils.poppyfield.bundle.places import LARGEST_MANIFEST, BundlePlaces, of_bundle

NAMESPACE = "poppyfield-bundle"
IDENTITY = "poppyfield-bundle"
LARGEST_SIGNATURE = 20_000
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def verified(folder: Path, signers: str, *, taken: int = 0, part: str | None = None, whole: bool = False) -> Manifest:
    """Give what a bundle says of itself, once all of it was found to be true.

    `signers` are the keys that are trusted, as ssh-keygen's allowed signers; `taken` is the highest number that was
    taken before. With a `part` only its files are there, as on a Pi. What a bundle that holds only what is newer has in
    another one is looked for beside it, unless it is to be `whole`. Raises BundleError with the first thing that is
    wrong; of a bundle that is not signed nothing but the signature is looked at.
    """
    found = signed(folder, signers)
    manifest.check_number(found.number, taken)
    files = found.files_of(part or "")
    places = BundlePlaces(folder) if whole else of_bundle(folder, found)
    expected = {manifest.NAME, manifest.SIGNATURE, *(file.path for file in files)} - places.elsewhere
    manifest.compared(expected, _paths(folder))
    for file in files:
        _check_content(places, file)
    return found


def signed(folder: Path, signers: str) -> Manifest:
    """Give what a bundle says of itself, which somebody who is trusted has signed; its files are not looked at."""
    content = _small(folder, manifest.NAME, LARGEST_MANIFEST)
    signature = _small(folder, manifest.SIGNATURE, LARGEST_SIGNATURE)
    check_signature(content, signature, signers)
    return manifest.read(content)


def check_signature(content: bytes, signature: bytes, signers: str) -> None:
    """Refuse what none of the trusted keys has signed as a bundle."""
    with tempfile.TemporaryDirectory(prefix="poppyfield-bundle-") as temporary:
        trusted, detached = Path(temporary) / "signers", Path(temporary) / "signature"
        trusted.write_text(f"{signers.strip()}\n", "utf-8")
        detached.write_bytes(signature)
        command = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE, "-I", IDENTITY, "-f", str(trusted)]
        try:
            done = subprocess.run([*command, "-s", str(detached)], input=content, capture_output=True, check=False)
        except FileNotFoundError as error:
            raise BundleError("ssh-keygen is missing, which verifies a bundle: install openssh-client") from error
    if done.returncode:
        raise BundleError(
            f"none of the trusted keys has signed its {manifest.NAME} as it is: it was changed, or is somebody else's"
        )


def _small(folder: Path, name: str, most: int) -> bytes:
    try:
        handle = os.open(folder / name, _FILE)
    except FileNotFoundError as error:
        raise BundleError(f"{folder} has no file {name}, so it is no bundle: name the folder that has one") from error
    except OSError as error:
        raise BundleError(f"{name} can't be read ({error.strerror}): copy the bundle again") from error
    with os.fdopen(handle, "rb") as stream:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode) or state.st_size > most:
            raise BundleError(f"{name} is no file of a bundle: copy the bundle again")
        return stream.read(most)


def _paths(folder: Path, below: str = "") -> Iterator[str]:
    """Give the path of each file; nothing but files and folders may be there."""
    with os.scandir(folder / below) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            path = f"{below}/{entry.name}".lstrip("/")
            if entry.is_dir(follow_symlinks=False):
                yield from _paths(folder, path)
            elif entry.is_file(follow_symlinks=False):
                yield path
            else:
                raise BundleError(f"{path!a} is a link or no file, and a bundle has none: copy the bundle again")


def _check_content(places: BundlePlaces, file: BundledFile) -> None:
    try:
        with os.fdopen(os.open(places.of(file.path), _FILE), "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            digest = hashlib.file_digest(stream, "sha256").hexdigest() if size == file.size else ""
    except OSError as error:
        raise BundleError(f"{file.path} can't be read ({error.strerror}): copy the bundle again") from error
    if digest != file.sha256:
        raise BundleError(
            f"{file.path} is not what {manifest.NAME} says of it: copy the bundle again, or make it again"
        )
