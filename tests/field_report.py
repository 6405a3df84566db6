"""Which states of the field the tests played, into build/reports/hostile-pi.json. A plugin for pytest.

A test with the marker `field(line, state)` puts a Pi or a laptop into that state; that it passed says that what
followed was right. It tells what was said by `record_property("message", ...)`, and, where it looked at data before and
after, `record_property("data_kept", ...)`; in the others nothing writes where data are. Each file of tests has a report
of its own in build/reports/hostile, so that several runs of pytest add up; `python -m tests.field_report` puts them
together, a row for each line, and fails when a line was not played or something was not right. Tests with the marker
`autonomy` are noted in the same way, for `tests.autonomy_report`.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

REPORTS = Path(__file__).resolve().parents[1] / "build" / "reports"
PARTS: Mapping[str, Path] = {"field": REPORTS / "hostile", "autonomy": REPORTS / "autonomy"}
"""By marker where the reports of its tests are."""
OPEN = ("A10",)
"""Not played yet: a first build by an ordinary user, whose root in a user namespace must not need his home."""
LINES = [f"A{number}" for number in range(1, 14)] + [f"B{number}" for number in range(1, 18)]
"""The states that were found in the field: of the fleet and the laptop, and of the Pi."""


@dataclass(frozen=True)
class Played:
    """A state as one test played it."""

    line: str
    state: str
    message: str
    run: str
    right: bool
    data_kept: bool


_played: dict[Path, list[Played]] = defaultdict(list)
_markers: dict[str, list[tuple[Path, pytest.Mark]]] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Remember what a test plays: its report does not tell it."""
    name = f"{item.path.parent.name}-{item.path.stem}.json"
    _markers[item.nodeid] = [
        (folder / name, mark) for kind, folder in PARTS.items() for mark in item.iter_markers(kind)
    ]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a test that has ended, or that did not come so far."""
    if report.skipped or not (report.when == "call" or report.failed):
        return
    told = dict(report.user_properties)
    message, kept = str(told.get("message", "")), report.passed and bool(told.get("data_kept", True))
    for path, marker in _markers.get(report.nodeid, []):
        line, state = (*marker.args, "")[:2]
        _played[path].append(Played(line, state, message, report.nodeid, report.passed, kept))


def pytest_sessionfinish() -> None:
    """Write a report for each file of tests."""
    for path, played in _played.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, [asdict(one) for one in played])


def played_by(marker: str) -> list[Played]:
    """Give what the tests with a marker have played, in all runs since its reports were removed."""
    parts = [json.loads(path.read_text("utf-8")) for path in sorted(PARTS[marker].glob("*.json"))]
    return [Played(**one) for part in parts for one in part]


def merged(played: Iterable[Played]) -> dict[str, Any]:
    """Give the whole report: a row for each line, which is right where all its tests are."""
    by_line: dict[str, list[Played]] = defaultdict(list)
    for one in played:
        by_line[one.line].append(one)
    return {"states": [_row(line, by_line[line]) for line in sorted(by_line, key=_order)]}


def _row(line: str, played: list[Played]) -> dict[str, Any]:
    return {
        "line": line,
        "state": played[0].state,
        "message": next((one.message for one in played if one.message), _in_words(played[0].run)),
        "run": tests_of(played),
        "right": all(one.right for one in played),
        "data_kept": all(one.data_kept for one in played),
    }


def tests_of(played: Iterable[Played]) -> list[str]:
    """Give the tests, without their cases."""
    return sorted({one.run.partition("[")[0] for one in played})


def _in_words(run: str) -> str:
    """Give what is right, from the name of a test, where nothing is said."""
    return run.rpartition("::test_")[2].partition("[")[0].replace("_", " ")


def _order(line: str) -> tuple[str, int]:
    return line[0], int(line[1:])


def problems(report: dict[str, Any]) -> list[str]:
    """Say what is wrong with a merged report."""
    rows = {row["line"]: row for row in report["states"]}
    found = [f"{line} was not played" for line in LINES if line not in {*rows, *OPEN}]
    found += [f"{line} is not right: {row['state']}" for line, row in rows.items() if not row["right"]]
    return found + [f"{line} did not keep the data" for line, row in rows.items() if not row["data_kept"]]


def write(path: Path, content: Any) -> None:
    """Write a report."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main() -> str:
    """Merge the reports; give what is wrong, for sys.exit()."""
    report = merged(played_by("field"))
    write(REPORTS / "hostile-pi.json", report)
    right = sum(row["right"] and row["data_kept"] for row in report["states"])
    print(f"States of the field: {len(report['states'])} of {len(LINES)} played, {right} right.")
    return "\n".join(problems(report))


if __name__ == "__main__":
    sys.exit(main() or 0)
