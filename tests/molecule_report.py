"""What Molecule's scenarios did, for build/reports/molecule.json.

`python -m tests.molecule_report SCENARIO SECONDS RUNS JUNIT` adds a scenario: RUNS is what the callback run_result of
tests/callbacks noted of its runs, JUNIT the report of its checks.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.parts import REPORTS, tests_in

CONVERGE = "converge.yml"


def scenario(runs: Sequence[dict[str, Any]], assertions: int | None, seconds: int) -> dict[str, int | None]:
    """Give a scenario's figures: its first run, and the same run again; None for what it did not get to."""
    converged = [run["changed"] for run in runs if run["playbook"] == CONVERGE and not run["check"]]
    first, again = [*converged, None, None][:2]
    figures = {"converge_changed": first, "idempotence_changed": again}
    return {**figures, "assertions": assertions, "seconds": seconds}


def main(name: str, seconds: str, runs: str, junit: str, report: Path = REPORTS / "molecule.json") -> None:
    """Add one scenario to the report."""
    noted = Path(runs)
    lines = noted.read_text("utf-8").splitlines() if noted.exists() else []
    before = json.loads(report.read_text("utf-8"))["scenarios"] if report.exists() else {}
    figures = scenario([json.loads(line) for line in lines], tests_in(Path(junit)), int(seconds))
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps({"scenarios": {**before, name: figures}}, indent=2, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    NAME, LASTED, RUNS, JUNIT = sys.argv[1:]
    main(NAME, LASTED, RUNS, JUNIT)
