"""People of QGIS Desktop who could not come in, or from too far, are told before anything is done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.inventory_of import problems, told

OFFICE = ["192.168.1.0/24"]
ANNA = {"name": "anna", "rights": [{"database": "gis", "edit": True}]}


def test_nothing_is_asked_for_by_default() -> None:
    assert told() == []


def test_people_and_a_network_will_do() -> None:
    assert told(postgis_desktop_networks=OFFICE, postgis_people=[ANNA], postgis_passwords={"anna": "x" * 16}) == []


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("192.168.1.20", ""),
        ("10.0.0.0/8", ""),
        ("office", "office is no IP address"),
        ("192.168.1.0/255.255.255.0", "is no IP address"),
        ("0.0.0.0/0", "is no network of yours, but a part of the internet"),
        ("128.0.0.0/1", "is no network of yours, but a part of the internet"),
        ("fd00::/8", "is a network of IPv6, by which the port is not published"),
    ],
)
def test_networks(network: str, words: str) -> None:
    found = told(postgis_desktop_networks=[network], postgis_people=[ANNA])
    assert len(found) == bool(words)
    assert words in "".join(found)


def test_people_without_a_network_and_the_other_way_round() -> None:
    (people,) = told(postgis_people=[ANNA])
    assert "postgis_people: postgis_desktop_networks is empty, so none of these people could come in" in people
    (networks,) = told(postgis_desktop_networks=OFFICE)
    assert "postgis_desktop_networks: postgis_people is empty" in networks


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Anna Müller", ""),
        ("gis", "gis is the role of a program, which may not come in from outside"),
        ("lizmap", "is the role of a program"),
        ("poppyfield_desktop", "is the role of a program"),
        ("postgres", "The role postgres belongs to PostgreSQL itself"),
        ("pg_monitor", "belongs to PostgreSQL itself"),
        ("../x", "has a slash"),
        ("", "cannot be a name in PostgreSQL"),
    ],
)
def test_names(name: str, words: str) -> None:
    found = told(postgis_desktop_networks=OFFICE, postgis_people=[{**ANNA, "name": name}])
    assert len(found) == bool(words)
    assert words in "".join(found)


def test_a_person_given_twice() -> None:
    assert "The role anna is given twice" in "".join(told(postgis_desktop_networks=OFFICE, postgis_people=[ANNA, ANNA]))


@pytest.mark.parametrize(
    ("rights", "words"),
    [
        ([], "anna has no rights"),
        ([{"database": "other"}], "rights in a database that postgis_databases does not have"),
        ([{"database": "gis", "schemas": ["pg_catalog"]}], "the schema pg_catalog is PostgreSQL's own"),
        ([{"database": "gis", "schemas": ["information_schema"]}], "is PostgreSQL's own"),
        ([{"database": "gis", "schemas": [""]}], "cannot be a name in PostgreSQL"),
        ([{"database": "gis"}, {"database": "gis", "edit": True}], "anna has the schema public of gis twice"),
        ([{"database": "gis", "schemas": ["a", "b"]}, {"database": "gis", "edit": True}], ""),
    ],
)
def test_rights(rights: list[dict[str, Any]], words: str) -> None:
    found = told(postgis_desktop_networks=OFFICE, postgis_people=[{"name": "anna", "rights": rights}])
    assert len(found) == bool(words)
    assert words in "".join(found)


def test_the_port_is_one_of_its_own() -> None:
    (found,) = told(postgis_desktop_networks=OFFICE, postgis_people=[ANNA], postgis_desktop_port=80)
    assert "postgis_desktop_port and lizmap_port are both 80" in found
    assert told(postgis_desktop_port=80) == []
    (wrong,) = told(postgis_desktop_networks=OFFICE, postgis_people=[ANNA], postgis_desktop_port=0)
    assert "postgis_desktop_port: it is no port" in wrong


def test_a_persons_password_is_one_that_reaches_postgresql() -> None:
    given = {"postgis_desktop_networks": OFFICE, "postgis_people": [ANNA], "postgis_passwords": {"anna": "short"}}
    (found,) = problems(**given)
    assert found.finding.wrong.startswith("the password of anna is ") and "short" not in found.finding.wrong
