"""An upgrade as an operator has it: the module puts one release in the place of an older one, and people look on.

The older release is what LIZMAP_ARCHIVE_BEFORE names. Without it both are the stand-in, whose second version needs what
only its installer makes of what the first one has left.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.images.map_server import PREFIX, MapServer, wait_until
from tests.lizmap.conftest import Query
from tests.lizmap.upgrading_pi import WANTED, Pi, Run, seen, version_of
from tests.unit.conftest import run_module  # noqa: F401 - a fixture

INSTALLER = "/usr/share/lizmap/lizmap/install"
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
    made.remove()


@pytest.fixture
def served(pi: Pi, image_before: str) -> Pi:
    """Return one on which the older release has served for a while, and an administrator has changed something."""
    done = pi.deploy(image_before)
    assert not done.get("failed"), done["msg"]
    pi.keep_accounts()
    pi.change_a_setting()
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
