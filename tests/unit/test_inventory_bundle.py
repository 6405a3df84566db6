"""The bundle of a run, looked at on the laptop before any Pi is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.bundle import signing
from ansible.module_utils.poppyfield.bundle.manifest import BundledImage
from ansible.module_utils.poppyfield.inventory import bundle, first_look

from tests.unit import bundles
from tests.unit.inventory_of import host

ROOT = Path(__file__).resolve().parents[2]
LIZMAP = BundledImage("lizmap", "arm64", "poppyfield/lizmap:1", "d2", bundles.IMAGE)
WHOLE = replace(bundles.PLAIN, made=1_764_000_000, images=(*bundles.PLAIN.images, LIZMAP))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "bundle"
    place.mkdir()
    bundles.write(place, tmp_path / "keys", WHOLE)
    return place


def look(folder: Path | str, keys: Path, *stages: str, **given: Any) -> bundle.Given:
    pi = host(bundle_folder=str(folder), bundle_key_folder=str(keys), **given)
    return bundle.given([pi], stages, "abc")


def words(found: bundle.Given) -> list[str]:
    return [f"{finding.variable}: {finding.wrong}" for finding in found.findings]


def test_a_run_without_a_bundle_has_nothing_to_do_with_one(tmp_path: Path) -> None:
    assert look("", tmp_path) == bundle.Given()
    assert bundle.Given().offered_to(host()) is None


def test_what_later_tasks_and_the_pi_are_told(folder: Path, tmp_path: Path) -> None:
    pi = host(bundle_folder=str(folder), bundle_key_folder=str(tmp_path / "keys"), bundle_packages=["vim"])
    found = bundle.given([pi], [], "abc")
    signers = (tmp_path / "keys" / signing.SIGNERS).read_text()
    assert words(found) == []
    assert found.told["images"] == {
        "arm64": {
            "postgis": {"image": "poppyfield/postgis:1", "digest": "d1", "archive": f"{folder}/{bundles.IMAGE}"},
            "lizmap": {"image": "poppyfield/lizmap:1", "digest": "d2", "archive": f"{folder}/{bundles.IMAGE}"},
        }
    }
    assert (found.told["number"], found.told["signers"], found.told["folder"]) == (7, signers, str(folder))
    offered = found.offered_to(pi)
    assert offered is not None and offered["number"] == 7 and offered["signers"] == signers
    assert offered["indexes"][bundles.PART] == bundles.CONTENTS[bundles.INDEX].decode()
    # The clock is judged by it on the Pi, and set by it.
    assert offered["made"] == found.told["made"] == 1_764_000_000
    # What this inventory has installed, and not what the bundle was made for.
    assert {"docker.io", "docker-compose", "vim"} <= set(offered["packages"]["trixie"])
    # Only where something is installed.
    assert first_look.requirements(pi, ["provision"], bundle=offered)["bundle"] == offered
    assert first_look.requirements(pi, ["deploy"], bundle=offered)["bundle"] is None


def test_one_that_was_changed_is_told_with_the_rest(folder: Path, tmp_path: Path) -> None:
    (folder / bundles.IMAGE).write_bytes(b"an imagf")
    (told,) = words(look(folder, tmp_path / "keys"))
    assert told.startswith(f"bundle_folder: it is refused: {bundles.IMAGE} is not what MANIFEST says of it")


def test_without_its_signers_it_says_what_to_put_where(folder: Path, tmp_path: Path) -> None:
    (told,) = words(look(folder, tmp_path))
    assert f"{tmp_path}/bundle.signers, whose keys are trusted, can't be read" in told


def test_one_for_other_images_or_without_an_image_is_told(folder: Path, tmp_path: Path) -> None:
    (told,) = words(look(folder, tmp_path / "keys", arm_images_profile="bookworm"))
    assert told == "arm_images_profile: the bundle has images of the profile trixie"
    bundles.write(folder, tmp_path / "keys")
    (told,) = words(look(folder, tmp_path / "keys"))
    assert told == "bundle_folder: it has no image of lizmap for arm64"


@pytest.mark.parametrize("stages", [(), ("bundle",)])
def test_dockers_own_packages_are_not_in_one(folder: Path, tmp_path: Path, stages: tuple[str, ...]) -> None:
    place = tmp_path / "new" if stages else folder
    (told,) = words(look(place, tmp_path / "keys", *stages, docker_engine_source="docker"))
    assert told.startswith("docker_engine_source: a bundle holds Debian's own Docker Engine")


def test_pis_of_one_run_have_one_bundle(folder: Path, tmp_path: Path) -> None:
    one, other = (host(bundle_folder=str(place), bundle_key_folder=str(tmp_path)) for place in (folder, tmp_path))
    found = bundle.given([one, other], [], "abc")
    assert words(found) == ["bundle_folder: a bundle is one for all Pis of a run, but theirs differ"]


def test_what_a_new_one_is_to_hold(folder: Path, tmp_path: Path) -> None:
    given = {"bundle_packages": ["vim"], "bundle_releases": ["trixie"], "bundle_architectures": ["arm64", "amd64"]}
    found = look(tmp_path / "new", tmp_path, "bundle", **given)
    assert words(found) == [] and found.offer is None
    assert found.told["folder"] == str(tmp_path / "new") and found.told["commit"] == "abc"
    assert found.told["architectures"] == ["arm64", "amd64"] and "vim" in found.told["packages"]["trixie"]
    assert found.told["hosts"]["pi"]["lizmap_archive"].startswith("bundle:lizmap-")
    assert {"python3-pip-whl", "zstd"} <= set(found.told["packages"]["trixie"])
    assert [one["source"] for one in found.told["contents"]] == ["/lizmap.zip", "/plugin.zip"]
    laptops = look(tmp_path / "new", tmp_path, "bundle", **given, bundle_alone=False, lizmap_tls="fleet")
    assert words(laptops) == [] and (laptops.told["hosts"], laptops.told["contents"]) == ({}, [])
    (told,) = words(look(tmp_path / "new", tmp_path, "bundle", **given, lizmap_tls="fleet"))
    assert told.startswith("lizmap_tls: it is fleet, and no key goes into a bundle")
    assert found.told["newer_than"] == ""
    newer = look(tmp_path / "new", tmp_path / "keys", "bundle", **given, bundle_newer_than=str(folder))
    assert words(newer) == [] and newer.told["newer_than"] == str(folder)
    (told,) = words(look(tmp_path / "x" / "new", tmp_path / "keys", "bundle", **given, bundle_newer_than=str(folder)))
    assert told.startswith("bundle_newer_than: the first bundle is looked for beside the second one")
    absent = str(tmp_path / "absent")
    (told,) = words(look(tmp_path / "new", tmp_path / "keys", "bundle", **given, bundle_newer_than=absent))
    assert told.startswith("bundle_newer_than: it is refused: ") and "no file MANIFEST" in told
    # A bundle that is there already stays as it is.
    assert words(look(folder, tmp_path, "bundle")) == [
        f"bundle_folder: {folder} is there already, and a bundle is made into a new folder: name another one"
    ]
    assert words(look("", tmp_path, "bundle")) == ["bundle_folder: it says into which folder the bundle goes"]


CLOCK_PLAY = """
- hosts: all
  gather_facts: false
  environment: {PATH: "FAKES:/usr/bin:/bin"}
  tasks:
    - ansible.builtin.include_role:
        name: raspberry_pi
        tasks_from: clock
        rolespec_validate: false
      vars:
        raspberry_pi_bundle_date: "{{ MADE }}"
"""


@pytest.mark.parametrize("later", [True, False])
def test_a_clock_is_set_to_the_bundles_date_where_no_clock_knows_better(tmp_path: Path, later: bool) -> None:
    now = int(time.time())
    made = now + 86400 if later else now - 86400
    fake = tmp_path / "fakes" / "date"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/sh\necho "$@" >"{tmp_path}/said"\n')
    fake.chmod(0o755)
    play = CLOCK_PLAY.replace("FAKES", str(fake.parent)).replace("MADE", str(made))
    (tmp_path / "play.yml").write_text(play)
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "pi1,", "-c", "local", str(tmp_path / "play.yml")]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = int((tmp_path / "said").read_text().strip().removeprefix("--utc --set=@"))
    assert said == made if later else now <= said


PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.set_fact:
        poppyfield_pi: {architecture: ARCHITECTURE}
        cacheable: true
    - ansible.builtin.include_role:
        name: arm_images
      vars:
        arm_images_prebuilt: {arm64: {postgis: {image: "poppyfield/postgis:1", digest: d1, archive: /a}}}
    - ansible.builtin.debug:
        msg: "{{ arm_images_built | default('none') | to_json }}"
"""


@pytest.mark.parametrize("architecture", ["arm64", "armhf"])
def test_the_images_of_a_bundle_are_not_built(tmp_path: Path, architecture: str) -> None:
    (tmp_path / "play.yml").write_text(PLAY.replace("ARCHITECTURE", architecture))
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "pi1,", "-c", "local", str(tmp_path / "play.yml")]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    described = {"postgis": {"image": "poppyfield/postgis:1", "digest": "d1", "archive": "/a"}}
    said = json.dumps(json.dumps(described if architecture == "arm64" else "none"))
    assert said in done.stdout
    assert "Build the base image" not in done.stdout and "skipping" in done.stdout


MAKE_PLAY = """
- hosts: pis
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: bundle
        tasks_from: make
        rolespec_validate: false
      vars:
        bundle_check:
          {folder: FOLDER/new, commit: x, profile: trixie, packages: {trixie: []}, hosts: {pi1: {}}, contents: [],
           newer_than: ""}
"""


@pytest.mark.parametrize(("alone", "secret"), [(True, True), (True, False), (False, True)])
def test_the_role_hands_over_the_inventory_where_a_pi_installs_itself(
    tmp_path: Path, alone: bool, secret: bool
) -> None:
    (tmp_path / "group_vars").mkdir()
    password = "correct-horse-battery" if secret else "{{ elsewhere }}"
    variables = {"pi_page_operator_password": password, "bundle_alone": alone}
    (tmp_path / "group_vars" / "pis.yml").write_text(json.dumps(variables))
    (tmp_path / "hosts.yml").write_text("pis: {hosts: {pi1: {}}}\n")
    (tmp_path / "play.yml").write_text(MAKE_PLAY.replace("FOLDER", str(tmp_path)))
    command = [sys.executable, "-m", "ansible", "playbook", "--check", "-i", str(tmp_path / "hosts.yml")]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        [*command, str(tmp_path / "play.yml")], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    refused = alone and secret
    assert bool(done.returncode) is refused, said
    assert (f"{tmp_path}/group_vars/pis.yml has pi_page_operator_password" in said) is refused
    assert "horse" not in said and not (tmp_path / "new").exists()
