"""Dumps as people have them are loaded by the image at its first start; the same files are judged on the laptop."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.inventory import dumps
from ansible.module_utils.poppyfield.postgis import dump_file, postgres

from tests.gallery.dumps import BY_BYTES, IN_FRENCH, LOADED, Case
from tests.gallery.report import record
from tests.images import building
from tests.images.postgis_server import Server, Start, owned_folder, write

POSTGRESQL = dumps.POSTGRESQL[building.PROFILE]
NEWER = {"10-a17.sql", "10-a18.sql", "10-windows.sql", "10-c16.dump", "10-c18.dump"}
"""What PostgreSQL 15 does not read, as the laptop says."""
OF_THIS_PROFILE = [case for case in LOADED if case.name not in NEWER or building.PROFILE == "trixie"]


def database_of(name: str) -> str:
    named = re.match(postgres.FIRST_START_NAME, name)
    assert named
    return named[2]


@pytest.fixture(scope="module")
def loaded(starter: Start, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """Return one server that has loaded the whole gallery."""
    folder = tmp_path_factory.mktemp("gallery")
    files = owned_folder(folder / "first-start")
    for case in OF_THIS_PROFILE:
        write(files, case.name, case.make())
    write(files, "05-postgres.roles.sql", "CREATE ROLE keeper;")
    write(files, "20-owned.more.sql", "CREATE TABLE kept (n int); ALTER TABLE kept OWNER TO keeper;")
    return starter(owned_folder(folder / "data"), first_start=files).ready()


@pytest.mark.parametrize("case", OF_THIS_PROFILE, ids=lambda case: case.what)
def test_a_dump_is_loaded_and_sorts_as_it_did_where_it_was_made(loaded: Server, case: Case) -> None:
    found = loaded.sql("SELECT name FROM plots ORDER BY name", database_of(case.name)).split("\n")
    record(case.what, "dump", "postgis image", ", ".join(case.sorted), ", ".join(found))
    assert found == case.sorted


def test_what_belonged_to_roles_that_are_not_here_belongs_to_the_superuser_and_they_are_gone(loaded: Server) -> None:
    owners = "SELECT string_agg(DISTINCT tableowner, ',') FROM pg_tables WHERE tablename = 'plots'"
    assert loaded.sql(owners, "owned") == "postgres"
    assert loaded.sql("SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'survey'", "owned") == "postgres"
    own = "SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolname !~ '^pg_'"
    assert set(loaded.sql(own).split(",")) == {"postgres", "keeper"}


def test_what_belongs_to_a_role_that_is_here_stays_its_own(loaded: Server) -> None:
    assert loaded.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'kept'", "owned") == "keeper"


def test_what_is_for_addresses_in_the_united_states_is_left_out(loaded: Server) -> None:
    assert loaded.sql("SELECT count(*) FROM pg_namespace WHERE nspname ~ 'tiger'", "stock") == "0"
    assert loaded.sql("SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'", "stock") == "fuzzystrmatch"


def test_nothing_of_the_loading_stays_in_a_database(loaded: Server) -> None:
    left = "SELECT (SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_namespace WHERE nspname ~ 'first')"
    for database in ("postgres", "owned", "fr", "cfr"):
        assert loaded.sql(left, database) == "0|0"


def test_the_extensions_that_the_laptop_lets_through_are_those_of_the_image(loaded: Server) -> None:
    there = set(loaded.sql("SELECT name FROM pg_available_extensions").split("\n"))
    assert there == dumps.EXTENSIONS | dumps.OLDER_EXTENSIONS[POSTGRESQL]


def test_the_collations_that_the_laptop_lets_through_are_there(loaded: Server) -> None:
    names = loaded.sql("SELECT collname FROM pg_collation WHERE collnamespace = 'pg_catalog'::regnamespace", "fr")
    assert [name for name in names.split("\n") if not dumps.COLLATIONS.fullmatch(name)] == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("10-own.sql", ["--format=plain"]),
        ("10-own.dump", ["--format=custom"]),
        ("10-own.dump", ["--format=tar"]),
    ],
    ids=["plain", "custom", "tar"],
)
def test_what_the_images_own_pg_dump_writes_is_let_through(
    loaded: Server, tmp_path: Path, name: str, options: list[str]
) -> None:
    code, content = loaded.execute("pg_dump", *options, "--dbname=fr")
    assert code == 0
    (tmp_path / name).write_bytes(content)
    found = dump_file.read(tmp_path / name)
    assert list(dumps.problems(found, name, name.rpartition(".")[2], POSTGRESQL)) == []
    assert found.written_by.startswith(str(POSTGRESQL))
    # The collation is named as in the office, and no dump brings one of ours there.
    assert found.collations == {"fr_FR.utf8"}
    assert b"CREATE COLLATION" not in content


@pytest.fixture(scope="module")
def again(starter: Start, loaded: Server, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """Return a server that has loaded what the first one's pg_dump wrote."""
    folder = tmp_path_factory.mktemp("again")
    files = owned_folder(folder / "first-start")
    for name, options, database in (
        ("10-plain.sql", ["--format=plain"], "owned"),
        ("10-custom.dump", ["--format=custom"], "owned"),
        ("10-tar.dump", ["--format=tar"], "fr"),
        ("10-french.dump", ["--format=custom"], "cfr"),
    ):
        code, content = loaded.execute("pg_dump", *options, f"--dbname={database}")
        assert code == 0
        write(files, name, content)
    for name, program in (("whole", ["pg_dumpall"]), ("created", ["pg_dump", "--create", "--dbname=owned"])):
        code, content = loaded.execute(*program)
        assert code == 0
        write(files, f"10-{name}.sql", cut_out(folder / name, content))
    return starter(owned_folder(folder / "data"), first_start=files).ready()


def cut_out(folder: Path, content: bytes) -> bytes:
    """Do what the laptop says of a file with several databases."""
    folder.mkdir()
    (folder / "all.sql").write_bytes(content)
    ((_, remedy),) = dumps.problems(dump_file.read(folder / "all.sql"), "all.sql", "sql", POSTGRESQL)
    command = remedy.partition("cut it out of this one: ")[2] or remedy.partition("cut that out: ")[2]
    subprocess.run(["bash", "-c", command.replace("DATABASE", "owned")], cwd=folder, check=True)
    assert list(dumps.problems(dump_file.read(folder / "owned.sql"), "owned.sql", "sql", POSTGRESQL)) == []
    return (folder / "owned.sql").read_bytes()


@pytest.mark.parametrize(
    ("database", "names"),
    [
        ("plain", BY_BYTES),
        ("custom", BY_BYTES),
        ("tar", IN_FRENCH),
        ("french", IN_FRENCH),
        ("whole", BY_BYTES),
        ("created", BY_BYTES),
    ],
)
def test_what_the_images_own_pg_dump_writes_is_loaded(again: Server, database: str, names: list[str]) -> None:
    found = again.sql("SELECT name FROM plots ORDER BY name", database).split("\n")
    record(f"the image's own dump: {database}", "dump", "postgis image", ", ".join(names), ", ".join(found))
    assert found == names
    # Of a role that the second server does not have.
    if database in ("plain", "custom", "whole", "created"):
        assert again.sql("SELECT tableowner FROM pg_tables WHERE tablename = 'kept'", database) == "postgres"
