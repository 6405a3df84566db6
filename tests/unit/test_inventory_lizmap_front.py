"""How people are to reach the map is checked before anything is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.inventory_of import FakeLaptop, problems, told

FILES = {"lizmap_tls": "files", "lizmap_tls_certificate": "/x", "lizmap_tls_key": "/y"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ""),
        ({"lizmap_server_name": "maps.example.org"}, ""),
        ({"lizmap_server_name": "192.168.1.2"}, ""),
        ({"lizmap_server_name": "http://maps"}, "lizmap_server_name: http://maps is no name"),
        ({"lizmap_server_name": "maps:8080"}, "is no name"),
        ({"lizmap_server_name": "maps\n"}, "is no name"),
        ({"lizmap_server_name": "märz.example.org"}, "is no name"),
        ({"lizmap_server_names": ["maps.example.org", "192.168.1.2"]}, ""),
        ({"lizmap_server_names": ["maps", "http://maps"]}, "lizmap_server_names: http://maps is no name"),
        ({"lizmap_tls": "self_signed", "lizmap_port": 443}, "lizmap_port and lizmap_https_port are both 443"),
        ({"lizmap_port": 443}, ""),
        ({"lizmap_port": 0}, "lizmap_port: it is no port"),
        ({"lizmap_port": 65535}, ""),
        ({"lizmap_port": 65536}, "lizmap_port: it is no port"),
        ({"lizmap_tls": "self_signed", "lizmap_https_port": -1}, "lizmap_https_port: it is no port"),
        ({**FILES, "lizmap_tls_certificate": ""}, "lizmap_tls is files, so name your files"),
        ({**FILES, "lizmap_hsts_seconds": 1}, ""),
        ({"lizmap_tls": "self_signed", "lizmap_hsts_seconds": 1}, "lizmap_hsts_seconds is for a certificate"),
        ({"lizmap_tls": "fleet", "lizmap_hsts_seconds": 1}, "lizmap_hsts_seconds is for a certificate"),
        ({"lizmap_hsts_seconds": 1}, "lizmap_hsts_seconds: lizmap_hsts_seconds is for a certificate"),
        ({"lizmap_hsts_seconds": -1}, "lizmap_hsts_seconds: it is no number of seconds"),
        ({"lizmap_bind_address": "127.0.0.1"}, ""),
        ({"lizmap_bind_address": "::"}, ""),
        ({"lizmap_bind_address": "eth0"}, "lizmap_bind_address: it is no IP address"),
        ({"lizmap_bind_address": "fe80::1%eth0"}, "lizmap_bind_address: it is no IP address"),
        ({"lizmap_tls": "self_signed", "lizmap_address": "fd00::5"}, ""),
        ({"lizmap_tls": "self_signed", "lizmap_address": "pi é"}, 'cannot be for lizmap_address ("pi é")'),
        ({"lizmap_tls": "fleet", "lizmap_address": "pi é"}, 'cannot be for lizmap_address ("pi é")'),
        ({"lizmap_address": "pi é"}, ""),
        ({"lizmap_bind_address": "127.0.0.1:80"}, "lizmap_bind_address: it is no IP address"),
    ],
)
def test_how_people_reach_the_map_is_checked(given: dict[str, Any], said: str) -> None:
    found = told(**given)
    assert len(found) == bool(said)
    assert said in " ".join(found)


@pytest.mark.parametrize(
    ("proxy", "good"),
    [
        ("10.0.0.1", True),
        ("10.0.0.0/8", True),
        ("10.0.0.1/8", True),
        ("fd00::/8", True),
        ("::1", True),
        ("proxy", False),
        ("", False),
        ("10.0.0.256", False),
        ("10.0.0", False),
        ("10.0.0.0/33", False),
        ("10.0.0.0/0.255.255.255", False),
        ("10.0.0.0/", False),
        ("1.2.3.4/8/8", False),
        ("fe80::1%eth0", False),
        ("abc", False),
        ("...", False),
    ],
)
def test_a_proxy_is_an_address_or_a_network(proxy: str, good: bool) -> None:
    found = told(lizmap_trusted_proxies=["10.1.1.1", proxy])
    assert found == (
        [] if good else [f"lizmap_trusted_proxies: {proxy} is no IP address, and no network as 10.0.0.0/8"]
    )


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("http://192.168.1.21:80", True),
        ("https://maps.example.org", True),
        ("https://maps.example.org/map/", True),
        ("http://[fd00::5]:80", True),
        ("http://märz.local:80", True),
        ("http://fd00::5:80", False),
        ("maps.example.org", False),
        ("ftp://maps.example.org", False),
        ("http://", False),
        ("http://maps:99999", False),
        ("http://maps:eighty", False),
        ("http://maps example:80", False),
        ("http://maps/?x=1", False),
    ],
)
def test_the_address_at_which_the_laptop_asks(url: str, good: bool) -> None:
    assert told(lizmap_url=url) == ([] if good else ["lizmap_url: it is no address of a web server"])


@pytest.mark.field("A9", "an IPv6 address as ansible_host, also with a zone")
def test_an_address_that_means_something_on_this_laptop_only_is_refused_by_name(
    record_property: Callable[[str, object], None],
) -> None:
    (found,) = problems(lizmap_url="http://[fe80::1%eth0]:80", lizmap_address="fe80::1%eth0")
    record_property("message", f"{found.finding.variable}: {found.finding.wrong}. {found.finding.remedy}.")
    assert (found.finding.variable, "zone" in found.finding.wrong) == ("lizmap_address", True)
    assert "ansible_host may stay" in found.finding.remedy


def test_files_that_are_not_there_are_told_each() -> None:
    found = problems(FakeLaptop(missing=["/x", "/y"]), **FILES)
    assert [one.finding.variable for one in found] == ["lizmap_tls_certificate", "lizmap_tls_key"]
    assert found[0].finding.wrong == "it is not a file on this laptop"
    assert "or set lizmap_tls to self_signed" in found[0].finding.remedy
    assert told(FakeLaptop(missing=["/x"]), **{**FILES, "lizmap_tls": "self_signed"}) == []


def test_a_certificate_that_will_not_do_is_told() -> None:
    assert told(FakeLaptop(), **FILES) == []
    (found,) = problems(FakeLaptop(certificate="it expired"), **FILES, lizmap_server_name="maps.example.org")
    assert found.finding.wrong == "it expired"
    assert found.finding.remedy.startswith("Give a certificate for maps.example.org and its key, both in PEM")
