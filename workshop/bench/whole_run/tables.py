"""The figures of whole runs as tables in Markdown. Pure."""

from __future__ import annotations

from workshop.bench.contenders import Json

FIGURES = ("wall_s", "pi_cpu_s", "modules", "tasks", "laptop_cpu_s")


def comparison_table(report: Json) -> str:
    """Give the figures of both as a table in Markdown."""
    titles = {"first": "First run, on a bare Pi", "noop": "Nothing changed", "one_change": "One changed setting"}
    head = "| | | wall | CPU of the Pi | modules on the Pi | tasks | CPU of the laptop |\n|---|---|---|---|---|---|---|"
    rows = []
    for name, title in titles.items():
        for key, words in (("ours", "Poppyfield"), ("stock", "stock modules")):
            found = [report[name][key][figure] for figure in FIGURES]
            cells = [
                f"{value:g}{' s' if figure.endswith('_s') else ''}"
                for value, figure in zip(found, FIGURES, strict=True)
            ]
            rows.append(f"| {title} | {words} | {' | '.join(cells)} |")
    return "\n".join([head, *rows])


def hosts_table(report: Json) -> str:
    """Give the figures of light hosts as a table in Markdown."""
    head = "| light hosts | CPU of the laptop for each | memory of the laptop | wall |\n|---|---|---|---|"
    rows = []
    for number, found in report["hosts"].items():
        cells = (
            f"{found['laptop_cpu_s_per_host']} s",
            f"{found['laptop_memory_mb']:.0f} MB",
            f"{found['wall_s']:.0f} s",
        )
        rows.append(f"| {number} | {' | '.join(cells)} |")
    return "\n".join([head, *rows])
