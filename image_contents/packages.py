"""What is installed, from dpkg's and pip's own records. Pure."""

from __future__ import annotations

import email
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from debian.copyright import Copyright, NotMachineReadableError
from debian.deb822 import Packages

from image_contents.archive import Files, resolved

INSTALLED = "install ok installed"
# Where Debian's own packages put Python modules: dpkg's records name those already.
DEBIANS_PYTHON = re.compile(r"usr/lib/python3(\.\d+)?/(dist|site)-packages/")
SPDX_NAMES = {
    "expat": "MIT",
    "mit/x11": "MIT",
    "apache-2": "Apache-2.0",
    "zlib/libpng": "Zlib",
    "artistic": "Artistic-1.0",
}
GNU = re.compile(r"(A?GPL|LGPL|GFDL)-(\d)(\.\d)?(\+|-or-later|-only)?", re.IGNORECASE)

# python-debian warns of what is odd in a copyright file; none of it changes what is read here.
logging.getLogger("debian.copyright").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Package:
    """A Debian package, with its source package."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    licences: tuple[str, ...] = ()
    """SPDX identifiers where Debian's name is one or has one, otherwise Debian's name."""


@dataclass(frozen=True)
class Distribution:
    """A Python distribution that no Debian package brought."""

    name: str
    version: str
    licence: str = ""


def debian_packages(files: Files) -> list[Package]:
    """Give the installed Debian packages by name, with the licences that their copyright files state."""
    status = files.texts.get("var/lib/dpkg/status", b"").decode("utf-8", "replace")
    paragraphs = Packages.iter_paragraphs(status, use_apt_pkg=False)
    return sorted(
        (_package(entry, files) for entry in paragraphs if entry.get("Status") == INSTALLED),
        key=lambda package: (package.name, package.architecture),
    )


def _package(entry: Mapping[str, str], files: Files) -> Package:
    name, version = entry["Package"], entry["Version"]
    source, _, source_version = entry.get("Source", name).partition(" ")
    text = files.texts.get(resolved(f"usr/share/doc/{name}/copyright", files.links), b"")
    return Package(
        name=name,
        version=version,
        architecture=entry["Architecture"],
        source=source,
        source_version=source_version.strip("()") or version,
        licences=licences(text.decode("utf-8", "replace")),
    )


def licences(text: str) -> tuple[str, ...]:
    """Give the licences that a copyright file states, if a machine can read it (DEP-5); none otherwise."""
    try:
        parsed = Copyright(text.splitlines(keepends=True), strict=False)
    except (NotMachineReadableError, ValueError):
        return ()
    stated = [paragraph.license for paragraph in parsed.all_files_paragraphs()]
    # python-debian declares the descriptor of the field here, not what it gives.
    names = [licence.synopsis for licence in stated if licence]  # type: ignore[attr-defined]
    return tuple(sorted({spdx(name) for name in names if name}))


def spdx(name: str) -> str:
    """Give SPDX's identifier of a licence that Debian names otherwise, or the name as it is."""
    gnu = GNU.fullmatch(name)
    if gnu is None:
        return SPDX_NAMES.get(name.lower(), name)
    family, major, minor, suffix = gnu.groups()
    return f"{family.upper()}-{major}{minor or '.0'}-{'or-later' if suffix in ('+', '-or-later') else 'only'}"


def python_distributions(files: Files) -> list[Distribution]:
    """Give the Python distributions that pip or an archive brought, by name."""
    records = (text for path, text in sorted(files.texts.items()) if _is_python_record(path))
    found = (email.message_from_bytes(text) for text in records)
    return [
        Distribution(record["Name"], record["Version"], record.get("License-Expression") or record.get("License") or "")
        for record in found
        if record["Name"] and record["Version"]
    ]


def _is_python_record(path: str) -> bool:
    return path.endswith(("/METADATA", ".egg-info", "/PKG-INFO")) and not DEBIANS_PYTHON.match(path)


def release(files: Files) -> dict[str, str]:
    """Give what os-release says, such as ID and VERSION_CODENAME."""
    text = files.texts.get("usr/lib/os-release") or files.texts.get("etc/os-release") or b""
    pairs = (line.partition("=") for line in text.decode("utf-8", "replace").splitlines() if "=" in line)
    return {key: value.strip('"') for key, _, value in pairs}
