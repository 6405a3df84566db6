"""The stages of the playbook, as Ansible itself lists them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
REPORT = str(ROOT / "playbooks" / "plays" / "report.yml")


def tasks(*arguments: str) -> list[str]:
    """Return the names of the tasks that a run would play, but for the checks of variables, which are always played."""
    command = [sys.executable, "-m", "ansible", "playbook", "--inventory", "pi1,", "--list-tasks", *arguments]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert "DEPRECATION" not in done.stdout + done.stderr
    names = [line.partition("TAGS:")[0].strip() for line in done.stdout.splitlines() if line.startswith(" " * 6)]
    return [name for name in names if "Validating arguments" not in name]


@pytest.mark.parametrize("stage", ["preflight", "build", "provision", "deliver", "deploy", "verify"])
def test_a_stage_named_by_its_tag_plays_what_its_playbook_plays(stage: str) -> None:
    played = tasks("site.yml", "--tags", stage)
    assert played == tasks(f"playbooks/{stage}.yml")


def reported(variables: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """Play the report of a run that has found this out."""
    command = [
        sys.executable,
        "-m",
        "ansible",
        "playbook",
        "--inventory",
        "pi1,",
        "--connection",
        "local",
        "--extra-vars",
        json.dumps(variables),
    ]
    report = "- {hosts: all, gather_facts: false, tasks: [{group_by: {key: pis}}]}\n- import_playbook: " + REPORT
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        [*command, "/dev/stdin"], cwd=ROOT, env=environment, input=report, capture_output=True, text=True, check=False
    )


def test_a_backup_from_before_a_new_card_is_offered_with_the_command_that_takes_it() -> None:
    offer = {"target": "stick", "said": "the backup of pi1 of 10:02 on stick, with gis"}
    done = reported({"backup_set_up": {"offers": [offer]}})
    assert done.returncode == 0, done.stdout + done.stderr
    said = "pi1: the backup of pi1 of 10:02 on stick, with gis, is from before this card. To put it in place: "
    restore = "ansible-playbook site.yml --limit pi1 -e restore_from=stick. To go on without it: "
    assert said + restore + "ansible-playbook site.yml --limit pi1 -e restore_from=none." in done.stdout
    assert "from before this card" not in reported({}).stdout


@pytest.mark.parametrize(
    ("restore_from", "asked"),
    [
        ("none", ["decline"]),
        # No map draws on this machine, so that what was put in place is taken back.
        (
            "stick",
            [
                "find --from stick --time latest --last-minute",
                "restore --from stick --run r1 --last-minute",
                "take-back",
            ],
        ),
    ],
)
def test_a_run_that_was_told_puts_the_backup_in_place_or_goes_on_without(
    tmp_path: Path, restore_from: str, asked: list[str]
) -> None:
    program, log = tmp_path / "program", tmp_path / "log"
    program.write_text(
        f"""#!/bin/sh\necho "$@" >> {log}\n[ $1 != find ] || echo '{{"run": "r1", "said": "a backup"}}'\n"""
    )
    program.chmod(0o755)
    offer = {"target": "stick", "said": "the backup of pi1 of 10:02 on stick, with gis"}
    given: dict[str, object] = {
        "restore_from": restore_from,
        "restore_program": [str(program)],
        "lizmap_web_client": "archive",
    }
    # A single stage offers it, whatever it was told.
    assert "is from before this card" in reported({"backup_set_up": {"offers": [offer]}, **given}).stdout
    assert not log.exists()
    given["report_restores"] = True
    done = reported({"backup_set_up": {"offers": [offer]}, **given, "ansible_become": False})
    assert log.read_text().splitlines() == asked, done.stdout
    assert (done.returncode == 0) is (restore_from == "none")
    assert "from before this card" not in done.stdout


@pytest.mark.parametrize("told_by", ["project_check", "lizmap_published"])
@pytest.mark.parametrize("withheld", [[], ["fields/map.qgs"]])
def test_what_was_withheld_is_told_last_and_the_run_is_no_success(withheld: list[str], told_by: str) -> None:
    done = reported({told_by: {"withheld": withheld, "refused": "fields/map.qgs: mend it."}})
    assert (done.returncode != 0) == bool(withheld), done.stdout + done.stderr
    assert ("fields/map.qgs: mend it." in done.stdout) == bool(withheld)


@pytest.mark.parametrize("stage", ["build", "provision", "deliver", "deploy", "verify"])
def test_a_run_without_a_stage_is_checked_all_the_same(stage: str) -> None:
    assert set(tasks("playbooks/preflight.yml")) <= set(tasks("site.yml", "--skip-tags", stage))


@pytest.mark.parametrize(("stages", "refused"), [({}, True), ({"preflight_stages": ["verify"]}, False)])
def test_a_run_that_would_replace_the_data_of_a_pi_ends_before_it_begins(
    tmp_path: Path, stages: dict[str, object], refused: bool
) -> None:
    (looking,) = yaml.safe_load((ROOT / "playbooks" / "plays" / "preflight.yml").read_text("utf-8"))
    facts = {"set_fact": {"poppyfield_pi": {"files": {"/data": {"sha256": "0"}, "/new": None}}, "cacheable": True}}
    known = {
        "inventory_check": {
            "all_must_answer": False,
            "requirements": {"pi1": {"card": {"data": "/data", "new": "/new"}}},
        },
        "first_look": {"problems": [], "msg": ""},
        "backup_targets": [{"name": "stick", "label": "POPPYFIELD"}],
        "restore_from": "stick",
    }
    play = {**looking, "hosts": "all", "become": False, "tasks": [facts, looking["tasks"][-1]]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    command = [sys.executable, "-m", "ansible", "playbook", "--inventory", "pi1,", "--connection", "local"]
    done = subprocess.run(
        [*command, "--extra-vars", json.dumps({**known, **stages}), str(tmp_path / "play.yml")],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) is refused, done.stdout + done.stderr
    assert ("pi1: restore_from is for a new card, and this Pi has data of its own." in done.stdout) is refused
