"""The archives of Lizmap Web Client and of QGIS Server's plugins: whether they are named. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.poppyfield.inventory.laptop import Laptop
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown
from ansible.module_utils.poppyfield.lizmap.recorded_archive import needs_digest

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
    for variable, source, checksum in _given(values):
        if needs_digest(source) and not checksum:
            yield Finding(
                variable,
                "it comes by http, where anybody on the way can replace it, and no SHA-256 is given",
                "Give https, a file on this laptop, or the checksum beside it",
                shown(source),
            )
    for variable, checksum in _checksums(values):
        if checksum and not re.fullmatch(r"[0-9a-fA-F]{64}", checksum):
            yield Finding(
                variable, "it is no SHA-256 checksum", "Give its 64 digits and letters, or remove it", shown(checksum)
            )


def _sources(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((variable, source) for variable, source, _ in _given(values))


def _checksums(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for variable in ARCHIVES:
        yield f"{variable}_sha256", values[f"{variable}_sha256"]
    for plugin in values["lizmap_server_extra_plugins"]:
        yield "lizmap_server_extra_plugins", plugin.get("sha256", "")


def _given(values: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Give each archive: its variable, where it is, and its checksum."""
    for variable in ARCHIVES:
        yield variable, values[variable], values[f"{variable}_sha256"]
    for plugin in values["lizmap_server_extra_plugins"]:
        yield "lizmap_server_extra_plugins", plugin["source"], plugin.get("sha256", "")
