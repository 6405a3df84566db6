"""The last minute with the real restic and PostgreSQL: what was committed after the last backup comes back as well.

The stick is a file with ext4 on a loop device, found by its label, which is pulled out by taking the device away.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup import last_minute
from ansible.module_utils.poppyfield.backup.settings import Settings
from ansible.module_utils.poppyfield.backup.targets import mounted
from ansible.module_utils.poppyfield.backup.this_pi import LAST_MINUTE, read

from tests.images import backup_settings
from tests.images.postgis_server import Server, Start, owned_folder
from tests.installed_backup import install
from tests.reports import RESTORE, add_to_report

Json = dict[str, Any]
LABEL = f"PL{os.getpid()}"
SLOT = last_minute.slot_name("stick")
SEEN = "SELECT string_agg(what, ',' ORDER BY id) FROM observations"
PATIENCE = 300


class Stick:
    """A file that is a stick, plugged in and pulled out."""

    def __init__(self, folder: Path) -> None:
        self._image, self._device = folder / "image", ""
        with self._image.open("wb") as stream:
            stream.truncate(700 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-L", LABEL, self._image], check=True)

    def plug_in(self) -> bool:
        """Plug it in; False where this machine has no loop devices."""
        command = ["losetup", "--find", "--show", str(self._image)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self._device = done.stdout.strip()
        return done.returncode == 0

    def pull_out(self) -> None:
        if self._device:
            subprocess.run(["losetup", "--detach", self._device], check=True)
        self._device = ""


class Pi:
    """A Pi with a database, whose card and PostgreSQL are new where it is made anew."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        stick = {"name": "stick", "label": LABEL}
        self.settings: Json = backup_settings.described(
            folder, data=server.data, postgis=server.container.name, target=stick, wal=True
        )
        for path in self.settings["folders"].values():
            Path(path).mkdir()
        (folder / "projects" / "map.qgs").write_text("the map")
        (folder / "settings.json").write_text(json.dumps(self.settings))
        self._command = install(folder / "programs", LAST_MINUTE)

    def command(self, *words: str, part: tuple[str, ...] = ()) -> list[str]:
        settings = ("--settings", str(self.folder / "settings.json"))
        return [sys.executable, "-I", str(self._command), *part, *settings, *words]

    def run(self, *words: str) -> str:
        done = subprocess.run(self.command(*words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def state(self) -> Json:
        return read(self.folder / "run-wal" / "stick.json")

    def save_until(self, wanted: Callable[[Json], object]) -> Json:
        """Save, as the service does, until its state is as wanted; the pause between two looks is short."""
        deadline = time.monotonic() + PATIENCE

        def look(_: float) -> None:
            if wanted(self.state()):
                raise InterruptedError
            assert time.monotonic() < deadline, self.state()
            time.sleep(0.2)

        with suppress(InterruptedError):
            last_minute.save_on(Settings(**self.settings), look)
        return self.state()

    def save(self) -> Json:
        """Save until what is committed by now is on the stick."""
        now = datetime.now(UTC).isoformat()
        return self.save_until(lambda state: (state["until"] or "") > now)

    def see(self, what: str) -> None:
        self.server.sql(f"INSERT INTO observations (what) VALUES ('{what}')", "gis")

    def seen(self) -> str:
        return self.server.sql(SEEN, "gis")

    def restart_lsn(self) -> str:
        return self.server.sql(f"SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = '{SLOT}'")


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Stick]:
    found = Stick(tmp_path)
    if not found.plug_in():
        pytest.skip("this machine has no loop devices")
    yield found
    found.pull_out()


MakePi = Callable[[str], Pi]


@pytest.fixture
def make_pi(tmp_path: Path, starter: Start) -> MakePi:
    def make(name: str) -> Pi:
        folder = tmp_path / name
        folder.mkdir()
        return Pi(folder, starter(owned_folder(folder / "data")).ready())

    return make


@pytest.fixture
def pi(make_pi: MakePi, stick: Stick) -> Pi:
    found = make_pi("pi")
    found.server.sql("CREATE ROLE gis LOGIN")
    found.server.sql("CREATE DATABASE gis OWNER gis")
    found.server.sql("CREATE TABLE observations (id serial PRIMARY KEY, what text)", "gis")
    found.see("before the backup")
    found.run("run")
    return found


def test_what_was_committed_after_the_backup_is_back_on_a_new_card(pi: Pi, make_pi: MakePi) -> None:
    assert pi.save()["said"].startswith("The last minute: what was committed until ")
    pi.see("after the base copy")
    pi.save()
    pi.see("last")
    assert pi.save()["said"] in pi.run("status")
    pi.see("lost")
    pi.server.container.kill()
    new = make_pi("new")
    found = json.loads(new.run("find", "--from", "stick", "--last-minute"))
    assert found["last_minute"] and ", and the databases as they were on 2" in found["said"]
    # Nothing of before is replaced by what a new card has.
    assert "it is from before this card" in new.save_until(lambda state: state["state"] == "waiting")["said"]
    new.run("restore", "--from", "stick", "--last-minute")
    assert new.seen() == "before the backup,after the base copy,last"
    assert new.server.sql("SELECT nextval('observations_id_seq') > 3", "gis") == "t"
    assert not (new.folder / last_minute.RECOVERING).exists()


@pytest.mark.long
def test_a_stick_that_is_pulled_out_stops_nothing_and_goes_on_when_it_is_back(pi: Pi, stick: Stick) -> None:
    base = pi.save()["base"]
    stick.pull_out()
    pi.see("while it was away")
    state = pi.save_until(lambda state: state["state"] == "absent")
    assert "it is away, and what was committed until " in state["said"]
    kept = pi.restart_lsn()
    stick.plug_in()
    assert pi.save()["base"] == base and pi.restart_lsn() > kept
    # Away for so long that PostgreSQL gives the slot up before it fills the card.
    pi.server.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    pi.server.sql("SELECT pg_reload_conf()")
    stick.pull_out()
    for number in range(4):
        pi.see(f"unsaved {number}")
        pi.server.sql("SELECT pg_switch_wal()")
    pi.server.sql("CHECKPOINT")
    assert pi.server.sql(f"SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{SLOT}'") == "lost"
    stick.plug_in()
    assert pi.save()["base"] > base


@pytest.mark.long
def test_no_slot_fills_the_card_and_the_role_can_do_nothing_else(pi: Pi) -> None:
    pi.save()
    assert pi.server.setting("max_slot_wal_keep_size") == "256MB"
    may = "rolreplication, rolsuper, rolcreaterole, rolcreatedb, rolpassword"
    role = f"SELECT {may} FROM pg_authid WHERE rolname = '{last_minute.ROLE}'"
    assert pi.server.sql(role) == "t|f|f|f|"
    code, said = pi.server.psql("SELECT 1", f"--username={last_minute.ROLE}", "--dbname=postgres")
    assert code != 0 and "no pg_hba.conf entry" in said
    assert pi.server.over_network("SELECT 1", last_minute.ROLE, "x")[0] != 0


@pytest.mark.long
def test_nothing_on_the_stick_can_be_read_without_the_password(pi: Pi) -> None:
    pi.see("a secret of the field")
    pi.save()
    settings = Settings(**pi.settings)
    with mounted(settings, settings.targets[0]) as place:
        files = [path for path in (place / "poppyfield").rglob("*") if path.is_file()]
        assert {path.relative_to(place).parts[1] for path in files} == {
            f"pi-orchard{one}" for one in ("", ".base", ".wal")
        }
        assert not [path for path in files if b"secret of the field" in path.read_bytes()]


@contextmanager
def committing(server: Server) -> Iterator[Path]:
    """Commit several times a second; give the file with the numbers that PostgreSQL has acknowledged."""
    script = (
        "for n in $(seq 1 100000); do psql -qX -U postgres -d gis -c "
        '"INSERT INTO observations (what) VALUES ($n)" || exit; echo $n $(date +%s.%N); done'
    )
    path = server.data.parent / "acknowledged"
    with path.open("w") as out:
        command = ["docker", "exec", server.container.name, "bash", "-c", script]
        with subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL) as running:
            yield path
            running.wait()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.long
def test_a_dead_card_costs_less_than_a_minute_of_commits(pi: Pi, make_pi: MakePi) -> None:
    with committing(pi.server) as acknowledged:
        log = (pi.folder / "log").open("w")
        with subprocess.Popen(pi.command("save", part=(LAST_MINUTE,)), stdout=log, stderr=log) as saving:
            wait_for(lambda: pi.state().get("until"))
            first = pi.state()["until"]
            wait_for(lambda: pi.state()["until"] != first)
            # The next save has begun, and is not there yet: no moment is worse.
            wait_for(lambda: os.path.ismount(pi.folder / "run-wal" / "stick"))
            pi.server.container.kill()
            saving.kill()
    new = make_pi("new")
    new.run("restore", "--from", "stick", "--last-minute")
    restored = int(new.server.sql("SELECT max(what::int) FROM observations WHERE what ~ '^[0-9]+$'", "gis"))
    times = {
        int(number): float(when) for number, when in (line.split() for line in acknowledged.read_text().splitlines())
    }
    lost = times[max(times)] - times[restored] if restored in times else 0.0
    add_to_report(RESTORE, seconds_of_commits_lost=round(lost, 1), commits=len(times), commits_back=restored)
    assert new.server.sql("SELECT count(DISTINCT what) FROM observations WHERE what ~ '^[0-9]+$'", "gis") == str(
        restored
    )
    assert lost <= 60
