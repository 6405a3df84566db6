"""The backup's program, cut off: while it writes to a stick, and while it puts a backup in place on a card."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.images import backup_settings
from tests.images.backup_settings import FOLDERS
from tests.images.postgis_server import owned_folder
from tests.installed_backup import install
from tests.power_cuts.classes import Found, Promise
from tests.power_cuts.database import NAME, Database, DatabaseError
from tests.power_cuts.recorded_disk import MB, RecordedDisk, copied, mounted

STICK_MB = 400
BACKUPS = 4
WAITS = "neither kept nor taken back"
PICTURE_BYTES = 300_000
MAKE = """
CREATE ROLE gis LOGIN;
CREATE DATABASE gis OWNER gis;
"""
FILL = """
CREATE TABLE observations (id serial PRIMARY KEY, what text);
INSERT INTO observations (what) SELECT md5(n::text) FROM generate_series(1, 20000) n;
"""
CHANGE = "DELETE FROM observations WHERE id % 7 = 0; UPDATE observations SET what = md5(what) WHERE id % 5 = 0"
ROWS = "SELECT count(*) || md5(string_agg(o::text, ',' ORDER BY id)) FROM observations o"


class Pi:
    """What the program knows of a Pi: its card is a folder with the database and the projects, its stick another."""

    def __init__(self, card: Path, stick: Path, memory: Path) -> None:
        """`memory` is what a Pi loses with its power, such as /run."""
        self.card, self.stick = card, stick
        memory.mkdir(parents=True, exist_ok=True)
        self._command = install(memory / "programs")
        self._settings = memory / "settings.json"
        described = backup_settings.described(
            memory,
            data=self.card / "data",
            postgis=NAME,
            target={"name": "stick", "folder": str(self.stick)},
            state=self.card / "state",
            keep={"last": 100},
            folders={name: str(self.card / name) for name in FOLDERS},
        )
        self._settings.write_text(json.dumps(described), encoding="utf-8")

    def do(self, *words: str) -> str:
        """Run the program; DatabaseError where it fails."""
        command = [sys.executable, "-I", str(self._command), "--settings", str(self._settings), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DatabaseError(f"backup {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def picture(self, letter: str) -> None:
        """Put another picture into the projects."""
        for name in FOLDERS:
            (self.card / name).mkdir(exist_ok=True)
        (self.card / "projects" / "photo.jpg").write_bytes(letter.encode() * PICTURE_BYTES)

    @property
    def newest(self) -> str:
        """The name of the newest backup."""
        return str(json.loads((self.card / "state" / "stick.json").read_text(encoding="utf-8"))["snapshot"])

    def content(self, database: Database) -> str:
        """Give what an operator sees: the rows, and the picture."""
        picture = (self.card / "projects" / "photo.jpg").read_bytes()
        return f"{database.sql(ROWS, 'gis')} {len(picture)} {picture[:1].decode()}"


def fill(database: Database) -> None:
    """Make what is to be saved."""
    for statement in MAKE.strip().split("\n"):
        database.sql(statement)
    database.sql(FILL, "gis")


class Backups:
    """Backups are made on a stick, whose power goes; the card is whole."""

    name = "backup"

    def record(self, image: str, disk: RecordedDisk, seconds: float) -> tuple[int, list[Promise]]:
        del seconds
        card = emptied(disk.folder / "card")
        pi = Pi(card, disk.mount, disk.folder / "memory")
        promises = []
        with Database(image, owned_folder(card / "data")).running() as database:
            fill(database)
            begin = disk.position
            for number in range(BACKUPS):
                pi.picture(str(number))
                database.sql(CHANGE, "gis")
                pi.do("run")
                promises.append(Promise(f"{pi.newest} {pi.content(database)}", disk.position))
        return begin, promises

    def look(self, image: str, folder: Path, due: Collection[str]) -> Found:
        card = folder.parent / "card"
        pi = Pi(card, folder, emptied(folder.parent / "memory-of-the-cut"))
        with Database(image, card / "data").running() as database:
            before = pi.content(database)
            pi.do("run")
            lost = sum(not self._comes_back(pi, database, promise) for promise in due)
            comes_back = self._comes_back(pi, database, f"{pi.newest} {before}")
        return Found(lost, "" if comes_back else "the backup after the cut does not come back")

    @staticmethod
    def _comes_back(pi: Pi, database: Database, promise: str) -> bool:
        """Put a backup in place, look at it, and take it back."""
        name, content = promise.split(" ", 1)
        pi.do("restore", "--from", "stick", "--run", name)
        found = pi.content(database)
        pi.do("take-back")
        return found == content


class Restores:
    """A backup is put in place on a card, whose power goes, and is kept or taken back; the stick is whole."""

    def __init__(self, name: str, last_word: str) -> None:
        """`last_word` is the operator's, finish or take-back."""
        self.name = name
        self._last_word = last_word

    def record(self, image: str, disk: RecordedDisk, seconds: float) -> tuple[int, list[Promise]]:
        del seconds
        stick = disk.folder / "stick.img"
        stick.write_bytes(b"")
        os.truncate(stick, STICK_MB * MB)
        subprocess.run(["mkfs.ext4", "-q", "-F", stick], check=True)
        with (
            self._pi(disk.mount, stick, emptied(disk.folder / "memory")) as pi,
            Database(image, owned_folder(disk.mount / "data")).running() as database,
        ):
            fill(database)
            pi.picture("a")
            saved = pi.content(database)
            pi.do("run")
            pi.picture("b")
            database.sql(CHANGE, "gis")
            contents = {"saved": saved, "before": pi.content(database)}
            (disk.folder / "contents.json").write_text(json.dumps(contents), encoding="utf-8")
            os.sync()
            begin = disk.position
            pi.do("restore", "--from", "stick")
            restored = disk.position
            pi.do(self._last_word)
            return begin, [Promise("restored", restored), Promise(self._last_word, disk.position)]

    def look(self, image: str, folder: Path, due: Collection[str]) -> Found:
        contents = json.loads((folder.parent / "contents.json").read_text(encoding="utf-8"))
        memory = emptied(folder.parent / "memory-of-the-cut")
        stick = copied(folder.parent / "stick.img", memory / "stick.img")
        with self._pi(folder, stick, memory) as pi, Database(image, folder / "data").running() as database:
            self._goes_on(pi)
            found = pi.content(database)
        wanted = [contents["before"]] if self._last_word == "take-back" else [contents["saved"]]
        if not due:
            # The restore was begun, or it was complete and nobody had been told so.
            wanted.append(contents["before"])
        return Found(int(found not in wanted), "" if found in wanted else f"it has {found}, not {' or '.join(wanted)}")

    def _goes_on(self, pi: Pi) -> None:
        """Do what the Pi's timer does; a restore that was complete waits for its operator."""
        try:
            pi.do("run")
        except DatabaseError as error:
            if WAITS not in str(error):
                raise
            pi.do(self._last_word)

    @staticmethod
    @contextmanager
    def _pi(card: Path, stick: Path, memory: Path) -> Iterator[Pi]:
        """Give a Pi with its stick in it."""
        with mounted(stick, memory / "stick") as folder:
            yield Pi(card, folder, memory)


def emptied(folder: Path) -> Path:
    """Give a folder with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
