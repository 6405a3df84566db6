"""The PostGIS container on a folder of a disk, five clients that commit, and the look at what a cut left.

`sync` is PostgreSQL's: with it off (the control) the container's own entrypoint, which refuses that, is not used.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound

from tests.images.postgis_server import PSQL, Server

NAME = "pf-bench-power-cut"
PATIENCE = 180
"""Seconds for a container that is to serve."""
RESTARTS = 5
CLIENTS = 5
CHECKPOINT_SECONDS = 1.0
LONGEST_NOTE = 6000
"""Characters: beyond some 2,000 a note has pages of its own."""
CONFIG = "config_file=/etc/poppyfield/postgresql.conf"
WITHOUT_SYNC = ("postgres", "-D", "/var/lib/postgresql/data/cluster", "-c", CONFIG, "-c", "fsync=off")
WALKED = """
CREATE TABLE walked (
    client integer, n integer, at geometry(Point, 4326), note text, digest text, PRIMARY KEY (client, n)
);
CREATE INDEX ON walked USING gist (at);
"""
SCHEMA = f"CREATE EXTENSION postgis;{WALKED}"
CHECK = """
CREATE EXTENSION IF NOT EXISTS amcheck;
SELECT bt_index_check(c.oid, true) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p';
SELECT v.* FROM pg_class c, verify_heapam(c.oid) v WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p';
"""
"""What pg_amcheck asks with --heapallindexed; it prints nothing but empty lines where all is well."""
DIGESTS = "SELECT 'damaged: ' || client || '/' || n FROM walked WHERE md5(note) <> digest"


class DatabaseError(Exception):
    """The database did not do what was asked; the message has what it said."""


class Database(Server):
    """The container of the PostGIS image on a data folder, which Docker starts again as on a Pi; one at a time."""

    def __init__(self, image: str, data: Path, *, sync: bool = True) -> None:
        self._client = docker.from_env(timeout=120)
        remove(self._client)
        options: dict[str, Any] = {} if sync else {"entrypoint": list(WITHOUT_SYNC)}
        options |= {"volumes": [f"{data}:/var/lib/postgresql/data"], "restart_policy": {"Name": "always"}}
        super().__init__(self._client, image, data, name=NAME, **options)

    @contextmanager
    def running(self) -> Iterator[Database]:
        """Start it, wait until its health check is content, and remove it at the end; DatabaseError where it is not."""
        try:
            self.start()
            self._until_healthy()
            yield self
            self.container.stop(timeout=60)
        finally:
            remove(self._client)
            self._client.close()

    def _until_healthy(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._is_healthy():
            self.container.reload()
            if self.container.attrs["RestartCount"] > RESTARTS or time.monotonic() > deadline:
                raise DatabaseError(f"It does not serve:\n{self.log(tail=30)}")
            time.sleep(0.05)

    def _is_healthy(self) -> bool:
        try:
            return self.execute("healthcheck")[0] == 0
        except APIError:
            # It ended, and Docker is about to start it again.
            return False

    def sql(self, sql: str, database: str = "postgres") -> str:
        """Run SQL as the superuser; give what it prints. DatabaseError where it fails."""
        code, output = self.psql(sql, f"--dbname={database}")
        if code:
            raise DatabaseError(output)
        return output

    def walk(self, seconds: float, position: Callable[[], int]) -> list[tuple[str, int]]:
        """Let five clients commit for so long, and checkpoints run; give what was acknowledged, and where."""
        deadline = time.monotonic() + seconds
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(_walk, client, deadline, position) for client in range(CLIENTS)]
            while time.monotonic() < deadline:
                self.sql("CHECKPOINT", "gis")
                time.sleep(CHECKPOINT_SECONDS)
            return [commit for client in clients for commit in client.result()]

    def damage(self, database: str) -> str:
        """Give what amcheck says of a database, and of its rows; nothing where all is well."""
        walked = self.sql("SELECT to_regclass('walked') IS NOT NULL", database) == "t"
        return self.sql(CHECK + (DIGESTS if walked else ""), database).strip()


def remove(client: Any) -> None:
    """Remove the container, if there is one."""
    try:
        client.containers.get(NAME).remove(force=True)
    except NotFound:
        return


def _walk(client: int, deadline: float, position: Callable[[], int]) -> list[tuple[str, int]]:
    """Insert one row after the other, each in a transaction of its own, until the deadline."""
    commits = []
    dice = random.Random(client)
    command = ["docker", "exec", "--interactive", NAME, *PSQL, "--dbname=gis"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as psql:
        assert psql.stdin and psql.stdout
        number = 0
        while time.monotonic() < deadline:
            psql.stdin.write(insert(client, number, dice.randint(1, LONGEST_NOTE)))
            if psql.stdout.readline().strip() != str(number):
                raise DatabaseError("A client was not answered.")
            commits.append((f"{client}/{number}", position()))
            number += 1
        psql.stdin.close()
    return commits


def insert(client: int, number: int, length: int) -> str:
    """Give the statement of one row, which is answered with its number; its note does not compress well."""
    note = f"(SELECT left(string_agg(md5(random()::text), ''), {length}) FROM generate_series(0, {length // 32}))"
    at = "ST_SetSRID(ST_MakePoint(random() * 10, 45 + random() * 5), 4326)"
    return (
        f"INSERT INTO walked SELECT {client}, {number}, {at}, note, md5(note) FROM {note} AS made (note) RETURNING n;\n"
    )
