"""A Wi-Fi of the Pi's own: its name, password, channel and network, and how people reach the map in it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.poppyfield.hotspot import names, settings
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown

COUNTRY = re.compile(r"[A-Z]{2}")
INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
WEB = 80


def findings(host: Host) -> Iterator[Finding]:
    """Give what is wrong."""
    values = host.values
    if not values["hotspot_enabled"]:
        return
    yield from _radio(values)
    yield from _names(values)
    yield from _password(values)
    yield from _map(values)


def _radio(values: Mapping[str, Any]) -> Iterator[Finding]:
    country, channel, interface = (values[f"hotspot_{name}"] for name in ("country", "channel", "interface"))
    if not COUNTRY.fullmatch(country):
        yield Finding(
            "hotspot_country",
            "it is no country, and without one a Pi sends nothing",
            "Give the country that the Pi is in, in two capital letters, as FR",
            shown(country),
        )
    if not settings.band_of(channel):
        known = ", ".join(str(number) for channels in settings.CHANNELS.values() for number in channels)
        yield Finding(
            "hotspot_channel",
            "it is no channel of 2.4 GHz, nor one of 5 GHz on which radar has no precedence",
            f"Give one of {known}",
            shown(channel),
        )
    if not INTERFACE.fullmatch(interface):
        yield Finding("hotspot_interface", "it is no interface", "Give one as wlan0", shown(interface))


def _names(values: Mapping[str, Any]) -> Iterator[Finding]:
    if wrong := settings.ssid_problem(values["hotspot_ssid"]):
        remedy = "Give a shorter one; an accented letter takes two bytes"
        yield Finding("hotspot_ssid", wrong, remedy, shown(values["hotspot_ssid"]))
    if wrong := settings.network_problem(values["hotspot_network"]):
        remedy = "Give one that nobody else has, as 10.78.78.0/24"
        yield Finding("hotspot_network", wrong, remedy, shown(values["hotspot_network"]))


def _password(values: Mapping[str, Any]) -> Iterator[Finding]:
    password = values["hotspot_password"]
    if password and values["hotspot_open"]:
        yield Finding("hotspot_open", "it is true, and hotspot_password is given", "Remove one of them", shown(True))
    elif password and (wrong := settings.password_problem(password)):
        yield Finding("hotspot_password", wrong, "Give another one, or remove it: each Pi then has a random one")


def _map(values: Mapping[str, Any]) -> Iterator[Finding]:
    """Devices ask at the usual port, and at both addresses of the Pi."""
    if values["lizmap_port"] != WEB:
        yield Finding(
            "lizmap_port",
            f"with hotspot_enabled people open http://{names.MAP}/, which is port {WEB}",
            f"Set it to {WEB}, or hotspot_enabled to false",
            shown(values["lizmap_port"]),
        )
    if values["lizmap_bind_address"] != "0.0.0.0":  # noqa: S104 - which it is by default
        yield Finding(
            "lizmap_bind_address",
            "with hotspot_enabled the map is also at the Pi's addresses in its own Wi-Fi",
            "Set it to 0.0.0.0, or hotspot_enabled to false",
            shown(values["lizmap_bind_address"]),
        )
