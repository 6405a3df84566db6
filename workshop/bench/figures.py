"""From single figures to a table. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise

from workshop.bench.contenders import CONTENDERS, OURS, Json
from workshop.bench.playbook import BenchError
from workshop.bench.scenarios import Scenario, Verdict, same_explanation

Series = Mapping[str, Sequence[float]]
"""Contender -> one figure for each round, in the order of the rounds."""
NOT_APPLICABLE = "not applicable"


def spread(values: Sequence[float]) -> Json:
    """Give the least, the middle and the greatest."""
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def p95(values: Sequence[float]) -> float:
    """Give the time within which 95 of 100 had their map."""
    if not values:
        raise BenchError("No map was drawn.")
    return round(sorted(values)[int(len(values) * 0.95)], 3)


def ratios(series: Series) -> Json:
    """Compare each of the others with ours, round by round: above 1 means that the other took longer."""
    return {
        key: spread([other / ours for other, ours in zip(values, series[OURS.key], strict=True)])
        for key, values in series.items()
        if key != OURS.key
    }


def longest_gap(moments: Sequence[float]) -> float:
    """Give the longest time between two moments in a row."""
    return max(later - earlier for earlier, later in pairwise(moments))


def summary(series: Series) -> Json:
    """Give every figure, their spread, and the ratios."""
    return {
        "values": {key: [round(value, 4) for value in values] for key, values in series.items()},
        "spread": {key: _rounded(spread(values)) for key, values in series.items()},
        "ratio_to_poppyfield": {key: _rounded(found) for key, found in ratios(series).items()},
    }


def _rounded(numbers: Json) -> Json:
    return {name: round(number, 3) for name, number in numbers.items()}


def timing_cells(found: Json) -> list[str]:
    """Give one row's cells: medians with their range, and for the others the ratio's median with its range."""
    cells = []
    for contender in CONTENDERS:
        if contender.key not in found["spread"]:
            cells.append(NOT_APPLICABLE)
            continue
        cell = _range(found["spread"][contender.key], " s")
        if contender.key in found["ratio_to_poppyfield"]:
            cell += f"; x {_range(found['ratio_to_poppyfield'][contender.key])}"
        cells.append(cell)
    return cells


def _range(found: Json, unit: str = "") -> str:
    return f"{found['median']:.2f}{unit} ({found['min']:.2f} to {found['max']:.2f})"


def verdict_cell(verdict: Verdict | None) -> str:
    """Say in a few words what one contender made of a scenario."""
    if verdict is None:
        return NOT_APPLICABLE
    words = [verdict.outcome]
    if verdict.outcome == "changed" and verdict.named is not None:
        words.append("names it" if verdict.named else "does not name it")
    return f"{'**yes**' if verdict.good else 'no'} ({', '.join(words)})"


def prediction_cell(verdicts: Sequence[Verdict]) -> str:
    """Say in how many scenarios check mode announced what the run then did."""
    counted = [v for v in verdicts if v.predicted is not None]
    changed = sum(bool(v.predicted) for v in counted)
    same = sum(same_explanation(v) for v in counted)
    return f"{changed} of {len(counted)} (the same differences: {same})"


def table(rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Give a table in Markdown."""
    lines = [
        f"| | {' | '.join(contender.title for contender in CONTENDERS)} |",
        f"|---|{'---|' * len(CONTENDERS)}",
        *(f"| {title} | {' | '.join(cells)} |" for title, cells in rows),
    ]
    return "\n".join(lines)


def behaviour_rows(
    scenarios: Sequence[Scenario], verdicts: Mapping[str, Mapping[str, Verdict]]
) -> list[tuple[str, list[str]]]:
    """Give the rows of the table of behaviours."""
    rows = [
        (scenario.title, [verdict_cell(verdicts[scenario.key].get(c.key)) for c in CONTENDERS])
        for scenario in scenarios
    ]
    by_contender = [[found[c.key] for found in verdicts.values() if c.key in found] for c in CONTENDERS]
    return [*rows, ("Check mode says of `changed` what the run then says", [prediction_cell(v) for v in by_contender])]


def as_json(verdicts: Mapping[str, Mapping[str, Verdict]]) -> Json:
    """Give the verdicts as they are kept."""
    return {key: {name: asdict(verdict) for name, verdict in found.items()} for key, found in verdicts.items()}
