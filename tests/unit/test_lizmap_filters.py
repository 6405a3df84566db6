"""The filters of the role lizmap, without Ansible."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from tests.gallery import report
from tests.images.projects import Layer, qgs

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> Callable[..., Any]:
    """Give a filter of plugins/filter by its name."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "plugins" / "filter" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    given: Callable[..., Any] = plugin.FilterModule().filters()[name]
    return given


settings_texts = load("lizmap_settings_texts")
maps_of_folders = load("maps_of_folders")
edited_layers = load("edited_layers")
fails_as_before = load("fails_as_before")
last_errors = load("lizmap_last_errors")


# Settings ------------------------------------------------------------------------------------------------------------


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


# Maps ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fields", "fields [2026]", "a*", "what?", "été"])
def test_the_maps_of_a_folder_are_found_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name / "deeper.qgs").mkdir(parents=True)
    for file in ("b.qgs", "a [1].qgz", ".hidden.qgs", "old.qgs~", "b.qgs.cfg", "B.QGS"):
        (tmp_path / name / file).touch()
    given = {"repository": "fields", "folder": str(tmp_path / name)}
    expected, found = ["fields/a [1]", "fields/b"], maps_of_folders([given])
    report.record(f"folder {name}, its maps to verify", "project", "map page", *map(", ".join, (expected, found)))
    assert found == expected


def test_a_folder_without_maps_is_not_taken_for_one_that_is_gone(tmp_path: Path) -> None:
    assert maps_of_folders([{"repository": "fields", "folder": str(tmp_path)}]) == []
    with pytest.raises(AnsibleFilterError, match="/gone of lizmap_projects cannot be read: No such file"):
        maps_of_folders([{"repository": "fields", "folder": str(tmp_path / "gone")}])


# Layers that are edited ----------------------------------------------------------------------------------------------


def edit(layer: Layer, capability: str = "True") -> dict[str, Any]:
    return {"layerId": layer.id, "capabilities": {"createFeature": capability, "deleteFeature": "True"}}


def test_the_layers_that_people_may_add_features_to_have_their_tables(tmp_path: Path) -> None:
    sources = {
        "trees": "service='poppyfield' key='id' table=\"forest\".\"o'brien\" (geom)",
        "plain": "service='poppyfield' table=\"plain\"",
        "elsewhere": 'host=office table="public"."trees"',
    }
    layers = {name: Layer(source, provider="postgres", name=name) for name, source in sources.items()}
    layers["file"] = Layer("./a.gpkg", name="file")
    read_only = Layer('service=\'poppyfield\' table="public"."old"', provider="postgres", name="old")
    (tmp_path / "map.qgs").write_text(qgs([*layers.values(), read_only]))
    cfg = {"odd": {"capabilities": 1}, **{name: edit(layer) for name, layer in layers.items()}}
    cfg["old"] = edit(read_only, "False")
    (tmp_path / "map.qgs.cfg").write_text(json.dumps({"editionLayers": cfg}))
    given = [{"repository": "fields", "folder": str(tmp_path)}]
    found = {layer["layer"]: layer for layer in edited_layers(given, ["fields/map"])}
    assert found["trees"] == {
        **{"map": "fields/map", "layer": "trees", "layer_id": layers["trees"].id},
        **{"schema": "forest", "table": "o'brien", "key": "id"},
    }
    tables = {name: (layer["schema"], layer["table"], layer["key"]) for name, layer in found.items() if name != "trees"}
    assert tables == {"plain": ("", "plain", ""), "elsewhere": ("", "", ""), "file": ("", "", "")}
    assert edited_layers(given, ["fields/other"]) == []


@pytest.mark.parametrize("cfg", ["", "[]", "{}", '{"editionLayers": []}', '{"editionLayers": {"a": 1}}', "[" * 100_000])
def test_settings_that_name_no_such_layer(tmp_path: Path, cfg: str) -> None:
    (tmp_path / "map.qgs").write_text("no project")
    given = [{"repository": "fields", "folder": str(tmp_path)}]
    assert edited_layers(given, ["fields/map"]) == []
    (tmp_path / "map.qgs.cfg").write_text(cfg)
    assert edited_layers(given, ["fields/map"]) == []


def test_a_project_that_cannot_be_read_has_no_such_layer(tmp_path: Path) -> None:
    (tmp_path / "map.qgs").write_text("no project")
    (tmp_path / "map.qgs.cfg").write_text(json.dumps({"editionLayers": {"a": edit(Layer("a"))}}))
    assert edited_layers([{"repository": "fields", "folder": str(tmp_path)}], ["fields/map"]) == []


# What the container before could not show either ---------------------------------------------------------------------

GONE = "public.trees is not in the Pi's database."


def asked(
    check: str = "picture", detail: str = GONE, *, ok: bool = False, item: str = "fields/meadow"
) -> dict[str, Any]:
    checks = [{"check": "catalogue", "ok": True, "detail": "1 projects"}, {"check": check, "ok": ok, "detail": detail}]
    return {"item": item, "failed": not ok, "checks": checks}


def test_one_that_fails_alike_is_no_fault() -> None:
    before = {"results": [asked(item="fields/other", ok=True), asked()]}
    assert fails_as_before(asked(), "fields/meadow", before)
    assert not fails_as_before(asked(item="fields/other"), "fields/other", before)


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (asked(), {}),
        (asked(), {"results": []}),
        (asked(), {"results": [asked(ok=True)]}),
        (asked(), {"results": [asked(item="fields/other")]}),
        (asked(), {"results": [asked(detail="other words")]}),
        (asked(), {"results": [asked("features")]}),
        # Not published yet, or asked of nobody who may see it.
        (asked("capabilities", "HTTP 404 Not Found"), {"results": [asked("capabilities", "HTTP 404 Not Found")]}),
        (asked("catalogue"), {"results": [asked("catalogue")]}),
        (asked("page"), {"results": [asked("page")]}),
        # It ended without an answer, as when the laptop has no requests.
        (
            {"item": "fields/meadow", "failed": True, "msg": "x"},
            {"results": [{"item": "fields/meadow", "failed": True}]},
        ),
    ],
)
def test_any_other_failure_is_one_of_the_release(now: dict[str, Any], before: dict[str, Any]) -> None:
    assert not fails_as_before(now, "fields/meadow", before)


# What Lizmap wrote ---------------------------------------------------------------------------------------------------

LOG = (
    "rest of a line\t/srv/a.php\t12\n\n"
    "2026-11-29 08:00:00\t[2]\tof another day\t/srv/a.php\t1\n\n"
    "2026-11-29 20:00:00\t[0]\tsame\t/srv/a.php\t1\n\n"
    "2026-11-29 20:00:01\t[402]\tinvalid query\n(ERROR: column &quot;twice&quot;\x1b[31m can only be DEFAULT)"
    "\t/srv/db.php\t99\n\n"
    "2026-11-29 20:00:05\t[0]\tsame\t/srv/a.php\t1\n\n"
)


def test_what_lizmap_wrote_last_is_given_once_in_one_line_and_with_its_time() -> None:
    assert last_errors(LOG) == [
        '2026-11-29 20:00:01: invalid query (ERROR: column "twice" can only be DEFAULT)',
        "2026-11-29 20:00:05: same",
    ]


def test_of_many_entries_the_last_are_given_and_of_long_ones_the_beginning() -> None:
    entries = [f"2026-11-29 20:00:0{number}\t[0]\t{number}{'x' * 500}\t/srv/a.php\t1\n\n" for number in range(9)]
    found = last_errors("".join(entries))
    assert [words[21] for words in found] == ["6", "7", "8"]
    assert all(len(words) < 430 and words.endswith("x…") for words in found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("sudo: a password is required\n", []),
        # As Jelix writes what is no error of PHP.
        ("2026-11-29 20:00:00\t10.0.0.9\terror\tno file\n", ["2026-11-29 20:00:00: 10.0.0.9 error no file"]),
    ],
)
def test_what_is_no_entry_is_not_quoted_and_other_entries_are(text: str, found: list[str]) -> None:
    assert last_errors(text) == found
