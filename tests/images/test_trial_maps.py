"""A backup that is restored for trial draws its maps, with the real restic, PostgreSQL and QGIS Server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup.this_pi import TRIAL_MAPS
from ansible.module_utils.poppyfield.backup.trial_container import PROOF_LABEL

from tests.images import backup_settings, projects
from tests.images.map_server import PASSWORD, PREFIX, database, map_server, volumes
from tests.installed_backup import install

FOLDERS = {"projects": "projects", "config": "state", "secrets": "s"}
MAPS = ("fields/elsewhere.qgs", "fields/file.qgs", "fields/table.qgs")


class Pi:
    """A Pi that serves maps, and its stick, a folder with a file system in memory."""

    def __init__(self, folder: Path, map_server_name: str) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = backup_settings.described(
            folder / "memory",
            data=folder / "data",
            postgis=f"{PREFIX}postgis",
            target={"name": "stick", "folder": str(folder / "stick")},
            folders={
                "projects": str(folder / "projects"),
                "config": str(folder / "state"),
                "secrets": str(folder / "s"),
            },
            lizmap=map_server_name,
        )
        (folder / "settings.json").write_text(json.dumps(self.settings))
        self._command = install(folder / "programs", TRIAL_MAPS)

    def do(self, command: str, *, fails: bool = False) -> str:
        """Run the program as the timer does."""
        words = [sys.executable, "-I", str(self._command)]
        settings = ["--settings", str(self.folder / "settings.json")]
        done = subprocess.run([*words, *settings, command], capture_output=True, text=True, check=False)
        assert bool(done.returncode) is fails, done.stdout + done.stderr
        return done.stdout

    @property
    def proof(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "memory" / "state" / "stick.json").read_text())["proof"]
        return found


@pytest.fixture(scope="module")
def pi(
    postgis_image: str, lizmap_image: str, docker_client: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pi]:
    del docker_client
    folder = tmp_path_factory.mktemp("pi")
    fields = folder / "projects" / "fields"
    fields.mkdir(parents=True)
    table = projects.postgis(fields)
    # Of a server that this place does not reach: it is missing in use, too.
    far = projects.Layer("url=http://127.0.0.1:9/ows&layers=far&styles=&format=image/png", "wms", "far", "")
    for name, layers in (
        ("table", [table]),
        ("file", [projects.geojson(fields)]),
        ("elsewhere", [table, far]),
    ):
        (fields / f"{name}.qgs").write_text(projects.qgs(layers), "utf-8")
    (folder / "s").mkdir()
    (folder / "stick").mkdir()
    password = folder / "s" / "postgis_gis"
    password.write_text(PASSWORD)
    os.chown(password, 33, 33)
    password.chmod(0o400)
    mounts = [*volumes(folder)[:2], f"{password}:/run/secrets/postgis_password:ro"]
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700m", "stick", folder / "stick"], check=True)
    try:
        with (
            database(postgis_image, folder, projects.POSTGIS_SQL) as network,
            map_server(lizmap_image, folder, network, volumes=mounts) as server,
        ):
            server.wait_until_healthy()
            yield Pi(folder, server.container.name)
    finally:
        subprocess.run(["umount", folder / "stick"], check=True)


def left() -> str:
    """Give what is left of proofs."""
    ours = ("--filter", f"label={PROOF_LABEL}=true", "--filter", f"name={PREFIX}")
    listed = ["docker", "ps", "--all", "--quiet", *ours]
    return subprocess.run(listed, capture_output=True, text=True, check=True).stdout


def test_each_map_is_drawn_from_what_was_restored(pi: Pi) -> None:
    pi.do("run")
    said = pi.do("prove")
    assert "and is equal: 1 databases" in said and said.rstrip().endswith(f"{len(MAPS)} maps."), said
    assert (pi.proof["objects"]["maps"], left()) == (len(MAPS), "")
    assert sorted(path.name for path in (pi.folder / "stick" / "poppyfield").iterdir()) == ["pi-orchard"]


def test_a_map_that_draws_here_and_not_from_the_backup_fails_the_proof(pi: Pi) -> None:
    # The map server in use has read the right one when it started.
    password = pi.folder / "s" / "postgis_gis"
    password.write_text("of nobody")
    pi.do("run")
    said = pi.do("prove", fails=True)
    password.write_text(PASSWORD)
    for name in ("elsewhere", "table"):
        why = f"fields/{name}.qgs, layer 'layer_id_meadow': the Pi's database refuses the map server: password"
        assert f"The map fields/{name}.qgs does not draw from it: {why}" in said
    assert "is not equal (2)" in said and "layer_id_far" not in said
    assert "of nobody" not in said and (pi.proof["result"], left()) == ("different", "")


def test_without_the_map_server_in_use_a_proof_says_that_none_was_drawn(pi: Pi) -> None:
    pi.do("run")
    subprocess.run(["docker", "stop", pi.settings["lizmap"]], capture_output=True, check=True)
    said = pi.do("prove", fails=True)
    subprocess.run(["docker", "start", pi.settings["lizmap"]], capture_output=True, check=True)
    assert "no map could be drawn from it: The container" in said and "does not run" in said
    assert (pi.proof["result"], left()) == ("not tried", "")
