"""A playbook without what it needs says what to add, before any Pi is asked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.documented import ROOT


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("authority", "lizmap_tls"),
        ("rollback", "Add -e service=postgis|lizmap."),
        ("restore", "Say from which of backup_targets: -e restore_from=stick."),
    ],
)
def test_it_says_what_to_add(name: str, said: str) -> None:
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "inventory/example", f"playbooks/{name}.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert said in " ".join(done.stdout.split()), done.stdout + done.stderr
    assert "UNREACHABLE" not in done.stdout
