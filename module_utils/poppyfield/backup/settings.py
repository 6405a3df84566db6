"""What the program of the backup knows of its Pi, and the errors that it tells of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

Json = dict[str, Any]

SETTINGS = "/etc/poppyfield/backup/settings.json"
NEW_CARD = "card.new"
SSH_FOLDER = "ssh"
"""Beside the password: the Pi's key for targets by SFTP, and the keys of their machines."""
SSH_KEY = "id_ed25519"
SFTP = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)@([A-Za-z0-9][A-Za-z0-9.-]*):(/[^\s]*)")
"""User, machine and folder."""


class BackupError(Exception):
    """What went wrong, in a sentence."""


class AbsentError(BackupError):
    """The target is not there."""


class NotTriedError(BackupError):
    """A backup could not be restored for trial, which tells nothing of it."""


@dataclass(frozen=True)
class Settings:
    """What the module backup_service has written down for this Pi."""

    host: str
    targets: list[Json]
    keep: dict[str, int]
    folders: dict[str, str]
    """By name the folders that are restored."""
    also: list[str]
    """What is saved for people to look at."""
    data_folder: str
    postgis: str
    lizmap: str
    healthy_timeout: int = 900
    prove: bool = True
    """Whether the timer restores backups for trial."""
    wal: bool = False
    """Whether the last minute is saved as well, see `last_minute`."""
    max_age_days: int = 3
    max_unproven_days: int = 14
    """These two are for whoever judges what is written down, see `state`."""
    image: str = ""
    """Of what a backup is restored for trial into, where that is no Pi's; else that of the database's container."""
    password_file: str = "/etc/poppyfield/backup/password"  # noqa: S105 - a path
    run_folder: str = "/run/poppyfield-backup"
    state_folder: str = "/var/lib/poppyfield/backup"

    @classmethod
    def read(cls, path: Path) -> Settings:
        """Read them from their file."""
        return cls(**json.loads(path.read_text("utf-8")))

    def target(self, name: str) -> Json:
        """Give a target by its name."""
        for target in self.targets:
            if target["name"] == name:
                return target
        names = ", ".join(str(target["name"]) for target in self.targets)
        raise BackupError(f"There is no target {name}; this Pi has {names}.")

    @property
    def journal(self) -> Path:
        """Where a restore writes down what it has begun: no name that a target's file can have, as the next."""
        return Path(self.state_folder) / "restore.journal"

    @property
    def restored(self) -> Path:
        """What this card was restored from."""
        return Path(self.state_folder) / "restored.from"

    @property
    def new_card(self) -> Path:
        """Is there where this card was empty when backups were set up, until it was saved or restored."""
        return Path(self.state_folder) / NEW_CARD

    @property
    def digests(self) -> Path:
        """Where it is remembered, in memory, which files have which digest."""
        return Path(self.run_folder) / "digests.json"

    @property
    def last_minute_folder(self) -> str:
        """Where it is written down, in memory, how the last minute fares on each target."""
        return f"{self.run_folder}-wal"

    @property
    def trial(self) -> Settings:
        """The same with the containers in which a backup is restored for trial."""
        return replace(self, postgis=f"{self.postgis}-proof", lizmap=f"{self.lizmap}-proof")

    @property
    def near(self) -> list[Json]:
        """The targets that are in this Pi: they get the last minute, and backups on them are restored for trial."""
        return [target for target in self.targets if not target.get("sftp")]

    @property
    def ssh_folder(self) -> Path:
        """Where the key of this Pi lies, and the keys of the machines that are targets by SFTP."""
        return Path(self.password_file).parent / SSH_FOLDER

    def state_of(self, target: Mapping[str, Any]) -> Path:
        """Where it is written down how the backups on a target went."""
        return Path(self.state_folder) / f"{target['name']}.json"
