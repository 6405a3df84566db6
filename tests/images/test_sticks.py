"""Sticks as they turn up, with the real restic and PostgreSQL: each is told in a sentence, and nothing is lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup import targets
from ansible.module_utils.poppyfield.backup.backup_runs import ORDER_TAG, RECORD, RECORD_NAME, RUN_TAG, TAG
from ansible.module_utils.poppyfield.backup.repository import BackupRepository
from ansible.module_utils.poppyfield.backup.settings import Settings

from tests.images import backup_settings
from tests.images.postgis_server import Server, Start, owned_folder
from tests.installed_backup import install
from tests.power_cuts import recorded_disk
from tests.power_cuts.recorded_disk import MB, mounted

LABEL = f"PS{os.getpid()}"
SECTORS_WRITTEN, ENOUGH_SECTORS = 6, 60_000
"""The field of the kernel's statistics of a block device, and what a backup has written when it is at work."""
ROWS = "SELECT string_agg(what, ',' ORDER BY what) FROM observations"
WORDS = {
    ("config", "unlink"): r"^there is no backup of pi-orchard\.$|is no backup",
    ("snapshots", "unlink"): r"^There is no complete backup",
    ("keys", "unlink"): r"or its keys are lost",
}
"""What is said of a part that is gone, as if it had never been there."""
YEAR_WITHOUT_A_CLOCK = "2099-01-01 00:00:00"


class Pi:
    """A Pi with a row that is nowhere else, and what its operator sees."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self._installed = install(folder / "programs")
        for name in backup_settings.FOLDERS:
            (folder / name).mkdir(exist_ok=True)

    def settings(self, **others: Any) -> Settings:
        """Give its settings, as they are written."""
        described = backup_settings.described(
            self.folder,
            data=self.server.data,
            postgis=self.server.container.name,
            target={"name": "stick", "label": LABEL},
            **others,
        )
        (self.folder / "settings.json").write_text(json.dumps(described))
        return Settings(**described)

    def command(self, *words: str, **others: Any) -> list[str]:
        """Give how the program is run, with other settings where there are any."""
        self.settings(**others)
        return [sys.executable, "-I", str(self._installed), "--settings", str(self.folder / "settings.json"), *words]

    def do(self, *words: str, **others: Any) -> tuple[int, str]:
        """Run the program; give its exit status and what it said."""
        done = subprocess.run(self.command(*words, **others), capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, starter: Start) -> Server:
    started = starter(owned_folder(tmp_path_factory.mktemp("sticks") / "data")).ready()
    started.sql("CREATE DATABASE gis")
    started.sql("CREATE TABLE observations (what text); INSERT INTO observations VALUES ('of today')", "gis")
    return started


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Path:
    """Return a repository with one backup in it."""
    folder = tmp_path_factory.mktemp("saved")
    with plugged_in(folder / "image") as device:
        assert Pi(folder, server).do("run")[0] == 0
        with mounted(Path(device), folder / "looked-at") as stick:
            return Path(shutil.copytree(stick / "poppyfield" / "pi-orchard", folder / "repository"))


@pytest.fixture
def pi(tmp_path: Path, server: Server) -> Iterator[Pi]:
    found = Pi(tmp_path, server)
    yield found
    # Whatever the stick was like.
    assert server.sql(ROWS, "gis") == "of today" and (tmp_path / "projects").is_dir()


@contextmanager
def plugged_in(image: Path, megabytes: int = 200, label: str = LABEL) -> Iterator[str]:
    """Give the device of a stick, which is made where there is none."""
    if not image.exists():
        image.touch()
        os.truncate(image, megabytes * MB)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", label, image], check=True)
    command = ["losetup", "--find", "--show", str(image)]
    attached = subprocess.run(command, capture_output=True, text=True, check=False)
    if attached.returncode:
        pytest.skip("this machine has no loop devices")
    device = attached.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def one_sentence(said: str) -> str:
    """Give what was said, which is one line."""
    (line,) = said.splitlines()
    return line


def test_a_full_stick_is_told_and_what_is_on_it_stays(pi: Pi, tmp_path: Path) -> None:
    image = tmp_path / "image"
    with plugged_in(image, megabytes=24):
        assert pi.do("run")[0] == 0
        (tmp_path / "projects" / "photo.jpg").write_bytes(os.urandom(40 * MB))
        code, said = pi.do("run")
        assert (code, "it is full. Take a bigger one" in one_sentence(said)) == (1, True), said
        (tmp_path / "projects" / "photo.jpg").unlink()
        assert "is equal: 1 databases" in pi.do("run")[1] or "bytes added" in pi.do("run")[1]


def test_a_stick_with_another_password_is_told(pi: Pi, tmp_path: Path) -> None:
    with plugged_in(tmp_path / "image"):
        assert pi.do("run")[0] == 0
        (tmp_path / "of another").write_text("another password")
        code, said = pi.do("run", password_file=str(tmp_path / "of another"))
        assert code == 1 and "it was made with another password than this Pi's" in one_sentence(said)
        assert pi.do("run")[0] == 0


def test_the_stick_of_another_pi_offers_nothing_and_keeps_what_it_has(pi: Pi, tmp_path: Path) -> None:
    with plugged_in(tmp_path / "image") as device:
        assert pi.do("run", host="pi-marsh")[0] == 0
        code, said = pi.do("find", "--from", "stick")
        assert code == 1 and one_sentence(said) == "there is no backup of pi-orchard; it has some of pi-marsh."
        assert pi.do("run")[0] == 0
        with mounted(Path(device), tmp_path / "looked-at") as folder:
            assert sorted(path.name for path in (folder / "poppyfield").iterdir()) == ["pi-marsh", "pi-orchard"]
        assert "of pi-marsh of" in pi.do("find", "--from", "stick", host="pi-marsh")[1]


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in range(0, len(content), 97):
        content[place] ^= 0xFF
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


@pytest.mark.parametrize("part", ["data", "index", "snapshots", "keys", "config"])
@pytest.mark.parametrize(
    "damage", [flipped, *(pytest.param(one, marks=pytest.mark.long) for one in (cut_short, emptied, Path.unlink))]
)
def test_a_damaged_repository_is_told_and_nothing_is_put_in_place(
    pi: Pi, saved: Path, tmp_path: Path, damage: Callable[[Path], None], part: str
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    folder = shutil.copytree(saved, stick / "poppyfield" / "pi-orchard")
    for path in [folder / part] if part == "config" else sorted((folder / part).rglob("*")):
        if path.is_file():
            path.chmod(0o600)
            damage(path)
    # On a file system of its own, as whoever mounts a folder has it.
    subprocess.run(["mount", "--bind", stick, stick], check=True)
    try:
        code, said = pi.do("restore", "--from", "stick", targets=[{"name": "stick", "folder": str(stick)}])
    finally:
        subprocess.run(["umount", stick], check=True)
    assert code == 1 and re.search(WORDS.get((part, damage.__name__), "is damaged"), one_sentence(said)), said


def test_what_can_still_be_read_of_a_damaged_repository_stays_and_comes_back(
    pi: Pi, saved: Path, tmp_path: Path
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    folder = shutil.copytree(saved, stick / "poppyfield" / "pi-orchard")
    subprocess.run(["mount", "--bind", stick, stick], check=True)
    here = {"targets": [{"name": "stick", "folder": str(stick)}], "keep": {"last": 5}}
    try:
        first = json.loads(pi.do("find", "--from", "stick", **here)[1])["run"]
        assert pi.do("run", **here)[0] == 0
        settings = pi.settings(**here)
        with targets.mounted(settings, settings.targets[0]) as place:
            repository = BackupRepository(settings, place)
            repository.open()
            newest = repository.runs()[-1].record
            repository.close()
        cut_short(next((folder / "snapshots").glob(f"{newest}*")))
        before = {path.name for path in (folder / "snapshots").iterdir()}
        code, said = pi.do("run", **here)
        # Newer releases of restic go on, and the program looks after nothing then.
        assert code == 1 and "it is damaged" in one_sentence(said)
        # Those of the backup whose record is lost, too.
        assert before <= {path.name for path in (folder / "snapshots").iterdir()}
        restored = pi.do("restore", "--from", "stick", "--run", first, **here)
        assert restored[0] == 0, restored
        assert pi.do("take-back", **here)[0] == 0
    finally:
        subprocess.run(["umount", stick], check=True)


def test_two_sticks_of_one_label_are_told_and_neither_is_written_to(pi: Pi, tmp_path: Path) -> None:
    with plugged_in(tmp_path / "one"), plugged_in(tmp_path / "two"):
        before = [path.read_bytes() for path in (tmp_path / "one", tmp_path / "two")]
        code, said = pi.do("run")
        assert code == 1 and "2 sticks have the label" in one_sentence(said)
        assert [path.read_bytes() for path in (tmp_path / "one", tmp_path / "two")] == before


def test_a_clock_that_was_years_ahead_costs_no_backup(pi: Pi, tmp_path: Path) -> None:
    keep = {"keep": {"hourly": 2}}
    with plugged_in(tmp_path / "image"):
        assert pi.do("run", **keep)[0] == 0
        settings = pi.settings(**keep)
        with targets.mounted(settings, settings.targets[0]) as place:
            repository = BackupRepository(settings, place)
            repository.open()
            (first,) = repository.runs()
            record = repository.dump(first.record, RECORD_NAME)
            for order in (2, 3, 4):
                # As if the Pi had made them in 2099, an hour after one another.
                tags = f"{TAG},{RUN_TAG}wrong{order},{RECORD},{ORDER_TAG}{order}"
                when = YEAR_WITHOUT_A_CLOCK.replace(" 00", f" 0{order}")
                words = ["restic", "--no-cache", "backup", "--stdin", "--stdin-filename", RECORD_NAME]
                command = [*words, "--host", "pi-orchard", "--time", when, "--tag", tags]
                subprocess.run(command, input=record, env=repository.environment, capture_output=True, check=True)
            repository.close()
        code, said = pi.do("run", **keep)
        assert code == 0 and "This Pi's clock is wrong, or was: an earlier backup is of 2099-01-01" in one_sentence(
            said
        )
        newest = json.loads((tmp_path / "state" / "stick.json").read_text())["snapshot"]
        found = json.loads(pi.do("find", "--from", "stick")[1])
        # Two hours are kept, and those of 2099 have taken both.
        assert found["run"] == newest and datetime.fromisoformat(found["time"]).year == datetime.now(UTC).year


@pytest.mark.long
def test_a_stick_that_is_gone_in_the_middle_of_a_backup_costs_that_one_alone(pi: Pi, tmp_path: Path) -> None:
    image, served = tmp_path / "image", tmp_path / "served"
    with plugged_in(image, megabytes=400):
        assert pi.do("run")[0] == 0
    first = json.loads((tmp_path / "state" / "stick.json").read_text())["snapshot"]
    served.touch()
    # Where its file is served from ends: as if the stick were pulled out of the machine.
    blocks = ("--blockdev", f"driver=file,node-name=stick,filename={image}")
    export = ("--export", f"type=fuse,id=stick,node-name=stick,mountpoint={served},writable=on")
    with ExitStack() as at_the_end, subprocess.Popen([recorded_disk.DAEMON, *blocks, *export]) as daemon:
        recorded_disk.wait_until_served(daemon, served, image.stat().st_size)
        # Nothing serves it any more, and the kernel would keep the mount.
        at_the_end.callback(subprocess.run, ["umount", "--lazy", str(served)], check=True)
        with plugged_in(served) as device:
            (tmp_path / "projects" / "photos").write_bytes(os.urandom(150 * MB))
            statistics = Path("/sys/block") / Path(device).name / "stat"
            before = int(statistics.read_text().split()[SECTORS_WRITTEN])
            with subprocess.Popen(
                pi.command("run"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as backup:
                while int(statistics.read_text().split()[SECTORS_WRITTEN]) < before + ENOUGH_SECTORS:
                    assert backup.poll() is None, "the backup ended first"
                daemon.kill()
                said = backup.communicate()[0]
            assert backup.returncode == 1 and "pulled out" in one_sentence(said), said
    with plugged_in(image):
        assert json.loads(pi.do("find", "--from", "stick")[1])["run"] == first
        assert pi.do("run")[0] == 0
