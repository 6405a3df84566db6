"""The backup with the real restic and PostgreSQL: all of it comes back, and what is half made never counts.

The stick is a file with ext4 on a loop device, found by its label; where this machine has no loop devices, a folder
with a file system in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup.backup_runs import (
    ORDER_TAG,
    RECORD,
    RECORD_NAME,
    complete_runs,
    without_record,
)
from ansible.module_utils.poppyfield.backup.database_server import in_postgis
from ansible.module_utils.poppyfield.backup.repository import BackupRepository
from ansible.module_utils.poppyfield.backup.settings import Settings
from ansible.module_utils.poppyfield.backup.targets import mounted

from tests.images import backup_settings
from tests.images.backup_settings import PASSWORD
from tests.images.postgis_server import Server, Start, owned_folder
from tests.installed_backup import install
from tests.reports import RESTORE, add_to_report

Json = dict[str, Any]
LABEL = f"PF{os.getpid()}"
ROWS = "SELECT count(*) || md5(string_agg(o::text, ',' ORDER BY id)) FROM observations o"
RIGHTS = """
SELECT pg_get_userbyid(datdba), ARRAY(SELECT a::text FROM unnest(datacl) a ORDER BY 1) FROM pg_database
WHERE datname = 'gis'
"""
MAKE = """
CREATE EXTENSION postgis;
CREATE TABLE observations (id serial PRIMARY KEY, what text, place geometry(Point, 4326));
ALTER TABLE observations OWNER TO gis;
INSERT INTO observations (what, place)
SELECT 'seen ' || n, ST_Point(n % 90, n % 45, 4326) FROM generate_series(1, 2000) n;
"""


class Pi:
    """What the backup sees of a Pi."""

    def __init__(self, folder: Path, server: Server, target: Json) -> None:
        self.folder, self.server, self.target = folder, server, target
        self.installed = install(folder / "programs")
        self.lizmap = folder / "lizmap"
        self.settings: Json = backup_settings.described(
            folder,
            data=server.data,
            postgis=server.container.name,
            target=target,
            folders={
                "projects": str(self.lizmap / "projects"),
                "config": str(self.lizmap / "config"),
                "secrets": str(folder / "etc" / "secrets"),
            },
        )
        self.write_settings()

    def write_settings(self, **other: Any) -> None:
        (self.folder / "settings.json").write_text(json.dumps({**self.settings, **other}))

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-I", str(self.installed), "--settings", str(self.folder / "settings.json"), *words]

    def run(self, *words: str, fails: bool = False) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False)
        assert bool(done.returncode) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def repository(self) -> Iterator[BackupRepository]:
        """Look into the repository as the program does."""
        settings = Settings(**self.settings)
        with mounted(settings, self.target) as place:
            opened = BackupRepository(settings, place)
            opened.open()
            yield opened
            opened.close()

    def runs(self) -> list[str]:
        with self.repository() as repository:
            return [run.name for run in repository.runs()]

    def state(self) -> Json:
        found: Json = json.loads((self.folder / "state" / "stick.json").read_text())
        return found

    def restore(self, *, fails: bool = False) -> str:
        """Restore what the fixture has saved, or what was saved since."""
        return self.run("restore", "--from", "stick", "--run", self.state()["snapshot"], fails=fails)

    def files(self) -> dict[str, tuple[str, int, int]]:
        """Give digest, owner and mode of each file that is to come back."""
        found = {}
        for folder in self.settings["folders"].values():
            for path in sorted(Path(folder).rglob("*")):
                digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
                found[str(path)] = (digest, path.stat().st_uid, path.stat().st_mode)
        return found

    def change(self) -> None:
        """Lose rows, rights and files, as a person does or a failing card."""
        self.server.sql("DELETE FROM observations WHERE id > 1000; UPDATE observations SET what = 'x'", "gis")
        self.server.sql("REVOKE CONNECT ON DATABASE gis FROM reader")
        shutil.rmtree(self.lizmap / "projects" / "fields")
        (self.lizmap / "config" / "jauth.db").write_bytes(b"lost")
        (self.folder / "etc" / "secrets" / "postgis_gis").write_text("of a new card")


@contextmanager
def plugged_in(folder: Path, label: str, megabytes: int) -> Iterator[str]:
    """Give the device of a stick with this label; empty where this machine has no loop devices."""
    image = folder / "image"
    with image.open("wb") as stream:
        stream.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-L", label, image], check=True)
    attached = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=False)
    device = attached.stdout.strip() if attached.returncode == 0 else ""
    yield device
    if device:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Json]:
    folder = tmp_path_factory.mktemp("stick")
    place = folder / "mounted"
    with plugged_in(folder, LABEL, 400) as device:
        if device:
            yield {"name": "stick", "label": LABEL}
            return
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", place], check=True)
    yield {"name": "stick", "folder": str(place)}
    subprocess.run(["umount", place], check=True)


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory, starter: Start, stick: Json) -> Pi:
    folder = tmp_path_factory.mktemp("pi")
    server = starter(owned_folder(folder / "data")).ready()
    server.sql("CREATE ROLE gis LOGIN PASSWORD 'a password of gis'; CREATE ROLE reader LOGIN")
    server.sql("CREATE DATABASE gis OWNER gis")
    server.sql("REVOKE CONNECT ON DATABASE gis FROM PUBLIC; GRANT CONNECT ON DATABASE gis TO reader")
    server.sql(MAKE, "gis")
    found = Pi(folder, server, stick)
    fields = found.lizmap / "projects" / "fields" / "media"
    for path in (fields, found.lizmap / "config", folder / "etc" / "secrets"):
        path.mkdir(parents=True)
    (fields / "photo.jpg").write_bytes(os.urandom(100_000))
    (fields.parent / "fields.qgs").write_text("<qgis/>")
    (folder / "etc" / "secrets" / "postgis_gis").write_text("a password of gis")
    (folder / "etc" / "secrets" / "postgis_gis").chmod(0o600)
    with closing(sqlite3.connect(found.lizmap / "config" / "jauth.db")) as database:
        database.execute("CREATE TABLE users AS SELECT 'anna' AS login")
        database.commit()
    os.chown(fields.parent / "fields.qgs", 33, 33)
    found.run("run")
    return found


def rows(pi: Pi, database: str = "gis") -> str:
    return pi.server.sql(ROWS, database)


def test_what_was_lost_is_back_with_its_rights_and_comes_away_again_where_the_map_does_not_draw(pi: Pi) -> None:
    before = (rows(pi), pi.server.sql(RIGHTS), pi.files())
    pi.change()
    changed = (rows(pi), pi.server.sql(RIGHTS), pi.files())
    assert all(now != then for now, then in zip(changed, before, strict=True))
    pi.restore()
    assert (rows(pi), pi.server.sql(RIGHTS), pi.files()) == before
    assert pi.server.sql("SELECT nextval('observations_id_seq')", "gis") == "2001"
    assert pi.server.over_network("SELECT 1", "gis", "a password of gis", "gis") == (0, "1")
    # As the playbook does after the restore.
    assert "Everything is again as it was" in pi.run("take-back")
    assert (rows(pi), pi.server.sql(RIGHTS), pi.files()) == changed
    # A new card, without the database.
    pi.server.sql("DROP DATABASE gis WITH (FORCE)")
    pi.restore()
    assert (rows(pi), pi.server.sql(RIGHTS), pi.files()) == before
    said = pi.run("finish")
    assert "projects.before-" in said and "the database" not in said


def test_a_restore_that_fails_half_way_leaves_everything_as_it_was(pi: Pi) -> None:
    before = (rows(pi), pi.server.sql(RIGHTS))
    projects = pi.lizmap / "projects"
    # A folder on which something is mounted cannot be set aside.
    subprocess.run(["mount", "--bind", projects, projects], check=True)
    try:
        said = pi.restore(fails=True)
    finally:
        subprocess.run(["umount", projects], check=True)
    assert "busy" in said and "Everything is again as it was" in said
    assert (rows(pi), pi.server.sql(RIGHTS)) == before
    assert not list(pi.lizmap.glob(".restoring-*")) and (projects / "fields" / "fields.qgs").exists()


def test_one_database_is_restored_beside_the_other(pi: Pi) -> None:
    pi.run("restore", "--from", "stick", "--database", "gis", "--as", "gis_yesterday")
    assert rows(pi, "gis_yesterday") == rows(pi)
    assert pi.server.sql("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'gis_yesterday'") == "gis"
    pi.server.sql("DROP DATABASE gis_yesterday")


def inspected(pi: Pi) -> list[Json]:
    """Give the container of a proof, if there is one."""
    command = ["docker", "inspect", f"{pi.server.container.name}-proof"]
    found: list[Json] = json.loads(subprocess.run(command, capture_output=True, check=False).stdout or "[]")
    return found


@pytest.mark.long
def test_a_backup_that_is_restored_for_trial_is_equal_and_leaves_nothing(pi: Pi) -> None:
    pi.run("run")
    seen: list[Json] = []
    with subprocess.Popen(pi.command("prove"), stdout=subprocess.PIPE, text=True) as proving:
        while not seen and proving.poll() is None:
            seen = inspected(pi)
            time.sleep(0.1)
        said = proving.communicate()[0]
    assert proving.returncode == 0 and "and is equal: 1 databases" in said, said
    host = seen[0]["HostConfig"]
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["CapDrop"]) == ("none", True, ["ALL"])
    assert host["Memory"] == 384 << 20 and host["LogConfig"]["Type"] == "none"
    assert [mount["Destination"] for mount in seen[0]["Mounts"]] == ["/var/lib/postgresql/data"]
    assert "password" not in json.dumps(seen).lower()
    proof = pi.state()["proof"]
    assert proof["objects"] | {"rights": 0} == {
        **{"databases": 1, "sequences": 1, "tables": 3, "rows": 2000, "files": 4, "rights": 0, "maps": 0},
    }
    assert proof["objects"]["rights"] > 10
    assert pi.state()["proven"] == proof["at"] and f"-{proof['run'][-4:]}" in pi.runs()[-1]
    assert not inspected(pi)
    with pi.repository() as repository:
        kept = [one for one in repository.snapshots() if "proof=equal" in one["tags"]]
        assert json.loads(repository.dump(kept[-1]["id"], "/proof.json"))["said"] in said
        there = Path(repository.environment["TMPDIR"]).parent.iterdir()
        assert {path.name for path in there} == {"pi-orchard", "pi-orchard.tmp"}


def record_of_newest(repository: BackupRepository) -> Json:
    found: Json = json.loads(repository.dump(repository.runs()[-1].record, RECORD_NAME))
    return found


def test_one_row_one_sequence_one_right_and_one_file_that_differ_are_each_said(pi: Pi) -> None:
    photo = pi.lizmap / "projects" / "fields" / "media" / "photo.jpg"
    whole = photo.read_bytes()
    pi.run("run")
    with pi.repository() as repository:
        content = record_of_newest(repository)["content"]
    pi.server.sql("UPDATE observations SET what = 'seen 8' WHERE id = 7", "gis")
    pi.server.sql("SELECT setval('observations_id_seq', 1999)", "gis")
    pi.server.sql("REVOKE CONNECT ON DATABASE gis FROM reader")
    photo.write_bytes(whole[:-1])
    pi.run("run")
    with pi.repository() as repository:
        # As if what was saved were less than what there was.
        record = {**record_of_newest(repository), "content": content, "run": "forged"}
        kind = f"{RECORD},{ORDER_TAG}{repository.runs()[-1].order + 1}"
        repository.save_bytes(json.dumps(record).encode(), RECORD_NAME, "forged", kind)
    said = pi.run("prove", fails=True)
    pi.server.sql("UPDATE observations SET what = 'seen 7' WHERE id = 7", "gis")
    pi.server.sql("SELECT setval('observations_id_seq', 2000)", "gis")
    pi.server.sql("GRANT CONNECT ON DATABASE gis TO reader")
    photo.write_bytes(whole)
    caught = said.splitlines()[1:]
    add_to_report(RESTORE, comparison_catches=len(caught))
    assert caught == [
        "gis: public.observations has other values in its 2000 rows than it had.",
        "gis: the sequence public.observations_id_seq would give 2000 next, and not 2001.",
        "gis: missing: database gis: reader has CONNECT.",
        f"{photo} has 99999 bytes, and had 100000.",
    ]
    assert "and is not equal (4): gis: public.observations" in said and pi.state()["proof"]["result"] == "different"


@pytest.fixture
def rotten(pi: Pi) -> Iterator[str]:
    """Return a database whose dump begins well and ends at a damaged page."""
    pi.server.sql("CREATE DATABASE rotten TEMPLATE gis STRATEGY file_copy")
    where = "SELECT pg_relation_filepath('observations')"
    page = pi.server.data / "cluster" / pi.server.sql(where, "rotten")
    with page.open("r+b") as stream:
        stream.seek(8192)
        stream.write(b"rot" * 1000)
    yield "rotten"
    pi.server.sql("DROP DATABASE rotten")


def test_a_dump_that_fails_leaves_no_good_snapshot(pi: Pi, rotten: str) -> None:
    before = pi.runs()
    assert "rotten.dump could not be made: " in pi.run("run", fails=True)
    with pi.repository() as repository:
        snapshots = repository.snapshots()
        assert "rotten" not in str(snapshots)
        assert [run.name for run in complete_runs(snapshots)] == before
        # Without the program, restic takes half a dump for a whole one.
        dump = [*in_postgis(Settings(**pi.settings), "pg_dump", "--username=postgres", rotten)]
        piped = ["sh", "-c", '"$@" | restic --no-cache backup --stdin --stdin-filename rotten', "sh", *dump]
        environment = {**os.environ, **repository.environment}
        done = subprocess.run(piped, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, "invalid page" in done.stderr) == (0, True)
        assert any("rotten" in str(snapshot["paths"]) for snapshot in json.loads(repository.do("snapshots", "--json")))


@pytest.mark.long
def test_a_restic_that_was_killed_spoils_nothing(pi: Pi) -> None:
    before = pi.runs()
    (pi.lizmap / "projects" / "big.tif").write_bytes(os.urandom(80 << 20))
    with subprocess.Popen(pi.command("run"), stdout=subprocess.PIPE, text=True) as running:
        killed = kill_child(running, b"--tag\0files")
        said = running.communicate()[0]
    assert (killed, running.returncode) == (True, 1), said
    assert pi.runs() == before
    pi.run("run")
    with pi.repository() as repository:
        snapshots = repository.snapshots()
        assert complete_runs(snapshots)[-1].name not in before
        assert without_record(snapshots) == []
        repository.do("check", "--read-data")
    (pi.lizmap / "projects" / "big.tif").unlink()


def kill_child(process: subprocess.Popen[str], words: bytes) -> bool:
    """Kill, without a chance to clean up, the child that is called with these words; False when there was none."""
    while process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            if words in command_line(child):
                os.kill(int(child), signal.SIGKILL)
                return True
        time.sleep(0.005)
    return False


def command_line(process: str) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_stick_that_is_not_there_is_told_and_nothing_is_written(pi: Pi, tmp_path: Path) -> None:
    empty = tmp_path / "mnt"
    empty.mkdir()
    pi.write_settings(
        targets=[{"name": "stick", "label": "NOT-THERE"}, {"name": "office", "folder": str(empty)}],
        run_folder=str(tmp_path / "run"),
        state_folder=str(tmp_path / "state"),
    )
    said = pi.run("run", "--by-timer")
    pi.write_settings()
    assert said.splitlines() == [
        "stick: no stick with the label NOT-THERE is in this Pi.",
        f"office: nothing is mounted on {empty}, so nothing was written.",
    ]
    assert list(empty.iterdir()) == [] and [path.name for path in (tmp_path / "run").iterdir()] == ["lock"]


@pytest.mark.attack(kind="a link on a stick", on="Pi", proof=None)
def test_a_link_on_a_stick_leads_nowhere(pi: Pi, tmp_path: Path) -> None:
    card, place = tmp_path / "card", tmp_path / "mounted"
    card.mkdir()
    place.mkdir()
    with plugged_in(tmp_path, f"{LABEL}-L", 8) as device:
        if not device:
            pytest.skip("this machine has no loop devices")
        subprocess.run(["mount", device, place], check=True)
        (place / "poppyfield").symlink_to(card)
        # As a stick is mounted otherwise, it leads to the card.
        (place / "poppyfield" / "written").touch()
        subprocess.run(["umount", place], check=True)
        pi.write_settings(targets=[{"name": "stick", "label": f"{LABEL}-L"}], state_folder=str(tmp_path / "state"))
        said = pi.run("run", fails=True)
        pi.write_settings()
    assert "Too many levels of symbolic links" in said
    assert [path.name for path in card.iterdir()] == ["written"]


def test_the_password_is_in_no_process(pi: Pi) -> None:
    seen: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            for path in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        if PASSWORD.encode() in (path / name).read_bytes():
                            seen.add(f"{path.name} {name}")
                    except OSError:
                        continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        pi.run("run")
        assert seen == set()
        # That it would have been seen.
        waits = [sys.executable, "-c", "import time; time.sleep(30)", PASSWORD]
        with subprocess.Popen(waits, env={"P": PASSWORD}) as careless:
            while len(seen) < 2 and careless.poll() is None:
                time.sleep(0.01)
            careless.kill()
    finally:
        ended.set()
        watcher.join()
    assert {name.split()[1] for name in seen} == {"cmdline", "environ"}
