"""`make verify` on the emulated Pi: content with a good one, also after a restart, and not with a broken one."""

from __future__ import annotations

import os
import subprocess

import pytest
from ansible.module_utils.poppyfield.containers.services import SECRETS_FOLDER
from testinfra.host import Host

from emulated_pi import INVENTORY, ROOT

# It restarts the Pi and asks each question twice, of a Pi that is emulated by a machine with something else to do.
MAKE_FAILED = 2
pytestmark = pytest.mark.timeout(45 * 60)


def verify(**given: str) -> subprocess.CompletedProcess[str]:
    # The report of these tests is not that one's.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    words = [f"{name}={value}" for name, value in {"INVENTORY": str(INVENTORY), "PIS": "demo-pi", **given}.items()]
    command = ["make", "--no-print-directory", "verify", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_good_pi_is_as_its_inventory_says_and_again_after_a_restart() -> None:
    run = verify(RESTART="true")
    assert run.returncode == 0, run.stdout + run.stderr
    assert " failed" not in run.stdout


def test_what_is_broken_is_named(pi: Host) -> None:
    secret = pi.check_output("find %s -type f | sort | head --lines=1", SECRETS_FOLDER)
    pi.check_output("chmod 0644 %s && docker update --restart no websig-lizmap", secret)
    run = verify()
    pi.check_output("chmod 0600 %s && docker update --restart always websig-lizmap", secret)
    assert run.returncode == MAKE_FAILED, run.stdout + run.stderr
    failed = {line.split("::")[1].split("[")[0] for line in run.stdout.splitlines() if line.startswith("FAILED ")}
    assert failed == {
        "test_secrets_are_readable_by_their_owners_only",
        "test_a_container_is_healthy_hardened_and_comes_back_by_itself",
    }
    assert f"others can read {secret}" in run.stdout
