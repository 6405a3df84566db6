"""The operator's page of a Pi needs a good password, and a way on which nobody else reads it."""

from __future__ import annotations

import pytest

from tests.unit.inventory_of import told

PASSWORD = "correct horse battery"


def test_without_a_password_there_is_nothing_to_check() -> None:
    assert told() == [] and told(lizmap_tls="none", pi_page_enabled=False) == []


def test_it_goes_with_https_a_proxy_or_a_network_that_is_trusted() -> None:
    for more in (
        {"lizmap_tls": "self_signed"},
        {"lizmap_tls": "none", "lizmap_trusted_proxies": ["192.0.2.7"]},
        {"lizmap_tls": "none", "pi_page_operator_over_http": True},
    ):
        assert told(pi_page_operator_password=PASSWORD, **more) == []
    (problem,) = told(pi_page_operator_password=PASSWORD, lizmap_tls="none")
    assert problem.startswith("pi_page_operator_password: without HTTPS (lizmap_tls: none) others")


@pytest.mark.parametrize("password", ["elevenchars", "x" * 201, "with a tab\tin it"])
def test_a_password_that_does_not_protect_is_refused_and_not_shown(password: str) -> None:
    (problem,) = told(pi_page_operator_password=password, lizmap_tls="self_signed")
    assert "too short or too long" in problem and password not in problem


def test_it_needs_the_page() -> None:
    (problem,) = told(pi_page_operator_password=PASSWORD, lizmap_tls="self_signed", pi_page_enabled=False)
    assert problem == "pi_page_operator_password: the operator's page needs pi_page_enabled"
