"""A host's lock for a whole run, so that two operators do not put each other's release back.

It is a file that names who holds it. A run makes many modules, so that no process could hold a lock over all of them:
each of them renews it instead. It ends with the run, or a while after its last sign, or when the host restarts.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.host import own_folder
from ansible.module_utils.poppyfield.host.locked_folder import locked_folder
from ansible.module_utils.poppyfield.host.own_folder import NotOwnFolderError
from ansible.module_utils.poppyfield.host.printable import printable

Json = dict[str, Any]

FOLDER = Path("/run/poppyfield")
"""A new one after each start of the host."""
NAME = "run.json"
LEASE_SECONDS = 30 * 60
"""Since the last sign of a run: a laptop may build images for so long between two looks at a Pi."""
MOST_BYTES = 4096
MOST_WORDS = 80
TAKE_OVER = "take_lock"
"""The variable that takes the lock of another run over."""

OPTION: Json = {
    "type": "dict",
    "options": {
        "by": {"type": "str", "default": ""},
        "playbook": {"type": "str", "default": ""},
        "commit": {"type": "str", "default": ""},
        "machine": {"type": "str", "required": True},
        "process": {"type": "str", "required": True},
        "living": {"type": "list", "elements": "str", "default": []},
        "take_over": {"type": "bool", "default": False},
    },
}
"""The option `run` of modules that take or renew the lock, and tell the trail who did what."""
KEPT = ("by", "playbook", "commit", "machine", "process")


class LockError(Exception):
    """Another run holds the lock, or it can't be kept, in a sentence for the user."""


@dataclass(frozen=True)
class Held:
    """What stands in the lock."""

    machine: str
    process: str
    by: str = ""
    playbook: str = ""
    commit: str = ""
    since: str = ""
    seen: float = 0.0
    """Seconds since the host started, which no clock that is set can change."""

    def is_of(self, run: Mapping[str, Any]) -> bool:
        """Tell whether a run holds it."""
        return (self.machine, self.process) == (run["machine"], run["process"])


# The decision -------------------------------------------------------------------------------------------------------


def refusal(held: Held | None, run: Mapping[str, Any], now: float) -> str:
    """Say why a run must not take the lock; empty where it may."""
    if held is None or held.is_of(run) or run.get("take_over"):
        return ""
    # The same person's laptop knows best whether that run is over.
    # It tells the first module of a run; a later one knows of no other process, nor whether that one is over.
    living = run.get("living") or ()
    if living and held.machine == run["machine"] and held.process not in living:
        return ""
    silent = now - held.seen
    if not 0 <= silent < LEASE_SECONDS:
        return ""
    return (
        f"{held.by or 'Somebody'} has been working on this Pi since {held.since or '?'} "
        f"({held.playbook or 'another playbook'}, last sign {_minutes(silent)} ago). Wait for the end of that run, or "
        f"leave this Pi out with --limit. If you know that it is over, add -e {TAKE_OVER}=true to take the lock over; "
        f"without a sign it ends by itself in {_minutes(LEASE_SECONDS - silent)}."
    )


def renewed(held: Held | None, run: Mapping[str, Any], now: float, clock: float) -> Held:
    """Give what stands in the lock once a run has taken or renewed it."""
    began = datetime.fromtimestamp(clock, UTC).strftime("%Y-%m-%d %H:%M UTC")
    since = held.since if held and held.is_of(run) else began
    return Held(**{name: short(run.get(name)) for name in KEPT}, since=since, seen=now)


def short(value: Any, most: int = MOST_WORDS) -> str:
    """Give what somebody elsewhere wrote as one short line."""
    line = " ".join(printable(str(value or "")[: 4 * most]).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _minutes(seconds: float) -> str:
    whole = max(round(seconds / 60), 1)
    return f"{whole} minute{'' if whole == 1 else 's'}"


def parse(text: str) -> Held | None:
    """Read a lock; None where it says nothing that can be understood."""
    try:
        found = json.loads(text)
        seen = float(found["seen"])
        return Held(**{name: short(found[name]) for name in (*KEPT, "since")}, seen=seen)
    except (KeyError, RecursionError, TypeError, ValueError):
        return None


# The effect ---------------------------------------------------------------------------------------------------------


def take(
    run: Mapping[str, Any] | None,
    *,
    now: Callable[[], float] = time.monotonic,
    clock: Callable[[], float] = time.time,
) -> None:
    """Take or renew the lock for a run; raise LockError where another one has it. Without a run nothing is done."""
    if not run:
        return
    with _alone() as path:
        held, at = _read(path), now()
        if why := refusal(held, run, at):
            raise LockError(why)
        # It need not outlast a loss of power.
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(asdict(renewed(held, run, at, clock()))), encoding="utf-8")
        beside.rename(path)


def let_go(run: Mapping[str, Any] | None) -> None:
    """Remove the lock, if this run still has it."""
    if not run:
        return
    with _alone() as path:
        held = _read(path)
        if held and held.is_of(run):
            path.unlink()


def given_on(run: Mapping[str, Any]) -> Json:
    """Give what the later modules of a run are to be told of it."""
    return {name: run[name] for name in KEPT}


@contextmanager
def alone(by: str, playbook: str) -> Iterator[None]:
    """Hold the lock for what this host does by itself: nobody's release is disturbed, and none begins meanwhile.

    Raises LockError where a run has it.
    """
    run = {"machine": "this Pi", "process": str(os.getpid()), "by": by, "playbook": playbook}
    take(run)
    try:
        yield
    finally:
        let_go(run)


@contextmanager
def _alone() -> Iterator[Path]:
    try:
        own_folder.ensure(FOLDER)
        with locked_folder(FOLDER):
            yield FOLDER / NAME
    except NotOwnFolderError as error:
        raise LockError(str(error)) from error
    except OSError as error:
        raise LockError(
            f"The lock of this run cannot be kept in {FOLDER}: {error.strerror}. Run this as root (become)."
        ) from error


def _read(path: Path) -> Held | None:
    try:
        with path.open("rb") as stream:
            return parse(stream.read(MOST_BYTES).decode("utf-8", "replace"))
    except FileNotFoundError:
        return None
