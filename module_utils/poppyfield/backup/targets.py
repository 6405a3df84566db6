"""Where backups go: sticks and folders that are mounted for as long as they are needed, and machines by SFTP."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup.settings import SFTP, SSH_KEY, AbsentError, BackupError, Settings
from ansible.module_utils.poppyfield.backup.this_pi import do

AWAY = re.compile(r"timed out|timeout|refused|no route|unreachable|could not resolve|temporary failure", re.IGNORECASE)
"""What ssh says of a machine that is not there."""


def mount_points(mountinfo: str) -> set[str]:
    """Give the folders on which something is mounted."""
    fields = (line.split(" ") for line in mountinfo.splitlines())
    return {re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), field[4]) for field in fields}


@contextmanager
def mounted(settings: Settings, target: Mapping[str, Any]) -> Iterator[Path]:
    """Mount a target for as long as it is needed, out of reach of others. Raises AbsentError where it is not there.

    A folder is mounted once more, too: what is written goes to its file system even if that is unmounted meanwhile,
    and never to the card.
    """
    place = Path(settings.run_folder) / target["name"]
    if target.get("sftp"):
        SftpServer.of(settings, target).reach()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield place
        return
    source = source_of(target)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    unmount(place)
    do(["mount", *source, str(place)])
    try:
        yield place
    finally:
        unmount(place)


def source_of(target: Mapping[str, Any]) -> list[str]:
    """Give what mounts a target. Raises AbsentError."""
    if target.get("folder"):
        folder = os.path.realpath(target["folder"])
        if folder not in mount_points(Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")):
            raise AbsentError(f"nothing is mounted on {target['folder']}, so nothing was written.")
        return ["--bind", folder]
    label = target["label"]
    command = ["blkid", "--cache-file", "/dev/null", "--match-token", f"LABEL={label}", "--output", "device"]
    devices = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    if not devices:
        raise AbsentError(f"no stick with the label {label} is in this Pi.")
    if len(devices) > 1:
        raise BackupError(f"{len(devices)} sticks have the label {label}, so none was written to: pull out the others.")
    # Whoever made the stick has not made links in it that lead to the card.
    return ["--options", "nosuid,nodev,noexec,nosymfollow,noatime", devices[0]]


def unmount(place: Path) -> None:
    """Take a mount of ours away, with whatever a run that was cut off has left."""
    while str(place) in mount_points(Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape")):
        try:
            do(["umount", str(place)])
        except BackupError:
            do(["umount", "--lazy", str(place)])


@dataclass(frozen=True)
class SftpServer:
    """The machine of a target by SFTP."""

    name: str
    user: str
    machine: str
    port: int
    folder: str
    keys: Path

    @classmethod
    def of(cls, settings: Settings, target: Mapping[str, Any]) -> SftpServer:
        """Read a target."""
        found = SFTP.fullmatch(target["sftp"])
        if not found:
            raise BackupError(f"{target['sftp']} is not USER@MACHINE:/FOLDER.")
        return cls(target["name"], found[1], found[2], target.get("port") or 22, found[3], settings.ssh_folder)

    def command(self) -> list[str]:
        """Give the command whose input and output are SFTP: by this Pi's key alone, and with that machine alone."""
        options = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": f"{self.keys}/{self.name}.known_hosts",
            "GlobalKnownHostsFile": "none",
            "UpdateHostKeys": "no",
            "ConnectTimeout": "10",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "4",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        where = ("-i", f"{self.keys}/{SSH_KEY}", "-p", str(self.port), "-l", self.user, self.machine)
        return ["ssh", "-F", "none", *words, *where, "-s", "sftp"]

    def reach(self) -> None:
        """Raise AbsentError where the machine does not answer, and BackupError where it is another or refuses."""
        quiet = subprocess.DEVNULL
        done = subprocess.run(self.command(), stdin=quiet, stdout=quiet, stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode == 0:
            return
        if "Host key verification failed" in done.stderr:
            raise BackupError(
                f"{self.machine} shows another key than host_key in backup_targets, so nothing was sent. If it was set "
                f"up again, give its new key; if not, somebody is in between."
            )
        if "Permission denied" in done.stderr:
            key = (self.keys / f"{SSH_KEY}.pub").read_text("utf-8").strip()
            raise BackupError(
                f"{self.machine} does not let this Pi in. Add this line to .ssh/authorized_keys of {self.user} there: "
                f"{key}"
            )
        said = " ".join(done.stderr.split())[-300:]
        if AWAY.search(said):
            raise AbsentError(f"{self.machine} does not answer, so nothing was saved there.")
        raise BackupError(f"{self.machine}: {said or 'ssh ended without a word'}")
