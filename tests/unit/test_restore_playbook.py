"""What playbooks/restore.yml does around the program: it asks, and takes back what a map does not draw after."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """#!/bin/sh
echo "$1" >> {log}
case $1 in
    find) echo '{{"run": "r1", "said": "the backup of pi-orchard of 10:02 on stick, with gis"}}' ;;
    take-back) echo 'Everything is again as it was.' ;;
esac
"""


def play(tmp_path: Path, *options: str) -> tuple[str, list[str]]:
    """Play the last play on this machine with a program that only says what it is asked; give both."""
    program, log, playbook = tmp_path / "program", tmp_path / "log", tmp_path / "play.yml"
    program.write_text(PROGRAM.format(log=log))
    program.chmod(0o755)
    *_, restoring = [one for one in yaml.safe_load((ROOT / "playbooks/restore.yml").read_text()) if "hosts" in one]
    shutil.copytree(ROOT / "playbooks/tasks", tmp_path / "tasks")
    playbook.write_text(yaml.safe_dump([{**restoring, "hosts": "all", "become": False}]))
    given: dict[str, Any] = {"restore_program": [str(program)], "restore_from": "stick"}
    command = [sys.executable, "-m", "ansible", "playbook", "--inventory", "pi-orchard,", "--connection", "local"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(
        [*command, "--extra-vars", json.dumps(given), *options, str(playbook)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr, log.read_text().split()


def test_nothing_is_restored_before_somebody_agreed(tmp_path: Path) -> None:
    said, asked = play(tmp_path)
    assert "Nothing was done, because the answer was not yes." in said
    assert asked == ["find"]


def test_a_restore_whose_map_does_not_draw_is_taken_back(tmp_path: Path) -> None:
    # No map draws here: nobody has looked at this machine.
    said, asked = play(tmp_path, "--extra-vars", "confirmed=true lizmap_web_client=archive")
    assert asked == ["find", "restore", "take-back"], said
    assert "Everything is again as it was." in said
