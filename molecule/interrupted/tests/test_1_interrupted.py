"""Whatever interrupts a run, in whichever stage, the next one ends right, and nothing half-made goes on running."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest
import requests
from testinfra.host import Host

from emulated_pi import (
    CONTAINERS,
    MAP_URL,
    REQUEST_SECONDS,
    ansible_playbook,
    inspect,
    log_in,
    power_cut,
    sql,
    wait_until_healthy,
)
from interrupted_run import NEW_RELEASE, UNPACKS, Interrupt, interrupted
from sample_map import FRANCE_ROWS

# Runs on a Pi that is emulated by a machine with something else to do.
pytestmark = pytest.mark.timeout(60 * 60)


def power_cut_while_packages_are_unpacked(_: subprocess.Popen[str]) -> None:
    log_in().check_output(UNPACKS)
    power_cut()


def ansible_is_killed(run: subprocess.Popen[str]) -> None:
    os.killpg(run.pid, signal.SIGKILL)


def control_c(run: subprocess.Popen[str]) -> None:
    os.killpg(run.pid, signal.SIGINT)


def ssh_is_cut(_: subprocess.Popen[str]) -> None:
    # Its own connection with them.
    log_in().run("pkill -f '^sshd: orchard|^sshd-session: orchard'")


def docker_is_restarted(_: subprocess.Popen[str]) -> None:
    log_in().check_output("systemctl restart docker")


def the_power_is_cut(_: subprocess.Popen[str]) -> None:
    power_cut()


FIRST_RUN: dict[str, tuple[str, Interrupt]] = {
    "provision": ("Install the engine and its Python SDK", power_cut_while_packages_are_unpacked),
    "deliver": ("Deliver the images that this Pi lacks", ansible_is_killed),
    "deploy the database": ("Deploy the PostGIS container", ssh_is_cut),
    "deploy the map server": ("Deploy the Lizmap container", docker_is_restarted),
    "verify": ("Request the published map", control_c),
}
LATER: dict[str, tuple[str, Interrupt]] = {
    "the database is replaced, the power is cut": ("Deploy the PostGIS container", the_power_is_cut),
    "the map server is replaced, the power is cut": ("Replace the one that serves", the_power_is_cut),
    "the new one is looked at, Ansible is killed": ("Request the published map", ansible_is_killed),
}


def draws() -> bool:
    question = {"SERVICE": "WMS", "REQUEST": "GetCapabilities"}
    answer = requests.get(f"{MAP_URL}/ows/sample/france/", params=question, timeout=REQUEST_SECONDS)
    return answer.ok and "<Name>departments</Name>" in answer.text


def ends_right() -> None:
    """Make a run that must end right, and one that has nothing left to do."""
    run = ansible_playbook()
    assert run.returncode == 0, run.stdout + run.stderr
    again = ansible_playbook()
    assert again.returncode == 0 and " changed=0 " in again.stdout, again.stdout


def test_a_first_run_that_is_interrupted_in_each_stage_ends_right_at_last() -> None:
    for task, interrupt in FIRST_RUN.values():
        interrupted(task, interrupt)
    ends_right()
    pi = log_in()
    assert sorted(pi.check_output("docker ps --all --format '{{.Names}}'").split()) == sorted(CONTAINERS)
    assert sql(pi, FRANCE_ROWS).startswith("96|")
    assert draws()


@pytest.mark.parametrize("when", LATER)
def test_a_release_that_is_interrupted_leaves_a_map_and_the_data(pi: Host, when: str) -> None:
    rows = sql(pi, FRANCE_ROWS)
    interrupted(*LATER[when], *NEW_RELEASE)
    # Nobody does anything: the old one or the new one serves.
    wait_until_healthy(pi)
    assert draws()
    assert sql(pi, FRANCE_ROWS) == rows
    ends_right()
    assert sql(pi, FRANCE_ROWS) == rows and draws()
    assert not [name for name in CONTAINERS if inspect(pi, name)["HostConfig"]["RestartPolicy"]["Name"] != "always"]
