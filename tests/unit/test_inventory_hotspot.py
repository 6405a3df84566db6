"""A Wi-Fi of the Pi's own is judged before anything is changed on a Pi."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.inventory_of import problems, told

ON = {"hotspot_enabled": True, "hotspot_country": "FR"}


def test_it_is_off_and_needs_no_more_than_a_country() -> None:
    assert told() == [] and told(hotspot_channel=0) == []
    assert told(**ON) == []
    assert told(**ON, hotspot_open=True) == told(**ON, hotspot_password="correct horse", hotspot_channel=36) == []


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"hotspot_country": ""}, "hotspot_country"),
        ({"hotspot_country": "fr"}, "hotspot_country"),
        ({"hotspot_country": "00"}, "hotspot_country"),
        ({"hotspot_channel": 14}, "hotspot_channel"),
        ({"hotspot_channel": 52}, "hotspot_channel"),
        ({"hotspot_interface": "wlan0\n"}, "hotspot_interface"),
        ({"hotspot_interface": "wlan0; x"}, "hotspot_interface"),
        ({"hotspot_ssid": "é" * 17}, "hotspot_ssid"),
        ({"hotspot_network": "10.0.0.0/8"}, "hotspot_network"),
        ({"hotspot_password": "seven77"}, "hotspot_password"),
        ({"hotspot_password": "x" * 64}, "hotspot_password"),
        ({"hotspot_password": "correct horse", "hotspot_open": True}, "hotspot_open"),
        ({"lizmap_port": 8080}, "lizmap_port"),
        ({"lizmap_bind_address": "192.168.1.7"}, "lizmap_bind_address"),
    ],
)
def test_what_cannot_be_is_told(given: dict[str, Any], variable: str) -> None:
    (found,) = problems(**{**ON, **given})
    assert found.finding.variable == variable and found.finding.remedy


def test_a_password_is_not_shown() -> None:
    assert "seven77" not in problems(**ON, hotspot_password="seven77")[0].sentence
