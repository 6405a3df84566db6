"""The table at the end of a run, as Ansible shows it: who needs something comes first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.poppyfield.runs import table
from ansible.module_utils.poppyfield.runs.table import PiOutcome
from ansible.module_utils.poppyfield.status import drift

ROOT = Path(__file__).resolve().parents[2]
TASKS: list[dict[str, Any]] = [
    {"name": "Replace the container", "command": "true", "when": "inventory_hostname != 'pi-b'"},
    {
        "name": "Fail and mend",
        "block": [{"name": "Try", "fail": {"msg": "for a moment"}}],
        "rescue": [{"name": "Mend", "debug": {"msg": "well"}}],
    },
    {
        "name": "Ask for the map",
        "fail": {"msg": "The map\x1b[2J does not draw."},
        "when": "inventory_hostname == 'pi-b'",
    },
]
TASKS += [
    {"name": name, "debug": {"msg": ""}, "changed_when": True, "when": "differs | default(false)", **more}
    for name, more in (("Build", {"delegate_to": "localhost"}), ("Write the settings", {}))
]
HOSTS = "pi-a ansible_connection=local\npi-b ansible_connection=local\npi-c ansible_host=127.0.0.1 ansible_port=1\n"


def run(tmp_path: Path, name: str = "site.yml", *options: str) -> str:
    """Play the tasks for three Pis, one of which is away."""
    (tmp_path / "hosts").write_text(HOSTS)
    (tmp_path / name).write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": TASKS}]))
    command = [sys.executable, "-m", "ansible", "playbook", "-i", str(tmp_path / "hosts"), str(tmp_path / name)]
    command += ["-e", f"status_folder={tmp_path / 'status'}", *options]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    return done.stdout


def test_each_pi_is_told_with_what_is_to_be_done(tmp_path: Path) -> None:
    shown = run(tmp_path).partition("PIS ")[2].splitlines()[1:5]
    head, first, second, third = shown
    assert head.split("  ")[0] == "Pi" and head.endswith("what to do")
    assert first.startswith("pi-b  nothing") and first.endswith(
        "0.0                    Ask for the map: The map does not draw. Then run the same command again."
    )
    assert second.startswith("pi-c  nothing") and "See that it has power and network" in second
    assert third.startswith("pi-a  Replace the container  0.0") and third.endswith("  -")


def remembered(folder: Path) -> dict[str, list[str]]:
    known = drift.read((folder / "status" / drift.FILE).read_bytes())
    return {name: one["would"] for name, one in known.items()}


def test_what_a_whole_run_would_change_is_remembered_for_the_status(tmp_path: Path) -> None:
    given = ["-e", json.dumps({"status_folder": f"{tmp_path}/{{{{ 'status' }}}}", "differs": True})]  # by a template
    run(tmp_path, "other.yml", *given, "--check")
    assert not (tmp_path / "status").exists()
    # Of the Pi that fails it is not known.
    run(tmp_path, "site.yml", *given, "--check")
    assert remembered(tmp_path) == {"pi-a": ["Write the settings"]}
    run(tmp_path, "site.yml", *given)
    assert remembered(tmp_path) == {"pi-a": []}
    run(tmp_path, "site.yml", *given, "--check")
    run(tmp_path, "deploy.yml", *given)
    assert remembered(tmp_path) == {}


def test_what_keeps_the_laptop_out_is_told_once_with_its_remedy() -> None:
    failed = {"pi-a": PiOutcome(failed="Look: Missing sudo password"), "pi-b": PiOutcome(unreachable="No route")}
    _, first, second = table.lines(failed)
    assert "told apart" in first and "sudo" not in first
    assert "See that it has power and network" in second and "No route" in second


def test_many_changes_are_counted_and_what_a_pi_says_is_bounded() -> None:
    one = PiOutcome([*"abcabc", "d", "e"], 1.25, failed="x" * 9_000)
    _, line = table.lines({"pi": one})
    assert "a; b; c; 2 more" in line and " 1.2 " in line and len(line) < 400
