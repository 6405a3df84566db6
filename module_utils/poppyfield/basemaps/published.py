"""How base maps lie on a Pi: their names, the list that the map page reads, and which old ones stay a while. Pure."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.poppyfield.basemaps.tiles_file import TilesFile, TilesForm

INDEX = "index.json"
LARGEST_INDEX = 1_000_000
NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
DIGITS = 16
"""Of the SHA-256 of a file in its name: an address never stands for another content."""
PUBLISHED = re.compile(rf"(?P<name>{NAME.pattern})\.[0-9a-f]{{{DIGITS}}}\.pmtiles")
OLD_ONES_STAY = 24 * 60 * 60
"""Seconds. Pages that were opened before a base map was replaced go on with the old one."""


@dataclass(frozen=True)
class BaseMap:
    """One entry of lizmap_basemaps, with what its file says."""

    name: str
    file: TilesFile
    title: str = ""
    attribution: str = ""
    """Plain text; empty where the file's own counts."""

    def published_name(self, sha256: str) -> str:
        """Give the name of its file on the Pi: projects name theirs, so that one stays as it is."""
        if self.file.form is TilesForm.MBTILES:
            return f"{self.name}.mbtiles"
        return f"{self.name}.{sha256[:DIGITS]}.pmtiles"


def name_of(entry: Mapping[str, Any]) -> str:
    """Give the name of an entry: its own, or that of its file."""
    return str(entry.get("name") or "") or posixpath.splitext(posixpath.basename(entry["file"]))[0]


def index(basemaps: Iterable[tuple[BaseMap, str]]) -> bytes:
    """Write the list that the map page reads, of base maps with the SHA-256 of their files."""
    listed = [
        {
            "name": one.name,
            "file": one.published_name(sha256),
            "title": one.title or one.file.title or one.name,
            "attribution": one.attribution or one.file.attribution,
            "tiles": "vector" if one.file.tiles == "mvt" else "raster",
            "bounds": list(one.file.bounds),
            "zooms": list(one.file.zooms),
        }
        for one, sha256 in basemaps
        if one.file.form is TilesForm.PMTILES
    ]
    return (json.dumps({"version": 1, "basemaps": listed}, ensure_ascii=False, indent=1) + "\n").encode()


def listed(content: bytes) -> set[str]:
    """Give the files that a list on a Pi names; one that can't be read names none."""
    try:
        return {str(one["file"]) for one in json.loads(content)["basemaps"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return set()


def old_ones(found: Iterable[str], present: set[str], wanted: Sequence[str], *, changes: bool, age: float) -> set[str]:
    """Give the files of base maps that were replaced, or are by this run, and that open pages may still read.

    `present` are those that the Pi's list names, which has stood for `age` seconds and `changes` with this run. What
    was replaced before that goes, and so does all that has a name which is not wanted any more.
    """
    names = {match["name"] for name in wanted if (match := PUBLISHED.fullmatch(name))}
    old = {name for name in found if (match := PUBLISHED.fullmatch(name)) and match["name"] in names}
    old -= set(wanted)
    if changes:
        return old & present
    return old if age < OLD_ONES_STAY else set()
