"""Counts what the tests of the modules tried and what failed, into build/reports/modules.json. A plugin for pytest.

Each test with one of the markers counts as one: a field that was changed once, or a moment at which a run was cut off.
A test counts as one scenario of check mode when it tells `compared` at least once what it found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

REPORT = Path(__file__).resolve().parents[2] / "build" / "reports" / "modules.json"
COUNTED = {"field_changed_once": "fields_changed_once", "crash_point": "crash_points"}
SCENARIOS = "check_equals_run"

# For each thing that is counted, whether each test that tried it passed.
_passed: dict[str, dict[str, bool]] = {name: {} for name in (*COUNTED.values(), SCENARIOS)}


def compared(same: bool) -> None:
    """Note whether check mode said just what the run then did, in the test that runs now."""
    # Unset while tests are collected, some of which are made from a run.
    if test := os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]:
        _passed[SCENARIOS][test] = _passed[SCENARIOS].get(test, True) and same


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Note whether a test that counts passed, its setup and teardown included."""
    report = yield
    for marker, counted in COUNTED.items():
        if item.get_closest_marker(marker) and not report.skipped:
            _passed[counted][item.nodeid] = _passed[counted].get(item.nodeid, True) and report.passed
    return report


def pytest_sessionfinish() -> None:
    """Write the report, when anything that counts was tried."""
    if any(_passed.values()):
        found = {
            name: {"tried": len(tests), "failed": list(tests.values()).count(False)} for name, tests in _passed.items()
        }
        REPORT.parent.mkdir(parents=True, exist_ok=True)
        REPORT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
