"""Whether two archives hold the same files: content, mode, owner, link target. Times are left out.

The product's way to build must give what plain emulation gives. What may differ is in EXPECTED, with the reason.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO

from ansible.module_utils.poppyfield.images.partial_archive import content

from image_contents.archive import OPAQUE, WHITEOUT, Json, unpacked
from image_contents.builds import Builds, Ways

EXPECTED: Mapping[str, str] = {}
"""Pattern of paths -> why they may differ."""


@dataclass(frozen=True)
class ComparedEntry:
    """One file, folder, link or device: its kind as tar names it, permissions, owner, link target, SHA-256."""

    kind: str
    mode: int
    owner: tuple[int, int]
    link: str
    digest: str


@dataclass(frozen=True)
class Comparison:
    """How many paths were compared, which of them differ, and which differ as expected."""

    compared: int
    differing: dict[str, str]
    expected: dict[str, str]


def of_builds(trial: Builds, in_ways: Ways, subject: str) -> Json:
    """Build an image under emulation and twice with the build tools; give what differs."""
    plain = entries(trial.save(trial.build(in_ways.plain, subject)))
    assisted = trial.build(in_ways.assisted, subject)
    again = trial.build(in_ways.assisted, subject, name=f"{subject} again")
    return {
        **asdict(compare(plain, entries(trial.save(assisted)))),
        "rebuild_digests_equal": trial.layers(assisted) == trial.layers(again),
    }


def is_sound(found: Json) -> bool:
    """Tell whether the two ways, and two builds, gave the same."""
    return not found["differing"] and bool(found["rebuild_digests_equal"])


def summary(subject: str, found: Json) -> str:
    """Say the most important in a few lines."""
    equal = "equal" if found["rebuild_digests_equal"] else "DIFFERENT"
    lines = [
        f"{subject}: {found['compared']} files compared, {len(found['differing'])} differ, "
        f"{len(found['expected'])} differ as expected; the layers of two builds are {equal}",
        *(f"  /{path}: {how}" for path, how in found["differing"].items()),
    ]
    return "\n".join(lines)


def compare(one: Mapping[str, ComparedEntry], other: Mapping[str, ComparedEntry]) -> Comparison:
    """Compare two trees by path."""
    paths = sorted(set(one) | set(other))
    differences = {path: how for path in paths if (how := difference(one.get(path), other.get(path)))}
    expected = {path: why for path in differences if (why := _reason(path))}
    return Comparison(len(paths), {path: how for path, how in differences.items() if path not in expected}, expected)


def difference(one: ComparedEntry | None, other: ComparedEntry | None) -> str:
    """Say how two entries differ; nothing when they do not."""
    if one is None or other is None:
        return "only in the second" if one is None else "only in the first"
    names = ("kind", "mode", "owner", "link", "digest")
    return ", ".join(name for name in names if getattr(one, name) != getattr(other, name))


def entries(archive: Path) -> dict[str, ComparedEntry]:
    """Read what an image's archive holds, by path without a leading slash, its layers laid over one another."""
    tree: dict[str, ComparedEntry] = {}
    with unpacked(archive) as plain, tarfile.open(fileobj=plain) as tar:
        manifest = json.load(content(tar, "manifest.json"))[0]
        for layer in manifest["Layers"]:
            _lay_over(tree, content(tar, layer))
    return tree


def _lay_over(tree: dict[str, ComparedEntry], stream: IO[bytes]) -> None:
    with tarfile.open(fileobj=stream) as layer:
        for member in layer:
            path = PurePosixPath("/", member.name).relative_to("/")
            if path.name == OPAQUE:
                _remove(tree, path.parent)
            elif path.name.startswith(WHITEOUT):
                hidden = path.with_name(path.name.removeprefix(WHITEOUT))
                _remove(tree, hidden)
                tree.pop(str(hidden), None)
            else:
                tree[str(path)] = _entry(layer, member)


def _remove(tree: dict[str, ComparedEntry], folder: PurePosixPath) -> None:
    for path in [path for path in tree if path.startswith(f"{folder}/")]:
        del tree[path]


def _entry(layer: tarfile.TarFile, member: tarfile.TarInfo) -> ComparedEntry:
    regular = member.isreg() or member.islnk()
    digest = hashlib.sha256(content(layer, member.name).read()).hexdigest() if regular else ""
    kind = "0" if regular else member.type.decode()
    return ComparedEntry(
        kind, member.mode & 0o7777, (member.uid, member.gid), member.linkname if member.issym() else "", digest
    )


def _reason(path: str) -> str:
    return next((why for pattern, why in EXPECTED.items() if fnmatch(path, pattern)), "")
