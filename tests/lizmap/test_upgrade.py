"""An upgrade as an operator has it: the module puts one release in the place of an older one, and people look on.

The older release is what LIZMAP_ARCHIVE_BEFORE names. Without it both are the stand-in, whose second version needs what
only its installer makes of what the first one has left.
"""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.images.map_server import PREFIX, MapServer, wait_until
from tests.images.projects import POPPY, WHITE
from tests.lizmap.browser import Browser
from tests.lizmap.conftest import Query
from tests.lizmap.lizmap import ADMIN_PASSWORD, SETTINGS, Lizmap, image_of, prepare
from tests.lizmap.test_https import HERE
from tests.unit.conftest import run_module  # noqa: F401 - a fixture

Json = dict[str, Any]
Run = Callable[..., Json]
INSTALLER = "/usr/share/lizmap/lizmap/install"
VERSION = "fr.poppyfield.version.lizmap-web-client"
PASSWORD = "correct-horse-battery"
ADDRESSES = count(1)
GROUPS = [{"name": "mappers", "label": "Field mappers"}]
REPOSITORIES = [
    {"key": "fields", "label": "Fields of the valley", "view": ["everyone"], "edit": ["mappers"]},
    {"key": "private", "view": ["mappers"]},
]
OPERATORS = {"lizmapConfig": {"services": {"appName": "Vineyard"}}}
BREAKS = b"""<?php
$upgrades = is_file(__DIR__.'/../var/config/installer.ini.php');
register_shutdown_function(function () use ($upgrades) {
    if ($upgrades) {
        fwrite(STDERR, "the upgrade breaks\\n");
        exit(1);
    }
});
require __DIR__.'/installer-of-the-release.php';
"""


class Pi:
    """What is on a Pi, and the modules that the role calls there."""

    def __init__(self, folder: Path, network: str, accounts: str, run: Run) -> None:
        self.folder = folder
        self.run = run
        self.name = f"{PREFIX}upgrade"
        (folder / "anna").write_text(PASSWORD)
        self.options = {
            "name": self.name,
            "network": network,
            "network_alias": self.name,
            "projects_folder": str(folder / "projects"),
            "config_folder": str(folder / "state"),
            "secrets": prepare(folder, OPERATORS),
            "accounts": accounts,
            "bind_address": "127.0.0.1",
            "port": free_port(),
            "trusted_proxies": HERE.split(),
            "database": {"name": "gis", "user": "gis"},
            "qgis_workers": 1,
            "memory_limit_share": 0,
            "prove_beside": "always",
            "health": {"interval": 1},
        }

    def deploy(self, image: str) -> Json:
        """Have this image serve."""
        return self.run("lizmap_container", image=image, **self.options)

    def keep_accounts(self) -> list[Json]:
        """Have the groups, users and repositories of the inventory."""
        who = {"email": "anna@example.org", "password_file": str(self.folder / "anna"), "groups": ["mappers"]}
        users = [{"login": "anna", **who}, {"login": "bruno", **who, "state": "disabled"}]
        return self._purge(GROUPS, users, REPOSITORIES)

    def remove_accounts(self) -> list[Json]:
        """Have none."""
        return self._purge([], [], [])

    def _purge(self, groups: list[Json], users: list[Json], repositories: list[Json]) -> list[Json]:
        done = [
            self.run("lizmap_group", container=self.name, groups=groups, purge=True),
            self.run("lizmap_user", container=self.name, users=users, purge=True),
            self.run("lizmap_repository", container=self.name, repositories=repositories, purge=True),
        ]
        assert not [result["msg"] for result in done if result.get("failed")]
        return done

    @property
    def server(self) -> Lizmap:
        """Give the container that serves."""
        return Lizmap(docker.from_env().containers.get(self.name))

    def states(self) -> list[str]:
        """Name the versions that have a state."""
        return sorted(path.name for path in (self.folder / "state").iterdir() if path.name[0].isdigit())


def free_port() -> int:
    """Give a port that nobody listens at."""
    with socket.socket() as connection:
        connection.bind(("127.0.0.1", 0))
        port: int = connection.getsockname()[1]
        return port


@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.long), "postgis"])
def pi(
    request: pytest.FixtureRequest,
    query: Query,
    network: str,
    run_module: Run,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> Iterator[Pi]:
    """Return a Pi without a map server, with the accounts in each place."""
    query("DROP SCHEMA IF EXISTS lizmap CASCADE")
    made = Pi(tmp_path, network, request.param, run_module)
    yield made
    client = docker.from_env()
    for container in client.containers.list(all=True, ignore_removed=True, filters={"name": made.name}):
        container.remove(force=True)


@pytest.fixture
def served(pi: Pi, image_before: str) -> Pi:
    """Return one on which the older release has served for a while, and an administrator has changed something."""
    done = pi.deploy(image_before)
    assert not done.get("failed"), done["msg"]
    pi.keep_accounts()
    change = ("-e", "/^wmsMaxHeight=/d", "-e", "s|^\\[services\\]|&\\nwmsMaxHeight=1234|")
    assert pi.server.run("sed", "--in-place", *change, f"{SETTINGS}/lizmapConfig.ini.php")[0] == 0
    assert seen(pi.server) == WANTED
    return pi


@pytest.fixture
def breaking_image(lizmap_image: str) -> Iterator[str]:
    """Return the newer release with an installer that does all of an upgrade, and then fails."""
    client = docker.from_env()
    with closing(client):
        container = client.containers.create(lizmap_image)
        try:
            files = {"installer.php": BREAKS, "installer-of-the-release.php": read_file(container)}
            container.put_archive(INSTALLER, tar(files))
            image = container.commit(f"{PREFIX}breaking")
        finally:
            container.remove(force=True)
        try:
            yield image.tags[0]
        finally:
            client.images.remove(image.tags[0], force=True)


def read_file(container: Any) -> bytes:
    """Read the installer that an image has."""
    stream, _ = container.get_archive(f"{INSTALLER}/installer.php")
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        content = archive.extractfile("installer.php")
        assert content
        return content.read()


def tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    """Pack files for a container."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


# What people see -----------------------------------------------------------------------------------------------------

WANTED = {
    "logged in": {"anna": True, "anna with another password": False, "bruno, disabled": False, "admin": True},
    "anybody": {"fields"},
    "anna": {"fields", "private"},
    "who may edit": {"fields": {"mappers"}, "private": set()},
    "map": (POPPY, WHITE),
    "map from PostGIS": (POPPY, WHITE),
    "name": True,
    "settings": ("Vineyard", "1234"),
}


def seen(server: Lizmap) -> Json:
    """Say what people see of all this."""
    anybody, anna, *others = (visitor(server) for _ in range(5))
    logged_in = {
        "anna": anna.log_in("anna", PASSWORD),
        "anna with another password": others[0].log_in("anna", "wrong"),
        "bruno, disabled": others[1].log_in("bruno", PASSWORD),
        "admin": others[2].log_in("admin", ADMIN_PASSWORD),
    }
    rights = [line.split("|") for line in server.console("acl2:list").splitlines()]
    editing = [
        (cells[1].strip(), cells[-2].strip()) for cells in rights if "lizmap.tools.edition.use" in "".join(cells)
    ]
    settings = [server.setting("lizmapConfig", "services", name) for name in ("appName", "wmsMaxHeight")]
    return {
        "logged in": logged_in,
        "anybody": {name for name in ("fields", "private") if anybody.sees(name, "meadow")},
        "anna": {name for name in ("fields", "private") if anna.sees(name, "meadow")},
        "who may edit": {
            name: {group for group, repository in editing if repository == name} for name in ("fields", "private")
        },
        "map": colors(server, "fields/meadow"),
        "map from PostGIS": colors(server, "fields/postgis"),
        "name": "Vineyard" in server.get("/index.php/view/").text,
        "settings": tuple(settings),
    }


def visitor(server: Lizmap) -> Browser:
    """Give somebody who comes from an address of its own: nobody may try to log in too often."""
    browser = Browser(server.url)
    browser.session.headers["X-Forwarded-For"] = f"198.51.100.{next(ADDRESSES)}"
    return browser


def colors(server: Lizmap, project: str) -> tuple[Any, Any]:
    """Give the colours of a map in the meadow, and beside it."""
    drawn = image_of(server.map(project))
    return drawn.getpixel((50, 50)), drawn.getpixel((150, 50))


def version_of(image: str) -> str:
    """Tell which release an image has."""
    version: str = docker.from_env().images.get(image).labels[VERSION]
    return version


def digests(folder: Path) -> dict[str, str]:
    """Give a digest of every file of a state, its logs apart: the version before goes on writing them."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".log"
    }


def dumped() -> str:
    """Give all that PostgreSQL has of the accounts, as SQL."""
    postgis = MapServer(docker.from_env().containers.get(f"{PREFIX}postgis"))
    code, output = postgis.run("pg_dump", "--username=postgres", "--schema=lizmap", "lizmap", user="postgres")
    assert code == 0, output
    # Lines with this word are random.
    return "\n".join(line for line in output.splitlines() if "restrict" not in line)


# Upgrades ------------------------------------------------------------------------------------------------------------


def test_an_upgrade_keeps_users_rights_settings_and_maps(served: Pi, image_before: str, lizmap_image: str) -> None:
    before, after = version_of(image_before), version_of(lizmap_image)
    assert served.server.metadata()["info"]["version"].startswith(before)
    done = served.deploy(lizmap_image)
    assert not done.get("failed"), done["msg"]
    assert served.server.metadata()["info"]["version"].startswith(after)
    assert f"Upgrading Lizmap Web Client from {before} to {after}" in served.server.log()
    assert seen(served.server) == WANTED
    # That from before stays, for the case that the container had to be put back.
    assert served.states() == sorted([before, after])
    assert not [reason for result in served.keep_accounts() for reason in result["reasons"]]
    # Who made what is remembered, too.
    removed = [result["removed"] for result in served.remove_accounts()]
    assert removed == [["mappers"], ["anna", "bruno"], ["fields", "private"]]


def test_an_upgrade_that_fails_leaves_what_was_there(
    served: Pi, image_before: str, lizmap_image: str, breaking_image: str
) -> None:
    before = version_of(image_before)
    old, state = served.server.container.id, served.folder / "state" / before
    in_postgis = served.options["accounts"] == "postgis"
    files, database = digests(state), dumped() if in_postgis else ""
    failed = served.deploy(breaking_image)
    assert "the upgrade breaks" in failed["msg"]
    assert served.server.container.id == old
    assert (digests(state), dumped() if in_postgis else "") == (files, database)
    assert served.states() == [before]
    wait_until(lambda: served.server.run("healthcheck")[0] == 0, "the old container is healthy", served.server.log)
    assert seen(served.server) == WANTED
    # And the next attempt is as good as the first.
    done = served.deploy(lizmap_image)
    assert not done.get("failed"), done["msg"]
    assert seen(served.server) == WANTED
