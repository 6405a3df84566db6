"""How the backups of a Pi fare, from what its program has written down, and the report of a fleet."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup import state
from ansible.module_utils.poppyfield.status import rows, words

from plugins.filter import backup_table
from tests.doubles import fleet

Json = dict[str, Any]
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
SETTINGS: Json = {
    "targets": [{"name": "stick", "label": "POPPYFIELD"}],
    "prove": True,
    "max_age_days": 3,
    "max_unproven_days": 14,
}


def ago(days: float) -> str:
    return (NOW - timedelta(days=days)).isoformat(timespec="seconds")


WELL: Json = {
    "state": "saved",
    "said": "backup of now.",
    "saved": ago(0.1),
    "since": ago(40),
    "proven": ago(6),
    "bytes": 900,
    "usual": 1000,
    "proof": {"result": "equal", "said": "It is equal.", "at": ago(6)},
}


def judged(written: Json, **settings: Any) -> Json:
    return state.judged("stick", written, {**SETTINGS, **settings}, NOW - timedelta(days=50), NOW)


def wrong(found: Json) -> list[str]:
    return [code for code in rows.OF_BACKUPS if found[code]]


@pytest.mark.parametrize(
    ("written", "settings", "told"),
    [
        ({}, {}, []),
        ({"saved": ago(2.9)}, {}, []),
        ({"saved": ago(3.1)}, {}, ["too_old"]),
        ({"saved": ago(3.1)}, {"max_age_days": 9}, []),
        ({"proven": ago(15)}, {}, ["unproven"]),
        ({"proven": ago(15)}, {"max_unproven_days": 30}, []),
        ({"proven": ago(15)}, {"prove": False}, []),
        # One that is new has its time.
        ({"proven": None, "since": ago(13)}, {}, []),
        ({"proven": None, "since": ago(15)}, {}, ["unproven"]),
        ({"proof": {"result": "different", "said": "One row."}}, {}, ["different"]),
        ({"proof": {"result": "failed", "said": "It ended."}}, {}, ["different"]),
        ({"proof": {"result": "not tried", "said": "No room."}}, {}, []),
        ({"bytes": 499}, {}, ["too_small"]),
        ({"bytes": 500}, {}, []),
    ],
)
def test_what_is_wrong_with_backups_is_told(written: Json, settings: Json, told: list[str]) -> None:
    found = judged({**WELL, **written}, **settings)
    assert wrong(found) == told and len(found["wrong"]) == len(told)


def test_a_pi_that_never_made_one_is_told_when_its_time_is_over() -> None:
    assert wrong(judged({})) == ["too_old", "unproven"]
    assert wrong(state.judged("stick", {}, SETTINGS, NOW - timedelta(days=1), NOW)) == []


def test_it_is_read_from_what_the_program_wrote(tmp_path: Path) -> None:
    assert state.look(NOW, tmp_path) == []
    (tmp_path / state.SETTINGS).parent.mkdir(parents=True)
    (tmp_path / state.SETTINGS).write_text(json.dumps(SETTINGS))
    os.utime(tmp_path / state.SETTINGS, (NOW.timestamp(), NOW.timestamp()))
    (found,) = state.look(NOW, tmp_path)
    assert (found["saved"], found["said"], found["wrong"]) == (None, "no backup yet.", [])
    (tmp_path / state.STATES).mkdir(parents=True)
    (tmp_path / state.STATES / "stick.json").write_text(json.dumps(WELL))
    (found,) = state.look(NOW, tmp_path)
    assert (found["saved"], found["proven"], found["proof_said"]) == (ago(0.1), ago(6), "It is equal.")
    (tmp_path / state.LAST_MINUTES).mkdir(parents=True)
    (tmp_path / state.LAST_MINUTES / "stick.json").write_text(json.dumps(MINUTE))
    assert state.look(NOW, tmp_path)[0]["committed"] == MINUTE["until"]
    (tmp_path / state.STATES / "stick.json").write_text("[]")
    assert state.look(NOW, tmp_path)[0]["saved"] is None


def test_what_lies_on_another_machine_is_neither_proven_nor_saved_by_the_minute(tmp_path: Path) -> None:
    targets = [{"name": "stick", "label": "A"}, {"name": "office", "sftp": "b@o.example:/s"}]
    (tmp_path / state.SETTINGS).parent.mkdir(parents=True)
    (tmp_path / state.SETTINGS).write_text(json.dumps({**SETTINGS, "wal": True, "targets": targets}))
    long_ago = (NOW - timedelta(days=50)).timestamp()
    os.utime(tmp_path / state.SETTINGS, (long_ago, long_ago))
    near, far = state.look(NOW, tmp_path)
    assert (near["behind"], near["unproven"]) == (True, True)
    assert (far["behind"], far["unproven"], far["too_old"]) == (False, False, True)


MINUTE: Json = {"state": "saving", "until": "2026-11-30T11:59:50+00:00", "said": "The last minute: it is on it."}


def with_minute(minute: Json, *, wal: bool = True) -> Json:
    """Judge what is well but for the last minute, on a Pi that was set up long ago."""
    return judged({**WELL, "minute": minute}, wal=wal)


@pytest.mark.parametrize(
    ("minute", "behind"),
    [
        (MINUTE, False),
        ({**MINUTE, "until": ago(0.5 / 24)}, False),
        ({**MINUTE, "state": "failed", "until": ago(2 / 24)}, True),
        # A stick that was pulled out is told as one without a new backup, after days.
        ({**MINUTE, "state": "absent", "until": ago(2 / 24)}, False),
        ({"state": "failed", "until": None, "begun": ago(0.5 / 24)}, False),
        ({"state": "failed", "until": None, "begun": ago(2 / 24), "said": "why."}, True),
        ({}, True),
    ],
)
def test_a_last_minute_that_is_not_saved_for_an_hour_is_told(minute: Json, behind: bool) -> None:
    assert with_minute(minute)["behind"] is behind
    assert with_minute(minute, wal=False)["behind"] is False


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_the_status_says_until_when_commits_are_saved_and_why_not(language: str) -> None:
    look = {**fleet.look(), "backups": [with_minute({**MINUTE, "until": ago(1), "said": "it is full."})]}
    row = rows.row_of("pi-orchard", look, {}, None, NOW.isoformat())
    assert [one["code"] for one in row["wrong"]] == ["backup_behind"]
    line = words.Speech(language).line(row)
    assert "it is full." in line and "{" not in line
    assert look["backups"][0]["wrong"] == ["what is committed is not saved on it within a minute (it is full.)"]
    row = rows.row_of("pi-orchard", {**look, "backups": [with_minute(MINUTE)]}, {}, None, NOW.isoformat())
    assert row["level"] == "fine" and any("11:59" in value for _, value in words.Speech(language).facts(row))


def test_each_is_told_in_a_sentence() -> None:
    assert "; what was committed until 2026-11-30 11:59:50 UTC is on it." in state.summary([with_minute(MINUTE)])[0]
    assert state.summary([judged(WELL), judged({})]) == [
        "Backups on stick: the newest is of 2026-11-30 09:36 UTC; one was last proven on 2026-11-24 12:00 UTC.",
        "Backups on stick: there is none yet; none was proven yet; its newest is too old; "
        "none was proven for too long.",
    ]


def test_the_report_has_a_line_for_each_pi_and_target() -> None:
    failed = judged({**WELL, "state": "failed", "said": "it is full.", "bytes": 1})
    looks = {
        "pi-orchard": {**fleet.look(), "backups": [with_minute(MINUTE), failed]},
        "pi-marsh": fleet.look(),
        "pi-vineyard": fleet.GONE,
    }
    told = backup_table.FilterModule().filters()["backup_table"](looks)
    assert [" ".join(line.split()) for line in told] == [
        "Pi | newest | where | committed until | proven | what failed",
        "pi-orchard | 2026-11-30 09:36 UTC | stick | 2026-11-30 11:59:50 UTC | 2026-11-24 12:00 UTC | nothing",
        "pi-orchard | 2026-11-30 09:36 UTC | stick | - | 2026-11-24 12:00 UTC | it is full.; it has less than half of "
        "what was proven",
        "pi-marsh | none | - | - | - | it makes no backups: backup_targets",
        "pi-vineyard | ? | ? | ? | ? | it does not answer",
    ]


@pytest.mark.parametrize("said", [None, "x", [7], [{"wrong": "x", "saved": 7, "too_old": "yes"}]])
def test_a_pi_in_other_hands_may_say_anything_of_its_backups(said: Any) -> None:
    row = rows.row_of("pi-orchard", {**fleet.look(), "backups": said}, {}, None, NOW.isoformat())
    assert row["level"] == "fine"
    assert backup_table.lines({"pi-orchard": {**fleet.look(), "backups": said}})


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize(
    ("written", "code"),
    [
        ({"saved": ago(4)}, "too_old"),
        ({"proven": ago(20)}, "unproven"),
        ({"proof": {"result": "different", "said": "One row."}}, "different"),
        ({"bytes": 1}, "too_small"),
    ],
)
def test_a_pi_whose_backups_are_not_well_is_not_green(written: Json, code: str, language: str) -> None:
    look = {**fleet.look(), "backups": [judged({**WELL, **written})]}
    row = rows.row_of("pi-orchard", look, {}, None, NOW.isoformat())
    assert (row["level"], [one["code"] for one in row["wrong"]]) == ("attention", [f"backup_{code}"])
    line = words.Speech(language).line(row)
    assert "stick" in line and "{" not in line
