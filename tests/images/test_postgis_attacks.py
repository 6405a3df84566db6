"""Whoever holds the role that projects log in as wants to be superuser: on the image, and with the module's own SQL.

What a run does, in check mode, too, is done; where a defence of ours stands in between, the same attack is played once
more with the defence taken back, and there it must succeed.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.postgis import postgres

from tests.images.postgis_server import PASSWORD, PSQL, UID, Server, Start, owned_folder

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = itertools.count()
PLAIN_PSQL = (*postgres.PSQL, "--username=postgres", "--dbname=postgres")
"""The superuser's psql without any of our settings."""
FIRST_WITH_LOGIN_TRIGGERS = 170000
BECAME_SUPERUSER = r"did not hold: role .*: NOSUPERUSER"


def cluster_class() -> Any:
    """Return the module's class that brings roles and databases about."""
    spec = importlib.util.spec_from_file_location("postgis_container", ROOT / "library" / "postgis_container.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Cluster


CLUSTER = cluster_class()


@dataclass(frozen=True)
class Pi:
    """A server with a role and its database, both made by the module."""

    server: Server
    role: postgres.Role
    database: postgres.Database
    others: tuple[postgres.Role, ...] = ()

    def _cluster(self) -> Any:
        return CLUSTER(postgres.DataFolder("/", "17"), [self.role, *self.others], [self.database])

    def run(self) -> list[str]:
        """Do what a run of the playbook does; give what it changed."""
        return list(self._cluster().apply(Engine(None, None), self.server.container.name))

    def check(self) -> list[str]:
        """Do what a run in check mode does; give what it would change."""
        return list(self._cluster().predict(Engine(None, None), self.server.container.name))

    def wants(self, *extensions: str) -> Pi:
        """Return the same with these extensions in the inventory."""
        return replace(self, database=replace(self.database, extensions=extensions))

    def tries(self, sql: str, database: str = "") -> tuple[int, str]:
        """Run SQL as the role, as projects do: over the network, with its password."""
        return self.server.over_network(sql, self.role.name, PASSWORD, database or self.database.name)

    def does(self, sql: str) -> str:
        """Run SQL as the role, which must be let."""
        code, output = self.tries(sql)
        assert code == 0, output
        return output

    def gives_itself(self) -> str:
        """Return the body of a function that makes the role superuser when a superuser calls it, quietly otherwise."""
        return (
            "BEGIN IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) session_user) THEN"
            f" EXECUTE 'ALTER ROLE {self.role.name} SUPERUSER'; END IF;"
        )

    def is_superuser(self) -> bool:
        return self.server.sql(f"SELECT rolsuper FROM pg_roles WHERE rolname = '{self.role.name}'") == "t"


MakePi = Callable[..., Pi]


@pytest.fixture(scope="module")
def server(starter: Start, tmp_path_factory: pytest.TempPathFactory) -> Server:
    return starter(owned_folder(tmp_path_factory.mktemp("server") / "data")).ready()


@pytest.fixture(scope="module")
def make_pi(server: Server) -> MakePi:
    """Return what makes a role with a database of its own, as the module does."""

    def make(*extensions: str, sql: Path | None = None) -> Pi:
        number = next(NUMBERS)
        role = postgres.Role(f"gis{number}", PASSWORD)
        database = postgres.Database(f"map{number}", role.name, extensions, str(sql or ""))
        return Pi(server, role, database)

    return make


@pytest.fixture
def pi(make_pi: MakePi) -> Pi:
    pi = make_pi("hstore")
    pi.run()
    return pi


@pytest.fixture(scope="module")
def untouched(make_pi: MakePi) -> Pi:
    """Return one for the tests that leave it as it is."""
    pi = make_pi("hstore")
    pi.run()
    pi.server.sql("SELECT lo_create(4242)", pi.database.name)
    return pi


@pytest.fixture(scope="module")
def careless(starter: Start, tmp_path_factory: pytest.TempPathFactory) -> Pi:
    """Return one whose role was made superuser, on a server of its own: it changes what all databases share."""
    server = starter(owned_folder(tmp_path_factory.mktemp("careless") / "data")).ready()
    pi = Pi(server, postgres.Role("gis", PASSWORD), postgres.Database("map", "gis", ("hstore",), ""))
    pi.run()
    server.sql("SELECT lo_create(4242)", pi.database.name)
    server.sql(f"ALTER ROLE {pi.role.name} SUPERUSER")
    return pi


# What our SQL could be made to call ---------------------------------------------------------------------------------

FUNCTION = "CREATE FUNCTION {name} RETURNS {type} LANGUAGE plpgsql AS $body${gives_itself} RETURN {result}; END$body$"


def function(pi: Pi, name: str, returns: str, result: str) -> str:
    return FUNCTION.format(name=name, type=returns, gives_itself=pi.gives_itself(), result=result)


def answer_in(pi: Pi, schema: str) -> None:
    answer = f"""'{{"extension": "hstore", "in": "{pi.database.name}"}}'::json"""
    pi.does(function(pi, f"{schema}.json_build_object(text, name, text, text)", "json", answer))


def function_in_public(pi: Pi) -> None:
    answer_in(pi, "public")


def function_in_a_schema_of_the_superusers_name(pi: Pi) -> None:
    pi.does("CREATE SCHEMA postgres")
    answer_in(pi, "postgres")


def relation_before_the_catalog(pi: Pi) -> None:
    pi.does("CREATE SCHEMA evil")
    pi.does(function(pi, "evil.name()", "name", "'hstore'::name"))
    pi.does("CREATE VIEW evil.pg_extension AS SELECT evil.name() AS extname")
    pi.does(f"ALTER DATABASE {pi.database.name} SET search_path = evil, pg_catalog")


def login_event_trigger_of_a_dump(pi: Pi) -> None:
    if int(pi.server.setting("server_version_num")) < FIRST_WITH_LOGIN_TRIGGERS:
        pytest.skip("This PostgreSQL has no event triggers for logins.")
    trigger_of_a_dump(pi, "login")


def trigger_of_a_dump(pi: Pi, event: str) -> None:
    """Leave what an older version of ours did: an event trigger from a dump, and its function in the role's hands."""
    pi.server.sql(
        f"CREATE FUNCTION public.log() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        f"CREATE EVENT TRIGGER log ON {event} EXECUTE FUNCTION public.log();"
        f"ALTER FUNCTION public.log() OWNER TO {pi.role.name}",
        pi.database.name,
    )
    pi.does(
        f"CREATE OR REPLACE FUNCTION public.log() RETURNS event_trigger LANGUAGE plpgsql"
        f" AS $body${pi.gives_itself()} END$body$"
    )


TRAPS = [
    function_in_public,
    function_in_a_schema_of_the_superusers_name,
    relation_before_the_catalog,
    login_event_trigger_of_a_dump,
]


@pytest.mark.attack(kind="SQL of the superuser", on="PostGIS")
@pytest.mark.parametrize("trap", TRAPS)
def test_neither_a_run_nor_check_mode_calls_what_the_role_made(
    pi: Pi, trap: Callable[[Pi], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    trap(pi)
    assert pi.check() == []
    assert pi.run() == []
    assert not pi.is_superuser()
    monkeypatch.setattr(postgres, "SUPERUSER_PSQL", PLAIN_PSQL)
    # Nothing tells what has just happened.
    assert pi.check() == []
    assert pi.is_superuser()


@pytest.mark.attack(kind="SQL of the superuser", on="PostGIS")
def test_an_event_trigger_of_a_dump_is_not_called_by_a_change(pi: Pi, monkeypatch: pytest.MonkeyPatch) -> None:
    trigger_of_a_dump(pi, "ddl_command_end")
    pi.wants("hstore", "unaccent").run()
    assert not pi.is_superuser()
    monkeypatch.setattr(postgres, "SUPERUSER_PSQL", PLAIN_PSQL)
    with pytest.raises(EngineError, match=BECAME_SUPERUSER):
        pi.wants("hstore", "unaccent", "citext").run()
    assert pi.is_superuser()


def test_the_function_of_an_event_trigger_stays_the_superusers_when_a_database_is_adopted(pi: Pi) -> None:
    name = pi.database.name
    pi.server.sql(
        f"ALTER DATABASE {name} OWNER TO postgres;"
        "CREATE FUNCTION public.log() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE FUNCTION public.other() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE EVENT TRIGGER log ON ddl_command_end EXECUTE FUNCTION public.log()",
        name,
    )
    assert pi.run() == [f"database {name}: owner postgres -> {pi.role.name}"]
    assert "must be owner" in pi.tries("ALTER FUNCTION public.log() RENAME TO mine")[1]
    pi.does("ALTER FUNCTION public.other() RENAME TO mine")


@pytest.mark.attack(kind="SQL of the superuser", on="PostGIS")
def test_an_operator_of_the_old_owner_is_not_called_when_the_database_changes_hands(
    pi: Pi, monkeypatch: pytest.MonkeyPatch
) -> None:
    heir = postgres.Role(f"{pi.role.name}_heir", PASSWORD)
    pi.does(function(pi, "public.ge(oid, int)", "bool", "true"))
    pi.does("CREATE OPERATOR public.>= (FUNCTION = public.ge, LEFTARG = oid, RIGHTARG = int)")
    inherited = replace(pi, database=replace(pi.database, owner=heir.name), others=(heir,))
    assert f"database {pi.database.name}: owner {pi.role.name} -> {heir.name}" in inherited.run()
    assert not pi.is_superuser()
    pi.server.sql(f"ALTER DATABASE {pi.database.name} OWNER TO {pi.role.name}")
    pi.server.sql(f"ALTER FUNCTION public.ge(oid, int) OWNER TO {pi.role.name}", pi.database.name)
    monkeypatch.setattr(postgres, "SUPERUSER_PSQL", PLAIN_PSQL)
    with pytest.raises(EngineError, match=BECAME_SUPERUSER):
        inherited.run()


SABOTAGE = [
    "SET role = {role}",
    "SET default_transaction_read_only = on",
    "SET statement_timeout = 3000",
    "SET standard_conforming_strings = off",
    "SET client_encoding = 'SQL_ASCII'",
]


@pytest.mark.attack(kind="settings of the superuser's session", on="PostGIS")
@pytest.mark.parametrize("setting", SABOTAGE)
def test_a_setting_of_the_database_does_not_reach_our_session(pi: Pi, setting: str) -> None:
    pi.does(f"ALTER DATABASE {pi.database.name} {setting.format(role=pi.role.name)}")
    name = setting.split()[1]
    script = f"\\connect {postgres.connection(pi.database.name)}\nSHOW {name};\n"
    assert pi.server.script(script).strip() == postgres.SESSION[name]
    assert pi.server.script(script, PLAIN_PSQL).strip() != postgres.SESSION[name]
    assert pi.wants("hstore", "unaccent").run() == [f"database {pi.database.name}: extension unaccent added"]


# What the scripts of extensions could be made to call ---------------------------------------------------------------


def poisoned_path(pi: Pi) -> None:
    """Set a search_path of one name without blanks, which postgis_topology puts into a statement as it is."""
    path = f"x;ALTER/**/ROLE/**/{pi.role.name}/**/SUPERUSER;--"
    name = pi.database.name
    pi.does(f"SELECT set_config('search_path', '{path}', false); ALTER DATABASE {name} SET search_path FROM CURRENT")


@pytest.mark.attack(kind="scripts of extensions", on="PostGIS")
def test_an_extension_whose_script_could_be_led_astray_is_refused(
    make_pi: MakePi, monkeypatch: pytest.MonkeyPatch
) -> None:
    pi = make_pi("postgis")
    pi.run()
    poisoned_path(pi)
    with pytest.raises(EngineError, match="the setting search_path=x;ALTER"):
        pi.wants("postgis", "postgis_topology").run()
    assert not pi.is_superuser()
    monkeypatch.setattr(postgres, "NO_STRANGERS", "")
    with pytest.raises(EngineError, match=BECAME_SUPERUSER):
        pi.wants("postgis", "postgis_topology").run()


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("CREATE FUNCTION public.split_part(text, text) RETURNS text LANGUAGE sql AS 'SELECT 1'", "split_part"),
        (
            "CREATE FUNCTION public.f(int, text) RETURNS text LANGUAGE sql AS 'SELECT 1';"
            "CREATE OPERATOR public.|| (FUNCTION = public.f, LEFTARG = int, RIGHTARG = text)",
            re.escape("||(integer,text)"),
        ),
        ("CREATE SCHEMA topology", "the schema topology"),
    ],
)
def test_what_a_script_could_take_for_its_own_is_named(pi: Pi, sql: str, told: str) -> None:
    pi.does(sql)
    with pytest.raises(EngineError, match=told):
        pi.wants("hstore", "postgis_topology").run()


def test_functions_of_the_role_elsewhere_and_extensions_that_postgresql_trusts_go_on_working(pi: Pi) -> None:
    pi.does("CREATE SCHEMA app; CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE t ()")
    pi.wants("hstore", "pgrouting").run()
    pi.does("CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    pi.wants("hstore", "pgrouting", "unaccent").run()
    assert pi.does("SELECT app.f(), f(), count(*) FROM t") == "1|1|0"


def test_a_function_that_is_not_committed_yet_goes_with_its_session(pi: Pi) -> None:
    sql = "BEGIN; CREATE FUNCTION public.late() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT pg_sleep(600); COMMIT"
    held: list[tuple[int, str]] = []
    session = threading.Thread(target=lambda: held.append(pi.tries(sql)))
    session.start()
    asleep = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{pi.role.name}' AND wait_event = 'PgSleep'"
    pi.server.until(lambda: pi.server.sql(asleep) == "1", "session of the attacker")
    pi.wants("hstore", "pgrouting").run()
    session.join()
    assert "terminating connection" in held[0][1]
    assert pi.does("SELECT count(*) FROM pg_proc WHERE proname = 'late'") == "0"


def test_a_schema_public_that_the_role_removed_is_made_again(make_pi: MakePi) -> None:
    pi = make_pi("postgis")
    pi.run()
    pi.does("DROP SCHEMA public CASCADE")
    assert pi.run() == [f"database {pi.database.name}: extension postgis added"]
    assert pi.does("SELECT ST_AsText(ST_MakePoint(1, 2)); CREATE TABLE mine ()") == "POINT(1 2)"


# What a file of first content could do ------------------------------------------------------------------------------

ESCAPES = [
    "RESET SESSION AUTHORIZATION;\nALTER ROLE {role} SUPERUSER;",
    "SET SESSION AUTHORIZATION postgres;\nALTER ROLE {role} SUPERUSER;",
    "\\! psql -h /run/postgresql -U postgres -d postgres -c 'ALTER ROLE {role} SUPERUSER'\nSELECT 1/0;",
    "\\connect postgres postgres /run/postgresql\nALTER ROLE {role} SUPERUSER;",
]


@pytest.mark.attack(kind="first content", on="PostGIS")
@pytest.mark.parametrize("escape", ESCAPES)
def test_first_content_cannot_become_more_than_the_owner(make_pi: MakePi, tmp_path: Path, escape: str) -> None:
    sql = tmp_path / "initial.sql"
    pi = make_pi(sql=sql)
    sql.write_text(escape.format(role=pi.role.name))
    with pytest.raises(EngineError, match="first content loaded"):
        pi.run()
    assert not pi.is_superuser()
    # With SET SESSION AUTHORIZATION, as it was done before.
    pi.server.execute(
        "bash",
        "-c",
        '"$@" <<< "$SCRIPT"',
        "bash",
        *PLAIN_PSQL,
        SCRIPT=f"SET SESSION AUTHORIZATION {pi.role.name};\n{sql.read_text()}",
    )
    assert pi.is_superuser()


def test_first_content_is_loaded_by_its_owner_into_public(make_pi: MakePi, tmp_path: Path) -> None:
    sql = tmp_path / "initial.sql"
    sql.write_text("\\set n 7\nCREATE TABLE plots AS SELECT :n AS n;\nCOPY plots FROM stdin;\n8\n\\.\n")
    pi = make_pi("postgis", sql=sql)
    pi.run()
    assert pi.does("SELECT string_agg(n::text, ' ') FROM public.plots; ALTER TABLE plots ADD note text") == "7 8"
    assert pi.run() == []
    _, left = pi.server.execute("ls", "-A", "/tmp")
    assert left == b""


def test_a_dump_from_elsewhere_can_be_loaded_by_the_owner(make_pi: MakePi, tmp_path: Path) -> None:
    office = make_pi("postgis")
    office.run()
    office.does("CREATE TABLE plots (id serial, at geometry(Point, 2154)); INSERT INTO plots (at) VALUES (NULL)")
    dump = f"pg_dump --format=custom {office.database.name} > /tmp/gis.dump"
    # As docs/images-reference.md says.
    choose = "pg_restore --list gis.dump | grep -vE ' (EXTENSION|spatial_ref_sys) ' > list"
    convert = "pg_restore --no-owner --no-privileges --use-list=list --file=gis.sql gis.dump"
    clean = "cat gis.sql; rm gis.dump list gis.sql"
    code, sql = office.server.execute("bash", "-c", f"cd /tmp && {dump} && {choose} && {convert} && {clean}")
    assert code == 0
    (tmp_path / "gis.sql").write_bytes(sql)
    pi = make_pi("postgis", sql=tmp_path / "gis.sql")
    pi.run()
    assert pi.does("INSERT INTO public.plots (at) VALUES (NULL) RETURNING id") == "2"


# What PostgreSQL refuses --------------------------------------------------------------------------------------------

DENIED = (
    "permission denied|must be owner|password is required|credentials required|is not allowed"
    "|must be superuser|only superuser can"
)
SOCKET = pytest.mark.attack(kind="other databases", on="PostGIS")
FORBIDDEN = {
    "a program, to read": "CREATE TEMP TABLE t (x text); COPY t FROM PROGRAM 'id'",
    "a program, to write": "COPY (SELECT 1) TO PROGRAM 'cat > /tmp/x'",
    "a file, to read": "CREATE TEMP TABLE t (x text); COPY t FROM '/etc/passwd'",
    "a file, to write": "COPY (SELECT 1) TO '/var/lib/postgresql/data/x'",
    "pg_read_file": "SELECT pg_read_file('/etc/passwd')",
    "pg_read_binary_file": "SELECT pg_read_binary_file('/etc/passwd')",
    "pg_ls_waldir": "SELECT pg_ls_waldir()",
    "pg_ls_dir": "SELECT pg_ls_dir('/')",
    "pg_stat_file": "SELECT pg_stat_file('/etc/passwd')",
    "lo_import": "SELECT lo_import('/etc/passwd')",
    "lo_export": "SELECT lo_export(4242, '/tmp/x')",
    "another's large object": "SELECT lo_get(4242)",
    "a C function": "CREATE FUNCTION f() RETURNS int LANGUAGE c AS '$libdir/hstore', 'hstore_in'",
    "an internal function": "CREATE FUNCTION f(text) RETURNS text LANGUAGE internal AS 'pg_read_file_all'",
    "a language": "CREATE LANGUAGE l HANDLER plpgsql_call_handler",
    "a leakproof function": "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql LEAKPROOF AS 'SELECT 1'",
    "a function in the catalog": "CREATE FUNCTION pg_catalog.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "an untrusted extension": "CREATE EXTENSION file_fdw",
    "a library": "LOAD '$libdir/hstore'",
    "a preloaded library": "ALTER ROLE {role} SET session_preload_libraries = 'hstore'",
    "an event trigger": "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
    "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION e()",
    "ALTER SYSTEM": "ALTER SYSTEM SET archive_command = 'id'",
    "a reload": "SELECT pg_reload_conf()",
    "a setting of the superuser": "SET session_replication_role = replica",
    "an extension's function": "CREATE OR REPLACE FUNCTION public.exist(public.hstore, text) RETURNS bool "
    "LANGUAGE sql AS 'SELECT true'",
    "a setting of the log": "SET log_statement = 'none'",
    "a setting of the superuser's role": "ALTER ROLE postgres SET search_path = evil",
    "a setting of all roles": "ALTER ROLE ALL SET search_path = evil",
    "being superuser": "ALTER ROLE {role} SUPERUSER",
    "passing over policies": "ALTER ROLE {role} BYPASSRLS",
    "reading all changes": "ALTER ROLE {role} REPLICATION",
    "making roles": "CREATE ROLE another",
    "making databases": "CREATE DATABASE another",
    "acting as the superuser": "SET ROLE postgres",
    "logging in as the superuser": "SET SESSION AUTHORIZATION postgres",
    "a membership": "GRANT postgres TO {role}",
    "a powerful membership": "GRANT pg_execute_server_program TO {role}",
    "the passwords": "SELECT rolpassword FROM pg_authid",
    "the catalog": "UPDATE pg_authid SET rolsuper = true WHERE rolname = current_user",
    "pg_hba.conf": "SELECT * FROM pg_hba_file_rules",
    "a tablespace": "CREATE TABLESPACE t LOCATION '/run/postgresql'",
    "the superuser's sessions": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    "a foreign data wrapper": "CREATE FOREIGN DATA WRAPPER w",
    "a publication of all tables": "CREATE PUBLICATION p FOR ALL TABLES",
    "an access method": "CREATE ACCESS METHOD a TYPE INDEX HANDLER bthandler",
    "another's database": "ALTER DATABASE template1 IS_TEMPLATE false",
    "a restore point": "SELECT pg_create_restore_point('r')",
    "a replication slot": "SELECT pg_create_physical_replication_slot('s')",
}


@pytest.mark.attack(kind="rights of a role", on="PostGIS", proof="test_postgresql_does_it_for_a_role_that_is_superuser")
@pytest.mark.parametrize("sql", FORBIDDEN.values(), ids=FORBIDDEN)
def test_postgresql_refuses_the_role(untouched: Pi, sql: str) -> None:
    code, answer = untouched.tries(sql.format(role=untouched.role.name))
    assert code != 0, answer
    assert re.search(DENIED, answer), answer


@pytest.mark.parametrize("sql", FORBIDDEN.values(), ids=FORBIDDEN)
def test_postgresql_does_it_for_a_role_that_is_superuser(careless: Pi, sql: str) -> None:
    careless.does(sql.format(role=careless.role.name))


def test_untrusted_languages_are_not_even_there(untouched: Pi) -> None:
    code, answer = untouched.tries("CREATE LANGUAGE plpython3u")
    assert (code, "is not available" in answer) == (1, True), answer


@pytest.mark.parametrize("extension", [pytest.param("dblink", marks=SOCKET), "postgres_fdw"])
def test_the_role_does_not_get_at_the_superusers_socket_through_the_server(pi: Pi, extension: str) -> None:
    pi.wants("hstore", extension).run()
    socket = "host=/run/postgresql user=postgres dbname=postgres"
    query = {
        "dblink": f"SELECT * FROM dblink('{socket}', 'SELECT 1') t (n int)",
        "postgres_fdw": "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '/run/postgresql')",
    }[extension]
    code, answer = pi.tries(query)
    assert code != 0
    assert re.search(DENIED, answer), answer
    if extension == "dblink":
        assert pi.server.sql(query, pi.database.name) == "1"


# Who may connect where ----------------------------------------------------------------------------------------------


@pytest.mark.attack(kind="other databases", on="PostGIS")
@pytest.mark.parametrize("database", ["another role's", "template1"])
def test_the_role_reaches_no_database_but_its_own(pi: Pi, make_pi: MakePi, database: str) -> None:
    if database == "another role's":
        other = make_pi()
        other.run()
        database = other.database.name
    code, answer = pi.tries("SELECT 1", database)
    assert code != 0
    assert "permission denied for database" in answer
    pi.server.sql(f"GRANT CONNECT ON DATABASE {database} TO PUBLIC")
    assert pi.tries("SELECT 1", database) == (0, "1")
    pi.server.sql(f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")


LOG = "public.pg_get_wal_records_info(pg_lsn, pg_lsn)"
IN_POSTGRES = {
    "SELECT FROM public.pg_get_wal_records_info(pg_current_wal_flush_lsn() - 4096, pg_current_wal_flush_lsn())": (
        f"EXECUTE ON FUNCTION {LOG}"
    ),
    "CREATE TABLE public.mine (); DROP TABLE public.mine": "CREATE ON SCHEMA public",
    "CREATE TABLE poppyfield.mine (); DROP TABLE poppyfield.mine": "CREATE ON SCHEMA poppyfield",
    "CREATE SCHEMA mine; DROP SCHEMA mine": "CREATE ON DATABASE postgres",
    "CREATE TEMPORARY TABLE mine ()": "TEMPORARY ON DATABASE postgres",
}
"""What a role would do where it may ask which tables were written, and the right that it lacks."""


@pytest.mark.attack(kind="other databases", on="PostGIS")
@pytest.mark.parametrize("statement", IN_POSTGRES)
def test_where_the_role_asks_which_tables_were_written_it_does_no_more(pi: Pi, statement: str) -> None:
    written = "poppyfield.written_tables(pg_current_wal_flush_lsn() - 4096, pg_current_wal_flush_lsn())"
    assert pi.tries(f"SELECT count(*) > 0 FROM {written}", "postgres") == (0, "t")
    code, answer = pi.tries(statement, "postgres")
    assert code != 0 and "permission denied" in answer
    right, role = IN_POSTGRES[statement], postgres.identifier(pi.role.name)
    superuser = f"{{}} {right} {{}} {role}"
    pi.server.sql(superuser.format("GRANT", "TO"), "postgres")
    assert pi.tries(statement, "postgres")[0] == 0
    pi.server.sql(superuser.format("REVOKE", "FROM"), "postgres")


def test_the_role_may_make_in_its_own_database_what_projects_need(pi: Pi) -> None:
    pi.does("CREATE TEMP TABLE t (); CREATE SCHEMA app; CREATE TABLE public.plots ()")


def test_pg_hba_lets_no_role_in_by_the_socket_or_for_replication(pi: Pi) -> None:
    by_socket = [*PSQL, "--host=/run/postgresql", "--dbname=postgres", "--command=SELECT 1"]
    for user, name in (("postgres", pi.role.name), ("nobody", "postgres")):
        code, output = pi.server.container.exec_run([*by_socket, f"--username={name}"], user=user)
        assert code != 0
        assert re.search(b"no pg_hba.conf entry|Peer authentication failed", output)
    code, output = pi.tries("IDENTIFY_SYSTEM", f"dbname={pi.database.name} replication=true")
    assert code != 0
    assert "no pg_hba.conf entry for replication" in output or "permission denied" in output


@pytest.mark.attack(kind="rights of a role", on="PostGIS")
def test_memberships_by_which_a_role_becomes_superuser_are_taken_from_it(pi: Pi) -> None:
    program = "CREATE TEMP TABLE t (n int); COPY t FROM PROGRAM 'id -u'; SELECT n FROM t"
    pi.server.sql(f"GRANT pg_execute_server_program, postgres TO {pi.role.name}")
    assert pi.does(program) == str(UID)
    powers = ("pg_execute_server_program", "postgres")
    told = [f"role {pi.role.name}: no longer a member of {power}" for power in powers]
    assert pi.check() == told
    assert pi.run() == told
    assert re.search(DENIED, pi.tries(program)[1])
    assert re.search(DENIED, pi.tries("SET ROLE postgres")[1])
