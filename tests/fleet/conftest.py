"""The Pis of an inventory, as Ansible reaches them: with its log-ins, jump hosts, vaults and passwords of sudo."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.services import SERVICES, Service
from testinfra.host import Host

AS_IT_IS, RESTARTED = "as it is", "after a restart"
STATES = [AS_IT_IS, RESTARTED] if os.environ.get("POPPYFIELD_VERIFY_RESTART") == "true" else [AS_IT_IS]
RESTART = "reboot_timeout=900"
HEALTHY = """timeout 900 sh -c 'until docker inspect %s | grep -q "\\"Status\\": \\"healthy\\""; do sleep 3; done'"""


@dataclass(frozen=True)
class Pi:
    """A Pi, and what its inventory says of it."""

    host: Host
    name: str
    containers: dict[str, str]
    """By service the name of its container."""
    ports: dict[str, set[str]]
    """By service the ports of the Pi at which it is to be reached."""


@pytest.fixture(scope="module", params=STATES)
def pi(request: pytest.FixtureRequest, host: Host) -> Pi:
    """Return each Pi of the inventory, in each state that was asked for."""
    found = described(host)
    if request.param == RESTARTED:
        host.ansible("ansible.builtin.reboot", RESTART, check=False, become=True)
        for container in found.containers.values():
            host.run_expect([0], HEALTHY, container)
    return found


def described(host: Host) -> Pi:
    """Ask Ansible what the inventory says of a Pi."""
    said = asked(host, {service.name: wanted(service) for service in SERVICES})
    containers = {name: service["container"] for name, service in said.items()}
    ports = {name: {str(port) for port, published in service["ports"] if published} for name, service in said.items()}
    return Pi(host, host.backend.host, containers, ports)


def wanted(service: Service) -> str:
    """Write an expression of Ansible for a service's container and ports; a role's defaults are not known there."""
    ports = ", ".join(
        f"[{port.variable} | default({port.default}), "
        + (f"{port.unless[0]} | default({port.unless[1]!r}) != {port.unless[1]!r}]" if port.unless else "true]")
        for port in service.ports
    )
    return f"{{'container': {service.container_variable} | default('{service.container}'), 'ports': [{ports}]}}"


def asked(host: Host, expressions: dict[str, str]) -> dict[str, Any]:
    """Have Ansible evaluate expressions with the variables of a host, in one process."""
    whole = ", ".join(f"'{name}': {expression}" for name, expression in expressions.items())
    arguments = json.dumps({"msg": f"{{{{ {{{whole}}} }}}}"})
    found: dict[str, Any] = host.ansible("ansible.builtin.debug", arguments, check=False)["msg"]
    return found
