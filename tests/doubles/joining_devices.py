"""Doubles of what devices make of a Wi-Fi that they join: how each system decides by the answers to its own question.

They are models, written from what the makers say of it (Android's NetworkMonitor, Apple's Captive Network Assistant,
Microsoft's NCSI, Firefox, NetworkManager), and no proof of what a device does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import requests

CONNECTED, SIGN_IN, OFFLINE = "connected", "sign in", "offline"


def android(answer: requests.Response) -> str:
    """Decide as Android and ChromeOS do, once the page was opened: 204 is the internet, another success a page."""
    if answer.status_code == requests.codes.no_content:
        return CONNECTED
    return SIGN_IN if answer.status_code < requests.codes.bad_request else OFFLINE


def apple(answer: requests.Response) -> str:
    """Decide as iOS and macOS do: the page that they expect, or another one."""
    if answer.ok and "<TITLE>Success</TITLE>" in answer.text and "<BODY>Success</BODY>" in answer.text:
        return CONNECTED
    return SIGN_IN if answer.status_code < requests.codes.bad_request else OFFLINE


def exactly(expected: str) -> Callable[[requests.Response], str]:
    """Decide as those do that compare a text: Windows, Firefox, NetworkManager."""

    def decide(answer: requests.Response) -> str:
        if answer.status_code == requests.codes.ok and answer.text == expected:
            return CONNECTED
        return SIGN_IN if answer.status_code < requests.codes.bad_request else OFFLINE

    return decide


def network_manager(answer: requests.Response) -> str:
    """Decide as NetworkManager does: by a header, or by how the text begins."""
    is_online = answer.headers.get("X-NetworkManager-Status") == "online"
    if is_online or answer.text.startswith("NetworkManager is online"):
        return CONNECTED
    return SIGN_IN if answer.status_code < requests.codes.bad_request else OFFLINE


@dataclass(frozen=True)
class JoiningDevice:
    """A system, what it asks, and how it decides."""

    name: str
    path: str
    decide: Callable[[requests.Response], str]


FIREFOX_PAGE = '<meta http-equiv="refresh" content="0;url=https://support.mozilla.org/kb/captive-portal"/>'
DEVICES: Mapping[str, JoiningDevice] = {
    "Android": JoiningDevice("connectivitycheck.gstatic.com", "/generate_204", android),
    "Android's second question": JoiningDevice("www.google.com", "/gen_204", android),
    "Android of Xiaomi": JoiningDevice("connect.rom.miui.com", "/generate_204", android),
    "ChromeOS": JoiningDevice("www.gstatic.com", "/generate_204", android),
    "iOS": JoiningDevice("captive.apple.com", "/hotspot-detect.html", apple),
    "macOS": JoiningDevice("captive.apple.com", "/", apple),
    "iOS before 7": JoiningDevice("www.apple.com", "/library/test/success.html", apple),
    "Windows 11": JoiningDevice("www.msftconnecttest.com", "/connecttest.txt", exactly("Microsoft Connect Test")),
    "Windows 7": JoiningDevice("www.msftncsi.com", "/ncsi.txt", exactly("Microsoft NCSI")),
    "Firefox": JoiningDevice("detectportal.firefox.com", "/success.txt", exactly("success\n")),
    "Firefox's page": JoiningDevice("detectportal.firefox.com", "/canonical.html", exactly(FIREFOX_PAGE)),
    "Debian": JoiningDevice("network-test.debian.org", "/nm", network_manager),
    "GNOME": JoiningDevice("nmcheck.gnome.org", "/check_network_status.txt", network_manager),
    "Ubuntu": JoiningDevice("connectivity-check.ubuntu.com", "/", network_manager),
    "Fedora": JoiningDevice("fedoraproject.org", "/static/hotspot.txt", exactly("OK")),
}
