"""Gives the tests the images for this machine's own architecture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.images import building
from tests.images.postgis_server import Server, Start


@pytest.fixture(scope="session")
def built_images() -> dict[str, str]:
    """Return the references of the images by name (postgis, lizmap)."""
    return building.images("images.json")


@pytest.fixture(scope="session")
def postgis_image(built_images: dict[str, str]) -> str:
    """Return the reference of the PostGIS image."""
    return built_images["postgis"]


@pytest.fixture(scope="session")
def lizmap_image(built_images: dict[str, str]) -> str:
    """Return the reference of the map server's image, with the map page."""
    return built_images["lizmap"]


@pytest.fixture(scope="module")
def docker_client() -> Iterator[Any]:
    if os.geteuid() != 0:
        pytest.skip("needs root: the containers write into the folders of the tests")
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def starter(docker_client: Any, postgis_image: str) -> Iterator[Start]:
    """Return what makes a server on a data folder; all are removed at the end."""
    servers: list[Server] = []

    def start(data: Path, **options: Any) -> Server:
        first_start = options.pop("first_start", None)
        volumes = {str(data): {"bind": "/var/lib/postgresql/data", "mode": "rw"}}
        if first_start:
            volumes[str(first_start)] = {"bind": "/etc/poppyfield/first-start", "mode": "ro"}
        servers.append(Server(docker_client, postgis_image, data, volumes=volumes, **options))
        return servers[-1].start()

    yield start
    for server in servers:
        server.container.remove(force=True)
