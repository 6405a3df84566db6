"""What a person does in QGIS Desktop, by QGIS's own library: opens a table of PostGIS, and adds a feature.

Runs in a container that has python3-qgis, as `python3 edit_in_qgis.py` with a JSON object on its standard input, and
prints one with what came of it.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from qgis.core import QgsApplication, QgsDataSourceUri, QgsFeature, QgsGeometry, QgsVectorLayer

SSL_MODES = {
    "disable": QgsDataSourceUri.SslDisable,
    "require": QgsDataSourceUri.SslRequire,
    "verify-full": QgsDataSourceUri.SslVerifyFull,
}


def edit(person: dict[str, str]) -> dict[str, Any]:
    """Add a feature as a person does."""
    source = QgsDataSourceUri()
    mode = SSL_MODES[person["sslmode"]]
    source.setConnection(person["host"], "5432", "gis", person["user"], person["password"], mode)
    source.setDataSource("public", person["table"], "geom", "", "id")
    layer = QgsVectorLayer(source.uri(False), person["table"], "postgres")
    if not layer.isValid():
        return {"opened": False}
    if not layer.startEditing():
        return {"opened": True, "may edit": False, "features": layer.featureCount()}
    feature = QgsFeature(layer.fields())
    feature.setGeometry(QgsGeometry.fromWkt(person["wkt"]))
    feature["name"] = person["name"]
    layer.addFeature(feature)
    committed = layer.commitChanges()
    return {"opened": True, "may edit": True, "saved": committed, "errors": layer.commitErrors()}


def main() -> None:
    """Do what standard input says."""
    application = QgsApplication([], GUIenabled=False)
    application.initQgis()
    found = edit(json.load(sys.stdin))
    print(json.dumps(found))
    application.exitQgis()


if __name__ == "__main__":
    main()
