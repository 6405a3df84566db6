"""A disk that is full: PostgreSQL starts again, and is read, because it kept some room. And one that is read-only."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host.stack_host import HostOfStack

from tests.images.postgis_server import UID, Server, owned_folder

MEGABYTES = 400


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a data folder on a small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={MEGABYTES}m,uid={UID},gid={UID},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def server(docker_client: Any, postgis_image: str, disk: Path) -> Iterator[Server]:
    """Return a server on that disk, which nobody has started."""
    volumes = {str(disk): {"bind": "/var/lib/postgresql/data", "mode": "rw"}}
    server = Server(docker_client, postgis_image, disk, volumes=volumes)
    yield server
    server.container.remove(force=True)


def fill(disk: Path) -> None:
    """Write until there is no room."""
    with (disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
        while filler.write(b"x" * 65536):
            pass


def restart(server: Server) -> None:
    """Stop it, as after a crash, and start it."""
    server.container.kill()
    server.container.wait(timeout=60)
    server.start()


def test_a_full_disk_is_read_until_there_is_room(server: Server, disk: Path) -> None:
    server.start().ready()
    server.sql("CREATE TABLE kept AS SELECT 7 AS n")
    fill(disk)
    restart(server)
    server.until(
        lambda: b"can be read, but not changed" in server.execute("healthcheck")[1], "the health check says so"
    )
    server.until(lambda: server.psql("SELECT n FROM kept") == (0, "7"), "the table is read")
    code, said = server.psql("CREATE TABLE more (n int)")
    assert (code != 0, "read-only transaction" in said) == (True, True)
    (disk / "filler").unlink()
    restart(server)
    server.ready()
    server.sql("CREATE TABLE more (n int)")
    assert (disk / "reserve").stat().st_size == 64 << 20


def test_a_disk_of_the_data_that_turns_read_only_is_seen_at_the_next_look(disk: Path, tmp_path: Path) -> None:
    mounts = tmp_path / "root" / "proc" / "1" / "mounts"
    mounts.parent.mkdir(parents=True)
    mounts.symlink_to("/proc/self/mounts")
    folder = str(owned_folder(disk / "cluster"))
    host = HostOfStack(lambda *_: "", tmp_path / "root")
    assert host.card([folder]) == []
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(OSError, match="Read-only file system"):
        (disk / "more").touch()
    assert host.card([folder]) == ["read_only"]
