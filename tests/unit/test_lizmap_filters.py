"""What the role lizmap says of the inventory before anything is changed: its filters, without Ansible."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN = {
    "lizmapConfig": {"global": {"hideSensitiveServicesProperties": "1"}, "services": {"wmsServerURL": "http://x"}},
    "localconfig": {"modules": {"jcommunity.installparam": {"defaultuser": "off"}}},
}


def load(name: str) -> Callable[..., Any]:
    """Give a filter of plugins/filter by its name."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "plugins" / "filter" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    given: Callable[..., Any] = plugin.FilterModule().filters()[name]
    return given


front_problems = load("lizmap_front_problems")
settings_problems = load("lizmap_settings_problems")
settings_texts = load("lizmap_settings_texts")


# Settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lizmapConfig": {"services": {"appName": "Orchard", "onlyMaps": True, "cacheExpiration": 60}}}, ""),
        ({"localconfig": {"global": {"timeZone": "UTC"}}, "profiles": {"smtp:mailer": {"host": "a"}}}, ""),
        ({"mainconfig": {}}, "mainconfig is none of lizmapConfig, localconfig and profiles"),
        ({"localconfig": {"timeZone": "UTC"}}, "localconfig must hold sections"),
        ({"lizmapConfig": {"services": {"wmsServerURL": "http://other"}}}, "wmsServerURL is kept by Poppyfield"),
        (
            {"lizmapConfig": {"global": {"hideSensitiveServicesProperties": 0}}},
            "hideSensitiveServicesProperties is kept",
        ),
        ({"localconfig": {"modules": {"jcommunity.installparam": "x"}}}, "jcommunity.installparam is kept"),
        ({"lizmapConfig": {"repository:fields": {"label": "x"}}}, "the section repository:fields is kept"),
        ({"profiles": {"jdb:jauth": {"driver": "x"}}}, "the section jdb:jauth is kept"),
        ({"localconfig": {"mailer": {"webmasterName": 'the "boss"'}}}, "webmasterName must be a text of one line"),
        ({"localconfig": {"mailer": {"webmasterName": "a\nb"}}}, "webmasterName must be a text of one line"),
        ({"localconfig": {"mailer": {"webmasterName": ["a"]}}}, "webmasterName must be a text of one line"),
        ({"localconfig": {"mailer]": {"webmasterName": "a"}}}, "webmasterName must be a text of one line"),
    ],
)
def test_lizmaps_settings_are_checked(settings: dict[str, Any], words: str) -> None:
    problems = settings_problems(settings, OWN)
    assert len(problems) == bool(words)
    assert words in "".join(problems)


def test_true_and_false_are_written_as_each_file_of_lizmap_wants_them() -> None:
    settings = {
        "lizmapConfig": {"services": {"onlyMaps": True, "debugMode": False, "cacheExpiration": 60}},
        "localconfig": {"jcommunity": {"registrationEnabled": True, "resetPasswordEnabled": False}},
        "profiles": {"smtp:mailer": {"auth_enabled": True, "host": "a", "ratio": 0.5}},
    }
    assert settings_texts(settings) == {
        "lizmapConfig": {"services": {"onlyMaps": "1", "debugMode": "0", "cacheExpiration": "60"}},
        "localconfig": {"jcommunity": {"registrationEnabled": "on", "resetPasswordEnabled": "off"}},
        "profiles": {"smtp:mailer": {"auth_enabled": "on", "host": "a", "ratio": "0.5"}},
    }


# How people reach the map --------------------------------------------------------------------------------------------


USUAL: dict[str, Any] = {"tls": "none", "ports": [80, 443], "files": ["", ""], "hsts_seconds": 0, "proxies": []}


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("", {}, ""),
        ("maps.example.org", {}, ""),
        ("http://maps", {}, "lizmap_server_name: http://maps is no name"),
        ("maps:8080", {}, "without a port"),
        ("maps\n", {}, "is no name"),
        ("", {"tls": "self_signed", "ports": [443, 443]}, "lizmap_port and lizmap_https_port are both 443"),
        ("", {"ports": [443, 443]}, ""),
        ("", {"tls": "files", "files": ["", "/x"]}, "in lizmap_tls_certificate and lizmap_tls_key"),
        ("", {"tls": "files", "files": ["/x", "/y"], "hsts_seconds": 1}, ""),
        ("", {"tls": "self_signed", "hsts_seconds": 1}, "lizmap_hsts_seconds is for a certificate"),
        ("", {"proxies": ["10.0.0.1", "fd00::/8"]}, ""),
        ("", {"proxies": ["10.0.0.1", "proxy"]}, "lizmap_trusted_proxies: proxy is no IP address"),
    ],
)
def test_how_people_reach_the_map_is_checked(name: str, given: dict[str, Any], said: str) -> None:
    problems = front_problems(name, **{**USUAL, **given})
    assert len(problems) == bool(said)
    assert said in " ".join(problems)
