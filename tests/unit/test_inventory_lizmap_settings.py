"""Settings of Lizmap that its files could not hold, or that the container depends on, are told before."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.inventory_of import FakeLaptop, told

OWN = {
    "lizmapConfig": {"global": {"hideSensitiveServicesProperties": "1"}, "services": {"wmsServerURL": "http://x"}},
    "localconfig": {"modules": {"jcommunity.installparam": {"defaultuser": "off"}}},
}


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
        ({"localconfig": {True: {"x": "a"}}}, "YAML reads x of True as a truth value"),
        ({"localconfig": {"mailer": {False: "a"}}}, "YAML reads False of mailer as a truth value"),
        ({"localconfig": {1: {2: 3}}}, ""),
        ({1: {}}, "1 is none of lizmapConfig"),
    ],
)
def test_lizmaps_settings_are_checked(settings: dict[str, Any], words: str) -> None:
    found = told(FakeLaptop(own_settings=OWN), lizmap_settings=settings)
    assert len(found) == bool(words)
    assert words in "".join(found)


def test_the_settings_that_the_image_keeps_are_refused() -> None:
    settings = {"lizmapConfig": {"services": {"wmsServerURL": "http://other", "appName": "Orchard"}}}
    (found,) = told(lizmap_settings=settings)
    assert found.startswith("lizmap_settings: lizmapConfig: wmsServerURL is kept by Poppyfield")
