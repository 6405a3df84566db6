"""A GPS receiver and a clock with a battery are judged before anything is changed on a Pi."""

from __future__ import annotations

import pytest

from tests.unit.inventory_of import told


def test_it_is_off_and_goes_with_a_receiver_of_any_kind() -> None:
    assert told() == []
    for device in (
        "/dev/ttyACM0",
        "/dev/serial0",
        "/dev/serial/by-id/usb-u-blox_AG_-_www.u-blox.com_u-blox_7_-_GPS_GNSS_Receiver-if00",
    ):
        assert told(position_enabled=True, position_device=device, position_rtc="ds3231") == []


def test_it_needs_a_receiver() -> None:
    assert told(position_enabled=True) == ["position_device: position_enabled needs a receiver"]


@pytest.mark.parametrize(
    "device", ["ttyACM0", "/dev", "/dev/", "/dev/../etc/passwd", '/dev/a"b', "/dev/a b", "/dev/a\n"]
)
def test_a_receiver_is_a_device(device: str) -> None:
    assert [line.partition(": ")[2] for line in told(position_enabled=True, position_device=device)] == [
        "it is no device below /dev"
    ]


def test_a_clock_is_one_that_the_overlay_knows_and_belongs_to_the_rest() -> None:
    on = {"position_enabled": True, "position_device": "/dev/serial0"}
    assert [line.partition(": ")[2] for line in told(**on, position_rtc="ds3132")] == [
        "the overlay i2c-rtc knows no such clock"
    ]
    assert [line.partition(": ")[2] for line in told(position_rtc="ds3231")] == ["it needs position_enabled"]
