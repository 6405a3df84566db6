"""The benchmark of large texts writes files of the sizes that it names, which QGIS can read, and adds up right."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
from ansible.module_utils.poppyfield.projects.qgis_project import parse_project

from workshop.bench import text_memory


def test_the_files_have_their_sizes_and_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_memory, "MB", 1000)
    sizes = text_memory.write_projects(tmp_path)
    expected = {f"{kind}-{size}": size * 1000 for kind in text_memory.FORMATS for size in (10, 50)}
    assert {name: round(size, -3) for name, size in sizes.items()} == expected
    document = json.loads((tmp_path / "text" / "GeoJSON-10.geojson").read_text("utf-8"))
    assert len(document["features"]) > 50
    rows = list(csv.DictReader((tmp_path / "text" / "CSV-10.csv").open(encoding="utf-8")))
    for row in rows:
        assert -180 <= float(row["x"]) <= 180 and -90 <= float(row["y"]) <= 90
    for kind in ("kml", "gpx", "gml"):
        assert len(list(ElementTree.parse(tmp_path / "text" / f"{kind.upper()}-10.{kind}").getroot().iter())) > 50
    for name in (*sizes, text_memory.SMALL):
        (layer,) = parse_project(f"{name}.qgs", (tmp_path / "text" / f"{name}.qgs").read_bytes()).layers
        assert layer.name == "points"


def test_what_a_process_has_is_read() -> None:
    found = text_memory.resident(os.getpid())
    assert 1 < found["VmRSS"] <= found["VmHWM"]


def test_the_table_says_what_a_megabyte_takes_at_most() -> None:
    row = {"file": "CSV-10", "file_mb": 10.0, "kept_mb": 20.0, "at_most_mb": 35.0, "first_picture_seconds": 1.0}
    told = text_memory.table([row, {**row, "file": "GeoJSON-10", "at_most_mb": 12.0}])
    assert "| CSV-10 | 10.0 | 20.0 | 35.0 | 1.0 |" in told
    assert told.endswith("a worker takes up to so many MB: 3.5 for CSV, 1.2 for GeoJSON.")
