"""Laptops and inventories as they are found: where the checkout lies, what the inventory says of the laptop itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.images.projects import Layer, qgs

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("playbooks", "roles", "library", "module_utils", "plugins", "images/lizmap/web-client")
FILES = ("ansible.cfg", "site.yml")
# As people write one who know that the laptop needs no SSH to reach itself.
HOSTS = """
localhost ansible_connection=local
[pis]
pi-été ansible_connection=local
pi-off ansible_host=127.0.0.1 ansible_port=1
"""
Tell = Callable[[str, object], None]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what runs, in a folder that people do have."""
    copy = tmp_path / "Poppy field, l'été"
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder)
    for file in FILES:
        shutil.copy(ROOT / file, copy / file)
    return copy


def run(folder: Path, *words: str, **variables: str) -> str:
    """Run a playbook in a checkout; give what is said."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE")}
    # The engine of this machine is nobody's business here, and may have much to do.
    environment["DOCKER_HOST"] = f"unix://{folder}/no-engine"
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        env={**environment, "ANSIBLE_NOCOLOR": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said and "has no attribute" not in said, said
    return said


@pytest.mark.field("A3", "--limit names one of several Pis")
@pytest.mark.field("A6", "an INI inventory with localhost ansible_connection=local")
@pytest.mark.field("B17", "a run that was ended, then another one")
def test_a_checkout_with_blanks_and_accents_and_an_inventory_that_names_the_laptop(
    checkout: Path, tmp_path: Path, record_property: Tell
) -> None:
    """The system's Python, which may lack what modules for the laptop need, would be asked without our defence."""
    fleet = checkout / "inventory" / "parc d'été"
    fleet.mkdir(parents=True)
    (fleet / "hosts").write_text(HOSTS.replace("local\n[", "local ansible_python_interpreter=/bin/false\n["))
    projects = tmp_path / "projets d'été"
    projects.mkdir()
    (projects / "france.qgs").write_text(qgs([Layer("./towns.gpkg|layername=towns", "ogr", "towns")]))
    (projects / "towns.gpkg").touch()
    given = {
        "ansible_become": False,
        "lizmap_web_client": "none",
        "lizmap_projects": [{"repository": "sample", "folder": str(projects)}],
    }
    said = run(
        checkout,
        *("--inventory", str(fleet), "--limit", "pi-été", "--extra-vars", json.dumps(given)),
        "playbooks/preflight.yml",
    )
    record_property("message", said.partition("PLAY RECAP")[2].strip())
    played = said.partition("TASK [Check the projects]")[2]
    assert played.strip().splitlines()[0].startswith("*") and "fatal" not in played.partition("TASK [")[0], said
    assert "TASK [Inspect the Pi]" in said
    assert "pi-off" not in said


@pytest.mark.field("A7", "a run from another folder")
def test_a_checkout_that_others_may_write_to_is_one_sentence(checkout: Path, record_property: Tell) -> None:
    checkout.chmod(0o777)
    said = run(checkout, "-i", "pi-marsh,", "site.yml")
    record_property("message", " ".join(said.partition('"msg": "')[2].partition('"')[0].split()))
    assert "Nothing was changed. Ansible does not read" in said and "chmod o-w . mends that" in said
    assert "[Check the inventory]" not in said


@pytest.mark.parametrize("unreachable", ["skip", "fail"])
def test_a_pi_that_is_missing_stops_a_run_where_all_must_answer(checkout: Path, unreachable: str) -> None:
    (checkout / "hosts").write_text(HOSTS)
    given = {
        "ansible_become": False,
        "lizmap_web_client": "none",
        "lizmap_projects": [],
        "fleet_unreachable": unreachable,
    }
    said = run(checkout, "-i", "hosts", "--extra-vars", json.dumps(given), "playbooks/preflight.yml")
    assert "fatal: [pi-off]: UNREACHABLE!" in said
    assert ("pi-off: no answer, and fleet_unreachable is fail" in said) is (unreachable == "fail")
