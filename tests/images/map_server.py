"""The images run as the product runs them, and asked as browsers ask."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import docker
import requests
from ansible.module_utils.poppyfield.containers.spec import network_body
from ansible.module_utils.poppyfield.lizmap import sandbox
from ansible.module_utils.poppyfield.postgis import written_tables
from ansible.module_utils.poppyfield.postgis.postgres import Database
from ansible.module_utils.poppyfield.projects import server_checks
from PIL import Image

from tests.images import building, projects

PREFIX = f"pf-images-test-{os.getpid()}-"
EMULATED = building.architecture() != building.own_architecture()
START_SECONDS = 900 if EMULATED else 240
# The Pi 4's processor is much faster to emulate than what QEMU would choose.
ENVIRONMENT = {"QEMU_CPU": "cortex-a72"} if EMULATED else {}
REQUEST_SECONDS = 120
HARDENED: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "detach": True,
}
PASSWORD = "not a secret"
RUN = "/usr/local/lib/poppyfield/services/qgis-server/run"
HOME = "/var/lib/qgis-server"
"""QGIS Server's."""
ALL_ALLOWED = 'map $uri $refusal { default ""; }'
"""map-page-requests.conf that refuses nothing: what QGIS Server would answer."""


class MapServer:
    """A running container of the map server."""

    def __init__(self, container: Any) -> None:
        self.container = container
        container.reload()
        # A container without a network has no port.
        ports = container.ports.get("8080/tcp")
        self.url = f"http://127.0.0.1:{ports[0]['HostPort']}" if ports else ""

    def get(self, path: str, **options: Any) -> requests.Response:
        """Ask the published port."""
        return requests.get(self.url + path, timeout=REQUEST_SECONDS, **options)

    def ows(self, project: str, **parameters: str) -> requests.Response:
        """Ask one project's service; the answer is no error."""
        answer = self.get(address(project), params=parameters)
        assert answer.ok, answer.text[:1000]
        return answer

    def wms(self, project: str, request: str = "GetMap", **changes: str) -> requests.Response:
        """Ask a project for the ground in 200 by 100 pixels, or for what else WMS tells about it."""
        box = f"{projects.WEST},{projects.SOUTH},{projects.EAST},{projects.NORTH}"
        parameters = {
            **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": request, "LAYERS": "meadow", "STYLES": ""},
            **{"CRS": "CRS:84", "BBOX": box, "WIDTH": "200", "HEIGHT": "100", "FORMAT": "image/png", **changes},
        }
        return self.ows(project, **parameters)

    def picture(self, project: str, request: str = "GetMap", **changes: str) -> Image.Image:
        """Ask for a picture."""
        return picture(self.wms(project, request, **changes))

    def wfs(self, project: str, request: str, **changes: str) -> requests.Response:
        """Ask a project for its features."""
        parameters = {"SERVICE": "WFS", "VERSION": "1.1.0", "REQUEST": request, "TYPENAME": "meadow", **changes}
        return self.ows(project, **parameters)

    def run(self, *command: str, user: str = "www-data") -> tuple[int, str]:
        """Run a command in the container as one of its users; return its exit code and what it wrote."""
        code, output = self.container.exec_run(list(command), user=user)
        return code, output.decode(errors="replace")

    def ask_inside(self, project: str, **parameters: str) -> str:
        """Ask QGIS Server for features where nothing stands before it; give its answer."""
        query = {"MAP": project, "SERVICE": "WFS", "VERSION": "1.1.0", "TYPENAME": "meadow", **parameters}
        code, answer = self.run("bash", "-c", server_checks.ASK, "bash", urlencode(query))
        assert code == 0, answer
        return answer

    def log(self) -> str:
        """Give everything that the container wrote."""
        return str(self.container.logs().decode(errors="replace"))

    def oom_kills(self) -> int:
        """Give how many processes the kernel ended for want of memory."""
        files = "/sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control"
        _, told = self.run("sh", "-c", f"cat {files} 2> /dev/null")
        (count,) = re.findall(r"^oom_kill (\d+)$", told, re.MULTILINE)
        return int(count)

    def wait_until_healthy(self) -> None:
        """Wait until the image's own health check is content."""
        wait_until(lambda: self.run("healthcheck")[0] == 0, "the map server is healthy", self.log)


def address(project: str) -> str:
    """Give the address of a project, which is named as `repository/project` or by its id in the catalogue."""
    return f"/ows/{project}/" if "/" in project else f"/project/{project}/"


def picture(answer: requests.Response) -> Image.Image:
    """Read the picture in an answer."""
    assert answer.headers["Content-Type"].startswith("image/"), answer.text[:1000]
    return Image.open(io.BytesIO(answer.content)).convert("RGB")


def wait_until(come: Callable[[], Any], what: str, log: Callable[[], str] = str) -> Any:
    """Ask until the answer is true, and give it; fail with the log when it takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not (answer := come()):
        assert time.monotonic() < deadline, f"Not within {START_SECONDS} s: {what}.\n{log()[-3000:]}"
        time.sleep(0.2)
    return answer


def trusting(folder: Path) -> dict[str, str]:
    """Give mounts with which QGIS Server is the user that nginx and PHP are: without the defence."""
    defended = (building.ROOT / "images" / "lizmap" / "services" / "qgis-server" / "run").read_text("utf-8")
    assert "run-as qgis" in defended and f"home={HOME}\n" in defended
    run = folder / "run"
    run.write_text(defended.replace("run-as qgis", "run-as www-data").replace(HOME, "/tmp"), "utf-8")
    run.chmod(0o755)
    passed_on = (building.ROOT / "images" / "lizmap" / "nginx" / "qgis-server.conf").read_text("utf-8")
    assert f"TMPDIR {HOME};" in passed_on
    configuration = folder / "qgis-server.conf"
    configuration.write_text(passed_on.replace(HOME, "/tmp"), "utf-8")
    configuration.chmod(0o644)
    return {str(run): RUN, str(configuration): "/etc/poppyfield/qgis-server.conf"}


def volumes(folder: Path) -> list[str]:
    """Give what every map server has mounted."""
    return [
        f"{folder}/projects:/srv/projects:ro",
        f"{folder}/state:/srv/lizmap",
        f"{folder}/password:/run/secrets/postgis_password:ro",
    ]


def replacing(folder: Path, configuration: dict[str, str]) -> list[str]:
    """Write other texts for files of /etc/poppyfield; give their mounts."""
    mounts = []
    for name, text in configuration.items():
        path = folder / f"{time.monotonic_ns()}-{name}"
        path.write_text(text, "utf-8")
        mounts.append(f"{path}:/etc/poppyfield/{name}:ro")
    return mounts


@contextmanager
def map_server(
    image: str, folder: Path, network: str = "", configuration: dict[str, str] | None = None, **options: Any
) -> Iterator[MapServer]:
    """Run a map server that serves folder/projects; remove it afterwards.

    `configuration` has other texts for files of /etc/poppyfield.
    """
    state, secret = folder / "state", folder / "password"
    for path in (folder / "projects", state):
        path.mkdir(exist_ok=True)
    secret.write_text(PASSWORD, encoding="utf-8")
    for path, mode in ((state, 0o700), (secret, 0o400)):
        os.chown(path, 33, 33)
        path.chmod(mode)
    arguments = {
        **HARDENED,
        "name": f"{PREFIX}map-{time.monotonic_ns()}",
        "network": network or "bridge",
        "cap_add": list(sandbox.CAPABILITIES),
        "tmpfs": sandbox.TMPFS,
        "ports": {"8080/tcp": ("127.0.0.1", None)},
        **options,
        "volumes": options.get("volumes", volumes(folder)) + replacing(folder, configuration or {}),
        "environment": {**ENVIRONMENT, **options.get("environment", {})},
    }
    container = docker.from_env().containers.run(image, **arguments)
    try:
        yield MapServer(container)
    finally:
        container.remove(force=True)


@contextmanager
def database(image: str, folder: Path, sql: str, more: Iterable[tuple[str, str]] = (), **options: Any) -> Iterator[str]:
    """Run PostGIS with what the SQL makes, on a network of its own; give the network's name.

    Map servers on it connect with the values that MapServer's image has by default. `more` is done before by the
    superuser, each in a database.
    """
    client = docker.from_env()
    data = folder / "data"
    data.mkdir(mode=0o700)
    os.chown(data, 5432, 5432)
    # As the modules make it, so that they use it.
    labels = network_body("")["Labels"]
    network = client.networks.create(f"{PREFIX}network", labels=labels)
    container = client.containers.run(
        image,
        **HARDENED,
        name=f"{PREFIX}postgis",
        environment=ENVIRONMENT,
        network=network.name,
        tmpfs={"/tmp": "mode=1777", "/run/postgresql": "uid=5432,mode=0755"},
        shm_size="128m",
        volumes=[f"{data}:/var/lib/postgresql/data"],
        **options,
    )
    network.disconnect(container)
    network.connect(container, aliases=["postgis"])
    try:
        wait_until(lambda: container.exec_run("healthcheck").exit_code == 0, "PostGIS answers")
        for name, words in (
            *more,
            ("postgres", f"CREATE ROLE gis LOGIN PASSWORD '{PASSWORD}'"),
            ("postgres", "CREATE DATABASE gis OWNER gis"),
            ("postgres", written_tables.plan_changes([Database("gis", "gis")], {})[0].script),
            ("gis", "CREATE EXTENSION postgis"),
            ("gis", f"SET ROLE gis; {sql}"),
        ):
            command = ["psql", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", name, "-c", words]
            code, output = container.exec_run(command)
            assert code == 0, output.decode()
        yield str(network.name)
    finally:
        container.remove(force=True)
        network.remove()
