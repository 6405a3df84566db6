"""The emulated Pi of the benchmark: made, asked what it has and what it has spent, removed."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from ansible.module_utils.poppyfield.containers.services import SERVICES
from ansible.module_utils.poppyfield.host.data_folders import PREFIX

from workshop.bench.contenders import Json
from workshop.bench.playbook import ROOT, BenchError

NAME = "poppyfield-bench"
SSH_PORT, MAP_PORT = "2245", "8145"
SETTINGS = ("/etc/docker/daemon.json", "/etc/systemd/journald.conf.d/poppyfield.conf")
HEALTHY_SECONDS = 600
IDLE_SECONDS = 40
# Poppyfield's own notes of what it has published are in .poppyfield, and its marks of data folders begin like this.
OWN_NOTES = "-name '.poppyfield*' -prune -o"
PLACES = f"/etc/poppyfield/secrets /srv/poppyfield -path '*/data/*' -prune -o {OWN_NOTES}"
FOLDERS = f"find {PLACES} -printf '%p %U %G %m %y\\n' | sort"
CONTENT = f"sha256sum {' '.join(SETTINGS)} $(find /srv/poppyfield/lizmap/projects {OWN_NOTES} -type f -print | sort)"
ROWS = """docker exec -i websig-postgis psql -XAtq -d gis <<'END'
SELECT format('SELECT %L, count(*) FROM %I.%I', relname, nspname, relname)
    FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind = 'r' AND nspname = 'public' AND pg_get_userbyid(relowner) = 'gis' ORDER BY relname \\gexec
END"""


def without_marks(container: Json) -> Json:
    """Leave the mounts of marks out of an inspected container."""
    own = [mount for mount in container["Mounts"] if PREFIX not in mount["Source"]]
    asked = [mount for mount in container["HostConfig"]["Mounts"] or [] if PREFIX not in mount["Source"]]
    return {**container, "Mounts": own, "HostConfig": {**container["HostConfig"], "Mounts": asked}}


class BenchPi:
    """A running emulated Pi."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._client = docker.from_env(timeout=120)
        self._container = self._client.containers.get(NAME)

    @property
    def environment(self) -> dict[str, str]:
        """Give the variables by which inventory/demo finds it."""
        return {
            "POPPYFIELD_SSH_PORT": SSH_PORT,
            "POPPYFIELD_MAP_PORT": MAP_PORT,
            "POPPYFIELD_STATE_FOLDER": str(self.state),
            "LIZMAP_ARCHIVE": "",
            "LIZMAP_SERVER_PLUGIN": "",
        }

    def cpu_seconds(self) -> float:
        """Give the CPU time that everything on it has spent since it was started."""
        stats: Any = self._container.stats(stream=False, one_shot=True)
        return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9

    def idle_share(self) -> float:
        """Give the CPU seconds that it spends in a second while nobody asks anything of it."""
        began, before = time.monotonic(), self.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        return (self.cpu_seconds() - before) / (time.monotonic() - began)

    def run(self, command: str) -> str:
        """Run a shell command as root; give what it prints."""
        done = subprocess.run(
            ["docker", "exec", NAME, "sh", "-c", command], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchError(f"On the Pi, {command} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def containers(self) -> dict[str, Json]:
        """Inspect the containers, by service, without the marks of data folders, which each Pi names by itself."""
        told = json.loads(self.run("docker inspect " + " ".join(service.container for service in SERVICES)))
        found = [without_marks(container) for container in told]
        return dict(zip((service.name for service in SERVICES), found, strict=True))

    def settings(self) -> dict[str, str]:
        """Give the files that configure it."""
        return {path: self.run(f"cat {path}") for path in SETTINGS}

    def wait_until_healthy(self) -> None:
        """Wait until both containers are."""
        deadline = time.monotonic() + HEALTHY_SECONDS
        while any(c["State"].get("Health", {}).get("Status") != "healthy" for c in self.containers().values()):
            if time.monotonic() > deadline:
                raise BenchError("A container of the benchmark is not healthy in time.")
            time.sleep(2)

    def end_state(self) -> dict[str, Any]:
        """Give what must be equal whoever deployed, but for the containers' options."""
        return {
            "folders and files": self.run(FOLDERS).splitlines(),
            "content": self.run(CONTENT).splitlines(),
            "rows": self.run(ROWS).splitlines(),
            "images": sorted(self.run("docker image ls --no-trunc --format '{{.Repository}}:{{.Tag}}'").split()),
            "docker": self.run("systemctl is-active docker; systemctl is-enabled docker").split(),
        }


@contextmanager
def fresh(state: Path) -> Iterator[BenchPi]:
    """Give a bare Pi; it is removed afterwards, with its data."""
    state.mkdir(parents=True, exist_ok=True)
    _emulator("destroy", "--name", NAME)
    places = ("--ssh-port", SSH_PORT, "--map-port", MAP_PORT, "--state-dir", str(state))
    try:
        _emulator("start", "--name", NAME, *places)
        yield BenchPi(state)
    finally:
        _emulator("destroy", "--name", NAME)


def _emulator(*arguments: str) -> None:
    command = [sys.executable, str(ROOT / "workshop" / "emulator" / "pi.py"), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
