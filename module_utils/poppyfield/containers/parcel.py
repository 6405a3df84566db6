"""Files on their way between a container and the laptop: a list, and their contents one after the other.

No format of archives is read of what a Pi sends: the list is judged first, then so many bytes are read for each file.
Pure but for the streams.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ansible.module_utils.poppyfield.containers.spec import Json
from ansible.module_utils.poppyfield.lizmap import archive_bounds
from ansible.module_utils.poppyfield.lizmap.archive_bounds import CHUNK, name_problem

LARGEST = archive_bounds.LARGEST
"""What the files of a parcel have together at most."""
MOST_FILES = 10_000
LONGEST_PATH = 1_000
LONGEST_NAME = 255
SHA256_DIGITS = 64
NAMED = 5
MODES = 0o755
"""What a file may keep of its mode: nobody but its owner writes, and nothing runs as another user."""
OWNER_READS_AND_WRITES = 0o600
FIELDS: Mapping[str, type] = {"path": str, "size": int, "sha256": str, "mode": int}


class ParcelError(Exception):
    """A parcel that is not packed or taken, in a sentence for the user."""


@dataclass(frozen=True)
class PackedFile:
    """A file of a parcel."""

    path: str
    size: int
    sha256: str
    mode: int = OWNER_READS_AND_WRITES


@dataclass(frozen=True)
class Parcel:
    """The list: where each file goes below a folder, in the order of their contents."""

    files: tuple[PackedFile, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Give the bytes of all contents."""
        return sum(file.size for file in self.files)

    def only(self, paths: Iterable[str]) -> Parcel:
        """Give the parcel of some of its files."""
        kept = set(paths)
        return Parcel(tuple(file for file in self.files if file.path in kept))

    def plain(self) -> Json:
        """Give it as plain data."""
        return asdict(self)


def named(paths: Sequence[str]) -> str:
    """Name the first of some files."""
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(paths[:NAMED]) + more


def parse(document: Any) -> Parcel:
    """Read a list that somebody else wrote; raise ParcelError where it is none, or leads out of a folder."""
    if not isinstance(document, Mapping):
        raise ParcelError("it is no list of files.")
    files, folders = document.get("files"), document.get("folders")
    if not isinstance(files, list | tuple) or not isinstance(folders, list | tuple):
        raise ParcelError("it is no list of files.")
    if len(files) + len(folders) > MOST_FILES:
        raise ParcelError(f"there are more than {MOST_FILES} files and folders: name a folder within.")
    parcel = Parcel(tuple(map(_file, files)), tuple(str(folder) for folder in folders))
    if parcel.size > LARGEST:
        raise ParcelError(too_large())
    _check_paths(parcel)
    return parcel


def too_large() -> str:
    """Say that it is."""
    return f"the files have more than {LARGEST // 1024**2} MB together: name a folder within."


def _file(entry: Any) -> PackedFile:
    if not isinstance(entry, Mapping) or not all(isinstance(entry.get(name), kind) for name, kind in FIELDS.items()):
        raise ParcelError("it is no list of files.")
    # Plain ones: Ansible marks what a host has said.
    file = PackedFile(**{name: kind(entry[name]) for name, kind in FIELDS.items()})
    if file.size < 0 or len(file.sha256) != SHA256_DIGITS:
        raise ParcelError(f"what it says of {file.path!a} cannot be.")
    return file


def _check_paths(parcel: Parcel) -> None:
    files = [file.path for file in parcel.files]
    every = [*files, *parcel.folders]
    for path in every:
        if problem := path_problem(path):
            raise ParcelError(f"{path!a} {problem}.")
    if len(set(every)) < len(every):
        raise ParcelError("a name is in it twice.")
    parents = {parent for path in every for parent in _parents(path)}
    if both := sorted(parents & set(files)):
        raise ParcelError(f"{both[0]!a} is a file and a folder in it.")


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def path_problem(path: str) -> str:
    """Say why a path does not lead to a place below a folder, in one form only; empty when it does."""
    if problem := name_problem(path):
        return problem
    if not path or path == "." or posixpath.normpath(path) != path:
        return "is no plain path"
    too_long = len(path.encode()) > LONGEST_PATH or any(len(name.encode()) > LONGEST_NAME for name in path.split("/"))
    return "is too long" if too_long else ""


# Packing ------------------------------------------------------------------------------------------------------------


def of_laptop(path: Path) -> tuple[Parcel, dict[str, Path]]:
    """Give what a file or folder of this laptop holds, and where each file lies; a file is called as it is."""
    top = path.parent if path.is_file() else path
    found = [path] if path.is_file() else sorted(path.rglob("*"))
    if len(found) > MOST_FILES:
        raise ParcelError(f"{path} has more than {MOST_FILES} files and folders.")
    sources = {str(entry.relative_to(top)): entry for entry in found}
    for entry in found:
        if not stat.S_ISREG(mode := entry.lstat().st_mode) and not stat.S_ISDIR(mode):
            raise ParcelError(f"{entry} is no file or folder but a link or a device: put what it leads to.")
    files = {name: entry for name, entry in sources.items() if not entry.is_dir()}
    packed = tuple(_packed(name, entry) for name, entry in files.items())
    parcel = Parcel(packed, tuple(name for name, entry in sources.items() if entry.is_dir()))
    return parse(parcel.plain()), files


def _packed(name: str, path: Path) -> PackedFile:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        state = os.fstat(stream.fileno())
    return PackedFile(name, state.st_size, digest, kept_mode(state.st_mode))


def kept_mode(mode: int) -> int:
    """Give what a file keeps of its mode."""
    return stat.S_IMODE(mode) & MODES | OWNER_READS_AND_WRITES


class Pieces:
    """A stream of bytes that come in pieces of any size."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Read on: so many bytes, fewer only at the end."""
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        read, self._rest = self._rest[:size], self._rest[size:]
        return read


def of_archive(pieces: Iterable[bytes], write: Callable[[bytes], Any], most: int = LARGEST) -> tuple[Parcel, list[str]]:
    """Write the contents of a tar archive, as Docker gives it; give their list, and the names of what is left out.

    That is what is no file or folder, and what has a name that would not be taken.
    """
    files: list[PackedFile] = []
    folders: list[str] = []
    left_out: list[str] = []
    size = 0
    try:
        with tarfile.open(fileobj=Pieces(pieces), mode="r|") as archive:  # type: ignore[call-overload]
            for entry in archive:
                name = posixpath.normpath(entry.name.lstrip("/"))
                if name == ".":
                    continue
                size += entry.size
                if size > most:
                    raise ParcelError(too_large() if most == LARGEST else "there is no room for a copy of the files.")
                if len(files) + len(folders) >= MOST_FILES:
                    raise ParcelError(f"there are more than {MOST_FILES} files and folders: name a folder within.")
                if path_problem(name) or not (entry.isreg() or entry.isdir()):
                    left_out.append(name)
                elif entry.isdir():
                    folders.append(name)
                else:
                    files.append(_of_entry(name, entry, archive, write))
    except tarfile.TarError as error:
        raise ParcelError(f"Docker's archive cannot be read: {error}.") from error
    return Parcel(tuple(files), tuple(folders)), left_out


def _of_entry(name: str, entry: tarfile.TarInfo, archive: tarfile.TarFile, write: Callable[[bytes], Any]) -> PackedFile:
    digest = hashlib.sha256()
    stream = archive.extractfile(entry)
    while stream and (chunk := stream.read(CHUNK)):
        digest.update(chunk)
        write(chunk)
    return PackedFile(name, entry.size, digest.hexdigest(), kept_mode(entry.mode))


# Taking -------------------------------------------------------------------------------------------------------------


def contents(stream: IO[bytes], file: PackedFile) -> Iterator[bytes]:
    """Give the next file's content, in pieces; raise ParcelError at its end where it is not what the list says."""
    digest, left = hashlib.sha256(), file.size
    while left and (chunk := stream.read(min(left, CHUNK))):
        digest.update(chunk)
        left -= len(chunk)
        yield chunk
    if left or digest.hexdigest() != file.sha256:
        raise ParcelError(f"{file.path!a} did not arrive as it was sent: run the same again.")
