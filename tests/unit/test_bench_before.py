"""The comparison with before takes the medians of the runs, and says what is more than is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from workshop.bench import before


def report(seconds: float, held: float) -> dict[str, Any]:
    figures = {"usage_mb": 0, "working_set_mb": held, "pss_mb": held}
    moments = ("at_rest_after_start", "under_load", "at_rest_after_load")
    load = {"median_seconds": seconds, "p95_seconds": 2 * seconds}
    return {**{moment: dict.fromkeys(before.CONTAINERS, figures) for moment in moments}, "load": load}


@pytest.mark.parametrize(
    ("seconds", "held", "beyond"),
    [
        (1.04, 104, set()),
        (0.5, 50, set()),
        (1.06, 104, {"seconds of a map, median", "seconds of a map, p95"}),
        (1.0, 106, {"MB at rest", "MB under load", "MB at rest after load"}),
    ],
)
def test_what_costs_more_than_a_twentieth_more_is_told(seconds: float, held: float, beyond: set[str]) -> None:
    rows = before.compared([report(1, 100)], [report(seconds, held)])
    assert {row["figure"] for row in rows} == before.FIGURES.keys()
    assert {row["figure"] for row in rows if not row["within"]} == beyond
    told = before.table(rows)
    assert all(f"| {name} |" in told for name in before.FIGURES)
    assert told.count("| no |") == len(beyond)


def test_one_slow_run_of_three_does_not_count() -> None:
    now = [report(1, 100), report(9, 900), report(1, 100)]
    (median, *_) = before.compared([report(1, 100)] * 3, now)
    assert (median["before"], median["now"], median["ratio"]) == (1, 1, 1)
