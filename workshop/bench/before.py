"""`python -m workshop.bench.before --before POSTGIS LIZMAP --now POSTGIS LIZMAP`: what honest use costs more than then.

Both pairs of images get the same load as in workshop.bench.memory, in turns, so that a machine that is slower for a
while is so for both. Prints a table in Markdown and writes every figure to build/bench/before.json.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence

from workshop.bench import memory
from workshop.bench.contenders import Json
from workshop.bench.playbook import ROOT, BenchError
from workshop.bench.report import write

REPORT = ROOT / "build" / "bench" / "before.json"
ALLOWED = 0.05
"""So much more than before is still within the goal."""
CONTAINERS = ("postgis", "lizmap")


def _held(moment: str, figure: str) -> Callable[[Json], float]:
    return lambda report: sum(report[moment][name][figure] for name in CONTAINERS)


FIGURES: Mapping[str, Callable[[Json], float]] = {
    "seconds of a map, median": lambda report: report["load"]["median_seconds"],
    "seconds of a map, p95": lambda report: report["load"]["p95_seconds"],
    "MB at rest": _held("at_rest_after_start", "pss_mb"),
    "MB under load": _held("under_load", "working_set_mb"),
    "MB at rest after load": _held("at_rest_after_load", "pss_mb"),
}


def main() -> int:
    """Run the benchmark; return the exit status: 1 also where honest use costs more than is allowed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(prog="workshop.bench.before", description=__doc__)
    parser.add_argument("--before", nargs=2, required=True, metavar=("POSTGIS", "LIZMAP"))
    parser.add_argument("--now", nargs=2, required=True, metavar=("POSTGIS", "LIZMAP"))
    parser.add_argument("--rounds", type=int, default=3, help="how often each pair has its turn (default: %(default)s)")
    parser.add_argument("--ram", type=int, default=2000, help="the machine's memory, in MB (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=60, help="how long each load lasts (default: %(default)s)")
    given = parser.parse_args()
    reports: dict[str, list[Json]] = {"before": [], "now": []}
    try:
        for _ in range(given.rounds):
            for name, done in reports.items():
                postgis, lizmap = getattr(given, name)
                done.append(memory.run(postgis, lizmap, given.ram, given.seconds))
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    figures = compared(reports["before"], reports["now"])
    write(REPORT, {"figures": figures, "runs": reports}, table(figures))
    return 0 if all(row["within"] for row in figures) else 1


def compared(before: Sequence[Json], now: Sequence[Json]) -> list[Json]:
    """Give for each figure the medians of both, and whether it is no more than is allowed above what it was."""
    rows: list[Json] = []
    for name, figure in FIGURES.items():
        was, is_now = (statistics.median(figure(report) for report in reports) for reports in (before, now))
        ratio = is_now / was
        told = {"before": round(was, 3), "now": round(is_now, 3), "ratio": round(ratio, 3)}
        rows.append({"figure": name, **told, "within": ratio <= 1 + ALLOWED})
    return rows


def table(rows: Sequence[Json]) -> str:
    """Give the figures as a table in Markdown."""
    lines = ["| | before | now | times | within 5 % |", "|---|---|---|---|---|"]
    for row in rows:
        answer = "yes" if row["within"] else "no"
        lines.append(f"| {row['figure']} | {row['before']} | {row['now']} | {row['ratio']} | {answer} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
