"""Restoring backups: what is put in place, that it comes back where that fails, and what is offered to a new card."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup import restore_journal, restoring, room
from ansible.module_utils.poppyfield.backup.finding import offers
from ansible.module_utils.poppyfield.backup.settings import Settings
from ansible.module_utils.poppyfield.backup.this_pi import locked

from tests.unit.backup_pi import Pi, destroy, pi

Json = dict[str, Any]
__all__ = ["pi"]


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
