"""Whole machines, as an operator reaches them: over SSH, by Ansible, through the map's address, by the power plug."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import requests
from PIL import Image

from workshop.emulator import login, rootfs
from workshop.emulator.options import ADDRESS, Pi

ROOT = Path(__file__).resolve().parents[2]
MACHINES = rootfs.cache_folder().parent / "machines"
INVENTORIES = (ROOT / "inventory" / "demo", ROOT / "tests" / "machine" / "inventory")
BOOT_SECONDS = 2400
"""Every instruction is emulated, on cores that do other things, too."""
DRAWN_SECONDS = 900
REQUEST_SECONDS = 180
PROBE_SECONDS = 20
CONTAINERS = ("websig-postgis", "websig-lizmap")
PSQL = "docker exec --interactive websig-postgis psql -XAtq -v ON_ERROR_STOP=1 -d gis"
FRANCE = {
    "SERVICE": "WMS",
    "VERSION": "1.3.0",
    "REQUEST": "GetMap",
    "LAYERS": "countries,departments,rivers,towns,observations",
    "STYLES": "",
    "CRS": "EPSG:3857",
    "BBOX": "-680000,5020000,1150000,6680000",
    "WIDTH": "300",
    "HEIGHT": "272",
    "FORMAT": "image/png",
}


@dataclass(frozen=True)
class Place:
    """A machine's name, and where on this machine it answers: its ports by those of the Pi."""

    name: str
    ssh_port: int
    map_port: int
    more_ports: Mapping[int, int] = field(default_factory=dict)

    @property
    def pi(self) -> Pi:
        """What the emulator is told."""
        return Pi(
            name=self.name,
            ssh_port=self.ssh_port,
            map_port=self.map_port,
            # Beside the machines, which outlive a checkout.
            state_dir=str(MACHINES / "state" / self.name),
            memory="3g",
            more_ports={f"{inside}/tcp": outside for inside, outside in self.more_ports.items()},
        )


class Machine:
    """A Pi that the tests have to themselves."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.files = login.StateFiles(Path(place.pi.state_dir))
        self.folder = MACHINES / place.name

    def start(self) -> None:
        """Give it power, made if it does not exist, and wait until it can be logged in to."""
        place = self.place
        more = [word for inside, outside in place.more_ports.items() for word in ("--port", f"{inside}={outside}")]
        emulator(
            *("start", "--name", place.name, "--ssh-port", str(place.ssh_port), "--map-port", str(place.map_port)),
            *("--state-dir", place.pi.state_dir, "--memory", place.pi.memory, "--timeout", str(BOOT_SECONDS), *more),
        )

    def stop(self) -> None:
        """Press its power button."""
        emulator("stop", "--name", self.place.name)

    def destroy(self) -> None:
        """Remove it."""
        emulator("destroy", "--name", self.place.name)

    def restart(self) -> None:
        """Press its power button, and give it power again."""
        emulator("restart", "--name", self.place.name, "--timeout", str(BOOT_SECONDS))

    def power_cut(self) -> None:
        """Cut its power, and give it back, and wait until it can be logged in to."""
        self.power_off()
        self.power_on(settled=False)

    def power_off(self, seed: int | None = None) -> int:
        """Cut its power; return how many writes were lost. A seed chooses which of those that were not flushed stay."""
        said = emulator("kill", "--name", self.place.name, *(() if seed is None else ("--seed", str(seed))))
        found = re.search(r"of its last writes (\d+) are lost", said)
        assert found, said
        return int(found[1])

    def power_on(self, *, settled: bool = True) -> None:
        """Give it power again, and wait until it can be logged in to, and has settled."""
        more = () if settled else ("--unsettled",)
        emulator("power-on", "--name", self.place.name, "--timeout", str(BOOT_SECONDS), *more)

    def plug_in(self, stick: Path) -> None:
        """Plug a stick into it: a file of this machine."""
        emulator("plug-in", "--name", self.place.name, "--image", str(stick))

    def pull_out(self) -> None:
        """Pull the stick out: the device is gone at once, whatever is written to it."""
        emulator("pull-out", "--name", self.place.name)

    def run(self, script: str, *, sudo: bool = True) -> str:
        """Run a shell script on it, which must succeed; return what it prints."""
        done = self.ran(script, sudo=sudo)
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
        return done.stdout.decode().strip()

    def ran(self, script: str, *, sudo: bool = True) -> subprocess.CompletedProcess[bytes]:
        """Run a shell script on it."""
        return subprocess.run(self.command(script, sudo=sudo), input=self.password, capture_output=True, check=False)

    def command(self, script: str, *, sudo: bool = True) -> list[str]:
        """Return the command that runs a script on it; sudo reads the password first."""
        quoted = "'" + script.replace("'", "'\\''") + "'"
        return login.command(self.files, self.place.ssh_port, *(login.SUDO if sudo else ()), "sh", "-ec", quoted)

    @property
    def password(self) -> bytes:
        """What sudo reads."""
        return self.files.password.read_bytes() + b"\n"

    def sql(self, statements: str) -> str:
        """Run SQL as the superuser in the database gis; return the bare result."""
        script = f"{PSQL} <<'SQL'\n{statements}\nSQL"
        return self.run(script)

    def ansible(self, *arguments: str, program: str = "ansible", **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program of Ansible, by the inventories of the demo and of these tests."""
        started = self.ansible_started(*arguments, program=program, **more)
        said, _ = started.communicate()
        return subprocess.CompletedProcess(started.args, started.returncode, said)

    def ansible_started(self, *arguments: str, program: str = "ansible", **more: str) -> subprocess.Popen[str]:
        """Start it; what it says and its errors are one text."""
        inventories = [word for path in INVENTORIES for word in ("--inventory", str(path))]
        ours = {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "POPPYFIELD_SSH_PORT": str(self.place.ssh_port),
            "POPPYFIELD_MAP_PORT": str(self.place.map_port),
            "POPPYFIELD_STATE_FOLDER": str(self.files.folder),
            "LIZMAP_ARCHIVE": "",
            "LIZMAP_SERVER_PLUGIN": "",
        }
        return subprocess.Popen(
            [str(Path(sys.executable).parent / program), *inventories, *arguments],
            env={**os.environ, **ours, **more},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def provision(self, report: Path) -> dict[str, int]:
        """Run site.yml, as it stands; return how many tasks changed something, and how many failed."""
        more = {"ANSIBLE_CALLBACKS_ENABLED": "run_report", "POPPYFIELD_RUN_REPORT": str(report)}
        done = self.ansible("site.yml", program="ansible-playbook", **more)
        report.with_suffix(".log").write_text(done.stdout, encoding="utf-8")
        assert done.returncode == 0, done.stdout
        found: dict[str, int] = json.loads(report.read_text(encoding="utf-8"))
        return found

    def reboot(self) -> None:
        """Have it reboot by itself, and wait until it has."""
        before = self.boot()
        self.run("systemctl --no-block reboot")
        deadline = time.monotonic() + BOOT_SECONDS
        while login.attempt(self.files, self.place.ssh_port) or self.boot() in ("", before):
            assert time.monotonic() < deadline, "it did not come back"
            time.sleep(1)

    def boot(self) -> str:
        """Return the identity of this boot, as far as it answers."""
        command = login.command(self.files, self.place.ssh_port, "cat", "/proc/sys/kernel/random/boot_id")
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def set_clock(self, seconds: float) -> None:
        """Set its clock, as a time server does: seconds since 1970."""
        self.run(f"date --utc --set=@{int(seconds)}")

    def wait_until_healthy(self) -> None:
        """Wait until Docker calls both containers healthy, by themselves."""
        wait = "until docker inspect -f {{.State.Health.Status}} %s | grep -qx healthy; do sleep 2; done"
        for name in CONTAINERS:
            self.run(f"timeout {DRAWN_SECONDS} sh -c '{wait % name}'")

    def picture(self) -> Image.Image:
        """Ask for the map of France from outside, until it is drawn; return it."""
        deadline = time.monotonic() + DRAWN_SECONDS
        while True:
            try:
                answer = requests.get(
                    f"http://{ADDRESS}:{self.place.map_port}/ows/sample/france/", params=FRANCE, timeout=REQUEST_SECONDS
                )
                answer.raise_for_status()
                return Image.open(io.BytesIO(answer.content)).convert("RGB")
            except (requests.RequestException, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(2)

    def answers_at(self, port: int, request: bytes = b"") -> bool:
        """Tell whether a program answers at one of its published ports, from outside."""
        outside = self.place.pi.ports[f"{port}/tcp"]
        with socket.create_connection((ADDRESS, outside), timeout=PROBE_SECONDS) as connection:
            # QEMU's network accepts in the Pi's place, and closes where the Pi refuses.
            try:
                connection.sendall(request)
                return bool(connection.recv(1))
            except (TimeoutError, ConnectionError):
                return False


def emulator(command: str, *arguments: str) -> str:
    """Run a command of the emulator; return what it says."""
    program = ROOT / "workshop" / "emulator" / "pi.py"
    words = [sys.executable, str(program), command, "--kind", "machine", *arguments]
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout
