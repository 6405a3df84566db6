"""What is wrong in an inventory is told all at once, each thing once, with its hosts and a remedy; secrets are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.inventory.check import check
from ansible.module_utils.poppyfield.inventory.problems import Finding, message, shown

from tests.unit.inventory_of import DEFAULTS, OPTIONS, FakeLaptop, effective, problems, problems_of

ESCAPE = "\x1b[31m"


def test_nothing_is_wrong_with_the_defaults() -> None:
    assert problems() == []
    assert problems(lizmap_web_client="none", lizmap_archive="", lizmap_server_plugin="") == []


def test_a_problem_of_several_hosts_is_told_once_with_all_of_them() -> None:
    found = problems_of({"a": {"lizmap_port": 0}, "b": {"lizmap_port": 0}, "c": {"lizmap_port": 70000}, "d": {}})
    assert [problem.hosts for problem in found] == [("a", "b"), ("c",)]
    lines = message(found).splitlines()
    assert lines[0] == "Nothing was changed. In the inventory 2 things are to be mended:"
    assert lines[1] == "1. a, b: lizmap_port (0): it is no port. Give a number between 1 and 65535."
    assert lines[2].startswith("2. c: lizmap_port (70000): ")
    assert message(found[:1]).startswith("Nothing was changed. In the inventory one thing is to be mended:")


SECRET = "correct-horse-bättery"


@pytest.mark.parametrize(
    "given",
    [
        {"postgis_passwords": {"nobody": SECRET}},
        {"postgis_passwords": SECRET},
        {"postgis_passwords": [SECRET]},
        {"postgis_passwords": {"gis": 1234567890123456}},
        {"lizmap_users": [{"login": "anna", "password": SECRET}]},
        {"lizmap_users": [{"login": "anna", "password": {"x": SECRET}, "state": "gone"}]},
        {"lizmap_users": [{"login": SECRET, "password": SECRET}]},
        {"lizmap_admin_password": SECRET, "lizmap_server_name": f"x {SECRET}"},
        {"lizmap_admin_password": [SECRET]},
    ],
)
def test_no_secret_is_shown(given: dict[str, Any]) -> None:
    found = problems(**given)
    assert found
    for text in (SECRET, "1234567890123456", "b\\u00e4ttery", "b\\xe4ttery"):
        assert text not in message(found)


def test_what_was_encrypted_is_not_shown_wherever_it_stands() -> None:
    given = effective(lizmap_bind_address="x geheim")
    found = check({"pi": given}, OPTIONS, FakeLaptop(), defaults=DEFAULTS, secrets=["geheim"])
    assert [problem.finding.value for problem in found] == ['"x (hidden)"']


def test_a_mistake_is_told_once_whatever_else_looks_at_the_value() -> None:
    (found,) = problems(lizmap_port="eighty")
    assert found.finding.variable == "lizmap_port"
    before = {"pi": [Finding("lizmap_url", "it can't be resolved", "Correct it")]}
    given = effective()
    del given["lizmap_url"]
    found_of_all = check({"pi": given}, OPTIONS, FakeLaptop(), defaults=DEFAULTS, before=before)
    assert [problem.finding.wrong for problem in found_of_all] == ["it can't be resolved"]
    assert check({"pi": given}, OPTIONS, FakeLaptop(), defaults=DEFAULTS) == []


def test_names_with_accents_and_addresses_are_hosts_as_others() -> None:
    (found,) = problems_of({"pi-é": {"lizmap_port": 0}, "fd00::7": {"lizmap_port": 0}})
    assert found.sentence.startswith("pi-é, fd00::7: lizmap_port (0): ")


def test_a_value_is_shown_in_one_line_that_no_terminal_takes_for_a_command() -> None:
    assert shown(f"é\n{ESCAPE}\x9b") == '"é\\n\\u001b[31m\\u009b"'
    assert len(shown("x" * 1000)) < 110


def test_the_package_has_a_file_for_each_subject_and_tests_of_it() -> None:
    folder = Path(__file__).resolve().parents[2] / "module_utils" / "poppyfield" / "inventory"
    tests = {path.stem.removeprefix("test_inventory_") for path in Path(__file__).parent.glob("test_inventory_*.py")}
    assert {path.stem for path in folder.glob("*.py")} - tests == {"__init__", "problems"}
