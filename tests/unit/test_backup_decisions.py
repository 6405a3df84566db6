"""What is decided of backups: which count, what differs, and how it is put in words and in SQL."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup.backup_runs import Run, chosen, complete_runs, without_record
from ansible.module_utils.poppyfield.backup.comparison import differences
from ansible.module_utils.poppyfield.backup.restic_words import meaning
from ansible.module_utils.poppyfield.backup.room import SPARE_BYTES, room_problem
from ansible.module_utils.poppyfield.backup.settings import BackupError
from ansible.module_utils.poppyfield.backup.sql import connection, identifier, literal, set_aside

Json = dict[str, Any]


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


def test_names_are_quoted() -> None:
    assert identifier('a"b') == '"a""b"'
    assert literal("a'b\\") == "E'a''b\\\\'"
    assert connection("a'b") == "--dbname=dbname='a\\'b'"


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
