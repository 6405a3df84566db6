"""Files and folders of the laptop in a bundle: written in parts that FAT32 holds, and joined where they are read."""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ansible.module_utils.poppyfield.bundle.manifest import CONTENTS, BundledContent, BundleError, Manifest
from ansible.module_utils.poppyfield.projects.folder_difference import FolderError, walk

LARGEST = 2**32 - 1
"""What a file on FAT32 may have in bytes."""
BLOCK = 1 << 20
REFERENCE = "bundle:"
_KEY = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True)
class WantedContent:
    """What of the laptop goes into a bundle."""

    key: str
    source: Path


def key_of(path: Path, digest: str) -> str:
    """Name a content by its path, which gives the same name each time, and as a FAT file system can."""
    return f"{_KEY.sub('-', path.stem).strip('-')[:40] or 'x'}-{digest[:8]}".lower()


class _Parts(io.RawIOBase):
    """A stream that goes on in the next file where one is full."""

    def __init__(self, bundle: Path, key: str, largest: int) -> None:
        super().__init__()
        self._base, self._key, self._largest = bundle / CONTENTS, key, largest
        self._base.mkdir(exist_ok=True)
        self._number = 0
        self._room = largest
        self._part = (self._base / f"{key}.000").open("xb")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        length = len(rest)
        while rest:
            if not self._room:
                self._next()
            taken = rest[: self._room]
            self._part.write(taken)
            self._room -= len(taken)
            rest = rest[len(taken) :]
        return length

    def _next(self) -> None:
        self._part.close()
        self._number += 1
        self._room = self._largest
        self._part = (self._base / f"{self._key}.{self._number:03}").open("xb")

    def close(self) -> None:
        self._part.close()
        super().close()

    def paths(self) -> tuple[str, ...]:
        """Give the parts; one that is all of it has the plain name."""
        if self._number:
            return tuple(f"{CONTENTS}/{self._key}.{number:03}" for number in range(self._number + 1))
        (self._base / f"{self._key}.000").rename(self._base / self._key)
        return (f"{CONTENTS}/{self._key}",)


def store(bundle: Path, wanted: WantedContent, largest: int = LARGEST) -> BundledContent:
    """Put a file, or what is published of a folder of projects, into a bundle that is made."""
    if wanted.source.is_dir():
        return store_tar(bundle, wanted.key, lambda tar: _add_projects(tar, wanted.source), largest)
    with wanted.source.open("rb") as stream:
        return store_stream(bundle, wanted.key, stream, name=wanted.source.name, largest=largest)


def store_stream(
    bundle: Path, key: str, stream: IO[bytes], *, name: str = "", largest: int = LARGEST
) -> BundledContent:
    """Put what a stream gives into a bundle that is made."""
    with _Parts(bundle, key, largest) as parts:
        shutil.copyfileobj(stream, parts, BLOCK)
    return BundledContent(key, name, parts.paths())


def store_tar(
    bundle: Path, key: str, fill: Callable[[tarfile.TarFile], None], largest: int = LARGEST
) -> BundledContent:
    """Put a tar archive into a bundle that is made."""
    with (
        _Parts(bundle, key, largest) as parts,
        tarfile.open(fileobj=parts, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        fill(tar)
    return BundledContent(key, "", parts.paths())


def _add_projects(tar: tarfile.TarFile, folder: Path) -> None:
    try:
        for name, path in walk(folder):
            add_file(tar, path, name)
    except FolderError as error:
        raise BundleError(str(error).rstrip(".")) from error


def add_file(tar: tarfile.TarFile, file: Path, name: str) -> None:
    """Add one file, or what a link leads to, as root's, executable or not, with its time."""
    with file.open("rb") as stream:
        state = os.fstat(stream.fileno())
        member = tarfile.TarInfo(name)
        member.size, member.mtime = state.st_size, int(state.st_mtime)
        member.mode = 0o755 if state.st_mode & 0o100 else 0o644
        tar.addfile(member, stream)


class _Joined(io.RawIOBase):
    """The parts of a content as one stream."""

    def __init__(self, files: list[Path]) -> None:
        super().__init__()
        self._files = iter(files)
        self._part: IO[bytes] | None = next(self._files).open("rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._part is not None:
            data = self._part.read(len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            self._part.close()
            following = next(self._files, None)
            self._part = following.open("rb") if following else None
        return 0

    def close(self) -> None:
        if self._part is not None:
            self._part.close()
        super().close()


def unpack(bundle: Path, content: BundledContent, target: Path) -> Path:
    """Give a content of a bundle that was verified, as a file or folder of its own below `target`."""
    files = [bundle / path for path in content.paths]
    place = target / content.key
    place.mkdir(mode=0o755, parents=True)
    if not content.name:
        with _Joined(files) as joined, tarfile.open(fileobj=joined, mode="r|") as tar:
            extract(tar, place)
        return place
    if len(files) == 1:
        try:
            os.link(files[0], place / content.name)  # whatever its size, it is on the card once
            return place / content.name
        except OSError:
            pass  # a file system without links
    with _Joined(files) as joined, (place / content.name).open("xb") as written:
        shutil.copyfileobj(joined, written, BLOCK)
    return place / content.name


def extract(tar: tarfile.TarFile, place: Path) -> None:
    """Unpack files and their folders; nothing else is in such an archive, and nothing gets out of the folder."""
    for member in tar:
        target = (place / member.name).resolve()
        if not (member.isreg() or member.isdir()) or not target.is_relative_to(place.resolve()):
            raise BundleError(
                f"{member.name[:100]!a} is in an archive of the bundle, and no file: make the bundle again"
            )
        if member.isdir():
            target.mkdir(mode=0o755, parents=True, exist_ok=True)
            continue
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        stream = tar.extractfile(member)
        with target.open("xb") as written:
            shutil.copyfileobj(stream, written, BLOCK)  # type: ignore[arg-type]  # None only for what is no file
        target.chmod(0o755 if member.mode & 0o100 else 0o644)
        os.utime(target, (member.mtime, member.mtime))


def reference(key: str) -> str:
    """Give what stands in a host's variable in place of the path."""
    return f"{REFERENCE}{key}"


def resolved(value: Any, places: Mapping[str, Path]) -> Any:
    """Give a host's variable with the paths on this machine. Raises BundleError for a content that is not there."""
    if isinstance(value, Mapping):
        return {name: resolved(item, places) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(item, places) for item in value]
    if isinstance(value, str) and value.startswith(REFERENCE):
        key = value.removeprefix(REFERENCE)
        if key not in places:
            raise BundleError(f"the bundle has no {key[:60]!a}, which a variable names: make the bundle again")
        return str(places[key])
    return value


def content(found: Manifest, key: str) -> BundledContent:
    """Give a content by its key."""
    for one in found.contents:
        if one.key == key:
            return one
    raise BundleError(f"it holds no {key}, so it installs no Pi without a laptop: make it again with bundle_alone")
