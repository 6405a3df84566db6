"""`make logs` against a real sshd: the password that the inventory has gets in, without being typed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.little_pi import PASSWORD, LittlePi

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[LittlePi]:
    if os.geteuid() != 0:
        pytest.skip("needs root, as sshd does")
    pi = LittlePi(tmp_path)
    # It has no engine: this one knows no container.
    docker = tmp_path / "usr" / "local" / "bin" / "docker"
    docker.parent.mkdir(parents=True)
    docker.write_text("#!/bin/sh\n")
    docker.chmod(0o755)
    pi.start()
    yield pi
    pi.stop()


@pytest.mark.parametrize(
    ("password", "said"),
    [(PASSWORD, "There is no container none-of-ours of Poppyfield on this Pi."), ("another", "Permission denied")],
)
def test_the_password_of_the_inventory_gets_in(pi: LittlePi, tmp_path: Path, password: str, said: str) -> None:
    given = {"ansible_password": password, "ansible_ssh_extra_args": "-o PubkeyAuthentication=no"}
    line = pi.inventory(**given, postgis_container_name="none-of-ours")
    (tmp_path / "hosts").write_text(f"[pis]\n{line}")
    environment = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_INVENTORY": str(tmp_path / "hosts")}
    done = subprocess.run(
        [sys.executable, "-m", "pi_terminal", "logs", "pi-marsh", "postgis"],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0 and said in done.stdout + done.stderr
