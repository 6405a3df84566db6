"""The files of base maps: whether they are such, and the room that they need. Pure."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.basemaps.published import NAME, BaseMap, name_of
from ansible.module_utils.poppyfield.basemaps.tiles_file import TilesFile, TilesFileError, TilesForm, plain
from ansible.module_utils.poppyfield.inventory.laptop import Laptop
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown
from ansible.module_utils.poppyfield.projects.published_folder import BASEMAPS, WORKSHOP, growing_name

VARIABLE = "lizmap_basemaps"
MB = 1024 * 1024

Told = tuple[str, str]
"""What is wrong, and the remedy."""


def findings(host: Host, laptop: Laptop) -> Iterator[Finding]:
    """Give what is wrong."""
    entries = host.values[VARIABLE]
    yield from _names(entries)
    for entry in entries:
        path = entry["file"]
        if not laptop.is_file(path):
            yield Finding(
                VARIABLE, "it is not a file on this laptop", "Correct the path, or fetch the file", shown(path)
            )
            continue
        for wrong, remedy in _problems(entry, laptop.tiles_file(path), host.values["lizmap_web_client"]):
            yield Finding(VARIABLE, wrong, remedy, shown(path))


def _names(entries: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    names = [name_of(entry) for entry in entries]
    for name in dict.fromkeys(names):
        if not NAME.fullmatch(name):
            yield Finding(
                VARIABLE,
                "it cannot be the name of a base map",
                "Give the entry a name of up to 60 letters (a to z), digits, hyphens and underscores",
                shown(name),
            )
    for name, times in Counter(name.lower() for name in names).items():
        if times > 1:
            yield Finding(
                VARIABLE,
                f"two base maps have the name {name} (upper and lower case do not tell them apart)",
                "Give each entry a name of its own",
            )


def _problems(entry: Mapping[str, Any], found: TilesFile | TilesFileError, web_client: str) -> Iterator[Told]:
    if isinstance(found, TilesFileError):
        yield found.wrong, found.remedy
        return
    if found.form is TilesForm.MBTILES:
        if found.tiles not in ("png", "jpg", "webp"):
            yield (
                "its tiles are no pictures, and QGIS Server draws MBTiles of pictures alone",
                "Make pictures of it, or PMTiles for the map page (docs/basemaps.md)",
            )
        return
    if web_client == "archive":
        yield (
            "it is PMTiles, which the small map page shows, and Lizmap does not",
            "Make MBTiles with pictures, which a project takes as a layer (docs/basemaps.md)",
        )
    if not found.tiles:
        yield (
            "its tiles are of a kind that browsers don't draw here",
            "Make it with PNG, JPEG, WebP or vector tiles (MVT)",
        )
    if not (plain(entry.get("attribution")) or found.attribution):
        yield (
            "it does not say whose data it shows, which nearly every licence asks to be told",
            "Give the entry an attribution, such as © OpenStreetMap contributors",
        )


def of_entry(entry: Mapping[str, Any], found: TilesFile) -> BaseMap:
    """Give a base map of the inventory with what its file says."""
    return BaseMap(name_of(entry), found, plain(entry.get("title")), plain(entry.get("attribution")))


def names_of_all(hosts: Iterable[Host], laptop: Laptop) -> list[str]:
    """Name the files that projects may use by ../basemaps/NAME: those that each of these hosts has."""
    of_hosts = [{name for name, *_ in _with_names(host, laptop) if name.endswith(".mbtiles")} for host in hosts]
    return sorted(set.intersection(*of_hosts)) if of_hosts else []


def rooms(host: Host, laptop: Laptop) -> list[dict[str, Any]]:
    """Give the room that the files need on the Pi, less what is there of them: see first_look.

    What travels at once needs room, too. That is compared when the Pi says what it lacks, before anything is sent.
    """
    folder = posixpath.normpath(host.values["lizmap_folder"])
    projects, files = f"{folder}/projects", list(_with_names(host, laptop))
    if not files:
        return []
    there = [f"{projects}/{BASEMAPS}/{name}" for name, *_ in files]
    arriving = f"{projects}/{WORKSHOP}/{BASEMAPS}/incoming"
    coming = [f"{arriving}/{name}" for *_, sha256 in files for name in (sha256, growing_name(sha256))]
    needed = sum(size for _, size, _ in files) // MB
    return [{"path": folder, "free_mb": needed, "variable": VARIABLE, "less_files": [*there, *coming]}]


def _with_names(host: Host, laptop: Laptop) -> Iterator[tuple[str, int, str]]:
    """Give of each file its name on the Pi, its bytes and its SHA-256."""
    cache = Path(host.values["lizmap_cache_folder"])
    for entry in host.values[VARIABLE]:
        found = laptop.tiles_file(entry["file"])
        if isinstance(found, TilesFile):
            sha256 = laptop.sha256(entry["file"], cache)
            yield of_entry(entry, found).published_name(sha256), found.size, sha256
