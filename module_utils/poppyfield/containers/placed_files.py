"""The files of a parcel below a folder, of a Pi or of the laptop: which are there, and putting the others there."""

from __future__ import annotations

import posixpath
from collections.abc import Container, Sequence
from typing import IO

from ansible.module_utils.poppyfield.containers.parcel import PackedFile, Parcel, contents
from ansible.module_utils.poppyfield.host import beneath


def compare(folder: str, below: Sequence[str], parcel: Parcel) -> tuple[list[str], list[str]]:
    """Give the files that are not there, and those that are there with another content."""
    missing, others = [], []
    for file in parcel.files:
        names, name = _split(below, file.path)
        with beneath.opened(folder, names) as handle:
            found = None if handle is None else beneath.holds(handle, name, file.size, file.sha256)
        if found is None:
            missing.append(file.path)
        elif not found:
            others.append(file.path)
    return missing, others


def missing_folders(folder: str, below: Sequence[str], parcel: Parcel) -> list[str]:
    """Give the folders that are not there."""
    missing = []
    for path in parcel.folders:
        with beneath.opened(folder, (*below, *path.split("/"))) as handle:
            if handle is None:
                missing.append(path)
    return missing


def place(
    folder: str, below: Sequence[str], parcel: Parcel, stream: IO[bytes], *, wanted: Container[str], modes: int
) -> None:
    """Write those of a parcel's files that are wanted, and make its folders; each keeps what `modes` lets it."""
    for path in parcel.folders:
        with beneath.opened(folder, (*below, *path.split("/")), make=modes):
            pass
    for file in parcel.files:
        if file.path in wanted:
            _write(folder, below, file, stream, modes)
        else:
            for _ in contents(stream, file):
                pass


def _write(folder: str, below: Sequence[str], file: PackedFile, stream: IO[bytes], modes: int) -> None:
    names, name = _split(below, file.path)
    with beneath.opened(folder, names, make=modes) as handle:
        if handle is not None:
            beneath.sweep(handle)
            beneath.write(handle, name, contents(stream, file), file.mode & modes)


def _split(below: Sequence[str], path: str) -> tuple[tuple[str, ...], str]:
    parent, name = posixpath.split(path)
    return (*below, *(parent.split("/") if parent else ())), name
