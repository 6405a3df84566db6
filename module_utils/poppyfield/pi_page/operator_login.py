"""The password of the operator's page: what of it is kept on the Pi, and how often somebody may guess it. Pure."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

LEAST_LENGTH = 12
LONGEST = 200
KIND = "scrypt-14-8-1"
SALT_BYTES = 16
FREE_GUESSES = 5
SECONDS_A_GUESS = 12.0
"""As for Lizmap's log-in: after the free ones, one is free again each twelve seconds."""
MOST_ADDRESSES = 4096
"""So many are remembered: those who guessed last."""


def _digest(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1, maxmem=64 * 1024**2).hex()


def kept(password: str, before: str, random: Callable[[int], bytes]) -> str:
    """Give what is kept of a password: what was kept before, where it is of the same one."""
    if is_right(password, before):
        return before
    salt = random(SALT_BYTES)
    return f"{KIND}:{salt.hex()}:{_digest(password, salt)}\n"


def is_right(password: str, line: str) -> bool:
    """Tell whether this is the password of which a line was kept; of a line that can't be understood none is."""
    kind, _, rest = line.strip().partition(":")
    salt, _, digest = rest.partition(":")
    try:
        raw = bytes.fromhex(salt)
        bytes.fromhex(digest)
    except ValueError:
        return False
    if kind != KIND or len(raw) != SALT_BYTES or len(password) > LONGEST:
        return False
    return hmac.compare_digest(_digest(password, raw), digest)


@dataclass
class Guesses:
    """The wrong passwords of each address. Addresses are counted, not the page: nobody can lock the operator out."""

    _spent: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By address how many guesses were spent, as of which moment."""

    def wait(self, address: str, now: float) -> float:
        """Give how many seconds an address has to wait until it may guess again."""
        return max(0.0, (self._left(visitor(address), now) - FREE_GUESSES + 1) * SECONDS_A_GUESS)

    def wrong(self, address: str, now: float) -> None:
        """Note a wrong one."""
        who = visitor(address)
        spent = self._left(who, now) + 1
        self._spent.pop(who, None)
        self._spent[who] = (spent, now)
        while len(self._spent) > MOST_ADDRESSES:
            del self._spent[next(iter(self._spent))]

    def _left(self, who: str, now: float) -> float:
        spent, moment = self._spent.get(who, (0.0, now))
        return max(0.0, spent - (now - moment) / SECONDS_A_GUESS)


def visitor(address: str) -> str:
    """Give what is counted: an address, or of IPv6 the network, since each visitor has a whole one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(ipaddress.ip_network(f"{found}/64", strict=False))
