"""What an operator expects of each Pi of a fleet, looked at from outside; nothing on it is changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.services import SECRETS_FOLDER, SERVICES

from tests.fleet.conftest import Pi

ROOT = Path(__file__).resolve().parents[2]
SUPERUSERS = "SELECT string_agg(rolname, ',') FROM pg_authid WHERE rolsuper"
DURABLE = "SELECT string_agg(setting, ',') FROM pg_settings WHERE name IN ('fsync','full_page_writes','data_checksums')"


def inspect(pi: Pi, service: str) -> dict[str, Any]:
    """Return what Docker says of a service's container."""
    found: dict[str, Any] = json.loads(pi.host.check_output("docker inspect %s", pi.containers[service]))[0]
    return found


def sql(pi: Pi, question: str) -> str:
    """Ask the database; the session can only read."""
    psql = "docker exec -e PGOPTIONS='-c default_transaction_read_only=on' %s psql -XAtq -U postgres -c %s"
    return str(pi.host.check_output(psql, pi.containers["postgis"], question))


def test_docker_runs_and_starts_at_boot(pi: Pi) -> None:
    docker = pi.host.service("docker")
    assert docker.is_running
    assert docker.is_enabled


@pytest.mark.parametrize("service", [service.name for service in SERVICES])
def test_a_container_is_healthy_hardened_and_comes_back_by_itself(pi: Pi, service: str) -> None:
    container = inspect(pi, service)
    assert container["State"]["Health"]["Status"] == "healthy", container["State"]["Health"]["Log"][-1:]
    settings = container["HostConfig"]
    assert settings["RestartPolicy"]["Name"] == "always"
    assert settings["ReadonlyRootfs"] is True
    assert settings["CapDrop"] == ["ALL"]
    assert settings["Privileged"] is False
    assert not [mount for mount in container["Mounts"] if mount["Source"].endswith("docker.sock")]


@pytest.mark.parametrize("service", [service.name for service in SERVICES])
def test_it_is_reached_at_the_ports_of_the_inventory_alone(pi: Pi, service: str) -> None:
    published = inspect(pi, service)["NetworkSettings"]["Ports"]
    assert {binding["HostPort"] for bindings in published.values() for binding in bindings or ()} == pi.ports[service]


def test_secrets_are_readable_by_their_owners_only(pi: Pi) -> None:
    found = pi.host.check_output("find %s -type f -perm /0077", SECRETS_FOLDER)
    assert pi.host.file(SECRETS_FOLDER).mode == 0o700
    assert not found, f"others can read {found}"


def test_a_commit_is_on_the_card_when_it_was_acknowledged(pi: Pi) -> None:
    assert sql(pi, DURABLE) == "on,on,on"


def test_nobody_but_the_database_s_own_user_is_its_superuser(pi: Pi) -> None:
    assert sql(pi, SUPERUSERS) == "postgres"


def test_every_map_draws(pi: Pi, request: pytest.FixtureRequest) -> None:
    program = str(Path(sys.executable).parent / "ansible-playbook")
    inventory = request.config.getoption("--ansible-inventory")
    command = [program, "--inventory", inventory, "--limit", pi.name, "playbooks/verify.yml"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert run.returncode == 0, run.stdout + run.stderr
