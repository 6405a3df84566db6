"""A stick with exFAT, which keeps neither owners nor rights, by its FUSE driver: it takes backups and proves them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.postgis_server import Start, owned_folder
from tests.images.test_backup import Pi

DRIVER = "mount.exfat-fuse"
ROWS = "SELECT count(*) || md5(string_agg(t::text, ',' ORDER BY id)) FROM trees t"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return where a stick with exFAT is mounted."""
    if not (shutil.which("mkfs.exfat") and shutil.which(DRIVER)):
        pytest.skip("needs the packages exfatprogs and exfat-fuse")
    folder = tmp_path_factory.mktemp("exfat")
    image, mounted = folder / "image", folder / "mounted"
    mounted.mkdir()
    with image.open("wb") as stream:
        stream.truncate(1500 << 20)
    subprocess.run(["mkfs.exfat", "-L", "POPPYFIELD", image], check=True)
    attached = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=False)
    if attached.returncode:
        pytest.skip("this machine has no loop devices")
    device = attached.stdout.strip()
    try:
        subprocess.run(["mount", "-t", "exfat-fuse", device, mounted], check=True)
        yield mounted
        subprocess.run(["umount", mounted], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory, starter: Start, place: Path) -> Pi:
    folder = tmp_path_factory.mktemp("pi")
    server = starter(owned_folder(folder / "data")).ready()
    server.sql("CREATE DATABASE gis")
    server.sql("CREATE TABLE trees AS SELECT n AS id, 'tree ' || n AS name FROM generate_series(1, 1000) n", "gis")
    found = Pi(folder, server, {"name": "stick", "folder": str(place)})
    for path in (found.lizmap / "projects" / "fields", found.lizmap / "config", folder / "etc" / "secrets"):
        path.mkdir(parents=True)
    (found.lizmap / "projects" / "fields" / "fields.qgs").write_text("<qgis/>")
    found.run("run")
    return found


def test_what_was_lost_comes_back_from_exfat(pi: Pi) -> None:
    before = (pi.server.sql(ROWS, "gis"), pi.files())
    pi.server.sql("DELETE FROM trees WHERE id > 10", "gis")
    shutil.rmtree(pi.lizmap / "projects" / "fields")
    pi.restore()
    pi.run("finish")
    assert (pi.server.sql(ROWS, "gis"), pi.files()) == before


@pytest.mark.long
def test_a_backup_on_exfat_is_proven_on_ext4_in_a_file(pi: Pi, place: Path) -> None:
    said = pi.run("prove")
    assert "and is equal: 1 databases" in said
    assert {path.name for path in (place / "poppyfield").iterdir()} == {"pi-orchard"}
    # Nothing of it stays mounted.
    assert ".proof" not in Path("/proc/self/mountinfo").read_text()
