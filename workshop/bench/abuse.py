"""`python -m workshop.bench.abuse POSTGIS_IMAGE LIZMAP_IMAGE`: five people at a map server with 1 GB, and an attacker.

The images must be of this machine's own architecture, the map server's with the map page. Everybody has an address of
his own on Docker's network, where nginx sees it. First the people are alone; then somebody floods the server as well,
with the largest pictures that it draws, more of them that nobody waits for, bodies of 64 MB and requests that never
end. In between, thirty tablets come from one address. Prints a table in Markdown and writes the figures to
build/bench/abuse.json.
"""

from __future__ import annotations

import argparse
import http.client
import ipaddress
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import docker
from ansible.module_utils.poppyfield.containers.spec import MOST_PROCESSES

from workshop.bench.contenders import Json
from workshop.bench.figures import p95
from workshop.bench.host import facts
from workshop.bench.hostile_day import Flood, card_bytes_per_hostile_day
from workshop.bench.memory import MB, request
from workshop.bench.playbook import ROOT, BenchError
from workshop.bench.report import write
from workshop.bench.stack import NETWORK, running

REPORT = ROOT / "build" / "bench" / "abuse.json"
LIMIT_MB = 1024
PEOPLE, TABLETS = 5, 30
PAUSE_SECONDS = 0.5
"""For which they look at a map before they move it."""
TABLET = {"WIDTH": "1280", "HEIGHT": "800"}
LARGEST = {"WIDTH": "4096", "HEIGHT": "2399"}
"""The largest picture that the map page's front lets through."""
DRAWINGS, BODIES, HALF_OPEN = 60, 4, 500
"""What the attacker has going on at a time."""
LEAVES_EVERY_SECONDS = 0.1
BODY_MB = 64
BEGINNING_SECONDS = 10
PATIENCE_SECONDS = 300
GOAL = 3.0
PATH = "/ows/sample/france/"
HUGE = f"{PATH}?{urlencode({**request(0), **LARGEST})}"


def main() -> int:
    """Run the benchmark; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(prog="workshop.bench.abuse", description=__doc__)
    parser.add_argument("postgis_image")
    parser.add_argument("lizmap_image")
    parser.add_argument("--seconds", type=int, default=60, help="how long each part lasts (default: %(default)s)")
    given = parser.parse_args()
    try:
        report = run(given.postgis_image, given.lizmap_image, given.seconds)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    write(REPORT, report, table(report))
    return 0


def run(postgis_image: str, lizmap_image: str, seconds: int) -> Json:
    """Give the report."""
    with (
        running(
            *(postgis_image, lizmap_image, 2 * LIMIT_MB * MB), mem_limit=LIMIT_MB * MB, pids_limit=MOST_PROCESSES
        ) as (_, server, _),
        addresses(PEOPLE + 1) as (*people, attacker),
    ):
        host = server.attrs["NetworkSettings"]["Networks"][NETWORK]["IPAddress"]
        # The project is read, and every map drawn once.
        use(host, people, BEGINNING_SECONDS)
        alone = use(host, people, seconds)
        school = use(host, people[:1] * TABLETS, seconds)
        processes, log, state = processes_of(server), log_bytes(server), state_bytes(server)
        began = time.monotonic()
        with Attack(host, attacker).going_on() as attack:
            time.sleep(BEGINNING_SECONDS)
            attacked = use(host, people, seconds)
        lasted = time.monotonic() - began
        asked = sum(attack.told.values())
        flood = Flood(asked, lasted, log_bytes(server) - log, state_bytes(server) - state)
        return {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": facts(docker.from_env()),
            "images": {"postgis": postgis_image, "lizmap": lizmap_image},
            "memory_limit_mb": LIMIT_MB,
            "honest_p95_alone_s": p95(alone.seconds),
            "honest_p95_under_attack_s": p95(attacked.seconds),
            "honest_maps_alone": len(alone.seconds),
            "honest_maps_under_attack": len(attacked.seconds),
            "honest_failures": alone.failures + attacked.failures + school.failures,
            "school_p95_s": p95(school.seconds),
            "school_maps": len(school.seconds),
            "restarts": len(processes - processes_of(server)),
            "oom_kills": oom_kills(server),
            "card_bytes_per_hostile_day": card_bytes_per_hostile_day(flood),
            "attacker_was_told": dict(attack.told),
        }


@contextmanager
def addresses(count: int) -> Iterator[list[str]]:
    """Give this machine more addresses on the benchmark's network; they go with its bridge."""
    (network,) = docker.from_env().networks.list(names=[NETWORK])
    subnet = ipaddress.ip_network(network.attrs["IPAM"]["Config"][0]["Subnet"])
    chosen = [str(subnet[-2 - number]) for number in range(count)]
    device = f"br-{str(network.id)[:12]}"
    for address in chosen:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", device], check=True)
    yield chosen


def connect(host: str, address: str, patience: float = PATIENCE_SECONDS) -> http.client.HTTPConnection:
    """Give a connection to the map server from an address."""
    return http.client.HTTPConnection(host, 8080, timeout=patience, source_address=(address, 0))


# The people -----------------------------------------------------------------------------------------------------------


@dataclass
class Use:
    """What the people got."""

    seconds: list[float] = field(default_factory=list)
    failures: int = 0


def use(host: str, people: Sequence[str], seconds: float) -> Use:
    """Let each look at one map after the other for so long."""
    found, deadline = Use(), time.monotonic() + seconds

    def look(number: int, address: str) -> None:
        count = number
        while time.monotonic() < deadline:
            began = time.monotonic()
            if is_drawn(host, address, {**request(count), **TABLET}):
                found.seconds.append(time.monotonic() - began)
            else:
                found.failures += 1
            count += len(people)
            time.sleep(PAUSE_SECONDS)

    with ThreadPoolExecutor(len(people)) as pool:
        for client in [pool.submit(look, *person) for person in enumerate(people)]:
            client.result()
    return found


def is_drawn(host: str, address: str, parameters: Json) -> bool:
    """Ask for a map, and tell whether it came."""
    connection = connect(host, address)
    try:
        connection.request("GET", f"{PATH}?{urlencode(parameters)}")
        answer = connection.getresponse()
        answer.read()
    except OSError:
        return False
    finally:
        connection.close()
    return answer.headers.get("Content-Type") == "image/png"


# The attacker ---------------------------------------------------------------------------------------------------------


class Attack:
    """What one address does to the server, again and again until the end."""

    def __init__(self, host: str, address: str) -> None:
        self.told: Counter[str] = Counter()
        self._host, self._address = host, address
        self._end = threading.Event()

    @contextmanager
    def going_on(self) -> Iterator[Attack]:
        """Attack until the block ends."""
        works: list[Callable[[], None]] = [self._draw] * DRAWINGS + [self._send] * BODIES + [self._open, self._leave]
        threads = [threading.Thread(target=self._repeat, args=(work,), daemon=True) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._end.set()

    def _repeat(self, work: Callable[[], None]) -> None:
        while not self._end.is_set():
            try:
                work()
            except OSError as error:
                self.told[type(error).__name__] += 1

    def _draw(self) -> None:
        connection = connect(self._host, self._address)
        try:
            connection.request("GET", HUGE)
            answer = connection.getresponse()
            answer.read()
            self.told[f"picture: {answer.status}"] += 1
        finally:
            connection.close()

    def _leave(self) -> None:
        connection = connect(self._host, self._address)
        connection.request("GET", HUGE)
        connection.close()
        self.told["picture that nobody waits for"] += 1
        self._end.wait(LEAVES_EVERY_SECONDS)

    def _send(self) -> None:
        connection = connect(self._host, self._address)
        try:
            connection.request("POST", PATH, iter([bytes(MB)] * BODY_MB), {"Content-Length": str(BODY_MB * MB)})
            self.told[f"body: {connection.getresponse().status}"] += 1
        finally:
            connection.close()

    def _open(self) -> None:
        with ExitStack() as opened:
            for _ in range(HALF_OPEN):
                begun = socket.create_connection((self._host, 8080), PATIENCE_SECONDS, (self._address, 0))
                opened.enter_context(begun).sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            self.told["half-open"] += HALF_OPEN
            # Until the server ends them.
            begun.recv(1)


# The container --------------------------------------------------------------------------------------------------------


def processes_of(container: Any) -> set[str]:
    """Give the numbers of its processes but those that only wait for a while, or look at its health."""
    rows = container.top(ps_args="-eo pid,comm")["Processes"]
    lasting = re.compile("s6-|haproxy|nginx|php-fpm|multiwatch|qgis_mapserv")
    return {number for number, name in rows if lasting.match(name)}


def oom_kills(container: Any) -> int:
    """Give how many of its processes the kernel ended for want of memory, by control groups of version 2 or 1."""
    files = "/sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control"
    _, output = container.exec_run(["sh", "-c", f"cat {files} 2> /dev/null"])
    found = re.search(r"^oom_kill (\d+)$", output.decode(), re.MULTILINE)
    if not found:
        raise BenchError("The kernel does not count what it ends for want of memory.")
    return int(found[1])


def log_bytes(container: Any) -> int:
    """Give how much it has written to its log."""
    return len(container.logs())


def state_bytes(container: Any) -> int:
    """Give the size of Lizmap's state."""
    (state,) = (mount["Source"] for mount in container.attrs["Mounts"] if mount["Destination"] == "/srv/lizmap")
    return sum(path.stat().st_size for path in Path(state).rglob("*") if path.is_file())


def table(report: Json) -> str:
    """Give the figures as a table in Markdown."""
    alone, attacked = report["honest_p95_alone_s"], report["honest_p95_under_attack_s"]
    ratio = attacked / alone
    return (
        "| | alone | under attack | thirty tablets of one address |\n|---|---|---|---|\n"
        f"| 95 % of the maps within | {alone} s | {attacked} s | {report['school_p95_s']} s |\n"
        f"| maps | {report['honest_maps_alone']} | {report['honest_maps_under_attack']} | {report['school_maps']} |\n\n"
        f"{ratio:.1f} times as long: the goal, less than {GOAL:g}, is {'met' if ratio < GOAL else 'not met'}. "
        f"{report['honest_failures']} maps failed, {report['restarts']} processes ended, {report['oom_kills']} of them "
        f"for want of memory; a day of it would write {report['card_bytes_per_hostile_day'] / MB:.0f} MB at most."
    )


if __name__ == "__main__":
    sys.exit(main())
