"""The benchmark of the memory asks for maps of France, adds up the right figures, and says whether the goal is met."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from workshop.bench import memory


def figures(usage: float) -> dict[str, Any]:
    return {"usage_mb": usage, "working_set_mb": usage - 10, "pss_mb": usage - 20}


def report(usage: float) -> dict[str, Any]:
    both = {"postgis": figures(usage), "lizmap": figures(100.5)}
    load = {"maps_per_second": 4.2, "median_seconds": 1, "p95_seconds": 2, "failures": 0}
    moments = dict.fromkeys(("at_rest_after_start", "under_load", "at_rest_after_load"), both)
    return {**moments, "qgis_server_workers": 2, "load": load}


@pytest.mark.parametrize("count", range(0, 105, 13))
def test_every_map_lies_in_france_and_has_the_pictures_shape(count: int) -> None:
    asked = memory.request(count)
    west, south, east, north = map(float, asked["BBOX"].split(","))
    assert memory.FRANCE[0] <= west < east <= memory.FRANCE[2] + 1e-6
    assert memory.FRANCE[1] <= south < north <= memory.FRANCE[3] + 1e-6


def test_the_maps_differ() -> None:
    assert len({memory.request(count)["BBOX"] for count in range(105)}) > 50


def test_each_figure_is_the_greatest_that_was_seen() -> None:
    mixed = {**figures(50), "pss_mb": 90}
    assert memory.greatest([figures(60), mixed]) == {"usage_mb": 60, "working_set_mb": 50, "pss_mb": 90}


def test_a_process_is_looked_at_and_one_that_has_ended_is_not() -> None:
    found = memory.process_memory(Path("/proc", str(os.getpid())))
    assert found is not None and found[1] > 1000
    assert memory.process_memory(Path("/proc/999999999")) is None


@pytest.mark.parametrize(("usage", "words"), [(289.0, "is met."), (289.5, "is not met.")])
def test_the_goal_counts_both_containers_at_rest(usage: float, words: str) -> None:
    told = memory.table(report(usage))
    assert f"| at rest after start: usage | {usage} | 100.5 | {usage + 100.5} |" in told
    assert told.endswith(words)
