"""This machine in place of a Pi: the map server is deployed to it by the role, and the map looked at from outside."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import docker
import requests
from ansible.module_utils.poppyfield.containers.engine import BuildRequest, DockerCommand
from ansible.module_utils.poppyfield.host.architectures import PLATFORMS
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from PIL import Image

from tests.images import building, projects
from tests.images.map_server import ENVIRONMENT, PASSWORD, PREFIX, wait_until
from tests.images.projects import GRASS, POPPY, Layer
from tests.lizmap.lizmap import configuration, edited

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
NAME = f"{PREFIX}release"
SERVER_NAME = "maps.example.org"
MEADOW, TREE = (50, 50), (150, 50)
"""Where the picture of the ground shows the meadow, which is a file, and the tree, which is in PostGIS."""
TABLE = (
    "DROP TABLE IF EXISTS trees; CREATE TABLE trees (id int PRIMARY KEY, name text, geom geometry(Point, 4326));"
    "INSERT INTO trees VALUES (1, 'oak', ST_SetSRID(ST_MakePoint(3.5, 46.5), 4326))"
)
SERVICE = "service='poppyfield' key='id' srid=4326 type=Point table=\"public\".\"{}\" (geom)"
ANSWER_SECONDS = 10
PAUSE = 0.5


def trees(table: str = "trees") -> Layer:
    """Give the layer of the trees."""
    style = projects.single_symbol(projects.marker(color=projects.rgba(GRASS)))
    return Layer(SERVICE.format(table), "postgres", "trees", "Point", style=style, fields=("id", "name"))


def write_project(folder: Path, name: str, layers: list[Layer], edition: Sequence[Layer] = ()) -> None:
    """Write a project and what Lizmap's plugin for QGIS Desktop writes beside it; some of its layers may be edited."""
    settings = configuration(layers, editionLayers={layer.name: edited(layer) for layer in edition})
    (folder / f"{name}.qgs").write_text(projects.qgs(layers), "utf-8")
    (folder / f"{name}.qgs.cfg").write_text(settings, "utf-8")


def write_certificate(folder: Path, starts: int = -1, ends: int = 300) -> dict[str, str]:
    """Write a certificate that begins and ends so many days from now, and its key; give the role's variables."""
    folder.mkdir(exist_ok=True)
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVER_NAME)])
    names = x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME), x509.IPAddress(IPv4Address("127.0.0.1"))])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).add_extension(names, critical=False)
    builder = builder.not_valid_before(now + timedelta(days=starts)).not_valid_after(now + timedelta(days=ends))
    files = {"certificate": folder / "certificate.pem", "key": folder / "key.pem"}
    files["certificate"].write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    files["key"].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {f"lizmap_tls_{kind}": str(path) for kind, path in files.items()}


def free_port() -> int:
    """Give a port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass(frozen=True)
class Run:
    """What a run of the playbook ended with."""

    succeeded: bool
    output: str
    task: str
    """The first task that failed."""
    message: str
    """What the last one that failed said."""


def read_run(succeeded: bool, output: str) -> Run:
    """Read what ansible-playbook printed."""
    task, failed, message = "", "", ""
    for line in output.splitlines():
        if found := re.match(r"TASK \[(?:lizmap : )?(.*)\] \*", line):
            task = found[1]
        elif found := re.match(r"(?:fatal|failed): \[pi[^]]*\].*? => (\{.*)", line):
            failed = failed or task
            message = str(json.JSONDecoder().raw_decode(found[1])[0].get("msg", ""))
    return Run(succeeded, output, failed, message)


class Watch(threading.Thread):
    """Asks for the map all the time, and counts the seconds without one."""

    def __init__(self, pi: Pi) -> None:
        super().__init__(daemon=True)
        self.pi = pi
        self.seconds = 0.0
        self.done = threading.Event()

    def run(self) -> None:
        """Ask."""
        since = None
        while not self.done.is_set():
            asked = time.monotonic()
            if not self.pi.draws():
                since = since or asked
            elif since is not None:
                self.seconds += time.monotonic() - since
                since = None
            self.done.wait(PAUSE)
        if since is not None:
            self.seconds += time.monotonic() - since


class Pi:
    """A folder and a container in place of a Pi's, and a folder of projects on the laptop."""

    def __init__(self, folder: Path, image: str, network: str, query: Callable[[str], str]) -> None:
        self.folder = folder
        self.base = image
        self.query = query
        self.client = docker.from_env()
        self.secrets = folder / "secrets"
        self.maps = folder / "maps"
        self.config = folder / "lizmap" / "config"
        for path in (self.secrets, self.maps, self.config):
            path.mkdir(parents=True)
        # What is in the image does not come from these; the check of the inventory wants them named.
        archives = {name: folder / f"{name}.zip" for name in ("lizmap_archive", "lizmap_server_plugin")}
        for path in archives.values():
            path.touch()
        (folder / "hosts").write_text("[pis]\npi ansible_connection=local\n", "utf-8")
        self.write_secret("postgis_gis", PASSWORD)
        write_project(self.maps, "meadow", [trees(), projects.geojson(self.maps)])
        https_port = free_port()
        self.url = f"https://127.0.0.1:{https_port}"
        self.variables: dict[str, Any] = {
            "ansible_become": False,
            "ansible_python_interpreter": sys.executable,
            **{name: str(path) for name, path in archives.items()},
            "lizmap_container_name": NAME,
            "lizmap_network": network,
            "lizmap_secrets_folder": str(self.secrets),
            "lizmap_folder": str(folder / "lizmap"),
            "lizmap_bind_address": "127.0.0.1",
            "lizmap_port": free_port(),
            "lizmap_https_port": https_port,
            "lizmap_server_name": SERVER_NAME,
            "lizmap_tls": "files",
            **write_certificate(folder / "tls"),
            "lizmap_url": self.url,
            "lizmap_qgis_workers": 1,
            # This machine is one Pi after the other.
            "lizmap_folder_may_change": True,
            "lizmap_projects": [
                {
                    **{"repository": "fields", "folder": str(self.maps), "prune": True},
                    **{"view": ["everyone"], "export": ["everyone"]},
                }
            ],
            "lizmap_verify_password_file": str(self.secrets / "lizmap_admin_password"),
            "lizmap_verify_timeout": 60,
            "lizmap_picture_folder": str(folder / "pictures"),
            "lizmap_health": {"interval": 5},
            "lizmap_healthy_timeout": 240,
        }

    def write_secret(self, name: str, text: str) -> Path:
        """Write a secret for the map server."""
        path = self.secrets / name
        path.write_text(text, "utf-8")
        os.chown(path, 33, 33)
        path.chmod(0o400)
        return path

    def image(self, target: str) -> str:
        """Build a release, which takes a moment; give its reference."""
        reference = f"{NAME}:{target}"
        command = DockerCommand.find()
        if command.image(reference) is None:
            platform, arguments = PLATFORMS[building.architecture()], {"IMAGE": self.base, **ENVIRONMENT}
            command.build(
                BuildRequest(reference, platform, HERE, HERE / "Dockerfile", {}, arguments, target), lambda _: None
            )
        return reference

    def deploy(self, target: str, **variables: Any) -> Run:
        """Deploy a release by the role."""
        given = {"lizmap_image": self.image(target), **self.variables, **variables}
        command = [sys.executable, "-m", "ansible", "playbook", "--inventory", str(self.folder / "hosts")]
        command += ["--extra-vars", json.dumps(given), str(HERE / "deploy.yml")]
        environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        return read_run(done.returncode == 0, done.stdout + done.stderr)

    def container(self) -> tuple[str, str]:
        """Give the id and the image of the container in place."""
        found = self.client.containers.get(NAME)
        return str(found.id), str(found.attrs["Config"]["Image"])

    def containers(self) -> list[str]:
        """Name all containers of the map server, running or not."""
        return sorted(
            str(found.name)
            for found in self.client.containers.list(all=True, ignore_removed=True, filters={"name": NAME})
        )

    def draws(self) -> bool:
        """Ask for the map as a browser does, and tell whether it shows the meadow and the tree."""
        box = f"{projects.SOUTH},{projects.WEST},{projects.NORTH},{projects.EAST}"
        asked = {
            **{"repository": "fields", "project": "meadow", "SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap"},
            **{"LAYERS": "meadow,trees", "STYLES": ",", "CRS": "EPSG:4326", "BBOX": box},
            **{"WIDTH": "200", "HEIGHT": "100", "FORMAT": "image/png"},
        }
        trusted = self.variables["lizmap_tls_certificate"]
        try:
            answer = requests.get(f"{self.url}/index.php/lizmap/service", asked, timeout=ANSWER_SECONDS, verify=trusted)
            picture = Image.open(io.BytesIO(answer.content)).convert("RGB")
        except (requests.RequestException, OSError):
            return False
        return (picture.getpixel(MEADOW), picture.getpixel(TREE)) == (POPPY, GRASS)

    @contextmanager
    def watched(self) -> Iterator[Watch]:
        """Ask for the map all the time; at the end it draws."""
        watch = Watch(self)
        watch.start()
        try:
            yield watch
            wait_until(self.draws, "the map draws", self.log)
        finally:
            watch.done.set()
            watch.join()

    def log(self) -> str:
        """Give what the container in place wrote."""
        return str(self.client.containers.get(NAME).logs(tail=50).decode(errors="replace"))

    def remove(self) -> None:
        """Remove the containers and the releases."""
        for name in self.containers():
            self.client.containers.get(name).remove(force=True)
        for image in self.client.images.list(NAME):
            for reference in image.tags:
                if reference.startswith(f"{NAME}:"):
                    self.client.images.remove(reference)
