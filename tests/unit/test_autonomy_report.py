"""The report of what a Pi can do far from any network has a row for each check, also for what nothing shows."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import field_report
from tests.autonomy_report import CHECKS, OPEN, WITH, merged, problems
from tests.field_report import Played

ROOT = Path(__file__).resolve().parents[2]
FULL = [Played(check, "", "", f"tests/x.py::test_{check}[1]", True, True) for check in CHECKS if check not in OPEN]


def test_each_check_has_a_row_and_what_no_test_shows_is_not_right() -> None:
    rows = dict(zip(CHECKS, merged(FULL)["checks"], strict=True))
    assert [row["name"] for row in rows.values()] == list(CHECKS.values())
    assert {check for check, row in rows.items() if not row["right"]} == set(OPEN)
    assert all(rows[check]["why"] == why for check, why in OPEN.items())
    assert problems(FULL) == []


def test_what_failed_or_was_not_played_is_not_right_and_told() -> None:
    failed = dataclasses.replace(FULL[0], run="tests/x.py::test_again[2]", right=False)
    report = merged([*FULL[:-1], failed])
    rows = {row["name"]: row for row in report["checks"]}
    first, last = CHECKS[FULL[0].line], CHECKS[FULL[-1].line]
    assert not rows[first]["right"] and rows[first]["why"] == "failed: tests/x.py::test_again"
    assert not rows[last]["right"] and rows[last]["why"] == "not played"
    assert problems([*FULL[:-1], failed]) == [f"{first}: failed: tests/x.py::test_again", f"{last}: not played"]


def test_tables_that_are_not_right_are_told() -> None:
    opened, unknown = next(iter(OPEN)), "no such check"
    more = [dataclasses.replace(FULL[0], line=line) for line in (opened, unknown)]
    assert problems([*FULL, *more]) == [f"{opened} has a test, and is no longer open", "no such check is no check"]
    assert set(OPEN) | set(WITH) <= set(CHECKS)


def test_each_check_that_is_not_open_has_a_test_and_each_marker_a_check() -> None:
    """Without playing any."""
    places = ("tests/*/test_*.py", "molecule/*/tests/test_*.py")
    files = [path.read_text("utf-8") for place in places for path in ROOT.glob(place)]
    marked = {word for text in files for word in re.findall(r'\bpytest\.mark\.autonomy\("(.+?)"\)', text)}
    assert marked == set(CHECKS) - set(OPEN)


TESTS = """
import pytest

@pytest.mark.field("A1", "a state")
@pytest.mark.autonomy("lease")
@pytest.mark.autonomy("off")
def test_it(): assert True

@pytest.mark.autonomy("lease")
def test_fails(): assert False

@pytest.mark.autonomy("codes")
def test_skipped(): pytest.skip()
"""
PLUGIN = """
from pathlib import Path
from tests import field_report
from tests.field_report import *
field_report.PARTS = {kind: Path(kind) for kind in field_report.PARTS}
"""


def test_both_markers_are_noted_and_a_test_that_was_skipped_shows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("test_x.py", TESTS), ("plugin.py", PLUGIN), ("pytest.ini", "[pytest]\n")):
        (tmp_path / name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "plugin"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
    )
    parts = {kind: tmp_path / kind for kind in field_report.PARTS}
    monkeypatch.setattr(field_report, "PARTS", parts)
    noted = {kind: [(one.line, one.right) for one in field_report.played_by(kind)] for kind in parts}
    assert noted["field"] == [("A1", True)]
    assert sorted(noted["autonomy"]) == [("lease", False), ("lease", True), ("off", True)]
