"""What is known of a Pi's position from what gpsd says, what is told of it, and what the clock may believe. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]

VERSION = 1
STALE_AFTER = 10.0
"""Seconds after which a position is an earlier one, and a receiver that says nothing is none."""
ROLLOVER = timedelta(weeks=1024)
"""GPS counts weeks up to here: a receiver may be wrong by as much."""
HAS_FIX = (2, 3)
"""Modes of gpsd in which there is a position, without and with an altitude."""

FIX = "fix"
NO_FIX = "no fix"
NO_RECEIVER = "no receiver"
SAID: Mapping[str, Mapping[str, str]] = {
    "en": {
        FIX: "The Pi knows where it is.",
        NO_FIX: "The Pi's GPS receiver has no fix: put it under the open sky, the first time takes minutes.",
        NO_RECEIVER: "No GPS receiver answers on this Pi: is it plugged in, and is position_device the right one?",
        "refused": "Its date is not believed, and does not set the clock: it is not of the time since this Pi was "
        "set up (week rollover).",
    },
    "fr": {
        FIX: "Le Pi sait où il est.",
        NO_FIX: "Le récepteur GPS du Pi n'a pas de position : placez-le à ciel ouvert, la première fois prend des "
        "minutes.",
        NO_RECEIVER: "Aucun récepteur GPS ne répond sur ce Pi : est-il branché, et position_device est-il le bon ?",
        "refused": "Sa date n'est pas crue et ne règle pas l'horloge : elle n'est pas postérieure à l'installation de "
        "ce Pi (retour à zéro des semaines).",
    },
}


@dataclass(frozen=True)
class PiFix:
    """A position that the receiver has told."""

    latitude: float
    longitude: float
    """Degrees, WGS 84."""
    accuracy_m: float | None
    """How far it may be off, by gpsd's estimate."""
    time: datetime | None
    """As the receiver has it, whatever that is."""
    heard: float
    """Seconds of a clock that nobody sets."""


@dataclass(frozen=True)
class Receiver:
    """What is known of the receiver."""

    heard: float | None = None
    """When it last said something, as for a fix; None where gpsd does not answer, or nothing has come."""
    fix: PiFix | None = None
    """The last one."""


@dataclass(frozen=True)
class ClockSample:
    """How far the system's clock was off, for chrony."""

    seconds: int
    microseconds: int
    """When it was so, by the system's clock."""
    offset: float
    """Seconds that are to be added to it."""


def heard(receiver: Receiver, message: Mapping[str, Any], now: float) -> Receiver:
    """Give what is known after a message of gpsd. One that is not understood says nothing."""
    if message.get("class") not in ("TPV", "SKY"):
        return receiver
    found = replace(receiver, heard=now)
    fix = _fix(message, now)
    if fix is None:
        return found
    before = receiver.fix
    if before and before.time and before.time == fix.time:
        # gpsd tells a second twice, the second time with its accuracy; a receiver that stands still tells it for ever.
        fix = replace(fix, heard=before.heard)
    return replace(found, fix=fix)


def _fix(message: Mapping[str, Any], now: float) -> PiFix | None:
    latitude, longitude = _number(message.get("lat"), 90), _number(message.get("lon"), 180)
    if message.get("mode") not in HAS_FIX or latitude is None or longitude is None:
        return None
    return PiFix(latitude, longitude, _accuracy(message), _time(message.get("time")), now)


def _number(value: object, most: float) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) <= most else None  # type: ignore[arg-type]


def _accuracy(message: Mapping[str, Any]) -> float | None:
    horizontal, *sides = (_number(message.get(name), 1e6) for name in ("eph", "epx", "epy"))
    if horizontal is None and None not in sides:
        horizontal = math.hypot(*(side for side in sides if side is not None))
    return horizontal


def _time(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else None


def is_believed(time: datetime, not_before: datetime) -> bool:
    """Tell a date that can be right: not before this Pi was set up, nor as long after that as GPS can be wrong."""
    return not_before <= time < not_before + ROLLOVER


def state(receiver: Receiver, now: float) -> str:
    """Give the state in a word or two."""
    if receiver.heard is None or now - receiver.heard > STALE_AFTER:
        return NO_RECEIVER
    return FIX if receiver.fix and now - receiver.fix.heard <= STALE_AFTER else NO_FIX


def told(receiver: Receiver, name: str, now: float, not_before: datetime) -> Json:
    """Give what /position says. Its keys are always the same; what is not known is None.

    `state` says how it is now; the position is the last one, `age_s` seconds old, and `stale` when that is too long.
    """
    fix, now_is = receiver.fix, state(receiver, now)
    refused = bool(fix and fix.time and not is_believed(fix.time, not_before))
    sentences = {
        language: " ".join([said[now_is], *([said["refused"]] if refused else [])]) for language, said in SAID.items()
    }
    found: Json = {"version": VERSION, "pi": name, "state": now_is, "said": sentences}
    if fix is None:
        nothing = dict.fromkeys(("latitude", "longitude", "accuracy_m", "time", "age_s", "date_refused"))
        return {**found, **nothing, "stale": False}
    age, time = now - fix.heard, fix.time and fix.time.astimezone(UTC).isoformat(timespec="seconds")
    return {
        **found,
        "latitude": round(fix.latitude, 7),
        "longitude": round(fix.longitude, 7),
        "accuracy_m": fix.accuracy_m and round(fix.accuracy_m, 1),
        "time": None if refused else time,
        "age_s": round(age, 1),
        "stale": age > STALE_AFTER,
        "date_refused": time if refused else None,
    }


def clock_sample(
    receiver: Receiver, message: Mapping[str, Any], now: float, not_before: datetime
) -> ClockSample | None:
    """Give what a message says of the system's clock; nothing without a fix, or for a date that is not believed.

    gpsd says in TOFF what the receiver's clock was when the system's was what it also says.
    """
    if message.get("class") != "TOFF" or state(receiver, now) != FIX:
        return None
    names = ("real_sec", "real_nsec", "clock_sec", "clock_nsec")
    real, real_ns, clock, clock_ns = (message.get(name) for name in names)
    if not all(isinstance(value, int) and 0 <= value < 2**40 for value in (real, real_ns, clock, clock_ns)):
        return None
    try:
        time = datetime.fromtimestamp(real, UTC)  # type: ignore[arg-type]  # whole numbers, as just seen
    except (ValueError, OverflowError, OSError):
        return None
    if not is_believed(time, not_before):
        return None
    offset = (real - clock) + (real_ns - clock_ns) / 1e9  # type: ignore[operator]
    return ClockSample(clock, clock_ns // 1000, offset)  # type: ignore[arg-type,operator]
