"""What containers may reach, and what of a Pi may be reached from outside. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.poppyfield.host.firewall import LARGEST_PORT, address_problem, port_problem
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown


def findings(host: Host) -> Iterator[Finding]:
    """Give what is wrong."""
    for place in host.values["lizmap_may_reach"]:
        yield from _address("lizmap_may_reach", place["address"], place)
        if place.get("port") is not None:
            yield from _port("lizmap_may_reach", place["port"], place)
    for opening in host.values["hardening_firewall_open"]:
        yield from _port("hardening_firewall_open", opening["port"], opening)
        if opening.get("source"):
            yield from _address("hardening_firewall_open", opening["source"], opening)


def _address(variable: str, address: str, entry: Mapping[str, Any]) -> Iterator[Finding]:
    if problem := address_problem(address):
        remedy = "Give the address of the computer, since a firewall knows no names"
        yield Finding(variable, problem, remedy, shown(entry))


def _port(variable: str, port: int, entry: Mapping[str, Any]) -> Iterator[Finding]:
    if problem := port_problem(port):
        yield Finding(variable, problem, f"Give a number between 1 and {LARGEST_PORT}", shown(entry))
