"""The PostGIS container on a folder of a disk, five clients that commit, and the look at what a cut left.

`sync` is PostgreSQL's: with it off (the control) the container's own entrypoint, which refuses that, is not used.
"""

from __future__ import annotations

import os
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

UID = 5432
NAME = "pf-bench-power-cut"
PATIENCE = 180
"""Seconds for a container that is to serve."""
RESTARTS = 5
CLIENTS = 5
CHECKPOINT_SECONDS = 1.0
LONGEST_NOTE = 6000
"""Characters: beyond some 2,000 a note has pages of its own."""
PSQL = ("psql", "--no-psqlrc", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", "--username=postgres")
CONFIG = "config_file=/etc/poppyfield/postgresql.conf"
WITHOUT_SYNC = ("postgres", "-D", "/var/lib/postgresql/data/cluster", "-c", CONFIG, "-c", "fsync=off")
SCHEMA = """
CREATE EXTENSION postgis;
CREATE TABLE walked (
    client integer, n integer, at geometry(Point, 4326), note text, digest text, PRIMARY KEY (client, n)
);
CREATE INDEX ON walked USING gist (at);
"""
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


class Database:
    """The container of the PostGIS image on a data folder; at most one at a time."""

    def __init__(self, image: str, data: Path, *, sync: bool = True) -> None:
        self._client = docker.from_env(timeout=120)
        remove(self._client)
        options: dict[str, Any] = {} if sync else {"entrypoint": list(WITHOUT_SYNC)}
        self._container: Any = self._client.containers.create(
            image,
            name=NAME,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            tmpfs={"/tmp": "mode=1777", "/run/postgresql": f"uid={UID},gid={UID},mode=0755"},
            shm_size="128m",
            restart_policy={"Name": "always"},
            volumes=[f"{data}:/var/lib/postgresql/data"],
            **options,
        )

    @contextmanager
    def running(self) -> Iterator[Database]:
        """Start it, wait until its health check is content, and remove it at the end; DatabaseError where it is not."""
        try:
            self._container.start()
            self._until_healthy()
            yield self
            self._container.stop(timeout=60)
        finally:
            remove(self._client)
            self._client.close()

    def _until_healthy(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self._is_healthy():
            self._container.reload()
            if self._container.attrs["RestartCount"] > RESTARTS or time.monotonic() > deadline:
                raise DatabaseError(f"It does not serve:\n{self._container.logs(tail=30).decode()}")
            time.sleep(0.05)

    def _is_healthy(self) -> bool:
        try:
            return bool(self._container.exec_run("healthcheck").exit_code == 0)
        except APIError:
            # It ended, and Docker is about to start it again.
            return False

    def sql(self, text: str, database: str = "postgres") -> str:
        """Run SQL as the superuser; give what it prints."""
        code, output = self._container.exec_run([*PSQL, "--quiet", f"--dbname={database}", f"--command={text}"])
        if code:
            raise DatabaseError(output.decode())
        return str(output.decode().strip())

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


def data_folder(path: Path) -> Path:
    """Make the data folder, or give the one that is there."""
    if not path.exists():
        path.mkdir(mode=0o700)
        os.chown(path, UID, UID)
    return path


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
            if not psql.stdout.readline().startswith("INSERT"):
                raise DatabaseError("A client was not answered.")
            commits.append((f"{client}/{number}", position()))
            number += 1
        psql.stdin.close()
    return commits


def insert(client: int, number: int, length: int) -> str:
    """Give the statement of one row; what is in its note does not compress well."""
    note = f"(SELECT left(string_agg(md5(random()::text), ''), {length}) FROM generate_series(0, {length // 32}))"
    at = "ST_SetSRID(ST_MakePoint(random() * 10, 45 + random() * 5), 4326)"
    return f"INSERT INTO walked SELECT {client}, {number}, {at}, note, md5(note) FROM {note} AS made (note);\n"
