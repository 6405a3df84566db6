"""The archives of Lizmap Web Client and of QGIS Server's plugins: whether they are named. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.poppyfield.inventory.laptop import Laptop
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown

ARCHIVES = {
    "lizmap_archive": "the release archive of Lizmap Web Client (lizmap-web-client-VERSION.zip)",
    "lizmap_server_plugin": "the archive of the QGIS Server plugin lizmap_server",
}


def findings(host: Host, laptop: Laptop) -> Iterator[Finding]:
    """Give what is wrong."""
    values = host.values
    if values["lizmap_web_client"] != "archive":
        return
    for variable, what in ARCHIVES.items():
        if not values[variable]:
            yield Finding(
                variable,
                "Lizmap Web Client is not in Poppyfield, and this is empty",
                f"Give {what}, a URL or a file on this laptop; without Lizmap, a small map page is served with "
                "lizmap_web_client set to none",
            )
    for variable, source in _sources(values):
        if source and "://" not in source and not laptop.is_file(source):
            yield Finding(
                variable, "it is not a file on this laptop", "Correct the path, or fetch the file", shown(source)
            )
    for variable, checksum in _checksums(values):
        if checksum and not re.fullmatch(r"[0-9a-fA-F]{64}", checksum):
            yield Finding(
                variable, "it is no SHA-256 checksum", "Give its 64 digits and letters, or remove it", shown(checksum)
            )


def _sources(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for variable in ARCHIVES:
        yield variable, values[variable]
    for plugin in values["lizmap_server_extra_plugins"]:
        yield "lizmap_server_extra_plugins", plugin["source"]


def _checksums(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for variable in ("lizmap_archive_sha256", "lizmap_server_plugin_sha256"):
        yield variable, values[variable]
    for plugin in values["lizmap_server_extra_plugins"]:
        yield "lizmap_server_extra_plugins", plugin.get("sha256", "")
