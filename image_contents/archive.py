"""An image's archive, as `docker save` writes it, read into what the other modules need of it."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ansible.module_utils.poppyfield.images.partial_archive import content

Json = dict[str, Any]

UNPACKERS = {".zst": "zstd", ".gz": "gzip"}
RECORD = "usr/share/poppyfield/packages"
"""Where an image has the record of its packages: lines of name, version, architecture, SHA-256 of the .deb file."""
# What tells of packages, their licences and where they came from.
TELLING = re.compile(
    rf"var/lib/dpkg/status|{RECORD}"
    r"|(etc|usr/lib)/os-release"
    r"|usr/share/doc/[^/]+/copyright"
    r"|etc/apt/sources\.list(\.d/[^/]+)?"
    r"|etc/apt/trusted\.gpg\.d/[^/]+"
    r"|.+\.dist-info/METADATA"
    r"|.+\.egg-info(/PKG-INFO)?"
)
DOCUMENTATION = "usr/share/doc/"
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
ELF_MAGIC = b"\x7fELF"
ELF_HEADER_BYTES = 20


class ImageArchiveError(Exception):
    """An archive that cannot be read; says which and what to do."""


@dataclass(frozen=True)
class ImageLayer:
    """One layer: the digest of its content, the bytes of its files, and the step that made it."""

    digest: str
    size: int
    created_by: str


@dataclass
class Files:
    """What matters of the file system, by path without a leading slash."""

    texts: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    """Path -> target, for links in the folder of documentation."""
    elf_machines: dict[str, int] = field(default_factory=dict)
    """Path -> the ELF header's e_machine."""

    def forget(self, path: str) -> None:
        """Remove a path and what is below it."""
        for found in (self.texts, self.links, self.elf_machines):
            for known in [known for known in found if known == path or known.startswith(f"{path}/")]:
                del found[known]

    def replace(self, path: str) -> None:
        """Remove what a lower layer has at a path where a file comes."""
        for found in (self.texts, self.links, self.elf_machines):
            found.pop(path, None)


@dataclass(frozen=True)
class Image:
    """What an archive holds."""

    reference: str
    config: Json
    layers: tuple[ImageLayer, ...]
    files: Files

    @property
    def architecture(self) -> str:
        """Docker's name of the architecture: arm64, arm or amd64."""
        return str(self.config["architecture"])

    @property
    def labels(self) -> dict[str, str]:
        """The image's labels."""
        return dict((self.config.get("config") or {}).get("Labels") or {})


def read(archive: Path) -> Image:
    """Read an archive (.tar, .tar.gz, .tar.zst) that holds one image; raise ArchiveError when it cannot be read."""
    try:
        with unpacked(archive) as plain, tarfile.open(fileobj=plain) as tar:
            manifest = json.load(content(tar, "manifest.json"))[0]
            config = json.load(content(tar, manifest["Config"]))
            files = Files()
            sizes = [_add_layer(content(tar, name), files) for name in manifest["Layers"]]
    except (OSError, EOFError, LookupError, ValueError, tarfile.TarError, zlib.error) as error:
        raise ImageArchiveError(
            f"{archive} is not the whole archive of an image ({error}): build the image again."
        ) from error
    steps = [step.get("created_by", "") for step in config.get("history", []) if not step.get("empty_layer")]
    layers = tuple(map(ImageLayer, config["rootfs"]["diff_ids"], sizes, [*steps, *[""] * len(sizes)]))
    return Image((manifest.get("RepoTags") or [archive.name])[0], config, layers, files)


@contextmanager
def unpacked(archive: Path) -> Iterator[IO[bytes]]:
    """Give an archive's content without its compression, as a file that can be read in any order."""
    command = UNPACKERS.get(archive.suffix)
    if command is None:
        with archive.open("rb") as plain:
            yield plain
        return
    with tempfile.TemporaryFile() as plain:
        done = subprocess.run([command, "-dc", str(archive)], stdout=plain, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            raise OSError(done.stderr.decode("utf-8", "replace").strip())
        plain.seek(0)
        yield plain


def _add_layer(stream: IO[bytes], files: Files) -> int:
    """Lay one layer over the lower ones; give the bytes of its files."""
    size = 0
    with tarfile.open(fileobj=stream) as layer:
        for member in layer:
            path = PurePosixPath("/", member.name).relative_to("/")
            if path.name.startswith(WHITEOUT):
                _remove(path, files)
            elif not member.isdir():
                files.replace(str(path))
                size += member.size
                _add(layer, member, str(path), files)
    return size


def _remove(whiteout: PurePosixPath, files: Files) -> None:
    if whiteout.name == OPAQUE:
        files.forget(str(whiteout.parent))
    else:
        files.forget(str(whiteout.with_name(whiteout.name.removeprefix(WHITEOUT))))


def _add(layer: tarfile.TarFile, member: tarfile.TarInfo, path: str, files: Files) -> None:
    if member.issym() and path.startswith(DOCUMENTATION):
        files.links[path] = member.linkname
    elif member.isreg() or member.islnk():
        stream = content(layer, member.name)
        if TELLING.fullmatch(path):
            files.texts[path] = stream.read()
        elif (header := stream.read(ELF_HEADER_BYTES)).startswith(ELF_MAGIC):
            files.elf_machines[path] = elf_machine(header)


def elf_machine(header: bytes) -> int:
    """Give e_machine from the first 20 bytes of an ELF file."""
    return int.from_bytes(header[18:20], "big" if header[5] == 2 else "little")  # noqa: PLR2004 - ELFDATA2MSB


def resolved(path: str, links: Mapping[str, str]) -> str:
    """Follow the links on a path: of its last part and of the folder that holds it."""
    for _ in range(len(links) + 1):
        parent, _, name = path.rpartition("/")
        if path in links:
            path = _joined(parent, links[path])
        elif parent in links:
            path = _joined(parent.rpartition("/")[0], links[parent]) + f"/{name}"
        else:
            return path
    return path


def _joined(folder: str, target: str) -> str:
    parts: list[str] = []
    for part in (target if target.startswith("/") else f"{folder}/{target}").split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
