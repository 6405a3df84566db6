"""Each chore says in one sentence what it lacks, before any Pi is asked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a chore for two Pis that do not exist."""
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "inventory/example", f"playbooks/{name}.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [*command, "--limit", "pi5", *options],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


LACKING: list[tuple[str, list[str], str]] = [
    ("service", [], "Add -e state=started|stopped|restarted."),
    ("logs", ["-e", "service=lizmpa"], "service can be postgis or lizmap, not lizmpa."),
    ("exec", ["-e", "service=postgis"], "Add -e command='…'."),
    ("fetch", [], "Add -e service=postgis|lizmap -e path=/srv/lizmap -e to=FOLDER."),
    ("put", ["-e", "service=lizmap"], "Add -e file=FILE -e path=/srv/lizmap/."),
    ("rollback", [], "Add -e service=postgis|lizmap."),
    ("load", [], "Add -e database=gis -e files=FILE."),
    ("load", ["-e", "database=gis", "-e", "mode=merge"], "mode can be replace, add or undo, not merge."),
    ("upgrade_database", ["-e", "rehearsal=maybe"], "rehearsal can be true or false, not maybe."),
    ("images", ["-e", "remove_unused=maybe"], "remove_unused can be true or false, not maybe."),
]


def test_each_chore_that_needs_something_is_among_these() -> None:
    needing = {
        path.stem
        for path in (ROOT / "playbooks").glob("*.yml")
        if "{required: true" in path.read_text(encoding="utf-8")
    }
    assert needing <= {name for name, _, _ in LACKING}


@pytest.mark.parametrize(("name", "options", "said"), LACKING)
def test_what_it_lacks_is_said_before_a_pi_is_asked(name: str, options: list[str], said: str) -> None:
    done = run(name, *options)
    assert done.returncode != 0
    assert f"Nothing was done. {said}" in done.stdout, done.stdout + done.stderr
    assert re.findall(r"^TASK \[(.*)\]", done.stdout, re.MULTILINE)[-1] == "Check what the chore was given"
    assert "UNREACHABLE" not in done.stdout


def test_one_thing_is_asked_of_an_upgrade_of_the_database() -> None:
    done = run("upgrade_database", "-e", "back=true", "-e", "forget=true")
    assert done.returncode != 0
    assert "Nothing was done. Give one of these, not all: -e back=true, -e forget=true." in done.stdout
    assert "UNREACHABLE" not in done.stdout and "Check the inventory" not in done.stdout
