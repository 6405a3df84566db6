"""The program of the backup: what counts as a backup, what is put in place, and that it comes back where that fails."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup import (
    restore_journal,
    restoring,
    room,
    saved_content,
    targets,
    trial_container,
)
from ansible.module_utils.poppyfield.backup.backup_runs import Run, chosen, complete_runs, without_record
from ansible.module_utils.poppyfield.backup.command_line import main
from ansible.module_utils.poppyfield.backup.comparison import differences
from ansible.module_utils.poppyfield.backup.finding import offers
from ansible.module_utils.poppyfield.backup.proving import check_sqlite
from ansible.module_utils.poppyfield.backup.restic_words import meaning, not_in_it
from ansible.module_utils.poppyfield.backup.room import SPARE_BYTES, room_problem
from ansible.module_utils.poppyfield.backup.saved_content import (
    DatabaseSession,
    content_of_files,
    look_at_files,
    of_basemaps,
)
from ansible.module_utils.poppyfield.backup.settings import BackupError, Settings
from ansible.module_utils.poppyfield.backup.sql import connection, identifier, literal, set_aside
from ansible.module_utils.poppyfield.backup.sqlite_copies import copy_sqlite
from ansible.module_utils.poppyfield.backup.targets import mount_points
from ansible.module_utils.poppyfield.backup.this_pi import locked

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


def test_a_backup_counts_when_its_record_is_there(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    assert pi.run("run") == 0
    kinds = [snapshot["tags"][2] for snapshot in pi.snapshots()]
    assert kinds == ["globals", "database", "sqlite", "files", "record"]
    said = capsys.readouterr().out
    assert said.startswith("stick: backup of ") and "bytes added" in said and said.count("\n") == 1
    assert pi.state()["state"] == "saved"
    # A stick is written to by restic alone, and its temporary files are gone.
    assert [path.name for path in (pi.folder / "run/stick/poppyfield").iterdir()] == ["pi-orchard"]


def test_the_status_is_that_of_each_target(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    assert pi.run("status") == 0
    pi.run("run")
    pi.run("status")
    first, made, told = capsys.readouterr().out.splitlines()
    assert first == "stick: no backup yet." and made == told


def test_a_dump_that_fails_leaves_nothing_that_counts(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    pi.say("fail", "pg_dump --format")
    assert pi.run("run") == 1
    said = capsys.readouterr().out
    assert "/gis.dump could not be made: Fatal: it failed. This backup does not count" in said
    assert len(pi.records()) == 1 and "database" not in [s["tags"][2] for s in pi.snapshots()[5:]]
    assert pi.state()["state"] == "failed" and "The newest backup is of" in pi.state()["said"]
    # What the failed one left goes with the next one.
    pi.say("fail", "")
    assert pi.run("run") == 0
    assert len(pi.snapshots()) == 10


def test_files_that_cannot_be_read_are_named_and_the_rest_counts(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    there, gone = pi.lizmap / "projects" / "map.qgs", pi.lizmap / "config" / "a-session-that-ended"
    pi.say("unread", f"{gone} {there}")
    assert pi.run("run") == 0
    said = capsys.readouterr().out
    assert f"These could not be read, and are not in it: {there}. The card may be failing." in said
    assert pi.state()["state"] == "saved" and len(pi.records()) == 1
    pi.say("unread", str(gone))
    assert pi.run("run") == 0
    assert "could not be read" not in capsys.readouterr().out


def test_many_files_that_cannot_be_read_are_counted() -> None:
    assert "are not in it: a, b, c, d, e and 2 more. The card" in not_in_it([*"abcdefg"])


def test_only_so_many_are_kept_with_all_of_their_parts(pi: Pi) -> None:
    for _ in range(4):
        assert pi.run("run") == 0
    assert len(pi.records()) == 2 and len(pi.snapshots()) == 10


def test_what_is_stored_is_read_once_a_week(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    pi.run("run")
    assert len(pi.called("restic --no-cache check")) == len(pi.called("restic --no-cache prune")) == 1
    state = {**pi.state(), "checked": "2020-01-01T00:00:00+00:00"}
    (pi.folder / "state" / "stick.json").write_text(json.dumps(state))
    pi.say("fail", "cache check")
    assert pi.run("run") == 1
    assert "it was pulled out, or is damaged" in capsys.readouterr().out
    assert pi.state()["state"] == "failed" and pi.state()["checked"] == state["checked"]


def test_a_stick_that_is_not_there_is_told_and_is_no_error_of_the_timer(
    pi: Pi, capsys: pytest.CaptureFixture[str]
) -> None:
    pi.say("devices", "")
    assert pi.run("run", "--by-timer") == 0
    assert pi.run("run") == 1
    assert capsys.readouterr().out.splitlines()[0] == "stick: no stick with the label POPPYFIELD is in this Pi."
    assert pi.state()["state"] == "absent"
    assert not pi.called("restic") and not pi.called("mount")
    # The card is written to once, not every hour.
    at = pi.state()["at"]
    pi.run("run", "--by-timer")
    assert pi.state()["at"] == at


def test_of_two_sticks_with_one_label_none_is_written_to(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.say("devices", "/dev/sda1 /dev/sdb1")
    assert pi.run("run") == 1
    assert "2 sticks have the label POPPYFIELD" in capsys.readouterr().out
    assert not pi.called("mount")


def test_a_folder_is_written_to_only_while_something_is_mounted_there(
    pi: Pi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    office = pi.folder / "office"
    office.mkdir()
    pi.write_settings(targets=[{"name": "office", "folder": str(office)}])
    assert pi.run("run") == 1
    assert f"office: nothing is mounted on {office}" in capsys.readouterr().out
    assert list(office.iterdir()) == []
    monkeypatch.setattr(targets, "mount_points", lambda mountinfo: {str(office)})
    assert pi.run("run") == 0
    assert pi.called(f"mount --bind {office} ")


def test_a_mount_that_was_left_is_taken_away_first(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    place = pi.folder / "run" / "stick"
    seen = [{str(place)}, {str(place)}, set(), set()]
    monkeypatch.setattr(targets, "mount_points", lambda mountinfo: seen.pop(0))
    assert pi.run("run") == 0
    assert len(pi.called("umount ")) == 2


def test_the_stick_of_another_pi_is_left_alone(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    (pi.folder / "password").write_text("another password\n")
    assert pi.run("run") == 1
    assert "made with another password than this Pi's" in capsys.readouterr().out
    assert len(pi.records()) == 1


def test_what_is_no_repository_is_left_alone(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    foreign = pi.folder / "run/stick/poppyfield/pi-orchard"
    foreign.mkdir(parents=True)
    assert pi.run("run") == 1
    assert "pi-orchard in poppyfield/ is no backup" in capsys.readouterr().out
    assert list(foreign.iterdir()) == []


def test_only_one_is_at_work(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings.read(pi.folder / "settings.json")
    with locked(settings, wait=True):
        assert pi.run("run", "--by-timer") == 0
    assert "Another backup, a restore or a proof is at work." in capsys.readouterr().out
    assert not (pi.fake / "log").exists()


def destroy(pi: Pi) -> None:
    """Lose what there is, as on a new card."""
    (pi.lizmap / "projects" / "map.qgs").write_text("something else")
    (pi.lizmap / "config" / "jauth.db").write_bytes(b"")
    (pi.folder / "secrets" / "postgis_gis").write_text("of the new card")


def found(pi: Pi, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert pi.run("find", "--from", "stick") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["said"].startswith("the backup of pi-orchard of ") and answer["said"].endswith("with gis")
    return str(answer["run"])


def test_a_backup_is_put_in_place_and_what_was_there_is_kept(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    destroy(pi)
    assert pi.run("restore", "--from", "stick", "--run", found(pi, capsys)) == 0
    assert (pi.lizmap / "projects" / "map.qgs").read_text() == "the map"
    assert (pi.folder / "secrets" / "postgis_gis").read_text() == "of the backup"
    with closing(sqlite3.connect(pi.lizmap / "config" / "jauth.db")) as database:
        assert database.execute("SELECT login FROM users").fetchall() == [("anna",)]
    (before,) = pi.lizmap.glob("projects.before-*")
    assert (before / "map.qgs").read_text() == "something else"
    assert (pi.fake / "restored").read_text() == "what pg_dump says\n"
    assert 'ALTER DATABASE "gis" RENAME TO "gis__before_' in pi.sql()
    assert [line.split()[1] for line in pi.called("docker st")] == ["stop", "start"]
    capsys.readouterr()
    assert pi.run("finish") == 0
    assert "What was there before is kept: the database gis__before_" in capsys.readouterr().out
    assert not list(pi.lizmap.glob(".restoring-*")) and pi.run("take-back") == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("not foreseen")])
def test_whatever_ends_a_restore_what_was_in_place_comes_back(
    pi: Pi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    pi.run("run")
    destroy(pi)
    run = found(pi, capsys)

    def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "put_folders", fail)
        assert pi.run("restore", "--from", "stick", "--run", run) == 1
    assert "Everything is again as it was" in capsys.readouterr().err
    assert (pi.lizmap / "projects" / "map.qgs").read_text() == "something else"


def test_what_was_taken_back_stays_where_taking_it_back_was_cut_off_at_its_end(
    pi: Pi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pi.run("run")
    destroy(pi)
    assert pi.run("restore", "--from", "stick", "--run", found(pi, capsys)) == 0

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(restore_journal, "close_journal", fail)
        pi.run("take-back")
    assert (pi.lizmap / "projects" / "map.qgs").read_text() == "something else"
    assert pi.run("take-back") == 0
    assert (pi.lizmap / "projects" / "map.qgs").read_text() == "something else"


@pytest.mark.parametrize("how", ["decline", "run", "finish"])
def test_a_card_is_new_until_it_was_saved_or_restored_or_the_backups_before_it_were_declined(
    pi: Pi, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    pi.run("run")
    shutil.rmtree(pi.folder / "state")
    settings = Settings.read(pi.folder / "settings.json")
    (pi.folder / "state").mkdir()
    settings.new_card.touch()
    assert offers(settings) != []
    if how == "finish":
        assert pi.run("restore", "--from", "stick") == 0 and settings.new_card.exists()
    assert pi.run(how) == 0
    assert not settings.new_card.exists() and offers(settings) == []
    # The timer makes its own from now on.
    assert pi.run("run", "--by-timer") == 0


def test_a_database_that_is_half_restored_beside_the_others_does_not_stay(
    pi: Pi, capsys: pytest.CaptureFixture[str]
) -> None:
    pi.run("run")
    pi.say("fail", "pg_restore")
    assert pi.run("restore", "--from", "stick", "--database", "gis", "--as", "gis_yesterday") == 1
    assert 'DROP DATABASE "gis_yesterday"' in pi.sql()


def test_a_database_of_that_name_is_neither_replaced_nor_removed(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    assert pi.run("restore", "--from", "stick", "--database", "gis", "--as", "gis") == 1
    assert "There is a database gis already. Choose another name" in capsys.readouterr().err
    assert "DROP DATABASE" not in pi.sql()


@pytest.mark.parametrize("failing", ["pg_restore", "docker start"])
def test_what_was_in_place_comes_back_where_a_restore_fails(
    pi: Pi, capsys: pytest.CaptureFixture[str], failing: str
) -> None:
    pi.run("run")
    destroy(pi)
    run = found(pi, capsys)
    pi.say(*(("state", "running unhealthy") if failing == "docker start" else ("fail", failing)))
    assert pi.run("restore", "--from", "stick", "--run", run) == 1
    assert (pi.lizmap / "projects" / "map.qgs").read_text() == "something else"
    assert (pi.folder / "secrets" / "postgis_gis").read_text() == "of the new card"
    assert not list(pi.lizmap.glob("*.before-*")) and not list(pi.lizmap.glob(".restoring-*"))
    assert "Everything is again as it was" in capsys.readouterr().err
    assert '" RENAME TO "gis"' in pi.sql()


def test_a_restore_that_was_cut_off_is_taken_back_before_anything_else(
    pi: Pi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pi.run("run")
    destroy(pi)
    run = found(pi, capsys)

    class PowerCutError(BaseException):
        """Nothing that a program catches."""

    def cut(settings: Settings) -> None:
        raise PowerCutError

    with monkeypatch.context() as patch, pytest.raises(PowerCutError):
        patch.setattr(restoring, "start", cut)
        pi.run("restore", "--from", "stick", "--run", run)
    capsys.readouterr()
    pi.run("status")
    assert "neither kept nor taken back" in capsys.readouterr().out
    assert (pi.lizmap / "projects" / "map.qgs").read_text() == "the map"
    assert pi.run("run", "--by-timer") == 0
    assert "A restore was cut off half-way. Everything is again as it was" in capsys.readouterr().out
    assert (pi.lizmap / "projects" / "map.qgs").read_text() == "something else"
    pi.run("status")
    assert "taken back" not in capsys.readouterr().out
    assert pi.run("restore", "--from", "stick", "--run", run) == 0
    (before,) = pi.lizmap.glob("projects.before-*")
    assert (before / "map.qgs").read_text() == "something else"
    assert len(list(pi.lizmap.glob("projects.failed-*"))) == 1


def test_a_link_in_the_backup_leads_out_of_no_folder(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    (tree,) = (pi.folder / "run/stick/poppyfield/pi-orchard/snapshots").glob("*/tree")
    saved = tree / str(pi.lizmap / "config" / "jauth.db").lstrip("/")
    victim = pi.folder / "victim"
    victim.write_text("of root")
    saved.unlink()
    saved.symlink_to(victim)
    assert pi.run("restore", "--from", "stick", "--run", found(pi, capsys)) == 1
    assert "is no file in the backup. Nothing was changed" in capsys.readouterr().err
    assert victim.read_text() == "of root" and not list(pi.lizmap.glob(".restoring-*"))


def test_one_database_is_restored_beside_the_others(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    asked = ("restore", "--from", "stick", "--database", "gis", "--as")
    assert pi.run(*asked, "gis_yesterday") == 0
    assert 'CREATE DATABASE "gis_yesterday"' in pi.sql() and "RENAME" not in pi.sql()
    assert pi.called("pg_restore")[0].endswith("--dbname=dbname='gis_yesterday'")
    assert pi.run(*asked, "x; DROP") == 1
    assert "can't be the name of a database" in capsys.readouterr().err
    assert pi.run("restore", "--from", "stick", "--database", "other", "--as", "new") == 1
    assert "There is no database other in that backup; it has gis." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["find", "--from", "office"], "There is no target office; this Pi has stick."),
        (["find", "--from", "stick"], "there is no backup of pi-orchard."),
        (["restore", "--from", "stick", "--run", "x"], "there is no backup of pi-orchard."),
    ],
)
def test_what_is_not_there_is_told(pi: Pi, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert pi.run(*words) == 1
    assert capsys.readouterr().err.strip() == said


def test_a_backup_of_a_newer_postgresql_or_without_room_is_refused_before_anything_is_changed(
    pi: Pi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pi.run("run")
    run = found(pi, capsys)
    assert pi.run("restore", "--from", "stick", "--run", "another") == 1
    pi.say("version", "150010")
    assert pi.run("restore", "--from", "stick", "--run", run) == 1
    assert "of PostgreSQL 17, and this is 15. Nothing was changed." in capsys.readouterr().err
    pi.say("version", "170005")
    monkeypatch.setattr(room, "SPARE_BYTES", 1 << 60)
    assert pi.run("restore", "--from", "stick", "--run", run) == 1
    assert "MB are missing on the disk of" in capsys.readouterr().err
    assert not pi.called("docker stop")


def test_room_for_the_databases_is_that_of_the_disk_which_is_mounted_on_their_folder(
    pi: Pi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pi.run("run")
    run, usage = found(pi, capsys), shutil.disk_usage

    def full(folder: Path) -> Any:
        return usage(folder)._replace(free=0) if folder == pi.folder / "data" else usage(folder)

    monkeypatch.setattr(shutil, "disk_usage", full)
    assert pi.run("restore", "--from", "stick", "--run", run) == 1
    assert f"MB are missing on the disk of {pi.folder / 'data'}" in capsys.readouterr().err


def test_the_timer_of_a_new_card_saves_no_empty_map_before_a_backup_was_restored(
    pi: Pi, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pi.run("run", "--by-timer") == 0
    shutil.rmtree(pi.folder / "state")
    assert pi.run("run", "--by-timer") == 1
    assert "there are backups of pi-orchard from before this card. Restore one" in capsys.readouterr().out
    assert len(pi.records()) == 1
    assert pi.run("restore", "--from", "stick", "--run", found(pi, capsys)) == 0
    assert pi.run("run", "--by-timer") == 0 and len(pi.records()) == 2


def test_a_new_card_is_offered_what_was_saved_before_it(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    def offered() -> list[Json]:
        capsys.readouterr()
        assert pi.run("offers") == 0
        found: list[Json] = json.loads(capsys.readouterr().out)
        return found

    assert offered() == [], "nothing was ever saved"
    pi.run("run")
    assert offered() == [], "this card saved it"
    shutil.rmtree(pi.folder / "state")
    (one,) = offered()
    assert one["target"] == "stick" and "the backup of pi-orchard of " in one["said"] and "with gis" in one["said"]
    with locked(Settings.read(pi.folder / "settings.json"), wait=True):
        assert offered() == [], "a backup at work is not waited for"
    pi.say("devices", "")
    assert offered() == [], "the stick is not there"
    pi.say("devices", "/dev/sda1")
    pi.run("restore", "--from", "stick")
    assert offered() == [], "it is in place"


def test_a_target_may_be_called_as_what_is_written_down_of_a_restore(
    pi: Pi, capsys: pytest.CaptureFixture[str]
) -> None:
    pi.write_settings(targets=[{"name": name, "label": "POPPYFIELD"} for name in ("stick", "restore", "restored")])
    pi.run("run")
    capsys.readouterr()
    assert pi.run("take-back") == 0
    assert capsys.readouterr().out.strip() == "There was nothing to take back."


def test_whoever_goes_on_without_the_earlier_backups_makes_one(pi: Pi) -> None:
    pi.run("run")
    shutil.rmtree(pi.folder / "state")
    assert pi.run("run") == 0 and pi.run("run", "--by-timer") == 0


def test_a_restore_that_is_taken_back_leaves_a_new_card_as_new(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    shutil.rmtree(pi.folder / "state")
    assert pi.run("restore", "--from", "stick", "--run", found(pi, capsys)) == 0 and pi.run("take-back") == 0
    assert pi.run("run", "--by-timer") == 1


def test_settings_that_are_not_there_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--settings", str(tmp_path / "no"), "run"]) == 1
    assert capsys.readouterr().err == f"No such file or directory: {tmp_path}/no\n"


# Proof --------------------------------------------------------------------------------------------------------------


def prove(pi: Pi, capsys: pytest.CaptureFixture[str], status: int = 1) -> str:
    """Make a backup and restore it for trial; give what is said of that."""
    pi.run("run")
    capsys.readouterr()
    assert pi.run("prove") == status
    return capsys.readouterr().out


def age(pi: Pi, **days: int) -> None:
    """Make moments that were written down earlier."""
    state = pi.state()
    moved = {name: (datetime.now(UTC) - timedelta(days=number)).isoformat() for name, number in days.items()}
    (pi.folder / "state" / "stick.json").write_text(json.dumps({**state, "proof": {**state["proof"], **moved}}))


def test_what_is_restored_is_compared_in_a_container_that_is_thrown_away(
    pi: Pi, capsys: pytest.CaptureFixture[str]
) -> None:
    said = prove(pi, capsys, 0)
    assert (
        said.count("\n") == 1
        and "is equal: 1 databases, 2 tables, 2 rows, 1 sequences, 2 rights, 4 files, 0 maps." in said
    )
    assert pi.state()["proven"] == pi.state()["proof"]["at"]
    (run,) = pi.called("docker run")
    assert "--name websig-postgis-proof" in run and "--network none" in run and "--read-only" in run
    assert run.count("source=") == 1 and f"source={pi.folder}/run/stick/poppyfield/pi-orchard.proof/data," in run
    assert pi.called("docker rm") == ["docker rm --force --volumes 0123456789ab"]
    assert (pi.fake / "restored").read_text() == "what pg_dump says\n"
    # What was found lies on the stick as well, and nothing else.
    assert pi.snapshots()[-1]["tags"][2] == "proof=equal"
    assert [path.name for path in (pi.folder / "run/stick/poppyfield").iterdir()] == ["pi-orchard"]


@pytest.mark.parametrize(
    ("name", "restored", "told"),
    [
        ("rows", '[2, "124", true]', "gis: public.fields has other values in its 2 rows than it had."),
        ("next", '"2"', "gis: the sequence public.fields_id_seq would give 2 next, and not 3."),
        ("rights", "[]", "gis: missing: database gis is owned by gis."),
        ("roles", "[]", "missing: role gis: logs in."),
    ],
)
def test_what_differs_is_said_and_fails(
    pi: Pi, capsys: pytest.CaptureFixture[str], name: str, restored: str, told: str
) -> None:
    pi.say(f"restored-{name}", restored)
    said = prove(pi, capsys)
    assert said.splitlines()[1:] == [told] and f"and is not equal (1): {told}" in said
    assert pi.state()["proof"]["result"] == "different" and "proven" not in pi.state()


def test_the_timer_proves_the_first_backup_and_then_one_a_week(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    assert pi.run("run") == 0
    assert "It was not restored for trial yet." in capsys.readouterr().out and not pi.called("docker run")
    assert pi.run("run", "--by-timer") == 0 and pi.run("run", "--by-timer") == 0
    assert capsys.readouterr().out.count("is equal") == 2 and len(pi.called("docker run")) == 1
    age(pi, at=8)
    pi.say("restored-rows", '[1, "123", true]')
    assert pi.run("run", "--by-timer") == 1 and pi.run("run", "--by-timer") == 1
    assert "public.fields has 1 rows, and had 2." in capsys.readouterr().out
    assert len(pi.called("docker run")) == 2
    # It is tried again a day later.
    age(pi, at=1)
    pi.say("restored-rows", '[2, "123", true]')
    assert pi.run("run", "--by-timer") == 0 and len(pi.called("docker run")) == 3


def test_without_proofs_the_timer_makes_none(pi: Pi) -> None:
    pi.write_settings(prove=False)
    assert pi.run("run", "--by-timer") == 0 and not pi.called("docker run")


def test_a_restore_for_trial_that_fails_says_why_and_leaves_nothing(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.say("fail", "pg_restore")
    assert "that failed: /gis.dump could not be restored: Fatal: it failed." in prove(pi, capsys)
    assert pi.state()["proof"]["result"] == "failed"
    assert [path.name for path in (pi.folder / "run/stick/poppyfield").iterdir()] == ["pi-orchard"]


def test_a_container_that_ends_is_told(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    pi.say("state", "exited")
    pi.say("fail", "websig-postgis-proof psql")
    assert pi.run("prove") == 1
    assert "the container for it is exited: PostgreSQL refused" in capsys.readouterr().out


def test_what_cannot_be_tried_tells_nothing_of_the_backup(
    pi: Pi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(trial_container, "SPARE_BYTES", 1 << 60)
        assert "could not be restored for trial: " in prove(pi, capsys) and pi.state()["proof"]["result"] == "not tried"
    with monkeypatch.context() as patch:
        # As a file system does that knows of neither.
        patch.setattr(os, "chown", lambda path, *_: path.chmod(0o755))
        assert "keeps no owners and rights, and none could be made in a file on it" in prove(pi, capsys)
    pi.say("devices", "")
    assert pi.run("prove", "--from", "stick") == 1
    assert "no stick with the label POPPYFIELD is in this Pi." in capsys.readouterr().out
    assert not pi.called("docker run") and pi.state()["state"] == "saved"


def test_a_backup_of_an_earlier_release_is_passed_over(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    (record,) = (pi.folder / f"run/stick/poppyfield/pi-orchard/snapshots/{pi.records()[0]}").glob("data")
    document = json.loads(record.read_text())
    del document["content"]
    record.write_text(json.dumps(document))
    assert pi.run("prove") == 1
    assert "did not record what it holds. Make one now." in capsys.readouterr().out


def test_what_an_ended_run_left_is_taken_away_unless_another_is_at_work(pi: Pi) -> None:
    pi.say("trials", "0123456789ab")
    settings = Settings.read(pi.folder / "settings.json")
    with locked(settings, wait=True):
        assert pi.run("clear-up") == 0
    assert not (pi.fake / "log").exists()
    assert pi.run("clear-up") == 0 and pi.called("docker rm --force --volumes 0123456789ab")


def test_a_session_that_ends_is_told(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.say("rights", "")
    assert pi.run("run") == 1
    assert "what a database holds could not be listed" in capsys.readouterr().out
    with pytest.raises(BackupError, match="PostgreSQL ended a session"):
        DatabaseSession(replace(Settings.read(pi.folder / "settings.json"), postgis="ends"), "gis")


def test_a_file_that_changed_while_it_was_saved_is_not_compared(pi: Pi) -> None:
    settings = Settings.read(pi.folder / "settings.json")
    project, secret = pi.lizmap / "projects" / "map.qgs", pi.folder / "secrets" / "postgis_gis"
    seen = look_at_files([str(pi.lizmap / "projects"), str(secret), str(pi.folder / "nothing")])
    assert set(seen) == {str(project), str(secret)}
    found = content_of_files(settings, seen, [])
    assert found[str(project)]["digest"] == hashlib.sha256(b"the map").hexdigest() and len(found) == 2
    assert set(content_of_files(settings, seen, [str(secret)])) == {str(project)}
    project.write_text("another map")
    assert set(content_of_files(settings, seen, [])) == {str(secret)}


def test_base_maps_are_not_saved(pi: Pi) -> None:
    settings = Settings.read(pi.folder / "settings.json")
    projects = pi.lizmap / "projects"
    for name in (
        "basemaps/a.mbtiles",
        ".poppyfield/basemaps/incoming/x",
        "basemaps of mine/map.qgs",
        "maps/basemaps/b",
    ):
        (projects / name).parent.mkdir(parents=True, exist_ok=True)
        (projects / name).write_text("x")
    seen = look_at_files([str(projects)], of_basemaps(settings))
    own = {"map.qgs", "basemaps of mine/map.qgs", "maps/basemaps/b"}
    assert {str(Path(path).relative_to(projects)) for path in seen} == own
    assert pi.run("run") == 0
    (saved,) = [line for line in pi.called(" backup ") if f" {projects}" in line and " -- " in line]
    assert f"--exclude {projects}/basemaps --exclude {projects}/.poppyfield/basemaps --" in saved


def test_a_file_that_is_as_it_was_is_not_read_again(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings.read(pi.folder / "settings.json")
    seen = look_at_files([str(pi.folder / "secrets")])
    first = content_of_files(settings, seen, [])
    monkeypatch.setattr(saved_content, "digest_of_file", lambda _: "read again")
    assert content_of_files(settings, seen, []) == first


def test_a_database_of_sqlite_that_is_damaged_is_told() -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE t AS SELECT 1 AS n")
        whole = database.serialize()
    check_sqlite(whole, "/jauth.db")
    with pytest.raises(BackupError, match=r"/jauth.db is damaged: "):
        check_sqlite(whole[:4096] + b"rot" * 1365 + b"\0", "/jauth.db")


# Decisions ----------------------------------------------------------------------------------------------------------


def snapshot(number: int, run: str, *kinds: str, tag: str = "poppyfield") -> Json:
    made = f"2026-11-29T1{number}:00:00.123456789+01:00"
    return {"id": str(number), "time": made, "tags": [tag, f"run={run}", *kinds]}


def test_snapshots_of_others_are_neither_backups_nor_removed() -> None:
    snapshots = [
        snapshot(1, "a", "database"),
        snapshot(2, "a", "record"),
        snapshot(3, "b", "database"),
        snapshot(4, "b", "files"),
        snapshot(5, "c", "record", tag="somebody"),
        {"id": "6", "time": "2026-11-29T10:00:00Z", "tags": None},
    ]
    runs = complete_runs(snapshots)
    assert runs == [Run("a", datetime(2026, 11, 29, 11, tzinfo=UTC), "2")]
    assert without_record(snapshots) == ["3", "4"]


def test_a_time_chooses_the_newest_backup_that_is_not_younger() -> None:
    runs = [Run(str(hour), datetime(2026, 11, 29, hour, tzinfo=UTC), "") for hour in (8, 9, 10)]
    assert chosen(runs, "latest").name == "10"
    assert chosen(runs, "2026-11-29T09:59:00+00:00").name == "9"
    # A backup is told by the minute, and found by it.
    told = Run("told", datetime(2026, 11, 29, 10, 2, 37, tzinfo=UTC), "")
    assert chosen([*runs, told], "2026-11-29T10:02+00:00").name == "told"
    assert chosen([*runs, told], "2026-11-29T10:02:36+00:00").name == "10"
    for when, said in (("2026-11-29T07:00+00:00", "no backup that old"), ("yesterday", "is no time")):
        with pytest.raises(BackupError, match=said):
            chosen(runs, when)
    with pytest.raises(BackupError, match="no complete backup"):
        chosen([], "latest")


def test_room_is_counted_by_disk() -> None:
    spare = SPARE_BYTES
    assert room_problem([("/a", 1, 10, spare + 10), ("/b", 2, 10, spare + 10)]) == ""
    assert "on the disk of /b" in room_problem([("/a", 1, 10, spare + 10), ("/b", 1, 10, spare + 10)])


def test_a_name_that_is_too_long_is_refused() -> None:
    assert set_aside("gis", "before", "20261129101500") == "gis__before_20261129101500"
    with pytest.raises(BackupError, match="too long"):
        set_aside("g" * 50, "before", "20261129101500")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Fatal: wrong password or no key found", "another password"),
        ("write: no space left on device", "it is full"),
        ("mkdir: read-only file system", "write-protected"),
        ("one\n\ntwo\nthree\n", "two three"),
        ('{"message_type":"exit_error","code":1,"message":"Fatal: no such thing"}\n', "Fatal: no such thing"),
        ("", "without a word"),
    ],
)
def test_what_restic_says_is_put_in_words(said: str, told: str) -> None:
    assert told in meaning(said) and "{" not in meaning(said)


def test_mount_points_are_read_with_their_blanks() -> None:
    line = "36 35 8:1 / /mnt/my\\040stick rw,noatime - ext4 /dev/sda1 rw"
    assert mount_points(f"{line}\n") == {"/mnt/my stick"}


def test_names_are_quoted() -> None:
    assert identifier('a"b') == '"a""b"'
    assert literal("a'b\\") == "E'a''b\\\\'"
    assert connection("a'b") == "--dbname=dbname='a\\'b'"


def test_a_database_of_sqlite_is_copied_as_it_is_at_one_moment(tmp_path: Path) -> None:
    path, out = tmp_path / "a b?.db", io.BytesIO()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t AS SELECT 1 AS n")
        database.commit()
        database.execute("UPDATE t SET n = 2")
        copy_sqlite(str(path), out)
    (tmp_path / "copy.db").write_bytes(out.getvalue())
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copied:
        assert copied.execute("SELECT n FROM t").fetchall() == [(1,)]


CONTENT: Json = {
    "roles": ["role gis: logs in"],
    "databases": {
        "gis": {
            "tables": {"public.fields": [2, "123"], "public.rewritten": None},
            "sequences": {"public.ids": [3, 5], "public.gone": None},
            "rights": ["table public.fields: reader has SELECT"],
        }
    },
    "files": {"/srv/map.qgs": {"digest": "abc", "bytes": 7, "owner": [33, 33, 0o644]}},
}


def changed(part: str, name: str, value: Any) -> Json:
    """The content with another value in one place; None takes it away."""
    found: Json = json.loads(json.dumps(CONTENT))
    place = found["files"] if part == "files" else found["databases"]["gis"][part]
    place.pop(name) if value is None else place.update({name: value})
    return found


def test_equal_content_differs_in_nothing() -> None:
    assert differences(CONTENT, CONTENT) == []
    # What changed or went on while it was saved.
    assert differences(CONTENT, changed("tables", "public.rewritten", [7, "8"])) == []
    for value in (3, 4, 5):
        assert differences(CONTENT, changed("sequences", "public.ids", [value, value])) == []
    assert differences(CONTENT, changed("files", "/srv/new.qgs", {"digest": "d", "bytes": 1})) == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            changed("tables", "public.fields", [2, "124"]),
            "gis: public.fields has other values in its 2 rows than it had.",
        ),
        (changed("tables", "public.fields", [1, "123"]), "gis: public.fields has 1 rows, and had 2."),
        (changed("tables", "public.fields", None), "gis: public.fields is missing."),
        (changed("tables", "public.other", [0, "0"]), "gis: public.other was not saved, and is there."),
        (
            {
                **CONTENT,
                "databases": {
                    "gis": {**CONTENT["databases"]["gis"], "tables": {"public.fields": None, "public.rewritten": None}}
                },
            },
            "gis: public.fields can't be read.",
        ),
        (changed("sequences", "public.ids", [2, 2]), "gis: the sequence public.ids would give 2 next, and not 3."),
        (changed("sequences", "public.ids", [6, 6]), "gis: the sequence public.ids would give 6 next, and not 3."),
        (changed("sequences", "public.ids", None), "gis: the sequence public.ids is missing."),
        (changed("sequences", "public.other", [1, 1]), "gis: the sequence public.other was not saved, and is there."),
        ({**CONTENT, "roles": []}, "missing: role gis: logs in."),
        ({**CONTENT, "roles": [*CONTENT["roles"], "role eve: superuser"]}, "was not so: role eve: superuser."),
        ({**CONTENT, "databases": {}}, "The database gis is missing."),
        (changed("files", "/srv/map.qgs", None), "/srv/map.qgs is missing."),
        (
            changed("files", "/srv/map.qgs", {"digest": "abd", "bytes": 7, "owner": [33, 33, 0o644]}),
            "/srv/map.qgs has another content than it had.",
        ),
        (
            changed("files", "/srv/map.qgs", {"digest": "ab", "bytes": 6, "owner": [33, 33, 0o644]}),
            "/srv/map.qgs has 6 bytes, and had 7.",
        ),
        (
            changed("files", "/srv/map.qgs", {"digest": "abc", "bytes": 7, "owner": [33, 33, 0o666]}),
            "/srv/map.qgs has another owner or other rights than it had.",
        ),
    ],
)
def test_each_difference_is_said(found: Json, said: str) -> None:
    assert differences(CONTENT, found) == [said]


def test_a_sequence_that_cannot_be_read_is_told() -> None:
    found = json.loads(json.dumps(CONTENT))
    found["databases"]["gis"]["sequences"]["public.ids"] = None
    assert differences(CONTENT, found) == ["gis: the sequence public.ids would give nothing next, and not 3."]


@pytest.mark.parametrize(
    ("said", "state", "told"),
    [
        (
            "ssh: connect to host office.example port 22: Connection timed out",
            "absent",
            "office.example does not answer",
        ),
        ("ssh: Could not resolve hostname office.example: Name or service", "absent", "office.example does not answer"),
        ("Host key verification failed.", "failed", "office.example shows another key than host_key"),
        ("b@office.example: Permission denied (publickey).", "failed", "authorized_keys of b there: ssh-ed25519 BBBB"),
        ("Bad owner or permissions", "failed", "office.example: Bad owner or permissions"),
    ],
)
def test_why_a_machine_is_not_reached_is_told(pi: Pi, said: str, state: str, told: str) -> None:
    ssh = pi.folder / "bin" / "ssh"
    ssh.write_text(f"#!/bin/sh\necho \"$@\" >> $FAKE/ssh\necho '{said}' >&2\nexit 255\n")
    ssh.chmod(0o755)
    (pi.folder / "ssh").mkdir()
    (pi.folder / "ssh" / "id_ed25519.pub").write_text("ssh-ed25519 BBBB\n")
    pi.write_settings(targets=[{"name": "office", "sftp": "b@office.example:/srv", "host_key": "ssh-ed25519 AAAA"}])
    assert pi.run("run", "--by-timer") == int(state == "failed")
    assert pi.state("office")["state"] == state and told in pi.state("office")["said"]
    asked = (pi.fake / "ssh").read_text()
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=10", "GlobalKnownHostsFile=none"):
        assert option in asked
    assert not pi.called("mount") and not pi.called("restic")


def office(pi: Pi) -> Path:
    """Have the Pi make backups on another machine, which is a folder here and answers; give that."""
    (pi.folder / "bin" / "ssh").write_text("#!/bin/sh\n")
    (pi.folder / "bin" / "ssh").chmod(0o755)
    store = pi.folder / "store"
    far = {"name": "office", "sftp": f"b@office.example:{store}", "host_key": "ssh-ed25519 AAAA"}
    pi.write_settings(targets=[far])
    return store


def test_a_backup_goes_to_another_machine_and_comes_back_from_there(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    store = office(pi)
    assert pi.run("find", "--from", "office") == 1
    assert "there is no backup of pi-orchard." in capsys.readouterr().err
    assert pi.run("run", "--by-timer") == 0 and pi.run("run", "--by-timer") == 0
    assert len(list((store / "poppyfield" / "pi-orchard" / "snapshots").iterdir())) == 10
    assert "sftp.command=ssh -F none -o BatchMode=yes" in pi.called("restic")[-1]
    destroy(pi)
    assert pi.run("restore", "--from", "office") == 0
    assert (pi.lizmap / "projects" / "map.qgs").read_text() == "the map"
    capsys.readouterr()
    # There is neither a proof nor a last minute of it.
    assert pi.run("prove") == 1 and "no room for it on another machine" in capsys.readouterr().out
    assert pi.run("find", "--from", "office", "--last-minute") == 0
    assert "without a last minute: none is saved on another machine" in capsys.readouterr().out
    (pi.folder / "password").write_text("another password\n")
    assert pi.run("find", "--from", "office") == 1
    assert "it was made with another password" in capsys.readouterr().err


def test_what_lies_in_a_folder_is_proven_without_a_pi(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    store = office(pi)
    pi.run("run")
    capsys.readouterr()
    words = ["prove-copy", "--folder", str(store), "--host", "pi-orchard"]
    words += ["--password-file", str(pi.folder / "password"), "--scratch", str(pi.folder)]
    assert main(words) == 0
    assert "and is equal: 1 databases" in capsys.readouterr().out
    assert not pi.called("backup --json")[5:] and not list(pi.folder.glob("poppyfield-proof-*"))
    pi.say("restored-rows", '[1, "123", true]')
    assert main(words) == 1
    assert "gis: public.fields has 1 rows, and had 2." in capsys.readouterr().out
    pi.say("image", "amd64")
    assert main(words) == 1
    assert "has no image poppyfield/postgis for arm64" in capsys.readouterr().err


def test_a_backup_is_proven_on_ext4_in_a_file_where_the_stick_keeps_no_owners(
    pi: Pi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pi.run("run")
    mkfs = pi.folder / "bin" / "mkfs.ext4"
    mkfs.write_text('#!/bin/sh\necho "mkfs.ext4 $*" >> "$FAKE/log"\n')
    mkfs.chmod(0o755)
    kept = os.chown

    def chown(path: Path, *owner: int) -> None:
        """Keep no owner but in the file."""
        kept(path, *owner) if "mounted" in path.parts else path.chmod(0o755)

    monkeypatch.setattr(os, "chown", chown)
    assert pi.run("prove") == 0
    (made,) = pi.called("mkfs.ext4")
    assert made.endswith("pi-orchard.proof/ext4") and pi.called("mount --options loop")
    assert "target=/var/lib/postgresql/data" in pi.called("docker run")[0]
    assert "pi-orchard.proof/mounted/proof/data" in pi.called("docker run")[0]
    assert not (pi.folder / "run/stick/poppyfield/pi-orchard.proof").exists()
