"""`python -m workshop.bench.qgis_server POSTGIS_IMAGE LIZMAP_IMAGE PY_QGIS_SERVER_IMAGE`: two ways to run QGIS Server.

Plain FastCGI, as in the map server's image, beside py-qgis-server, whose image docs/qgis-server.md makes. Each draws
the sample map from the same database, with two workers, one after the other. Prints a table in Markdown and writes
every figure to build/bench/qgis-server.json.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import docker
import requests

from workshop.bench.contenders import Json
from workshop.bench.host import facts
from workshop.bench.memory import MB, Load, greatest, look, request
from workshop.bench.playbook import ROOT, BenchError
from workshop.bench.report import write
from workshop.bench.stack import HARDENED, OTHER, SAMPLE, START_SECONDS, running

REPORT = ROOT / "build" / "bench" / "qgis-server.json"
RAM_MB = 2000
WORKERS = "2"
REST_SECONDS = 10
LOAD_SECONDS = 30
ROUNDS = 3


def main() -> int:
    """Run the benchmark; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(prog="workshop.bench.qgis_server", description=__doc__)
    for name in ("postgis_image", "lizmap_image", "py_qgis_server_image"):
        parser.add_argument(name)
    given = parser.parse_args()
    try:
        with running(given.postgis_image, given.lizmap_image, RAM_MB * MB) as (_, server, url):
            found = {"FastCGI": measure(server, f"{url}/ows/sample/france/", "qgis_mapserv")}
            server.stop()
            other, address = start_other(given.py_qgis_server_image, server)
            found["py-qgis-server"] = measure(other, f"{address}/ows/?MAP=sample/france.qgs", "qgisserver")
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write(REPORT, {"date": now, "machine": facts(docker.from_env()), **found}, table(found))
    return 0


def start_other(image: str, server: Any) -> tuple[Any, str]:
    """Start py-qgis-server with the map server's own service file; give its container and address."""
    secret = next(mount["Source"] for mount in server.attrs["Mounts"] if mount["Destination"].endswith("_password"))
    script = (
        'mkdir /run/poppyfield && printf "[poppyfield]\\nhost=%s\\ndbname=gis\\nuser=gis\\npassword=%s\\n"'
        ' "$POSTGIS_HOST" "$(cat /run/secrets/password)" > "$PGSERVICEFILE"'
        " && exec qgisserver --bind 0.0.0.0 --port 8080"
    )
    arguments: Json = {
        **HARDENED,
        "name": OTHER,
        "entrypoint": ["bash", "-c", script],
        "environment": {
            "POSTGIS_HOST": dict(word.split("=", 1) for word in server.attrs["Config"]["Env"])["POSTGIS_HOST"],
            "PGSERVICEFILE": "/run/poppyfield/pg_service.conf",
            "QT_QPA_PLATFORM": "offscreen",
            "QGIS_SERVER_PARALLEL_RENDERING": "1",
            "QGSRV_SERVER_WORKERS": WORKERS,
            "QGSRV_SERVER_TIMEOUT": "20",
            "QGSRV_CACHE_ROOTDIR": "/srv/projects",
            "HOME": "/tmp",  # noqa: S108 - inside the container
        },
        "tmpfs": {"/tmp": "mode=1777", "/run": "uid=33,gid=33,mode=0755"},  # noqa: S108 - inside the container
        "ports": {"8080/tcp": ("127.0.0.1", None)},
        "volumes": [f"{SAMPLE / 'projects'}:/srv/projects:ro", f"{secret}:/run/secrets/password:ro"],
    }
    container: Any = docker.from_env(timeout=120).containers.run(image, **arguments)
    container.reload()
    return container, f"http://127.0.0.1:{container.ports['8080/tcp'][0]['HostPort']}"


def measure(container: Any, address: str, worker: str) -> Json:
    """Give memory, speed under load, and how long no map comes after all workers were killed."""
    until_drawn(address)
    time.sleep(REST_SECONDS)
    containers = {"server": container}
    at_rest = look(containers)["server"]
    load = Load(address, containers)
    load.run(LOAD_SECONDS)
    under_load = greatest([seen["server"] for seen in load.looks])
    recoveries = [recovery(container, address, worker) for _ in range(ROUNDS)]
    return {"at_rest": at_rest, "under_load": under_load, "load": load.result(LOAD_SECONDS), "recovery": recoveries}


def recovery(container: Any, address: str, worker: str) -> float:
    """Kill the workers; give the seconds until a map is drawn again.

    A worker has no children, and its parent is not the container's first process: of that one is py-qgis-server's own
    supervisor the child.
    """
    rows = container.top(ps_args="-eo pid,ppid,comm")["Processes"]
    parents = {row[1] for row in rows}
    first = {row[0] for row in rows if row[1] not in {other[0] for other in rows}}
    named = [row for row in rows if row[2].startswith(worker)]
    workers = [row[0] for row in named if row[0] not in parents and row[1] not in first]
    # The numbers are the machine's own.
    for number in workers:
        os.kill(int(number), signal.SIGKILL)
    began = time.monotonic()
    until_drawn(address)
    return round(time.monotonic() - began, 2)


def until_drawn(address: str) -> None:
    """Ask until a map is drawn."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            answer = requests.get(address, params=request(0), timeout=START_SECONDS)
        except requests.ConnectionError:
            time.sleep(0.1)
            continue
        if answer.headers.get("Content-Type") == "image/png":
            return
        time.sleep(0.1)
    raise BenchError(f"{address} drew no map within {START_SECONDS} s.")


def table(found: Json) -> str:
    """Give the figures as a table in Markdown."""
    rows: dict[str, Callable[[Json], Any]] = {
        "Maps a second, ten clients": lambda one: one["load"]["maps_per_second"],
        "Seconds for a map: median": lambda one: one["load"]["median_seconds"],
        "Seconds for a map: 95 %": lambda one: one["load"]["p95_seconds"],
        "Failures": lambda one: one["load"]["failures"],
        "PSS at rest, MB": lambda one: one["at_rest"]["pss_mb"],
        "PSS under load, MB": lambda one: one["under_load"]["pss_mb"],
        "Seconds without a map after its workers were killed": lambda one: sorted(one["recovery"])[ROUNDS // 2],
    }
    lines = [f"| | {' | '.join(found)} |", f"|---|{'---|' * len(found)}"]
    lines += [f"| {title} | {' | '.join(str(cell(one)) for one in found.values())} |" for title, cell in rows.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
