"""What the demo says when its map draws."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.basemaps import tiles_file
from ansible.module_utils.poppyfield.inventory import basemaps
from ansible.module_utils.poppyfield.inventory.laptop import ThisLaptop

from tests.unit.inventory_of import OWN_SETTINGS, host
from workshop.demo.__main__ import BASEMAP, farewell
from workshop.demo.result import returned

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("web_client", ["none", "archive"])
def test_whoever_runs_the_demo_is_told_what_root_is_in_it(web_client: str) -> None:
    said = farewell({"map_url": "x", "getmap": {"path": "x"}, "lizmap_web_client": web_client})
    assert "container with all rights: whoever is root in it is root on this machine." in said


@pytest.mark.parametrize("page", ["README.md", "docs/demo.md", "docs/security.md"])
def test_pages_tell_it_too(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert "a container with all rights: root in it is root on " in text


def test_what_the_module_returned_is_read_from_what_ansible_shows() -> None:
    shown = 'localhost | SUCCESS => {\n    "changed": false,\n    "map_url": "http://x => y/"\n}\n'
    assert returned(shown) == {"changed": False, "map_url": "http://x => y/"}


def test_the_base_map_of_the_demo_is_one_for_the_map_page() -> None:
    laptop = ThisLaptop(OWN_SETTINGS)
    given = host(lizmap_web_client="none", lizmap_basemaps=[{"file": str(BASEMAP)}])
    assert list(basemaps.findings(given, laptop)) == []
    found = tiles_file.read(BASEMAP)
    # France lies in the middle of it, and it is little to carry.
    assert found.bounds[0] < -5 and found.bounds[2] > 10 and found.size < 300_000
    assert found.attribution == "Natural Earth"
