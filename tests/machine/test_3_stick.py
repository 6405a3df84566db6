"""A stick is pulled out while a backup is written to it: the block device is gone, and with it what was not flushed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests import stick_content
from tests.machine.reached import Machine

pytestmark = pytest.mark.timeout(5400)

BACKUP = "/usr/local/lib/poppyfield/backup"
PROJECTS = "/srv/poppyfield/lizmap/projects"
LABEL = "POPPYFIELD"
STICK_MB = 600
PHOTO_MB = 48
WRITTEN_MB = 8
"""By the backup that is cut off: it is in its midst then."""
HANGS_SECONDS = 1200
OBSERVE = """INSERT INTO sample.observations (species, note, geom)
VALUES ('Papaver rhoeas', '{}', ST_SetSRID(ST_MakePoint(2.5, 46.6), 4326)) RETURNING note"""


@pytest.fixture(scope="module")
def passwords(served: Machine) -> Path:
    """Return where the laptop keeps the passwords of backups."""
    return served.files.folder / "backup-passwords"


@pytest.fixture(scope="module")
def stick(served: Machine, passwords: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a stick that is in the Pi and has one backup."""
    image = tmp_path_factory.mktemp("stick") / "stick.img"
    with image.open("wb") as stream:
        stream.truncate(STICK_MB << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-L", LABEL, image], check=True)
    served.plug_in(image)
    asked = {
        "backup_targets": [{"name": "stick", "label": LABEL}],
        "backup_password_folder": str(passwords),
        "backup_prove": False,
        "backup_wal": "off",
    }
    run = served.ansible("site.yml", "-e", json.dumps(asked), program="ansible-playbook")
    assert run.returncode == 0, run.stdout
    served.run(f"{BACKUP} run")
    return image


def photographed(pi: Machine, name: str) -> str:
    """Add a photo to the sample's folder; return its SHA-256."""
    path = f"{PROJECTS}/sample/{name}"
    pi.run(f"head -c {PHOTO_MB}M /dev/urandom > {path}")
    return pi.run(f"sha256sum {path}").split()[0]


def pulled_out_while_it_is_written_to(pi: Machine) -> subprocess.CompletedProcess[str]:
    """Start a backup, pull the stick out in its midst, and wait for the end of what was started."""
    disk = pi.run(f"basename $(readlink -f /dev/disk/by-label/{LABEL})")
    counted = f"set -- $(cat /sys/class/block/{disk}/stat); "
    enough = int(pi.run(f"{counted} echo $7")) + (WRITTEN_MB << 11)
    backup = subprocess.Popen(
        pi.command(f"exec timeout {HANGS_SECONDS} {BACKUP} run"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert backup.stdin
    backup.stdin.write(pi.password.decode())
    backup.stdin.close()
    is_written = f"{counted} [ $7 -gt {enough} ]"
    pi.run(f"timeout {HANGS_SECONDS} sh -c 'until {{ {is_written}; }}; do sleep 0.2; done'")
    assert backup.poll() is None, "The backup ended before the stick was pulled out."
    pi.pull_out()
    assert backup.stdout
    said = backup.stdout.read()
    return subprocess.CompletedProcess(backup.args, backup.wait(), said)


def test_a_stick_that_is_pulled_out_in_the_midst_of_a_backup_stops_nothing_and_loses_no_backup(
    served: Machine, stick: Path, passwords: Path, tmp_path: Path
) -> None:
    pi = served
    before = pi.picture().tobytes()
    digest = photographed(pi, "pulled-out.jpg")

    ended = pulled_out_while_it_is_written_to(pi)
    assert ended.returncode == 1, ended.stdout
    assert "pulled out" in ended.stdout and "Traceback" not in ended.stdout, ended.stdout
    # The map and the database do not notice, and nothing hangs on the disk that is gone.
    assert pi.sql(OBSERVE.format("while the stick is away")) == "while the stick is away"
    assert pi.picture().tobytes() != before
    assert LABEL not in pi.run("lsblk --noheadings --output LABEL")
    assert pi.ran("findmnt --noheadings --source LABEL=" + LABEL).stdout == b""
    assert "pulled out" in pi.run(f"{BACKUP} status")
    absent = pi.ran(f"timeout {HANGS_SECONDS} {BACKUP} run")
    assert absent.returncode == 1 and b"Traceback" not in absent.stdout + absent.stderr, absent

    pi.plug_in(stick)
    pi.run(f"timeout {HANGS_SECONDS} {BACKUP} run")
    pi.pull_out()
    with stick_content.repository(stick, passwords / "demo-pi", tmp_path / "stick") as repository:
        repository.do("check", "--read-data")
        assert len(repository.runs()) >= 2
        assert digest in json.dumps(stick_content.newest(repository))
