"""Roles, databases, passwords, settings and files that the database could not have are told before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.inventory.postgis import is_first_start_name
from ansible.module_utils.poppyfield.postgis.postgres import FIRST_START_NAME

from tests.unit.inventory_of import FakeLaptop, problems, told

GIS = {"name": "gis", "owner": "gis"}
ROLES = [{"name": "gis"}, {"name": "reader"}]


@pytest.mark.parametrize(
    ("password", "wrong"),
    [
        ("x" * 16, ""),
        ("a b ~ \"'$#%&/()=?", ""),
        ("x" * 15, "is shorter than 16 characters"),
        ("", "must be one line of printable ASCII"),
        ("é" * 20, "must be one line of printable ASCII"),
        ("x" * 20 + "\n", "must be one line of printable ASCII"),
        ("x" * 20 + "\t", "must be one line of printable ASCII"),
        (" " + "x" * 20, "has a blank at one end"),
        ("x" * 20 + " ", "has a blank at one end"),
        (12345678901234567890, "is not a text"),
        (1.5, "is not a text"),
        (True, "is not a text"),
        (None, "is not a text"),
    ],
)
def test_a_password_reaches_postgresql_as_it_was_written(password: Any, wrong: str) -> None:
    found = told(postgis_passwords={"gis": password})
    assert len(found) == bool(wrong)
    assert "".join(found).startswith(f"postgis_passwords: the password of gis {wrong}" if wrong else "")


def test_owners_and_passwords_are_of_roles_that_there_are() -> None:
    (found,) = problems(postgis_databases=[{**GIS, "owner": "nobody"}])
    assert found.finding.wrong == "the database gis is to belong to a role that postgis_roles does not have"
    assert found.finding.value == '"nobody"'
    (password,) = told(postgis_passwords={"other": "x" * 16})
    assert "a password for the role other, which neither postgis_roles nor postgis_people has" in password
    assert told(postgis_roles=ROLES, postgis_passwords={"reader": "x" * 16}) == []


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["gis", "postgres"], "The role postgres belongs to PostgreSQL itself"),
        (["gis", "pg_monitor"], "The role pg_monitor belongs to PostgreSQL itself"),
        (["gis", "gis"], "The role gis is given twice"),
        (["gis", ""], "cannot be a name in PostgreSQL"),
        (["gis", "x" * 64], "cannot be a name in PostgreSQL"),
        (["gis", "a\nb"], "cannot be a name in PostgreSQL"),
        (["gis", "../x"], "has a slash"),
        (["gis", "é"], ""),
    ],
)
def test_names_of_roles(names: list[str], words: str) -> None:
    found = told(postgis_roles=[{"name": name} for name in names])
    assert len(found) == bool(words)
    assert words in "".join(found)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("template1", "The database template1 belongs to PostgreSQL itself"),
        ("gis", "The database gis is given twice"),
        ("x" * 60, "cannot be a name in PostgreSQL: a database has 1 to 54 bytes"),
        ("a/b", "has a slash"),
        ("fields", ""),
    ],
)
def test_names_of_databases(name: str, words: str) -> None:
    found = told(postgis_databases=[GIS, {**GIS, "name": name}])
    assert len(found) == bool(words)
    assert words in "".join(found)


def test_several_wrong_names_are_told_together() -> None:
    wrong = [{"name": "postgres"}, {"name": "gis"}, {"name": "gis"}, {"name": "pg_x"}]
    assert len(told(postgis_roles=wrong)) == 3


def test_lizmaps_accounts_have_a_role_and_a_database_of_their_own() -> None:
    taken = {
        "postgis_roles": [{"name": "gis"}, {"name": "lizmap"}],
        "postgis_databases": [GIS, {"name": "lizmap", "owner": "lizmap"}],
    }
    assert told(**taken) == []
    found = told(**taken, lizmap_accounts="postgis")
    assert [one.partition(":")[0] for one in found] == ["postgis_roles", "postgis_databases"]
    assert "is that of Lizmap's accounts" in found[0]
    assert told(**taken, lizmap_accounts="postgis", lizmap_web_client="none") == []
    assert told(lizmap_accounts="postgis") == []


def test_projects_reach_a_database_and_a_role_that_there_are() -> None:
    found = told(lizmap_database="fields", lizmap_database_user="nobody")
    assert [one.partition(":")[0] for one in found] == ["lizmap_database", "lizmap_database_user"]
    databases = {"postgis_databases": [{"name": "fields", "owner": "gis"}]}
    assert told(lizmap_database="fields", **databases) == []
    assert told(lizmap_database="fields", postgis_first_start_files=["/x/10-fields.dump"]) == []


def test_files_that_are_loaded_are_on_the_laptop() -> None:
    database = {**GIS, "initial_sql": "/a.sql"}
    assert told(postgis_databases=[database]) == []
    (found,) = problems(FakeLaptop(missing=["/a.sql"]), postgis_databases=[database])
    assert "the file of the database gis is not on this laptop" in found.finding.wrong
    assert found.finding.value == '"/a.sql"'
    assert told(FakeLaptop(missing=[""]), postgis_databases=[{**GIS, "initial_sql": ""}]) == []


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["/laptop/10-gis.dump", "maps/20-gis.sql"], []),
        (["/missing/gis.sql"], ["it is not a file on this laptop"]),
        (["/x/gis.backup"], ["it is not named [NUMBER-]DATABASE[.NOTE] with .sql, .sql.gz or .dump at the end"]),
        (["/x/gis.sql", "/y/gis.sql"], ["it has the name of another one"] * 2),
        (["/missing/gis.sql", "/x/a"], ["it is not a file", "it is not named"]),
    ],
)
def test_files_of_the_first_start(paths: list[str], words: list[str]) -> None:
    found = told(FakeLaptop(missing=["/missing/gis.sql"]), postgis_first_start_files=paths)
    assert [one.startswith(f"postgis_first_start_files: {said}") for one, said in zip(found, words, strict=True)] == [
        True
    ] * len(words)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("gis.sql", True),
        ("10-gis.dump", True),
        ("20-gis.after the dump.sql.gz", True),
        ("fleet-b.sql", True),
        ("gis.backup", False),
        ("10-.sql", False),
        ("sql.gz", False),
        ("my data.sql", False),
        ("gis.sql\n", False),
    ],
)
def test_the_name_of_a_file_of_the_first_start_says_database_and_kind(name: str, good: bool) -> None:
    assert is_first_start_name(name) is good


def test_the_check_and_the_image_have_one_rule_for_these_names() -> None:
    entrypoint = Path(__file__).resolve().parents[2] / "images" / "postgis" / "entrypoint"
    assert f"first_start_name='{FIRST_START_NAME}'" in entrypoint.read_text()


@pytest.mark.parametrize(
    ("settings", "unsafe"),
    [
        ({"fsync": True, "synchronous_commit": "on", "jit": False}, []),
        (
            {"fsync": False, "full_page_writes": "off", "synchronous_commit": "local"},
            ["fsync", "full_page_writes", "synchronous_commit"],
        ),
    ],
)
def test_settings_that_could_cost_data_are_named(settings: dict[str, Any], unsafe: list[str]) -> None:
    found = told(postgis_settings=settings)
    assert found == [
        f"postgis_settings: {name} must stay on, because a loss of power could cost data" for name in unsafe
    ]


def test_settings_are_such_as_postgresql_takes() -> None:
    assert told(postgis_settings={"work_mem": "4MB", "jit": "off", "x.y": 1.5}) == []
    assert "'Work Mem' is not the name of a PostgreSQL setting" in told(postgis_settings={"Work Mem": "4MB"})[0]
    assert "must be a text, a number" in told(postgis_settings={"work_mem": ["4MB"]})[0]


@pytest.mark.parametrize(("share", "good"), [(0.05, True), (0.9, True), ("0.5", True), (0.01, False), (1, False)])
def test_the_share_that_postgresql_is_set_up_for(share: Any, good: bool) -> None:
    assert len(told(postgis_memory_share=share)) == (not good)
