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


def test_lizmap_goes_with_the_profiles_that_have_its_qgis_server_and_php(play: Play) -> None:
    cases = {
        "refused": [("trixie", "3.8.20"), ("trixie", "3.7.17"), ("bookworm", "3.9.11"), ("bookworm", "3.10.0-rc.1")],
        "taken": [("trixie", "3.9.11"), ("trixie", "3.10.0"), ("trixie", "4.0.0"), ("bookworm", "3.7.17")],
    }
    hosts = {
        f"{kind}-{profile}-{version}": {
            "arm_images_profile": profile,
            "lizmap_archive": f"/no/such/lizmap-web-client-{version}.zip",
            "lizmap_server_plugin": "/no/such/plugin.zip",
        }
        for kind, found in cases.items()
        for profile, version in found
    }
    said = play(preflight("lizmap"), hosts)
    refused = {host for host, message in said.items() if "does not go with" in message}
    assert refused == {host for host in hosts if host.startswith("refused")}
    message = said["refused-bookworm-3.9.11"]
    assert "QGIS Server 3.22 and PHP 8.2" in message
    assert "The profile bookworm is for arm64 and armhf with PostgreSQL 15, PostGIS 3.3," in message
    assert "PHP 8.4 and Lizmap Web Client 3.9 or later." in message


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
