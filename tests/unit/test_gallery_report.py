"""The gallery's report tells what is not as expected, and where there is too little of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.gallery import report


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "REPORTS", tmp_path)
    monkeypatch.setattr(report, "ROWS", tmp_path / "gallery")
    monkeypatch.setattr(report, "LINES", {})
    return tmp_path


def fill(kind: str, count: int) -> None:
    for number in range(count):
        report.record(f"{kind} {number}", kind, "postgis image", "Épine", "Épine")


def test_rows_are_merged_and_a_second_run_replaces_its_own(folder: Path) -> None:
    fill("dump", 25)
    fill("dump", 25)
    assert report.main() == 0
    inputs = json.loads((folder / "gallery.json").read_text("utf-8"))["inputs"]
    assert len(inputs) == 25
    assert inputs[0] == {
        "name": "dump 0",
        "kind": "dump",
        "on": "postgis image",
        "expected": "Épine",
        "got": "Épine",
    }


@pytest.mark.parametrize(("kind", "least"), [("dump", 25), ("project", 60)])
def test_too_few_of_a_kind_are_told(kind: str, least: int) -> None:
    fill(kind, least - 1)
    assert report.main() == 1
    fill(kind, least)
    assert report.main() == 0


def test_what_is_not_as_expected_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    fill("dump", 25)
    report.record("a new one", "dump", "postgis image", "Zoé", "Zo")
    assert report.main() == 1
    assert "“a new one” on postgis image: expected 'Zoé', got 'Zo'" in capsys.readouterr().out


def test_a_line_of_the_field_trials_without_a_row_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "LINES", {"C1": "a folder"})
    monkeypatch.setattr(report, "LINES_OF_LIZMAP", {"D7": "a log"})
    row = {"name": "a folder", "kind": "project", "on": "stand-in", "expected": "", "got": ""}
    assert report.missing_lines([]) == ["There is no row “a folder” (C1)"]
    assert report.missing_lines([row]) == []
    assert report.missing_lines([{**row, "on": "Lizmap 3.9.9"}]) == ["There is no row “a log” (D7)"]
