"""`python -m workshop.bench.memory POSTGIS_IMAGE LIZMAP_IMAGE [--ram MB]`: the memory of both containers.

The images must be of this machine's own architecture. The containers are set up as on a machine with so much memory.
Nothing else should run meanwhile: the machine's cache of files is emptied first.
Prints a table in Markdown and writes every figure to build/bench/memory.json.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
import requests

from workshop.bench.contenders import Json
from workshop.bench.figures import p95
from workshop.bench.host import facts
from workshop.bench.playbook import ROOT, BenchError
from workshop.bench.report import write
from workshop.bench.stack import running

REPORT = ROOT / "build" / "bench" / "memory.json"
MB = 1024 * 1024
CLIENTS = 10
GOAL_AT_REST_MB = 350
REST_SECONDS = 30
LOOK_SECONDS = 2
FRANCE = (-680000, 5020000, 1150000, 6680000)
"""In EPSG:3857."""


def main() -> int:
    """Run the benchmark; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(prog="workshop.bench.memory", description=__doc__)
    parser.add_argument("postgis_image")
    parser.add_argument("lizmap_image")
    parser.add_argument("--ram", type=int, default=2000, help="the machine's memory, in MB (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=60, help="how long the load lasts (default: %(default)s)")
    given = parser.parse_args()
    try:
        report = run(given.postgis_image, given.lizmap_image, given.ram, given.seconds)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    write(REPORT, report, table(report))
    return 0


def run(postgis_image: str, lizmap_image: str, ram_mb: int, seconds: int) -> Json:
    """Give the report."""
    # Files that somebody read before would not count in the containers.
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
    with running(postgis_image, lizmap_image, ram_mb * MB) as (database, server, url):
        containers = {"postgis": database, "lizmap": server}
        time.sleep(REST_SECONDS)
        fresh = look(containers)
        load = Load(f"{url}/ows/sample/france/", containers)
        load.run(seconds)
        time.sleep(REST_SECONDS)
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": facts(docker.from_env()),
            "images": {"postgis": postgis_image, "lizmap": lizmap_image},
            "ram_mb": ram_mb,
            "qgis_server_workers": fresh["lizmap"]["processes"].count("qgis_mapserv.fc"),
            "at_rest_after_start": fresh,
            "under_load": {name: greatest([seen[name] for seen in load.looks]) for name in containers},
            "at_rest_after_load": look(containers),
            "load": load.result(seconds),
        }


class Load:
    """Ten people who pan and zoom on the map, and somebody who looks at the memory meanwhile."""

    def __init__(self, url: str, containers: Mapping[str, Any]) -> None:
        self.looks: list[dict[str, Json]] = []
        self._url = url
        self._containers = containers
        self._seconds: list[float] = []
        self._failures = 0
        self._lock = threading.Lock()

    def run(self, seconds: int) -> None:
        """Ask for maps for so long."""
        deadline = time.monotonic() + seconds
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(self._ask, number, deadline) for number in range(CLIENTS)]
            while time.monotonic() < deadline:
                self.looks.append(look(self._containers))
                time.sleep(LOOK_SECONDS)
            for client in clients:
                client.result()

    def result(self, seconds: int) -> Json:
        """Give how many maps were drawn, and how fast."""
        if not self._seconds:
            raise BenchError("No map was drawn under load.")
        ordered = sorted(self._seconds)
        return {
            "clients": CLIENTS,
            "maps": len(ordered),
            "failures": self._failures,
            "maps_per_second": round(len(ordered) / seconds, 2),
            "median_seconds": round(statistics.median(ordered), 3),
            "p95_seconds": p95(ordered),
        }

    def _ask(self, number: int, deadline: float) -> None:
        count = number
        with requests.Session() as session:
            while time.monotonic() < deadline:
                began = time.monotonic()
                answer = session.get(self._url, params=request(count), timeout=120)
                drawn = answer.headers.get("Content-Type") == "image/png"
                with self._lock:
                    if drawn:
                        self._seconds.append(time.monotonic() - began)
                    else:
                        self._failures += 1
                count += CLIENTS


def request(count: int) -> dict[str, str]:
    """Give a GetMap of 800 by 600 pixels, of another part of France each time, in one of three scales."""
    west, south, east, north = FRANCE
    zoom = 2 ** (count % 3)
    width, height = (east - west) / zoom, (north - south) / zoom
    left = west + (count % 7) / 7 * (east - west - width)
    bottom = south + (count % 5) / 5 * (north - south - height)
    return {
        **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "STYLES": "", "CRS": "EPSG:3857"},
        **{"LAYERS": "countries,departments,rivers,towns", "FORMAT": "image/png", "WIDTH": "800", "HEIGHT": "600"},
        "BBOX": f"{left},{bottom},{left + width},{bottom + height}",
    }


def look(containers: Mapping[str, Any]) -> dict[str, Json]:
    """Look at the memory of each container."""
    return {name: memory(container) for name, container in containers.items()}


def memory(container: Any) -> Json:
    """Give a container's memory, in MB.

    usage: all that its cgroup holds, with the files it has read; working_set: without those that were not used lately;
    pss: what its processes hold, where what they share counts once.
    """
    stats = container.stats(stream=False)["memory_stats"]
    inactive = stats["stats"].get("total_inactive_file", stats["stats"].get("inactive_file", 0))
    processes = [Path("/proc", row[0]) for row in container.top(ps_args="-eo pid")["Processes"]]
    seen = [found for path in processes if (found := process_memory(path))]
    return {
        "usage_mb": round(stats["usage"] / MB, 1),
        "working_set_mb": round((stats["usage"] - inactive) / MB, 1),
        "pss_mb": round(sum(pss for _, pss in seen) / 1024, 1),
        "processes": sorted(name for name, _ in seen),
    }


def process_memory(folder: Path) -> tuple[str, int] | None:
    """Give the name of a process and its PSS in kB, or None if it has just ended."""
    try:
        found = re.search(r"^Pss: +(\d+)", (folder / "smaps_rollup").read_text("ascii"), re.MULTILINE)
        name = (folder / "comm").read_text("utf-8").strip()
    except OSError:
        return None
    return (name, int(found[1])) if found else None


def greatest(looks: list[Json]) -> Json:
    """Give the greatest of each figure."""
    return {key: max(seen[key] for seen in looks) for key in ("usage_mb", "working_set_mb", "pss_mb")}


def table(report: Json) -> str:
    """Give the figures as a table in Markdown."""
    lines = ["| MB | postgis | lizmap | both |", "|---|---|---|---|"]
    for moment in ("at_rest_after_start", "under_load", "at_rest_after_load"):
        for figure in ("usage_mb", "working_set_mb", "pss_mb"):
            values = [report[moment][name][figure] for name in ("postgis", "lizmap")]
            title = f"{moment}: {figure.removesuffix('_mb')}".replace("_", " ")
            lines.append(f"| {title} | {values[0]} | {values[1]} | {round(sum(values), 1)} |")
    load = report["load"]
    # Without the files that were read: the kernel gives up their place when it is needed.
    at_rest = sum(report["at_rest_after_start"][name]["pss_mb"] for name in ("postgis", "lizmap"))
    return "\n".join(lines) + (
        f"\n\n{report['qgis_server_workers']} QGIS Server workers; {load['maps_per_second']} maps a second, "
        f"median {load['median_seconds']} s, 95 % within {load['p95_seconds']} s, {load['failures']} failures. "
        f"The goal, {GOAL_AT_REST_MB} MB at rest (PSS), is {'met' if at_rest < GOAL_AT_REST_MB else 'not met'}."
    )


if __name__ == "__main__":
    sys.exit(main())
