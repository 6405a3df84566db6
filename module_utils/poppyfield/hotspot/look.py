"""Looks at a host's own Wi-Fi: its files, NetworkManager, the kernel and its dnsmasq, for `health`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.hotspot import health, settings
from ansible.module_utils.poppyfield.hotspot.health import HotspotLook
from ansible.module_utils.poppyfield.hotspot.probe import Ask

CONFIGURATION = "etc/poppyfield/hotspot/dnsmasq.conf"
PROFILE = f"etc/NetworkManager/system-connections/{settings.PROFILE}.nmconnection"


@dataclass(frozen=True)
class SetUp:
    """A Wi-Fi as it is set up."""

    interface: str
    address: str
    """The host's own."""
    room: int
    """How many addresses there are to give."""


def set_up(root: Path = Path("/")) -> SetUp | None:
    """Give the Wi-Fi that a host's files ask for; None where they ask for none."""
    served, profile = _text(root / CONFIGURATION), _text(root / PROFILE)
    address = re.search(r"^listen-address=(\S+)$", served, re.MULTILINE)
    if address is None:
        return None
    interface = re.search(r"^interface-name=(.+)$", profile, re.MULTILINE)
    given = re.search(r"^dhcp-range=([^,]+),([^,]+),", served, re.MULTILINE)
    room = settings.size_of((given[1], given[2])) if given else 0
    return SetUp(interface[1] if interface else "", address[1], room)


def look(wanted: SetUp, said_by: Callable[..., str], root: Path = Path("/"), ask: Ask | None = None) -> HotspotLook:
    """Look at a Wi-Fi. `said_by` gives what a command prints, nothing where it is missing or fails.

    With `ask` it is also asked for an address and a name, where it is open and there is somebody to ask.
    """
    properties = ("--get-values", "GENERAL.STATE,GENERAL.CON-UUID")
    known = bool(wanted.interface)
    manager = said_by("nmcli", *properties, "device", "show", wanted.interface) if known else ""
    kernel = said_by("iw", "dev", wanted.interface, "info") if known else ""
    runs = said_by("systemctl", "is-active", settings.UNIT).strip() == "active"
    offers, names = None, None
    if ask and runs and health.is_open(manager, kernel):
        # An adapter that is pulled out meanwhile is told by the next look.
        with suppress(OSError):
            offers, names = ask(wanted.interface, wanted.address)
    leases = len(_text(root / settings.LEASES.lstrip("/")).splitlines())
    return HotspotLook(manager, kernel, runs, leases, wanted.room, offers, names)


def told(
    said_by: Callable[..., str], root: Path = Path("/"), *, expected: bool = False, ask: Ask | None = None
) -> Mapping[str, Any] | None:
    """Give what stack_info tells of the Wi-Fi of a host; None where there is none, and none is expected."""
    wanted = set_up(root)
    return health.told(health.codes(look(wanted, said_by, root, ask) if wanted else None, expected=expected))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
