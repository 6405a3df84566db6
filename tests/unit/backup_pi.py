"""A Pi with a map, a database and a stick whose backups are played with doubles of all commands."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup.command_line import main

Json = dict[str, Any]
COMMANDS = Path(__file__).resolve().parents[1] / "doubles" / "backup_commands"
GIS = [{"name": "gis", "bytes": 1000}]


class Pi:
    """A Pi with a map, a database and a stick, whose commands only say that they do something."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fake = folder / "fake"
        self.lizmap = folder / "lizmap"
        for path in (self.fake, self.lizmap / "projects", self.lizmap / "config", folder / "secrets", folder / "data"):
            path.mkdir(parents=True)
        (self.lizmap / "projects" / "map.qgs").write_text("the map")
        (folder / "secrets" / "postgis_gis").write_text("of the backup")
        with closing(sqlite3.connect(self.lizmap / "config" / "jauth.db")) as database:
            database.execute("CREATE TABLE users AS SELECT 'anna' AS login")
            database.commit()
        (self.lizmap / "config" / "notes.db").write_text("not of SQLite")
        (folder / "password").write_text("a password\n")
        self.say("databases", json.dumps(GIS))
        self.say("devices", "/dev/sda1")
        self.write_settings()

    def write_settings(self, **other: Any) -> None:
        settings: Json = {
            "host": "pi-orchard",
            "targets": [{"name": "stick", "label": "POPPYFIELD"}],
            "keep": {"hourly": 2, "daily": 0},
            "folders": {
                "projects": str(self.lizmap / "projects"),
                "config": str(self.lizmap / "config"),
                "secrets": str(self.folder / "secrets"),
            },
            "also": [str(self.folder / "nothing")],
            "data_folder": str(self.folder / "data"),
            "postgis": "websig-postgis",
            "lizmap": "websig-lizmap",
            "password_file": str(self.folder / "password"),
            "run_folder": str(self.folder / "run"),
            "state_folder": str(self.folder / "state"),
            **other,
        }
        (self.folder / "settings.json").write_text(json.dumps(settings))

    def say(self, name: str, text: str) -> None:
        (self.fake / name).write_text(text)

    def run(self, *words: str) -> int:
        return main(["--settings", str(self.folder / "settings.json"), *words])

    def snapshots(self) -> list[Json]:
        folder = self.folder / "run" / "stick" / "poppyfield" / "pi-orchard" / "snapshots"
        return [json.loads(path.read_text()) for path in sorted(folder.glob("*/snapshot"))]

    def records(self) -> list[str]:
        return [snapshot["id"] for snapshot in self.snapshots() if "record" in snapshot["tags"]]

    def state(self, name: str = "stick") -> Json:
        found: Json = json.loads((self.folder / "state" / f"{name}.json").read_text())
        return found

    def called(self, words: str) -> list[str]:
        return [line for line in (self.fake / "log").read_text().splitlines() if words in line]

    def sql(self) -> str:
        return (self.fake / "sql").read_text()


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pi:
    (tmp_path / "bin").mkdir()
    for name in ("restic", "docker", "mount", "umount", "blkid"):
        (tmp_path / "bin" / name).symlink_to(COMMANDS)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("FAKE", str(tmp_path / "fake"))
    return Pi(tmp_path)


def destroy(pi: Pi) -> None:
    """Lose what there is, as on a new card."""
    (pi.lizmap / "projects" / "map.qgs").write_text("something else")
    (pi.lizmap / "config" / "jauth.db").write_bytes(b"")
    (pi.folder / "secrets" / "postgis_gis").write_text("of the new card")


def office(pi: Pi) -> Path:
    """Have the Pi make backups on another machine, which is a folder here and answers; give that."""
    (pi.folder / "bin" / "ssh").write_text("#!/bin/sh\n")
    (pi.folder / "bin" / "ssh").chmod(0o755)
    store = pi.folder / "store"
    far = {"name": "office", "sftp": f"b@office.example:{store}", "host_key": "ssh-ed25519 AAAA"}
    pi.write_settings(targets=[far])
    return store
