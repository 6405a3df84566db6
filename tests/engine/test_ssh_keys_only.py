"""hardening_ssh_keys_only against a real sshd: passwords are refused then, and nobody is locked out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine.little_pi import PASSWORD, LittlePi

ROOT = Path(__file__).resolve().parents[2]
PLAY = """
- name: Harden
  hosts: all
  gather_facts: false
  tasks:
    - name: Harden
      ansible.builtin.include_role:
        name: hardening
"""


@dataclass(frozen=True)
class Done:
    """How a run went."""

    succeeded: bool
    changed: int
    said: str


Harden = Callable[..., Done]


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[LittlePi]:
    if os.geteuid() != 0:
        pytest.skip("needs root, as sshd does")
    pi = LittlePi(tmp_path)
    pi.start()
    yield pi
    pi.stop()


@pytest.fixture
def harden(pi: LittlePi, tmp_path: Path) -> Harden:
    """Run the role on the Pi."""
    (tmp_path / "play.yml").write_text(PLAY)

    def run(*options: str, **variables: str) -> Done:
        (tmp_path / "hosts").write_text(pi.inventory(**variables))
        # Not as a module of Python: ssh asks the program `ansible` beside this one for the password.
        command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(tmp_path / "hosts"), *options]
        done = subprocess.run(
            [*command, "-e", '{"hardening_ssh_keys_only": true}', str(tmp_path / "play.yml")],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        said = " ".join((done.stdout + done.stderr).split())
        (changed,) = re.findall(r"changed=(\d+)", said) or ["0"]
        return Done(done.returncode == 0, int(changed), said)

    return run


@pytest.mark.attack(kind="password of SSH guessed", on="Pi", proof=None)
def test_a_password_gets_in_before_and_not_after_and_the_key_does(pi: LittlePi, harden: Harden) -> None:
    assert pi.lets_in_by_password() and pi.lets_in_by_key()
    predicted = harden("--check")
    assert predicted.succeeded and predicted.changed, predicted.said
    assert pi.lets_in_by_password()
    done = harden()
    assert done.succeeded, done.said
    assert not pi.lets_in_by_password()
    assert pi.lets_in_by_key()
    again = harden()
    assert again.succeeded and again.changed == 0, again.said


def test_nothing_changes_where_no_key_gets_in(pi: LittlePi, harden: Harden) -> None:
    pi.authorized_keys.unlink()
    done = harden(ansible_password=PASSWORD)
    assert not done.succeeded
    assert "Nothing was changed in SSH" in done.said and "ssh-copy-id" in done.said
    assert [path.name for path in pi.dropins.iterdir()] == ["50-cloud-init.conf"]
    assert pi.lets_in_by_password()


def test_passwords_are_on_again_where_the_key_fails_afterwards(pi: LittlePi, harden: Harden) -> None:
    (pi.ssh / "then").write_text(f"#!/bin/sh\nrm -f {pi.authorized_keys}\n")
    (pi.ssh / "then").chmod(0o755)
    done = harden()
    assert not done.succeeded
    assert "Log-in by password is as it was" in done.said and "No key gets in any more" in done.said
    assert pi.lets_in_by_password()
    assert not pi.lets_in_by_key()


@pytest.mark.parametrize(
    ("first", "words"),
    [("PasswordAuthentication yes\n", "overrides this one"), ("NoSuchSetting yes\n", "NoSuchSetting")],
)
def test_a_setting_that_overrides_it_or_that_sshd_refuses_is_told(
    pi: LittlePi, harden: Harden, first: str, words: str
) -> None:
    settings = pi.ssh / "sshd_config"
    settings.write_text(first + settings.read_text())
    done = harden()
    assert not done.succeeded
    assert words in done.said and "Log-in by password is as it was" in done.said
    assert [path.name for path in pi.dropins.iterdir()] == ["50-cloud-init.conf"]
