"""A backup of the Pi, made where the inventory asks, and put in place again after its data were lost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from emulated_pi import STATE, do, sql

TARGET = "/mnt/office"
NOTE = "written before the backup"
POINT = "ST_SetSRID(ST_MakePoint(2.5, 46.6), 4326)"
NOTES = "SELECT count(*) FROM sample.observations"
ASKED = {
    "backup_targets": [{"name": "office", "folder": TARGET}],
    "backup_password_folder": f"{STATE}/backup-passwords",
    # An emulated Pi takes many minutes for it, and whatever else asks for a backup waits: tests/images plays it.
    "backup_prove": False,
    # Nor has it the time for that.
    "backup_wal": "off",
}
BACKUPS = ("-e", json.dumps(ASKED))
"""For a Pi that makes backups."""
# Four runs, on a Pi that is emulated by a machine with something else to do.
pytestmark = pytest.mark.timeout(45 * 60)


@pytest.fixture(scope="module")
def disk(pi: Host) -> Iterator[Host]:
    """Mount something where the backups go: memory, in place of a disk of the network."""
    pi.check_output("mkdir -p %s && mount -t tmpfs -o size=500m office %s", TARGET, TARGET)
    sql(pi, f"INSERT INTO sample.observations (species, note, geom) VALUES ('Papaver rhoeas', '{NOTE}', {POINT})")
    yield pi
    sql(pi, "DELETE FROM sample.observations")
    pi.check_output("umount %s", TARGET)


def test_a_pi_makes_backups_and_gets_one_back(disk: Host) -> None:
    do("provision", *BACKUPS)
    assert disk.service("poppyfield-backup.timer").is_enabled and disk.service("poppyfield-backup.timer").is_running
    assert re.search(r"demo-pi +: .* changed=0 ", do("provision", *BACKUPS))
    assert "demo-pi: " in do("backup", *BACKUPS)
    sql(disk, "DELETE FROM sample.observations")
    file = "/srv/poppyfield/lizmap/projects/sample/france.qgs"
    digest = disk.check_output("sha256sum %s", file)
    disk.check_output("rm %s", file)
    do("restore", *BACKUPS, "-e", "restore_from=office", "-e", "confirmed=true")
    assert sql(disk, NOTES) == "1"
    assert disk.check_output("sha256sum %s", file) == digest
