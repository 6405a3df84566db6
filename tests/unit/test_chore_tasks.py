"""What the chores' playbooks do with several Pis, on this machine and without what they are done with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.terminal import at_a_terminal

ROOT = Path(__file__).resolve().parents[2]
PIS = ("pi-marsh", "pi-orchard")


def command(tmp_path: Path, tasks: list[dict[str, Any]], **variables: Any) -> tuple[list[str], dict[str, str]]:
    """Give what plays tasks for two Pis that are this machine, and its environment."""
    (tmp_path / "play.yml").write_text(
        yaml.safe_dump([{"hosts": "all", "gather_facts": False, "vars": variables, "tasks": tasks}])
    )
    asked = [sys.executable, "-m", "ansible", "playbook", "--inventory", f"{','.join(PIS)},", "--connection", "local"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return [*asked, str(tmp_path / "play.yml")], environment


def test_the_name_of_each_pi_is_asked_for_and_what_is_typed_counts_for_that_pi(tmp_path: Path) -> None:
    plays = yaml.safe_load((ROOT / "playbooks/delete_data.yml").read_text())
    (deleting,) = [play for play in plays if "hosts" in play]
    (asking,) = [task for task in deleting["tasks"] if "ansible.builtin.pause" in task]
    asking["ansible.builtin.pause"]["prompt"] = "The name of {{ item }}, please"
    telling = {"ansible.builtin.debug": {"msg": "{{ inventory_hostname }} goes: {{ chore_is_confirmed }}"}}
    asked, environment = command(tmp_path, [asking, telling], **deleting["vars"])
    answers = {f"The name of {PIS[0]}, please": "no", f"The name of {PIS[1]}, please": PIS[1]}
    _, said = at_a_terminal(asked, environment, ROOT, answers)
    assert dict(re.findall(r"(pi-\w+) goes: (\w+)", said)) == {PIS[0]: "False", PIS[1]: "True"}, said


def test_the_summary_tells_of_a_pi_that_failed_before_the_chore_began(tmp_path: Path) -> None:
    failing = {"ansible.builtin.fail": {"msg": "Wrong."}, "when": f"inventory_hostname == '{PIS[0]}'"}
    doing = {"ansible.builtin.set_fact": {"chore_done": {"msg": "it was done."}}}
    summary = {"ansible.builtin.import_tasks": str(ROOT / "playbooks/tasks/chore_summary.yml")}
    asked, environment = command(tmp_path, [failing, doing, summary])
    done = subprocess.run(asked, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert f"{PIS[0]}: nothing was done; what is wrong is told above." in done.stdout, done.stdout + done.stderr
    assert f"{PIS[1]}: it was done." in done.stdout
