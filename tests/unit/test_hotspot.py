"""What a Pi's own Wi-Fi is to be, and what keeps a Pi from having it, before anything is changed."""

from __future__ import annotations

import configparser
import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.poppyfield.hotspot import first_look, names, settings
from ansible.module_utils.poppyfield.hotspot.first_look import AdapterLook
from ansible.module_utils.poppyfield.hotspot.settings import UUIDS, Hotspot

HOTSPOT = Hotspot("wlan0", "FR", "pi-orchard", 6, "10.77.77.0/24", "correct horse")
FREE = AdapterLook(
    manager=True,
    adapters=("wlan0",),
    joined={},
    ours=False,
    listening=frozenset({"127.0.0.53"}),
    routes=[("192.168.1.0/24", "eth0"), ("172.17.0.0/16", "docker0")],
    pools=first_look.DOCKER_POOLS,
)
WANTED = {"interface": "wlan0", "network": "10.77.77.0/24", "leave_wifi": False}


def read(text: str) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None)
    found.read_string(text)
    return found


def told(changes: dict[str, Any], **wanted: Any) -> list[str]:
    return first_look.problems(dataclasses.replace(FREE, **changes), {**WANTED, **wanted})


def test_a_profile_is_for_any_pi_and_for_ever() -> None:
    found = read(settings.profile(HOTSPOT, UUIDS[0]))
    assert found["connection"]["autoconnect-retries"] == "0"
    assert (found["wifi"]["mode"], found["wifi"]["band"], found["wifi"]["channel"]) == ("ap", "bg", "6")
    assert not {"mac-address", "cloned-mac-address"} & {key for section in found.values() for key in section}
    # shared would hide all devices behind one address, from which one login limit and one portal's answer are for all.
    assert found["ipv4"]["method"] == "manual"
    assert (found["ipv4"]["address1"], found["ipv4"]["address2"]) == ("10.77.77.1/24", "192.0.2.1/32")
    assert found["wifi-security"]["pmf"] == "1", "off: adapters of trixie start no access point with it"


def test_an_open_wifi_has_no_security_and_5_ghz_another_band() -> None:
    found = read(settings.profile(dataclasses.replace(HOTSPOT, password="", channel=36), UUIDS[0]))
    assert "wifi-security" not in found and found["wifi"]["band"] == "a"


def test_a_profile_on_trial_begins_by_no_chance_and_is_another_one() -> None:
    text = settings.profile(HOTSPOT, settings.other_than(UUIDS[0]), on_trial=True)
    assert read(text)["connection"]["autoconnect"] == "false"
    assert settings.number_of(text) == UUIDS[1] and settings.other_than(UUIDS[1]) == UUIDS[0]
    assert settings.number_of("") == UUIDS[0]


def test_the_password_is_in_no_message() -> None:
    assert "horse" not in repr(HOTSPOT)


@pytest.mark.parametrize(("ssid", "wrong"), [("é" * 16, False), ("é" * 17, True), ("", True), ("a\tb", True)])
def test_a_name_has_at_most_32_bytes(ssid: str, wrong: bool) -> None:
    assert bool(settings.ssid_problem(ssid)) is wrong


@pytest.mark.parametrize(
    ("password", "wrong"), [("x" * 8, False), ("x" * 63, False), ("x" * 7, True), ("x" * 64, True), ("passwört", True)]
)
def test_a_password_is_one_of_wpa2(password: str, wrong: bool) -> None:
    said = settings.password_problem(password)
    assert bool(said) is wrong and password not in said


@pytest.mark.parametrize(
    ("network", "wrong"),
    [
        ("10.77.77.0/24", False),
        ("172.16.5.16/28", False),
        ("10.77.77.1/24", True),
        ("10.0.0.0/8", True),
        ("10.77.77.0/29", True),
        ("8.8.8.0/24", True),
        ("192.0.2.0/24", True),
        ("fd00::/64", True),
        ("pi", True),
    ],
)
def test_a_network_is_private_and_has_room(network: str, wrong: bool) -> None:
    assert bool(settings.network_problem(network)) is wrong


@pytest.mark.parametrize(
    ("channel", "band"), [(1, "bg"), (13, "bg"), (14, ""), (0, ""), (36, "a"), (52, ""), (7, "bg")]
)
def test_a_channel_is_of_a_band(channel: int, band: str) -> None:
    assert settings.band_of(channel) == band


def test_no_name_leads_into_the_private_network_but_the_maps() -> None:
    known = names.records(HOTSPOT.address)
    assert known.pop(names.MAP) == "10.77.77.1"
    assert not {name for name, address in known.items() if address.startswith("10.")}
    assert known["connectivitycheck.gstatic.com"] == known["captive.apple.com"] == "192.0.2.1"


def test_a_pi_with_a_free_adapter_can_have_it() -> None:
    assert told({}) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"manager": False}, "NetworkManager does not run"),
        ({"adapters": ()}, "There is none at all"),
        ({"adapters": ("wlan1",)}, "There are: wlan1."),
        ({"joined": {"wlan0": "Office"}}, "by the profile 'Office'"),
        # Another interface of the same radio.
        ({"joined": {"uap0": "Office"}}, "uap0 is in use"),
        ({"listening": frozenset({"0.0.0.0"})}, "port 53"),
        ({"listening": frozenset({"0.0.0.0"}), "ours": True}, "port 53"),
        ({"listening": frozenset({"192.0.2.1"})}, "port 53"),
        ({"routes": [("10.77.0.0/16", "eth0")]}, "of 10.77.0.0/16, which the Pi reaches by eth0"),
        ({"pools": ["10.0.0.0/8"]}, "Docker takes its networks"),
    ],
)
def test_what_keeps_a_pi_from_it_is_told_with_a_variable_or_a_command(changes: dict[str, Any], said: str) -> None:
    (sentence,) = told(changes)
    assert said in sentence and "hotspot_" in sentence


def test_what_is_there_already_keeps_no_pi_from_it() -> None:
    own = frozenset({"10.77.77.1", "192.0.2.1"})
    assert told({"listening": own, "ours": True, "routes": [("10.77.77.0/24", "wlan0")]}) == []
    assert told({"joined": {"wlan0": "Office"}}, leave_wifi=True) == []


UDP = "  sl  local_address rem_address   st\n"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (" 1: 00000000:0035 00000000:0000 07", {"0.0.0.0"}),
        (" 1: 014D4D0A:0035 00000000:0000 0A", {"10.77.77.1"}),
        (" 1: 00000000000000000000000000000000:0035 0:0000 0A", {"0.0.0.0"}),
        (" 1: 0000000000000000FFFF0000014D4D0A:0035 0:0000 0A", {"10.77.77.1"}),
        (" 1: 00000000:0050 00000000:0000 0A", set()),
        # A question to somebody else's port 53 is no answer of this host.
        (" 1: 014D4D0A:0035 0A4D4D0A:C001 01", set()),
    ],
)
def test_who_answers_for_names_is_read_from_the_kernel(line: str, found: set[str]) -> None:
    assert first_look.listening(UDP + line + " 00000000:00000000\n") == found


def test_routes_pools_and_profiles_are_read() -> None:
    text = "default via 192.168.1.1 dev eth0 proto dhcp\n192.168.1.0/24 dev eth0\n10.9.8.7 dev tun0 scope link\n"
    assert first_look.routes(text) == [("192.168.1.0/24", "eth0"), ("10.9.8.7", "tun0")]
    own = '{"default-address-pools": [{"base": "10.200.0.0/16", "size": 24}, {"base": "fd00::/64"}]}'
    assert first_look.pools(own) == ["10.200.0.0/16"]
    for text in ("", "{", "[]", "{}"):
        assert first_look.pools(text) == list(first_look.DOCKER_POOLS)
    assert first_look.in_use_by("1111\nOffice\n") == "Office"
    assert first_look.in_use_by(f"{UUIDS[1]}\npoppyfield-hotspot\n") == first_look.in_use_by("\n\n") == ""


def test_a_machine_without_the_adapter_is_told_and_nothing_is_asked_where_none_is_wanted(
    library: Callable[[str], ModuleType],
) -> None:
    module = library("host_requirements")
    assert module.hotspot_problems(None, "") == ()
    wanted = {"interface": "none9", "network": "172.17.0.0/24", "leave_wifi": False}
    said = module.hotspot_problems(wanted, "")
    assert [one for one in said if "none9 (hotspot_interface)" in one]
    assert [one for one in said if "172.17.0.0/16, from where Docker" in one]
