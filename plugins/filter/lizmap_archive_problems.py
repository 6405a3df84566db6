"""Which archives of Lizmap and its plugins do not go with the images or with each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.module_utils.compat.version import LooseVersion

DOCUMENTATION = r"""
name: lizmap_archive_problems
short_description: Which archives do not go with the images or with each other
version_added: "0.1.0"
description:
  - Gives a sentence for each.
positional: profile
options:
  _input:
    description:
      - What M(recorded_archive) returned for each archive, with its C(item), of which C(variable) names where it was
        given. Lizmap Web Client comes first, then the plugin lizmap_server, then other plugins.
    type: list
    elements: dict
    required: true
  profile:
    description: What the images have, C(qgis_server) and C(php), and which releases of Lizmap go with these, from
      C(lizmap_from) and, unless that is empty, before C(lizmap_before).
    type: dict
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
problems: "{{ archives.results | lizmap_archive_problems(profile) }}"
"""

RETURN = r"""
_value:
  description: The sentences.
  type: list
  elements: str
"""

Release = Mapping[str, Any]


def archive_problems(releases: Sequence[Release], profile: Mapping[str, str]) -> list[str]:
    """Give a sentence for each archive that does not go with the images or with the others."""
    lizmap, *plugins = releases
    found = [_of_lizmap(lizmap, profile), _of_server_plugin(plugins[0], lizmap)]
    found += [_of_plugin(plugin, profile) for plugin in plugins]
    if len({plugin["name"] for plugin in plugins}) < len(plugins):
        found.append("lizmap_server_extra_plugins names a plugin twice.")
    return [problem for problem in found if problem]


def _of_lizmap(lizmap: Release, profile: Mapping[str, str]) -> str:
    version, first, end = lizmap["version"], profile["lizmap_from"], profile["lizmap_before"]
    if not _older(version, first) and (not end or _older(version, end)):
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
    return bool(LooseVersion(version) < LooseVersion(other))


class FilterModule:
    """The filter lizmap_archive_problems."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"lizmap_archive_problems": archive_problems}
