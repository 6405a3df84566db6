"""Logging in to the emulated Pi: its keys, and whether it answers."""

from __future__ import annotations

import io
import secrets
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from workshop.emulator.options import ADDRESS

USER_ID = 1000
CONNECT_SECONDS = 20


@dataclass(frozen=True)
class Account:
    """Who logs in to the Pi, and the files on this machine with which ssh and Ansible do."""

    folder: Path
    user: str

    @property
    def key(self) -> Path:
        """The private key of the person who logs in."""
        return self.folder / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The host key to expect."""
        return self.folder / "known_hosts"

    @property
    def sudo_password(self) -> Path:
        """The password that sudo asks for."""
        return self.folder / "sudo_password"


def make_key(path: Path) -> None:
    """Make an ed25519 key pair, readable by its owner only, unless there is one."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "poppyfield-emulator", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def make_password(path: Path) -> None:
    """Make a password, readable by its owner only, unless there is one."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(f"{secrets.token_urlsafe(16)}\n", encoding="utf-8")


def account_line(account: Account) -> bytes:
    """Return what chpasswd in the Pi reads: the user's name and a hash of the password."""
    command = ["openssl", "passwd", "-6", "-stdin"]
    hashed = subprocess.run(command, input=account.sudo_password.read_bytes(), capture_output=True, check=True).stdout
    return account.user.encode() + b":" + hashed


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


def command(account: Account, port: int, *remote: str) -> list[str]:
    """Return the command that logs in, without any of the person's own ssh settings."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(account.known_hosts),
    }
    arguments = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    who = f"{account.user}@{ADDRESS}"
    return ["ssh", "-F", "none", "-i", str(account.key), *arguments, "-p", str(port), who, *remote]


def attempt(account: Account, port: int) -> str | None:
    """Log in once and use sudo; return None if that worked, else what ssh said."""
    try:
        result = subprocess.run(
            command(account, port, "sudo", "--stdin", "--prompt=", "true"),
            capture_output=True,
            text=True,
            input=account.sudo_password.read_text(encoding="utf-8"),
            timeout=2 * CONNECT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "ssh connected, but the log-in did not come to an end"
    if result.returncode == 0:
        return None
    return result.stderr.strip() or f"ssh ended with status {result.returncode}"
