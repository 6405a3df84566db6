"""Backups on another machine by SFTP, with the real restic, PostgreSQL, ssh and sshd."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.backup.settings import Settings
from ansible.module_utils.poppyfield.backup.targets import SftpServer

from tests.engine.little_pi import unpacked_sshd
from tests.images.postgis_server import Start, owned_folder
from tests.images.test_backup import Pi

Json = dict[str, Any]
CONFIGURATION = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
ForceCommand internal-sftp
"""

# Of Debian's package, which is not installed, so that nobody gets into this machine by it.
SCRIPT = """
mount -t overlay overlay -o "lowerdir=$1/usr:/usr" /usr
mount -t tmpfs tmpfs /run && mkdir /run/sshd
mount --bind "$2/passwd" /etc/passwd
exec /usr/sbin/sshd -D -e -f "$2/sshd_config"
"""


def make_key(path: Path) -> str:
    """Make a key; give its public half."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path.with_suffix(".pub").read_text().strip()


class Office:
    """A machine that gives out its files by SFTP and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.store.mkdir()
        self.key = make_key(folder / "host")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (folder / "sshd_config").write_text(CONFIGURATION.format(port=self.port, folder=folder))
        people = Path("/etc/passwd").read_text("utf-8")
        own = "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n"
        (folder / "passwd").write_text(people if "\nsshd:" in people else people + own, "utf-8")
        self._sshd: subprocess.Popen[bytes] | None = None

    def lets_in(self, key: str) -> None:
        (self.folder / "authorized_keys").write_text(f"{key}\n")

    def opens(self) -> None:
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", SCRIPT, "sh"]
        arguments = [str(unpacked_sshd()), str(self.folder)]
        self._sshd = subprocess.Popen([*command, *arguments], stderr=(self.folder / "log").open("ab"))
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self._sshd.poll() is None and time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        with socket.socket() as asking:
            return asking.connect_ex(("127.0.0.1", self.port)) == 0

    def closes(self) -> None:
        if self._sshd:
            self._sshd.kill()
            self._sshd.wait()
            self._sshd = None


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    if os.geteuid() != 0:
        pytest.skip("needs root: it mounts the files of sshd")
    found = Office(tmp_path_factory.mktemp("office"))
    found.opens()
    yield found
    found.closes()


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory, starter: Start, office: Office) -> Pi:
    folder = tmp_path_factory.mktemp("pi")
    server = starter(owned_folder(folder / "data")).ready()
    server.sql("CREATE DATABASE gis")
    server.sql("CREATE TABLE trees AS SELECT n AS id, 'tree ' || n AS name FROM generate_series(1, 1000) n", "gis")
    target: Json = {"name": "office", "sftp": f"root@127.0.0.1:{office.store}", "port": office.port}
    found = Pi(folder, server, {**target, "host_key": office.key})
    for path in (found.lizmap / "projects" / "fields", found.lizmap / "config", folder / "etc" / "secrets"):
        path.mkdir(parents=True)
    (found.lizmap / "projects" / "fields" / "fields.qgs").write_text("<qgis/>")
    (folder / "ssh").mkdir(mode=0o700)
    knows(found, office, office.key)
    office.lets_in(make_key(folder / "ssh" / "id_ed25519"))
    return found


def knows(pi: Pi, office: Office, key: str) -> None:
    """Have the Pi take this key for that of the office, as the module writes it down."""
    (pi.folder / "ssh" / "office.known_hosts").write_text(f"[127.0.0.1]:{office.port} {key}\n")


def trees(pi: Pi) -> str:
    return pi.server.sql("SELECT count(*) || md5(string_agg(t::text, ',' ORDER BY id)) FROM trees t", "gis")


def test_what_was_lost_comes_back_from_the_office(pi: Pi, office: Office) -> None:
    before = (trees(pi), pi.files())
    assert "office: backup of " in pi.run("run")
    assert "office: backup of " in pi.run("run", "--by-timer")
    (there,) = (office.store / "poppyfield").iterdir()
    assert (there / "config").exists()
    pi.server.sql("DELETE FROM trees WHERE id > 10", "gis")
    shutil.rmtree(pi.lizmap / "projects" / "fields")
    pi.run("restore", "--from", "office", "--last-minute")
    pi.run("finish")
    assert (trees(pi), pi.files()) == before
    # Only repositories are there, and nothing stays here.
    assert [path.name for path in (office.store / "poppyfield").iterdir()] == ["pi-orchard"]
    assert list((pi.folder / "run" / "office" / "poppyfield").iterdir()) == []
    assert "no room for it on another machine" in pi.run("prove", fails=True)


@pytest.mark.long
def test_the_office_proves_what_it_has_and_changes_nothing(pi: Pi, office: Office, tmp_path: Path) -> None:
    pi.run("run")
    before = {str(path): path.stat().st_mtime_ns for path in office.store.rglob("*")}
    image = pi.server.container.image.id
    words = ("--host", "pi-orchard", "--image", image, "--scratch", str(tmp_path))
    command = ("prove-copy", "--folder", str(office.store), "--password-file", str(pi.folder / "password"))
    said = pi.run(*command, *words)
    assert said.startswith("pi-orchard: The backup of ") and "and is equal: 1 databases" in said
    assert {str(path): path.stat().st_mtime_ns for path in office.store.rglob("*")} == before
    assert list(tmp_path.iterdir()) == []


def test_an_office_that_is_away_is_missing_and_no_failure(pi: Pi, office: Office) -> None:
    office.closes()
    try:
        said = pi.run("run", "--by-timer")
        assert said.startswith("office: 127.0.0.1 does not answer, so nothing was saved there.")
        assert json.loads((pi.folder / "state" / "office.json").read_text())["state"] == "absent"
    finally:
        office.opens()


@pytest.mark.attack(kind="somebody in between", on="network", proof=None)
def test_a_machine_with_another_key_gets_nothing(pi: Pi, office: Office, tmp_path: Path) -> None:
    knows(pi, office, make_key(tmp_path / "another"))
    server = SftpServer.of(Settings(**pi.settings), pi.target)
    careless = ["StrictHostKeyChecking=no" if "StrictHost" in word else word for word in server.command()]
    try:
        # Without the defence it is taken for the office.
        subprocess.run(careless, stdin=subprocess.DEVNULL, check=True)
        said = pi.run("run", fails=True)
    finally:
        knows(pi, office, office.key)
    assert "127.0.0.1 shows another key than host_key in backup_targets, so nothing was sent" in said


def test_a_machine_that_does_not_let_the_pi_in_is_told_with_the_line_that_does(pi: Pi, office: Office) -> None:
    key = (pi.folder / "ssh" / "id_ed25519.pub").read_text().strip()
    office.lets_in("")
    try:
        said = pi.run("run", fails=True)
    finally:
        office.lets_in(key)
    assert f"Add this line to .ssh/authorized_keys of root there: {key}" in said
