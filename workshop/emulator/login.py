"""Logging in to the emulated Pi: its keys, the password of sudo, and whether it answers."""

from __future__ import annotations

import io
import secrets
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from workshop.emulator.options import ADDRESS

# Whoever flashes a card chooses the name: none may be taken for granted.
USER = "orchard"
USER_ID = 1000
AUTHORIZED_KEYS = f"/home/{USER}/.ssh/authorized_keys"
# The password comes from standard input, always: where sudo remembered it, the command would read it instead.
SUDO = ("sudo", "--reset-timestamp", "--stdin", "--prompt=")
CONNECT_SECONDS = 20


@dataclass(frozen=True)
class StateFiles:
    """The files on this machine that ssh and Ansible use."""

    folder: Path

    @property
    def key(self) -> Path:
        """The private key of the person who logs in."""
        return self.folder / "id_ed25519"

    @property
    def password(self) -> Path:
        """What sudo on the Pi asks for."""
        return self.folder / "sudo_password"

    @property
    def known_hosts(self) -> Path:
        """The host key to expect."""
        return self.folder / "known_hosts"


def make_key(path: Path) -> None:
    """Make an ed25519 key pair, readable by its owner only, unless there is one."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "poppyfield-emulator", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def make_password(path: Path) -> None:
    """Make a random password, readable by its owner only, unless there is one."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(secrets.token_urlsafe(24), encoding="utf-8")


def password_hash(path: Path) -> str:
    """Return the hash of a password for /etc/shadow, as Raspberry Pi Imager makes it."""
    command = ["openssl", "passwd", "-6", "-stdin"]
    done = subprocess.run(command, input=path.read_bytes(), capture_output=True, check=True)
    return done.stdout.decode().strip()


def with_password(shadow: str, hashed: str) -> str:
    """Return the content of /etc/shadow with another password of the Pi's user."""
    rows = [line.split(":") for line in shadow.splitlines()]
    return "".join(":".join([row[0], hashed if row[0] == USER else row[1], *row[2:]]) + "\n" for row in rows)


def archive(files: dict[str, tuple[bytes, int, int]]) -> bytes:
    """Return a tar archive: path -> content, mode, owner."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, (content, mode, owner) in files.items():
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size, member.mode, member.uid, member.gid = len(content), mode, owner, owner
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def first_file(content: bytes) -> bytes:
    """Return the content of the only file in a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        member = tar.extractfile(tar.getmembers()[0])
        return member.read() if member else b""


def command(files: StateFiles, port: int, *remote: str) -> list[str]:
    """Return the command that logs in, without any of the person's own ssh settings."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(files.known_hosts),
    }
    arguments = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-F", "none", "-i", str(files.key), *arguments, "-p", str(port), f"{USER}@{ADDRESS}", *remote]


def attempt(files: StateFiles, port: int) -> str | None:
    """Log in once and use sudo; return None if that worked, else what ssh said."""
    try:
        result = subprocess.run(
            command(files, port, *SUDO, "true"),
            capture_output=True,
            text=True,
            input=files.password.read_text(encoding="utf-8") + "\n",
            timeout=2 * CONNECT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "ssh connected, but the log-in did not come to an end"
    if result.returncode == 0:
        return None
    return result.stderr.strip() or f"ssh ended with status {result.returncode}"
