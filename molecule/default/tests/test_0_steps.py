"""A run that has nothing to change takes few steps: each costs a Pi a second or more."""

from __future__ import annotations

from typing import Any

from tests.reports import add_to_report


def test_a_run_that_changes_nothing_takes_few_steps(run_again: dict[str, Any]) -> None:
    add_to_report(noop_modules_on_pi=len(run_again["modules"]), noop_tasks_per_pi=run_again["tasks"])
    assert run_again["changed"] == 0
    assert len(run_again["modules"]) <= 8, run_again["modules"]
    assert run_again["tasks"] <= 40
    assert "DEPRECATION" not in run_again["output"]
