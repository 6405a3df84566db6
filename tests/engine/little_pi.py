"""A Pi of a few files: a real sshd in a mount namespace of its own, with this machine's programs."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "poppyfield" / "sshd"
ADDRESS = "127.0.0.1"
PASSWORD = "correct-horse-battery"
ANSWER_SECONDS = 20

# sshd comes from Debian's package, not installed but unpacked, so that nobody gets into this machine by it.
SCRIPT = """
mount -t overlay overlay -o "lowerdir=$1/usr:$2/usr:/usr" /usr
mount -t tmpfs tmpfs /run && mkdir /run/sshd
for file in passwd shadow; do mount --bind "$1/$file" "/etc/$file"; done
mount --bind "$1/ssh" /etc/ssh
exec /usr/sbin/sshd -D -e
"""
# As systemd would, as far as the role asks.
SYSTEMCTL = """#!/bin/sh
case "$1" in
show) printf 'LoadState=loaded\\nActiveState=active\\n' ;;
reload) sshd -t && kill -HUP "$(cat /run/sshd.pid)" && if [ -x /etc/ssh/then ]; then /etc/ssh/then; fi ;;
*) exit 1 ;;
esac
"""
# As Raspberry Pi Imager leaves it.
SETTINGS = """
Include /etc/ssh/sshd_config.d/*.conf
ListenAddress {address}:{port}
PermitRootLogin yes
Subsystem sftp internal-sftp
"""


class LittlePi:
    """Its root logs in by key, or by password as long as sshd lets him."""

    def __init__(self, folder: Path) -> None:
        self.ssh = folder / "ssh"
        self.dropins = self.ssh / "sshd_config.d"
        self.authorized_keys = folder / "home" / ".ssh" / "authorized_keys"
        self.port = free_port()
        self._folder = folder
        self._key = folder / "key"
        self._known_hosts = folder / "known_hosts"
        self._make_files()

    def start(self) -> None:
        """Start sshd, and wait until it answers."""
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", SCRIPT, "sh"]
        with (self._folder / "sshd.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, str(self._folder), str(unpacked_sshd())], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + ANSWER_SECONDS
        while not self._answers():
            said = (self._folder / "sshd.log").read_text()
            assert self._process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.1)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def lets_in_by_password(self) -> bool:
        """Tell whether root gets in by password."""
        ways = ["-o", "PreferredAuthentications=password,keyboard-interactive", "-o", "PubkeyAuthentication=no"]
        return self._logs_in(*ways, "-o", "NumberOfPasswordPrompts=1")

    def lets_in_by_key(self) -> bool:
        """Tell whether root gets in by key."""
        return self._logs_in("-o", "PreferredAuthentications=publickey")

    def inventory(self, **variables: str) -> str:
        """Give the inventory by which Ansible reaches it."""
        own = {
            "ansible_host": ADDRESS,
            "ansible_port": str(self.port),
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self._key),
            "ansible_ssh_common_args": f"-F none -o IdentitiesOnly=yes -o UserKnownHostsFile={self._known_hosts}",
            "ansible_control_path_dir": str(self._folder),
            **variables,
        }
        return " ".join(["pi-marsh", *(f"{name}='{value}'" for name, value in own.items())]) + "\n"

    def _make_files(self) -> None:
        for folder in (self.dropins, self.authorized_keys.parent, self._folder / "usr" / "bin"):
            folder.mkdir(parents=True)
        for key in (self._key, self.ssh / "ssh_host_ed25519_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        host_key = (self.ssh / "ssh_host_ed25519_key.pub").read_text()
        self._known_hosts.write_text(f"[{ADDRESS}]:{self.port} {host_key}")
        self.authorized_keys.write_bytes(self._key.with_suffix(".pub").read_bytes())
        (self.ssh / "sshd_config").write_text(SETTINGS.format(address=ADDRESS, port=self.port))
        (self.dropins / "50-cloud-init.conf").write_text("PasswordAuthentication yes\n")
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=PASSWORD, capture_output=True, text=True, check=True
        )
        users = [f"root:x:0:0:root:{self._folder}/home:/bin/sh", "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin"]
        self._write("passwd", "\n".join(users) + "\n", 0o644)
        self._write("shadow", f"root:{hashed.stdout.strip()}:20000::::::\nsshd:!:20000::::::\n", 0o600)
        self._write("usr/bin/systemctl", SYSTEMCTL, 0o755)
        self._write("answer", f"#!/bin/sh\necho {PASSWORD}\n", 0o700)

    def _write(self, name: str, content: str, mode: int) -> None:
        path = self._folder / name
        path.write_text(content)
        path.chmod(mode)

    def _logs_in(self, *options: str) -> bool:
        command = ["ssh", "-F", "none", "-i", str(self._key), "-o", "IdentitiesOnly=yes", *options]
        command += [
            "-o",
            f"UserKnownHostsFile={self._known_hosts}",
            "-o",
            "ConnectionAttempts=10",
            "-p",
            str(self.port),
        ]
        asked = {**os.environ, "SSH_ASKPASS": str(self._folder / "answer"), "SSH_ASKPASS_REQUIRE": "force"}
        done = subprocess.run(
            [*command, f"root@{ADDRESS}", "true"],
            env=asked,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0 or "Permission denied" in done.stderr, done.stderr
        return done.returncode == 0

    def _answers(self) -> bool:
        try:
            with socket.create_connection((ADDRESS, self.port), timeout=5) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False


def free_port() -> int:
    """Give a port of this machine that nobody uses."""
    with socket.create_server((ADDRESS, 0)) as server:
        port: int = server.getsockname()[1]
        return port


def unpacked_sshd() -> Path:
    """Give the folder with Debian's sshd, fetched by apt, which checks its signature, when it is not there yet."""
    if not (CACHE / "usr" / "sbin" / "sshd").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", "openssh-server", "libwrap0"], cwd=CACHE, check=True)
        for package in CACHE.glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", str(package), str(CACHE)], check=True)
            package.unlink()
    return CACHE
