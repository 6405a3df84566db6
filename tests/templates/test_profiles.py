"""A profile is one for the fleet, reaches the build, and what does not go together is refused with what does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from module_utils.poppyfield.requirements import PROFILE_ARCHITECTURES
from tests.doubles.archives import archive, lizmap_files, plugin_files

ROOT = Path(__file__).resolve().parents[2]
Render = Callable[..., Any]
Play = Callable[..., dict[str, str]]
PROFILES = yaml.safe_load((ROOT / "roles/arm_images/vars/main.yml").read_text())["__arm_images_profiles"]
ROLE = {"role_path": str(ROOT / "roles" / "arm_images")}


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Return a function that runs tasks on hosts with these variables and gives the message of each that fails."""

    def run(tasks: list[dict[str, Any]], hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory = {
            "pis": {"hosts": {name: {**local, **given} for name, given in hosts.items()}},
            "builders": {"hosts": {"builder": local}},
        }
        variables = [f"{ROOT}/roles/arm_images/vars/main.yml"]
        plays = [{"hosts": "pis", "gather_facts": False, "vars_files": variables, "tasks": tasks}]
        (tmp_path / "hosts.yml").write_text(json.dumps(inventory))
        (tmp_path / "play.yml").write_text(json.dumps(plays))
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(tmp_path / "hosts.yml")]
        done = subprocess.run(
            [*command, str(tmp_path / "play.yml")], cwd=ROOT, capture_output=True, text=True, check=False
        )
        failures = re.findall(
            r"^fatal: \[([^\]]+)\]: FAILED! => (.+?)(?=^\S|\Z)", done.stdout, re.MULTILINE | re.DOTALL
        )
        assert failures or done.returncode == 0, done.stdout + done.stderr
        return {host.split(" ")[0]: " ".join(text.split()) for host, text in failures}

    return run


def preflight(role: str) -> list[dict[str, Any]]:
    return [{"ansible.builtin.include_role": {"name": role, "tasks_from": "preflight.yml"}}]


def test_the_profiles_are_for_the_architectures_that_hosts_are_admitted_with() -> None:
    for_pis = {name: tuple(sorted({*has["architectures"]} - {"amd64"})) for name, has in PROFILES.items()}
    assert for_pis == PROFILE_ARCHITECTURES
    options = yaml.safe_load((ROOT / "roles/arm_images/meta/argument_specs.yml").read_text())
    assert options["argument_specs"]["main"]["options"]["arm_images_profile"]["choices"] == list(PROFILES)


def test_a_build_by_hand_has_the_versions_of_the_default_profile() -> None:
    for image, argument, version in (("postgis", "POSTGRESQL_VERSION", "postgresql"), ("lizmap", "PHP_VERSION", "php")):
        dockerfile = (ROOT / "images" / image / "Dockerfile").read_text()
        assert f"ARG {argument}={PROFILES['trixie'][version]}\n" in dockerfile


@pytest.mark.parametrize("profile", ["trixie", "bookworm"])
def test_the_builder_builds_what_the_pis_say_and_not_its_own_default(render: Render, profile: str) -> None:
    chosen = {"profile": profile, "base_image": "example/base:1", "pull": True, "cache_folder": "/theirs"}
    fleet = {"groups": {"pis": ["pi"]}, "hostvars": {"pi": {"__arm_images_chosen": chosen}}}
    given = {**ROLE, **fleet, "arm_images_cache_folder": "/own", "__arm_images_architecture": "arm64"}
    said = render("arm_images", "{{ __arm_images_tag_prefix }} {{ __arm_images_base_reference }}", **given)
    assert said == f"{profile}-arm64 example/base:1"
    assert render("arm_images", "{{ __arm_images_log }}", **given) == "/theirs/build.log"
    assert render("arm_images", "{{ __arm_images_profile.php }}", **given) == PROFILES[profile]["php"]


NEEDED = dict.fromkeys(("3.8", "3.9", "3.1", "4.0"), "2.13.0") | {"3.7": "2.12.0"}
"""The least version of the plugin lizmap_server by that of Lizmap, of which the first three characters are enough."""


def with_lizmap(folder: Path, version: str, **given: Any) -> dict[str, Any]:
    """Give the variables of a Pi with this Lizmap and a plugin that goes with it."""
    folder = folder / version
    folder.mkdir(exist_ok=True)
    return {
        "lizmap_archive": str(archive(folder / "lizmap.zip", lizmap_files(version, plugin=NEEDED[version[:3]]))),
        "lizmap_server_plugin": str(archive(folder / "plugin.zip", plugin_files("lizmap_server", "2.15.3"))),
        "lizmap_archive_record": str(folder / "record"),
        "arm_images_cache_folder": str(folder),
        "arm_images_profile": "trixie",
        "postgis_roles": [],
        "postgis_databases": [],
        **given,
    }


@pytest.mark.parametrize(("version", "goes"), [("3.8.20", False), ("3.9.11", True)])
def test_lizmap_goes_with_the_profile(play: Play, tmp_path: Path, version: str, goes: bool) -> None:
    said = play(preflight("lizmap"), {"pi": with_lizmap(tmp_path, version)})
    if goes:
        assert said == {}
    else:
        assert f"lizmap_archive is Lizmap Web Client {version}, which does not go with" in said["pi"]
        assert "The profile bookworm is for arm64 and armhf with PostgreSQL 15, PostGIS 3.3," in said["pi"]
        assert "PHP 8.4 and Lizmap Web Client 3.9 or later with lizmap_server 2.13 or later." in said["pi"]


def test_a_plugin_that_does_not_go_with_qgis_server_is_named_with_its_variable(play: Play, tmp_path: Path) -> None:
    plugin = {"source": str(archive(tmp_path / "x.zip", plugin_files("atlasprint", "9.0", "4.0")))}
    said = play(preflight("lizmap"), {"pi": with_lizmap(tmp_path, "3.9.9", lizmap_server_extra_plugins=[plugin])})
    assert "lizmap_server_extra_plugins: atlasprint 9.0 needs QGIS Server 4.0 or later" in said["pi"]


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (("lizmap_server", "2.12.0", "3.22"), ""),
        (
            ("lizmap_server", "2.11.2", "3.16"),
            "lizmap_server 2.11.2, but Lizmap Web Client 3.7.17 needs 2.12.0 or later",
        ),
        (("lizmap_server", "2.13.3", "3.28"), "lizmap_server 2.13.3 needs QGIS Server 3.28 or later"),
    ],
)
def test_the_old_lizmap_of_bookworm_has_one_series_of_the_plugin(
    play: Play, tmp_path: Path, plugin: tuple[str, str, str], words: str
) -> None:
    path = str(archive(tmp_path / "plugin.zip", plugin_files(*plugin)))
    given = {"lizmap_server_plugin": path, "arm_images_profile": "bookworm"}
    said = play(preflight("lizmap"), {"pi": with_lizmap(tmp_path, "3.7.17", **given)})
    assert bool(said) is bool(words)
    assert words in said.get("pi", "")
    if words:
        assert "Lizmap Web Client 3.7 with lizmap_server 2.12." in said["pi"]


def test_an_archive_that_holds_something_else_is_named_with_its_variable(play: Play, tmp_path: Path) -> None:
    plugin = {"source": str(archive(tmp_path / "x.zip", {"x/readme.txt": ""}))}
    said = play(preflight("lizmap"), {"pi": with_lizmap(tmp_path, "3.9.9", lizmap_server_extra_plugins=[plugin])})
    message = said["pi"].rpartition('"msg": ')[2]
    assert message.startswith(f'"Nothing was changed. lizmap_server_extra_plugins: {tmp_path}/x.zip is not what')


def test_one_fleet_has_one_profile(play: Play) -> None:
    same = {"old": {"arm_images_profile": "bookworm"}, "new": {"arm_images_profile": "bookworm"}}
    assert play(preflight("arm_images"), same) == {}
    said = play(preflight("arm_images"), {**same, "new": {}})
    assert set(said) == {"old", "new"}
    assert "must be the same for every Pi" in said["new"]
    assert "the profile bookworm serves all" in said["new"]


def test_an_architecture_that_the_profile_has_no_packages_for_is_not_built(play: Play) -> None:
    wanted = {"arm_images_architectures": ["armhf"], "arm_images_profile": "trixie"}
    said = play([{"ansible.builtin.include_role": {"name": "arm_images"}}], {"pi": wanted})
    assert "the profile trixie has no images for armhf" in said["pi"]
