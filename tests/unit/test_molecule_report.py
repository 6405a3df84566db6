"""The figures of Molecule's scenarios, from what their runs and checks left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import molecule_report

ROOT = Path(__file__).resolve().parents[2]
JUNIT = '<testsuites><testsuite tests="3" skipped="1" /></testsuites>'
PLAY = "- hosts: localhost\n  gather_facts: false\n  tasks:\n    - {ansible.builtin.debug: {}, changed_when: true}\n"


@pytest.mark.parametrize(
    ("runs", "first", "again"),
    [
        ([], None, None),
        ([("create.yml", False, 2), ("converge.yml", True, 9), ("converge.yml", False, 7)], 7, None),
        ([("converge.yml", False, 7), ("converge.yml", False, 0), ("converge.yml", False, 3)], 7, 0),
    ],
)
def test_the_first_run_and_the_next_one_count(
    runs: list[tuple[str, bool, int]], first: int | None, again: int | None
) -> None:
    noted = [dict(zip(("playbook", "check", "changed"), run, strict=True)) for run in runs]
    assert molecule_report.scenario(noted, 5, 60) == {
        "converge_changed": first,
        "idempotence_changed": again,
        "assertions": 5,
        "seconds": 60,
    }


def test_scenarios_add_up_in_one_report(tmp_path: Path) -> None:
    junit, report = tmp_path / "tests.xml", tmp_path / "molecule.json"
    junit.write_text(JUNIT)
    for name in ("default", "lizmap"):
        molecule_report.main(name, "61", str(tmp_path / "missing"), str(junit), report)
    found = json.loads(report.read_text("utf-8"))["scenarios"]
    assert {name: figures["assertions"] for name, figures in found.items()} == {"default": 2, "lizmap": 2}


def test_a_run_notes_what_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noted, playbook = tmp_path / "runs.jsonl", tmp_path / "converge.yml"
    playbook.write_text(PLAY)
    monkeypatch.setenv("ANSIBLE_CALLBACK_PLUGINS", str(ROOT / "tests" / "callbacks"))
    monkeypatch.setenv("ANSIBLE_CALLBACKS_ENABLED", "run_result")
    monkeypatch.setenv("POPPYFIELD_RUN_RESULTS", str(noted))
    program = Path(sys.executable).parent / "ansible-playbook"
    for arguments in (["--check"], []):
        subprocess.run([program, "-i", "localhost,", "-c", "local", *arguments, playbook], check=True)
    lines = [json.loads(line) for line in noted.read_text("utf-8").splitlines()]
    assert lines == [{"playbook": "converge.yml", "check": check, "changed": 1} for check in (True, False)]
