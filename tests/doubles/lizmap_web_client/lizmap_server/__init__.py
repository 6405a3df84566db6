"""Stand-in for the plugin lizmap_server, for tests: tells Lizmap's stand-in of QGIS Server."""

from __future__ import annotations

import configparser
import json
import os
from pathlib import Path
from typing import Any

from qgis.core import Qgis
from qgis.server import QgsServerApi


class ServerInformation(QgsServerApi):  # type: ignore[misc]
    """Answers /lizmap/server.json."""

    def name(self) -> str:
        return "Stand-in for lizmap_server"

    def rootPath(self) -> str:  # noqa: N802 - QGIS calls it
        return "/lizmap"

    def executeRequest(self, context: Any) -> None:  # noqa: N802 - QGIS calls it
        response = context.response()
        if context.request().url().path() != "/lizmap/server.json":
            response.setStatusCode(404)
            return
        told = {"metadata": {"version": Qgis.version().split("-")[0]}, "plugins": plugins()}
        response.setHeader("Content-Type", "application/json")
        response.write(json.dumps({"qgis_server": told}))


def plugins() -> dict[str, dict[str, str]]:
    """Give the versions of the plugins of QGIS Server."""
    found = {}
    for path in sorted(Path(os.environ["QGIS_PLUGINPATH"]).glob("*/metadata.txt")):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(path)
        found[path.parent.name] = {"version": parser["general"]["version"]}
    return found


def serverClassFactory(interface: Any) -> ServerInformation | None:  # noqa: N802 - QGIS calls it
    """Register the address, if the plugin is told to reveal what it knows; QGIS keeps what this gives."""
    if os.environ.get("QGIS_SERVER_LIZMAP_REVEAL_SETTINGS", "").lower() not in {"1", "true", "yes"}:
        return None
    api = ServerInformation(interface)
    interface.serviceRegistry().registerApi(api)
    return api
