"""Where the Pi is, in the map server's container: by HTTP, too, new each time, and said plainly where nobody knows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from ansible.module_utils.poppyfield.position import program
from ansible.module_utils.poppyfield.position.program import PositionTeller

from tests.images import projects
from tests.images.map_server import MapServer, map_server, volumes
from tests.images.test_pi_page import folder_of_a_pi

LONGITUDE = (projects.WEST + projects.EAST) / 2
LATITUDE = (projects.SOUTH + projects.NORTH) / 2


def fix(second: int = 0) -> dict[str, Any]:
    """Give what gpsd says of the middle of the project."""
    time = f"2026-12-01T04:22:{second:02}.000Z"
    return {"class": "TPV", "mode": 3, "time": time, "lat": LATITUDE, "lon": LONGITUDE, "eph": 5000.0}


def place(folder: Path) -> Path:
    """Give where the program of the Pi writes; systemd makes it for the program, and removes it with it."""
    return folder / "page" / Path(program.FOLDER).name


def tell(folder: Path, *messages: dict[str, Any], ago: float = 0) -> None:
    """Write what the program on the Pi does after these messages, and `ago` seconds more in which nothing came."""
    place(folder).mkdir(mode=0o755, exist_ok=True)
    teller = PositionTeller("pi-orchard", (), place(folder), folder / "none", folder / "clock")
    for message in messages:
        teller.hear(message)
    now = teller.now() + ago
    teller.now = lambda: now
    teller.write()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a project and an empty one for the pages."""
    return folder_of_a_pi(tmp_path_factory)


@pytest.fixture(scope="module")
def server(lizmap_image: str, folder: Path) -> Iterator[MapServer]:
    """Return a map server with HTTPS, which had no position when it started."""
    secrets = ("tls_certificate", "tls_key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=pi-orchard", "-out", str(folder / secrets[0]), "-keyout", str(folder / secrets[1])]
    subprocess.run(command, check=True, capture_output=True)
    for name in secrets:
        (folder / name).chmod(0o400)
        os.chown(folder / name, 33, 33)
    options: dict[str, Any] = {
        "environment": {"QGIS_SERVER_WORKERS": "1", "SERVER_NAMES": "pi-orchard", "HTTPS_PORT": "443"},
        "volumes": [
            *(*volumes(folder), f"{folder}/page:/srv/page:ro"),
            *(f"{folder / name}:/run/secrets/{name}:ro" for name in secrets),
        ],
        "ports": {f"{port}/tcp": ("127.0.0.1", None) for port in (8080, 8443)},
    }
    with map_server(lizmap_image, folder, **options) as running:
        running.wait_until_healthy()
        running.container.reload()
        yield running


def by_https(server: MapServer) -> requests.Response:
    port = server.container.ports["8443/tcp"][0]["HostPort"]
    return requests.get(f"https://127.0.0.1:{port}/position", timeout=60, verify=False)


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_it_is_told_with_and_without_https_and_nothing_else_is(server: MapServer, folder: Path) -> None:
    tell(folder, fix())
    assert server.get("/", allow_redirects=False).status_code == 308
    for answer in (server.get("/position", allow_redirects=False), by_https(server)):
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (answer.json()["state"], answer.json()["latitude"]) == ("fix", LATITUDE)


def test_each_answer_is_the_newest(server: MapServer, folder: Path) -> None:
    tell(folder, fix(1))
    first = server.get("/position")
    tell(folder, fix(2), ago=11)
    # A browser that kept the first one would ask so.
    conditions = {"If-None-Match": first.headers.get("ETag", ""), "If-Modified-Since": first.headers["Last-Modified"]}
    second = server.get("/position", headers=conditions)
    assert second.status_code == 200
    assert (first.json()["stale"], second.json()["stale"]) == (False, True)


def test_without_a_position_that_is_said_and_it_comes_and_goes_while_the_server_runs(
    server: MapServer, folder: Path
) -> None:
    shutil.rmtree(place(folder), ignore_errors=True)
    answer = server.get("/position", allow_redirects=False)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert answer.json()["state"] == "off" and set(answer.json()["said"]) == {"en", "fr"}
    assert answer.headers["Content-Type"] == "application/json"
    tell(folder, fix())
    assert server.get("/position").json()["state"] == "fix"
    shutil.rmtree(place(folder))
    assert server.get("/position").json()["state"] == "off"


@pytest.mark.parametrize(
    "path", ["/position/", "/position/position.json", "/position/../status.json", "/position/kept"]
)
def test_nothing_else_of_the_folder_is_handed_out(server: MapServer, folder: Path, path: str) -> None:
    tell(folder, fix())
    (place(folder) / "kept").write_text("of nobody's business")
    # It is there, and nginx can read it.
    assert server.run("grep", "--quiet", "business", "/srv/page/position/kept")[0] == 0
    answer = server.get(path, allow_redirects=False)
    assert answer.status_code in (308, 400, 403, 404) and "business" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nobody_tells_the_pi_where_it_is(server: MapServer, folder: Path, method: str) -> None:
    tell(folder, fix())
    answer = requests.request(method, f"{server.url}/position", data=json.dumps(fix()), timeout=60)
    assert answer.status_code in (403, 405)
    assert server.get("/position").json()["latitude"] == LATITUDE


def test_a_name_that_is_not_served_has_no_position(server: MapServer, folder: Path) -> None:
    tell(folder, fix())
    assert server.get("/position", headers={"Host": "pi-orchard"}).status_code == 200
    assert server.get("/position", headers={"Host": "evil.example"}, allow_redirects=False).status_code == 421
