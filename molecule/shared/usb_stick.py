"""A USB stick of the emulated Pi, which a laptop can look into, too."""

from __future__ import annotations

import json
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup.repository import BackupRepository
from testinfra.host import Host

from emulated_pi import MAP_PORT, PI_NAME, SSH_PORT, STATE, emulator, log_in
from tests import stick_content

LABEL = "POPPYFIELD"
STICK_MB = 600
PASSWORDS = STATE / "backup-passwords"
ASKED = {
    "backup_targets": [{"name": "stick", "label": LABEL}],
    "backup_password_folder": str(PASSWORDS),
    # Emulated, both take longer than the rest together: tests/images plays them.
    "backup_prove": False,
    "backup_wal": "off",
}
BACKUPS = ("-e", json.dumps(ASKED))
"""For a Pi that makes backups."""


class Stick:
    """A file that a loop device makes a disk of, and that the Pi has as a USB stick."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        image = folder / "stick.img"
        with image.open("wb") as stream:
            stream.truncate(STICK_MB << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", LABEL, image], check=True)
        attach = ["losetup", "--find", "--show", str(image)]
        self.device = subprocess.run(attach, capture_output=True, text=True, check=True).stdout.strip()

    def close(self) -> None:
        """Give the loop device back."""
        subprocess.run(["losetup", "--detach", self.device], check=True)

    def repository(self, password_file: Path = PASSWORDS / "demo-pi") -> AbstractContextManager[BackupRepository]:
        """Look into it on the laptop."""
        return stick_content.repository(Path(self.device), password_file, self._folder / "looked-at")

    def content(self) -> dict[str, Any]:
        """Give what the newest backup on it held, by its record."""
        with self.repository() as repository:
            return stick_content.newest(repository)


def with_a_new_card(stick: Stick) -> Host:
    """Give the Pi a new card, as it comes from Raspberry Pi Imager; return it."""
    emulator("destroy", "--name", PI_NAME)
    for path in STATE.glob("ssh-*"):
        # The connection to the old one.
        path.unlink()
    ports = ("--ssh-port", SSH_PORT, "--map-port", MAP_PORT)
    emulator("start", "--name", PI_NAME, *ports, "--state-dir", str(STATE), "--device", stick.device)
    return log_in()
