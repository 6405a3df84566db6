"""The report of the gallery: a row for each input, merged from those that the tests have written one by one.

`python -m tests.gallery.report` writes build/reports/gallery.json, and fails where a row is not as expected or where
there are too few.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

REPORTS = Path(__file__).resolve().parents[2] / "build" / "reports"
ROWS = REPORTS / "gallery"
LEAST = {"project": 60, "dump": 25}
"""How many rows of a kind there are at least, once there is one."""

LINES = {
    "C1": "folder fields [2026], its maps to verify",
    "C2": "project carte d'été (v2).1 with Lizmap",
    "C3": "file name NFD, project NFC",
    "C4": "mesh with Lizmap",
    "C5": "folder of tiles by QGIS",
    "C6": "action by QGIS that sends a code",
    "C7": "layer Forêt, parcelles",
    "C8": "tables only",
    "C9": "one flat area",
    "C10": "one bad project of two",
    "C11": "group shown as a layer by QGIS",
    "C12": "only tiles are ticked",
    "C13": "a table that is renamed away later",
    "D1": "edited table: generated",
    "D2": "edited table: o'brien",
    "D3": "edited table: listed",
    "D4": "edited table: view_without_key",
    "D5": "edited table: audit, identity, NOTIFY, foreign key",
    "D6": "edited table: filtered by login",
    "E1": "a column in French",
    "E2": "owners and rights of roles that are not here",
    "E3": "Latin-1 that does not say so",
    "E4": "an archive of 1.17, by a script",
    "E5": "both, with restrict lines",
}
"""A row for each line of the field trials, of which most have more."""
LINES_OF_LIZMAP = {"D7": "edited table: form that fails, its log", "D8": "edited table: form that opens"}
"""What the stand-in does not have."""

Row = dict[str, str]


def record(name: str, kind: str, on: str, expected: str, got: str) -> None:
    """Write the row of an input: what is right, from the reason, and what came out."""
    row = {"name": name, "kind": kind, "on": on, "expected": expected, "got": got}
    ROWS.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(f"{kind}\0{on}\0{name}".encode()).hexdigest()[:16]
    (ROWS / f"{kind}-{digest}.json").write_text(json.dumps(row, ensure_ascii=False, indent=1) + "\n", "utf-8")


def rows() -> list[Row]:
    """Read what the tests have written."""
    found: list[Row] = [json.loads(path.read_text("utf-8")) for path in ROWS.glob("*.json")]
    return sorted(found, key=lambda row: (row["kind"], row["on"], row["name"]))


def problems(inputs: Sequence[Row]) -> list[str]:
    """Say what is not as it should be."""
    found = [
        f"{row['kind']} “{row['name']}” on {row['on']}: expected {row['expected']!r}, got {row['got']!r}"
        for row in inputs
        if row["expected"] != row["got"]
    ]
    for kind, least in LEAST.items():
        count = sum(row["kind"] == kind for row in inputs)
        if 0 < count < least:
            found.append(f"There are {count} rows of the kind {kind}: at least {least} are wanted")
    return [*found, *missing_lines(inputs)]


def missing_lines(inputs: Sequence[Row]) -> list[str]:
    """Say which lines of the field trials have no row."""
    on_lizmap = any(row["on"].startswith("Lizmap ") for row in inputs)
    there = {row["name"] for row in inputs}
    wanted = LINES | LINES_OF_LIZMAP if on_lizmap else LINES
    return [f"There is no row “{name}” ({line})" for line, name in wanted.items() if name not in there]


def main() -> int:
    """Merge the rows."""
    inputs = rows()
    REPORTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"inputs": inputs}, ensure_ascii=False, indent=1)
    (REPORTS / "gallery.json").write_text(text + "\n", "utf-8")
    print("\n".join(wrong := problems(inputs)) or f"{len(inputs)} rows, all as expected")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
