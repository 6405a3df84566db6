"""Gives the tests the image with Lizmap Web Client, and what runs from it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.doubles.lizmap_web_client import archive
from tests.images import building, projects
from tests.images.map_server import PREFIX, MapServer, database
from tests.lizmap.lizmap import ACCOUNTS_PASSWORD, Lizmap, lizmap

Start = Callable[..., AbstractContextManager[Lizmap]]
Query = Callable[..., str]
ARCHIVES = ("lizmap_archive", "lizmap_server_plugin")
RELEASE = {name: value for name in ARCHIVES if (value := os.environ.get(name.upper(), ""))}


@pytest.fixture(scope="session")
def built_images() -> dict[str, str]:
    """Return the references of the images.

    LIZMAP_ARCHIVE and LIZMAP_SERVER_PLUGIN name what one is built with; without them it is built with stand-ins.
    POPPYFIELD_PROFILE is the profile, trixie unless it is given.
    """
    if RELEASE:
        return building.images("images-with-lizmap.json", **RELEASE)
    return building.images("images-with-stand-in.json", **archive.variables(building.NOTES, building.PROFILE))


@pytest.fixture(scope="session")
def image_before() -> str:
    """Return the reference of an image with an older Lizmap, for an upgrade.

    LIZMAP_ARCHIVE_BEFORE names what it is built with. LIZMAP_SERVER_PLUGIN_BEFORE and POPPYFIELD_PROFILE_BEFORE are as
    without _BEFORE unless they are given. POPPYFIELD_LIZMAP_IMAGE_BEFORE names an image instead.
    """
    if named := os.environ.get("POPPYFIELD_LIZMAP_IMAGE_BEFORE"):
        return named
    profile = os.environ.get("POPPYFIELD_PROFILE_BEFORE", building.PROFILE)
    before = {name: os.environ.get(f"{name.upper()}_BEFORE", "") for name in ARCHIVES}
    if before["lizmap_archive"]:
        given = {name: value or RELEASE[name] for name, value in before.items()}
    elif RELEASE or os.environ.get("POPPYFIELD_LIZMAP_IMAGE"):
        pytest.skip("no older release is named: LIZMAP_ARCHIVE_BEFORE=FILE")
    else:
        given = archive.variables(building.NOTES, profile, number=1)
    return building.build("images-before.json", profile=profile, **given)["lizmap"]


@pytest.fixture(scope="session")
def lizmap_image(built_images: dict[str, str]) -> str:
    """Return the reference of the image with Lizmap Web Client."""
    return built_images["lizmap"]


@pytest.fixture(scope="session")
def network(built_images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return a network with PostGIS: the database of the projects, and that of the accounts."""
    accounts = [
        ("postgres", f"CREATE ROLE lizmap LOGIN PASSWORD '{ACCOUNTS_PASSWORD}'"),
        ("postgres", "CREATE DATABASE lizmap OWNER lizmap"),
    ]
    folder = tmp_path_factory.mktemp("postgis")
    with database(built_images["postgis"], folder, projects.POSTGIS_SQL, accounts) as name:
        yield name


@pytest.fixture(scope="session")
def query(network: str) -> Query:
    """Return what asks PostgreSQL, as its superuser: query(SQL, database)."""
    assert network

    def ask(sql: str, name: str = "lizmap") -> str:
        container = docker.from_env().containers.get(f"{PREFIX}postgis")
        command = ["psql", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-At", "-d", name, "-c", sql]
        code, output = MapServer(container).run(*command, user="postgres")
        assert code == 0, output
        return output.strip()

    return ask


@pytest.fixture
def start(lizmap_image: str, network: str, tmp_path: Path) -> Start:
    """Return what starts Lizmap on the test's own folder, with options of docker run."""
    return lambda **options: lizmap(lizmap_image, tmp_path, **{"network": network, **options})


@pytest.fixture(scope="session")
def project_xml(lizmap_image: str) -> str:
    """Return the file of the image that tells Lizmap's version."""
    arguments: dict[str, Any] = {"entrypoint": "cat", "remove": True}
    text = docker.from_env().containers.run(lizmap_image, "/usr/share/lizmap/lizmap/project.xml", **arguments)
    return str(text.decode())


@pytest.fixture(scope="session")
def on(project_xml: str) -> str:
    """Return what shows the projects, as the gallery's rows name it."""
    version = re.search(r"<version[^>]*>([^<]+)", project_xml)
    assert version, project_xml
    return "stand-in" if "-double." in version[1] else f"Lizmap {version[1]}"


@pytest.fixture(scope="session")
def a_release(project_xml: str) -> None:
    """Leave the test out where Lizmap is the stand-in, which cannot do everything."""
    if "-double." in project_xml:
        pytest.skip("the stand-in for Lizmap cannot edit features")
