"""The GPS receiver of a Pi, and its clock with a battery. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown

DEVICE = re.compile(r"/dev/[A-Za-z0-9_][A-Za-z0-9_.:+-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.:+-]*)*")
"""Of a name that udev gives: nothing that a file of settings could take for something else."""
CLOCKS = (
    *("abx80x", "bq32000", "ds1307", "ds1339", "ds1340", "ds3231", "m41t62", "mcp7940x", "mcp7941x", "pcf2127"),
    *("pcf2129", "pcf2131", "pcf85063", "pcf85063a", "pcf8523", "pcf85363", "pcf8563", "rv1805", "rv3028", "rv3032"),
    *("rv8803", "s35390a", "sd3078", "wittypi"),
)
"""What the overlay i2c-rtc of Raspberry Pi OS knows; it says nothing of another name."""


def findings(host: Host) -> Iterator[Finding]:
    """Give what is wrong."""
    device, clock = host.values["position_device"], host.values["position_rtc"]
    if host.values["position_enabled"] and not device:
        yield Finding(
            "position_device",
            "position_enabled needs a receiver",
            "Give its device, such as /dev/serial/by-id/NAME (ls /dev/serial/by-id on the Pi) or /dev/serial0",
        )
    elif device and not DEVICE.fullmatch(device):
        yield Finding("position_device", "it is no device below /dev", "Give one as /dev/ttyACM0", shown(device))
    if clock and clock not in CLOCKS:
        remedy = f"Give one of {', '.join(CLOCKS)}; or nothing, for a Pi 5 with a battery of its own"
        yield Finding("position_rtc", "the overlay i2c-rtc knows no such clock", remedy, shown(clock))
    elif clock and not host.values["position_enabled"]:
        yield Finding(
            "position_rtc", "it needs position_enabled", "Set that to true, or leave this empty", shown(clock)
        )
