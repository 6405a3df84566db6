"""The emulated Pi as an operator reaches it: over SSH, through the map's address, and by its power plug."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
from testinfra.backend.base import CommandResult
from testinfra.backend.ssh import SshBackend
from testinfra.host import Host

import plugins.project_imports  # noqa: F401
from tests.terminal import at_a_terminal
from workshop.emulator import login

ROOT = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("POPPYFIELD_STATE_FOLDER", ROOT / "build" / "demo"))
PI_NAME = os.environ.get("POPPYFIELD_PI_NAME", "poppyfield-demo")
SSH_PORT = os.environ.get("POPPYFIELD_SSH_PORT", "2222")
MAP_PORT = os.environ.get("POPPYFIELD_MAP_PORT", "8081")
HTTPS_PORT = os.environ.get("POPPYFIELD_HTTPS_PORT", "")
MAP_URL = f"http://127.0.0.1:{MAP_PORT}"
INVENTORY = ROOT / "inventory" / "demo"
REQUEST_SECONDS = 120
CONTAINERS = ("websig-postgis", "websig-lizmap")
HEALTHY = "timeout 600 sh -c 'until docker inspect -f {{.State.Health.Status}} %s | grep -qx healthy; do sleep 2; done'"
END = "\x03"
"""Ctrl-C."""
ENDS_OF_A_LOG = ("LOG:", "redo lsn")
"""Of these one stands near the end of what PostgreSQL has logged."""


def emulator(*arguments: str) -> None:
    """Run a command of the emulator."""
    subprocess.run([sys.executable, str(ROOT / "workshop" / "emulator" / "pi.py"), *arguments], check=True)


def power_cut() -> None:
    """Cut the Pi's power, and give it back."""
    emulator("kill", "--name", PI_NAME)
    emulator("power-on", "--name", PI_NAME)


class SshWithPassword(SshBackend):  # type: ignore[misc]  # testinfra has no types
    """Testinfra's way over SSH to a Pi whose sudo asks for a password: it comes through ssh's standard input."""

    def get_sudo_command(self, command: str, sudo_user: str | None) -> str:
        sudo = " ".join([*login.SUDO, *(["-u", sudo_user] if sudo_user else [])])
        return str(self.quote(f"{sudo} /bin/sh -c %s", command))

    def run_local(self, command: str, *args: str) -> CommandResult:
        line = self.quote(command, *args)
        given = login.StateFiles(STATE).password.read_bytes() + b"\n"
        done = subprocess.run(line, shell=True, input=given, capture_output=True, check=False)
        return self.result(done.returncode, self.encode(line), done.stdout, done.stderr)


def log_in(*, sudo: bool = True) -> Host:
    """Return the Pi, reached over SSH with what the emulator made: the key, the host key, the password of sudo."""
    options = (
        f"-o UserKnownHostsFile={STATE}/known_hosts -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes "
        f"-o ControlMaster=auto -o ControlPersist=60s -o ControlPath={STATE}/ssh-%p"
    )
    address = f"{login.USER}@127.0.0.1:{SSH_PORT}"
    key = login.StateFiles(STATE).key
    return Host(SshWithPassword(address, ssh_identity_file=str(key), ssh_extra_args=options, sudo=sudo))


@pytest.fixture(scope="session")
def pi() -> Host:
    """Return the Pi."""
    return log_in()


def wait_until_healthy(pi: Host) -> None:
    """Wait until both containers are well."""
    for name in CONTAINERS:
        pi.check_output(HEALTHY, name)


def typed_at_a_terminal(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, answers: Mapping[str, str]
) -> tuple[int, str]:
    """Run a program on the laptop at a terminal, where a stock Pi's sudo asks for its password, too."""
    password = {"password for": login.StateFiles(STATE).password.read_text("utf-8")}
    return at_a_terminal(command, environment, folder, {**password, **answers})


def sql(pi: Host, statement: str, database: str = "gis") -> str:
    """Run SQL as the superuser inside the database container; return the bare result."""
    command = "docker exec -i websig-postgis psql -XAtq -v ON_ERROR_STOP=1 -d %s -c %s"
    return str(pi.check_output(command, database, statement))


def inspect(pi: Host, container: str) -> dict[str, Any]:
    """Return what Docker says of a container."""
    found: dict[str, Any] = json.loads(pi.check_output("docker inspect %s", container))[0]
    return found


def open_ports(pi: Host) -> set[str]:
    """Return the TCP ports on which something listens that can be reached from outside."""
    addresses = [line.split()[3].rpartition(":") for line in pi.check_output("ss -Hltn").splitlines()]
    return {port for address, _, port in addresses if not address.startswith(("127.", "[::1]"))}


def ansible_playbook(
    *arguments: str,
    playbook: str = "site.yml",
    inventories: Sequence[Path] = (INVENTORY,),
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a playbook on the Pi with more arguments, as an operator would."""
    return subprocess.run(
        command_of(playbook, arguments, inventories),
        env={**environment_of_a_run(), **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
    )


def command_of(playbook: str, arguments: Sequence[str], inventories: Sequence[Path] = (INVENTORY,)) -> list[str]:
    """Give the command that runs a playbook."""
    named = [word for inventory in inventories for word in ("--inventory", str(inventory))]
    return [str(Path(sys.executable).parent / "ansible-playbook"), *named, str(ROOT / playbook), *arguments]


def environment_of_a_run() -> dict[str, str]:
    """Give the environment of an operator's run: none of the scenario's own settings of Ansible."""
    ours = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_LOG_PATH": ""}
    return {**os.environ, **ours}


def do(chore: str, *arguments: str) -> str:
    """Do a chore, which must succeed; return what it said."""
    run = ansible_playbook(*arguments, playbook=f"playbooks/{chore}.yml")
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def serves() -> bool:
    """Tell whether the map's address answers."""
    try:
        return requests.get(f"{MAP_URL}/", timeout=REQUEST_SECONDS).ok
    except requests.ConnectionError:
        return False


def count_of_a_run(folder: Path, *arguments: str, **given: Any) -> dict[str, Any]:
    """Run site.yml; give what changed, the modules that it executed on the Pi by name, and its number of tasks."""
    count = folder / "count.jsonl"
    count.touch()
    ours = {
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "module_count",
        "POPPYFIELD_MODULE_COUNT": str(count),
    }
    run = ansible_playbook(*arguments, environment=ours, **given)
    assert run.returncode == 0, run.stdout + run.stderr
    lines = [json.loads(line) for line in count.read_text("utf-8").splitlines()]
    return {
        "changed": run.stdout.count("\nchanged: "),
        "modules": [line["module"] for line in lines if line.get("on") == "host"],
        "tasks": sum("task" in line for line in lines),
        "output": run.stdout + run.stderr,
    }
