"""What a person may do in the database follows from the inventory; its SQL runs in tests/images/test_people.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.plan import PlanError
from ansible.module_utils.poppyfield.postgis import people
from ansible.module_utils.poppyfield.postgis.people import GROUP, Member, PeopleState, Person, Right
from ansible.module_utils.poppyfield.postgis.postgres import PostgresError, Role

Library = Callable[[str], ModuleType]
ANNA = Person(Role("anna", "a password of hers"), (Right("gis", "public", edit=True),))
THERE = PeopleState(
    group=True,
    members=(Member("anna", ("gis",), people.CONNECTIONS),),
    schemas=frozenset({("gis", "public")}),
    owners={"gis": "lizmap", "postgres": "postgres", "old": "lizmap"},
    closed=frozenset({"old"}),
)


def with_members(*members: Member) -> PeopleState:
    return PeopleState(THERE.group, members, (), THERE.schemas, THERE.owners, THERE.closed)


def test_what_is_right_needs_nothing() -> None:
    assert people.plan_changes([ANNA], ["lizmap"], THERE) == []
    assert people.plan_changes([], ["lizmap"], PeopleState()) == []


def test_the_first_person_makes_the_group() -> None:
    group, her = people.plan_changes([ANNA], [], PeopleState(owners=THERE.owners, schemas=THERE.schemas))
    assert group.script == f'CREATE ROLE "{GROUP}" NOLOGIN;'
    assert her.script.splitlines() == [f'GRANT "{GROUP}" TO "anna";', 'ALTER ROLE "anna" CONNECTION LIMIT 10;']


def test_a_limit_that_somebody_changed_is_put_right() -> None:
    (change,) = people.plan_changes([ANNA], [], with_members(Member("anna", (), -1)))
    assert change.words == ("role anna: 10 connections at most",)


def test_statements_of_a_database_are_one_transaction() -> None:
    state = PeopleState(True, THERE.members, [("gis", "GRANT a"), ("gis", "REVOKE b")], THERE.schemas, THERE.owners)
    (change,) = people.plan_changes([ANNA], [], state)
    assert change.script.splitlines()[1:] == ["BEGIN;", "GRANT a;", "REVOKE b;", "COMMIT;"]
    assert change.words == ("database gis: GRANT a", "database gis: REVOKE b")


def test_one_who_is_not_named_any_more_goes_with_all_that_refers_to_the_role() -> None:
    (change,) = people.plan_changes([ANNA], [], with_members(*THERE.members, Member('o"d', ("gis", "old"), 10)))
    lines = change.script.splitlines()
    assert lines[0] == 'ALTER ROLE "o""d" NOLOGIN;'
    assert lines[-1] == 'DROP ROLE "o""d";'
    assert [line for line in lines if "REASSIGN" in line] == [
        'REASSIGN OWNED BY "o""d" TO "lizmap";',
        'REASSIGN OWNED BY "o""d" TO "lizmap";',
        'REASSIGN OWNED BY "o""d" TO "postgres";',
    ]
    opened, closed = (lines.index(f'ALTER DATABASE "old" ALLOW_CONNECTIONS {to};') for to in ("true", "false"))
    assert lines[opened - 1] == 'ALTER DATABASE "old" CONNECTION LIMIT 0;'
    assert any("dbname=''old''" in line for line in lines[opened:closed])


def test_a_role_of_a_program_leaves_the_group_and_stays() -> None:
    (change,) = people.plan_changes([ANNA], ["gis"], with_members(*THERE.members, Member("gis", (), -1)))
    assert change.script == f'REVOKE "{GROUP}" FROM "gis" CASCADE;'


def test_a_schema_that_is_not_there_is_named_before_anything_is_changed() -> None:
    wrong = Person(ANNA.role, (Right("gis", "survey", edit=True), Right("not made yet", "public", edit=True)))
    with pytest.raises(PostgresError, match="The database gis has no schema survey, in which anna is to have rights"):
        people.plan_changes([wrong], [], THERE)


def test_what_the_server_says_is_read() -> None:
    said: list[dict[str, Any]] = [
        {"group": True},
        {"member": "anna", "connections": 10, "databases": ["gis"]},
        {"database": "gis", "owner": "lizmap", "open": True},
        {"database": "postgres", "owner": "postgres", "open": True},
        {"database": "old", "owner": "lizmap", "open": False},
        {"schema": "public", "in": "gis"},
        {"statement": "GRANT", "in": "gis"},
    ]
    found = people.parse_state("\n".join(map(json.dumps, said)) + "\n\n")
    assert found.statements == [("gis", "GRANT")]
    assert PeopleState(found.group, tuple(found.members), (), found.schemas, found.owners, found.closed) == THERE
    assert people.parse_state('{"group": false}').group is False


def test_the_query_quotes_what_the_inventory_says() -> None:
    odd = Person(Role("o'd", ""), (Right("g'is", "s'", edit=False), Right("other", "public", edit=True)))
    script = people.state_script([odd], ["se'rvice"], ["g'is", "empty"])
    assert "VALUES ('o''d', 's''', false))" in script
    assert script.count("NOT IN ('se''rvice')") == 2
    assert script.count("SELECT '', '', false WHERE false") == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"desktop_networks": ["office"]}, "desktop_networks: office is no IP address"),
        ({"desktop_networks": ["0.0.0.0/0"]}, "is no network of yours"),
        ({"desktop_networks": ["10.0.0.0/8"]}, "desktop_networks needs desktop_key"),
    ],
)
def test_the_module_refuses_a_way_in_that_is_too_wide_or_not_encrypted(
    library: Library, given: dict[str, Any], words: str
) -> None:
    module = library("postgis_container")
    with pytest.raises(PlanError, match=words):
        module.check_desktop({"desktop_key": None, **given})
    module.check_desktop({"desktop_networks": ["10.0.0.0/8"], "desktop_key": "/etc/key"})
    assert module.only_from({"desktop_networks": []}) is None
    assert module.only_from({"desktop_networks": ["10.0.0.0/8"], "desktop_port": 5433}) == {
        "port": 5433,
        "container_port": 5432,
        "networks": ["10.0.0.0/8"],
    }
