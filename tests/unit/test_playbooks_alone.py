"""A playbook without what it needs says what to add, before any Pi is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.documented import ROOT


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("authority", "Add lizmap_tls: fleet to inventory/fleet/group_vars/pis.yml"),
        ("rollback", "Add -e service=postgis|lizmap."),
        ("restore", "Say from which of backup_targets: -e restore_from=stick."),
    ],
)
def test_it_says_what_to_add(name: str, said: str) -> None:
    # Without what the example names on the laptop of its owner.
    given = json.dumps({"lizmap_web_client": "none", "lizmap_projects": []})
    options = ["-i", "inventory/example", "-e", given]
    command = [sys.executable, "-m", "ansible", "playbook", *options, f"playbooks/{name}.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert said in " ".join(done.stdout.split()), done.stdout + done.stderr
    assert "UNREACHABLE" not in done.stdout
