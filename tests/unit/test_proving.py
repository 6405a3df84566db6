"""Restoring for trial: what is compared, what is said of it, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.backup import proving, trial_container
from ansible.module_utils.poppyfield.backup.command_line import main
from ansible.module_utils.poppyfield.backup.proving import check_sqlite
from ansible.module_utils.poppyfield.backup.settings import BackupError, Settings
from ansible.module_utils.poppyfield.backup.this_pi import locked

from tests.unit.backup_pi import Pi, office, pi

__all__ = ["pi"]


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


def test_a_database_of_sqlite_that_is_damaged_is_told() -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE t AS SELECT 1 AS n")
        whole = database.serialize()
    check_sqlite(whole, "/jauth.db")
    with pytest.raises(BackupError, match=r"/jauth.db is damaged: "):
        check_sqlite(whole[:4096] + b"rot" * 1365 + b"\0", "/jauth.db")


def test_what_lies_in_a_folder_is_proven_without_a_pi(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    store = office(pi)
    pi.run("run")
    capsys.readouterr()
    words = ["prove-copy", "--folder", str(store), "--host", "pi-orchard"]
    words += ["--password-file", str(pi.folder / "password"), "--scratch", str(pi.folder)]
    assert main(words) == 0
    assert "and is equal: 1 databases" in capsys.readouterr().out
    assert not pi.called("backup --json")[5:] and not list(pi.folder.glob("poppyfield-proof-*"))
    # As `make prove` does, with a Python that has no Ansible.
    asked = ["/usr/bin/python3", "-I", "-B", str(Path(proving.__file__).parent), *words]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert "and is equal: 1 databases" in said
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
