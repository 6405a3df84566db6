"""The emulated Pi that is a whole machine, as an operator reaches it: over SSH, and by its power plug."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from workshop.emulator import login

ROOT = Path(__file__).resolve().parents[2]
NAME = os.environ.get("POPPYFIELD_PI_NAME", "poppyfield-machine")
SSH_PORT = int(os.environ.get("POPPYFIELD_SSH_PORT", "2232"))
MAP_PORT = int(os.environ.get("POPPYFIELD_MAP_PORT", "8092"))
STATE = ROOT / "build" / "machine"
# Every instruction is emulated, on cores that do other things, too.
BOOT_SECONDS = 2400


@dataclass(frozen=True)
class Machine:
    """The Pi that the tests have to themselves."""

    files: login.StateFiles

    def run(self, script: str, *, sudo: bool = True) -> str:
        """Run a shell script on it, which must succeed; return what it prints."""
        done = subprocess.run(self.command(script, sudo=sudo), input=self.password, capture_output=True, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
        return done.stdout.decode().strip()

    def command(self, script: str, *, sudo: bool = True) -> list[str]:
        """Return the command that runs a script on it; sudo reads the password first."""
        quoted = "'" + script.replace("'", "'\\''") + "'"
        return login.command(self.files, SSH_PORT, *(login.SUDO if sudo else ()), "sh", "-ec", quoted)

    @property
    def password(self) -> bytes:
        """What sudo reads."""
        return self.files.password.read_bytes() + b"\n"

    def ansible(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Have Ansible run a module on it, by the inventory of the demo."""
        program = str(Path(sys.executable).parent / "ansible")
        ours = {"POPPYFIELD_SSH_PORT": str(SSH_PORT), "POPPYFIELD_STATE_FOLDER": str(self.files.folder)}
        return subprocess.run(
            [program, "--inventory", str(ROOT / "inventory" / "demo"), "pis", "--module-name", module, *arguments],
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **ours},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )

    def reboot(self) -> None:
        """Have it reboot by itself, and wait until it has."""
        before = self.run("cat /proc/sys/kernel/random/boot_id", sudo=False)
        self.run("systemctl --no-block reboot")
        deadline = time.monotonic() + BOOT_SECONDS
        while login.attempt(self.files, SSH_PORT) or self.boot() in ("", before):
            assert time.monotonic() < deadline, "it did not come back"
            time.sleep(1)

    def boot(self) -> str:
        """Return the identity of this boot, as far as it answers."""
        command = login.command(self.files, SSH_PORT, "cat", "/proc/sys/kernel/random/boot_id")
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def power_cut(self) -> None:
        """Cut its power, and give it back."""
        emulator("kill", "--name", NAME)
        emulator("power-on", "--name", NAME, "--timeout", str(BOOT_SECONDS))

    def restart(self) -> None:
        """Press its power button, and give it power again."""
        emulator("restart", "--name", NAME, "--timeout", str(BOOT_SECONDS))


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """Return a Pi that nobody has used yet."""
    emulator("destroy", "--name", NAME)
    ports = ("--ssh-port", str(SSH_PORT), "--map-port", str(MAP_PORT))
    emulator("start", "--name", NAME, *ports, "--state-dir", str(STATE), "--timeout", str(BOOT_SECONDS))
    yield Machine(login.StateFiles(STATE))
    emulator("destroy", "--name", NAME)


def emulator(command: str, *arguments: str) -> None:
    """Run a command of the emulator."""
    program = ROOT / "workshop" / "emulator" / "pi.py"
    subprocess.run([sys.executable, str(program), command, "--kind", "machine", *arguments], check=True)
