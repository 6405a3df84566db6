"""A run that has nothing to change takes few steps, with users, groups, three repositories and HTTPS, too."""

from __future__ import annotations

from pathlib import Path

from emulated_pi import INVENTORY, ROOT, count_of_a_run
from tests.reports import add_to_report


def test_a_run_that_changes_nothing_takes_few_steps(tmp_path: Path) -> None:
    run = count_of_a_run(tmp_path, inventories=[INVENTORY, ROOT / "molecule" / "lizmap" / "inventory"])
    add_to_report(noop_modules_on_pi_with_lizmap=len(run["modules"]))
    assert run["changed"] == 0
    assert len(run["modules"]) <= 10, run["modules"]
