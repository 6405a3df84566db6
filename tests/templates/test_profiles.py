"""A profile is one for the fleet, reaches the build, and what does not go together is refused with what does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.services import SERVICES
from ansible.module_utils.poppyfield.images import profiles

from tests.doubles.archives import archive, lizmap_files, plugin_files

ROOT = Path(__file__).resolve().parents[2]
Render = Callable[..., Any]
Play = Callable[..., dict[str, str]]
PROFILES = profiles.table()
ROLE = {"role_path": str(ROOT / "roles" / "arm_images")}


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Return a function that runs tasks on hosts with these variables and gives the message of each that fails."""

    def run(tasks: list[dict[str, Any]], hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory = {"pis": {"hosts": {name: {**local, **given} for name, given in hosts.items()}}}
        plays = [{"hosts": "pis", "gather_facts": False, "tasks": tasks}]
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
        assert "DEPRECATION" not in done.stdout + done.stderr
        return {host.split(" ")[0]: " ".join(text.split()) for host, text in failures}

    return run


# The facts of the first look, as far as the role reads them.
LOOK: dict[str, Any] = {
    "ansible.builtin.set_fact": {
        "poppyfield_pi": {"architecture": "{{ architecture }}", "images": "{{ images_there | default({}) }}"},
        "cacheable": True,
    }
}
BUILD = [LOOK, {"ansible.builtin.include_role": {"name": "arm_images"}}]


ARCHIVES: list[dict[str, Any]] = [{"ansible.builtin.include_role": {"name": "lizmap", "tasks_from": "archives.yml"}}]


@pytest.mark.parametrize("profile", ["trixie", "bookworm"])
def test_the_build_follows_the_variables_of_the_fleet(render: Render, profile: str) -> None:
    chosen = {"arm_images_profile": profile, "arm_images_base_image": "example/base:1"}
    given = {**ROLE, **chosen, "arm_images_cache_folder": "/own", "__arm_images_architecture": "arm64"}
    said = render("arm_images", "{{ __arm_images_tag_prefix }} {{ __arm_images_base_reference }}", **given)
    assert said == f"{profile}-arm64 example/base:1"
    assert render("arm_images", "{{ __arm_images_log }}", **given) == "/own/build.log"


@pytest.mark.parametrize("profile", ["trixie", "bookworm"])
def test_each_service_is_built_with_its_versions_of_the_profile(render: Render, profile: str) -> None:
    for service in SERVICES:
        given = {**ROLE, "arm_images_profile": profile, "__arm_images_service": asdict(service)}
        arguments = render("arm_images", "{{ __arm_images_versions }}", **given)
        assert arguments == {name: PROFILES[profile][version] for name, version in service.build_arguments.items()}


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
        **given,
    }


@pytest.mark.parametrize(("version", "goes"), [("3.8.20", False), ("3.9.11", True)])
def test_lizmap_goes_with_the_profile(play: Play, tmp_path: Path, version: str, goes: bool) -> None:
    said = play(ARCHIVES, {"pi": with_lizmap(tmp_path, version)})
    if goes:
        assert said == {}
    else:
        assert f"lizmap_archive is Lizmap Web Client {version}, which does not go with" in said["pi"]
        assert "The profile bookworm is for arm64 and armhf with PostgreSQL 15, PostGIS 3.3," in said["pi"]
        assert "PHP 8.4 and Lizmap Web Client 3.9 or later with lizmap_server 2.13 or later." in said["pi"]


def test_a_plugin_that_does_not_go_with_qgis_server_is_named_with_its_variable(play: Play, tmp_path: Path) -> None:
    plugin = {"source": str(archive(tmp_path / "x.zip", plugin_files("atlasprint", "9.0", "4.0")))}
    said = play(ARCHIVES, {"pi": with_lizmap(tmp_path, "3.9.9", lizmap_server_extra_plugins=[plugin])})
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
    said = play(ARCHIVES, {"pi": with_lizmap(tmp_path, "3.7.17", **given)})
    assert bool(said) is bool(words)
    assert words in said.get("pi", "")
    if words:
        assert "Lizmap Web Client 3.7 with lizmap_server 2.12." in said["pi"]


def test_an_archive_that_holds_something_else_is_named_with_its_variable(play: Play, tmp_path: Path) -> None:
    plugin = {"source": str(archive(tmp_path / "x.zip", {"x/readme.txt": ""}))}
    said = play(ARCHIVES, {"pi": with_lizmap(tmp_path, "3.9.9", lizmap_server_extra_plugins=[plugin])})
    message = said["pi"].rpartition('"msg": ')[2]
    assert message.startswith(f'"Nothing was changed. lizmap_server_extra_plugins: {tmp_path}/x.zip is not what')


def test_an_architecture_that_the_profile_has_no_packages_for_is_not_built(play: Play) -> None:
    said = play(BUILD, {"pi": {"architecture": "armhf", "arm_images_profile": "trixie"}})
    assert "the profile trixie has no images for armhf" in said["pi"]


def test_an_image_without_its_application_is_not_built(play: Play) -> None:
    said = play(BUILD, {"pi": {"architecture": "arm64"}})
    assert "arm_images_applications has none for lizmap: the playbook must hand it over" in said["pi"]


# The images of a run -------------------------------------------------------------------------------------------------


@pytest.fixture
def fleet(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that runs tasks on Pis in check mode, and gives a fact of each by its name."""

    def run(
        tasks: list[dict[str, Any]], pis: Mapping[str, Mapping[str, Any]], *options: str, fact: str = "arm_images_built"
    ) -> dict[str, Any]:
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        # As an inventory may name the laptop: what it says of it is nothing that Ansible could use.
        laptop = {"ansible_connection": "ssh", "ansible_python_interpreter": "/none", "ansible_host": "192.0.2.1"}
        shared = {
            "arm_images_cache_folder": str(tmp_path / "cache"),
            "told": str(tmp_path / "told-{{ inventory_hostname }}"),
        }
        inventory = {
            "pis": {"hosts": {name: {**local, **given} for name, given in pis.items()}, "vars": shared},
            "ungrouped": {"hosts": {"localhost": laptop}},
        }
        tell = {
            "ansible.builtin.copy": {"content": f"{{{{ {fact} | default({{}}) | to_json }}}}", "dest": "{{ told }}"},
            "check_mode": False,
        }
        plays = [{"hosts": "pis", "gather_facts": False, "tasks": [LOOK, *tasks, tell]}]
        (tmp_path / "hosts.yml").write_text(json.dumps(inventory))
        (tmp_path / "play.yml").write_text(json.dumps(plays))
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(tmp_path / "hosts.yml")]
        command += ["--check", str(tmp_path / "play.yml"), *options]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "DEPRECATION" not in done.stdout + done.stderr
        return {
            "output": done.stdout,
            **{path.name.removeprefix("told-"): json.loads(path.read_text()) for path in tmp_path.glob("told-*")},
        }

    return run


APPLICATION = {"target": "map-page", "additions": {}, "labels": {"fr.poppyfield.version.x": "1"}}
BUILD_ALL: list[dict[str, Any]] = [
    {
        "ansible.builtin.include_role": {"name": "arm_images"},
        "vars": {"arm_images_applications": {"lizmap": APPLICATION}},
    }
]
TWO_PIS = {
    "old": {"architecture": "armhf", "arm_images_profile": "bookworm"},
    "new": {"architecture": "arm64", "arm_images_profile": "bookworm"},
}


def test_every_pi_is_told_the_images_of_its_architecture_and_each_is_built_once(
    fleet: Callable[..., dict[str, Any]],
) -> None:
    said = fleet(BUILD_ALL, {**TWO_PIS, "third": TWO_PIS["new"]})
    for name, pi in {**TWO_PIS, "third": TWO_PIS["new"]}.items():
        assert list(said[name]) == [service.name for service in SERVICES]
        for service, built in said[name].items():
            assert built["image"].startswith(
                f"poppyfield/{service}:bookworm-{pi['architecture']}-{built['digest'][:12]}"
            )
            assert f"poppyfield-{service}-bookworm-{pi['architecture']}-" in built["archive"]
    assert said["new"] == said["third"]
    # Once for each architecture.
    for service in SERVICES:
        assert len(re.findall(rf"-> localhost[^\]]*\] => \(item={service.image}\)", said["output"])) == 2


@pytest.mark.long
def test_an_image_comes_from_a_folder_a_git_repository_or_a_registry(
    fleet: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(ROOT / "images" / "postgis", own)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x", "-C", str(own)]
    for words in (["init", "--quiet", "--initial-branch=main"], ["add", "."], ["commit", "--quiet", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    shutil.move(own / ".git", tmp_path / "images.git")
    given = {
        "checkout": {},
        "folder": {"arm_images_contexts": {"postgis": str(own)}},
        "git": {"arm_images_contexts": {"postgis": f"file://{tmp_path}/images.git#main"}},
        "registry": {"arm_images_contexts": {"postgis": "docker-image://127.0.0.1:1/postgis:17"}},
    }
    with (own / "Dockerfile").open("a") as file:
        file.write("# of my own\n")
    tags = {}
    for name, contexts in given.items():
        said = fleet(BUILD_ALL, {"new": {**TWO_PIS["new"], **contexts}})
        tags[name] = {service: built["image"] for service, built in said["new"].items()}
    assert tags["git"] == tags["checkout"]
    assert tags["folder"]["postgis"] != tags["checkout"]["postgis"]
    assert tags["registry"]["postgis"] not in (tags["folder"]["postgis"], tags["checkout"]["postgis"])
    assert tags["folder"]["lizmap"] == tags["registry"]["lizmap"] == tags["checkout"]["lizmap"]


def test_where_all_images_come_from_a_registry_nothing_is_made_to_build_with(
    fleet: Callable[..., dict[str, Any]],
) -> None:
    all_of_them = {service.name: f"docker-image://127.0.0.1:1/{service.name}:1" for service in SERVICES}
    said = fleet(BUILD_ALL, {"new": {**TWO_PIS["new"], "arm_images_contexts": all_of_them}})
    assert set(said["new"]) == set(all_of_them)
    done = re.findall(r"TASK \[arm_images : (Build the .*)\] \*+\n(\w+)", said["output"])
    assert {name for name, what in done if what not in ("skipping", "included")} == {"Build the image of each service"}


@pytest.mark.long
def test_a_limit_builds_only_what_the_pis_in_it_need(fleet: Callable[..., dict[str, Any]]) -> None:
    said = fleet(BUILD_ALL, TWO_PIS, "--limit", "new")
    assert set(said) == {"output", "new"}
    assert "bookworm-arm64" in said["new"]["postgis"]["image"]
    assert "armhf" not in said["output"]


def test_only_what_the_first_look_did_not_find_is_delivered(render: Render) -> None:
    built = {name: {"image": f"x/{name}:1", "digest": name, "archive": f"/{name}"} for name in ("a", "b", "c")}
    there = {"x/a:1": "a", "x/b:1": "another"}
    missing = "{{ __arm_images_missing | map(attribute='digest') }}"
    for look, expected in (({"images": there}, ["b", "c"]), ({}, ["a", "b", "c"]), (None, ["a", "b", "c"])):
        facts = {"ansible_facts": {} if look is None else {"poppyfield_pi": look}}
        assert render("arm_images", missing, arm_images_built=built, **facts) == expected


def test_a_stage_without_the_build_says_what_to_do(play: Play) -> None:
    deliver = {"ansible.builtin.include_role": {"name": "arm_images", "tasks_from": "deliver.yml"}}
    said = play([deliver], {"pi": {}})
    assert "Nothing was delivered. Which images this Pi needs" in said["pi"]
    assert "run ansible-playbook playbooks/deliver.yml" in said["pi"]


# What the map server's image holds -----------------------------------------------------------------------------------

APPLICATION_TASKS: list[dict[str, Any]] = [
    {"ansible.builtin.include_role": {"name": "lizmap", "tasks_from": "application.yml"}}
]


def test_the_role_lizmap_tells_what_its_image_holds(fleet: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    plugin = {"source": str(archive(tmp_path / "x.zip", plugin_files("atlasprint", "3.4.4")))}
    pi = {**with_lizmap(tmp_path, "3.9.9", lizmap_server_extra_plugins=[plugin]), "architecture": "arm64"}
    said = fleet(APPLICATION_TASKS, {"one": pi, "two": pi}, fact="lizmap_application")
    assert said["one"] == said["two"]
    assert said["one"]["target"] == "lizmap"
    assert said["one"]["labels"] == {
        "fr.poppyfield.version.lizmap-web-client": "3.9.9",
        "fr.poppyfield.version.lizmap_server": "2.15.3",
        "fr.poppyfield.version.atlasprint": "3.4.4",
    }
    assert said["one"]["additions"] == {
        "dist/lizmap-web-client.zip": pi["lizmap_archive"],
        "dist/plugins/lizmap_server.zip": pi["lizmap_server_plugin"],
        "dist/plugins/atlasprint.zip": plugin["source"],
    }


def test_without_lizmap_the_image_holds_the_map_page(fleet: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    pi = {"architecture": "arm64", "lizmap_web_client": "none"}
    told = fleet(APPLICATION_TASKS, {"pi": pi}, fact="lizmap_application")["pi"]
    assert (told["target"], told["labels"], list(told["additions"])) == ("map-page", {}, ["dist/map-page"])
    assert told["additions"]["dist/map-page"].startswith(f"{tmp_path}/cache/map-page/")
