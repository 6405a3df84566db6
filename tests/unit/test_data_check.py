"""The look at each page of the database: what is damaged on the disk is found, named, and told with the remedy."""

from __future__ import annotations

import base64
import errno
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host import program_folder
from ansible.module_utils.poppyfield.host.stack_status import DockerAnswers
from ansible.module_utils.poppyfield.pi_page import data_check, program, service
from ansible.module_utils.poppyfield.postgis import data_pages
from ansible.module_utils.poppyfield.status import rows, words

from tests.doubles import fleet
from tests.unit.test_pi_page import container

Json = dict[str, Any]
PAGES = zlib.decompress(
    base64.b64decode(
        "eNrt2aENwmAUBOD7G5pUdAAgiLpaxqiqwVQyBkOwAgMiSKrQFIHAIQD1fU+9G+EuSY63TT1fkl2mNt2qW6JM56EPAADAB67V+1+Wq5p19mNy"
        "AgAAAAB+7tXNzWVbH+72fwAA4Bv7f7H/AwAAAMCfPZu5B5+FXSk="
    )
)
"""Two pages as PostgreSQL 17 wrote them, of a table with a row of 5000 letters in each."""
FIRST, SECOND = PAGES[: data_pages.PAGE], PAGES[data_pages.PAGE :]
NEW = bytes(data_pages.PAGE)
WHEN = "2026-11-30T02:10:00+00:00"


def rotten(page: bytes, place: int = 8000) -> bytes:
    """Give a page with one bit that is not as it was."""
    return page[:place] + bytes([page[place] ^ 1]) + page[place + 1 :]


@pytest.mark.parametrize(
    ("page", "block", "whole"),
    [
        (FIRST, 0, True),
        (SECOND, 1, True),
        # It is another page than the one that belongs there.
        (FIRST, 1, False),
        (SECOND, 0, False),
        (NEW, 7, True),
        (rotten(NEW), 7, False),
        *((rotten(FIRST, place), 0, False) for place in (0, 8, 9, 14, 15, 127, 128, 3000, 8191)),
    ],
)
def test_a_page_is_what_postgresql_wrote_or_is_not(page: bytes, block: int, whole: bool) -> None:
    assert data_pages.is_whole(page, block) is whole


@pytest.mark.parametrize(
    ("file", "block", "place"),
    [
        ("base/16384/16397", 0, ("16384", "16397")),
        ("base/16384/16397.2", 262144, ("16384", "16397")),
        ("global/1260", 0, ("", "1260")),
        *(
            (file, None, ("", ""))
            for file in ("base/5/16397_fsm", "base/5/t3_16400", "global/pg_control", "base/5/1.x")
        ),
    ],
)
def test_files_with_rows_or_keys_are_known_by_their_names(file: str, block: int | None, place: tuple[str, str]) -> None:
    assert (data_pages.first_block(file), data_pages.place_of(file)) == (block, place)


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A cluster with one table that is whole, and files that are no tables."""
    for folder in ("global", "base/5"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "base/5/100").write_bytes(PAGES)
    (tmp_path / "base/5/100_vm").write_bytes(b"x" * data_pages.PAGE)
    (tmp_path / "global/pg_control").write_bytes(b"x" * data_pages.PAGE)
    return tmp_path


class Reading(data_check.PageReader):
    """A reader that rests in no time; what happens meanwhile the test says."""

    def __init__(self, cluster: Path, meanwhile: Sequence[Any] = ()) -> None:
        super().__init__(cluster, self.rested)
        self.rests: list[float] = []
        self.meanwhile = list(meanwhile)

    def rested(self, seconds: float) -> None:
        self.rests.append(seconds)
        if self.meanwhile:
            self.meanwhile.pop(0)()


def test_what_is_whole_is_read_whole(cluster: Path) -> None:
    (cluster / "base/5/101").write_bytes(NEW * 300)
    (cluster / "base/5/102").write_bytes(FIRST + b"half of a page, which is just being written")
    reading = Reading(cluster)
    assert reading.damaged() == {} and reading.pages == 303
    # It rests, so that the map comes first.
    assert len(reading.rests) == 2


def test_a_page_that_stays_damaged_is_told_by_its_number(cluster: Path) -> None:
    (cluster / "base/5/100.1").write_bytes(rotten(FIRST) + SECOND)
    (cluster / "global/1260").write_bytes(FIRST + rotten(SECOND))
    reading = Reading(cluster)
    # In the second file of a table, neither is in its place.
    assert reading.damaged() == {"base/5/100.1": [131072, 131073], "global/1260": [1]}
    assert reading.rests == [data_check.AGAIN_SECONDS] * 3 * data_check.TIMES


def test_a_page_that_is_just_being_written_is_read_again(cluster: Path) -> None:
    (cluster / "base/5/100").write_bytes(rotten(FIRST) + SECOND)
    assert Reading(cluster, [int, lambda: (cluster / "base/5/100").write_bytes(PAGES)]).damaged() == {}
    # The table is emptied meanwhile.
    (cluster / "base/5/100").write_bytes(rotten(FIRST) + SECOND)
    assert Reading(cluster, [lambda: os.truncate(cluster / "base/5/100", 0)]).damaged() == {}


def test_a_page_that_the_disk_does_not_give_is_damaged(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pread(handle: int, count: int, place: int) -> bytes:
        if place == data_pages.PAGE:
            raise OSError(errno.EIO, "Input/output error")
        return PAGES[place : place + count]

    monkeypatch.setattr(os, "pread", pread)
    assert Reading(cluster).damaged() == {"base/5/100": [1]}


def test_a_table_that_is_dropped_meanwhile_is_passed_over(cluster: Path) -> None:
    (cluster / "base/5/1").symlink_to("gone")
    assert Reading(cluster).damaged() == {}


class Server:
    """What PostgreSQL says, by the database and the beginning of the question."""

    def __init__(self, **said: str) -> None:
        self.said, self.commands = said, list[tuple[str, ...]]()

    def __call__(self, *command: str) -> str:
        self.commands.append(command)
        (database,) = (one.removeprefix("--dbname=") for one in command if one.startswith("--dbname="))
        kind = "names" if "FROM pg_class" in command[-1] else "databases"
        return self.said.get(f"{kind}_{database}", "")


def postgis(cluster: Path) -> Json:
    mount = {"Type": "bind", "Source": str(cluster.parent), "Destination": data_check.DATA}
    return {**container("postgis"), "Mounts": [{**mount, "Source": "/elsewhere", "Destination": "/else"}, mount]}


def looked(found: Json | None, server: Server) -> Json:
    return data_check.look(found, server, Reading)


@pytest.fixture
def data(tmp_path: Path, cluster: Path) -> Path:
    """A damaged table, an index and a catalogue in a folder with data."""
    (cluster / "base/7").mkdir()
    for file in ("base/5/200", "base/5/201", "base/7/1", "global/9"):
        (cluster / file).write_bytes(rotten(FIRST))
    (tmp_path / "cluster").symlink_to(tmp_path)
    return tmp_path / "cluster"


def test_what_is_damaged_is_named_as_people_know_it(data: Path) -> None:
    names: dict[str, Json] = {
        "200": {"table": "public.observations", "index": None},
        "201": {"table": "public.observations", "index": "public.by_place"},
    }
    server = Server(
        databases_postgres=json.dumps({"5": "gis", "7": "old"}),
        names_gis=json.dumps(names),
        # Its catalogue is damaged, and psql failed.
        names_old="",
        names_postgres="[]",
    )
    found = looked(postgis(data), server)
    assert (found["result"], found["pages"]) == (data_pages.DAMAGED, 6)
    assert found["damaged"] == [
        {"database": "gis", **names["200"], "file": "base/5/200", "pages": 1},
        {"database": "gis", **names["201"], "file": "base/5/201", "pages": 1},
        {"database": "old", "table": None, "index": None, "file": "base/7/1", "pages": 1},
        {"database": None, "table": None, "index": None, "file": "global/9", "pages": 1},
    ]
    # The superuser calls nothing that another role made.
    assert all("PGOPTIONS=-c search_path=" in command for command in server.commands)
    assert any("IN (200, 201)" in command[-1] for command in server.commands)
    said = data_pages.summary({"at": WHEN, **found})
    assert said == [
        "Data: on 2026-11-30 02:10 UTC damaged on the disk: public.observations (gis), public.by_place (gis), "
        "base/7/1, global/9."
    ]


def test_nobody_is_asked_where_all_is_whole(cluster: Path) -> None:
    (cluster / "cluster").symlink_to(cluster)
    server = Server()
    found = looked(postgis(cluster / "cluster"), server)
    assert (found["result"], found["pages"], server.commands) == (data_pages.WHOLE, 2, [])
    told = data_pages.summary({"at": WHEN, **found})
    assert told == ["Data: on 2026-11-30 02:10 UTC all 2 pages of the databases were read, and whole."]


@pytest.mark.parametrize("found", [None, {**container("postgis"), "Mounts": []}, postgis(Path("/nowhere/cluster"))])
def test_where_there_is_nothing_to_read_that_is_said(found: Json | None) -> None:
    written = looked(found, Server())
    assert (written["result"], written["damaged"]) == (data_pages.UNKNOWN, [])
    (said,) = data_pages.summary({"at": WHEN, **written})
    assert "could not be read" in said and said.endswith(".")


def test_it_is_written_down_and_found_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / data_pages.STATE
    assert data_pages.look(tmp_path) is None and data_pages.summary(None) == []
    monkeypatch.setattr(data_check, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(program, "said_by", Server())
    monkeypatch.setattr(program, "docker_runs", lambda: True)
    monkeypatch.setattr(program, "look_at_docker", lambda: DockerAnswers(own_containers=[postgis(data)]))
    assert data_check.main(tmp_path) == 0
    found = data_pages.look(tmp_path)
    assert found is not None and found["result"] == data_pages.DAMAGED and "base/5/200" in capsys.readouterr().err
    assert state.stat().st_mode & 0o777 == 0o644
    # Docker does not run: nobody has looked again.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "docker_runs", lambda: False)
        patch.setattr(program, "look_at_docker", lambda: pytest.fail("to ask Docker would start it"))
        assert data_check.main(tmp_path) == 0
    again = data_pages.look(tmp_path)
    assert again is not None and (again["result"], again["damaged"]) == (data_pages.UNKNOWN, found["damaged"])
    assert "there is no database" in capsys.readouterr().err
    # It was mended.
    for one in found["damaged"]:
        (tmp_path / one["file"]).unlink()
    assert data_check.main(tmp_path) == 0 and capsys.readouterr().err == ""
    for spoilt in ("", "[]", "{}"):
        state.write_text(spoilt)
        assert data_pages.look(tmp_path) is None


def test_the_program_runs_where_there_is_no_ansible(tmp_path: Path) -> None:
    """On the files that a Pi gets, with nothing that this environment has; Docker does not answer."""
    for path, text in program_folder.files(service.MODULES).items():
        (tmp_path / "page" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "page" / path).write_text(text, "utf-8")
    (tmp_path / "page/__main__.py").write_text(service.MAIN_TEXT, "utf-8")
    for file, name, place in (
        ("postgis/data_pages.py", "STATE", f"{tmp_path}/{data_pages.STATE}"),
        ("pi_page/program.py", "DOCKER", f"{tmp_path}/no.sock"),
    ):
        module = tmp_path / "page/ansible/module_utils/poppyfield" / file
        written = module.read_text("utf-8")
        moved, times = re.subn(rf'^{name} = ".*"$', f'{name} = "{place}"', written, flags=re.MULTILINE)
        assert times == 1
        module.write_text(moved, "utf-8")
    python = Path(sys.executable).resolve()
    subprocess.run([python, "-I", "-S", "-B", tmp_path / "page", "data_check"], check=True, timeout=120)
    found = data_pages.look(tmp_path)
    assert found is not None and (found["result"], found["said"]) == (data_pages.UNKNOWN, "there is no database.")


# What is told of it -------------------------------------------------------------------------------------------------

TABLE = {"database": "gis", "table": "public.observations", "index": None, "file": "base/5/200", "pages": 1}
INDEX = {**TABLE, "index": "public.by_place"}
SHARED = {"database": None, "table": "pg_authid", "index": None, "file": "global/1260", "pages": 1}
BACKUP = {"target": "stick", "saved": "2026-11-30T01:00:00+00:00"}
RESTORE = "ansible-playbook playbooks/restore.yml --limit pi-orchard -e restore_from=stick"


def row_with(found: Any, *backups: Json) -> Json:
    look = {**fleet.look(), "data_check": found, "backups": list(backups)}
    return rows.row_of("pi-orchard", look, {}, None, WHEN)


def checked(*damaged: Json) -> Json:
    result = data_pages.DAMAGED if damaged else data_pages.WHOLE
    return {"at": WHEN, "result": result, "said": "", "pages": 9, "damaged": list(damaged)}


@pytest.mark.parametrize("language", words.LANGUAGES)
@pytest.mark.parametrize(
    ("damaged", "backups", "code", "command"),
    [
        (TABLE, [BACKUP], "data_damaged", f"{RESTORE} -e restore_databases=gis -e restore_as=restored"),
        (SHARED, [BACKUP], "data_damaged", RESTORE),
        *(
            (
                TABLE,
                backups,
                "data_unsaved",
                "sudo docker exec --user postgres --env 'PGOPTIONS=-c ignore_checksum_failure=on' websig-postgis "
                "pg_dump -Fc gis > gis.dump",
            )
            for backups in ([], [{**BACKUP, "saved": None}])
        ),
        (
            INDEX,
            [BACKUP],
            "data_index",
            "sudo docker exec --user postgres websig-postgis reindexdb --index=public.by_place gis",
        ),
    ],
)
def test_what_is_damaged_is_told_with_its_remedy(
    damaged: Json, backups: list[Json], code: str, command: str, language: str
) -> None:
    row = row_with(checked(damaged), *backups)
    assert (row["level"], [one["code"] for one in row["wrong"]]) == ("attention", [code])
    line = words.Speech(language).line(row)
    assert command in line and data_pages.name_of(damaged) in line and "2026-11-30 02:10 UTC" in line


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_what_is_whole_is_a_fact_with_its_date_and_nothing_is_wrong(language: str) -> None:
    row = row_with(checked())
    label = words.Speech(language).label("data_check")
    assert row["level"] == "fine" and (label, "2026-11-30 02:10 UTC") in words.Speech(language).facts(row)
    for found in (None, {**checked(), "result": data_pages.UNKNOWN}):
        row = row_with(found)
        assert row["level"] == "fine" and label not in dict(words.Speech(language).facts(row))


@pytest.mark.parametrize("found", ["x", [7], {"at": 7}, {"at": WHEN, "damaged": "x"}, {"at": WHEN}])
def test_a_pi_in_other_hands_may_say_anything_of_its_data(found: Any) -> None:
    assert row_with(found)["level"] == "fine"


def test_what_a_pi_says_of_its_data_is_no_command() -> None:
    evil = {**TABLE, "database": "gis; rm -rf ~", "table": "$(reboot)"}
    for backups, quoted in (
        ([BACKUP], "'restore_databases=gis; rm -rf ~'"),
        ([], "'gis; rm -rf ~' > 'gis; rm -rf ~'."),
    ):
        (wrong,) = row_with(checked(evil), *backups)["wrong"]
        assert quoted in wrong["values"]["command"] and "reboot" not in wrong["values"]["command"]
    (wrong,) = row_with(checked({**evil, "index": "x`reboot`"}))["wrong"]
    assert "'--index=x`reboot`' 'gis; rm -rf ~'" in wrong["values"]["command"]
