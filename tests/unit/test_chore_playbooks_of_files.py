"""The chores' playbooks without what they need: one sentence says what to add, and no Pi is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("playbook", "given", "said"),
    [
        ("fetch", {}, "Add -e service=postgis|lizmap -e path=/srv/lizmap -e to=FOLDER."),
        ("remove", {"confirmed": "maybe"}, "confirmed can be true or false, not maybe."),
        (
            "delete_data",
            {"delete_data_of": "pi-orchard"},
            "exactly the name of one of these Pis, not pi-orchard: pi-",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_told_before_any_pi_is_asked(
    tmp_path: Path, playbook: str, given: dict[str, Any], said: str
) -> None:
    # Whoever connects to it is told that it is unreachable.
    (tmp_path / "hosts").write_text("[pis]\npi-marsh ansible_host=127.0.0.1 ansible_port=1\n")
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(tmp_path / "hosts"), f"playbooks/{playbook}.yml"]
    done = subprocess.run(
        [*command, "--extra-vars", json.dumps(given)],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert said in " ".join((done.stdout + done.stderr).split())
    assert "UNREACHABLE" not in done.stdout


def tasks(playbook: str) -> list[str]:
    """Give the names of what a playbook plays, in order."""
    options = ["-i", "pi-marsh,", "--list-tasks", f"playbooks/{playbook}.yml"]
    command = [sys.executable, "-m", "ansible", "playbook", *options]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return [line.partition("TAGS:")[0].strip() for line in done.stdout.splitlines() if line.startswith(" " * 6)]


@pytest.mark.parametrize(
    ("playbook", "order"),
    [
        # While the old containers serve, all that can be wrong is told, and all that is needed brought.
        (
            "rebuild",
            [
                "Check what the chore was given",
                "Stop if a Pi does not meet its requirements",
                "Build the images",
                "Deliver the images",
                "Stop and remove the containers",
                "Deploy each service, the database first",
                "Check that the map draws",
                "Summary",
            ],
        ),
        (
            "rollback",
            [
                "Check what the chore was given",
                "Stop if a Pi does not meet its requirements",
                "Leave out a Pi that has nothing to go back to",
                "Ask",
                "Name the images",
                "Deploy each service, the database first",
                "Check that the map draws",
                "Summary",
            ],
        ),
    ],
)
def test_nothing_is_changed_before_all_is_known(playbook: str, order: list[str]) -> None:
    played = tasks(playbook)
    assert [name for name in played if name in order] == order
    assert ("Build the images" in played) == (playbook == "rebuild")
