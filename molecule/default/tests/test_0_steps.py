"""A run that has nothing to change takes few steps: each costs a Pi a second or more."""

from __future__ import annotations

from pathlib import Path

from emulated_pi import count_of_a_run
from tests.reports import add_to_report


def test_a_run_that_changes_nothing_takes_few_steps(tmp_path: Path) -> None:
    run = count_of_a_run(tmp_path)
    add_to_report(noop_modules_on_pi=len(run["modules"]), noop_tasks_per_pi=run["tasks"])
    assert run["changed"] == 0
    assert len(run["modules"]) <= 8, run["modules"]
    assert run["tasks"] <= 40
    assert "DEPRECATION" not in run["output"]
