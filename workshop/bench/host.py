"""The Docker objects of the benchmark: made, changed by hand, looked at, removed. All names start with pf-bench-."""

from __future__ import annotations

import io
import os
import socket
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound

from workshop.bench.contenders import PREFIX, REPOSITORY, Contender, Json, image
from workshop.bench.playbook import BenchError
from workshop.bench.scenarios import BY_HAND_LABEL, BY_HAND_NETWORK, BY_HAND_VARIABLE, Seen

CONTEXT = Path(__file__).resolve().parent / "server"
BUSYBOX = Path("/bin/busybox")
BEHAVIOURS = ("a", "b", "exits", "hangs")
MOVING_TAG = "moving"
ANSWER_SECONDS = 4
QUESTION = ["/busybox", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/behaviour"]


@contextmanager
def prepared() -> Iterator[Host]:
    """Give a host with the images; whatever happens, nothing of the benchmark is left afterwards."""
    if not BUSYBOX.exists():
        raise BenchError("The package busybox-static is missing: python3 workshop/laptop/prepare.py bench installs it.")
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        host = Host(docker.from_env(timeout=120), Path(folder))
        try:
            host.clean()
            host.make_images()
            yield host
        finally:
            host.clean()


class Host:
    """This machine's Docker Engine, and a folder for what is mounted."""

    def __init__(self, client: docker.DockerClient, folder: Path) -> None:
        self.client = client
        self._folder = folder

    def make_images(self) -> None:
        """Make the images."""
        for behaviour in BEHAVIOURS:
            self._build(behaviour)

    def clean(self) -> None:
        """Remove every container, network and image of the benchmark, and the locks that our modules took on them."""
        self.remove_containers()
        for network in self.client.networks.list(filters={"name": f"^{PREFIX}"}):
            network.remove()
        for found in self.client.images.list(name=REPOSITORY):
            for reference in found.tags:
                self.client.images.remove(reference, force=True)
        for lock in Path("/run/poppyfield").glob(f"*{PREFIX}*"):
            lock.unlink()

    def remove_containers(self, subject: str = "") -> None:
        """Remove every container of a subject, or of the benchmark, also those that a run which was cut off left."""
        for container in self.client.containers.list(
            all=True, ignore_removed=True, filters={"name": f"^/?{PREFIX}{subject}"}
        ):
            container.remove(force=True)

    def folder(self, contender: Contender) -> str:
        """Give the folder whose content a contender mounts; it exists."""
        top = self.top(contender)
        for name in ("data", "projects", "config"):
            Path(top, name).mkdir(parents=True, exist_ok=True)
        for name in ("postgis_password", "spare"):
            if not Path(top, name).exists():
                Path(top, name).write_text("not a secret\n", encoding="utf-8")
        return top

    def top(self, contender: Contender) -> str:
        """Give the path of a contender's folder."""
        return str(self._folder / contender.key)

    def scratch(self, name: str) -> Path:
        """Give a folder for payloads."""
        return self._folder / "payloads" / name

    def inspect(self, name: str) -> Json:
        """Inspect a container; give an empty dictionary when there is none."""
        try:
            return dict(self.client.api.inspect_container(name))
        except NotFound:
            return {}

    def look(self, name: str) -> Seen:
        """Look at a container and ask it a question; one that was just started has some seconds to answer."""
        deadline = time.monotonic() + ANSWER_SECONDS
        answer = ""
        while not answer and time.monotonic() < deadline:
            answer = self._ask(name)
            time.sleep(0.2)
        return Seen(self.inspect(name), answer)

    def _ask(self, name: str) -> str:
        try:
            code, output = self.client.containers.get(name).exec_run(QUESTION)
        except APIError:
            return ""
        return output.decode().strip() if code == 0 and isinstance(output, bytes) else ""

    def move_tag(self, behaviour: str) -> str:
        """Let the moving tag mean another image; give its reference."""
        self.client.images.get(image(behaviour)).tag(REPOSITORY, MOVING_TAG)
        return image(MOVING_TAG)

    def _build(self, behaviour: str) -> None:
        files = {name: (CONTEXT / name).read_bytes() for name in ("Dockerfile", "serve")}
        files |= {"busybox": BUSYBOX.read_bytes(), "behaviour": f"{behaviour}\n".encode()}
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o755
                tar.addfile(entry, io.BytesIO(content))
        archive.seek(0)
        self.client.images.build(fileobj=archive, custom_context=True, tag=image(behaviour), rm=True, forcerm=True)

    # By hand ------------------------------------------------------------------------------------------------------

    def by_hand(self, action: str, name: str) -> None:
        """Change a container behind the module's back."""
        actions: dict[str, Callable[[str], None]] = {
            "stop": lambda name: self.client.containers.get(name).stop(timeout=10),
            "restart policy": self._set_restart_policy,
            "variable": self._add_variable,
            "network": self._connect,
            "foreign": self._put_foreign,
        }
        actions[action](name)

    def _add_variable(self, name: str) -> None:
        """Make the container again with one more variable, as tools do that edit containers."""
        found = self.client.api.inspect_container(name)
        networks = found["NetworkSettings"]["Networks"]
        body = {
            **{option: value for option, value in found["Config"].items() if option != "Hostname"},
            "Env": [*(found["Config"]["Env"] or []), f"{BY_HAND_VARIABLE}=1"],
            "HostConfig": found["HostConfig"],
            "NetworkingConfig": {
                "EndpointsConfig": {
                    # Engines before 25 add the container's own short id.
                    network: {"Aliases": [alias for alias in endpoint["Aliases"] if alias != found["Id"][:12]]}
                    for network, endpoint in networks.items()
                }
            },
        }
        self.client.api.remove_container(name, force=True)
        self.client.api.start(self.client.api.create_container_from_config(body, name))  # type: ignore[no-untyped-call]

    def _set_restart_policy(self, name: str) -> None:
        policy: Any = {"Name": "no"}
        self.client.api.update_container(name, restart_policy=policy)

    def _connect(self, name: str) -> None:
        found = self.client.networks.list(names=[BY_HAND_NETWORK])
        network = found[0] if found else self.client.networks.create(BY_HAND_NETWORK)
        network.connect(name)

    def _put_foreign(self, name: str) -> None:
        self.client.api.remove_container(name, force=True)
        self.client.containers.run(image("a"), name=name, detach=True, labels={BY_HAND_LABEL: "somebody else"})


def free_port() -> int:
    """Give a TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def facts(client: Any) -> Json:
    """Say what machine and what engine this is."""
    version = client.version()
    cpus = [line for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines() if line.startswith("model name")]
    return {
        "cpu": cpus[0].partition(":")[2].strip() if cpus else "unknown",
        "cpus": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load": os.getloadavg()[0],
        "kernel": os.uname().release,
        "architecture": os.uname().machine,
        "docker_engine": version["Version"],
    }
