"""A build context as a digest: the same files give the same digest, whatever their dates and their order.

An entry is a file or a symbolic link. Its path, executable bit, link target and every byte of content count; its dates,
owner and other mode bits do not, and an empty folder does not (git keeps none of those either). `stage` then lays out
exactly what was counted, so that nothing else can reach the image.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 1
CHUNK = 1024 * 1024
READABLE = "The user that builds must be able to read all of the context that .dockerignore does not leave out."


class ContextError(Exception):
    """A build context that cannot be used, in a sentence for the user."""


@dataclass(frozen=True)
class ContextEntry:
    """One file or symbolic link of a context; `content` is the SHA-256 of a file's bytes."""

    path: str
    executable: bool = False
    link_target: str | None = None
    content: str = ""


def digest(entries: Iterable[ContextEntry], facts: Mapping[str, Any]) -> str:
    """Give the SHA-256 of the entries, in any order, and of the facts that decide the image beside them."""
    document = {
        "version": VERSION,
        "entries": sorted([e.path, e.executable, e.link_target or "", e.content] for e in entries),
        "facts": facts,
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


# .dockerignore ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class IgnoreRule:
    """One line of .dockerignore; `keep` is true for a line that starts with an exclamation mark."""

    pattern: re.Pattern[str]
    keep: bool


def parse_dockerignore(text: str) -> list[IgnoreRule]:
    """Read .dockerignore as Docker does: later lines win, a rule for a folder holds for what is in it."""
    rules = []
    for raw in text.lstrip("\ufeff").splitlines():
        if raw.startswith("#"):
            continue
        line = raw.strip()
        keep = line.startswith("!")
        # What is left of an empty line is ".", which is no path in a context.
        pattern = os.path.normpath(line[keep:].strip()).lstrip("/")
        try:
            rules.append(IgnoreRule(_translate(pattern), keep))
        except re.error as error:
            raise ContextError(f"The line {raw!r} of .dockerignore is not a pattern: {error}.") from error
    return rules


def is_ignored(path: str, rules: Sequence[IgnoreRule]) -> bool:
    """Tell whether the rules leave this path (with slashes, relative to the context) out of the context."""
    parts = path.split("/")
    lineage = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    ignored = False
    for rule in rules:
        if ignored == rule.keep and any(rule.pattern.fullmatch(p) for p in lineage):
            ignored = not rule.keep
    return ignored


def _translate(pattern: str) -> re.Pattern[str]:
    out = []
    i = 0
    while i < len(pattern):
        char = pattern[i]
        if pattern.startswith("**", i):
            i += 2
            if pattern.startswith("/", i):
                i += 1
            out.append(".*" if i >= len(pattern) else "(?:.*/)?")
            continue
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[" and (end := pattern.find("]", i + 2)) > 0:
            inside = pattern[i + 1 : end]
            out.append("[" + re.sub(r"([\\\[\]&~|])", r"\\\1", inside) + "]")
            i = end
        elif char == "\\" and i + 1 < len(pattern):
            i += 1
            out.append(re.escape(pattern[i]))
        else:
            out.append(re.escape(char))
        i += 1
    return re.compile("".join(out), re.DOTALL)


# The file system ----------------------------------------------------------------------------------------------------


def scan(context: Path, additions: Mapping[str, str], *, missing_allowed: bool = False) -> dict[str, Path]:
    """Map every path of the context and of its additions to the file or link behind it.

    An addition is named by the user, so .dockerignore does not hide it, and it takes the place of a file of the
    same path. With `missing_allowed` an addition that does not exist yet stays in the map (check mode, before the
    step that makes it).
    """
    if not context.is_dir():
        raise ContextError(f"The build context {context} is not a folder.")
    ignore = context / ".dockerignore"
    rules = parse_dockerignore(ignore.read_text("utf-8", "surrogateescape")) if ignore.is_file() else []
    found = {path: source for path, source in _walk(context, rules) if not is_ignored(path, rules)}
    found.pop(".dockerignore", None)
    for name, origin in additions.items():
        target = os.path.normpath(name)
        if target.startswith(("/", "..")) or target == ".":
            raise ContextError(f"The addition {name!r} must name a path inside the build context.")
        source = Path(origin)
        if source.is_dir():
            inside = {f"{target}/{path}": item for path, item in _walk(source)}
        elif source.exists() or missing_allowed:
            inside = {target: source.resolve()}
        else:
            raise ContextError(f"The addition {name!r} is to come from {source}, which does not exist.")
        found = {p: s for p, s in found.items() if p != target and not p.startswith(f"{target}/")}
        found.update(inside)
    return found


def _walk(folder: Path, rules: Sequence[IgnoreRule] = ()) -> Iterable[tuple[str, Path]]:
    def refuse(error: OSError) -> None:
        raise ContextError(f"The build context cannot be read: {error.strerror}: {error.filename}. {READABLE}")

    # As Docker does: a folder that is left out whole need not be readable.
    skips = not any(rule.keep for rule in rules)
    for root, folders, files in os.walk(folder, onerror=refuse):
        if skips:
            inside = Path(root).relative_to(folder)
            folders[:] = [name for name in folders if not is_ignored((inside / name).as_posix(), rules)]
        for name in [*files, *(f for f in folders if (Path(root) / f).is_symlink())]:
            source = Path(root) / name
            yield source.relative_to(folder).as_posix(), source


def read_entry(path: str, source: Path) -> ContextEntry:
    """Read one file or link into its entry."""
    try:
        state = source.lstat()
        if stat.S_ISLNK(state.st_mode):
            return ContextEntry(path, link_target=os.readlink(source))  # noqa: PTH115 - a Path would normalise the target
        if not stat.S_ISREG(state.st_mode):
            raise ContextError(f"{source} is neither a file, a folder nor a symbolic link.")
        return ContextEntry(path, bool(state.st_mode & 0o111), content=file_digest(source))
    except OSError as error:
        raise ContextError(f"{source} cannot be read: {error.strerror}. {READABLE}") from error


def file_digest(path: Path) -> str:
    """Give the SHA-256 of a file's bytes."""
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def read_entries(sources: Mapping[str, Path], *, missing_allowed: bool = False) -> tuple[list[ContextEntry], list[str]]:
    """Read the entries of a scanned context; give those, and the paths that do not exist yet."""
    entries = []
    missing = []
    for path, source in sources.items():
        if missing_allowed and not source.exists() and not source.is_symlink():
            missing.append(path)
            entries.append(ContextEntry(path, content="missing"))
        else:
            entries.append(read_entry(path, source))
    return entries, missing


def stage(sources: Mapping[str, Path], entries: Iterable[ContextEntry], folder: Path) -> None:
    """Lay the context out in a new folder, with the modes 0644 and 0755 only, as the digest counted it.

    A hard link costs nothing, so it is taken where the mode is right already; else a copy.
    """
    for entry in entries:
        target = folder / entry.path
        _make_folders(target.parent)
        if entry.link_target is not None:
            target.symlink_to(entry.link_target)
            continue
        source = sources[entry.path]
        mode = 0o755 if entry.executable else 0o644
        if stat.S_IMODE(source.stat().st_mode) == mode:
            try:
                os.link(source, target)
                continue
            except OSError:
                pass  # another file system
        shutil.copyfile(source, target)
        target.chmod(mode)


def _make_folders(path: Path) -> None:
    if not path.exists():
        _make_folders(path.parent)
        path.mkdir()
        path.chmod(0o755)  # whatever the umask of whoever builds
