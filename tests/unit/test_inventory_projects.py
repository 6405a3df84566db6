"""Each repository has a name of its own and a folder on the laptop."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.inventory.projects import repositories_of_all

from tests.unit.inventory_of import FakeLaptop, host, told


def test_a_repository_is_named_once_whatever_the_case() -> None:
    projects = [{"repository": name, "folder": "/x"} for name in ("a", "A", "b")]
    assert told(lizmap_projects=projects) == [
        "lizmap_projects: it names the repository a twice (upper and lower case do not tell them apart)"
    ]
    projects = [{"repository": "a", "folder": "/x"}] * 2
    assert len(told(lizmap_projects=projects)) == 1


def test_a_folder_is_on_the_laptop() -> None:
    projects = [{"repository": "a", "folder": "/x"}, {"repository": "b", "folder": "/y"}]
    found = told(FakeLaptop(missing=["/y"]), lizmap_projects=projects)
    assert found == ["lizmap_projects: it is not a folder on this laptop"]


@pytest.mark.parametrize(("name", "good"), [("my-fields", True), ("a b", False), ("../x", False), ("", False)])
def test_the_map_pages_repositories_are_part_of_an_address(name: str, good: bool) -> None:
    projects = [{"repository": name, "folder": "/x"}]
    found = told(lizmap_web_client="none", lizmap_projects=projects)
    assert found == ([] if good else ["lizmap_projects: it cannot be the name of a repository"])


def test_what_all_pis_publish_is_there_once() -> None:
    one = {"repository": "a", "folder": "~/x"}
    other = {"repository": "a", "folder": "/x", "accept_newer_qgis": True, "label": "L"}
    found = repositories_of_all([host(lizmap_projects=[one]), host(lizmap_projects=[one, other])])
    assert found == [
        {"repository": "a", "folder": str(Path.home() / "x"), "accept_newer_qgis": False, "internet": False},
        {"repository": "a", "folder": "/x", "accept_newer_qgis": True, "internet": False},
    ]


def test_layers_of_servers_need_an_address_that_the_firewall_lets_through() -> None:
    projects = [{"repository": "a", "folder": "/x", "internet": True}, {"repository": "b", "folder": "/x"}]
    (found,) = told(lizmap_projects=projects)
    assert "internet is true for a, but the firewall lets the map server reach no server" in found
    assert told(lizmap_projects=projects, lizmap_may_reach=[{"address": "192.0.2.7"}]) == []
