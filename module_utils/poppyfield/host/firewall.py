"""Our rules in the firewall of a host: what containers may reach, and what of the host may be reached. Pure.

A policy has under `containers`, for each of them, its bridge, the hardware addresses under which it sends, and the
places that it may reach, and, where a port of it is for some networks only, that port and these; under `host`, where
that is asked for, what may be reached from outside; and under `hotspot` the interface of a Wi-Fi of the host's own, of
which nothing is passed on. The rules stand in chains of our own. They only take away: what they let pass goes on to
everybody else's rules.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = dict[str, Any]

CONTAINERS = "POPPYFIELD-CONTAINERS"
HOST = "POPPYFIELD-HOST"
ROUTED = "POPPYFIELD-ROUTED"
CROWDS = "POPPYFIELD-CROWDS"
"""Counts connections by address, and so must be asked once for each; ROUTED is asked twice."""
HOTSPOT = "POPPYFIELD-HOTSPOT"
FOR_SOME = "POPPYFIELD-FOR-SOME"
"""How the names of chains begin of ports that are published to some networks only; the port follows."""
FORWARDING = ("FORWARD", "DOCKER-USER")
"""When it starts, Docker puts its rules before all others of FORWARD, but for those in DOCKER-USER; where a firewall
was set up again, nothing leads to the latter until Docker starts."""
DOCKER_BRIDGES = ("docker0", "br-+")
VERSIONS = (4, 6)
LARGEST_PORT = 65535
WIDEST_NETWORK = 8
"""The bits that a network has at least, where the whole internet is not meant."""

ESTABLISHED = "-m conntrack --ctstate RELATED,ESTABLISHED"
REJECT = {
    4: "REJECT --reject-with icmp-admin-prohibited",
    6: "REJECT --reject-with icmp6-adm-prohibited",
}
"""So that who asks knows at once, instead of waiting for an answer."""
RESET = "REJECT --reject-with tcp-reset"
EACH = {4: "--connlimit-mask 32 --connlimit-saddr", 6: "--connlimit-mask 128 --connlimit-saddr"}
"""Each address is counted for itself; connections that were ended do not count."""
NEIGHBOURS = {4: (), 6: ("-p ipv6-icmp --icmpv6-type 135", "-p ipv6-icmp --icmpv6-type 136")}
"""Without these IPv6 finds nobody; IPv4 has ARP for it, which no rule sees."""
ALWAYS = {
    4: ("-p icmp", "-p igmp", "-p udp --sport 67 --dport 68", "-d 224.0.0.251 -p udp --dport 5353"),
    6: ("-p ipv6-icmp", "-s fe80::/10 -p udp --dport 546", "-d ff02::fb -p udp --dport 5353"),
}
"""What a host needs to be in a network: errors and neighbours, an address, and its name (mDNS)."""


def hardware_address(name: str) -> str:
    """Give the hardware address of a container of this name, one of those that nobody's device has."""
    digits = hashlib.sha256(name.encode()).hexdigest()[:10]
    return ":".join(("02", *(digits[at : at + 2] for at in range(0, len(digits), 2))))


def with_container(policy: Mapping[str, Any], name: str, entry: Json | None) -> Json:
    """Give the policy with another entry for a container; None takes it away."""
    others = {other: kept for other, kept in (policy.get("containers") or {}).items() if other != name}
    return {**policy, "containers": others if entry is None else {**others, name: entry}}


def with_host(policy: Mapping[str, Any], entry: Json | None) -> Json:
    """Give the policy with another entry for the host; None leaves the host as it is without us."""
    return {
        **{key: kept for key, kept in policy.items() if key != "host"},
        **({} if entry is None else {"host": entry}),
    }


def with_hotspot(policy: Mapping[str, Any], interface: str) -> Json:
    """Give the policy for a host with another Wi-Fi of its own; without an interface it has none."""
    others = {key: kept for key, kept in policy.items() if key != "hotspot"}
    return {**others, **({"hotspot": {"interface": interface}} if interface else {})}


def rules(policy: Mapping[str, Any], version: int) -> str:
    """Give what iptables-restore (version 4) or ip6tables-restore (6) is to read, for the table `filter`."""
    containers = policy.get("containers") or {}
    bridges = sorted({entry["bridge"] for entry in containers.values()})
    # The last jump is on top: what a container sends is judged first as that.
    lines = [
        *_of_host(policy.get("host"), bridges, version),
        *_of_hotspot(policy.get("hotspot"), version),
        *_for_some(containers, version),
        *_of_containers(containers, bridges, version),
    ]
    return "".join(f"{line}\n" for line in lines)


def _of_containers(containers: Mapping[str, Json], bridges: Sequence[str], version: int) -> Iterator[str]:
    if not containers:
        return
    yield f":{CONTAINERS} - [0:0]"
    for match in (ESTABLISHED, *NEIGHBOURS[version]):
        yield f"-A {CONTAINERS} {match} -j RETURN"
    for _, entry in sorted(containers.items()):
        for place in entry["may_reach"]:
            for sender in entry["hardware_addresses"] if _version(place["address"]) == version else ():
                yield f"-A {CONTAINERS} -m mac --mac-source {sender} {_destination(place)} -j RETURN"
    yield f"-A {CONTAINERS} -j {REJECT[version]}"
    for bridge in bridges:
        yield f"-I INPUT -i {bridge} -j {CONTAINERS}"
        for chain in FORWARDING:
            yield f"-I {chain} -i {bridge} ! -o {bridge} -j {CONTAINERS}"


def _for_some(containers: Mapping[str, Json], version: int) -> Iterator[str]:
    """Let only some networks reach a port, as it comes in, and where Docker passes it on or a route leads to it."""
    for _, entry in sorted(containers.items()):
        if not (only := entry.get("only_from")):
            continue
        chain, bridge = f"{FOR_SOME}-{only['port']}", entry["bridge"]
        yield f":{chain} - [0:0]"
        for network in only["networks"]:
            if _version(network) == version:
                yield f"-A {chain} -s {_network(network)} -j RETURN"
        yield f"-A {chain} -j {REJECT[version]}"
        yield f"-I INPUT ! -i lo -p tcp --dport {only['port']} -j {chain}"
        for parent in FORWARDING:
            yield f"-I {parent} ! -i {bridge} -o {bridge} -p tcp --dport {only['container_port']} -j {chain}"


def _of_hotspot(entry: Json | None, version: int) -> Iterator[str]:
    """Pass nothing on between a Wi-Fi of the host's own and other networks, but to ports that containers publish."""
    if not entry:
        return
    yield f":{HOTSPOT} - [0:0]"
    yield f"-A {HOTSPOT} -m conntrack --ctstate DNAT -j RETURN"
    yield f"-A {HOTSPOT} -j {REJECT[version]}"
    for chain in FORWARDING:
        for side in ("-i", "-o"):
            yield f"-I {chain} {side} {entry['interface']} -j {HOTSPOT}"


def _of_host(entry: Json | None, bridges: Sequence[str], version: int) -> Iterator[str]:
    if entry is None:
        return
    inner = [*DOCKER_BRIDGES, *(bridge for bridge in bridges if not bridge.startswith(("docker0", "br-")))]
    yield f":{CROWDS} - [0:0]"
    for chain in (HOST, ROUTED):
        yield f":{chain} - [0:0]"
        for match in (ESTABLISHED, *(f"-i {bridge}" for bridge in inner)):
            yield f"-A {chain} {match} -j RETURN"
    for match in ("-i lo", *ALWAYS[version]):
        yield f"-A {HOST} {match} -j RETURN"
    for opening in entry["open"]:
        if opening["source"] and _version(opening["source"]) != version:
            continue
        match = f"{'-s ' + _network(opening['source']) + ' ' if opening['source'] else ''}-p {opening['protocol']}"
        # A published port is another one inside the container; what was not asked for as a port of the host is none.
        published = f"-m conntrack --ctstate DNAT --ctorigdstport {opening['port']}"
        if (most := opening.get("connections")) and opening["protocol"] == "tcp":
            more = f"--syn -m connlimit --connlimit-above {most} {EACH[version]} -j {RESET}"
            yield f"-A {HOST} {match} --dport {opening['port']} {more}"
            yield f"-A {CROWDS} {match} {published} {more}"
        yield f"-A {HOST} {match} --dport {opening['port']} -j RETURN"
        yield f"-A {ROUTED} {match} {published} -j RETURN"
    for chain in (HOST, ROUTED):
        yield f"-A {chain} -j DROP"
    yield f"-I INPUT -j {HOST}"
    for chain in FORWARDING:
        for bridge in inner:
            yield f"-I {chain} -o {bridge} -j {ROUTED}"
    for bridge in inner:
        yield f"-I {FORWARDING[-1]} -o {bridge} -j {CROWDS}"


def _destination(place: Mapping[str, Any]) -> str:
    port = f" -p {place['protocol']} --dport {place['port']}" if place.get("port") else ""
    return f"-d {_network(place['address'])}{port}"


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


def _version(text: str) -> int:
    return ipaddress.ip_network(text, strict=False).version


def address_problem(text: str) -> str:
    """Say what is wrong with an address or network; empty when nothing is."""
    return "" if is_network(text) else f"{text} is no IP address, and no network as 10.0.0.0/8"


def wide_problem(text: str) -> str:
    """Say what is wrong with a network that is to be one of IPv4, and no wider than a place; empty for none."""
    network = ipaddress.ip_network(text, strict=False)
    if network.version != VERSIONS[0]:
        return f"{text} is a network of IPv6, by which the port is not published"
    return "" if network.prefixlen >= WIDEST_NETWORK else f"{text} is no network of yours, but a part of the internet"


def port_problem(number: int) -> str:
    """Say what is wrong with a port; empty when nothing is."""
    return "" if 1 <= number <= LARGEST_PORT else f"{number} is no port"


def is_network(text: str) -> bool:
    """Tell an IP address, or a network as in 10.0.0.0/8."""
    _, slash, bits = text.partition("/")
    if (slash and not (bits.isascii() and bits.isdigit())) or "%" in text:
        return False
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
