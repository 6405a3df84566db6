"""The PostGIS image from outside: its containers run as the product runs them, on data folders of their own."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import docker
import pytest
from ansible.module_utils.poppyfield.postgis import postgres

from tests.images.postgis_server import PASSWORD, UID, Server, Start, owned_folder, write


@pytest.fixture
def start(starter: Start, tmp_path: Path) -> Start:
    """Return what makes a server on the test's own data folder."""
    data = owned_folder(tmp_path / "data")
    return lambda **options: starter(data, **options)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder of first-start files."""
    return owned_folder(tmp_path / "first-start")


@pytest.fixture(scope="module")
def server(starter: Start, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """Return one server for the tests that leave it as it is, with a database `features`."""
    server = starter(owned_folder(tmp_path_factory.mktemp("server") / "data")).ready()
    server.sql("CREATE DATABASE features")
    return server


# A first start from nothing -----------------------------------------------------------------------------------------


def test_a_new_cluster_has_checksums_utf8_and_a_sorting_that_no_upgrade_changes(server: Server) -> None:
    assert server.setting("data_checksums") == "on"
    assert server.setting("server_encoding") == "UTF8"
    locale = server.sql("SELECT datcollate FROM pg_database WHERE datname = 'features'")
    assert locale == "C.UTF-8"


def test_the_server_is_not_root_and_has_no_capability(server: Server) -> None:
    _, status = server.execute("cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.decode().splitlines())
    assert fields["Name"] == "postgres"
    assert fields["Uid"].split() == [str(UID)] * 4
    assert fields["CapEff"].strip("0") == ""


def test_docker_finds_it_healthy_by_the_images_own_health_check(server: Server) -> None:
    def healthy() -> bool:
        server.container.reload()
        return bool(server.container.attrs["State"]["Health"]["Status"] == "healthy")

    server.until(healthy, "verdict 'healthy' of Docker")


@pytest.mark.parametrize(
    "moment",
    ["creating directory", "running bootstrap script", "performing post-bootstrap", "syncing data", "starting Postgre"],
)
def test_a_first_start_that_is_killed_is_begun_again_or_complete(start: Start, moment: str) -> None:
    server = start()
    server.said(moment)
    server.container.kill()
    server.container.wait()
    server.start().ready()
    assert server.sql("SELECT count(*) FROM pg_database") == "3"
    assert not (server.data / "cluster.partial").exists()


# Files of the first start -------------------------------------------------------------------------------------------


def dump_of(server: Server, database: str) -> bytes:
    code, dump = server.execute("pg_dump", "--format=custom", f"--dbname={database}")
    assert code == 0, dump
    return dump


def test_files_of_each_kind_are_loaded_once_in_the_order_of_their_names(
    start: Start, files: Path, server: Server
) -> None:
    server.sql("CREATE DATABASE office")
    server.sql("CREATE ROLE only_here; CREATE EXTENSION postgis", "office")
    server.sql(
        "CREATE TABLE plots (id serial, at geometry(Point, 2154)); ALTER TABLE plots OWNER TO only_here", "office"
    )
    server.sql("INSERT INTO plots (at) VALUES (ST_SetSRID(ST_MakePoint(700000, 6600000), 2154))", "office")
    write(files, "09-postgres.roles.sql", "CREATE ROLE reader;")
    write(files, "10-gis.dump", dump_of(server, "office"))
    write(files, "20-gis.rights.sql", "GRANT SELECT ON plots TO reader; INSERT INTO plots VALUES (7, NULL);")
    write(files, "30-fleet-b.sql.gz", gzip.compress(b"CREATE TABLE visits (n int);\nINSERT INTO visits VALUES (1);\n"))
    loaded = start(first_start=files).ready()
    expected = [
        ("gis", "SELECT id, ST_AsText(at) FROM plots ORDER BY id", "1|POINT(700000 6600000)\n7|"),
        ("gis", "SELECT has_table_privilege('reader', 'plots', 'SELECT')", "t"),
        ("fleet-b", "SELECT n FROM visits", "1"),
    ]
    for database, query, answer in expected:
        assert loaded.sql(query, database) == answer
    loaded.container.restart()
    loaded.ready()
    for database, query, answer in expected:
        assert loaded.sql(query, database) == answer


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "gis.sql",
            b"CREATE TABLE t (n int);\nINSERT INTO nowhere VALUES (1);\n",
            'gis.sql:2: ERROR:  relation "nowhere"',
        ),
        ("gis.sql.gz", gzip.compress(b"CREATE TABLE t (n int);\n")[:-4], "unexpected end of file"),
        ("gis.dump", b"PGDMP this is none", "pg_restore: error: unsupported version"),
        ("gis.dump", b"", "pg_restore: error: input file is too short"),
    ],
    ids=["an error in SQL", "a cut-off gzip file", "a broken dump", "an empty dump"],
)
def test_a_file_that_cannot_be_loaded_is_named_and_leaves_nothing_half_made(
    start: Start, files: Path, name: str, content: bytes, words: str
) -> None:
    write(files, "05-gis.sql", "CREATE TABLE before (n int);")
    write(files, name, content)
    server = start(first_start=files)
    why = server.failed()
    assert why.startswith(f"/etc/poppyfield/first-start/{name} could not be loaded: ")
    assert words in why
    assert why.strip() in server.log()
    # It waits for somebody, instead of ending and being started by Docker for ever.
    server.container.reload()
    assert (server.container.status, server.container.attrs["RestartCount"]) == ("running", 0)
    assert not list(server.data.glob("cluster*/"))
    (files / name).unlink()
    server.container.restart()
    server.ready()
    assert server.sql("SELECT count(*) FROM before", "gis") == "0"


@pytest.mark.parametrize("name", ["gis.backup", "README", "10-.sql", "no good.sql", "sql.gz"])
def test_a_name_that_says_no_database_or_kind_is_refused_before_anything_is_made(
    start: Start, files: Path, name: str
) -> None:
    write(files, name, "SELECT 1;")
    server = start(first_start=files)
    assert f"/etc/poppyfield/first-start/{name}: the name must be" in server.failed()
    assert not list(server.data.glob("cluster.partial*"))


def test_a_file_that_the_server_may_not_read_is_named(start: Start, files: Path) -> None:
    write(files, "gis.sql", "SELECT 1;")
    os.chown(files / "gis.sql", 0, 0)
    why = start(first_start=files).failed()
    assert "/etc/poppyfield/first-start/gis.sql is not a file that uid 5432 can read" in why


def stuck_in_the_second_file(start: Start, files: Path) -> Server:
    write(files, "10-gis.sql", "CREATE TABLE visits (n int); INSERT INTO visits VALUES (1);")
    write(files, "20-gis.sql", "SELECT pg_sleep(3600);")
    server = start(first_start=files)
    server.said("loading /etc/poppyfield/first-start/20-gis.sql")
    return server


def test_a_load_that_is_killed_half_way_is_begun_again(start: Start, files: Path) -> None:
    server = stuck_in_the_second_file(start, files)
    server.container.kill()
    server.container.wait()
    assert not (server.data / "cluster").exists()
    write(files, "20-gis.sql", "INSERT INTO visits VALUES (2);")
    server.start().ready()
    assert server.sql("SELECT n FROM visits ORDER BY n", "gis") == "1\n2"


def test_during_a_load_nobody_is_served_and_a_stop_is_heard_at_once(start: Start, files: Path) -> None:
    server = stuck_in_the_second_file(start, files)
    assert server.execute("healthcheck")[0] != 0
    code, answer = server.over_network("SELECT 1", "postgres", PASSWORD)
    assert code != 0
    assert "Connection refused" in answer
    # Not heard, it would be killed after that time, with code 137.
    server.container.stop(timeout=40)
    assert server.container.wait()["StatusCode"] == 1


def test_a_password_in_a_statement_that_failed_does_not_reach_the_log(start: Start, files: Path) -> None:
    write(files, "postgres.sql", f"CREATE ROLE walker PASSWORD '{PASSWORD}' LOGIN NONSENSE;")
    server = start(first_start=files)
    assert PASSWORD not in server.failed()
    assert PASSWORD not in server.log()


def test_a_restored_database_is_adopted_by_its_owner_with_all_that_is_in_it(
    start: Start, files: Path, server: Server
) -> None:
    server.sql("CREATE DATABASE restored")
    server.sql(
        "CREATE EXTENSION postgis; CREATE SCHEMA survey; CREATE TYPE survey.state AS ENUM ('new', 'done');"
        "CREATE DOMAIN survey.share AS real CHECK (value <= 1); CREATE TYPE survey.pair AS (a int, b int);"
        "CREATE TABLE survey.plots (id serial, n int GENERATED ALWAYS AS IDENTITY, state survey.state, at geometry);"
        "CREATE SEQUENCE survey.numbers; CREATE VIEW survey.done AS SELECT * FROM survey.plots WHERE state = 'done';"
        "CREATE MATERIALIZED VIEW survey.count AS SELECT count(*) FROM survey.plots;"
        "CREATE FUNCTION survey.one(int) RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE PROCEDURE survey.two() LANGUAGE sql AS 'SELECT 2'",
        "restored",
    )
    write(files, "10-gis.dump", dump_of(server, "restored"))
    # A sequence that is older than its table.
    write(files, "20-gis.sql", "CREATE TABLE survey.trees (id serial);")
    loaded = start(first_start=files).ready()
    roles = [postgres.Role("walker", PASSWORD)]
    databases = [postgres.Database("gis", "walker", ("postgis", "hstore"))]

    def plan() -> list[Any]:
        state = postgres.parse_state(loaded.script(postgres.state_script(roles, databases)))
        return list(postgres.plan_changes(roles, databases, state, {"walker": b"salt of the test"}))

    for change in plan():
        loaded.script(change.script)
    assert plan() == []
    code, answer = loaded.over_network(
        "ALTER TABLE survey.plots ADD note text; ALTER VIEW survey.done RENAME TO ended;"
        "ALTER TYPE survey.state RENAME TO stage; ALTER DOMAIN survey.share RENAME TO part;"
        "ALTER TYPE survey.pair RENAME TO two; ALTER SEQUENCE survey.numbers RENAME TO n;"
        "REFRESH MATERIALIZED VIEW survey.count; ALTER FUNCTION survey.one RENAME TO first;"
        "ALTER PROCEDURE survey.two RENAME TO second; ALTER TABLE survey.trees ADD note text;"
        "INSERT INTO survey.plots (state) VALUES ('done') RETURNING id, n",
        "walker",
        PASSWORD,
        "gis",
    )
    assert (code, answer) == (0, "1|1")
    owner = "SELECT proowner::regrole FROM pg_proc WHERE proname = 'postgis_lib_version'"
    assert loaded.sql(owner, "gis") == "postgres"


# Who may connect ----------------------------------------------------------------------------------------------------


def test_a_role_logs_in_over_the_network_with_its_password_only(server: Server) -> None:
    server.sql(f"CREATE ROLE walker LOGIN PASSWORD '{PASSWORD}'")
    assert server.sql("SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname = 'walker'") == "t"
    assert server.over_network("SELECT current_user", "walker", PASSWORD) == (0, "walker")
    code, answer = server.over_network("SELECT 1", "walker", "another")
    assert code != 0
    assert "password authentication failed" in answer
    code, answer = server.psql("SELECT 1", "--username=walker", "--dbname=postgres")
    assert code != 0
    assert "no pg_hba.conf entry" in answer


def test_the_superuser_cannot_log_in_over_the_network_even_with_a_password(start: Start) -> None:
    server = start().ready()
    server.sql(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
    code, answer = server.over_network("SELECT 1", "postgres", PASSWORD)
    assert code != 0
    assert "pg_hba.conf rejects connection" in answer


# Losing power, stopping, hanging ------------------------------------------------------------------------------------


def test_a_stop_is_clean_and_the_next_start_recovers_nothing(start: Start) -> None:
    server = start().ready()
    server.sql("CREATE TABLE visits AS SELECT 1 AS n")
    server.container.stop(timeout=40)
    assert server.container.wait()["StatusCode"] == 0
    assert "database system is shut down" in server.log()
    server.start().ready()
    assert server.sql("SELECT n FROM visits") == "1"
    assert "recovery" not in server.log()


def test_what_was_committed_survives_a_kill(start: Start) -> None:
    server = start().ready()
    server.sql("CREATE TABLE visits AS SELECT 1 AS n")
    server.container.kill()
    server.container.wait()
    server.start().ready()
    assert server.sql("SELECT n FROM visits") == "1"
    assert "automatic recovery in progress" in server.log()


def test_a_lock_that_a_loss_of_power_emptied_stops_no_start(start: Start) -> None:
    server = start().ready()
    server.sql("CREATE TABLE visits AS SELECT 1 AS n")
    server.container.kill()
    server.container.wait()
    (server.data / "cluster/postmaster.pid").write_text("", encoding="utf-8")
    server.start().ready()
    assert server.sql("SELECT n FROM visits") == "1"


def test_a_server_that_hangs_is_not_healthy_and_the_check_ends_by_itself(start: Start) -> None:
    server = start().ready()
    server.container.kill(signal="STOP")
    killed = 137
    assert server.execute("timeout", "--signal=KILL", "50", "healthcheck")[0] not in (0, killed)
    server.container.kill(signal="CONT")


DURABLE = ["fsync", "full_page_writes", "synchronous_commit"]


@pytest.mark.parametrize("name", DURABLE)
def test_what_keeps_the_data_is_on(server: Server, name: str) -> None:
    assert server.setting(name) == "on"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fsync", ["-c", "fsync=off"]),
        ("fsync", ["-F"]),
        ("full_page_writes", ["--full-page-writes=no"]),
        ("synchronous_commit", ["-csynchronous_commit=0"]),
    ],
)
def test_a_command_line_that_switches_it_off_is_refused_by_name(start: Start, name: str, options: list[str]) -> None:
    server = start(command=["postgres", *options])
    assert f"{name} is off" in server.ended()
    assert not list(server.data.glob("cluster.partial*"))


def test_a_cluster_in_which_it_was_switched_off_is_refused_by_name(start: Start) -> None:
    server = start().ready()
    server.sql("ALTER SYSTEM SET fsync = off")
    server.container.stop()
    assert "fsync is off" in server.start().ended()


# Settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "buffers"), [("512m", "64MB"), ("1g", "128MB")])
def test_memory_settings_follow_the_containers_limit(start: Start, limit: str, buffers: str) -> None:
    assert start(mem_limit=limit).ready().setting("shared_buffers") == buffers


def test_the_limit_of_cgroup_v2_counts_too(start: Start, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{256 * 1024 * 1024}\n")
    server = start(mounts=[docker.types.Mount("/sys/fs/cgroup/memory.max", str(tmp_path / "memory.max"), type="bind")])
    assert server.ready().setting("shared_buffers") == "32MB"


def test_the_memory_of_a_session_depends_on_how_many_there_may_be(start: Start) -> None:
    options = {"mem_limit": "2g", "environment": {"POSTGIS_MEMORY_PERCENT": "50"}}
    server = start(command=["postgres", "-c", "max_connections=20"], **options).ready()
    assert server.setting("work_mem") == "12MB"
    assert server.setting("shared_buffers") == "512MB"


def test_the_users_own_setting_wins(start: Start) -> None:
    server = start(command=["postgres", "-c", "shared_buffers=48MB", "-c", "checkpoint_timeout=7min"]).ready()
    assert server.setting("shared_buffers") == "48MB"
    assert server.setting("checkpoint_timeout") == "7min"


def test_a_share_of_the_memory_that_is_no_number_is_refused(start: Start) -> None:
    assert "POSTGIS_MEMORY_PERCENT must be" in start(environment={"POSTGIS_MEMORY_PERCENT": "0.25"}).ended()


# Data folders that do not fit ---------------------------------------------------------------------------------------


def test_a_data_folder_of_another_user_is_refused_with_the_remedy(starter: Start, tmp_path: Path) -> None:
    server = starter(owned_folder(tmp_path / "data", uid=0))
    assert "its owner must be 5432:5432, its mode 0700" in server.ended()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("cluster/PG_VERSION", "9\n", "the cluster was made by PostgreSQL 9; this is PostgreSQL 1"),
        ("cluster.architecture", "riscv64\n", "was made on riscv64; this is"),
    ],
)
def test_a_cluster_of_another_release_or_architecture_is_refused(
    start: Start, file: str, content: str, message: str
) -> None:
    server = start().ready()
    server.container.stop()
    (server.data / file).write_text(content)
    assert message in server.start().ended()


def test_a_second_server_on_the_same_data_folder_is_refused(start: Start) -> None:
    first = start().ready()
    assert "another container uses" in start().ended()
    assert first.sql("SELECT 1") == "1"


# What a map server's database is for --------------------------------------------------------------------------------

SQUARE = "ST_GeomFromText('POLYGON((0 0, 0 1, 1 1, 1 0, 0 0))', 2154)"
WITH_RASTER = f"WITH r AS (SELECT ST_AsRaster({SQUARE}, 4, 4, '8BUI', 42) AS rast)"
FEATURES = [
    ("postgis", "SELECT ST_AsText(ST_MakePoint(1, 2))", "POINT(1 2)"),
    # The origin of Lambert-93 is at 3 degrees east, 46.5 degrees north, by definition.
    (
        "postgis",
        "SELECT ST_AsText(ST_Transform(ST_SetSRID(ST_MakePoint(3, 46.5), 4326), 2154), 2)",
        "POINT(700000 6600000)",
    ),
    (
        "postgis",
        "SELECT ST_AsText(ST_Transform(ST_SetSRID(ST_MakePoint(700000, 6600000), 2154), 4326), 6)",
        "POINT(3 46.5)",
    ),
    # Half the Earth's circumference at the equator: pi times 6378137 m.
    (
        "postgis",
        "SELECT ST_AsText(ST_Transform(ST_SetSRID(ST_MakePoint(180, 0), 4326), 3857), 2)",
        "POINT(20037508.34 0)",
    ),
    ("postgis", "SELECT ST_AsGeoJSON(ST_MakePoint(1, 2))", '{"type":"Point","coordinates":[1,2]}'),
    ("postgis", 'SELECT ST_AsText(ST_GeomFromGeoJSON(\'{"type":"Point","coordinates":[1,2]}\'))', "POINT(1 2)"),
    ("postgis", "SELECT ST_AsText(ST_Force3D(ST_MakePoint(1, 2)))", "POINT Z (1 2 0)"),
    (
        "postgis",
        "SELECT position('plots'::bytea IN ST_AsMVT(t, 'plots')) > 0 FROM"
        f" (SELECT ST_AsMVTGeom({SQUARE}, ST_MakeEnvelope(0, 0, 2, 2, 2154)) AS geom, 7 AS id) t",
        "t",
    ),
    ("postgis", f"SELECT round(ST_Area(ST_Buffer({SQUARE}, 1, 'join=mitre'))::numeric, 6)", "9.000000"),
    ("postgis", "SELECT ST_IsValid(ST_MakeValid('POLYGON((0 0, 1 1, 1 0, 0 1, 0 0))'))", "t"),
    # A minute of latitude is a nautical mile, 1852 m, to within half a percent.
    ("postgis", "SELECT ST_Distance('POINT(0 45)'::geography, 'POINT(0 46)') / 60 / 1852 BETWEEN 0.995 AND 1.005", "t"),
    ("postgis", "SELECT ST_AsText(ST_GeomFromGML('<gml:Point><gml:pos>1 2</gml:pos></gml:Point>'))", "POINT(1 2)"),
    ("postgis_sfcgal", f"SELECT ST_Volume(ST_MakeSolid(ST_Extrude({SQUARE}, 0, 0, 2)))", "2"),
    ("postgis_raster", f"{WITH_RASTER} SELECT (ST_SummaryStats(rast)).sum FROM r", "672"),
    (
        "postgis_raster",
        f"{WITH_RASTER} SELECT ST_Value(back, 2, 3), ST_SRID(back) FROM r, ST_FromGDALRaster(ST_AsTIFF(rast)) AS back",
        "42|2154",
    ),
    ("postgis_raster", f"{WITH_RASTER} SELECT substr(ST_AsPNG(rast), 2, 3) = 'PNG'::bytea FROM r", "t"),
    ("postgis_raster", f"{WITH_RASTER} SELECT ST_SRID(ST_Transform(rast, 3857)) FROM r", "3857"),
    (
        "postgis_topology",
        "SELECT topology.CreateTopology('fields', 2154) > 0;"
        f" SELECT count(*) FROM topology.TopoGeo_AddPolygon('fields', {SQUARE});"
        " SELECT ST_Area(topology.ST_GetFaceGeometry('fields', 1))",
        "t\n1\n1",
    ),
    (
        "pgrouting",
        "SELECT string_agg(node::text, '-' ORDER BY path_seq) FROM pgr_dijkstra("
        "'SELECT * FROM (VALUES (1, 1, 2, 1.0), (2, 2, 3, 1.0), (3, 1, 3, 5.0)) e (id, source, target, cost)', 1, 3)",
        "1-2-3",
    ),
    (
        "hstore",
        "SELECT h -> 'species', h ? 'height', h @> 'species=>oak' FROM (VALUES ('species=>oak'::hstore)) v (h)",
        "oak|f|t",
    ),
    ("unaccent", "SELECT unaccent('forêt')", "foret"),
    ("pg_trgm", "SELECT similarity('chêne', 'chênes') > 0.5", "t"),
    (
        "plpgsql",
        "SELECT to_tsvector('french', 'les chevaux mangeaient') @@ to_tsquery('french', 'cheval & manger')",
        "t",
    ),
    (
        "plpgsql",
        "SELECT string_agg(n, ' ' ORDER BY n COLLATE \"fr-x-icu\") FROM (VALUES ('Zoé'), ('abbé'), ('élan')) v (n)",
        "abbé élan Zoé",
    ),
    ("plpgsql", "SELECT '2026-07-01 12:00+00'::timestamptz AT TIME ZONE 'Europe/Paris'", "2026-07-01 14:00:00"),
    ("plpgsql", "SELECT xpath('/a/b/text()', '<a><b>1</b></a>')", "{1}"),
]


@pytest.mark.parametrize(("extension", "query", "answer"), FEATURES)
def test_a_query_that_field_maps_need(server: Server, extension: str, query: str, answer: str) -> None:
    server.sql(f"SET client_min_messages = error; CREATE EXTENSION IF NOT EXISTS {extension} CASCADE", "features")
    assert server.sql(query, "features") == answer


@pytest.mark.parametrize(
    "extension",
    ["btree_gist", "citext", "dblink", "pg_stat_statements", "pgcrypto", "postgres_fdw", "tablefunc", "uuid-ossp"],
)
def test_an_extension_that_comes_with_postgresql_can_be_asked_for(server: Server, extension: str) -> None:
    server.sql(f'CREATE EXTENSION "{extension}"', "features")


def test_a_dump_of_the_whole_server_can_be_written(server: Server) -> None:
    code, dump = server.execute("pg_dumpall", "--globals-only")
    assert code == 0
    assert b"CREATE ROLE postgres" in dump
