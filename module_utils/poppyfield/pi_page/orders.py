"""The few orders that the operator's page can give to its Pi: fixed words, and what is answered to them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

RESTART_MAP_SERVER = "restart-map-server"
RESTART_DATABASE = "restart-database"
SHUT_DOWN = "shut-down"
SUPPORT = "support"
ORDERS = (RESTART_MAP_SERVER, RESTART_DATABASE, SUPPORT, SHUT_DOWN)
"""All that is taken, in the order in which the page shows them."""
RESTARTS = {RESTART_MAP_SERVER: "lizmap", RESTART_DATABASE: "postgis"}
"""By order the service whose container is restarted."""
END = b"\n"
LONGEST = max(map(len, ORDERS)) + len(END)
"""So many bytes are read, and no more."""
AGAIN_SECONDS = {SUPPORT: 10, **dict.fromkeys((*RESTARTS, SHUT_DOWN), 60)}
"""After so long the same order is taken again."""

ACCEPTED = "accepted"
TOO_SOON = "too_soon"
BUSY = "busy"
MISSING = "missing"
FAILED = "failed"
UNKNOWN = "unknown"
REPLIES = (ACCEPTED, TOO_SOON, BUSY, MISSING, FAILED, UNKNOWN)


def order_of(said: bytes) -> str | None:
    """Give the order that stands there, exactly and alone; None where anything else does."""
    return next((order for order in ORDERS if said == order.encode() + END), None)


def is_too_soon(order: str, given: Mapping[str, float], now: float) -> bool:
    """Tell whether the same order was given a moment ago, in seconds since the host's start."""
    return order in given and 0 <= now - given[order] < AGAIN_SECONDS[order]


def given_of(state: object) -> dict[str, float]:
    """Give when which order was given last, by what was remembered; nothing where that can't be understood."""
    if not isinstance(state, Mapping):
        return {}
    return {order: float(state[order]) for order in ORDERS if isinstance(state.get(order), int | float)}


def reply_of(said: bytes) -> str:
    """Give the helper's reply; one that ended without a word was busy with another order."""
    word = said.decode("ascii", "replace").strip()
    return word if word in REPLIES else FAILED if word else BUSY
