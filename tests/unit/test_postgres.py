"""Roles, databases, passwords and memory settings: pure decisions, and the order in which the cluster hears of them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, Result
from ansible.module_utils.poppyfield.containers.spec import Mount
from ansible.module_utils.poppyfield.postgis import postgres, written_tables
from ansible.module_utils.poppyfield.postgis.postgres import ClusterState, Database, PostgresError, Role
from hypothesis import given
from hypothesis import strategies as st

GIB = 1024**3
MIB = 1024**2
PASSWORD = "correct horse battery"
ROLE = Role("lizmap", PASSWORD)
GIS = Database("gis", "lizmap", ("postgis",), "")
FOLDER = postgres.DataFolder("/srv/data", "17", "arm64")
SALTS = {"lizmap": b"0123456789abcdef"}


def state_of(**changes: Any) -> ClusterState:
    role = {
        "role": "lizmap",
        "password": postgres.scram_verifier(PASSWORD, b"another salt 123"),
        "rolcanlogin": True,
        "rolsuper": False,
        "rolcreatedb": False,
        "rolcreaterole": False,
        "rolreplication": False,
        "rolbypassrls": False,
        "powers": [],
    }
    database = {"database": "gis", "owner": "lizmap", "public": False}
    return ClusterState(
        roles={"lizmap": {**role, **changes.get("role", {})}},
        databases={"gis": {**database, **changes.get("database", {})}, **changes.get("databases", {})},
        extensions=changes.get("extensions", frozenset({("gis", "postgis")})),
    )


def changes_for(state: ClusterState, database: Database = GIS) -> list[postgres.ClusterChange]:
    changes: list[postgres.ClusterChange] = postgres.plan_changes([ROLE], [database], state, SALTS)
    return changes


# Passwords ----------------------------------------------------------------------------------------------------------


def test_the_verifier_is_that_of_the_standard() -> None:
    # RFC 7677's example: user "user", password "pencil".
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    assert postgres.scram_verifier("pencil", salt, 4096) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


PASSWORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)


@given(PASSWORDS, PASSWORDS, st.binary(min_size=8, max_size=16))
def test_a_verifier_matches_its_own_password_only(first: str, second: str, salt: bytes) -> None:
    stored = postgres.scram_verifier(first, salt)
    assert postgres.password_matches(second, stored) == (first == second)


@pytest.mark.parametrize("stored", [None, "", "md5abcdef", "SCRAM-SHA-256$x", PASSWORD])
def test_what_is_no_verifier_matches_nothing(stored: str | None) -> None:
    assert not postgres.password_matches(PASSWORD, stored)


@pytest.mark.parametrize("password", ["", "two\nlines", "caf\u00e9", "tab\t"])
def test_a_password_that_can_be_read_in_two_ways_is_refused_without_showing_it(password: str) -> None:
    with pytest.raises(PostgresError) as raised:
        postgres.check_password(password, "/etc/secret")
    assert str(raised.value) == "The password in /etc/secret must be one line of printable ASCII characters."


# Quoting ------------------------------------------------------------------------------------------------------------


def test_quoting() -> None:
    assert postgres.identifier('o"dd') == '"o""dd"'
    assert postgres.literal("o'dd") == "'o''dd'"
    assert postgres.literal("back\\slash'") == " E'back\\\\slash'''"
    assert postgres.connection("gis") == "'dbname=''gis'''"
    assert postgres.connection("o'd\\d") == "'dbname=''o\\\\''d\\\\\\\\d'''"


@pytest.mark.parametrize("name", ["", "a\nb", "a\0b", "x" * 64])
def test_names_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(PostgresError, match="cannot be a name"):
        postgres.identifier(name)


def test_a_text_that_cannot_be_is_refused() -> None:
    with pytest.raises(PostgresError, match="cannot hold a zero byte"):
        postgres.literal("a\0b")


@given(st.text(max_size=30))
def test_a_quoted_text_cannot_end_early(text: str) -> None:
    if "\0" in text:
        return
    quoted = postgres.literal(text).strip()
    inside = quoted.removeprefix("E")[1:-1]
    if quoted.startswith("E"):
        inside = inside.replace("\\\\", "")
        assert "\\" not in inside
    assert "'" not in inside.replace("''", "")


# Planning -----------------------------------------------------------------------------------------------------------


def test_a_cluster_that_is_right_needs_nothing() -> None:
    assert changes_for(state_of()) == []


def test_an_empty_cluster_gets_role_then_database_under_its_name_last() -> None:
    database = Database("gis", "lizmap", ("postgis",), "/srv/initial.sql")
    roles, made = changes_for(ClusterState(), database)
    assert roles.words == ("role lizmap: absent -> present",)
    assert 'CREATE ROLE "lizmap" LOGIN NOSUPERUSER' in roles.script
    assert made.words == (
        "database gis: absent -> present",
        "database gis: extension postgis added",
        "database gis: first content loaded from /srv/initial.sql",
    )
    assert made.script.index('CREATE DATABASE "gis__loading"') < made.script.index("CREATE EXTENSION")
    assert made.script.index("CREATE EXTENSION") < made.script.index("CONNECTION LIMIT -1")
    assert "RENAME" not in made.script
    assert made.load is not None
    assert (made.load.path, made.load.owner) == ("/srv/initial.sql", ROLE)
    assert 'RENAME TO "gis"' in made.load.after


def test_a_new_database_is_nobodys_but_ours_until_its_extensions_are_there() -> None:
    (made,) = changes_for(ClusterState(roles=state_of().roles))
    order = ["CONNECTION LIMIT 0", "FROM PUBLIC", "CREATE EXTENSION", "CONNECTION LIMIT -1", "RENAME TO"]
    assert [words for _, words in sorted((made.script.index(words), words) for words in order)] == order


# Who loads a file, and what nobody can see --------------------------------------------------------------------------


def test_the_first_content_is_loaded_by_its_owner_as_a_stranger_in_the_container() -> None:
    odd = Role("o'dd", r"back\slash:colon")
    user, argv, beginning = postgres.loading_command(postgres.FirstContent("/f.sql", "gis__loading", odd, ""))
    assert user == "65534:65534"
    assert argv[-4:] == ("--host=127.0.0.1", "--username=o'dd", "--no-password", "--dbname=dbname='gis__loading'")
    assert beginning == "*:*:*:*:back\\\\slash\\:colon\n"
    assert not any("slash" in word for word in argv)


def test_the_superusers_own_database_is_loaded_by_the_superuser_as_it_always_was() -> None:
    user, argv, beginning = postgres.loading_command(postgres.FirstContent("/f.sql", "gis__loading", None, ""))
    assert (user, beginning) == ("postgres", "")
    assert argv[0] == "psql"


def test_each_session_of_the_superuser_begins_with_an_empty_search_path() -> None:
    assert postgres.SUPERUSER_PSQL[0] == "env"
    assert "-c search_path= " in postgres.SUPERUSER_PSQL[1]


def test_what_a_cut_off_load_left_is_dropped_and_done_again() -> None:
    leftover = {"gis__loading": {"database": "gis__loading", "owner": "lizmap", "public": False}}
    unfinished = ClusterState(roles=state_of().roles, databases=leftover)
    (made,) = changes_for(unfinished)
    assert made.script.index('DROP DATABASE "gis__loading"') < made.script.index("CREATE DATABASE")
    (cleaned,) = changes_for(state_of(databases=leftover))
    assert cleaned.words == ("database gis__loading: left by a run that was cut off, removed",)
    assert 'DROP DATABASE "gis"' not in cleaned.script


@pytest.mark.parametrize(
    ("changes", "words", "sql"),
    [
        ({"role": {"rolsuper": True}}, "role lizmap: NOSUPERUSER", "NOSUPERUSER"),
        ({"role": {"rolcanlogin": False}}, "role lizmap: LOGIN", "LOGIN"),
        ({"role": {"rolbypassrls": True}}, "role lizmap: NOBYPASSRLS", "NOBYPASSRLS"),
        ({"role": {"powers": ["postgres"]}}, "role lizmap: no longer a member of postgres", 'REVOKE "postgres" FROM'),
        ({"role": {"password": None}}, "role lizmap: password renewed", "PASSWORD 'SCRAM-SHA-256$"),
        ({"database": {"owner": "old"}}, "database gis: owner old -> lizmap", 'DATABASE "gis" OWNER TO "lizmap"'),
        ({"database": {"public": True}}, "database gis: no longer open to every role", "FROM PUBLIC"),
        ({"extensions": frozenset()}, "database gis: extension postgis added", "CREATE EXTENSION"),
        (
            {"databases": {"template1": {"database": "template1", "owner": "postgres", "public": True}}},
            "database template1: no longer open to every role",
            'REVOKE CONNECT, TEMPORARY ON DATABASE "template1" FROM PUBLIC;',
        ),
    ],
)
def test_each_drift_is_named_and_corrected(changes: dict[str, Any], words: str, sql: str) -> None:
    (change,) = changes_for(state_of(**changes))
    assert change.words == (words,)
    assert sql in change.script


def test_no_words_and_no_text_of_a_change_hold_the_password_or_a_verifier() -> None:
    for change in changes_for(state_of(role={"password": None, "rolsuper": True})):
        assert PASSWORD not in change.script
        assert "SCRAM" not in repr(change)
    assert PASSWORD not in repr(ROLE)
    assert "SCRAM" not in repr(state_of())


@pytest.mark.parametrize(
    ("roles", "databases", "message"),
    [
        ([ROLE, ROLE], [], "role lizmap is given twice"),
        ([ROLE], [GIS, GIS], "database gis is given twice"),
        ([Role("postgres", PASSWORD)], [], "belongs to PostgreSQL itself"),
        ([Role("pg_monitor", PASSWORD)], [], "belongs to PostgreSQL itself"),
        ([], [Database("template1", "lizmap")], "belongs to PostgreSQL itself"),
        ([], [Database("x" * 60, "lizmap")], "cannot be a name"),
    ],
)
def test_what_cannot_be_wanted(roles: list[Role], databases: list[Database], message: str) -> None:
    with pytest.raises(PostgresError, match=message):
        postgres.check_wanted(roles, databases)


def test_an_owner_must_be_among_the_roles() -> None:
    with pytest.raises(PostgresError, match="owner nobody of the database gis is not among the roles"):
        changes_for(ClusterState(), Database("gis", "nobody"))


def test_the_state_is_read_in_one_script_with_one_connection_a_database() -> None:
    script = postgres.state_script([ROLE], [GIS, Database("plain", "lizmap")])
    assert script.count("\\connect 'dbname=''gis'''") == 1
    assert "\\connect 'dbname=''plain'''" not in script
    assert "'postgres', 'template1', 'gis', 'gis__loading', 'plain', 'plain__loading'" in script


def test_lines_that_say_nothing_are_passed_over() -> None:
    assert postgres.parse_state('\n{"role": "lizmap"}\n \n').roles == {"lizmap": {"role": "lizmap"}}


def test_an_answer_that_is_not_json_is_an_error() -> None:
    with pytest.raises(PostgresError, match="not JSON"):
        postgres.parse_state("hello")


# The server's command -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("memory", "size"), [(GIB // 2, 64), (4 * GIB, 409), (64 * GIB, 512)])
def test_shared_memory_follows_the_memory_within_bounds(memory: int, size: int) -> None:
    assert postgres.shared_memory_size(memory, 0.4) == size * MIB


def test_the_command_is_sorted_and_refuses_what_is_no_setting() -> None:
    assert postgres.server_command({"b": "2", "a": "1"}) == ("postgres", "-c", "a=1", "-c", "b=2")
    with pytest.raises(PostgresError, match="not the name of a PostgreSQL setting"):
        postgres.server_command({"a=1 -c b": "2"})


# The data folder ----------------------------------------------------------------------------------------------------

IMAGE = {"Architecture": "arm64", "Config": {"Labels": {postgres.VERSION_LABEL: "17"}}}


@pytest.mark.parametrize(
    ("version", "architecture", "image"),
    [
        ("17", "arm64", IMAGE),
        ("17", "armhf", {**IMAGE, "Architecture": "arm"}),
        ("", "", IMAGE),
        ("15", "", {"Id": "somebody's image"}),
    ],
    ids=["the same", "Docker's name for armhf", "empty folder", "image without a label"],
)
def test_a_data_folder_that_fits_or_tells_nothing_is_accepted(
    version: str, architecture: str, image: dict[str, Any]
) -> None:
    assert postgres.data_problem(postgres.DataFolder("/srv/data", version, architecture), image) == ""


@pytest.mark.parametrize(
    ("version", "architecture", "words", "remedy"),
    [
        ("15", "arm64", "made by PostgreSQL 15, but the image holds PostgreSQL 17", "playbooks/upgrade_database.yml"),
        ("17", "armhf", "made on arm, but the image is for arm64", "dump the databases"),
        ("17", "amd64", "made on amd64, but the image is for arm64", "dump the databases"),
    ],
)
def test_a_data_folder_of_another_release_or_architecture_is_refused(
    version: str, architecture: str, words: str, remedy: str
) -> None:
    problem = postgres.data_problem(postgres.DataFolder("/srv/data", version, architecture), IMAGE)
    assert words in problem
    assert "/srv/data" in problem
    assert remedy in problem


# The module's part --------------------------------------------------------------------------------------------------


class FakePsql:
    """Answers the state script with what it is told, and keeps what else it hears, and by whom."""

    def __init__(self, *answers: Sequence[dict[str, Any]]) -> None:
        self.answers = list(answers)
        self.heard: list[str] = []
        self.argv: list[list[str]] = []

    def __call__(self, argv: Sequence[str], chunks: Iterable[bytes]) -> Result:
        script = b"".join(chunks).decode()
        if "json_build_object" in script:
            return Result(0, "\n".join(json.dumps(line) for line in self.answers.pop(0)), "")
        self.heard.append(script)
        self.argv.append(list(argv))
        if "bad sql" in script:
            return Result(3, "", "psql:<stdin>:7: ERROR:  syntax error\n")
        return Result(0, "", "")


Library = Callable[[str], ModuleType]


def right() -> list[dict[str, Any]]:
    state = state_of()
    told = [{"extension": "postgis", "in": "gis"}, {"written_tables": True, "roles": ["lizmap"]}]
    return [*state.roles.values(), *state.databases.values(), *told]  # type: ignore[list-item]


def test_a_cluster_is_read_changed_and_read_again(library: Library, tmp_path: Path) -> None:
    sql = tmp_path / "initial.sql"
    sql.write_text("CREATE TABLE t ();")
    psql = FakePsql([], right())
    cluster = library("postgis_container").Cluster(FOLDER, [ROLE], [Database("gis", "lizmap", ("postgis",), str(sql))])
    words = cluster.apply(Engine(None, None, psql), "websig-postgis")
    assert words[0] == "role lizmap: absent -> present"
    assert [argv[:6] for argv in psql.argv] == [
        ["docker", "exec", "-i", "--user", user, "websig-postgis"]
        for user in ("postgres", "postgres", "65534:65534", "postgres", "postgres")
    ]
    roles, made, loaded, named, _ = psql.heard
    assert loaded == f"*:*:*:*:{PASSWORD}\nCREATE TABLE t ();"
    assert "CREATE DATABASE" in made
    assert "RENAME TO" in named
    assert not any(PASSWORD in text for text in [roles, made, named, *(word for argv in psql.argv for word in argv)])


def test_a_data_folder_is_read_as_the_image_leaves_it(library: Library, tmp_path: Path) -> None:
    module = library("postgis_container")
    assert module.data_folder(str(tmp_path)) == postgres.DataFolder(str(tmp_path))
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "PG_VERSION").write_text("17\n")
    (tmp_path / "cluster.architecture").write_text("arm64\n")
    assert module.data_folder(str(tmp_path)) == postgres.DataFolder(str(tmp_path), "17", "arm64")


def test_a_first_start_is_predicted_and_one_on_old_data_is_not(library: Library) -> None:
    cluster = library("postgis_container").Cluster
    words = cluster(postgres.DataFolder("/srv/data"), [ROLE], [GIS]).predict_first()
    assert words[:4] == [
        "role lizmap: absent -> present",
        "database postgres: no longer open to every role",
        "database template1: no longer open to every role",
        "database gis: absent -> present",
    ]
    assert cluster(postgres.DataFolder("/srv/data"), [], []).predict_first() == []
    assert cluster(FOLDER, [ROLE], [GIS]).predict_first() == []


def test_a_cluster_that_is_right_is_only_read(library: Library) -> None:
    psql = FakePsql(right())
    cluster = library("postgis_container").Cluster(FOLDER, [ROLE], [GIS])
    assert cluster.apply(Engine(None, None, psql), "websig-postgis") == []
    assert psql.heard == []


def test_a_change_that_does_not_hold_is_an_error(library: Library) -> None:
    cluster = library("postgis_container").Cluster(FOLDER, [ROLE], [])
    with pytest.raises(EngineError, match="did not hold: role lizmap: absent -> present"):
        cluster.apply(Engine(None, None, FakePsql([], [])), "websig-postgis")


def test_what_postgresql_refuses_is_shown(library: Library, tmp_path: Path) -> None:
    sql = tmp_path / "initial.sql"
    sql.write_text("bad sql")
    cluster = library("postgis_container").Cluster(FOLDER, [ROLE], [Database("gis", "lizmap", (), str(sql))])
    with pytest.raises(EngineError, match=r"PostgreSQL refused .*first content.*syntax error"):
        cluster.apply(Engine(None, None, FakePsql(right()[:1])), "websig-postgis")


def test_the_modules_parameters_become_the_specification(library: Library) -> None:
    module = library("postgis_container")
    params = {
        "name": "websig-postgis",
        "image": "i",
        "network": "poppyfield",
        "network_alias": "postgis",
        "data_folder": "/srv/data",
        "memory_share": 0.4,
        "settings": {"max_connections": 10, "jit": False},
        "first_start_folder": "/srv/first-start",
        "health": None,
        "stop_timeout": 120,
        "memory_limit_share": 0.5,
        "desktop_networks": [],
        "desktop_port": 5433,
        "desktop_key": None,
    }
    spec = module.spec_of(params, GIB)
    assert "max_connections=10" in spec.command
    assert "jit=off" in spec.command
    assert spec.environment == {"POSTGIS_MEMORY_PERCENT": "40"}
    assert [mount.read_only for mount in spec.mounts] == [False, True]
    assert spec.ports == ()
    assert spec.memory_limit == GIB // 2
    assert spec.exclusive_folders == ("/srv/data",)
    people = {**params, "desktop_networks": ["10.0.0.0/8", "192.168.1.7"], "desktop_key": "/etc/key"}
    spec = module.spec_of(people, GIB)
    assert spec.environment["POSTGIS_DESKTOP_NETWORKS"] == "10.0.0.0/8 192.168.1.7"
    assert [(port.bind_address, port.host_port, port.container_port) for port in spec.ports] == [
        ("0.0.0.0", 5433, 5432)
    ]
    assert spec.mounts[-1] == Mount("/etc/key", "/run/secrets/postgis_tls_key", read_only=True)
    assert spec.secret_stamps == {"tls_key": "missing"}
    with pytest.raises(PostgresError, match="memory_share must be between"):
        module.spec_of({**params, "memory_share": 1.5}, GIB)


# Which tables were written ------------------------------------------------------------------------------------------

ASKS = "role lizmap: may ask which tables were written"


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({}, ["database postgres: tells which tables were written", ASKS]),
        ({"written_tables": False, "roles": ["lizmap"]}, ["database postgres: tells which tables were written"]),
        ({"written_tables": True, "roles": ["another"]}, [ASKS]),
        ({"written_tables": True, "roles": ["another", "lizmap"]}, []),
    ],
)
def test_owners_of_databases_may_ask_which_tables_were_written(told: dict[str, Any], words: list[str]) -> None:
    changes = written_tables.plan_changes([GIS, Database("other", "lizmap"), Database("own", "postgres")], told)
    assert [word for change in changes for word in change.words] == words
    assert all(("CREATE EXTENSION" in change.script) == (not told.get("written_tables")) for change in changes)


def test_without_a_database_of_others_nobody_may_ask() -> None:
    assert written_tables.plan_changes([Database("own", "postgres")], {}) == []
