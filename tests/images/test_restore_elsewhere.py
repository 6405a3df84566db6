"""A backup is restored on a Pi with a newer PostgreSQL, from 15 to 17, and on one of another architecture."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.images import backup_settings, building
from tests.images.postgis_server import Server, owned_folder
from tests.images.upgrading_pi import CONTENT, ROLES, SEEN
from tests.installed_backup import install

ROWS = 500


def run(pi: Path, server: Server, *words: str) -> None:
    """Run the program as a Pi with this database does."""
    described = backup_settings.described(
        pi,
        data=server.data,
        postgis=server.container.name,
        target={"name": "stick", "folder": str(pi.parent / "stick")},
    )
    for folder in described["folders"].values():
        Path(folder).mkdir(exist_ok=True)
    (pi / "settings.json").write_text(json.dumps(described))
    command = [sys.executable, "-I", str(install(pi / "programs")), "--settings", str(pi / "settings.json"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "stick"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "stick", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


OWN = building.own_architecture()
OTHER = {"amd64": "arm64", "arm64": "amd64"}[OWN]


@pytest.mark.long
@pytest.mark.parametrize(
    ("before", "after"), [(("bookworm", OWN), ("trixie", OWN)), (("trixie", OWN), ("trixie", OTHER))]
)
def test_all_of_it_is_there(
    docker_client: Any, stick: Path, tmp_path: Path, before: tuple[str, str], after: tuple[str, str]
) -> None:
    del stick
    seen = []
    for place, (profile, architecture) in {"before": before, "after": after}.items():
        note = f"restored-{profile}-{architecture}.json"
        image = building.build(note, profile, architecture=architecture)["postgis"]
        assert docker_client.images.get(image).attrs["Architecture"] == architecture
        pi = tmp_path / place
        pi.mkdir()
        data = owned_folder(pi / "data")
        volumes = {str(data): {"bind": "/var/lib/postgresql/data", "mode": "rw"}}
        server = Server(docker_client, image, data, volumes=volumes).start().ready()
        try:
            if place == "before":
                server.script(ROLES)
                server.sql(CONTENT.format(rows=ROWS), "gis")
                run(pi, server, "run")
            else:
                run(pi, server, "restore", "--from", "stick")
            seen.append(server.sql(SEEN, "gis"))
        finally:
            server.container.remove(force=True)
    assert seen[0] == seen[1]
