"""How a host's own Wi-Fi fares: what NetworkManager, the kernel and its dnsmasq say -> codes, and their words. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.poppyfield.hotspot import settings

CONNECTED = 100
"""NetworkManager's number of the state of an adapter that is in use."""
FULL = "hotspot_full"
"""The one of the codes that is no fault."""


@dataclass(frozen=True)
class HotspotLook:
    """What was found of a Wi-Fi that is set up."""

    manager: str
    """What nmcli says of the adapter's GENERAL.STATE and GENERAL.CON-UUID; nothing where it knows no such adapter."""
    kernel: str
    """What iw says of the adapter; nothing where nobody tells."""
    server_runs: bool
    """Whether our own dnsmasq runs."""
    leases: int
    """How many addresses are given away."""
    room: int
    """How many there are to give."""
    offers: bool | None = None
    """Whether it offers an address to who asks; None where nobody asked."""
    names: bool | None = None
    """Whether it knows the map's name; None where nobody asked."""


def codes(found: HotspotLook | None, *, expected: bool) -> list[str] | None:
    """Give what is wrong, by code; None where there is no Wi-Fi, and none is expected.

    Where the Wi-Fi is not open, or its dnsmasq does not run, nothing else can be right, and only that is told.
    """
    if found is None:
        return ["hotspot_absent"] if expected else None
    if not is_open(found.manager, found.kernel):
        return ["hotspot_closed"]
    if not found.server_runs:
        return ["hotspot_silent"]
    is_full = found.leases >= found.room
    wrong = {
        FULL: is_full,
        "hotspot_no_address": found.offers is False and not is_full,
        "hotspot_no_name": found.names is False,
    }
    return [code for code, is_so in wrong.items() if is_so]


def is_open(manager: str, kernel: str) -> bool:
    """Tell whether the adapter is an access point by our profile."""
    state, number = (*manager.split("\n"), "", "")[:2]
    connected = re.match(r"\d+", state)
    mode = re.search(r"^\s*type (.+)$", kernel, re.MULTILINE)
    is_ours = number in settings.UUIDS and connected is not None and int(connected[0]) == CONNECTED
    return is_ours and (mode is None or mode[1] == "AP")


def told(wrong: Sequence[str] | None) -> Mapping[str, Any] | None:
    """Give the codes and the English sentences, as stack_info tells them; None where there is no Wi-Fi."""
    return None if wrong is None else {"codes": list(wrong), "wrong": [SENTENCES["en"][code] for code in wrong]}


SENTENCES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "hotspot_absent": "It has no Wi-Fi of its own, which the inventory asks for (hotspot_enabled): "
        "ansible-playbook site.yml sets it up.",
        "hotspot_closed": "Its own Wi-Fi is not open: plug its adapter in, and restart the Pi. On the Pi, sudo "
        "journalctl -u NetworkManager tells why; ansible-playbook site.yml mends it.",
        "hotspot_silent": "Its own Wi-Fi gives neither addresses nor names: restart the Pi. On the Pi, sudo journalctl "
        "-u poppyfield-hotspot tells why; ansible-playbook site.yml mends it.",
        "hotspot_no_address": "Who joins its own Wi-Fi gets no address: sudo systemctl restart poppyfield-hotspot on "
        "the Pi mends it; sudo journalctl -u poppyfield-hotspot tells why.",
        "hotspot_no_name": "Who joins its own Wi-Fi does not find map.internal: sudo systemctl restart "
        "poppyfield-hotspot on the Pi mends it; sudo journalctl -u poppyfield-hotspot tells why.",
        FULL: "All addresses of its own Wi-Fi are taken, and nobody else gets in: give it a larger hotspot_network, or "
        "wait for 12 hours.",
    },
    "fr": {
        "hotspot_absent": "Il n'a pas son propre Wi-Fi, que l'inventaire demande (hotspot_enabled) : ansible-playbook "
        "site.yml l'installe.",
        "hotspot_closed": "Son propre Wi-Fi n'est pas ouvert : branchez son adaptateur, et redémarrez le Pi. Sur le "
        "Pi, sudo journalctl -u NetworkManager dit pourquoi ; ansible-playbook site.yml le répare.",
        "hotspot_silent": "Son propre Wi-Fi ne donne ni adresses ni noms : redémarrez le Pi. Sur le Pi, sudo "
        "journalctl -u poppyfield-hotspot dit pourquoi ; ansible-playbook site.yml le répare.",
        "hotspot_no_address": "Qui rejoint son propre Wi-Fi ne reçoit pas d'adresse : sudo systemctl restart "
        "poppyfield-hotspot sur le Pi le répare ; sudo journalctl -u poppyfield-hotspot dit pourquoi.",
        "hotspot_no_name": "Qui rejoint son propre Wi-Fi ne trouve pas map.internal : sudo systemctl restart "
        "poppyfield-hotspot sur le Pi le répare ; sudo journalctl -u poppyfield-hotspot dit pourquoi.",
        FULL: "Toutes les adresses de son propre Wi-Fi sont prises, et plus personne n'y entre : donnez-lui un "
        "hotspot_network plus grand, ou attendez 12 heures.",
    },
}
"""By language and code what is wrong, and what helps."""
CODES = tuple(SENTENCES["en"])
