"""The parts of `make test`: what is noted of each, and the table of them."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from rich.console import Console

from tests import parts

TWO_TESTS = "def test_one(): pass\ndef test_two(): assert {}\n"


def run(name: str, source: str, folder: Path) -> int:
    (folder / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "--quiet", "-c", "/dev/null", "--rootdir", str(folder), str(folder)]
    return parts.run(name, command, folder / "reports")


def test_each_part_is_noted_with_its_tests_and_its_result(tmp_path: Path) -> None:
    assert run("good", TWO_TESTS.format(True), tmp_path) == 0
    assert run("bad", TWO_TESTS.format(False), tmp_path) == 1
    assert parts.run("lint", ["false"], tmp_path / "reports") == 1
    found = {part.name: (part.tests, part.exit_status) for part in parts.noted(tmp_path / "reports")}
    assert found == {"good": (2, 0), "bad": (2, 1), "lint": (None, 1)}


def test_each_test_that_failed_is_named_with_what_it_said(tmp_path: Path) -> None:
    run("unit", TWO_TESTS.format("[] == ['lost']"), tmp_path)
    run("engine", TWO_TESTS.format(True), tmp_path)
    engine, unit = parts.noted(tmp_path / "reports")
    assert engine.failures == []
    (failure,) = unit.failures
    assert "test_it::test_two: " in failure and "assert [] == ['lost']" in failure
    assert "\n" not in failure and len(failure) < 400


def test_a_report_of_an_earlier_run_is_not_counted(tmp_path: Path) -> None:
    run("unit", TWO_TESTS.format(True), tmp_path)
    parts.run("unit", ["true"], tmp_path / "reports")
    assert [part.tests for part in parts.noted(tmp_path / "reports")] == [None]


def test_the_table_says_what_failed() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(parts.table([parts.Part("unit", 61.4, 12, 0), parts.Part("engine", 5.0, None, 2)]))
    unit, engine = [line.split() for line in console.export_text().splitlines() if "unit" in line or "engine" in line]
    assert [word for word in unit if word != "│"] == ["unit", "61", "12", "passed"]
    assert [word for word in engine if word != "│"] == ["engine", "5", "failed", "(2)"]
