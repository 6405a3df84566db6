"""The two containers with the demo's sample map, run as the product runs them. All names start with pf-bench-."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from ansible.module_utils.poppyfield.lizmap import sandbox
from ansible.module_utils.poppyfield.postgis import written_tables
from ansible.module_utils.poppyfield.postgis.postgres import Database
from docker.errors import NotFound

from workshop.bench.contenders import PREFIX, Json
from workshop.bench.playbook import ROOT, BenchError

SAMPLE = ROOT / "workshop" / "demo" / "sample"
NETWORK, DATABASE, MAP, OTHER = (f"{PREFIX}stack{part}" for part in ("", "-postgis", "-map", "-other"))
START_SECONDS = 300
LIMIT_SHARE = 0.75
"""Of the memory of the machine, as the roles have it by default."""
HARDENED: Json = {
    "detach": True,
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "network": NETWORK,
}


@contextmanager
def running(
    postgis_image: str, map_image: str, ram: int, projects: Path = SAMPLE / "projects", **map_options: Any
) -> Iterator[tuple[Any, Any, str]]:
    """Give PostGIS's container, the map server's, and the map's address, set up as on a machine with `ram` bytes."""
    client = docker.from_env(timeout=120)
    _clean(client)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        try:
            client.networks.create(NETWORK)
            password = secrets.token_hex(16)
            database = _database(client, postgis_image, Path(folder), ram, password)
            options = {"mem_limit": int(ram * LIMIT_SHARE), **map_options}
            server = _map_server(client, map_image, Path(folder), password, options, projects=projects)
            server.reload()
            port = server.ports["8080/tcp"][0]["HostPort"]
            yield database, server, f"http://127.0.0.1:{port}"
        finally:
            _clean(client)


def _clean(client: docker.DockerClient) -> None:
    for name in (OTHER, MAP, DATABASE):
        try:
            client.containers.get(name).remove(force=True)
        except NotFound:
            continue
    for network in client.networks.list(names=[NETWORK]):
        network.remove()


def _database(client: docker.DockerClient, image: str, folder: Path, ram: int, password: str) -> Any:
    data = folder / "data"
    data.mkdir(mode=0o700)
    os.chown(data, 5432, 5432)
    container: Any = client.containers.run(
        image,
        **HARDENED,
        name=DATABASE,
        mem_limit=int(ram * LIMIT_SHARE),
        tmpfs={"/tmp": "mode=1777", "/run/postgresql": "uid=5432,mode=0755"},  # noqa: S108 - inside the container
        volumes=[f"{data}:/var/lib/postgresql/data", f"{SAMPLE}:/sample:ro"],
        shm_size="256m",
    )
    _until_healthy(container)
    for name, words in (
        ("postgres", ["-c", f"CREATE ROLE gis LOGIN PASSWORD '{password}'", "-c", "CREATE DATABASE gis OWNER gis"]),
        ("postgres", ["-c", written_tables.plan_changes([Database("gis", "gis")], {})[0].script]),
        ("gis", ["-c", "CREATE EXTENSION postgis", "-c", "SET ROLE gis", "-f", "/sample/sample.sql"]),
    ):
        command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", name, *words]
        code, output = container.exec_run(command)
        if code:
            raise BenchError(f"PostGIS did not take the sample: {output.decode()}")
    return container


def _map_server(
    client: docker.DockerClient, image: str, folder: Path, password: str, options: Json, *, projects: Path
) -> Any:
    state, secret = folder / "state", folder / "password"
    state.mkdir()
    secret.write_text(password, encoding="utf-8")
    secret.chmod(0o600)
    folder.chmod(0o755)
    for path in (state, secret):
        os.chown(path, 33, 33)
    arguments: Json = {
        **HARDENED,
        "name": MAP,
        "environment": {"POSTGIS_HOST": DATABASE, "POSTGIS_DATABASE": "gis", "POSTGIS_USER": "gis"},
        "cap_add": list(sandbox.CAPABILITIES),
        "tmpfs": sandbox.TMPFS,
        "ports": {"8080/tcp": ("127.0.0.1", None)},
        "volumes": [
            f"{projects}:/srv/projects:ro",
            f"{state}:/srv/lizmap",
            f"{secret}:/run/secrets/postgis_password:ro",
        ],
        **options,
    }
    container = client.containers.run(image, **arguments)
    _until_healthy(container)
    return container


def _until_healthy(container: Any) -> None:
    deadline = time.monotonic() + START_SECONDS
    while container.exec_run("healthcheck").exit_code:
        if time.monotonic() > deadline:
            raise BenchError(f"{container.name} was not healthy within {START_SECONDS} s:\n{container.logs().decode()}")
        time.sleep(0.5)
