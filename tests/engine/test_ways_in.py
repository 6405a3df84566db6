"""A Pi that this laptop cannot get into is told with its remedy, last, by a real sshd and a real sudo."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.little_pi import LittlePi

ROOT = Path(__file__).resolve().parents[2]
PLAY = "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.raw: id}]\n"
# The Pi is this machine, as somebody who may not become root without a password.
SSH = '#!/bin/sh\nfor command; do :; done\nexec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c "$command"\n'


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[LittlePi]:
    if os.geteuid() != 0:
        pytest.skip("needs root: the Pi is a mount namespace with an sshd of its own")
    little = LittlePi(tmp_path / "pi")
    little.start()
    yield little
    little.stop()


def last_words(folder: Path, inventory: str, *options: str) -> str:
    """Run a play that must fail; give what is said after the recap."""
    (folder / "hosts").write_text(inventory)
    (folder / "play.yml").write_text(PLAY)
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", str(folder / "hosts"), *options, str(folder / "play.yml")],
        cwd=folder,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout.partition("PLAY RECAP")[2]


@pytest.mark.field("A4", "the host key has changed")
def test_another_host_key_is_told_with_the_command_that_forgets_the_old_one(
    pi: LittlePi, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    known = tmp_path / "pi" / "known_hosts"
    # That of the card before.
    other = (tmp_path / "pi" / "key.pub").read_text()
    known.write_text(f"[127.0.0.1]:{pi.port} {other}")
    said = last_words(tmp_path, pi.inventory())
    record_property("message", said.strip().splitlines()[-1])
    assert "pi-marsh: it shows another host key" in said
    command = said.partition("forget the old key: ")[2].partition("; then")[0]
    subprocess.run(["sh", "-euc", command], check=True, capture_output=True)
    assert f"[127.0.0.1]:{pi.port}" not in known.read_text()


@pytest.mark.field("A5", "a user whose sudo asks for a password, without -K")
def test_a_missing_sudo_password_is_told_with_both_ways_to_give_it(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: it becomes a user who is nobody")
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    said = last_words(tmp_path, f"pi-marsh ansible_user=nobody ansible_ssh_executable={ssh}\n", "--become")
    record_property("message", said.strip().splitlines()[-1])
    assert "pi-marsh: sudo asks for a password there, and nobody gave it" in said
    assert "--ask-become-pass (-K)" in said and "ansible_become_password, encrypted by ansible-vault" in said
