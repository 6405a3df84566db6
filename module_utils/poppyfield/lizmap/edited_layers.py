"""Which layers of a project people may add features to, and where their rows are. Pure; for the controller."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath

from ansible.module_utils.poppyfield.lizmap.write_trial import EditedLayer
from ansible.module_utils.poppyfield.projects.qgis_project import (
    EDITABLE,
    SERVICE,
    TABLE,
    ProjectLayer,
    parse_project,
)
from ansible.module_utils.poppyfield.projects.qgis_source import read_connection


def edited_layers(repository: str, file: str, project: bytes, cfg: bytes) -> list[EditedLayer]:
    """Give the layers of the project in a file that its .cfg lets people add features to; raise ProjectError."""
    wanted = dict(_edited(cfg))
    name = f"{repository}/{PurePosixPath(file).stem}"
    layers = parse_project(file, project).layers if wanted else ()
    return [_with_table(name, wanted[layer.id], layer) for layer in layers if layer.id in wanted]


def _edited(cfg: bytes) -> Iterator[tuple[str, str]]:
    """Give the ids and names of the layers; what cannot be read has none, and is told of where it is published."""
    try:
        entries = (json.loads(cfg).get("editionLayers") or {}).items()
    except (ValueError, AttributeError, RecursionError):
        return
    for name, entry in entries:
        try:
            if str(entry["capabilities"]["createFeature"]) == "True":
                yield str(entry["layerId"]), name
        except (KeyError, TypeError):
            continue


def _with_table(name: str, layer_name: str, layer: ProjectLayer) -> EditedLayer:
    connection = read_connection(layer.source)
    table = TABLE.search(layer.source)
    if layer.provider not in EDITABLE or connection.get("service") != SERVICE or table is None:
        return EditedLayer(name, layer_name, layer.id)
    schema, alone = (table[1], table[2]) if table[2] else ("", table[1])
    return EditedLayer(name, layer_name, layer.id, schema, alone, connection.get("key", ""))
