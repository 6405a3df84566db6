"""The benchmark of many visitors: what they ask for, and when its goals are met."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from workshop.bench import serve

FRONT = Path(__file__).resolve().parents[2] / "images" / "lizmap" / "nginx" / "map-page-pictures.conf"


def figures(p95: float, cpu: float, failed: int = 0) -> dict[str, Any]:
    return {"views": 9, "p50_s": p95 / 2, "p95_s": p95, "failed": failed, "cpu_s_per_view": cpu}


def report(**ours: Any) -> dict[str, Any]:
    first = {"bytes": 200_000, "requests": 6, "seconds": 1.0}
    before = figures(10.0, 1.0)
    walks = {str(count): figures(**{"p95": 0.5, "cpu": 0.1, **ours}) for count in serve.VISITORS}
    return serve.put_together(
        before={"first_view": first, "visitors": dict.fromkeys(walks, before)},
        ours={"first_view": {**first, "bytes": 100_000}, "visitors": walks},
    )


@pytest.mark.parametrize(
    ("ours", "met"),
    [({}, True), ({"p95": 1.0}, True), ({"p95": 1.1}, False), ({"cpu": 0.21}, False), ({"failed": 1}, False)],
)
def test_the_goals_are_those_of_thirty_visitors(ours: dict[str, Any], met: bool) -> None:
    assert serve.is_met(report(**ours)) is met
    told = serve.table(report(**ours))
    assert "The first view: 200 kB in 6 requests before, 100 kB in 6 requests now." in told
    assert told.endswith(f"are {'met' if met else 'not met'}.")


def test_a_visitor_sees_the_same_in_each_run_and_begins_where_all_do() -> None:
    walks = [list(islice(serve.views(number), 100)) for number in (1, 1, 2)]
    assert walks[0] == walks[1] != walks[2]
    assert {walk[0] for walk in walks} == {serve.FIRST}
    shared = sum(view in serve.PLACES for view in walks[0])
    assert 65 <= shared <= 95


def test_the_page_of_now_asks_in_the_form_of_which_the_server_keeps_pictures() -> None:
    form = re.search(r'"~\(\?x\)(.*?)\$"', FRONT.read_text("utf-8"), re.DOTALL)
    assert form
    pattern = re.compile(form[1].replace("?<kept_", "?P<kept_"), re.VERBOSE)
    asked = {
        window: serve.picture(serve.PLACES[0], window, in_blocks=True)
        for window in ((1000, 700), (980, 690), (300, 300))
    }
    for address in asked.values():
        assert pattern.match(f"GET  {address}")
    assert asked[1000, 700] == asked[980, 690] != asked[300, 300]
    sizes = dict(parse_qsl(asked[300, 300]))
    assert (int(sizes["WIDTH"]) % serve.BLOCK, int(sizes["HEIGHT"]) % serve.BLOCK) == (0, 0)
    alone = dict(parse_qsl(serve.picture(serve.PLACES[0], (1000, 700), in_blocks=False)))
    assert (alone["WIDTH"], alone["HEIGHT"]) == ("1000", "700")
