"""One table or one project out of a backup: what is asked for, and what of a dump it needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.backup import restore_part
from ansible.module_utils.poppyfield.backup.restore_part import SavedProject, SavedTable, why_not
from ansible.module_utils.poppyfield.backup.settings import BackupError

from tests.installed_backup import install
from tests.unit.backup_pi import Pi, pi

__all__ = ["pi"]

LISTING = """;
; Archive created at 2026-11-29 10:02:00 UTC
;
2; 3079 16385 EXTENSION - postgis
220; 1259 17400 TABLE orchard trees gis
221; 1259 17410 TABLE orchard kinds gis
4300; 0 17400 TABLE DATA orchard trees gis
4301; 0 17410 TABLE DATA orchard kinds gis
4302; 0 16700 TABLE DATA public spatial_ref_sys postgres
4305; 0 0 SEQUENCE SET orchard trees_id_seq gis
4306; 0 0 BLOBS - BLOBS
4307; 0 0 COMMENT - LARGE OBJECT 17001 gis
4308; 0 17500 MATERIALIZED VIEW DATA orchard tall gis
4100; 2606 17420 CONSTRAINT orchard kinds kinds_pkey gis
4101; 2606 17430 FK CONSTRAINT orchard trees trees_kind_fkey gis
4102; 6100 17440 SUBSCRIPTION - office postgres
"""


def test_a_table_is_named_with_its_database_and_schema() -> None:
    assert SavedTable.named("gis.public.trees") == SavedTable("gis", "public", "trees")
    assert SavedTable.named('gis."My schema"."a.""b"') == SavedTable("gis", "My schema", 'a."b')
    assert SavedTable.named('gis."My schema"."a.""b"').sql == '"My schema"."a.""b"'


@pytest.mark.parametrize("text", ["", "trees", "public.trees", "a.b.c.d", 'gis.public."trees', "gis..trees"])
def test_what_names_no_table_is_told(text: str) -> None:
    with pytest.raises(BackupError, match=r"names no table. Write database.schema.table"):
        SavedTable.named(text)


def test_a_project_is_named_with_its_folder() -> None:
    assert SavedProject.named("fields/fields.qgs") == SavedProject("fields", "fields.qgs")
    assert SavedProject.named("fields/north/map.qgz") == SavedProject("fields", "north/map.qgz")


@pytest.mark.parametrize(
    "text", ["fields.qgs", "../fields.qgs", "fields/../x.qgs", ".poppyfield/x.qgs", "fields/photo.jpg", "/etc/x.qgs"]
)
def test_what_names_no_project_is_told(text: str) -> None:
    with pytest.raises(BackupError, match=r"names no project. Write its folder and its file"):
        SavedProject.named(text)


def test_all_definitions_are_restored_and_last_the_rows_of_one_table() -> None:
    chosen = restore_part.wanted_entries(LISTING, SavedTable("gis", "orchard", "trees"))
    assert [line.split(";")[0] for line in chosen] == ["2", "220", "221", "4305", "4100", "4101", "4300", "4302"]


def test_what_needs_a_table_is_named() -> None:
    trees = SavedTable("gis", "orchard", "trees")
    assert why_not({"plain": True, "needing": []}, trees) == ""
    assert "has partitions" in why_not({"plain": False, "needing": []}, trees)
    said = why_not({"plain": True, "needing": [f"view {n}" for n in range(7)]}, trees)
    assert "view 0; view 1" in said and said.endswith("view 4 and 2 more")


def test_taking_back_does_nothing_where_the_table_was_not_replaced_yet() -> None:
    trees = SavedTable("gis", "orchard", "trees")
    for was_there, mark in ((True, "to_regnamespace(E'\"trees__before_1\"')"), (False, 'to_regclass(E\'"orchard".')):
        script = restore_part.taking_back(trees, "1", was_there=was_there)
        assert mark in script and script.index("\\if :swapped") < script.index("BEGIN;") < script.index("\\endif")
        assert ('DROP SCHEMA "trees__before_1"' in script) is was_there


def test_the_program_of_the_backup_hands_over_what_is_asked_of_a_part(tmp_path: Path) -> None:
    command = install(tmp_path / "programs")
    settings = {
        **{"host": "pi", "targets": [], "keep": {}, "also": [], "postgis": "p", "lizmap": "l"},
        **{"folders": {"projects": str(tmp_path)}, "data_folder": "/", "run_folder": str(tmp_path / "run")},
    }
    (tmp_path / "settings").write_text(json.dumps(settings))

    def said(*words: str) -> str:
        asked = [sys.executable, "-I", str(command), "--settings", str(tmp_path / "settings"), *words]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stderr

    assert "'trees' names no table" in said("restore", "--from", "stick", "--run", "r", "--table", "trees")
    assert "'x' names no project" in said("restore", "--from", "stick", "--run", "r", "--project", "x")
    assert "There is no target stick" in said("find", "--from", "stick", "--table", "gis.public.trees")
    assert "go with no --last-minute" in said("find", "--from", "stick", "--table", "gis.public.trees", "--last-minute")


def part(pi: Pi, *words: str) -> int:
    """Run the program that restores a part."""
    return restore_part.main(["--settings", str(pi.folder / "settings.json"), *words])


def test_a_table_is_put_in_place_and_taken_back(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    capsys.readouterr()
    asked = ("--from", "stick", "--table", "gis.public.fields")
    assert part(pi, "find", *asked) == 0
    assert "the table gis.public.fields, of the backup of pi-orchard of " in capsys.readouterr().out
    assert part(pi, "restore", *asked) == 0
    assert "the table gis.fields__before_" in capsys.readouterr().out
    sql = pi.sql()
    assert sql.index('SET SCHEMA "fields__before_') < sql.index("what pg_dump says") < sql.index("COMMIT;")
    assert [line.split()[1] for line in pi.called("websig-lizmap") if "inspect" not in line] == ["stop", "start"]
    assert pi.run("status") == 0 and "neither kept nor taken back" in capsys.readouterr().out
    (pi.folder / "state" / "restored.from").touch()
    assert pi.run("take-back") == 0
    assert "to_regnamespace(" in pi.sql()
    # What the card was restored from before is not forgotten.
    assert (pi.folder / "state" / "restored.from").exists()


def test_a_table_beside_touches_nothing(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    asked = ("restore", "--from", "stick", "--table", "gis.public.fields", "--as")
    pi.say("in_place", '{"there": false, "plain": true, "needing": []}')
    assert part(pi, *asked, "fields_old") == 0
    assert 'ALTER TABLE "public"."fields" RENAME TO "fields_old"' in pi.sql() and "SET SCHEMA" not in pi.sql()
    assert not pi.called("docker stop") and not (pi.folder / "state" / "restore.journal").exists()
    assert part(pi, *asked, "x; DROP") == 1
    assert "can't be the name of a table" in capsys.readouterr().err
    pi.say("in_place", '{"there": true, "plain": true, "needing": []}')
    assert part(pi, *asked, "fields_old") == 1
    assert "There is a table gis.public.fields_old already" in capsys.readouterr().err


@pytest.mark.parametrize("failing", ["pg_dump --table", "pg_restore --exit", "pg_restore --list"])
def test_a_table_that_cannot_be_restored_leaves_nothing(
    pi: Pi, capsys: pytest.CaptureFixture[str], failing: str
) -> None:
    pi.run("run")
    pi.say("fail", failing)
    assert part(pi, "restore", "--from", "stick", "--table", "gis.public.fields") == 1
    assert capsys.readouterr().err != ""
    assert pi.sql().rstrip().endswith(f"DROP DATABASE IF EXISTS {restore_part.SCRATCH} WITH (FORCE);")
    # The end of the transaction was never sent.
    assert "REVOKE %s" not in pi.sql()
    assert not (pi.folder / "state" / "restore.journal").exists()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("gis.public.none", "There is no table public.none in that backup of gis."),
        ("other.public.fields", "There is no database other in that backup; it has gis."),
    ],
)
def test_a_table_that_was_not_saved_is_told(pi: Pi, capsys: pytest.CaptureFixture[str], table: str, said: str) -> None:
    pi.run("run")
    capsys.readouterr()
    assert part(pi, "restore", "--from", "stick", "--table", table) == 1
    assert capsys.readouterr().err.strip() == said


def test_nothing_is_changed_where_something_needs_the_table(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    pi.run("run")
    pi.say("in_place", '{"there": true, "plain": true, "needing": ["constraint a_fkey on table a"]}')
    assert part(pi, "restore", "--from", "stick", "--table", "gis.public.fields") == 1
    assert "Nothing was changed: these need gis.public.fields" in capsys.readouterr().err
    pi.say("databases", "[]")
    assert part(pi, "find", "--from", "stick", "--table", "gis.public.fields") == 1
    assert "There is no database gis on this Pi" in capsys.readouterr().err


def test_a_project_is_put_in_place_or_beside_with_its_folder(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    fields = pi.lizmap / "projects" / "fields"
    fields.mkdir()
    (fields / "fields.qgs").write_text("the project")
    pi.run("run")
    (fields / "fields.qgs").write_text("spoiled")
    asked = ("--from", "stick", "--project", "fields/fields.qgs")
    assert part(pi, "find", *asked) == 0
    assert part(pi, "restore", *asked) == 0
    assert (fields / "fields.qgs").read_text() == "the project"
    (before,) = pi.lizmap.glob("projects-fields.before-*")
    assert str(before) in capsys.readouterr().out and (before / "fields.qgs").read_text() == "spoiled"
    assert pi.run("take-back") == 0
    assert (fields / "fields.qgs").read_text() == "spoiled" and len(
        list(pi.lizmap.glob("projects-fields.failed-*"))
    ) == 1
    assert part(pi, "restore", *asked, "--as", "old") == 0
    assert (pi.lizmap / "projects-old" / "fields.qgs").read_text() == "the project"
    capsys.readouterr()
    for words, said in (
        ((*asked, "--as", "old"), f"There is {pi.lizmap}/projects-old already."),
        ((*asked, "--as", "../x"), "can't be the name of a folder"),
        (("--from", "stick", "--project", "fields/x.qgs"), "the folder has fields.qgs"),
        (("--from", "stick", "--project", "meadows/x.qgs"), "it has no such folder with a project"),
    ):
        assert part(pi, "restore", *words) == 1
        assert said in capsys.readouterr().err
    assert not list(pi.lizmap.glob(".restoring-*"))


def test_a_project_comes_back_where_the_map_server_does_not_start(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    fields = pi.lizmap / "projects" / "fields"
    fields.mkdir()
    (fields / "fields.qgs").write_text("the project")
    pi.run("run")
    (fields / "fields.qgs").write_text("newer")
    pi.say("state", "running unhealthy")
    assert part(pi, "restore", "--from", "stick", "--project", "fields/fields.qgs") == 1
    assert "Everything is again as it was" in capsys.readouterr().err
    assert (fields / "fields.qgs").read_text() == "newer"
