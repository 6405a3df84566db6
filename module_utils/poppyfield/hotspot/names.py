"""The names that a Pi's own Wi-Fi knows: its map's, and those by which devices look for the internet. Pure."""

from __future__ import annotations

from collections.abc import Mapping

MAP = "map.internal"
"""Of the map. No name that ends in .local: before Android 12 these are not asked of a DNS server."""
OUTSIDE = "192.0.2.1"
"""The Pi's second address in its Wi-Fi (RFC 5737): a name that leads into a private network is no internet for some."""

PROBES: Mapping[str, tuple[str, ...]] = {
    "Android": (
        "clients3.google.com",
        "connectivitycheck.android.com",
        "connectivitycheck.gstatic.com",
        "connectivitycheck.platform.hicloud.com",
        "connect.rom.miui.com",
        "play.googleapis.com",
        "www.google.com",
    ),
    "ChromeOS": ("www.gstatic.com",),
    "iOS and macOS": (
        "captive.apple.com",
        "captive.g.aaplimg.com",
        "www.airport.us",
        "www.appleiphonecell.com",
        "www.apple.com",
        "www.ibook.info",
        "www.itools.info",
        "www.thinkdifferent.us",
    ),
    "Windows": ("www.msftconnecttest.com", "www.msftncsi.com"),
    "Firefox": ("detectportal.firefox.com",),
    "Debian and GNOME": ("network-test.debian.org", "nmcheck.gnome.org"),
    "Ubuntu": ("connectivity-check.ubuntu.com",),
    "Fedora": ("fedoraproject.org",),
}
"""By system the names of which it asks an address that it knows the answer of. All of them lead to the Pi."""
FIXED: Mapping[str, str] = {"dns.msftncsi.com": "131.107.255.255"}
"""Names that Windows only looks up, and knows the address of."""


def records(address: str) -> dict[str, str]:
    """Give by name the address that it leads to, where the Pi has this one in its Wi-Fi."""
    probes = {name: OUTSIDE for names in PROBES.values() for name in names}
    return {MAP: address, **dict(sorted(probes.items())), **FIXED}
