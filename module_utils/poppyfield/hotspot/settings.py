"""What a Pi's own Wi-Fi is to be, and what NetworkManager, dnsmasq and systemd read for it. Pure."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.module_utils.poppyfield.hotspot import names

PROFILE = "poppyfield-hotspot"
UNIT = f"{PROFILE}.service"
UUIDS = tuple(str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{PROFILE}-{number}")) for number in (1, 2))
"""By which NetworkManager knows the profile. One that is on trial has the other one: what is in use stays as it is."""
PRIORITY = 100
"""Before profiles by which the same adapter would join another Wi-Fi."""

CHANNELS = {"bg": tuple(range(1, 14)), "a": (36, 40, 44, 48, 149, 153, 157, 161, 165)}
"""By NetworkManager's name of a band. Of those of 5 GHz on which radar has precedence, none."""
LONGEST_SSID = 32
"""Bytes."""
PASSWORD_LENGTHS = (8, 63)
"""WPA2's; 64 characters would be the key itself."""
PREFIXES = (22, 28)
"""A network with room for thirteen devices at least, and for no more than anybody remembers something of."""
DEFAULT_NETWORK = "10.77.77.0/24"
"""That of the role, for those to whom it is not given."""
LEASE = "12h"
VARIABLES = frozenset({"hotspot_enabled", "hotspot_network"})


@dataclass(frozen=True)
class Hotspot:
    """A Wi-Fi that a Pi is to have."""

    interface: str
    country: str
    """ISO 3166, in two capital letters: what may be sent on which channel."""
    ssid: str
    channel: int
    network: str
    """As in 10.77.77.0/24."""
    password: str = field(default="", repr=False)
    """Empty, the Wi-Fi is open."""

    @property
    def address(self) -> str:
        """Give the Pi's address, the first of the network."""
        return address_of(self.network)


def address_of(network: str) -> str:
    """Give the Pi's address in a network."""
    return str(_network(network).network_address + 1)


def _network(text: str) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(text)


def names_of(network: str) -> tuple[str, ...]:
    """Give the names under which the map is served in a network; of one that is none, the name alone."""
    return (names.MAP,) if network_problem(network) else (names.MAP, address_of(network))


def of_host(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give `network` and `names` of the Wi-Fi that a host is to have by its VARIABLES; empty ones where it has none."""
    if not boolean(values.get("hotspot_enabled", False), strict=False):
        return {"network": "", "names": []}
    network = str(values.get("hotspot_network", DEFAULT_NETWORK))
    return {"network": network, "names": list(names_of(network))}


def band_of(channel: int) -> str:
    """Give NetworkManager's name of a channel's band; empty for a channel that no hotspot may have."""
    return next((band for band, channels in CHANNELS.items() if channel in channels), "")


def ssid_problem(ssid: str) -> str:
    """Say what is wrong with a name; empty when nothing is."""
    if not ssid or not ssid.isprintable():
        return "it is empty, or has characters that nobody sees"
    size = len(ssid.encode("utf-8", "surrogatepass"))
    return f"it has {size} bytes, and a Wi-Fi's name has at most {LONGEST_SSID}" if size > LONGEST_SSID else ""


def password_problem(password: str) -> str:
    """Say what is wrong with a password, of which nothing is told; empty when nothing is."""
    least, most = PASSWORD_LENGTHS
    if not least <= len(password) <= most:
        return f"it has {len(password)} characters, and WPA2 takes {least} to {most}"
    is_plain = password.isascii() and password.isprintable()
    return "" if is_plain else "it has other characters than those of ASCII, which devices take in different ways"


def network_problem(text: str) -> str:
    """Say what is wrong with a network; empty when nothing is."""
    try:
        network = _network(text)
    except ValueError:
        return "it is no network of IPv4, as 10.77.77.0/24"
    least, most = PREFIXES
    if not network.is_private or not least <= network.prefixlen <= most:
        return f"it is no private network of /{least} to /{most}, as 10.77.77.0/24"
    return "it holds the address of the names that devices look for" if overlaps(text, f"{names.OUTSIDE}/32") else ""


def overlaps(one: str, other: str) -> bool:
    """Tell whether two networks of IPv4 have addresses in common."""
    return _network(one).overlaps(ipaddress.IPv4Network(other, strict=False))


def profile(hotspot: Hotspot, number: str, *, on_trial: bool = False) -> str:
    """Give the profile, of one of the UUIDS, as NetworkManager's keyfile. One that is on trial begins by no chance.

    Nothing in it names the adapter but its interface, so that a card can go into another Pi.
    """
    lines = [
        "# Managed by Poppyfield.",
        *("[connection]", f"id={PROFILE}", f"uuid={number}", "type=wifi", f"interface-name={hotspot.interface}"),
        # For ever: a Pi without it is a Pi that nobody reaches.
        *(["autoconnect=false"] if on_trial else [f"autoconnect-priority={PRIORITY}", "autoconnect-retries=0"]),
        "",
        *("[wifi]", "mode=ap", f"ssid={_bytes(hotspot.ssid)}"),
        *(f"band={band_of(hotspot.channel)}", f"channel={hotspot.channel}", "powersave=2", ""),
        *_security(hotspot.password),
        # Not `shared`, which would hide all devices behind one address.
        *("[ipv4]", "method=manual", f"address1={hotspot.address}/{_network(hotspot.network).prefixlen}"),
        *(f"address2={names.OUTSIDE}/32", "never-default=true", ""),
        *("[ipv6]", "method=disabled"),
    ]
    return "".join(f"{line}\n" for line in lines)


def _security(password: str) -> Iterator[str]:
    if password:
        # pmf=1 is off: with it, adapters of trixie start no access point.
        yield from ("[wifi-security]", "key-mgmt=wpa-psk", "proto=rsn;", "pairwise=ccmp;", "group=ccmp;", "pmf=1")
        yield from (f"psk={_escaped(password)}", "")


def _bytes(text: str) -> str:
    """Give a name as numbers, which nothing can be taken for."""
    return "".join(f"{number};" for number in text.encode("utf-8", "surrogatepass"))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(" ", "\\s")


def name_server(hotspot: Hotspot, leases: str) -> str:
    """Give the settings of dnsmasq, which knows no other names than these, and asks nobody."""
    network = _network(hotspot.network)
    first, last = network.network_address + 2, network.broadcast_address - 1
    lines = [
        "# Managed by Poppyfield.",
        # By its addresses, which are there with the hotspot alone: the same adapter may be in another Wi-Fi meanwhile.
        *(f"listen-address={hotspot.address}", f"listen-address={names.OUTSIDE}", "bind-dynamic"),
        *("no-hosts", "no-resolv", "no-poll", "keep-in-foreground", "user=dnsmasq", "log-facility=-"),
        # All names are its own, so what is not known does not exist, and of what is known there is nothing else.
        "local=/#/",
        # Somewhere else they lead elsewhere.
        "local-ttl=10",
        *(f"host-record={name},{address}" for name, address in names.records(hotspot.address).items()),
        *("dhcp-authoritative", f"dhcp-leasefile={leases}", f"dhcp-lease-max={network.num_addresses}"),
        f"dhcp-range={first},{last},{network.netmask},{LEASE}",
        *(f"dhcp-option=option:{name},{hotspot.address}" for name in ("router", "dns-server")),
    ]
    return "".join(f"{line}\n" for line in lines)


def number_of(text: str) -> str:
    """Give which of the UUIDS a profile has; the first one where it has none."""
    return next((number for number in UUIDS if f"\nuuid={number}\n" in text), UUIDS[0])


def other_than(number: str) -> str:
    """Give the other one of the UUIDS."""
    return UUIDS[1 - UUIDS.index(number)]
