"""Making backups: what counts as one, what is looked after, and what is told where it fails."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.backup import saved_content
from ansible.module_utils.poppyfield.backup.command_line import main
from ansible.module_utils.poppyfield.backup.restic_words import not_in_it
from ansible.module_utils.poppyfield.backup.saved_content import (
    DatabaseSession,
    content_of_files,
    look_at_files,
    of_basemaps,
)
from ansible.module_utils.poppyfield.backup.settings import BackupError, Settings
from ansible.module_utils.poppyfield.backup.sqlite_copies import copy_sqlite
from ansible.module_utils.poppyfield.backup.this_pi import locked

from tests.unit.backup_pi import Pi, pi

__all__ = ["pi"]


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


def test_only_one_is_at_work(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings.read(pi.folder / "settings.json")
    with locked(settings, wait=True):
        assert pi.run("run", "--by-timer") == 0
    assert "Another backup, a restore or a proof is at work." in capsys.readouterr().out
    assert not (pi.fake / "log").exists()


def test_settings_that_are_not_there_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--settings", str(tmp_path / "no"), "run"]) == 1
    assert capsys.readouterr().err == f"No such file or directory: {tmp_path}/no\n"


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
