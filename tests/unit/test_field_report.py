"""The report of the states of the field says what was not played, not right, or did not keep the data."""

from __future__ import annotations

import dataclasses

from tests.field_report import LINES, Played, merged, problems

FULL = [Played(line, f"state {line}", "said", f"tests/x.py::test_{line}[1]", True, True) for line in LINES]


def test_a_report_in_which_everything_is_right_has_a_row_for_each_line() -> None:
    report = merged(reversed(FULL))
    assert [row["line"] for row in report["states"]] == LINES
    assert report["states"][0]["run"] == ["tests/x.py::test_A1"]
    assert problems(report) == []


def test_what_is_missing_wrong_or_lost_is_told() -> None:
    again = dataclasses.replace(FULL[0], right=False)
    lost = dataclasses.replace(FULL[1], data_kept=False)
    report = merged([*FULL[:-1], again, lost])
    assert problems(report) == ["B17 was not played", "A1 is not right: state A1", "A2 did not keep the data"]


def test_where_nothing_is_said_the_test_says_what_is_right() -> None:
    silent = dataclasses.replace(FULL[0], message="", run="tests/x.py::test_a_map_is_found[a]")
    assert merged([silent])["states"][0]["message"] == "a map is found"
