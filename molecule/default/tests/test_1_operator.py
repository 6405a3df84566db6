"""What an operator sees of a provisioned Pi, and sees again after a power cut."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import pytest
import requests
from ansible.module_utils.poppyfield.containers import services
from PIL import Image
from testinfra.host import Host

from emulated_pi import MAP_URL, REQUEST_SECONDS, STATE, inspect, log_in, open_ports, power_cut, sql

PROJECT_URL = f"{MAP_URL}/ows/sample/france/"
FRANCE = "-680000,5020000,1150000,6680000"
LAYERS = "countries,departments,rivers,towns,observations"
CONTAINERS = services.containers()
SERVERS = {"websig-postgis": ["postgres"], "websig-lizmap": ["nginx", "php-fpm", "qgis_mapserv"]}
"""The programs of each container that answer others."""
POINT = "ST_SetSRID(ST_MakePoint(2.5, 46.6), 4326)"
NOTE = "written before the power cut"


@pytest.fixture(scope="module", params=["as provisioned", "after a power cut"])
def pi(request: pytest.FixtureRequest) -> Iterator[Host]:
    """Return the Pi in each of the two states; both must look the same from outside."""
    host = log_in()
    if request.param == "after a power cut":
        sql(host, f"INSERT INTO sample.observations (species, note, geom) VALUES ('Papaver rhoeas', '{NOTE}', {POINT})")
        power_cut()
        wait_until_healthy(host)
    yield host
    sql(host, "DELETE FROM sample.observations")


def wait_until_healthy(host: Host) -> None:
    """Wait until Docker calls both containers healthy; nothing else may be needed after a start."""
    wait = (
        "timeout 600 sh -c 'until [ \"$(docker inspect -f {{.State.Health.Status}} %s)\" = healthy ]; do sleep 3; done'"
    )
    for name in CONTAINERS:
        host.run_expect([0], wait % name)


def get_map(**changes: str) -> Image.Image:
    """Ask for the map of France; return its picture."""
    parameters = {
        "SERVICE": "WMS",
        "VERSION": "1.3.0",
        "REQUEST": "GetMap",
        "LAYERS": LAYERS,
        "STYLES": "",
        "CRS": "EPSG:3857",
        "BBOX": FRANCE,
        "WIDTH": "600",
        "HEIGHT": "544",
        "FORMAT": "image/png",
        **changes,
    }
    answer = requests.get(PROJECT_URL, params=parameters, timeout=REQUEST_SECONDS)
    answer.raise_for_status()
    assert answer.headers["Content-Type"] == "image/png", answer.text[:500]
    return Image.open(io.BytesIO(answer.content)).convert("RGB")


def test_docker_runs_and_starts_at_boot(pi: Host) -> None:
    docker = pi.service("docker")
    assert docker.is_running
    assert docker.is_enabled


def test_the_journal_is_bounded(pi: Host) -> None:
    assert "SystemMaxUse=64M" in pi.check_output("systemd-analyze cat-config systemd/journald.conf")


@pytest.mark.parametrize("name", CONTAINERS)
def test_container_is_healthy_hardened_and_comes_back_by_itself(pi: Host, name: str) -> None:
    container = inspect(pi, name)
    assert container["State"]["Health"]["Status"] == "healthy"
    assert container["HostConfig"]["RestartPolicy"]["Name"] == "always"
    assert container["HostConfig"]["ReadonlyRootfs"] is True
    assert container["HostConfig"]["CapDrop"] == ["ALL"]
    assert pi.check_output("docker exec %s uname -m", name) == "aarch64"
    rows = [row.split(maxsplit=2) for row in pi.check_output("docker top %s -eo pid,user,comm", name).splitlines()]
    for server in SERVERS[name]:
        users = {user for _, user, program in rows if program.startswith(server)}
        assert users and "root" not in users, (server, rows)


def test_nothing_but_these_two_containers_is_left(pi: Host) -> None:
    assert sorted(pi.check_output("docker ps --all --format '{{.Names}}'").split()) == sorted(CONTAINERS)


def test_projects_are_read_only_for_the_map_server(pi: Host) -> None:
    mounts = {mount["Destination"]: mount for mount in inspect(pi, "websig-lizmap")["Mounts"]}
    assert mounts["/srv/projects"]["Source"] == "/srv/poppyfield/lizmap/projects"
    assert mounts["/srv/projects"]["RW"] is False


def test_the_database_lies_in_its_host_folder(pi: Host) -> None:
    assert pi.file("/srv/poppyfield/postgis/data").mode == 0o700
    assert pi.check_output("cat /srv/poppyfield/postgis/data/cluster/PG_VERSION") == "17"


def test_from_outside_only_ssh_and_the_map_can_be_reached(pi: Host) -> None:
    assert open_ports(pi) == {"22", "80"}
    assert inspect(pi, "websig-postgis")["HostConfig"]["PortBindings"] in ({}, None)


def test_secrets_are_readable_by_their_owners_only(pi: Host) -> None:
    assert pi.file("/etc/poppyfield/secrets").mode == 0o700
    modes = pi.check_output("find /etc/poppyfield/secrets -type f -printf '%m\\n'").split()
    assert modes
    assert set(modes) == {"600"}


def test_the_cluster_is_what_was_promised(pi: Host) -> None:
    assert sql(pi, "SHOW data_checksums") == "on"
    assert sql(pi, "SHOW password_encryption") == "scram-sha-256"
    assert [sql(pi, f"SHOW {name}") for name in ("fsync", "full_page_writes", "synchronous_commit")] == ["on"] * 3
    assert sql(pi, "SELECT extversion FROM pg_extension WHERE extname = 'postgis'").startswith("3.5")
    assert sql(pi, "SELECT rolname FROM pg_authid WHERE rolsuper") == "postgres"
    assert sql(pi, "SELECT rolpassword IS NULL FROM pg_authid WHERE rolsuper") == "t"
    assert sql(pi, "SELECT left(rolpassword, 14) FROM pg_authid WHERE rolname = 'gis'") == "SCRAM-SHA-256$"


def test_no_row_is_lost(pi: Host, request: pytest.FixtureRequest) -> None:
    assert sql(pi, "SELECT count(*) FROM sample.departments") == "96"
    if "power cut" in request.node.callspec.id:
        assert sql(pi, f"SELECT count(*) FROM sample.observations WHERE note = '{NOTE}'") == "1"


def test_capabilities_list_the_layers(pi: Host) -> None:
    answer = requests.get(PROJECT_URL, params={"SERVICE": "WMS", "REQUEST": "GetCapabilities"}, timeout=REQUEST_SECONDS)
    assert answer.status_code == 200
    assert all(f"<Name>{layer}</Name>" in answer.text for layer in LAYERS.split(","))


def test_the_map_is_a_picture_of_many_colours(pi: Host) -> None:
    colours = get_map().getcolors(maxcolors=2**24)
    assert colours is not None
    assert len(colours) > 100


def test_a_point_inserted_with_sql_shows_in_the_next_picture(pi: Host) -> None:
    sql(pi, "DELETE FROM sample.observations")
    before = get_map()
    assert get_map().tobytes() == before.tobytes()
    sql(pi, f"INSERT INTO sample.observations (species, geom) VALUES ('Papaver rhoeas', {POINT})")
    assert get_map().tobytes() != before.tobytes()


def test_features_are_the_rows_of_the_table(pi: Host) -> None:
    query = {"SERVICE": "WFS", "VERSION": "1.1.0", "REQUEST": "GetFeature", "TYPENAME": "departments"}
    answer = requests.get(PROJECT_URL, params={**query, "OUTPUTFORMAT": "application/json"}, timeout=REQUEST_SECONDS)
    assert len(answer.json()["features"]) == 96


def test_a_page_for_the_browser_lists_the_project(pi: Host) -> None:
    assert "<html" in requests.get(MAP_URL, timeout=REQUEST_SECONDS).text
    catalogue = requests.get(f"{MAP_URL}/index.json", timeout=REQUEST_SECONDS).json()
    assert len(catalogue["projects"]) == 1


@pytest.mark.parametrize("name", ["MAP", "map", "Map"])
def test_nobody_can_choose_another_project_file(pi: Host, name: str) -> None:
    parameters = {"SERVICE": "WMS", "REQUEST": "GetCapabilities", name: "/srv/projects/sample/france.qgs"}
    assert requests.get(PROJECT_URL, params=parameters, timeout=REQUEST_SECONDS).status_code == 400


def test_the_second_image_came_without_the_layers_of_the_first() -> None:
    said = (STATE / "ansible.log").read_text("utf-8")
    assert re.search(r"Uploading poppyfield-postgis\S+ \(\d+ MB\) to demo-pi", said)
    assert re.search(r"Uploading poppyfield-lizmap\S+ \(\d+ MB of \d+ MB; it has the rest already\) to demo-pi", said)
