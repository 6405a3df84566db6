"""What containers may reach, and what may reach a Pi, is judged before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.inventory_of import told

OFFICE = {"address": "10.1.2.3", "port": 443}


@pytest.mark.parametrize(
    "place", [{"address": "10.0.0.0/8"}, OFFICE, {"address": "fd00::/8"}, {"address": "10.1.2.3", "protocol": "udp"}]
)
def test_addresses_and_networks_may_be_reached(place: dict[str, Any]) -> None:
    assert told(lizmap_may_reach=[place]) == []


def test_a_firewall_knows_no_names() -> None:
    (problem,) = told(lizmap_may_reach=[OFFICE, {"address": "wms.example.org"}])
    assert problem.startswith("lizmap_may_reach: wms.example.org is no IP address")


@pytest.mark.parametrize("port", [0, 70_000])
def test_a_port_is_one(port: int) -> None:
    assert told(lizmap_may_reach=[{**OFFICE, "port": port}]) == [f"lizmap_may_reach: {port} is no port"]
    assert told(hardening_firewall_open=[{"port": port}]) == [f"hardening_firewall_open: {port} is no port"]


def test_a_port_is_opened_for_everybody_or_for_a_network() -> None:
    assert told(hardening_firewall_open=[{"port": 8000}, {"port": 53, "protocol": "udp", "source": "fd00::/8"}]) == []
    (problem,) = told(hardening_firewall_open=[{"port": 8000, "source": "my-laptop"}])
    assert problem.startswith("hardening_firewall_open: my-laptop is no IP address")
