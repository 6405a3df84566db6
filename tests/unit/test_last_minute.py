"""The last minute: when what is committed counts as saved, what is needed of it, and when it can be put in place."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup import command_line, last_minute, room
from ansible.module_utils.poppyfield.backup.last_minute import SEGMENT, WalPiece
from ansible.module_utils.poppyfield.backup.settings import Settings
from ansible.module_utils.poppyfield.backup.this_pi import LAST_MINUTE, locked
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.backup_pi import COMMANDS, Pi

Json = dict[str, Any]
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
LOOK: Json = {"system": "7", "timeline": 1, "flushed": 3 * SEGMENT, "slot": None, "bytes": 1000, "postgresql": 17}


class MinutePi(Pi):
    """A Pi that saves the last minute, too."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.write_settings(wal=True)
        self.at(slot=None)
        self.say("look-with-slot", json.dumps({**LOOK, "slot": 2 * SEGMENT + 5}))

    def at(self, **look: Any) -> None:
        """Let PostgreSQL be somewhere."""
        self.say("look", json.dumps({**LOOK, **look}))

    def settings(self) -> Settings:
        return Settings.read(self.folder / "settings.json")

    def cycles(self, count: int = 3, between: Callable[[int], None] = lambda _: None) -> Json:
        """Save as the service does, so many times, each base copy made to its end; give its state."""
        done = 0

        def wait(_: float) -> None:
            nonlocal done
            done += 1
            for thread in threading.enumerate():
                if isinstance(thread, last_minute.BaseCopy):
                    thread.join()
            between(done)
            if done == count:
                raise InterruptedError

        with suppress(InterruptedError):
            last_minute.save_on(self.settings(), wait)
        return self.minute()

    def minute(self) -> Json:
        found: Json = json.loads((self.folder / "run-wal" / "stick.json").read_text())
        return found

    def kept(self, side: str) -> list[list[str]]:
        """Give the tags of what is in one of the two repositories."""
        folder = self.folder / f"run-{side}" / "stick" / "poppyfield" / f"pi-orchard.{side}" / "snapshots"
        return [json.loads(path.read_text())["tags"] for path in sorted(folder.glob("*/snapshot"))]

    def minutes_program(self, *words: str) -> int:
        return last_minute.main(["--settings", str(self.folder / "settings.json"), *words])


@pytest.fixture
def pi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MinutePi:
    (tmp_path / "bin").mkdir()
    for name in ("restic", "docker", "mount", "umount", "blkid"):
        (tmp_path / "bin" / name).symlink_to(COMMANDS)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setenv("FAKE", str(tmp_path / "fake"))
    return MinutePi(tmp_path)


# What joins what ----------------------------------------------------------------------------------------------------


def piece(first: int, upto: int, system: str = "7") -> WalPiece:
    return WalPiece(f"{first}-{upto}-{system}", system, first, upto, NOW)


def named(pieces: list[WalPiece]) -> list[tuple[int, int]]:
    return [(one.first, one.upto) for one in pieces]


@given(st.lists(st.integers(1, 3 * SEGMENT), min_size=1, max_size=12), st.integers(0, 4 * SEGMENT))
def test_what_is_needed_still_reaches_as_far(steps: list[int], begin: int) -> None:
    """However the WAL was cut into pieces, without the needless ones as much can be played again."""
    pieces, saved = [], begin
    for step in steps:
        stop = last_minute.next_stop(saved, saved + step)
        assert saved < stop and stop - last_minute.segment_start(saved) <= last_minute.MOST_AT_ONCE
        pieces.append(piece(last_minute.segment_start(saved), stop))
        saved = stop
    base = last_minute.segment_start(begin)
    gone = last_minute.needless(pieces, "7", base)
    kept = [one for one in pieces if one.snapshot not in gone]
    assert last_minute.connected(kept, "7", base)[-1].upto == saved
    assert last_minute.needless(kept, "7", base) == []
    # Of each segment at most two stay, the one that goes on into it and the last.
    assert len(kept) <= 2 * (saved - base) // SEGMENT + 2


def test_what_does_not_join_is_left_out() -> None:
    pieces = [piece(0, 5), piece(0, 9), piece(SEGMENT, SEGMENT + 3), piece(0, 7, "8")]
    assert named(last_minute.connected(pieces, "7", 0)) == [(0, 5), (0, 9)]
    assert last_minute.needless(pieces, "7", 0) == ["0-5-7", "0-7-8"]
    assert last_minute.needless(pieces, "7", SEGMENT) == ["0-5-7", "0-9-7", "0-7-8"]
    assert last_minute.connected(pieces, "9", 0) == []


def test_pieces_are_read_from_their_tags() -> None:
    time = "2026-11-29T10:02:03.123456789Z"
    tags = ["poppyfield", "run=7", last_minute.piece_tag(SEGMENT, SEGMENT + 26)]
    found = last_minute.pieces_of([{"id": "b", "time": time, "tags": tags}, {"id": "x", "time": time, "tags": None}])
    assert found == [WalPiece("b", "7", SEGMENT, SEGMENT + 26, datetime(2026, 11, 29, 10, 2, 3, tzinfo=UTC))]


def test_positions_are_written_as_postgresql_does() -> None:
    assert last_minute.lsn(0x1_02B4_5678) == "1/2B45678"
    assert last_minute.segment_name(1, 0x1_02B4_5678) == "000000010000000100000002"
    assert last_minute.segment_name(10, 0xFF00_0000) == "0000000A00000000000000FF"


def test_slots_have_names_that_postgresql_takes_and_no_two_targets_the_same() -> None:
    assert last_minute.slot_name("stick2") == "poppyfield_stick2"
    names = {last_minute.slot_name(name) for name in ("Stick", "stick", "a-b", "a_b")}
    assert len(names) == 4 and all(name.replace("_", "").isalnum() and name.islower() for name in names)


@pytest.mark.parametrize(
    ("base", "due"),
    [
        ({}, True),
        ({"begin": 0, "time": (NOW - timedelta(days=6)).isoformat()}, False),
        ({"begin": 0, "time": (NOW - timedelta(days=8)).isoformat()}, True),
        ({"begin": -last_minute.BASE_WAL, "time": NOW.isoformat()}, True),
    ],
)
def test_a_base_copy_is_renewed_by_its_age_and_by_the_wal_after_it(base: Json, due: bool) -> None:
    assert last_minute.base_is_due(base, 1, NOW) is due


HERE: Json = {"postgresql": 17, "architecture": "arm64"}


@pytest.mark.parametrize(
    ("base", "pieces", "newest", "why"),
    [
        ({}, [], NOW, "no last minute was saved there"),
        ({"postgresql": 15}, [piece(0, 9)], NOW, "the last minute is of PostgreSQL 15, and this is 17"),
        (
            {"architecture": "armhf"},
            [piece(0, 9)],
            NOW,
            "the last minute is of the architecture armhf, and this is arm64",
        ),
        ({}, [piece(0, 2)], NOW, "something is missing"),
        ({}, [piece(0, 9)], NOW + timedelta(hours=1), ", before that backup"),
        ({}, [piece(0, 9)], NOW, None),
    ],
)
def test_the_newest_backup_takes_its_place_where_it_cannot_be_used(
    base: Json, pieces: list[WalPiece], newest: datetime, why: str | None
) -> None:
    said = last_minute.why_not({**HERE, "end": 5, **base} if pieces else {}, pieces, HERE, newest)
    assert (why in said) if why else said == ""


# Saving -------------------------------------------------------------------------------------------------------------


def test_it_counts_when_base_copy_and_wal_are_there(pi: MinutePi, capsys: pytest.CaptureFixture[str]) -> None:
    states: list[Json] = []
    pi.cycles(3, lambda _: states.append(pi.minute()))
    assert [bool(state["until"]) for state in states] == [False, True, True]
    assert "a base copy is being made; until it is there, backups alone count." in states[0]["said"]
    assert [tags[2] for tags in pi.kept("base")] == ["base", "record"]
    # From the beginning of the segment on.
    assert pi.kept("wal") == [["poppyfield", "run=7", "wal=2000000-3000000"]]
    assert {line.split("=")[-1] for line in pi.called("--endpos")} == {"0/2FFFFFF"}
    assert "/tmp/poppyfield-wal 000000010000000000000002 --host" in pi.called("--endpos")[0]
    assert "pg_replication_slot_advance(E'poppyfield_stick', '0/3000000')" in pi.sql()
    pi.run("status")
    said = capsys.readouterr().out
    assert said.count("stick: The last minute: ") == 3
    assert "The last minute: what was committed until 20" in said.splitlines()[-1]


def test_nothing_is_written_to_the_stick_while_nothing_is_committed(pi: MinutePi) -> None:
    pi.cycles(3)
    pi.at(slot=3 * SEGMENT)
    before = len(pi.called("restic --no-cache backup"))
    first = pi.cycles(1)["until"]
    assert len(pi.called("restic --no-cache backup")) == before and first is not None


def test_a_base_copy_whose_wal_was_given_up_meanwhile_does_not_count(pi: MinutePi) -> None:
    def give_up(done: int) -> None:
        if done == 1:
            pi.at(slot=None)
            pi.say("look-with-slot", json.dumps({**LOOK, "slot": 9 * SEGMENT, "flushed": 9 * SEGMENT + 8}))

    assert "PostgreSQL gave up what a base copy needs; another one is made." in pi.cycles(2, give_up)["said"]
    assert [tags[2] for tags in pi.kept("base")] == ["base"]
    assert pi.cycles(3)["until"]


def test_a_base_copy_whose_wal_is_not_there_yet_does_not_count(pi: MinutePi) -> None:
    def commit(done: int) -> None:
        if done == 1:
            # What the copy needs to its end was asked after; PostgreSQL went on meanwhile.
            pi.at(slot=2 * SEGMENT, flushed=2 * SEGMENT + 9)

    pi.cycles(2, commit)
    assert [tags[2] for tags in pi.kept("base")] == ["base"] and pi.minute()["until"] is None


def test_much_wal_is_taken_in_parts_that_fit_into_memory(pi: MinutePi) -> None:
    pi.say("look-with-slot", json.dumps({**LOOK, "slot": 5, "flushed": 5 * SEGMENT}))
    pi.cycles(1)
    stops = [line.rsplit("--endpos=", 1)[1] for line in pi.called("--endpos")]
    assert stops == ["0/1FFFFFF", "0/3FFFFFF", "0/4FFFFFF"]


def test_a_stick_that_is_away_stops_nothing(pi: MinutePi) -> None:
    until = pi.cycles(3)["until"]
    pi.say("devices", "")
    state = pi.cycles(1)
    assert (state["state"], state["until"]) == ("absent", until)
    assert "it is away, and what was committed until " in state["said"]


def test_a_card_that_is_nearly_full_keeps_nothing_for_a_stick_that_is_away(
    pi: MinutePi, monkeypatch: pytest.MonkeyPatch
) -> None:
    pi.say("devices", "")
    pi.cycles(1)
    dropping = "WHERE slot_name = E'poppyfield_stick' AND NOT active"
    assert dropping not in pi.sql()
    monkeypatch.setattr(last_minute, "LEAST_FREE", 1 << 60)
    assert pi.cycles(1)["said"] == "The last minute: it is away; nothing stops, and it goes on when it is back."
    assert dropping in pi.sql()


def test_a_slot_that_postgresql_gave_up_begins_with_a_new_base_copy(pi: MinutePi) -> None:
    first = pi.cycles(3)["base"]
    old = pi.kept("base")
    pi.at(slot=None)
    states: list[Json] = []
    pi.say("look-with-slot", json.dumps({**LOOK, "slot": 9 * SEGMENT, "flushed": 9 * SEGMENT + 8}))
    pi.cycles(3, lambda _: states.append(pi.minute()))
    assert first and [bool(state["base"]) for state in states] == [False, True, True]
    # Until it counted, the one before was there.
    assert pi.kept("base") != old and [tags[2] for tags in pi.kept("base")] == ["base", "record"]
    assert {tags[2] for tags in pi.kept("wal")} == {"wal=9000000-9000008"}


def test_what_is_on_the_stick_is_known_again_after_a_restart(pi: MinutePi) -> None:
    base = pi.cycles(3)["base"]
    pi.at(slot=3 * SEGMENT)
    assert pi.cycles(1)["base"] == base and len(pi.called("pg_basebackup")) == 1
    # Another stick with this label, on which the slot moved on, does not hide that something is missing on this one.
    pi.at(slot=4 * SEGMENT, flushed=4 * SEGMENT)
    assert pi.cycles(1)["base"] is None


def test_it_waits_while_a_restore_is_neither_kept_nor_taken_back(pi: MinutePi) -> None:
    pi.run("run")
    pi.run("restore", "--from", "stick")
    assert pi.cycles(1)["said"] == "The last minute: it waits until a restore is kept or taken back."
    pi.run("finish")
    assert pi.cycles(1)["state"] == "saving"


def test_a_new_card_does_not_replace_the_last_minute_of_the_old_one(pi: MinutePi) -> None:
    pi.cycles(3)
    before = pi.kept("base"), pi.kept("wal")
    pi.at(system="8", slot=None)
    state = pi.cycles(2)
    assert state["state"] == "waiting" and "it is from before this card" in state["said"]
    assert (pi.kept("base"), pi.kept("wal")) == before
    # It was decided to go on without.
    pi.run("run")
    pi.say("look-with-slot", json.dumps({**LOOK, "system": "8", "slot": SEGMENT, "flushed": SEGMENT + 9}))
    pi.cycles(3)
    assert {tuple(tags[1:]) for tags in pi.kept("wal")} == {("run=8", "wal=1000000-1000009")}


def test_an_upgrade_of_the_database_begins_with_a_base_copy_of_the_new_cluster(pi: MinutePi) -> None:
    pi.run("run")
    pi.cycles(3)
    old = pi.kept("base")

    def upgraded(cycle: int) -> None:
        if cycle == 1:
            pi.at(system="8", slot=None)
            pi.say("look-with-slot", json.dumps({**LOOK, "system": "8", "slot": SEGMENT, "flushed": SEGMENT + 9}))

    # The service runs on meanwhile.
    assert pi.cycles(5, upgraded)["base"]
    assert pi.kept("base") != old and len(pi.kept("base")) == len(old)
    assert {tuple(tags[1:]) for tags in pi.kept("wal")} == {("run=8", "wal=1000000-1000009")}


@pytest.mark.parametrize(
    ("failing", "why"),
    [
        ("pg_receivewal", "docker exec: Fatal: it failed"),
        ("--stdin-filename /wal.tar", "it was pulled out, or is damaged"),
        ("psql", "PostgreSQL refused: Fatal: it failed"),
    ],
)
def test_what_fails_is_told_once_and_tried_again(
    pi: MinutePi, failing: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pi.say("fail", failing)
    state = pi.cycles(2)
    assert state["state"] == "failed" and why in state["said"] and state["until"] is None
    assert capsys.readouterr().out.count(why) == 1
    pi.say("fail", "")
    assert pi.cycles(3)["until"]


def test_a_base_copy_that_fails_is_told(pi: MinutePi) -> None:
    said: list[str] = []
    pi.say("fail", "pg_basebackup")
    pi.cycles(2, lambda _: said.append(pi.minute()["said"]))
    assert "a base copy could not be made: /base.tar could not be made: Fatal: it failed" in said[1]


def test_what_fails_while_a_base_copy_is_made_takes_nothing_away_from_it(
    pi: MinutePi, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, make = threading.Event(), last_minute.BaseCopy._make

    def late(copy: last_minute.BaseCopy) -> Json:
        assert may_end.wait(60)
        return make(copy)

    monkeypatch.setattr(last_minute.BaseCopy, "_make", late)

    def join(copy: last_minute.BaseCopy) -> None:
        if may_end.is_set():
            threading.Thread.join(copy)

    monkeypatch.setattr(last_minute.BaseCopy, "join", join)

    def stumble(done: int) -> None:
        pi.say("fail", "psql" if done == 1 else "")
        if done == 3:
            # It has its repository mounted, so that nobody else has looked into it since.
            looks = [line for line in pi.called("restic") if "snapshots" in line and "pi-orchard.base" in line]
            assert len(looks) == 1 and pi.minute()["state"] == "saving"
            may_end.set()

    pi.cycles(5, stumble)
    assert len(pi.called("pg_basebackup")) == 1 and pi.minute()["until"]


def test_backups_come_first_where_there_is_little_room(pi: MinutePi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_minute, "SPARE_BYTES", 1 << 60)
    assert "MB of room are missing on it." in pi.cycles(1)["said"]
    assert pi.kept("wal") == []


def test_what_a_restore_that_was_cut_off_left_on_the_card_is_removed(pi: MinutePi) -> None:
    left = pi.folder / last_minute.RECOVERING
    left.mkdir()
    pi.say("trials", "0123456789ab")
    with locked(pi.settings(), wait=True):
        last_minute.sweep(pi.settings())
        assert left.exists() and (pi.fake / "trials").exists()
    pi.say("devices", "")
    pi.cycles(1)
    assert not left.exists() and not (pi.fake / "trials").exists()


def test_it_can_be_ended(pi: MinutePi) -> None:
    assert pi.minutes_program("end") == 0
    assert "WHERE starts_with(slot_name, E'poppyfield_') AND NOT active" in pi.sql()
    assert pi.minutes_program("clear-up") == 0


# Restoring ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(pi: MinutePi) -> MinutePi:
    """Return a Pi with a backup and the last minute after it."""
    pi.run("run")
    pi.cycles(3)
    (pi.fake / "number").write_text("100040\n")
    pi.at(slot=3 * SEGMENT, flushed=3 * SEGMENT + 5)
    pi.cycles(1)
    return pi


def test_a_restore_takes_the_databases_as_they_were_last(saved: MinutePi, capsys: pytest.CaptureFixture[str]) -> None:
    assert saved.minutes_program("find", "--from", "stick") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["last_minute"] and ", and the databases as they were on 2026-11-29 " in found["said"]
    (saved.lizmap / "projects" / "map.qgs").write_text("changed")
    # Of one that was cut off.
    (saved.folder / last_minute.RECOVERING / "data" / "cluster").mkdir(parents=True)
    assert saved.minutes_program("restore", "--from", "stick", "--run", found["run"]) == 0
    assert any("gis__before_" in name for name in json.loads(capsys.readouterr().out)["set_aside"])
    assert (saved.lizmap / "projects" / "map.qgs").read_text() == "the map"
    # By way of a container that is thrown away, and not from the backup's own dump.
    (started,) = saved.called("docker run")
    assert "--network none" in started and "restore_command=cp /var/lib/postgresql/data/wal/%f %p" in started
    assert "hot_standby=off" in started
    assert (saved.fake / "restored").read_text() == "what pg_dump says\n"
    assert len(saved.called("websig-postgis-proof pg_dump --format=custom")) == 1
    assert not (saved.folder / last_minute.RECOVERING).exists() and not (saved.fake / "trials").exists()
    assert saved.run("take-back") == 0
    assert (saved.lizmap / "projects" / "map.qgs").read_text() == "changed"


def test_where_it_cannot_be_used_the_newest_backup_is_put_in_place_and_that_is_said(
    saved: MinutePi, capsys: pytest.CaptureFixture[str]
) -> None:
    saved.say("architecture", "amd64")
    assert saved.minutes_program("restore", "--from", "stick") == 0
    said = json.loads(capsys.readouterr().out)["said"]
    assert "without a last minute: the last minute is of the architecture arm64, and this is amd64" in said
    assert not saved.called("docker run") and saved.called("pg_restore")


def test_a_stick_without_a_last_minute_has_its_backup(pi: MinutePi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    capsys.readouterr()
    assert pi.minutes_program("find", "--from", "stick") == 0
    found = json.loads(capsys.readouterr().out)
    assert not found["last_minute"] and "no last minute was saved there" in found["said"]


@pytest.mark.parametrize("failing", ["docker run", "proof pg_dump", "restic --no-cache dump"])
def test_a_restore_that_fails_leaves_everything_as_it_was(
    saved: MinutePi, failing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    projects = saved.lizmap / "projects" / "map.qgs"
    projects.write_text("in place")
    saved.say("fail", failing)
    assert saved.minutes_program("restore", "--from", "stick") == 1
    assert capsys.readouterr().err
    assert projects.read_text() == "in place"
    assert not (saved.folder / last_minute.RECOVERING).exists()


def test_a_card_without_the_room_is_told_before_anything_is_changed(
    saved: MinutePi, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(room, "SPARE_BYTES", 1 << 60)
    assert saved.minutes_program("restore", "--from", "stick") == 1
    assert "MB are missing on the disk of" in capsys.readouterr().err and not saved.called("docker run")


@pytest.mark.parametrize("command", ["find", "restore"])
def test_a_stick_that_is_away_is_told(pi: MinutePi, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    pi.say("devices", "")
    assert pi.minutes_program(command, "--from", "stick") == 1
    assert capsys.readouterr().err == "no stick with the label POPPYFIELD is in this Pi.\n"


def test_the_program_of_the_backup_hands_over(
    pi: MinutePi, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pi.run("run")
    capfd.readouterr()
    assert pi.run("find", "--from", "stick", "--last-minute") == 0
    said = json.loads(capfd.readouterr().out)["said"]
    assert said.endswith(", with gis, without a last minute: this Pi is to save none (backup_wal)")
    monkeypatch.setattr(command_line, "is_installed", lambda part: part == LAST_MINUTE)

    def asked(words: Sequence[str]) -> int:
        print(*words[2:])
        return 3

    monkeypatch.setattr(last_minute, "main", asked)
    assert pi.run("restore", "--from", "stick", "--run", "r", "--last-minute") == 3
    assert pi.run("find", "--from", "stick", "--last-minute") == 3
    assert capfd.readouterr().out == "restore --from stick --run r\nfind --from stick\n"
    for words in (("--time", "2026-11-29T10:02"), ("--as", "gis_yesterday")):
        assert pi.run("restore", "--from", "stick", "--last-minute", *words) == 1
        assert "--last-minute goes with no --time, --database or --as." in capfd.readouterr().err
