"""Plays one play of a playbook on this machine, in place of a Pi."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def last_play(playbook: str) -> dict[str, Any]:
    """Give the last play of a playbook that is none of another file."""
    plays = [one for one in yaml.safe_load((ROOT / "playbooks" / playbook).read_text("utf-8")) if "hosts" in one]
    found: dict[str, Any] = plays[-1]
    return found


def play(folder: Path, text: str, variables: Mapping[str, Any], *options: str) -> str:
    """Play a play, written as YAML, beside the tasks that playbooks share; it must fail. Give what it said."""
    (folder / "play.yml").write_text(text)
    shutil.copytree(ROOT / "playbooks" / "tasks", folder / "tasks")
    command = [sys.executable, "-m", "ansible", "playbook", "--inventory", "pi-orchard,", "--connection", "local"]
    done = subprocess.run(
        [*command, "--extra-vars", json.dumps(variables), *options, str(folder / "play.yml")],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr
