"""A Pi whose Lizmap is upgraded, as the modules see it, and what people see of it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import docker

from tests.images.map_server import PREFIX
from tests.images.projects import POPPY, WHITE
from tests.lizmap.browser import Browser
from tests.lizmap.lizmap import ADMIN_PASSWORD, HERE, SETTINGS, Lizmap, image_of, prepare

Json = dict[str, Any]
Run = Callable[..., Json]
VERSION = "fr.poppyfield.version.lizmap-web-client"
PASSWORD = "correct-horse-battery"
ADDRESSES = count(1)
GROUPS = [{"name": "mappers", "label": "Field mappers"}]
REPOSITORIES = [
    {"key": "fields", "label": "Fields of the valley", "view": ["everyone"], "edit": ["mappers"]},
    {"key": "private", "view": ["mappers"]},
]
OPERATORS = {"lizmapConfig": {"services": {"appName": "Vineyard"}}}


class Pi:
    """What is on a Pi, and the modules that the role calls there."""

    def __init__(self, folder: Path, network: str, accounts: str, run: Run, **options: Any) -> None:
        """`options` are others of the module lizmap_container."""
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
            **options,
        }

    def deploy(self, image: str, **options: Any) -> Json:
        """Have this image serve, unless the options say otherwise."""
        return self.run("lizmap_container", image=image, **self.options, **options)

    def change_a_setting(self) -> None:
        """Have an administrator change one."""
        change = ("-e", "/^wmsMaxHeight=/d", "-e", "s|^\\[services\\]|&\\nwmsMaxHeight=1234|")
        assert self.server.run("sed", "--in-place", *change, f"{SETTINGS}/lizmapConfig.ini.php")[0] == 0

    def keep_accounts(self, *more: Json) -> list[Json]:
        """Have the groups, users and repositories of the inventory, perhaps with more users."""
        who = {"email": "anna@example.org", "password_file": str(self.folder / "anna"), "groups": ["mappers"]}
        users = [{"login": "anna", **who}, {"login": "bruno", **who, "state": "disabled"}]
        return self._purge(GROUPS, [*users, *more], REPOSITORIES)

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

    def remove(self) -> None:
        """Remove its containers."""
        client = docker.from_env()
        with closing(client):
            for container in client.containers.list(all=True, ignore_removed=True, filters={"name": self.name}):
                container.remove(force=True)

    def states(self) -> list[str]:
        """Name the versions that have a state."""
        return sorted(path.name for path in (self.folder / "state").iterdir() if path.name[0].isdigit())


def free_port() -> int:
    """Give a port that nobody listens at."""
    with socket.socket() as connection:
        connection.bind(("127.0.0.1", 0))
        port: int = connection.getsockname()[1]
        return port


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
