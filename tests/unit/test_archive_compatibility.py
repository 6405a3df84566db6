"""Which archives of Lizmap and its plugins go with the images and with each other."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.images import profiles
from ansible.module_utils.poppyfield.lizmap.archive_compatibility import archive_notes, archive_problems

ROOT = Path(__file__).resolve().parents[2]
PROFILES = profiles.table()


def lizmap(version: str = "3.9.9", plugin: str = "2.13.0") -> dict[str, Any]:
    return {"version": version, "requires": {"lizmap_server": plugin} if plugin else {}}


def plugin(name: str = "lizmap_server", version: str = "2.15.3", qgis: str = "3.22") -> dict[str, Any]:
    variable = "lizmap_server_plugin" if name.startswith("lizmap") else "lizmap_server_extra_plugins"
    requires = {"qgis_server": qgis} if qgis else {}
    return {"name": name, "version": version, "requires": requires, "item": {"variable": variable}}


@pytest.mark.parametrize(
    ("profile", "version", "goes"),
    [
        ("trixie", "3.8.20", False),
        ("trixie", "3.7.17", False),
        ("bookworm", "3.9.11", False),
        ("bookworm", "3.10.0-rc.1", False),
        ("trixie", "3.9.11", True),
        ("trixie", "3.10.0", True),
        ("trixie", "3.10.0-rc.1", True),
        ("trixie", "4.0.0", True),
        ("trixie", "3.9.0-rc.1", True),
        ("trixie", "3.9.10-pre", True),
        ("trixie", "3.8.99", False),
        ("bookworm", "3.8.0-alpha.1", False),
        ("bookworm", "3.7.0-rc.3", True),
        ("trixie", "master", True),
        ("bookworm", "master", True),
        ("bookworm", "3.7.17", True),
    ],
)
def test_lizmap_goes_with_the_profiles_that_have_its_qgis_server_and_php(
    profile: str, version: str, goes: bool
) -> None:
    has = PROFILES[profile]
    words = (
        f"lizmap_archive is Lizmap Web Client {version}, which does not go with QGIS Server {has['qgis_server']} and "
        f"PHP {has['php']} of the images"
    )
    problems = archive_problems([lizmap(version), plugin()], has)
    assert [problem.startswith(words) for problem in problems] == ([] if goes else [True])


def test_the_examples_own_versions_go_together_and_are_those_that_were_tested() -> None:
    """Who copies the inventory is warned of nothing."""
    text = (ROOT / "inventory" / "example" / "group_vars" / "pis.yml").read_text("utf-8")
    named = dict(re.findall(r"^(lizmap_archive|lizmap_server_plugin): .*?(\d+\.\d+\.\d+)\.zip$", text, re.MULTILINE))
    releases = [lizmap(named["lizmap_archive"]), plugin(version=named["lizmap_server_plugin"])]
    assert archive_problems(releases, PROFILES["trixie"]) == archive_notes(releases, PROFILES["trixie"]) == []
    assert named["lizmap_archive"] == PROFILES["trixie"]["lizmap_tested"]


@pytest.mark.parametrize(
    ("plugins", "words"),
    [
        ([plugin(version="2.13.0"), plugin("atlasprint", "3.4.4", "3.28")], []),
        ([plugin(version="2.15.3-beta", qgis="")], []),
        ([plugin(version="master")], []),
        ([plugin(version="2.13.0-rc.1")], ["lizmap_server 2.13.0-rc.1, but Lizmap Web Client 3.9.9 needs 2.13.0"]),
        ([plugin(version="2.9.12")], ["lizmap_server 2.9.12, but Lizmap Web Client 3.9.9 needs 2.13.0 or later"]),
        ([plugin(version="2.14.0", qgis="any")], []),
        ([plugin(version="2.12.9")], ["lizmap_server 2.12.9, but Lizmap Web Client 3.9.9 needs 2.13.0 or later"]),
        ([plugin("lizmap", "4.4.9")], ["lizmap_server_plugin must be the plugin lizmap_server, not lizmap."]),
        ([plugin(version="9.0", qgis="4.2")], ["lizmap_server_plugin: lizmap_server 9.0 needs QGIS Server 4.2 or"]),
        (
            [plugin(), plugin("atlasprint", "9.0", "4.0")],
            ["lizmap_server_extra_plugins: atlasprint 9.0 needs QGIS Server 4.0 or later, but the images have 3.40"],
        ),
        ([plugin(), plugin()], ["lizmap_server_extra_plugins names a plugin twice."]),
        ([plugin(version="1.0", qgis="4.0")], ["lizmap_server 1.0, but", "needs QGIS Server 4.0"]),
    ],
)
def test_plugins_go_with_lizmap_and_with_qgis_server(plugins: list[dict[str, Any]], words: list[str]) -> None:
    problems = archive_problems([lizmap(), *plugins], PROFILES["trixie"])
    assert [words in problem for problem, words in zip(problems, words, strict=True)] == [True] * len(words)


def test_a_lizmap_that_does_not_tell_which_plugin_it_needs_takes_any() -> None:
    assert archive_problems([lizmap(plugin=""), plugin(version="0.1")], PROFILES["trixie"]) == []


@pytest.mark.parametrize(
    ("releases", "noted"),
    [
        ([lizmap(), plugin()], []),
        (
            [lizmap("3.9.0-rc.1"), plugin(version="2.15.3-beta"), plugin("x", "v1.2", "3.22.1-Bialowieza")],
            ["qgis_server"],
        ),
        ([lizmap("master"), plugin()], ["lizmap_archive: Lizmap Web Client master is no version that can be compared"]),
        ([lizmap(), plugin(version="master")], ["lizmap_server_plugin: lizmap_server master is no version that can"]),
        (
            [lizmap(plugin="dev"), plugin(), plugin("wfs", "nightly 3")],
            [
                "wants lizmap_server dev, which is no version",
                "lizmap_server_extra_plugins: wfs nightly 3 is no version",
            ],
        ),
    ],
)
def test_what_cannot_be_compared_is_let_through_with_a_note(releases: list[dict[str, Any]], noted: list[str]) -> None:
    assert archive_problems(releases, PROFILES["trixie"]) == []
    notes = archive_notes(releases, PROFILES["trixie"])
    assert [words in note for words, note in zip(noted, notes, strict=True)] == [True] * len(noted)


@pytest.mark.parametrize(
    ("profile", "version", "newer"),
    [
        ("trixie", PROFILES["trixie"]["lizmap_tested"], False),
        ("trixie", "3.9.0", False),
        ("trixie", "3.9.10-pre", True),
        ("trixie", "3.10.0", True),
        ("trixie", "master", False),
        ("bookworm", "3.7.99", True),
    ],
)
def test_a_lizmap_that_is_newer_than_what_was_tested_is_told(profile: str, version: str, newer: bool) -> None:
    notes = archive_notes([lizmap(version), plugin()], PROFILES[profile])
    assert any("is newer than" in note and "Look at the maps" in note for note in notes) == newer


def test_the_filter_warns_of_what_cannot_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "plugins" / "filter" / "lizmap_archive_problems.py"
    spec = importlib.util.spec_from_file_location("lizmap_archive_problems", path)
    assert spec is not None and spec.loader is not None
    given = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(given)
    warned: list[str] = []
    monkeypatch.setattr(given.Display, "warning", lambda _, words: warned.append(words))
    problems = given.FilterModule().filters()["lizmap_archive_problems"]
    assert problems([lizmap(), plugin(version="master")], PROFILES["trixie"]) == []
    assert problems([lizmap("3.8.1"), plugin()], PROFILES["trixie"])
    assert len(warned) == 1 and "lizmap_server master" in warned[0]
