"""Debian's scanners for weaknesses of web sites, each bounded by its own options, and what they found."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HIGH = 3
"""From here on wapiti calls a finding high or critical."""
MODULES = (
    *("blindsql", "cookieflags", "crlf", "csp", "csrf", "exec", "file", "htaccess", "http_headers"),
    *("methods", "permanentxss", "redirect", "shellshock", "sql", "xss"),
)
"""Wapiti's modules that ask nobody but the site; without `backup`: QGIS Server answers any ending."""
PATIENCE = 1800
"""Seconds after which a scanner that does not keep to its own bounds is an error."""


@dataclass(frozen=True)
class Finding:
    """A weakness that a scanner believes to have found."""

    scanner: str
    what: str
    where: str
    high: bool


def wapiti(site: str, addresses: Sequence[str], folder: Path) -> list[Finding]:
    """Crawl a site from these addresses, and attack what was found."""
    report = folder / "wapiti.json"
    command = ["wapiti", "--url", f"{site}/", "--scope", "domain", "--module", ",".join(MODULES), "--depth", "4"]
    command += ["--max-scan-time", "60", "--max-attack-time", "30", "--timeout", "20", "--no-bugreport"]
    command += ["--store-session", f"{folder}/session", "--store-config", f"{folder}/config"]
    command += ["--format", "json", "--output", str(report), "--verbose", "0"]
    for address in addresses:
        command += ["--start", site + address]
    run(command)
    found = json.loads(report.read_text("utf-8"))["vulnerabilities"]
    return [
        Finding(
            "wapiti", kind, f"{one['method']} {one['path']} {one['parameter'] or ''}".strip(), is_high(one["level"])
        )
        for kind, all_of_it in found.items()
        for one in all_of_it
    ]


def is_high(level: str | int) -> bool:
    """Tell whether wapiti takes it for serious."""
    return int(level) >= HIGH


def sqlmap(site: str, addresses: Sequence[str], folder: Path) -> list[Finding]:
    """Try to bring SQL into each parameter of these addresses."""
    targets, results = folder / "targets", folder / "sqlmap.csv"
    targets.write_text("".join(f"{site}{address}\n" for address in addresses if "?" in address), "utf-8")
    command = ["sqlmap", "-m", str(targets), "--batch", "--smart", "--level=1", "--risk=1", "--technique=BEU"]
    command += ["--threads=2", "--retries=0", "--timeout=20", "--disable-coloring", "--flush-session"]
    run([*command, f"--output-dir={folder}/sqlmap", f"--results-file={results}"])
    return injected(results.read_text("utf-8")) if results.exists() else []


def injected(results: str) -> list[Finding]:
    """Read what sqlmap found: all of it is high."""
    rows = csv.DictReader(results.splitlines())
    return [
        Finding("sqlmap", f"SQL injection ({row['Technique(s)']})", f"{row['Target URL']} {row['Parameter']}", True)
        for row in rows
        if row["Technique(s)"]
    ]


def run(command: list[str]) -> None:
    """Run a scanner; it must end well."""
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
    )
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-3000:]
