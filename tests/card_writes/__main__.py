"""`python -m tests.card_writes [--seconds N] [--engine FOLDER]`: what a Pi writes on its card in a day.

A Docker Engine of its own, with its data on one disk (ext4 on a loop device) and the data folders on another, runs both
containers as the product does. Counted is what the kernel hands to the disks, journal and all: while nobody comes, and
while five people save an observation every five seconds each, and look at the map. `--engine` names a folder with the
programs of another release of Docker. What the system itself writes, such as its journal, is not in it.

Writes build/bench/card-writes.json, in MB for a day. Needs root and loop devices.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import docker
from ansible.module_utils.poppyfield.containers.container_module import RARE_CHECK_SECONDS
from ansible.module_utils.poppyfield.containers.spec import SECOND

from tests.engine.private_engine import PrivateEngine
from tests.images import building, projects
from tests.images.map_server import PREFIX, database, map_server
from tests.power_cuts.recorded_disk import mounted

REPORT = building.ROOT / "build" / "bench" / "card-writes.json"
DISKS = {"engine": 4096, "data": 2048}
"""In MB."""
HEALTH_CHECKS: dict[str, dict[str, Any]] = {
    "as_the_images_say": {},
    "once_a_minute": {"interval": RARE_CHECK_SECONDS * SECOND},
    "never": {"test": ["NONE"]},
}
SECTOR = 512
SECTORS_WRITTEN = 6
"""The field of the kernel's statistics of a block device."""
DAY = 86400
MB = 1_000_000
LOG = ("--log-driver=local", "--log-opt=max-size=10m", "--log-opt=max-file=3")
"""As the role docker_engine sets it up."""
INSERT = """
INSERT INTO meadow SELECT coalesce(max(id), 0) + 1, 'seen', 1, (SELECT geom FROM meadow WHERE id = 1) FROM meadow;
"""
SAVES = 'for ((n = 0; n < $1; n++)); do echo "$2"; sleep 1; done | psql --quiet --username=postgres gis'
VISITS = r"""
for ((look = 0; look < $1; look++)); do
    exec {server}<> /dev/tcp/127.0.0.1/8080
    question='/ows/fields/map/?SERVICE=WMS&REQUEST=GetCapabilities'
    printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$question" >&"$server"
    cat <&"$server" > /dev/null
    exec {server}>&-
    sleep 1
done
"""


@contextmanager
def loop_disk(folder: Path, name: str, megabytes: int) -> Iterator[tuple[Path, str]]:
    """Give where a new disk is mounted, and the name of its device."""
    image, place = folder / f"{name}.img", folder / name
    with image.open("wb") as stream:
        stream.truncate(megabytes << 20)
    # Otherwise ext4 would write its own tables meanwhile.
    lazy = "lazy_itable_init=0,lazy_journal_init=0"
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", lazy, image], check=True)
    place.mkdir()
    with mounted(image, place):
        command = ["findmnt", "--noheadings", "--output", "SOURCE", str(place)]
        source = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        yield place, Path(source.strip()).name


def written(device: str) -> int:
    """Give the bytes that the kernel has handed to a device."""
    os.sync()
    return int(Path(f"/sys/block/{device}/stat").read_text("ascii").split()[SECTORS_WRITTEN]) * SECTOR


def per_day(devices: dict[str, str], seconds: float, meanwhile: Callable[[], object]) -> dict[str, float]:
    """Give by disk what is written in a day, from what is while something goes on for some seconds."""
    before = {name: written(device) for name, device in devices.items()}
    started = time.monotonic()
    meanwhile()
    time.sleep(max(0.0, started + seconds - time.monotonic()))
    after = {name: written(device) for name, device in devices.items()}
    share = DAY / (time.monotonic() - started) / MB
    return {name: round((after[name] - before[name]) * share, 1) for name in devices}


@contextmanager
def engine_on(folder: Path) -> Iterator[None]:
    """Start an engine with its data in a folder; the SDK and the command docker ask it from then on."""
    engine = PrivateEngine(folder, *LOG)
    engine.start()
    os.environ["DOCKER_HOST"] = engine.base_url
    try:
        yield
    finally:
        del os.environ["DOCKER_HOST"]
        engine.stop()


def measured(images: dict[str, str], seconds: float, healthcheck: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Give what both containers write, at rest and with people, where their health is checked like this."""
    options: dict[str, Any] = {"healthcheck": healthcheck} if healthcheck else {}
    with tempfile.TemporaryDirectory(prefix=PREFIX) as temporary, ExitStack() as stack:
        folder = Path(temporary)
        archive = folder / "images.tar"
        subprocess.run(["docker", "save", "--output", archive, *images.values()], check=True)
        disks = {name: stack.enter_context(loop_disk(folder, name, size)) for name, size in DISKS.items()}
        devices = {name: device for name, (_, device) in disks.items()}
        stack.enter_context(engine_on(disks["engine"][0]))
        subprocess.run(["docker", "load", "--quiet", "--input", archive], check=True, stdout=subprocess.DEVNULL)
        data = disks["data"][0]
        fields = data / "projects" / "fields"
        fields.mkdir(parents=True)
        (fields / "map.qgs").write_text(projects.qgs([projects.postgis(fields)]), "utf-8")
        network = stack.enter_context(database(images["postgis"], data, projects.POSTGIS_SQL, **options))
        # No port is published: an engine in a network of its own.
        server = stack.enter_context(map_server(images["lizmap"], data, network, ports={}, **options))
        server.wait_until_healthy()
        postgis = docker.from_env().containers.get(f"{PREFIX}postgis")

        def people() -> None:
            count = str(int(seconds))
            postgis.exec_run(["bash", "-c", SAVES, "bash", count, INSERT], detach=True)
            server.container.exec_run(["bash", "-c", VISITS, "bash", count], detach=True)

        # The first minutes write what later ones do not.
        time.sleep(min(60.0, seconds))
        return {"idle": per_day(devices, seconds, lambda: None), "busy": per_day(devices, seconds, people)}


def engine_version() -> str:
    """Give the release of the engine that PATH has."""
    said = subprocess.run(["dockerd", "--version"], capture_output=True, text=True, check=True).stdout
    return said.removeprefix("Docker version ").partition(",")[0]


def main() -> int:
    """Measure, write the report, and return the exit status."""
    parser = argparse.ArgumentParser(prog="tests.card_writes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=900, help="of each measurement (default: %(default)s)")
    parser.add_argument("--engine", default="", help="folder with the programs of another release of Docker")
    given = parser.parse_args()
    images = building.images("images.json")
    chosen = {name: images[name] for name in ("postgis", "lizmap")}
    if given.engine:
        os.environ["PATH"] = f"{given.engine}:{os.environ['PATH']}"
    found = {
        "engine": engine_version(),
        "seconds": given.seconds,
        "mb_per_day": {name: measured(chosen, given.seconds, check) for name, check in HEALTH_CHECKS.items()},
    }
    known = json.loads(REPORT.read_text("utf-8")) if REPORT.exists() else {}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps({**known, str(found["engine"]): found}, indent=2) + "\n", "utf-8")
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
