"""A Pi whose database is upgraded: PostgreSQL 15 with all kinds of content, as the program of the upgrade sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup.this_pi import write
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, HealthTiming, Mount, container_body
from ansible.module_utils.poppyfield.host import program_folder
from ansible.module_utils.poppyfield.postgis import major_upgrade, upgrade_program
from docker.errors import NotFound

from tests.images.postgis_server import Server, owned_folder

Json = dict[str, Any]
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
KEPT = "data.before-upgrade-15"


class UpgradingPi:
    """What the program sees of a Pi: a server of PostgreSQL 15 with data, and a map server."""

    def __init__(self, folder: Path, client: Any, images: tuple[str, str], network: str, memory: Path) -> None:
        """`folder` is its card, `memory` what is not on it."""
        self.folder, self.client, self.images = folder, client, images
        self.network, self.memory = network, memory
        self.name = f"pf-upgrade-{os.getpid()}-{folder.name}"[:60]
        self.data = folder / "data"
        self.state = folder / "state"
        self.installed = self._install(memory / "upgrade")
        health = HealthTiming(interval=1, timeout=20, retries=30, start_period=1)
        mounts = (Mount(str(self.data), "/var/lib/postgresql/data", read_only=False),)
        tmpfs = {"/tmp": "mode=1777", "/run/postgresql": "uid=5432,gid=5432,mode=0755"}
        image = client.api.inspect_image(images[1])
        spec = ContainerSpec(
            self.name, "postgis", images[1], network, health=health, mounts=mounts, tmpfs=tmpfs, shm_size=128 << 20
        )
        self.body = container_body(spec, image)
        self.old_body = container_body(replace(spec, image=images[0]), client.api.inspect_image(images[0]))

    def make_containers(self) -> None:
        """Make those of PostgreSQL 15 and of the map, which Docker starts by itself."""
        always = {"Name": "always"}
        options = {"network": self.network, "restart_policy": always}
        options |= {"volumes": {str(self.data): {"bind": "/var/lib/postgresql/data", "mode": "rw"}}}
        Server(self.client, self.images[0], self.data, name=self.name, **options)
        map_server = {"name": f"{self.name}-map", "init": True, "restart_policy": always}
        self.client.containers.create(self.images[0], ["sleep", "infinity"], **map_server)

    @staticmethod
    def _install(folder: Path) -> Path:
        for path, text in program_folder.program_files(folder, upgrade_program).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return folder

    def fill(self, rows: int = ROWS) -> None:
        owned_folder(self.data)
        self.make_containers()
        for container in self.containers():
            container.start()
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
            "old_body": self.old_body,
            "healthy_timeout": 120,
            "state_folder": str(self.state),
            "run_folder": str(self.memory / "run"),
            "backup_state_folder": str(self.memory / "backup"),
        }
        return {**order, **other}

    def go(self, *command: str) -> subprocess.CompletedProcess[str]:
        words = [*(command or (sys.executable, "-I", "-B", str(self.installed))), "--state", str(self.state), "go"]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    def do(self, what: str, *, fails: bool = False, **other: Any) -> Json:
        write(self.state / major_upgrade.ORDER, self.order(what, fresh=True, **other))
        done = self.go()
        outcome: Json = json.loads((self.state / major_upgrade.OUTCOME).read_text())
        assert bool(done.returncode) is outcome["failed"] is fails, done.stdout + done.stderr
        return outcome

    def do_otherwise(self, what: str, text: str) -> subprocess.CompletedProcess[str]:
        """Have an order carried out by a program that was changed."""
        write(self.state / major_upgrade.ORDER, self.order(what, fresh=True))
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
        return [
            one for one in self.client.containers.list(all=True, ignore_removed=True) if one.name.startswith(self.name)
        ]

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
