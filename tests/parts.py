"""The parts of `make test` and `make test-all`: how long each took, its tests and its result.

`python -m tests.parts run NAME COMMAND ...` runs one part, as its target in the Makefile does, and notes the result in
build/reports/parts/NAME.json; what runs by pytest writes build/reports/NAME-tests.xml (JUnit) beside it. `python -m
tests.parts table` shows what was noted since `python -m tests.parts begin`, and below it each test that failed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

REPORTS = Path(__file__).resolve().parents[1] / "build" / "reports"
SHOWN_OF_A_FAILURE = 300
"""Characters."""


@dataclass(frozen=True)
class Part:
    """One part as it ended."""

    name: str
    seconds: float
    tests: int | None
    """None where pytest did not run it, or could not write its report."""
    exit_status: int
    failures: list[str] = field(default_factory=list)
    """Each test that failed, with the first line of what it said."""


def run(name: str, command: Sequence[str], reports: Path = REPORTS) -> int:
    """Run a part, note how it ended, and give its exit status."""
    junit = reports / f"{name}-tests.xml"
    junit.unlink(missing_ok=True)
    options = f"{os.environ.get('PYTEST_ADDOPTS', '')} --junitxml={junit}".strip()
    began = time.monotonic()
    done = subprocess.run(command, env={**os.environ, "PYTEST_ADDOPTS": options}, check=False)
    part = Part(name, round(time.monotonic() - began, 1), tests_in(junit), done.returncode, failures_in(junit))
    notes = reports / "parts"
    notes.mkdir(parents=True, exist_ok=True)
    (notes / f"{name}.json").write_text(json.dumps(asdict(part), indent=2) + "\n", "utf-8")
    return done.returncode


def tests_in(junit: Path) -> int | None:
    """Count the tests that a JUnit report tells of, without those that were skipped."""
    if not junit.exists():
        return None
    suites = ET.parse(junit).getroot().iter("testsuite")
    return sum(int(suite.get("tests", 0)) - int(suite.get("skipped", 0)) for suite in suites)


def failures_in(junit: Path) -> list[str]:
    """Name the tests that failed in a JUnit report, each with the first line of what it said."""
    if not junit.exists():
        return []
    cases = ET.parse(junit).getroot().iter("testcase")
    said = [(case, end) for case in cases for end in case if end.tag in ("failure", "error")]
    return [f"{case.get('classname')}::{case.get('name')}: {first_line(end.get('message', ''))}" for case, end in said]


def first_line(text: str) -> str:
    """Give the first line of a text, cut where it is long."""
    return next(iter(text.splitlines()), "")[:SHOWN_OF_A_FAILURE]


def table(parts: Sequence[Part]) -> Table:
    """Show the parts in the order of their names, and what they took together."""
    shown = Table("part", "seconds", "tests", "result")
    for part in parts:
        result = "passed" if part.exit_status == 0 else f"failed ({part.exit_status})"
        shown.add_row(part.name, f"{part.seconds:.0f}", "" if part.tests is None else str(part.tests), result)
    return shown


def noted(reports: Path = REPORTS) -> list[Part]:
    """Read what was noted of each part."""
    return [Part(**json.loads(path.read_text("utf-8"))) for path in sorted((reports / "parts").glob("*.json"))]


def main(chore: str, *arguments: str) -> int:
    """Do what the Makefile asks for."""
    if chore == "run":
        return run(arguments[0], arguments[1:])
    if chore == "begin":
        shutil.rmtree(REPORTS / "parts", ignore_errors=True)
    else:
        found = noted()
        Console().print(table(found))
        for part in found:
            print(*[f"{part.name}: {failure}\n" for failure in part.failures], sep="", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
