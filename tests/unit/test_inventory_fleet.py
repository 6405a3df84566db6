"""A release is for a few Pis first: whom it reaches, and what stops it. Played by Ansible itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.poppyfield.inventory import fleet
from ansible.module_utils.poppyfield.inventory.problems import Host

ROOT = Path(__file__).resolve().parents[2]
PIS = ["pi-a", "pi-b", "pi-c", "pi-d", "pi-e"]
VALUES = {"fleet_batch": ["1", "100%"], "fleet_max_failed": 0, "fleet_unreachable": "skip"}
Release = Callable[..., tuple[list[str], subprocess.CompletedProcess[str]]]


def host(name: str = "pi-a", **changes: Any) -> Host:
    """A Pi with the roles' defaults."""
    return Host(name, {}, {**VALUES, **changes})


def known(**changes: Any) -> Mapping[str, Any]:
    """What a run knows of a Pi that is well."""
    facts: dict[str, Any] = {
        "first_look": {"problems": []},
        "inventory_check": {"batches": ["1", "100%"], "max_failed": 0},
        "arm_images_delivered": {"changed": False},
    }
    return {key: value for key, value in {**facts, **changes}.items() if value is not None}


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """Play the release for five Pis, of which some are broken by it; give who was touched, in order, and the run."""
    plays = tmp_path / "playbooks" / "plays"
    plays.mkdir(parents=True)
    shutil.copy(ROOT / "playbooks" / "plays" / "release.yml", plays)
    deploy = [
        {"shell": f"echo {{{{ inventory_hostname }}}} >> {tmp_path}/touched"},
        {"fail": {"msg": "its map does not draw."}, "when": "inventory_hostname in broken"},
    ]
    stubs = {"deploy": deploy, "verify": [{"debug": {"msg": "it draws"}}], "left_out": [{"debug": {"msg": "none"}}]}
    (tmp_path / "playbooks" / "tasks").mkdir()
    for name, tasks in stubs.items():
        (tmp_path / "playbooks" / "tasks" / f"{name}.yml").write_text(yaml.safe_dump(tasks))
    site = [
        {"hosts": "pis", "gather_facts": False, "tasks": [{"debug": {"msg": "the beginning"}}]},
        {"import_playbook": "plays/release.yml"},
        {"hosts": "pis", "gather_facts": False, "tasks": [{"debug": {"msg": "the end"}}]},
    ]
    (tmp_path / "playbooks" / "site.yml").write_text(yaml.safe_dump(site))

    def play(
        *broken: str, facts: Mapping[str, Any] | None = None, **variables: Any
    ) -> tuple[list[str], subprocess.CompletedProcess[str]]:
        of_pis = {**{name: known() for name in PIS}, **(facts or {})}
        inventory = {"pis": {"hosts": of_pis, "vars": {"ansible_connection": "local"}}}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
        given = {"broken": broken, "ansible_become": False, **variables}
        (tmp_path / "given").write_text(json.dumps(given))
        command = [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "-i",
            str(tmp_path / "hosts.yml"),
            "-e",
            f"@{tmp_path}/given",
        ]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            [*command, str(tmp_path / "playbooks" / "site.yml")],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "DEPRECATION" not in done.stdout + done.stderr
        touched = tmp_path / "touched"
        return touched.read_text().split() if touched.exists() else [], done

    return play


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Give the rows of the table at the end by the name of the Pi."""
    lines = done.stdout.partition("PIS ")[2].splitlines()[2:]
    return {line.split()[0]: line for line in lines if line.startswith("pi-")}


def test_a_canary_that_is_broken_touches_no_second_pi(release: Release) -> None:
    touched, done = release("pi-a")
    assert done.returncode != 0
    assert touched == ["pi-a"]
    told = rows(done)
    assert "its map does not draw" in told["pi-a"]
    assert all("It was not touched" in told[name] for name in PIS[1:])


def test_all_others_follow_a_canary_that_is_well(release: Release) -> None:
    touched, done = release()
    assert done.returncode == 0
    assert touched[0] == "pi-a" and sorted(touched) == PIS
    assert "It was not touched" not in done.stdout and "Nothing was released" not in done.stdout


@pytest.mark.parametrize(("most", "reached"), [(0, PIS[:3]), (1, PIS)])
def test_a_batch_in_which_too_many_fail_is_the_last(release: Release, most: int, reached: list[str]) -> None:
    """Its other Pis are finished, and those after it keep what they have."""
    check = {"batches": ["1", "2"], "max_failed": most}
    touched, done = release("pi-b", facts={name: known(inventory_check=check) for name in PIS})
    assert done.returncode != 0
    assert sorted(touched) == reached
    assert "pi-c" in done.stdout.rpartition("it draws")[0]
    waiting = set(PIS) - set(reached)
    assert {
        name for name, row in rows(done).items() if "It was not touched" in row or "Nothing was released" in row
    } == waiting
    if waiting:
        assert "Nothing was released on pi-d, pi-e: on pi-b the release failed before" in " ".join(done.stdout.split())


def test_a_pi_that_cannot_be_served_is_never_the_canary(release: Release) -> None:
    facts = {"pi-a": known(first_look=None), "pi-b": known(arm_images_delivered={"failed": True})}
    touched, done = release("pi-c", facts=facts)
    assert done.returncode != 0
    assert touched == ["pi-c"]


def test_what_removed_the_containers_before_lets_no_pi_wait(release: Release) -> None:
    touched, _ = release("pi-a", release_batches=["100%"])
    assert sorted(touched) == PIS


def test_a_release_that_delivers_nothing_is_for_all_that_answered() -> None:
    facts = [
        {"inventory_hostname": "pi-a", **known(arm_images_delivered=None)},
        {"inventory_hostname": "pi-b", **known(arm_images_delivered=None, first_look=None)},
    ]
    assert fleet.ready(facts) == ["pi-a"]
    assert fleet.batches([]) == ["100%"]


@pytest.mark.parametrize("batches", [["1"], ["1", "100%"], ["2", "10", "25%"]])
def test_batches_are_numbers_or_percentages(batches: list[str]) -> None:
    assert not list(fleet.findings(host(fleet_batch=batches)))


@pytest.mark.parametrize("batches", [[], ["0"], ["-1"], ["101%"], ["0%"], ["one"], ["1.5"], ["1", ""]])
def test_what_is_no_batch_is_refused_with_an_example(batches: list[str]) -> None:
    (found,) = fleet.findings(host(fleet_batch=batches))
    assert found.variable == "fleet_batch" and '["1", "100%"]' in found.remedy


def test_a_number_of_failures_is_not_negative() -> None:
    (found,) = fleet.findings(host(fleet_max_failed=-1))
    assert found.variable == "fleet_max_failed"


def test_all_pis_agree() -> None:
    assert not list(fleet.shared([host("pi-a"), host("pi-b")]))
    found = list(fleet.shared([host("pi-a"), host("pi-b", fleet_unreachable="fail")]))
    assert [(name, finding.variable) for name, finding in found] == [
        ("pi-a", "fleet_unreachable"),
        ("pi-b", "fleet_unreachable"),
    ]
