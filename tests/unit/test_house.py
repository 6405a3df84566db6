"""The order of the house: few plays, and no role that reaches into another one. Writes build/reports/house.json."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.reports import add_to_report

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
MOST_PLAYS = 6
READ = (".yml", ".py", ".j2", ".sh", "")
PLACES = ("roles", "playbooks", "inventory", "molecule", "tests", "workshop", "plugins", "library")


def plays(playbook: str) -> list[tuple[str, str]]:
    """Return the hosts and the name of each play of a playbook, as Ansible itself lists them."""
    command = [sys.executable, "-m", "ansible", "playbook", "--inventory", "pi1,", "--list-tasks", playbook]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    listed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  play #\d+ \((\S+)\): (\S+)", listed, re.MULTILINE)


def owner_of(path: Path) -> str:
    """Return the role that a file belongs to, empty for a file of no role."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if parts[0] == "roles" else ""


def private_names(text: str, owner: str) -> list[str]:
    """Return the private variables of roles that a file of `owner` must not read."""
    found = re.findall(rf"\b__(?:{'|'.join(ROLES)})_\w+", text)
    return [name for name in found if not (owner and name.startswith(f"__{owner}_"))]


def test_a_run_has_few_plays() -> None:
    found = plays("site.yml")
    add_to_report(site_plays=len(found))
    stages = ["Preflight", "Build", "Prepare", "Release", "Report"]
    assert found == [("localhost:pis", "Settings"), *(("pis", stage) for stage in stages)]
    assert len(found) <= MOST_PLAYS


@pytest.mark.field("A7", "a run from another folder")
def test_a_checkout_whose_settings_are_not_read_says_so_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("[pis]\npi-marsh ansible_connection=local\n")
    environment = {name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"}
    command = [sys.executable, "-m", "ansible", "playbook", str(ROOT / "site.yml")]
    for options in ([], ["-i", "hosts"], ["-i", "hosts", "--limit", "pi-marsh"]):
        run = subprocess.run(
            [*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode != 0
        assert f"Nothing was changed. Ansible does not read {ROOT}/ansible.cfg" in run.stdout + run.stderr
        assert "[Check the inventory]" not in run.stdout


def test_nobody_reads_a_private_variable_of_a_role() -> None:
    tracked = subprocess.run(["git", "ls-files", *PLACES], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in tracked.split() if Path(name).suffix in READ and (ROOT / name).is_file()]
    # Tests of what a role renders name its variables.
    paths = [path for path in paths if path.parent.name != "templates" and path != Path(__file__)]
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in paths
        for name in private_names(path.read_text("utf-8", "replace"), owner_of(path))
    }
    add_to_report(private_names_across_roles=len(found))
    assert found == set()


def test_a_private_variable_of_another_role_is_noticed() -> None:
    text = "{{ __lizmap_image }} {{ __postgis_uid }} {{ lizmap_port }} {{ __other }}"
    assert private_names(text, "postgis") == ["__lizmap_image"]
    assert private_names(text, "") == ["__lizmap_image", "__postgis_uid"]


def test_reports_are_added_to(tmp_path: Path) -> None:
    add_to_report(tmp_path / "house.json", one=1)
    add_to_report(tmp_path / "house.json", two=2)
    assert json.loads((tmp_path / "house.json").read_text()) == {"one": 1, "two": 2}


def test_a_task_that_a_message_tells_to_begin_with_exists() -> None:
    sources = [path.read_text("utf-8") for folder in ("roles", "playbooks") for path in (ROOT / folder).rglob("*.yml")]
    told = {name for text in sources for name in re.findall('--start-at-task "([^"]+)"', text)}
    names = {name for text in sources for name in re.findall(r"^ *- name: (.+)$", text, re.MULTILINE)}
    assert told
    assert told <= names
