"""An image's archive without the layers that a host has already. Used where the archive is, on the controller.

Docker Engine looks for each layer in its own store before it reads the layer from an archive.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import IO

from ansible.module_utils.poppyfield.containers.engine import EngineError, open_archive

LARGEST_DOCUMENT = 1_000_000
"""Bytes. Manifest and configuration of an image are smaller; layers may be, too."""


@dataclass(frozen=True)
class Contents:
    """What an archive says of its image: the digests of its layers, lowest first, and the members that hold them."""

    layers: tuple[str, ...]
    members: tuple[str, ...]
    linked: frozenset[str]
    """Members that others are links to."""

    def without(self, shared: int) -> frozenset[str]:
        """Give the members that only the lowest `shared` layers need."""
        return frozenset(self.members[:shared]) - frozenset(self.members[shared:]) - self.linked


def shared_layers(layers: Sequence[str], of_images: Iterable[Sequence[str]]) -> int:
    """Count the lowest layers that an image has in common with the one of these images that is most like it.

    A layer is stored on top of those below it, so one that is alike higher up does not count.
    """
    return max((_alike(layers, others) for others in of_images), default=0)


def _alike(layers: Sequence[str], others: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(layers, others, strict=False)))


def write(archive: Path, of_images: Sequence[Sequence[str]], target: Path) -> bool:
    """Write an archive without the layers that one of these images has, compressed as its name says.

    Give whether there were such layers; otherwise nothing is written. Raises EngineError for a damaged archive, OSError
    where nothing can be written.
    """
    if not of_images:
        return False
    try:
        contents = _read(archive)
        left_out = contents.without(shared_layers(contents.layers, of_images))
        if left_out:
            _copy(archive, target, left_out)
    except (EOFError, LookupError, ValueError, tarfile.TarError) as error:
        raise EngineError(f"The archive {archive} is damaged ({error}): remove it, and run the build stage.") from error
    return bool(left_out)


def _read(archive: Path) -> Contents:
    documents = {}
    linked = set()
    with _members(archive) as tar:
        for member in tar:
            if member.issym():
                linked.add(os.path.normpath(f"{os.path.dirname(member.name)}/{member.linkname}"))  # noqa: PTH120
            elif member.isreg() and member.size <= LARGEST_DOCUMENT:
                documents[member.name] = content(tar, member).read()
    manifest = json.loads(documents["manifest.json"])[0]
    layers = json.loads(documents[manifest["Config"]])["rootfs"]["diff_ids"]
    return Contents(tuple(layers), tuple(manifest["Layers"]), frozenset(linked))


def _copy(archive: Path, target: Path, left_out: frozenset[str]) -> None:
    with _members(archive) as tar, _packed(target) as stream, tarfile.open(fileobj=stream, mode="w|") as partial:
        for member in tar:
            if member.name not in left_out:
                partial.addfile(member, content(tar, member) if member.isreg() else None)


@contextmanager
def _members(archive: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive to be read once, from its beginning to its end."""
    with open_archive(archive, engine_reads_zstd=False) as stream, tarfile.open(fileobj=stream, mode="r|*") as tar:
        yield tar
        # What follows the last member: zstd would take a pipe that is closed early for a failure.
        while stream.read(LARGEST_DOCUMENT):
            pass


def content(tar: tarfile.TarFile, member: tarfile.TarInfo | str) -> IO[bytes]:
    """Give a member's content; raise KeyError when it has none."""
    found = tar.extractfile(member)
    if found is None:
        raise KeyError(str(member))
    return found


@contextmanager
def _packed(target: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    if target.suffix != ".zst":
        with gzip.open(target, "wb", compresslevel=1) as stream:
            yield stream
        return
    with target.open("wb") as file, subprocess.Popen(["zstd", "-q", "-T0", "-c"], stdin=-1, stdout=file) as packing:
        if packing.stdin is not None:
            yield packing.stdin
            packing.stdin.close()
    if packing.returncode:
        raise OSError(f"zstd could not write {target}")
