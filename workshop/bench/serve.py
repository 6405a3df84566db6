"""`python -m workshop.bench.serve --before POSTGIS LIZMAP --now POSTGIS LIZMAP`: 1, 5 and 30 visitors of the map page.

Both pairs of images serve the demo's sample map on a machine with 1 GB. All visitors start at the map's first view;
four fifths of what they look at after that are the same places, the rest are places of their own, five seconds each,
and every twentieth view somebody saves an observation. Each page asks as it does in a browser: the earlier one for its
window, today's for whole blocks. Prints a table in Markdown and writes the figures to build/bench/serve.json.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

import docker
import requests
from ansible.module_utils.poppyfield.containers.spec import MOST_PROCESSES

from workshop.bench.contenders import Json
from workshop.bench.figures import p95
from workshop.bench.host import facts
from workshop.bench.memory import MB
from workshop.bench.playbook import ROOT, BenchError
from workshop.bench.report import write
from workshop.bench.stack import running

REPORT = ROOT / "build" / "bench" / "serve.json"
LIMIT_MB = 1024
VISITORS = (1, 5, 30)
THOUGHT_SECONDS = 5.0
SAVES_EVERY = 20
STAYS = 0.8
PATIENCE_SECONDS = 120
GOAL_P95, GOAL_CPU = 0.1, 0.2
"""At thirty, of what it was before."""
PROJECT = f"/project/{hashlib.md5(b'/srv/projects/sample/france.qgs', usedforsecurity=False).hexdigest()}/"
LAYERS = ("sea", "countries", "departments", "rivers", "towns", "observations")
LAYERS_AGAIN_SECONDS = 15
"""As in images/lizmap/map-page/src/picture.js."""
FIRST = (260000.0, 5860000.0, 6)
"""In EPSG:3857, and a zoom."""
PLACES = tuple((-300000.0 + 160000 * number, 5400000.0 + 90000 * number, 7 + number % 4) for number in range(8))
WINDOWS = ((1024, 768), (1280, 800), (800, 1216))
BLOCK = 128
"""As in images/lizmap/map-page/src/blocks.js."""
WHOLE_WORLD = 2 * math.pi * 6378137 / 256
"""The metres of a pixel at zoom 0."""
SAVE = "INSERT INTO sample.observations (geom) VALUES (ST_SetSRID(ST_MakePoint(2 + random(), 46 + random()), 4326))"

View = tuple[float, float, int]


def main() -> int:
    """Run the benchmark; return the exit status: 1 also where a goal is not met."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(prog="workshop.bench.serve", description=__doc__)
    parser.add_argument("--before", nargs=2, required=True, metavar=("POSTGIS", "LIZMAP"))
    parser.add_argument("--now", nargs=2, required=True, metavar=("POSTGIS", "LIZMAP"))
    parser.add_argument("--seconds", type=float, default=60, help="how long each walk lasts (default: %(default)s)")
    parser.add_argument("--cores", type=float, default=2, help="of the map server (default: %(default)s)")
    given = parser.parse_args()
    try:
        report = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": facts(docker.from_env()),
            "images": {"before": given.before, "ours": given.now},
            "memory_limit_mb": LIMIT_MB,
            "cores": given.cores,
            **put_together(
                before=run(given.before, given.seconds, given.cores, in_blocks=False),
                ours=run(given.now, given.seconds, given.cores, in_blocks=True),
            ),
        }
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    write(REPORT, report, table(report))
    return 0 if is_met(report) else 1


def run(images: Sequence[str], seconds: float, cores: float, *, in_blocks: bool) -> Json:
    """Give the first view's figures, and those of each number of visitors."""
    postgis_image, lizmap_image = images
    limits: Json = {"mem_limit": LIMIT_MB * MB, "pids_limit": MOST_PROCESSES, "nano_cpus": int(cores * 1e9)}
    with running(postgis_image, lizmap_image, 2 * LIMIT_MB * MB, **limits) as (database, server, url):
        first = first_view(url, in_blocks=in_blocks)
        walks = {}
        for count in VISITORS:
            began = cpu_seconds(database, server)
            walk = Walk(url, database, in_blocks=in_blocks)
            walk.run(count, seconds)
            walks[str(count)] = walk.figures(cpu_seconds(database, server) - began)
        return {"first_view": first, "visitors": walks}


def put_together(before: Json, ours: Json) -> Json:
    """Give both by what was measured."""
    return {
        "visitors": {
            count: {"ours": ours["visitors"][count], "before": before["visitors"][count]}
            for count in before["visitors"]
        },
        "first_view": {"ours": ours["first_view"], "before": before["first_view"]},
    }


# What a page asks -----------------------------------------------------------------------------------------------------


def picture(view: View, window: tuple[int, int], layers: Sequence[str] = LAYERS, *, in_blocks: bool) -> str:
    """Give the address of what a window shows of these layers."""
    x, y, zoom = view
    resolution = WHOLE_WORLD / 2**zoom
    half = [side / 2 * resolution for side in window]
    box = [x - half[0], y - half[1], x + half[0], y + half[1]]
    width, height = window
    if in_blocks:
        side = BLOCK * resolution
        first, last = [math.floor(edge / side) for edge in box[:2]], [math.ceil(edge / side) for edge in box[2:]]
        width, height = ((end - start) * BLOCK for start, end in zip(first, last, strict=True))
        box = [number * side for number in (*first, *last)]
    parameters = {
        **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "LAYERS": ",".join(layers), "STYLES": ""},
        **{"CRS": "EPSG:3857", "BBOX": ",".join(map(str, box)), "WIDTH": width, "HEIGHT": height},
        **{"FORMAT": "image/png", "TRANSPARENT": "TRUE"},
    }
    return f"{PROJECT}?{urlencode(parameters)}"


def first_view(url: str, *, in_blocks: bool) -> Json:
    """Ask for all that an empty browser asks for until it shows the map; give bytes, requests and seconds."""
    page = requests.get(url, timeout=PATIENCE_SECONDS).text
    files = [part.partition('"')[0] for part in page.replace('href="', 'src="').split('src="')[1:]]
    paths = ["/", *sorted({f"/{name}" for name in files if name.startswith("app.")}), "/index.json"]
    paths += [f"{PROJECT}?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities"]
    paths += [picture(FIRST, WINDOWS[0], in_blocks=in_blocks)]
    size, began = 0, time.monotonic()
    with requests.Session() as browser:
        for path in paths:
            with browser.get(url + path, timeout=PATIENCE_SECONDS, stream=True) as answer:
                if not answer.ok:
                    raise BenchError(f"{path}: {answer.status_code}")
                # As it comes through the line, before it is unpacked.
                size += len(answer.raw.read(decode_content=False))
    return {"bytes": size, "requests": len(paths), "seconds": round(time.monotonic() - began, 3)}


def views(number: int) -> Iterator[View]:
    """Give what a visitor looks at, the same in each run."""
    chance = random.Random(number)  # noqa: S311 - a walk
    yield FIRST
    while True:
        x, y, zoom = chance.choice(PLACES)
        if chance.random() < STAYS:
            yield x, y, zoom
        else:
            yield x + chance.uniform(-2e5, 2e5), y + chance.uniform(-2e5, 2e5), zoom


@dataclass
class Walk:
    """Some visitors, and what they got."""

    url: str
    database: Any
    in_blocks: bool = field(kw_only=True)
    seconds: list[float] = field(default_factory=list)
    failed: int = 0

    def run(self, count: int, seconds: float) -> None:
        """Let so many look at the map for so long."""
        deadline = time.monotonic() + seconds
        with ThreadPoolExecutor(count) as pool:
            for visitor in [pool.submit(self._look, number, deadline) for number in range(count)]:
                visitor.result()

    def _look(self, number: int, deadline: float) -> None:
        window = WINDOWS[number % len(WINDOWS)]
        # Nobody opens the map in the same moment.
        time.sleep(number * THOUGHT_SECONDS / max(VISITORS))
        with requests.Session() as browser, ThreadPoolExecutor(2) as loader:
            told = Told(browser, self.url + PROJECT)
            for seen, view in enumerate(views(number)):
                if (seen + number) % SAVES_EVERY == SAVES_EVERY - 1:
                    save(self.database)
                began = time.monotonic()
                addresses = [self.url + picture(view, window, part, in_blocks=self.in_blocks) for part in told.parts()]
                if all(loader.map(partial(is_drawn, browser), addresses)):
                    self.seconds.append(time.monotonic() - began)
                else:
                    self.failed += 1
                if time.monotonic() + THOUGHT_SECONDS >= deadline:
                    return
                time.sleep(THOUGHT_SECONDS)

    def figures(self, cpu: float) -> Json:
        """Give what it comes to."""
        slowest = p95(self.seconds)
        return {
            "views": len(self.seconds),
            "p50_s": round(statistics.median(self.seconds), 3),
            "p95_s": slowest,
            "failed": self.failed,
            "cpu_s_per_view": round(cpu / len(self.seconds), 4),
        }


class Told:
    """What the server tells of the layers that are being edited, as the map page asks for it."""

    def __init__(self, browser: requests.Session, base: str) -> None:
        self.browser = browser
        self.address = f"{base}layers.json"
        self.asked = -math.inf
        self.edited: set[str] = set()

    def parts(self) -> list[tuple[str, ...]]:
        """Give the layers of each picture; those that are edited lie on top in the sample, so there are at most two."""
        if time.monotonic() - self.asked > LAYERS_AGAIN_SECONDS:
            self.asked = time.monotonic()
            answer = self.browser.get(self.address, timeout=PATIENCE_SECONDS)
            # Earlier versions know no such address.
            layers = answer.json()["layers"] if answer.ok else {}
            self.edited = {name for name, layer in layers.items() if layer["edited"]}
        below = tuple(name for name in LAYERS if name not in self.edited)
        above = tuple(name for name in LAYERS if name in self.edited)
        return [part for part in (below, above) if part]


def is_drawn(browser: requests.Session, address: str) -> bool:
    """Ask for a picture, and tell whether it came."""
    try:
        answer = browser.get(address, timeout=PATIENCE_SECONDS)
    except requests.RequestException:
        return False
    return answer.headers.get("Content-Type") == "image/png"


def save(database: Any) -> None:
    """Save an observation, as another program does."""
    code, output = database.exec_run(["psql", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "gis", "-c", SAVE])
    if code:
        raise BenchError(f"An observation was not saved: {output.decode()}")


def cpu_seconds(*containers: Any) -> float:
    """Give what containers have computed so far."""
    stats = (container.stats(stream=False) for container in containers)
    return float(sum(told["cpu_stats"]["cpu_usage"]["total_usage"] for told in stats)) / 1e9


# The figures ----------------------------------------------------------------------------------------------------------


def is_met(report: Json) -> bool:
    """Tell whether thirty visitors are served as much better as is wanted, and none in vain."""
    ours, before = (report["visitors"][str(max(VISITORS))][name] for name in ("ours", "before"))
    return bool(
        ours["p95_s"] <= GOAL_P95 * before["p95_s"]
        and ours["cpu_s_per_view"] <= GOAL_CPU * before["cpu_s_per_view"]
        and not ours["failed"]
    )


def table(report: Json) -> str:
    """Give the figures as a table in Markdown."""
    lines = ["| visitors | | p50 | p95 | failed | CPU for a view |", "|---|---|---|---|---|---|"]
    for count, both in report["visitors"].items():
        for name in ("before", "ours"):
            told = both[name]
            cells = (f"{told['p50_s']} s", f"{told['p95_s']} s", told["failed"], f"{told['cpu_s_per_view']} s")
            lines.append(f"| {count} | {name} | {' | '.join(map(str, cells))} |")
    firsts = [report["first_view"][name] for name in ("ours", "before")]
    ours, before = (f"{told['bytes'] / 1000:.0f} kB in {told['requests']} requests" for told in firsts)
    met = "met" if is_met(report) else "not met"
    return "\n".join([*lines, f"\nThe first view: {before} before, {ours} now. The goals at thirty are {met}."])


if __name__ == "__main__":
    sys.exit(main())
