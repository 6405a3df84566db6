"""`python -m workshop.bench.build [PROFILE ...]`: how long the images take to build in three ways, side by side.

image_contents/builds.py says which. All ways use the same packages, fetched beforehand, and none syncs each file to the
disk. Writes build/bench/build.json, where profiles and images of earlier runs stay, and prints tables in Markdown.
Nothing else may build images meanwhile: builds wait for each other's packages.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from image_contents.builds import SUBJECTS, Builds, Ways, own_architecture, prepared, ways

Json = dict[str, Any]
ARCHITECTURES = {"trixie": "arm64", "bookworm": "armhf"}
"""Profile -> the architecture that it is timed for: the one that its Pis most likely have."""
REPORT = Path(__file__).resolve().parents[2] / "build" / "bench" / "build.json"


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="workshop.bench.build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profiles", nargs="*", metavar="PROFILE", default=list(ARCHITECTURES))
    parser.add_argument("--only", action="append", choices=list(SUBJECTS), help="may be given several times")
    parser.add_argument("--mirror", default="", help="of Debian: an address, or a line of sources.list")
    options = parser.parse_args()
    for profile in options.profiles:
        target = ARCHITECTURES[profile]
        with prepared(profile, options.mirror) as builds:
            tools, rows = measure(builds, ways(own_architecture(), target), options.only or list(SUBJECTS))
        record(profile, {"architecture": target, "tools_s": tools}, rows)
        print(f"\n{profile}, {target}\n\n{table(rows)}\n\nThe tools are made once: {tools:.0f} s.")
    print(f"Every figure: {REPORT.relative_to(REPORT.parents[2])}")
    return 0


def record(profile: str, figures: Json, rows: dict[str, Json]) -> None:
    """Put the figures of a profile into the report, with the machine; images measured earlier stay."""
    report = json.loads(REPORT.read_text(encoding="utf-8")) if REPORT.exists() else {}
    report[profile] = {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.platform()},
        **figures,
        "images": {**report.get(profile, {}).get("images", {}), **rows},
    }
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def measure(builds: Builds, in_ways: Ways, subjects: Sequence[str]) -> tuple[float, dict[str, Json]]:
    """Give the seconds that the tools of the assisted way take, and the figures of these images."""
    tools = _seconds(lambda: builds.make_tools(in_ways.assisted))
    for way in (in_ways.plain, in_ways.native):
        builds.make_tools(way)
    for way in (in_ways.assisted, in_ways.native):
        for subject in ["base", *(subject for subject in subjects if subject != "base")]:
            print(f"Fetching the packages: {subject}, {way.architecture}", flush=True)
            builds.build(way, subject)
    if "base" not in subjects:
        builds.build(in_ways.plain, "base")
    return tools, {subject: _row(builds, in_ways, subject) for subject in subjects}


def _row(builds: Builds, in_ways: Ways, subject: str) -> Json:
    seconds = {}
    for way in (in_ways.plain, in_ways.assisted, in_ways.native):
        print(f"Timing: {subject}, {way.name}", flush=True)
        seconds[way.name] = _seconds(lambda way=way: builds.build(way, subject))  # type: ignore[misc]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **{f"{name}_s": figure for name, figure in seconds.items()},
        "speedup": round(seconds["plain"] / seconds["assisted"], 2),
        "over_native": round(seconds["assisted"] / seconds["native"], 2),
        "unpacked_bytes": builds.size(builds.reference(in_ways.assisted, subject)),
    }


def _seconds(action: Callable[[], object]) -> float:
    os.sync()  # else the disk still writes what the build before has left
    started = time.monotonic()
    action()
    return round(time.monotonic() - started, 1)


def table(rows: dict[str, Json]) -> str:
    """Give the figures as a table in Markdown."""
    lines = [
        "| image | emulated, s | with native tools, s | native, s | times faster | times native | unpacked, MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for subject, row in rows.items():
        lines.append(
            f"| {subject} | {row['plain_s']:.0f} | {row['assisted_s']:.0f} | {row['native_s']:.0f} "
            f"| {row['speedup']:.1f} | {row['over_native']:.2f} | {row['unpacked_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
