"""Whether a host can have a Wi-Fi of its own: what its kernel and NetworkManager say -> problems in sentences. Pure."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.poppyfield.hotspot import names, settings

DNS = 53
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is read, and bound by nobody
DOCKER_POOLS = (
    *("172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/14", "172.24.0.0/14", "172.28.0.0/14"),
    "192.168.0.0/16",
)
"""From where Docker takes networks unless daemon.json says otherwise."""


@dataclass(frozen=True)
class AdapterLook:
    """What was found of an adapter and of the networks around it."""

    manager: bool
    """Whether NetworkManager runs."""
    adapters: tuple[str, ...]
    """The interfaces that send by radio."""
    joined: Mapping[str, str]
    """By interface of the same radio the profile that it is in use by, but for ours."""
    ours: bool
    """Whether our own dnsmasq runs."""
    listening: frozenset[str]
    """Addresses on which somebody answers for names; that for all of them counts as one."""
    routes: Sequence[tuple[str, str]]
    """Networks that the host reaches, each with its interface."""
    pools: Sequence[str]
    """From where Docker takes its networks."""


def problems(found: AdapterLook, wanted: Mapping[str, Any]) -> list[str]:
    """Give every problem; `wanted` has the `interface`, the `network`, and whether it may `leave_wifi`."""
    return [*_adapter(found, wanted), *_names(found, wanted), *_networks(found, wanted)]


def _adapter(found: AdapterLook, wanted: Mapping[str, Any]) -> Iterator[str]:
    interface = wanted["interface"]
    if not found.manager:
        yield (
            "NetworkManager does not run, which opens the Pi's own Wi-Fi (hotspot_enabled). Raspberry Pi OS has it: "
            "sudo raspi-config, Advanced Options, Network Config. Or set hotspot_enabled to false."
        )
    if interface not in found.adapters:
        there = f" There are: {', '.join(found.adapters)}." if found.adapters else " There is none at all."
        yield f"{interface} (hotspot_interface) is no adapter for Wi-Fi.{there} Plug one in, or correct the name."
    for other, profile in [] if wanted["leave_wifi"] else sorted(found.joined.items()):
        yield (
            f"{other} is in use by the profile {profile!r}, and one radio does not carry that and a Wi-Fi of the Pi's "
            f"own. Plug in a second adapter and name it in hotspot_interface, or set hotspot_leave_wifi to true: the "
            f"Pi then leaves that Wi-Fi, and the profile stays."
        )


def _names(found: AdapterLook, wanted: Mapping[str, Any]) -> Iterator[str]:
    own = {settings.address_of(wanted["network"]), names.OUTSIDE}
    if EVERYWHERE in found.listening or (not found.ours and own & found.listening):
        yield (
            f"Another program answers for names on port {DNS} of the addresses that the Pi's own Wi-Fi is to have "
            f"(hotspot_network). sudo ss -lntup 'sport = {DNS}' shows it: stop it, or have it listen elsewhere."
        )


def _networks(found: AdapterLook, wanted: Mapping[str, Any]) -> Iterator[str]:
    network = wanted["network"]
    remedy = "Give another one, as 10.78.78.0/24."
    for route, interface in found.routes:
        if interface != wanted["interface"] and settings.overlaps(network, route):
            yield f"{network} (hotspot_network) has addresses of {route}, which the Pi reaches by {interface}. {remedy}"
    pool = next((pool for pool in found.pools if settings.overlaps(network, pool)), None)
    if pool:
        yield f"{network} (hotspot_network) has addresses of {pool}, from where Docker takes its networks. {remedy}"


# Reading what the host says -----------------------------------------------------------------------------------------


def listening(table: str) -> set[str]:
    """Read /proc/net/tcp, tcp6, udp or udp6: the addresses on which somebody answers for names."""
    found = set()
    for line in table.splitlines()[1:]:
        address, _, port = line.split()[1].rpartition(":")
        # 0A is LISTEN of TCP, 07 is what a socket of UDP is that nobody has connected.
        if int(port, 16) == DNS and line.split()[3] in ("0A", "07"):
            found.add(_address(address))
    return found


def _address(digits: str) -> str:
    """Read an address as this machine has it in memory, four bytes at a time."""
    words = [bytes.fromhex(digits[at : at + 8])[::-1] for at in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(words))
    if isinstance(address, ipaddress.IPv6Address):
        return EVERYWHERE if address == ipaddress.IPv6Address("::") else str(address.ipv4_mapped or address)
    return str(address)


def routes(text: str) -> list[tuple[str, str]]:
    """Read `ip -oneline -4 route show`: networks, each with its interface."""
    found = []
    for line in text.splitlines():
        match = re.match(r"(\d[\d.]*(?:/\d+)?) .*?\bdev (\S+)", line)
        if match:
            found.append((match[1], match[2]))
    return found


def pools(daemon_json: str) -> list[str]:
    """Read from where Docker takes its networks; of a file that cannot be read, others tell."""
    given: Any = None
    with suppress(ValueError, AttributeError):
        given = json.loads(daemon_json).get("default-address-pools")
    if not isinstance(given, list) or not given:
        return list(DOCKER_POOLS)
    return list(_of_version_4(one.get("base") for one in given if isinstance(one, dict)))


def _of_version_4(texts: Iterable[Any]) -> Iterator[str]:
    for text in texts:
        with suppress(ValueError):
            yield str(ipaddress.IPv4Network(str(text), strict=False))


def in_use_by(told: str) -> str:
    """Read what nmcli says of GENERAL.CON-UUID and GENERAL.CONNECTION: a profile that is not ours, or nothing."""
    number, name = (*told.splitlines(), "", "")[:2]
    return "" if number in settings.UUIDS else name
