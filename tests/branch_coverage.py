"""Report what the tests that ran last covered, and fail when they took too few of the branches.

Coverage's own percentage mixes lines with branches; this one is of branches alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from coverage import Coverage

LEAST_PERCENT = 95.0


def main() -> int:
    """Report, judge, return the exit status."""
    coverage = Coverage()
    coverage.load()
    coverage.report()
    report = Path(coverage.config.json_output)
    report.parent.mkdir(parents=True, exist_ok=True)
    coverage.json_report()
    totals = json.loads(report.read_text(encoding="utf-8"))["totals"]
    percent = totals["percent_branches_covered"]
    print(f"{totals['covered_branches']} of {totals['num_branches']} branches were taken: {percent:.1f} %")
    if percent < LEAST_PERCENT:
        print(f"That is less than {LEAST_PERCENT:g} %.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
