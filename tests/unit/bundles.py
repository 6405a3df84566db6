"""A small bundle as the laptop makes it: real files, a real key, a real signature."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from ansible.module_utils.poppyfield.bundle import manifest, signing
from ansible.module_utils.poppyfield.bundle.manifest import BundledFile, BundledImage, Manifest

PART = "trixie-arm64"
PACKAGE = f"packages/{PART}/hello_1.0_arm64.deb"
INDEX = f"packages/{PART}/Packages"
RELEASE = f"packages/{PART}/Release"
IMAGE = "images/poppyfield-postgis.tar.zst"
OTHER_PART = "packages/bookworm-arm64/Packages"
CONTENTS = {
    PACKAGE: b"a package",
    INDEX: b"Package: hello\nVersion: 1.0\nArchitecture: arm64\nFilename: ./hello_1.0_arm64.deb\n\n",
    RELEASE: b"Date: none\n",
    IMAGE: b"an image",
    OTHER_PART: b"",
}
PLAIN = Manifest(
    number=7,
    commit="abc",
    profile="trixie",
    releases=("bookworm", "trixie"),
    architectures=("arm64",),
    packages={"trixie": ("hello",), "bookworm": ()},
    images=(BundledImage("postgis", "arm64", "poppyfield/postgis:1", "d1", IMAGE),),
    files=(),
)


def write(folder: Path, keys: Path, found: Manifest = PLAIN) -> str:
    """Write a bundle into a folder, signed by the key in another one, which is made; give the trusted signers."""
    keys.mkdir(exist_ok=True)
    signing.ensure_key(keys)
    for path, content in CONTENTS.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    files = tuple(BundledFile(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in CONTENTS.items())
    sign(folder, keys, found if found.files else replace(found, files=files))
    return (keys / signing.SIGNERS).read_text("utf-8")


def sign(folder: Path, keys: Path, found: Manifest) -> None:
    """Write the manifest and its signature."""
    content = manifest.written(found)
    (folder / manifest.NAME).write_bytes(content)
    signing.sign(content, keys, folder)
