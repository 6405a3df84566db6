"""A misspelt variable is found and the right one named; nobody else's variable is."""

from __future__ import annotations

from ansible.module_utils.poppyfield.role_variables import argument_problems, unknown_variables

OPTIONS = {
    "lizmap_port": {"type": "int", "default": 80},
    "postgis_databases": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}},
    },
}
ROLES = ["lizmap", "postgis"]


def unknown(*names: str) -> list[str]:
    found: list[str] = unknown_variables(names, OPTIONS, ROLES)
    return found


def test_known_and_foreign_names_pass() -> None:
    assert unknown("lizmap_port", "postgis_databases", "my_own_thing", "http_proxy") == []


def test_a_misspelling_is_found_with_and_without_the_roles_prefix() -> None:
    assert "'lizmap_prot'" in unknown("lizmap_prot")[0]
    assert "Did you mean 'lizmap_port'?" in unknown("lizmap_prot")[0]
    assert "Did you mean 'lizmap_port'?" in unknown("lizmpa_port")[0]
    assert unknown("postgis_zzz") == ["the variable 'postgis_zzz' is not one that Poppyfield knows."]


def test_types_and_options_within_lists_are_checked() -> None:
    assert argument_problems(OPTIONS, {"lizmap_port": "8080", "postgis_databases": [{"name": "gis"}]}) == []
    assert "lizmap_port" in argument_problems(OPTIONS, {"lizmap_port": "eighty"})[0]
    found = argument_problems(OPTIONS, {"postgis_databases": [{"nmae": "gis"}]})
    assert any("nmae" in sentence for sentence in found)
