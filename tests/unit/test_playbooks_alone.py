"""A playbook without what it needs says what to add, before any Pi is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.documented import ROOT

PLAYBOOKS = ROOT / "playbooks"
SETTINGS = "plays/settings.yml"


def played(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook that must fail."""
    command = [sys.executable, "-m", "ansible", "playbook", *options, f"playbooks/{name}.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    return done


@pytest.mark.parametrize("path", sorted(PLAYBOOKS.glob("*.yml")), ids=lambda path: path.stem)
def test_each_begins_with_the_look_at_its_settings(path: Path) -> None:
    first = yaml.safe_load(path.read_text(encoding="utf-8"))[0]["ansible.builtin.import_playbook"]
    # The earlier name of another one.
    assert first == SETTINGS or yaml.safe_load((PLAYBOOKS / first).read_text(encoding="utf-8"))[0] == {
        "name": "Settings",
        "ansible.builtin.import_playbook": SETTINGS,
    }


@pytest.mark.parametrize("hosts", [None, "pis: {hosts: {on: {}}}", "others: {hosts: {pi-orchard: {}}}"])
def test_without_a_pi_it_says_how_an_inventory_is_written(tmp_path: Path, hosts: str | None) -> None:
    """There is none, YAML reads the name of a Pi as a truth value, and its Pi is not in the group."""
    if hosts is not None:
        (tmp_path / "hosts.yml").write_text(hosts, encoding="utf-8")
    done = played("status", "-i", str(tmp_path / "hosts.yml"))
    said = " ".join(done.stdout.split())
    assert "Nothing was changed. No Pi is in the inventory" in said and "make fleet asks five questions" in said
    assert done.stdout.count("TASK [") == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("authority", "Add lizmap_tls: fleet to inventory/fleet/group_vars/pis.yml"),
        (
            "bundle",
            "bundle_folder: it says into which folder the bundle goes. Give one, as in -e bundle=/media/stick/new",
        ),
        ("restore", "Say from which of backup_targets: -e restore_from=stick."),
    ],
)
def test_it_says_what_to_add(name: str, said: str) -> None:
    # Without what the example names on the laptop of its owner.
    given = json.dumps({"lizmap_web_client": "none", "lizmap_projects": []})
    done = played(name, "-i", "inventory/example", "-e", given)
    assert said in " ".join(done.stdout.split()), done.stdout + done.stderr
    assert "UNREACHABLE" not in done.stdout
