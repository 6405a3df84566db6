"""Whether the archives of Lizmap and its plugins go with the images and with each other. Pure; for the controller.

A version of development such as `master` has no place in the order of versions. It is let through with a note, since
Lizmap takes it for the newest, and so does who builds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from packaging.version import InvalidVersion, Version

Release = Mapping[str, Any]
"""What `recorded_archive` returned for an archive, with its `item`, of which `variable` names where it was given."""


def archive_problems(releases: Sequence[Release], profile: Mapping[str, str]) -> list[str]:
    """Give a sentence for each archive that does not go with the images or with the others.

    Lizmap Web Client comes first, then the plugin lizmap_server, then other plugins.
    """
    lizmap, *plugins = releases
    found = [_of_lizmap(lizmap, profile), _of_server_plugin(plugins[0], lizmap)]
    found += [_of_plugin(plugin, profile) for plugin in plugins]
    if len({plugin["name"] for plugin in plugins}) < len(plugins):
        found.append("lizmap_server_extra_plugins names a plugin twice.")
    return [problem for problem in found if problem]


def archive_notes(releases: Sequence[Release], profile: Mapping[str, str]) -> list[str]:
    """Give a sentence for each archive of which nobody can tell whether it goes with the others, and for a new one."""
    lizmap, *plugins = releases
    told = [("lizmap_archive", "Lizmap Web Client", lizmap)]
    told += [(plugin["item"]["variable"], plugin["name"], plugin) for plugin in plugins]
    notes = _newer_than_tested(lizmap["version"], profile["lizmap_tested"])
    for variable, name, release in told:
        if _version(release["version"]) is None:
            notes.append(
                f"{variable}: {name} {release['version']} is no version that can be compared, so it is taken as it is. "
                "Whether it goes with the images and with the other archives shows when the maps are verified."
            )
        notes += [
            f"{variable}: {name} {release['version']} wants {what} {least}, which is no version that can be compared, "
            "so it is taken as it is."
            for what, least in sorted(release["requires"].items())
            if _version(least) is None
        ]
    return notes


def _newer_than_tested(version: str, tested: str) -> list[str]:
    found = _version(version)
    if found is None or not _older(tested, version):
        return []
    return [
        f"lizmap_archive: Lizmap Web Client {version} is newer than {tested}, the last that Poppyfield was tested "
        "with. Look at the maps, and try editing and printing, before the Pis go into the field."
    ]


def _of_lizmap(lizmap: Release, profile: Mapping[str, str]) -> str:
    version, first, end = lizmap["version"], profile["lizmap_from"], profile["lizmap_before"]
    is_known = _version(version) is not None
    if not is_known or (not _of_older_series(version, first) and (not end or _of_older_series(version, end))):
        return ""
    return (
        f"lizmap_archive is Lizmap Web Client {version}, which does not go with QGIS Server {profile['qgis_server']} "
        f"and PHP {profile['php']} of the images: give another release, or another arm_images_profile."
    )


def _of_server_plugin(plugin: Release, lizmap: Release) -> str:
    if plugin["name"] != "lizmap_server":
        return f"lizmap_server_plugin must be the plugin lizmap_server, not {plugin['name']}."
    least = lizmap["requires"].get("lizmap_server", "0")
    if not _older(plugin["version"], least):
        return ""
    return (
        f"lizmap_server_plugin is lizmap_server {plugin['version']}, but Lizmap Web Client {lizmap['version']} needs "
        f"{least} or later."
    )


def _of_plugin(plugin: Release, profile: Mapping[str, str]) -> str:
    least = plugin["requires"].get("qgis_server", "0")
    if not _older(profile["qgis_server"], least):
        return ""
    return (
        f"{plugin['item']['variable']}: {plugin['name']} {plugin['version']} needs QGIS Server {least} or later, but "
        f"the images have {profile['qgis_server']}: give an older release."
    )


def _older(version: str, other: str) -> bool:
    """Tell whether a version is known to come before another one; a candidate comes before its release."""
    one, two = _version(version), _version(other)
    return one is not None and two is not None and one < two


def _of_older_series(version: str, first: str) -> bool:
    """Tell whether a version is of a series before `first`: a candidate needs what its release will need."""
    one = _version(version)
    return one is not None and Version(one.base_version) < Version(first)


def _version(text: str) -> Version | None:
    try:
        return Version(text.strip())
    except InvalidVersion:
        return None
