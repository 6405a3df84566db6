"""A repository's folder: what of it is published, and how the laptop's differs from the Pi's."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

UNFINISHED = ("-wal", "-journal", "-shm")
"""Ends of names that SQLite gives to files beside a database, which hold work that is not in it yet."""
NAMES_OF_DESKTOPS = {"thumbs.db", "desktop.ini", "__macosx"}
BATCH_BYTES = 64 * 1024 * 1024
"""How much an upload holds: it is packed in the laptop's /tmp, which may be in memory."""
ROOM_TO_SPARE = 50 * 1024 * 1024


class FolderError(Exception):
    """A folder that cannot be published, in a sentence."""


class File(NamedTuple):
    """A file as it should be."""

    size: int
    sha256: str


class FoundFile(NamedTuple):
    """A file as it is on the Pi."""

    size: int
    sha256: str
    right: bool
    """Whether its kind, owner and mode are right."""


def is_unfinished(name: str) -> bool:
    """Tell a file that SQLite keeps beside a database while that is open."""
    return name.lower().endswith(UNFINISHED)


def is_published(name: str) -> bool:
    """Tell whether a file or folder of this name goes to the Pi: backups and what desktops leave behind do not."""
    hidden = name.startswith(".") or name.endswith("~")
    return not (hidden or is_unfinished(name) or name.lower() in NAMES_OF_DESKTOPS)


def shown(name: str) -> str:
    """Give the name of a file on the Pi as it can be printed: bytes that are no UTF-8 or no character are escaped."""
    return "".join(char if char.isprintable() else _escaped(char) for char in name)


def _escaped(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


# On the laptop -------------------------------------------------------------------------------------------------------


def walk(folder: Path, *, unfinished: bool = False) -> Iterator[tuple[str, Path]]:
    """Give the files of a folder that are published (or those that SQLite has not finished), with relative names.

    Links are followed, as people use them to have data in two places; one that leads round in a circle is refused.
    """
    yield from _walk(folder, "", (), unfinished)


def _walk(folder: Path, prefix: str, above: tuple[Path, ...], unfinished: bool) -> Iterator[tuple[str, Path]]:
    real = folder.resolve()
    if real in above:
        raise FolderError(f"{folder} is a link that leads round in a circle.")
    for entry in sorted(folder.iterdir()):
        name = entry.name
        wanted = is_unfinished(name) if unfinished and not entry.is_dir() else is_published(name)
        if not wanted:
            continue
        if not name.isprintable():
            # What is no UTF-8 either.
            raise FolderError(f"The name of {str(entry)!r} has characters that cannot be printed: rename it.")
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{name}/", (*above, real), unfinished)
        elif entry.is_file():
            yield f"{prefix}{name}", entry
        elif entry.is_symlink():
            raise FolderError(f"{entry} is a link to something that does not exist.")


def beginning(path: Path, most: int) -> bytes:
    """Give a file's content, but one byte more than so many of a larger one."""
    with path.open("rb") as stream:
        return stream.read(most + 1)


def digest(path: Path) -> str:
    """Give a file's SHA-256."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def wanted_files(folder: Path) -> dict[str, File]:
    """Read a folder: what is to be published."""
    return {name: File(path.stat().st_size, digest(path)) for name, path in walk(folder)}


def of_projects(names: Iterable[str]) -> set[str]:
    """Give the files of projects: each one's own, and Lizmap's configuration of it."""
    return {file for name in names for file in (name, f"{name}.cfg")}


class Piece(NamedTuple):
    """What of a file travels in one upload."""

    sha256: str
    start: int
    size: int
    whole: int
    """How many bytes the file has."""

    @property
    def entry(self) -> str:
        """Name it in an archive, which knows its size."""
        return f"{self.sha256}.{self.start}.{self.whole}"


def piece_of(entry: str, size: int) -> Piece:
    """Read the name of a piece; raise FolderError."""
    match = re.fullmatch(r"([0-9a-f]{64})\.(\d+)\.(\d+)", entry)
    if match is None:
        raise FolderError(f"The upload holds {shown(entry)}, which is no piece of a file.")
    return Piece(match[1], int(match[2]), size, int(match[3]))


def uploads(missing: Mapping[str, int], limit: int = BATCH_BYTES) -> list[list[Piece]]:
    """Divide what is missing, digests with sizes, into uploads: small files together, and a large one in pieces."""
    result: list[list[Piece]] = []
    filled = limit
    for sha256, size in sorted(missing.items()):
        for start in range(0, size or 1, limit):
            piece = Piece(sha256, start, min(limit, size - start), size)
            if not result or filled + piece.size > limit:
                result.append([])
                filled = 0
            result[-1].append(piece)
            filled += piece.size
    return result


def still_to_send(parts: Iterable[Sequence[Piece]], begun: Mapping[str, int]) -> list[list[Piece]]:
    """Leave out the pieces that an earlier run brought; `begun` has by digest how many bytes are there.

    The last piece of a file always travels: with it the file is judged.
    """
    rest = [[piece for piece in part if not _is_there(piece, begun.get(piece.sha256, 0))] for part in parts]
    return [part for part in rest if part]


def _is_there(piece: Piece, begun: int) -> bool:
    end = piece.start + piece.size
    return end <= begun and end < piece.whole


# On the Pi -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FolderDifference:
    """How a repository on the Pi differs from the laptop's folder; names of files, sorted."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    corrected: tuple[str, ...]
    """The content is right, owner or mode are not."""
    removed: tuple[str, ...]
    left: tuple[str, ...]
    """On the Pi only, and kept because nobody asked to remove it."""
    kept: tuple[str, ...]
    """What the new folder takes over from the old one, `left` included."""

    def __bool__(self) -> bool:
        """Tell whether anything is to be done."""
        return bool(self.added or self.changed or self.corrected or self.removed)

    def reasons(self) -> list[str]:
        """Say what changes, in words."""
        told = (("added", self.added), ("changed", self.changed), ("owner or mode corrected", self.corrected))
        return [f"{shown(name)}: {what}" for what, names in (*told, ("removed", self.removed)) for name in names]


def compare(wanted: Mapping[str, File], found: Mapping[str, FoundFile], *, prune: bool) -> FolderDifference:
    """Say what is to be done so that the Pi has what the laptop has."""
    only_here = sorted(set(found) - set(wanted))
    in_the_way = {name for name in only_here if _stands_in_the_way(name, wanted)}
    left = () if prune else tuple(name for name in only_here if name not in in_the_way)
    both = sorted(set(wanted) & set(found))
    same = [name for name in both if wanted[name].sha256 == found[name].sha256]
    return FolderDifference(
        added=tuple(sorted(set(wanted) - set(found))),
        changed=tuple(name for name in both if wanted[name].sha256 != found[name].sha256),
        corrected=tuple(name for name in same if not found[name].right),
        removed=tuple(name for name in only_here if name not in left),
        left=left,
        kept=tuple(sorted({*same, *left})),
    )


def _stands_in_the_way(name: str, wanted: Mapping[str, File]) -> bool:
    """Tell a file that is where a folder is wanted, or in a folder that is where a file is wanted."""
    parts = name.split("/")
    inside_of_a_file = any("/".join(parts[:depth]) in wanted for depth in range(1, len(parts)))
    return inside_of_a_file or any(other.startswith(f"{name}/") for other in wanted)


def missing(wanted: Mapping[str, File], difference: FolderDifference, arrived: Sequence[str]) -> dict[str, int]:
    """Give the digests, with sizes, of what has to be sent."""
    needed = {wanted[name].sha256: wanted[name].size for name in (*difference.added, *difference.changed)}
    return {sha256: size for sha256, size in needed.items() if sha256 not in arrived}


def not_begun(needed: Mapping[str, int], begun: Mapping[str, int]) -> dict[str, int]:
    """Give how many bytes of each file are still to come."""
    return {sha256: max(0, size - begun.get(sha256, 0)) for sha256, size in needed.items()}


def too_little_room(needed: Mapping[str, int], free: int) -> str:
    """Say so when what is to be sent does not fit on the disk; empty when it does."""
    # What arrives is there twice for a while: packed, an upload at a time, and unpacked.
    packed = min(sum(needed.values()), BATCH_BYTES)
    wanted = sum(needed.values()) + packed + ROOM_TO_SPARE
    if not needed or wanted <= free:
        return ""
    return (
        f"There is too little room on the Pi: {wanted / 1e6:.0f} MB are needed and {free / 1e6:.0f} MB are free. "
        "Remove what the project does not need from its folder, or make room on the Pi."
    )


def before_and_after(
    wanted: Mapping[str, File], found: Mapping[str, FoundFile], difference: FolderDifference
) -> tuple[dict[str, str], dict[str, str]]:
    """Show what changes, file by file, as --diff prints it."""
    before = {shown(name): _told(found[name]) for name in (*difference.changed, *difference.removed)}
    before |= {name: f"{_told(found[name])}, other owner or mode" for name in difference.corrected}
    after = {name: _told(wanted[name]) for name in (*difference.added, *difference.changed, *difference.corrected)}
    return before, after


def _told(file: File | FoundFile) -> str:
    return f"{file.size} bytes, sha256 {file.sha256[:12]}" if file.sha256 else "not a plain file"


# What is known of files whose content need not be read again ---------------------------------------------------------

Stamp = tuple[int, int, int, int]
"""Inode, size, and the times of the last change of content and of anything: all change with the content."""
Known = dict[str, tuple[Stamp, str]]


def stamp_of(state: os.stat_result) -> Stamp:
    """Give what changes with a file's content; nobody can set the last of these times."""
    return state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


def parse_known(text: str) -> Known:
    """Read a record; one that is damaged, as after a power cut, is as good as none."""
    known: Known = {}
    for line in text.splitlines():
        with suppress(ValueError):
            inode, size, changed, touched, sha256, name = line.split("\t")
            known[str(json.loads(name))] = ((int(inode), int(size), int(changed), int(touched)), sha256)
    return known


def format_known(known: Known) -> str:
    """Write a record in ASCII, one line for each file; a name may have any bytes in it, and ends of lines."""
    return "".join(
        "\t".join([*map(str, stamp), sha256, json.dumps(name)]) + "\n"
        for name, (stamp, sha256) in sorted(known.items())
    )


def is_right(state: os.stat_result, owner: int, group: int, mode: int) -> bool:
    """Tell whether a file is a plain one, with its owner and mode."""
    plain = stat.S_ISREG(state.st_mode)
    return plain and (state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)) == (owner, group, mode)
