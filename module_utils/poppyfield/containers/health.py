"""What healthy means, and waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from ansible.module_utils.poppyfield.containers.engine import EngineGoneError
from ansible.module_utils.poppyfield.containers.spec import Json
from ansible.module_utils.poppyfield.host.printable import printable

Answer = TypeVar("Answer")
POLL_SECONDS = 1.0
HOPELESS = 3
"""The exit code of a health check that found what no waiting mends."""
REMEDIES = {
    "runc: exec format error": (
        "A file of Docker itself is damaged, as by a loss of power. On this host: sudo apt-get install --reinstall "
        "runc containerd docker.io (with Docker's own packages: containerd.io docker-ce)."
    ),
    "exec format error": "The image is for another kind of processor than this host has: build it for this one.",
    "no space left on device": "A disk of this host is full: free some space on it.",
    "port is already allocated": "Another container has this port: stop it, or choose another port.",
    "address already in use": "Another program has this port: stop it, or choose another port.",
}
"""What the kernel and Docker say of a host on which nothing can start, and what helps."""


class Verdict(StrEnum):
    """What one look at a container says."""

    HEALTHY = "healthy"
    WAITING = "waiting"
    DEAD = "dead"


@dataclass(frozen=True)
class Health:
    """A verdict and, where it is not good, why."""

    verdict: Verdict
    why: str = ""


def judge(container: Json | None) -> Health:
    """Judge what `docker inspect` says of a container that was just started.

    A first restart already means that its process ended by itself, so waiting longer would only hide why.
    """
    if container is None:
        return Health(Verdict.DEAD, "it no longer exists")
    state = container["State"]
    ended = "its process ended" + (f" with code {state['ExitCode']}" if state.get("ExitCode") else "")
    if container.get("RestartCount") or state.get("Restarting"):
        return Health(Verdict.DEAD, f"{ended} and Docker restarts it")
    if not state.get("Running"):
        reason = printable(str(state.get("Error") or ended))
        return Health(Verdict.DEAD, "it ran out of memory" if state.get("OOMKilled") else reason)
    if state.get("Paused"):
        # Whoever froze it may let it go on; if nobody does, the time runs out.
        return Health(Verdict.WAITING, "it is paused")
    status = (state.get("Health") or {}).get("Status", "none")
    if status in ("healthy", "none"):
        return Health(Verdict.HEALTHY)
    said = last_words(state)
    why = f"its health check says {status}" + (f": {said}" if said else "")
    return Health(Verdict.DEAD if is_hopeless(state) else Verdict.WAITING, why)


def is_hopeless(state: Json) -> bool:
    """Tell whether the last health check said so. Docker keeps those from before the last start."""
    probe = _last_probe(state)
    return probe.get("ExitCode") == HOPELESS and _moment(probe["Start"]) >= _moment(state["StartedAt"])


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def last_words(state: Json) -> str:
    """Give the end of what the last health check of a container's state printed, fit to be shown."""
    return printable(str(_last_probe(state).get("Output", ""))).strip()[-500:]


def _last_probe(state: Json) -> Json:
    return dict(((state.get("Health") or {}).get("Log") or [{}])[-1])


def remedy(said: str) -> str:
    """Give what helps against what is said, where that is known; otherwise nothing."""
    return next((remedy for words, remedy in REMEDIES.items() if words in said.lower()), "")


def wait(
    look: Callable[[], Json | None],
    seconds: float,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    restarts_allowed: int = 0,
) -> Health:
    """Look until the container is healthy, has died, or the time is up.

    `restarts_allowed` is how often a container that runs already was restarted before anybody waited for it.
    """
    deadline = clock() + seconds
    while True:
        seen = look()
        if seen is not None and 0 < int(seen.get("RestartCount") or 0) <= restarts_allowed:
            seen = {**seen, "RestartCount": 0}
        health = judge(seen)
        if health.verdict is not Verdict.WAITING:
            return health
        if clock() >= deadline:
            return Health(Verdict.WAITING, f"it was not healthy after {seconds:.0f} seconds: {health.why}")
        sleep(POLL_SECONDS)


def once_engine_answers(
    ask: Callable[[], Answer], seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Answer:
    """Ask an engine that may be restarting until it answers; raise EngineGoneError when these seconds are over."""
    deadline = clock() + seconds
    while True:
        try:
            return ask()
        except EngineGoneError:
            if clock() >= deadline:
                raise
            sleep(POLL_SECONDS)
