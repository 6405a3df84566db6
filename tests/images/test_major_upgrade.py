"""A major upgrade with the real PostgreSQL 15 and 17: equal by content, taken back, and cut at each step.

What is killed is killed as a loss of power would, right after a step was written down. Each time the old cluster or the
new one serves afterwards, with all rows, and nothing is left that says otherwise.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup import program
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, HealthTiming, Mount, container_body
from ansible.module_utils.poppyfield.postgis import major_upgrade, upgrade_files, upgrade_program
from docker.errors import NotFound

from tests.images import building
from tests.images.postgis_server import Server, owned_folder

Json = dict[str, Any]
NETWORK = f"pf-images-test-upgrade-{os.getpid()}"
PASSWORD = "a password of the role gis"
ROWS = 3000
ROLES = f"""
CREATE ROLE gis LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 20;
CREATE ROLE reader NOLOGIN;
GRANT reader TO gis WITH ADMIN OPTION;
ALTER ROLE gis SET work_mem = '9MB';
CREATE DATABASE gis OWNER gis;
CREATE DATABASE empty ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0 CONNECTION LIMIT 3;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
REVOKE CONNECT ON DATABASE gis FROM PUBLIC;
GRANT CONNECT ON DATABASE gis TO reader;
ALTER DATABASE gis SET statement_timeout = '95s';
ALTER SYSTEM SET log_min_duration_statement = '7s';
"""
CONTENT = """
CREATE EXTENSION postgis;
CREATE EXTENSION postgis_raster;
CREATE EXTENSION postgis_topology;
CREATE EXTENSION pgcrypto;
CREATE EXTENSION pgrouting;
CREATE TABLE observations (id serial PRIMARY KEY, what text, seen timestamptz, place geometry(Point, 4326));
ALTER TABLE observations OWNER TO gis;
GRANT ALL ON observations TO reader;
INSERT INTO observations (what, seen, place)
SELECT md5(n::text), '2026-01-01'::timestamptz + n * interval '1 minute', ST_Point(n % 90, n % 45, 4326)
FROM generate_series(1, {rows}) n;
CREATE INDEX ON observations USING gist (place);
CREATE VIEW north WITH (security_barrier) AS SELECT * FROM observations WHERE ST_Y(place) > 20;
CREATE MATERIALIZED VIEW counted AS SELECT ST_Y(place) AS y, count(*) FROM observations GROUP BY 1;
CREATE TABLE heights AS
SELECT 1 AS id, ST_AddBand(ST_MakeEmptyRaster(40, 30, 2, 48, 0.1, -0.1, 0, 0, 4326), '16BUI'::text, 7.0, 0.0) r;
SELECT AddRasterConstraints('heights', 'r');
SELECT topology.CreateTopology('parcels', 4326);
CREATE TABLE fields (id serial PRIMARY KEY);
SELECT topology.AddTopoGeometryColumn('parcels', 'public', 'fields', 'shape', 'POLYGON');
INSERT INTO fields (shape) SELECT topology.toTopoGeom(ST_MakeEnvelope(x, 0, x + 1, 1, 4326)::geometry, 'parcels', 1)
FROM generate_series(0, 4) x;
INSERT INTO spatial_ref_sys (srid, auth_name, auth_srid, proj4text) VALUES (990001, 'own', 1, '+proj=longlat');
SELECT lo_from_bytea(424242, decode(repeat('00ff', 40000), 'hex'));
GRANT SELECT ON LARGE OBJECT 424242 TO reader;
CREATE SEQUENCE numbers INCREMENT 5 OWNED BY NONE;
SELECT setval('numbers', 100), nextval('observations_id_seq');
ALTER DEFAULT PRIVILEGES FOR ROLE gis GRANT SELECT ON TABLES TO reader;
CREATE FUNCTION area() RETURNS float LANGUAGE sql AS 'SELECT ST_Area(shape) FROM public.fields LIMIT 1';
"""
SEEN = """
SELECT count(*) || md5(string_agg(o::text, ',' ORDER BY id)) FROM observations o
UNION ALL SELECT (ST_SummaryStats(r)).sum::text FROM heights
UNION ALL SELECT sum(ST_Area(shape::geometry))::text FROM fields
UNION ALL SELECT md5(lo_get(424242)::text)
UNION ALL SELECT pg_get_userbyid(relowner) || relacl::text[]::text FROM pg_class WHERE relname = 'fields'
UNION ALL SELECT proj4text FROM spatial_ref_sys WHERE srid = 990001
UNION ALL SELECT last_value::text || is_called FROM numbers
UNION ALL SELECT last_value::text || is_called FROM topology.topology_id_seq
"""
KILLED = """
note = upgrade_program.Journal.note
def cut(self, step, **more):
    if (step, {when!r}) == ({step!r}, "before"):
        os.kill(os.getpid(), signal.SIGKILL)
    note(self, step, **more)
    if (step, {when!r}) == ({step!r}, "after"):
        os.kill(os.getpid(), signal.SIGKILL)
upgrade_program.Journal.note = cut
"""
DIFFERENT = """
settled = upgrade_program.settled_new
def changed(order):
    settled(order)
    upgrade_program.ask(order.new, "gis", {sql!r})
upgrade_program.settled_new = changed
"""
CHANGES = """
UPDATE public.observations SET what = 'other' WHERE id = 7;
SELECT setval('public.numbers', 101);
REVOKE SELECT ON LARGE OBJECT 424242 FROM reader;
ALTER ROLE gis PASSWORD 'another password';
UPDATE pg_catalog.pg_largeobject SET data = 'x' WHERE loid = 424242 AND pageno = 1;
"""
KEPT = "data.before-upgrade-15"


@pytest.fixture(scope="module")
def images() -> tuple[str, str]:
    """The images with PostgreSQL 15 and 17."""
    profiles = ("bookworm", "trixie")
    old, new = (building.build(f"upgrade-{name}.json", name)["postgis"] for name in profiles)
    return old, new


@pytest.fixture(scope="module")
def network(docker_client: Any) -> Iterator[str]:
    made = docker_client.networks.create(NETWORK)
    yield NETWORK
    made.remove()


class Pi:
    """What the program sees of a Pi: a server of PostgreSQL 15 with data, and a map server."""

    def __init__(self, folder: Path, client: Any, images: tuple[str, str], network: str) -> None:
        self.folder, self.client, self.images = folder, client, images
        self.name = f"pf-upgrade-{os.getpid()}-{folder.name}"[:60]
        self.data = folder / "data"
        self.state = folder / "state"
        self.installed = self._install(folder / "upgrade")
        always = {"Name": "always"}
        options = {"network": network, "restart_policy": always}
        options |= {"volumes": {str(self.data): {"bind": "/var/lib/postgresql/data", "mode": "rw"}}}
        self._start = Server(client, images[0], owned_folder(self.data), name=self.name, **options).start
        map_server = {"name": f"{self.name}-map", "init": True, "restart_policy": always}
        client.containers.run(images[0], ["sleep", "infinity"], detach=True, **map_server)
        health = HealthTiming(interval=1, timeout=20, retries=30, start_period=1)
        mounts = (Mount(str(self.data), "/var/lib/postgresql/data", read_only=False),)
        tmpfs = {"/tmp": "mode=1777", "/run/postgresql": "uid=5432,gid=5432,mode=0755"}
        image = client.api.inspect_image(images[1])
        spec = ContainerSpec(
            self.name, "postgis", images[1], network, health=health, mounts=mounts, tmpfs=tmpfs, shm_size=128 << 20
        )
        self.body = container_body(spec, image)

    @staticmethod
    def _install(folder: Path) -> Path:
        for path, text in upgrade_files.program_files(folder).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    def fill(self, rows: int = ROWS) -> None:
        self._start().ready()
        for statement in filter(None, ROLES.strip().split("\n")):
            self.sql(statement, "postgres")
        self.sql(CONTENT.replace("{rows}", str(rows)))

    def remove(self) -> None:
        for ending in ("", "-map", "-candidate", "-upgrade-old", "-upgrade-new", major_upgrade.SET_ASIDE):
            with suppress(NotFound):
                self.client.containers.get(self.name + ending).remove(force=True)

    def order(self, what: str, **other: Any) -> Json:
        order = {
            "what": what,
            "data_folder": str(self.data),
            "postgis": self.name,
            "lizmap": f"{self.name}-map",
            "image": self.images[1],
            "body": self.body,
            "healthy_timeout": 120,
            "state_folder": str(self.state),
            "run_folder": str(self.folder / "run"),
            "backup_state_folder": str(self.folder / "backup"),
        }
        return {**order, **other}

    def go(self, *command: str) -> subprocess.CompletedProcess[str]:
        words = [*(command or (sys.executable, "-I", "-B", str(self.installed))), "--state", str(self.state), "go"]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def do(self, what: str, *, fails: bool = False, **other: Any) -> Json:
        program.write(self.state / major_upgrade.ORDER, self.order(what, fresh=True, **other))
        done = self.go()
        outcome: Json = json.loads((self.state / major_upgrade.OUTCOME).read_text())
        assert bool(done.returncode) is outcome["failed"] is fails, done.stdout + done.stderr
        return outcome

    def do_otherwise(self, what: str, text: str) -> subprocess.CompletedProcess[str]:
        """Have an order carried out by a program that was changed."""
        program.write(self.state / major_upgrade.ORDER, self.order(what, fresh=True))
        beginning = f"import os, signal, sys; sys.path.insert(0, {str(self.installed)!r})"
        imported = f"from {upgrade_program.__name__.rpartition('.')[0]} import upgrade_program"
        launcher = f"{beginning}\n{imported}\n{text}\nsys.exit(upgrade_program.main())"
        return self.go(sys.executable, "-B", "-c", launcher)

    def cut(self, what: str, step: str, when: str) -> None:
        """Kill the program right before a step that was done is written down, or right after that."""
        # PostgreSQL takes a sequence's next values from its WAL after a crash, where they are some ahead.
        self.sql("CHECKPOINT")
        assert self.do_otherwise(what, KILLED.format(step=step, when=when)).returncode == -9

    def lose_power(self) -> None:
        """Let everything end, and do what a start does: Docker starts what it is to start, systemd the program."""
        for container in self.containers():
            if container.status == "running":
                container.kill()
        for container in self.containers():
            if container.attrs["HostConfig"]["RestartPolicy"]["Name"] == "always":
                container.start()
        self.go()

    def containers(self) -> list[Any]:
        return [one for one in self.client.containers.list(all=True) if one.name.startswith(self.name)]

    @property
    def names(self) -> list[str]:
        return sorted(one.name.removeprefix(self.name) for one in self.containers())

    @property
    def server(self) -> Server:
        found = Server.__new__(Server)
        found.data, found.container = self.data, self.client.containers.get(self.name)
        return found.ready()

    def sql(self, sql: str, database: str = "gis") -> str:
        return self.server.sql(sql, database)

    @property
    def version(self) -> int:
        return int(self.sql("SHOW server_version_num", "postgres")) // 10000

    @property
    def map_runs(self) -> bool:
        return bool(self.client.containers.get(f"{self.name}-map").status == "running")

    def folders(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name.startswith(("data", "upgrading")))

    def is_as(self, version: int, seen: str) -> None:
        """See that this version serves, with all that was there, and that nothing of an upgrade is left."""
        assert self.version == version and self.sql(SEEN) == seen and self.map_runs
        upgraded = version == 17
        assert self.folders() == (["data", KEPT] if upgraded else ["data"])
        assert self.names == (["", major_upgrade.SET_ASIDE, "-map"] if upgraded else ["", "-map"])
        left = {path.name for path in self.state.iterdir()} - {major_upgrade.OUTCOME}
        assert left == ({major_upgrade.DONE, major_upgrade.CONTENT} if upgraded else set())


MakePi = Callable[..., Pi]


@pytest.fixture(scope="module")
def make_pi(
    tmp_path_factory: pytest.TempPathFactory, docker_client: Any, images: tuple[str, str], network: str
) -> Iterator[MakePi]:
    """Give what makes a Pi with data; all are removed at the end."""
    made: list[Pi] = []

    def make(rows: int = ROWS) -> Pi:
        made.append(Pi(tmp_path_factory.mktemp("pi"), docker_client, images, network))
        made[-1].fill(rows)
        return made[-1]

    yield make
    for pi in made:
        pi.remove()
        shutil.rmtree(pi.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def pi(make_pi: MakePi) -> Pi:
    """A Pi that each test leaves with PostgreSQL 15."""
    return make_pi()


def test_the_new_server_has_all_that_the_old_one_had_and_goes_back_as_long_as_nothing_was_written(pi: Pi) -> None:
    seen = pi.sql(SEEN)
    outcome = pi.do("upgrade")
    assert (outcome["from"], outcome["to"]) == (15, 17) and outcome["objects"]["rows"] >= ROWS
    pi.is_as(17, seen)
    assert pi.server.over_network("SELECT current_setting('work_mem')", "gis", PASSWORD, "gis") == (0, "9MB")
    assert pi.sql("SELECT postgis_lib_version() = extversion FROM pg_extension WHERE extname = 'postgis'") == "t"
    empty = "SELECT pg_encoding_to_char(encoding), datcollate, datconnlimit FROM pg_database WHERE datname = 'empty'"
    assert pi.sql(empty) == "SQL_ASCII|C|3"
    assert pi.server.setting("log_min_duration_statement") == "7s"
    # A new topology gets a number that none has.
    pi.sql("BEGIN; SELECT topology.CreateTopology('another', 4326); ROLLBACK")
    assert "already" in pi.do("rehearse", fails=True)["said"]
    pi.sql("ALTER SEQUENCE topology.topology_id_seq RESTART 2")
    pi.sql("INSERT INTO observations (id, what) VALUES (-1, 'since')")
    said = pi.do("back", fails=True)["said"]
    assert "observations has 3001 rows, and had 3000" in said and pi.version == 17 and pi.map_runs
    pi.sql("DELETE FROM observations WHERE id = -1")
    pi.sql("SELECT setval('topology.topology_id_seq', 1)")
    pi.do("back")
    pi.is_as(15, seen)
    assert "no earlier cluster" in pi.do("back", fails=True)["said"]


def test_what_is_not_equal_is_noticed_and_the_old_server_serves(pi: Pi) -> None:
    seen = pi.sql(SEEN)
    sql = f"SET allow_system_table_mods = on; {CHANGES}"
    said = pi.do_otherwise("upgrade", DIFFERENT.format(sql=sql)).stdout
    assert "not equal (6)" in said and "PostgreSQL 15 serves as before" in said
    # What is told of them is the first few.
    for words in ("role gis: ", "observations has other values", "large objects has other values"):
        assert words in said
    pi.is_as(15, seen)


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", major_upgrade.STEPS)
def test_cut_at_each_step_the_old_server_serves_or_the_new_one_with_all_rows(pi: Pi, step: str, when: str) -> None:
    seen = pi.sql(SEEN)
    pi.cut("upgrade", step, when)
    if when == "before":
        pi.lose_power()
    else:
        # Nobody restarted the Pi: what systemd does after a kill, or the next run of the playbook.
        pi.go()
    steps = ("nothing", *major_upgrade.STEPS)
    written = step if when == "after" else steps[steps.index(step) - 1]
    is_old = written == "nothing" or major_upgrade.undoes(written)
    pi.is_as(15 if is_old else 17, seen)
    if not is_old:
        pi.do("back")
        pi.is_as(15, seen)


@pytest.mark.long
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", [major_upgrade.LOOKING, major_upgrade.RETURNING])
def test_cut_on_the_way_back_either_serves(pi: Pi, step: str, when: str) -> None:
    seen = pi.sql(SEEN)
    pi.do("upgrade")
    pi.cut("back", step, when)
    pi.lose_power()
    is_back = (step, when) == (major_upgrade.RETURNING, "after")
    pi.is_as(15 if is_back else 17, seen)
    if not is_back:
        pi.do("back")


@pytest.mark.long
def test_a_rehearsal_changes_nothing_also_when_it_is_cut_off(pi: Pi) -> None:
    seen, told = pi.sql(SEEN), pi.do("rehearse")
    assert told["bytes"] > 10_000_000 and told["seconds"] > 0 and "would succeed" in told["said"]
    pi.is_as(15, seen)
    stop = "program.wait_for = lambda there: os.kill(os.getpid(), signal.SIGKILL)"
    assert pi.do_otherwise("rehearse", f"from upgrade_program import program; {stop}").returncode
    killed = "upgrade_program.copy = lambda *_: os.kill(os.getpid(), signal.SIGKILL)"
    assert pi.do_otherwise("rehearse", killed).returncode == -9
    assert "-upgrade-new" in pi.names
    pi.go()
    pi.is_as(15, seen)


@pytest.mark.long
def test_what_cannot_be_carried_over_is_refused_before_anything_changes(pi: Pi) -> None:
    seen = pi.sql(SEEN)
    pi.sql("CREATE DATABASE set_aside ALLOW_CONNECTIONS false", "postgres")
    said = pi.do("upgrade", fails=True)["said"]
    assert "set_aside" in said and "dropdb" in said and "Nothing was changed" in said
    pi.sql("DROP DATABASE set_aside", "postgres")
    (pi.folder / "backup").mkdir()
    (pi.folder / "backup" / "restore.journal").write_text("{}")
    assert "neither kept nor taken back" in pi.do("upgrade", fails=True)["said"]
    shutil.rmtree(pi.folder / "backup")
    assert "already" in pi.do("upgrade", fails=True, image=pi.images[0])["said"]
    pi.is_as(15, seen)


@pytest.mark.long
def test_where_the_new_server_does_not_come_up_the_old_one_serves_again(pi: Pi) -> None:
    seen = pi.sql(SEEN)
    body = {**pi.body, "Env": ["POSTGIS_MEMORY_PERCENT=none"]}
    said = pi.do("upgrade", fails=True, body=body, healthy_timeout=15)["said"]
    assert "did not come up" in said and "The old one serves again" in said
    pi.is_as(15, seen)


@pytest.mark.long
def test_a_million_rows_are_equal_and_the_old_cluster_goes_when_that_is_asked(make_pi: MakePi) -> None:
    pi = make_pi(1_000_000)
    seen = pi.sql(SEEN)
    outcome = pi.do("upgrade")
    assert outcome["objects"]["rows"] > 1_000_000
    pi.is_as(17, seen)
    pi.do("back")
    pi.is_as(15, seen)
    pi.do("upgrade")
    assert "still kept" in pi.do("upgrade", fails=True)["said"]
    pi.do("forget")
    assert pi.version == 17 and pi.sql(SEEN) == seen and pi.folders() == ["data"] and pi.names == ["", "-map"]
    assert "no earlier cluster" in pi.do("back", fails=True)["said"]
