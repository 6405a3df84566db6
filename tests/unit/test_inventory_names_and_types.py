"""A misspelt variable is found and the right one named; nobody else's variable is. Types are the documented ones."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.poppyfield.inventory.names_and_types import typed, unknown_variables
from ansible.module_utils.poppyfield.inventory.problems import Finding

from tests.unit.inventory_of import problems, problems_of, told

OPTIONS = {
    "lizmap_port": {"type": "int", "default": 80},
    "postgis_databases": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, "label": {"type": "str"}},
    },
}
ROLES = ["lizmap", "postgis"]


def unknown(*names: str) -> list[Finding]:
    return list(unknown_variables(names, OPTIONS, ROLES))


def wrong(given: dict[str, Any]) -> list[str]:
    return [finding.wrong for finding in typed(OPTIONS, given)[1]]


def test_known_and_foreign_names_pass() -> None:
    assert unknown("lizmap_port", "postgis_databases", "my_own_thing", "http_proxy") == []


def test_a_misspelling_is_found_with_and_without_the_roles_prefix() -> None:
    (found,) = unknown("lizmap_prot")
    assert (found.variable, found.remedy) == ("lizmap_prot", "Did you mean 'lizmap_port'?")
    assert unknown("lizmpa_port")[0].remedy == "Did you mean 'lizmap_port'?"
    (found,) = unknown("postgis_zzz")
    assert found.wrong == "the variable 'postgis_zzz' is not one that Poppyfield knows"
    assert "mean" not in found.remedy


def test_types_and_options_within_lists_are_checked() -> None:
    assert wrong({"lizmap_port": "8080", "postgis_databases": [{"name": "gis"}]}) == []
    assert "lizmap_port" in wrong({"lizmap_port": "eighty"})[0]
    assert any("nmae" in sentence for sentence in wrong({"postgis_databases": [{"nmae": "gis"}]}))


def test_values_have_the_documented_types_and_only_what_was_given() -> None:
    values, _ = typed(OPTIONS, {"lizmap_port": "8080", "postgis_databases": [{"name": 5}]})
    assert values == {"lizmap_port": 8080, "postgis_databases": [{"name": "5"}]}
    assert typed(OPTIONS, {"lizmap_port": "x"})[0] == {"lizmap_port": 0, "postgis_databases": []}


def test_a_choice_that_there_is_not_is_told_with_those_that_there_are() -> None:
    (found,) = problems(lizmap_tls="letsencrypt")
    assert (found.finding.variable, found.finding.value) == ("lizmap_tls", '"letsencrypt"')
    assert found.finding.remedy == "Give one of none, self_signed, fleet, files"


def test_a_variable_without_a_value_is_named() -> None:
    assert told(lizmap_port=None) == ["lizmap_port: it has no value"]


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"lizmap_server_name": False}, "lizmap_server_name"),
        ({"lizmap_users": [{"login": True}]}, "login in lizmap_users"),
        (
            {"lizmap_projects": [{"repository": "a", "folder": "/x", "view": [True]}]},
            "an entry of view in lizmap_projec",
        ),
        ({"lizmap_folder": True}, "lizmap_folder"),
    ],
)
def test_a_text_that_yaml_takes_for_a_truth_value_is_named(given: dict[str, Any], place: str) -> None:
    (found,) = problems(**given)
    assert found.finding.wrong.startswith(place) and "truth values" in found.finding.wrong
    assert "quotation marks" in found.finding.remedy


@pytest.mark.parametrize("name", ["True", "False", "true"])
def test_a_host_that_yaml_took_for_a_truth_value_is_named(name: str) -> None:
    (found,) = problems_of({name: {}, "pi-true": {}})
    assert found.hosts == (name,)
    assert "quotation marks" in found.finding.remedy
