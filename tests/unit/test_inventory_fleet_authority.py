"""What the fleet's certificate authority lacks is told before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.poppyfield.host.fleet_authority import (
    AuthorityError,
    ConstraintError,
    MissingAuthorityError,
    PassphraseError,
)
from ansible.module_utils.poppyfield.inventory import fleet_authority

from tests.unit.inventory_of import FakeLaptop, host, problems, problems_of, told

FLEET = {"lizmap_tls": "fleet", "lizmap_authority_passphrase": "poppies-in-the-barley"}


@pytest.mark.parametrize(
    ("problem", "variable", "remedy"),
    [
        (MissingAuthorityError("there is none"), "lizmap_authority_folder", "playbooks/authority.yml makes them."),
        (PassphraseError("it does not open"), "lizmap_authority_passphrase", "with which the authority was made"),
        (
            ConstraintError("the fleet's authority is not for pi"),
            "lizmap_tls",
            "Renew it: ansible-playbook playbooks/authority.yml. Tablets that have installed the one before go on "
            "opening the Pis that it is for; to open this one without a warning they have to install the new one",
        ),
    ],
)
def test_a_problem_has_its_variable_and_its_remedy(problem: AuthorityError, variable: str, remedy: str) -> None:
    (found,) = problems(FakeLaptop(authority=problem), **FLEET)
    assert (found.finding.variable, found.finding.value) == (variable, "")
    assert str(problem) in found.finding.wrong
    assert remedy in found.sentence


@pytest.mark.parametrize("tls", ["none", "self_signed"])
def test_without_the_authority_nobody_asks_for_it(tls: str) -> None:
    assert problems(FakeLaptop(authority=MissingAuthorityError("there is none")), lizmap_tls=tls) == []


@pytest.mark.parametrize(
    ("name", "wide"),
    [
        ("pi", False),
        ("pi-fr", False),
        ("orchard", False),
        ("local.example.org", False),
        ("fr", True),
        ("ORG", True),
        ("local", True),
        ("lan", True),
    ],
)
def test_a_pi_with_the_name_of_a_whole_domain_is_refused(name: str, wide: bool) -> None:
    found = problems_of({name: FLEET})
    assert [one.finding.variable for one in found] == ["lizmap_tls"] * wide
    assert all(f"would be for every name that ends in .{name.lower()}" in one.sentence for one in found)
    assert bool(told(**FLEET, lizmap_server_names=[name])) == wide


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["pi", "pi.local", "192.0.2.1"]),
        (
            {"lizmap_server_name": "Maps.example.org", "lizmap_server_names": ["pi.lan", "PI"]},
            ["maps.example.org", "pi", "pi.local", "192.0.2.1", "pi.lan"],
        ),
        ({"lizmap_url": "https://proxy:8443"}, ["pi", "pi.local", "192.0.2.1", "proxy"]),
        ({"lizmap_url": "https://[fd00::5]"}, ["pi", "pi.local", "192.0.2.1", "fd00::5"]),
        ({"lizmap_url": "https://[fd00"}, ["pi", "pi.local", "192.0.2.1"]),
        ({"lizmap_address": "pi é"}, ["pi", "pi.local", "192.0.2.1"]),
    ],
)
def test_the_names_of_a_pi_are_those_that_it_answers_to(given: dict[str, Any], names: list[str]) -> None:
    assert fleet_authority.names_of(host(**FLEET, **given)) == names
    assert fleet_authority.names_of_all([host(**FLEET, **given), host()]) == names


def test_a_name_that_no_certificate_can_have_is_told_once() -> None:
    assert [one.finding.variable for one in problems(**FLEET, lizmap_server_names=["a:b"])] == ["lizmap_server_names"]
