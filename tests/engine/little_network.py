"""Networks of this machine's kernel that nobody else is in, and Debian's programs in them, not installed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workshop.laptop import debian_roots

PACKAGES = "dnsmasq-base,network-manager,iproute2"
SECONDS = 40
"""How long something may take to come about."""
BUS = """<busconfig><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
"""
MANAGER = """[main]
plugins=keyfile
auth-polkit=false
dns=none
no-auto-default=*
"""


def wait_until(come: Callable[[], Any], what: str) -> None:
    """Ask until the answer is true."""
    deadline = time.monotonic() + SECONDS
    while not come():
        assert time.monotonic() < deadline, f"Not within {SECONDS} s: {what}."
        time.sleep(0.1)


def root(suite: str) -> Path:
    """Return where the programs of a release are unpacked."""
    return debian_roots.make(PACKAGES, suite, "hotspot")


def program(suite: str, name: str) -> list[str]:
    """Give the words that run a program of a release."""
    found = root(suite)
    # Before trixie libraries were in two folders.
    folders = [folder for folder in (found / "usr/lib", found / "lib") if folder.is_dir()]
    loader = next(found.glob("**/x86_64-linux-gnu/ld-linux-x86-64.so.2"))
    libraries = ":".join(f"{folder}/x86_64-linux-gnu" for folder in folders)
    return [str(loader), "--library-path", libraries, f"{found}/usr/{name}"]


class Network:
    """Interfaces, mounts and processes of their own, which end together."""

    def __init__(self) -> None:
        options = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        # What it prints comes when all of that is there.
        command = ["unshare", *options, "sh", "-c", "echo there; exec sleep infinity"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout and self._process.stdout.readline() == b"there\n"
        number = self._process.pid
        self.process = int(Path(f"/proc/{number}/task/{number}/children").read_text().split()[0])
        self.run("ip", "link", "set", "lo", "up")

    def command(self, *words: str) -> list[str]:
        """Give the words that run a command in it."""
        return ["nsenter", f"--target={self.process}", "--net", "--mount", "--pid", *words]

    def run(self, *words: str, check: bool = True, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, check=check, **options)

    def begin(self, *words: str, log: Path) -> None:
        """Run a command in it until it ends."""
        with log.open("wb") as stream:
            subprocess.Popen(self.command(*words), stdout=stream, stderr=stream, stdin=subprocess.DEVNULL)

    def end(self) -> None:
        """End all processes in it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def network() -> Iterator[Network]:
    """Give a network, and end it."""
    found = Network()
    try:
        yield found
    finally:
        found.end()


def link(here: Network, name: str, there: Network, other: str) -> None:
    """Connect two networks as by a cable."""
    # Of the processes this machine's numbers.
    enter = ["nsenter", f"--target={here.process}", "--net"]
    add = ["ip", "link", "add", name, "type", "veth", "peer", "name", other, "netns", str(there.process)]
    subprocess.run([*enter, *add], check=True)
    for at, interface in ((here, name), (there, other)):
        at.run("ip", "link", "set", interface, "up")


class ManagedNetwork:
    """A network in which NetworkManager of a release runs, with folders of its own."""

    def __init__(self, at: Network, suite: str, folder: Path, profiles: Mapping[str, str]) -> None:
        self.at, self.folder, self.root = at, folder, folder / "root"
        self.profiles = folder / "etc" / "NetworkManager" / "system-connections"
        for place in (self.profiles, folder / "run" / "dbus", folder / "lib", self.root, folder / "over"):
            place.mkdir(parents=True)
        for name, text in profiles.items():
            (self.profiles / name).write_text(text)
            (self.profiles / name).chmod(0o600)
        for name, text in {
            "etc/NetworkManager/NetworkManager.conf": MANAGER,
            "etc/bus.conf": BUS.format(socket=folder / "run/dbus/system_bus_socket"),
            "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
            "etc/group": "root:x:0:\n",
            "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        }.items():
            (folder / name).write_text(text)
        self._mount(root(suite))
        # That of bookworm wants to open more files than root of a container may.
        bus = [*program("trixie", "bin/dbus-daemon"), "--nofork", f"--config-file={folder}/etc/bus.conf"]
        at.begin(*bus, log=folder / "bus.log")
        wait_until((folder / "run/dbus/system_bus_socket").exists, "the bus is there")
        manager = ["chroot", str(self.root), "NetworkManager", "--no-daemon"]
        at.begin(*manager, log=folder / "NetworkManager.log")
        wait_until(lambda: not self.run(["nmcli", "general", "status"]).returncode, "NetworkManager is there")

    def _mount(self, lower: Path) -> None:
        """Have the release in a folder, over which what is written is in memory, or in the folder of the test."""
        over, run = self.folder / "over", self.at.run
        run("mount", "-t", "tmpfs", "tmpfs", str(over))
        run("mkdir", f"{over}/upper", f"{over}/work")
        options = f"lowerdir={lower},upperdir={over}/upper,workdir={over}/work"
        run("mount", "-t", "overlay", "-o", options, "overlay", str(self.root))
        run("mkdir", "--parents", *(f"{self.root}/{name}" for name in ("run", "proc", "sys", "dev")))
        # Of bookworm it is made when a package is configured.
        run("sh", "-c", f"[ -e {self.root}/var/run ] || ln -s /run {self.root}/var/run")
        for name, inside in (("etc", "etc"), ("run", "run"), ("lib", "var/lib")):
            run("mount", "--bind", str(self.folder / name), f"{self.root}/{inside}")
        run("mount", "-t", "proc", "proc", f"{self.root}/proc")
        # Where it may not be written to, no udev is waited for.
        run("mount", "-t", "sysfs", "-o", "ro", "sysfs", f"{self.root}/sys")
        run("mount", "--bind", "/dev", f"{self.root}/dev")

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command of the host, which has no systemd but its way to D-Bus and to a command that goes on."""
        words = [word.replace(str(self.folder), "") for word in command]
        if words[0] == "systemctl":
            return subprocess.CompletedProcess(command, 0, "", "")
        if words[0] == "systemd-run":
            script = list(command[command.index("/bin/sh") :])
            script[-1] = self._on_the_bus(
                script[-1].replace(str(self.folder / "run/NetworkManager"), "/run/NetworkManager")
            )
            self.at.begin(*script, log=self.folder / "switch.log")
            return subprocess.CompletedProcess(command, 0, "", "")
        if words[0] == "busctl":
            return self.at.run("env", f"DBUS_SYSTEM_BUS_ADDRESS={self._bus}", *words, check=False)
        return self.at.run("chroot", str(self.root), *words, check=False)

    @property
    def _bus(self) -> str:
        return f"unix:path={self.folder}/run/dbus/system_bus_socket"

    def _on_the_bus(self, script: str) -> str:
        """Give a script of the host with commands that are in the root."""
        asks = f'busctl() {{ env DBUS_SYSTEM_BUS_ADDRESS={self._bus} busctl "$@"; }}'
        return f'nmcli() {{ chroot {self.root} nmcli "$@"; }}; {asks}; {script}'
