"""Time, CPU and outage of the contenders, in rounds in which each has its turn, so that noise meets all alike."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from workshop.bench import figures
from workshop.bench.contenders import CONTENDERS, DATABASE, MAP, Contender, Json, Request, image
from workshop.bench.host import Host
from workshop.bench.playbook import BenchError, Task, measure, payloads, play
from workshop.bench.same_container import existing, renew
from workshop.bench.scenarios import Scenario

NO_CHANGE_ROUNDS = 15
CHANGE_ROUNDS = 6
OUTAGE_ROUNDS = 6
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 60


def rotated(number: int) -> list[Contender]:
    """Give the contenders in the order of one round: each goes first as often as the others."""
    first = number % len(CONTENDERS)
    return [*CONTENDERS[first:], *CONTENDERS[:first]]


class Times:
    """Figures of each contender, in the order of the rounds."""

    def __init__(self) -> None:
        self.series: dict[str, list[float]] = {contender.key: [] for contender in CONTENDERS}

    def add(self, contender: Contender, figure: float) -> None:
        """Note one figure."""
        self.series[contender.key].append(figure)


def time_no_change(host: Host, requests: Mapping[str, Request]) -> Json:
    """Time runs that find nothing to do: as tasks of one playbook, and as the module's process alone."""
    renew(host, DATABASE, requests)
    tasks, wall, cpu = Times(), Times(), Times()
    order = [contender for number in range(NO_CHANGE_ROUNDS) for contender in rotated(number)]
    for contender, done in zip(order, play([Task(requests[c.key]) for c in order]), strict=True):
        _expect(done.result, changed=False)
        tasks.add(contender, done.seconds)
    programs = _payloads(host, {key: [request] for key, request in requests.items()}, "same")
    _measure(programs, NO_CHANGE_ROUNDS, wall, cpu, changed=False)
    return {
        "No change: the task in a playbook": figures.summary(tasks.series),
        "No change: the module's process": figures.summary(wall.series),
        "No change: CPU of the module's process": figures.summary(cpu.series),
    }


def time_change(host: Host, requests: Mapping[str, Request], scenario: Scenario) -> Json:
    """Time runs that replace the container, there and back."""
    renew(host, DATABASE, requests)
    wall, cpu = Times(), Times()
    there_and_back = {c.key: [scenario.changed_request(c, requests[c.key]), requests[c.key]] for c in CONTENDERS}
    programs = _payloads(host, there_and_back, scenario.key)
    _measure(programs, CHANGE_ROUNDS, wall, cpu, changed=True)
    return {
        "One changed setting: the module's process": figures.summary(wall.series),
        "One changed setting: CPU of the module's process": figures.summary(cpu.series),
    }


def time_outage(host: Host, requests: Mapping[str, Request]) -> Json:
    """Ask the map's port all the time while its image is replaced; note the longest time without an answer."""
    renew(host, MAP, requests)
    outages = Times()
    there_and_back = {
        key: [Request(request.module, {**request.arguments, "image": image(behaviour)}) for behaviour in ("b", "a")]
        for key, request in requests.items()
    }
    programs = _payloads(host, there_and_back, "image")
    for number in range(OUTAGE_ROUNDS):
        for contender in rotated(number):
            port = _port_of(existing(host, requests[contender.key].arguments["name"]))
            with answers(port) as moments:
                _expect(measure(programs[contender.key][number % 2]).result, changed=True)
            outages.add(contender, figures.longest_gap(moments))
    return {"New image of the map: nobody answers": figures.summary(outages.series)}


def _measure(programs: Mapping[str, Sequence[Path]], rounds: int, wall: Times, cpu: Times, *, changed: bool) -> None:
    for number in range(rounds):
        for contender in rotated(number):
            program = programs[contender.key][number % len(programs[contender.key])]
            measured = measure(program)
            _expect(measured.result, changed=changed)
            wall.add(contender, measured.seconds)
            cpu.add(contender, measured.cpu_seconds)


def _payloads(host: Host, wanted: Mapping[str, Sequence[Request]], name: str) -> dict[str, list[Path]]:
    """Give the programs of each contender's requests, in their order; all of them were run once."""
    made = iter(payloads([request for series in wanted.values() for request in series], host.scratch(name)))
    return {key: [next(made) for _ in series] for key, series in wanted.items()}


def _expect(result: Json, *, changed: bool) -> None:
    if result.get("failed") or result["changed"] is not changed:
        raise BenchError(f"A timed run was to say changed={changed}: {result.get('msg') or result['changed']}")


def _port_of(container: Json) -> str:
    bindings = container["HostConfig"]["PortBindings"].values()
    return next(str(binding["HostPort"]) for of_port in bindings for binding in of_port)


@contextmanager
def answers(port: str) -> Iterator[list[float]]:
    """Ask a port of this machine again and again; give the moments of its answers, the last one after the end."""
    moments: list[float] = []
    end = threading.Event()
    asking = threading.Thread(target=_ask, args=(f"http://127.0.0.1:{port}/behaviour", moments, end))
    asking.start()
    try:
        wait_until(lambda: bool(moments), "the map answers")
        yield moments
        before = len(moments)
        wait_until(lambda: len(moments) > before, "the map answers again")
    finally:
        end.set()
        asking.join()


def _ask(address: str, moments: list[float], end: threading.Event) -> None:
    while not end.wait(POLL_SECONDS):
        try:
            with urllib.request.urlopen(address, timeout=1) as response:  # noqa: S310 - an address of our own
                response.read()
        except (OSError, HTTPException):
            continue  # nobody there, or it ended in the middle of its answer
        moments.append(time.monotonic())


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that must happen soon."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"Waited for {PATIENCE_SECONDS} seconds in vain until {what}.")
        time.sleep(POLL_SECONDS)
