"""No generated secret is anywhere but in the file meant for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from emulated_pi import ROOT, STATE

SECRETS = "/etc/poppyfield/secrets"


@pytest.fixture(scope="module")
def secrets(pi: Host) -> list[str]:
    """Return the secrets themselves."""
    names = pi.check_output("ls %s", SECRETS).split()
    found = [pi.check_output("cat %s", f"{SECRETS}/{name}") for name in names]
    assert found
    assert all(len(secret) >= 32 for secret in found)
    return found


def test_files_on_the_pi(pi: Host) -> None:
    # The pattern is read from the secret's own file: on a command line, sudo would write it into the journal.
    folders = "/etc /home /opt /root /run /srv /tmp /usr/local /var/lib /var/log /var/tmp"
    for name in pi.check_output("ls %s", SECRETS).split():
        found = pi.run(f"grep -rlsF -f {SECRETS}/{name} {folders}").stdout.split()
        assert [path for path in found if not path.startswith(SECRETS)] == []
        assert f"{SECRETS}/{name}" in found


def test_containers_and_images(pi: Host, secrets: list[str]) -> None:
    told = pi.check_output("docker inspect $(docker ps --all --quiet)")
    told += pi.check_output("docker ps --quiet | xargs -n 1 docker logs 2>&1")
    told += pi.check_output("docker images --quiet | xargs -n 1 docker history --no-trunc")
    told += pi.check_output("ps axww -o args=")
    assert not any(secret in told for secret in secrets)


def test_what_the_laptop_wrote(secrets: list[str]) -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "poppyfield"
    written = [
        path for path in (*STATE.rglob("*"), *(ROOT / "inventory").rglob("*"), cache / "build.log") if path.is_file()
    ]
    assert STATE / "ansible.log" in written
    assert [path for path in written if any(secret.encode() in path.read_bytes() for secret in secrets)] == []


def test_the_output_of_a_run_as_verbose_as_it_gets(run_again: dict[str, Any], secrets: list[str]) -> None:
    assert "changed=0" in run_again["output"]
    assert not any(secret in run_again["output"] for secret in secrets)
