"""The Pi's page: it comes, and wears no card. What it says of faults is tested with the chores."""

from __future__ import annotations

import re

import pytest
import requests
from testinfra.host import Host

from emulated_pi import MAP_URL, REQUEST_SECONDS
from page_of_the_pi import PROGRAM, TIMER, look, page


def test_the_page_tells_how_the_pi_fares(pi: Host) -> None:
    assert pi.service(TIMER).is_enabled and pi.service(TIMER).is_running
    look(pi)
    said = page()
    assert "demo-pi" in said and "Each map draws." in said and "for more than five minutes" not in said
    health = requests.get(f"{MAP_URL}/status.json", timeout=REQUEST_SECONDS).json()
    assert health["version"] == 1 and not [one for one in health["wrong"] if one["level"] == "broken"]
    picture = re.search(r'src="(/status/maps/[0-9a-f]{16}\.png)"', requests.get(f"{MAP_URL}/status", timeout=60).text)
    assert picture
    assert requests.get(MAP_URL + picture[1], timeout=60).content.startswith(b"\x89PNG")


def test_it_writes_nothing_on_the_card_and_nothing_into_the_journal(pi: Host) -> None:
    assert pi.check_output("stat --file-system --format=%T /run/poppyfield-page") == "tmpfs"
    assert not pi.file(f"{PROGRAM}/ansible/module_utils/poppyfield/pi_page/__pycache__").exists
    assert pi.check_output("journalctl --unit poppyfield-page.service --quiet --output cat") == ""


@pytest.mark.autonomy("emulated Pi")
def test_a_pi_that_has_neither_a_base_map_nor_a_position_says_so() -> None:
    assert requests.get(f"{MAP_URL}/basemaps/index.json", timeout=REQUEST_SECONDS).json()["basemaps"] == []
    position = requests.get(f"{MAP_URL}/position", timeout=REQUEST_SECONDS).json()
    assert position["state"] == "off" and "position_enabled is off" in position["said"]["en"]
