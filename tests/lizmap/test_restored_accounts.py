"""A card is dead: on a new one, the program of the backup brings Lizmap's accounts back, and their owners log in."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.images import backup_settings
from tests.images.map_server import PREFIX
from tests.installed_backup import install
from tests.lizmap.conftest import Query
from tests.lizmap.lizmap import ACCOUNTS_PASSWORD, Lizmap
from tests.lizmap.upgrading_pi import PASSWORD, WANTED, Json, Pi, Run, seen, visitor
from tests.unit.conftest import run_module  # noqa: F401 - a fixture

OF_INVENTORY, HER_OWN = "of-the-inventory", 'her "own" horse\'s battery é'
PYTHON = "/usr/bin/python3"
OF_NEW_CARD = "of a new card"
ASIDE = "SELECT datname FROM pg_database WHERE datname ~ '^(gis|lizmap)__(before|failed)'"


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder into which everybody may go, unlike pytest's: accounts in SQLite are read as their owner."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Path]:
    """Return where a stick is mounted: a file system in memory."""
    place = tmp_path / "stick"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture(params=["sqlite", pytest.param("postgis", marks=pytest.mark.long)])
def pi(
    request: pytest.FixtureRequest,
    query: Query,
    network: str,
    run_module: Run,  # noqa: F811 - the fixture
    place: Path,
) -> Iterator[Pi]:
    """Return a Pi without a map server, with the accounts in each place."""
    query("DROP SCHEMA IF EXISTS lizmap CASCADE")
    card = place / "card"
    card.mkdir()
    made = Pi(card, network, request.param, run_module, prove_beside="never")
    yield made
    made.remove()
    query(f"ALTER ROLE lizmap PASSWORD '{ACCOUNTS_PASSWORD}'")
    for name in query(ASIDE).split():
        query(f"DROP DATABASE {name}", "postgres")


class Backup:
    """The program of the backup on this Pi."""

    def __init__(self, pi: Pi, memory: Path, stick: Path) -> None:
        (mount,) = docker.from_env().containers.get(f"{PREFIX}postgis").attrs["Mounts"]
        described = backup_settings.described(
            memory,
            data=Path(mount["Source"]),
            postgis=f"{PREFIX}postgis",
            target={"name": "stick", "folder": str(stick)},
            lizmap=pi.name,
            folders={
                "projects": pi.options["projects_folder"],
                "config": pi.options["config_folder"],
                "secrets": str(pi.folder / "secrets"),
            },
        )
        self._settings = memory / "settings.json"
        self._settings.write_text(json.dumps(described), "utf-8")
        # Where everybody may read it, as on a Pi; and Debian's Python, since that of the tests may be root's own.
        self._installed = install(pi.folder.parent / "programs")

    def do(self, *words: str) -> str:
        """Run it."""
        command = [PYTHON, "-I", "-B", str(self._installed), "--settings", str(self._settings), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stdout + done.stderr
        return done.stdout


def carla(pi: Pi) -> Json:
    """Give an account of the inventory whose password is its owner's own matter."""
    (pi.folder / "carla").write_text(OF_INVENTORY)
    who = {"login": "carla", "email": "carla@example.org", "groups": ["mappers"], "update_password": "on_create"}
    return {**who, "password_file": str(pi.folder / "carla")}


def rights(server: Lizmap) -> str:
    """Give all rights, as Lizmap's own command lists them."""
    return server.console("acl2:list")


def put_in_a_new_card(pi: Pi, query: Query, image: str) -> None:
    """Take everything away that was on the card, containers and secrets as well, and let site.yml begin anew."""
    pi.remove()
    in_postgis = pi.options["accounts"] == "postgis"
    if in_postgis:
        query("DROP DATABASE lizmap WITH (FORCE)", "postgres")
        query("CREATE DATABASE lizmap OWNER lizmap", "postgres")
        query(f"ALTER ROLE lizmap PASSWORD '{OF_NEW_CARD}'")
    for name in ("projects", "state", "secrets"):
        shutil.rmtree(pi.folder / name)
    anew = Pi(pi.folder, pi.options["network"], pi.options["accounts"], pi.run)
    assert anew.options["secrets"] == pi.options["secrets"]
    if in_postgis:
        Path(pi.options["secrets"]["lizmap_accounts_password"]).write_text(OF_NEW_CARD)
    done = pi.deploy(image)
    assert not done.get("failed"), done["msg"]


def test_accounts_log_in_after_a_restore_onto_a_new_card(
    pi: Pi, stick: Path, query: Query, lizmap_image: str, tmp_path: Path
) -> None:
    done = pi.deploy(lizmap_image)
    assert not done.get("failed"), done["msg"]
    pi.keep_accounts(carla(pi))
    pi.change_a_setting()
    pi.server.console("jcommunity:password:change", "--force", "carla", HER_OWN)
    before = (seen(pi.server), rights(pi.server))
    assert before[0] == WANTED
    Backup(pi, tmp_path / "memory", stick).do("run")

    put_in_a_new_card(pi, query, lizmap_image)
    assert not visitor(pi.server).log_in("anna", PASSWORD)
    assert not visitor(pi.server).log_in("carla", HER_OWN)
    backup = Backup(pi, tmp_path / "memory-of-the-new-card", stick)
    backup.do("restore", "--from", "stick")
    assert "is kept" in backup.do("finish")

    assert (seen(pi.server), rights(pi.server)) == before
    assert visitor(pi.server).log_in("carla", HER_OWN)
    assert not visitor(pi.server).log_in("carla", OF_INVENTORY)
    # Nothing is left to do for the next run of site.yml, which knows that the accounts are its own.
    assert not [reason for result in pi.keep_accounts(carla(pi)) for reason in result["reasons"]]
    assert visitor(pi.server).log_in("carla", HER_OWN)
    assert pi.remove_accounts()[1]["removed"] == ["anna", "bruno", "carla"]
