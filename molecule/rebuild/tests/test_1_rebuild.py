"""If it is broken, no matter: whatever was done to Docker on the Pi, one run without internet brings the map back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from testinfra.host import Host

from emulated_pi import MAP_URL, REQUEST_SECONDS, ansible_playbook, sql

ROWS = "SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM sample.departments t"
OBSERVED = "SELECT count(*), min(note) FROM sample.observations"
NOTE = "written before it was broken"
POINT = "ST_SetSRID(ST_MakePoint(2.5, 46.6), 4326)"
PICTURE = {
    "SERVICE": "WMS",
    "VERSION": "1.3.0",
    "REQUEST": "GetMap",
    "LAYERS": "countries,departments,rivers,towns,observations",
    "STYLES": "",
    "CRS": "EPSG:3857",
    "BBOX": "-680000,5020000,1150000,6680000",
    "WIDTH": "600",
    "HEIGHT": "544",
    "FORMAT": "image/png",
}
# Runs on a Pi that is emulated by a machine with something else to do.
pytestmark = pytest.mark.timeout(60 * 60)
STOP, START = "systemctl stop docker.socket docker", "systemctl start docker"
# What runs in it holds it.
EMPTIED = f"docker stop $(docker ps --quiet) && {STOP} && rm -rf /var/lib/docker/*"
BROKEN = {
    "the containers are removed": "docker rm --force websig-postgis websig-lizmap",
    "the images are removed, too": (
        "docker rm --force websig-postgis websig-lizmap && docker rmi --force $(docker images --quiet --all)"
    ),
    "the files of a layer are gone": (
        f"{STOP} && rm -rf $(ls -d /var/lib/docker/overlay2/*/diff/usr/lib | head --lines=1) && {START}"
    ),
    "Docker's folder is gone": f"{EMPTIED} && {START}",
    "Docker's settings are gone, too, and it does not start": f"{EMPTIED} /etc/docker && systemctl disable docker",
}


def picture() -> bytes:
    """Ask for the map; return its picture."""
    answer = requests.get(f"{MAP_URL}/ows/sample/france/", params=PICTURE, timeout=REQUEST_SECONDS)
    assert answer.headers["Content-Type"] == "image/png", answer.text[:500]
    return answer.content


@pytest.fixture(scope="module", autouse=True)
def _without_internet(pi: Host) -> Iterator[None]:
    """Take the Pi its way to the internet."""
    sql(pi, f"INSERT INTO sample.observations (species, note, geom) VALUES ('Papaver rhoeas', '{NOTE}', {POINT})")
    way = pi.check_output("ip route show default")
    pi.check_output("ip route delete default")
    yield
    pi.check_output(f"ip route add {way}")


@pytest.mark.parametrize("how", BROKEN)
def test_one_run_brings_the_map_back_with_the_data(pi: Host, how: str) -> None:
    before = (sql(pi, ROWS), sql(pi, OBSERVED), picture())
    assert NOTE in before[1]
    pi.check_output(f"bash -c '{BROKEN[how]}'")
    run = ansible_playbook()
    assert run.returncode == 0, run.stdout + run.stderr
    assert (sql(pi, ROWS), sql(pi, OBSERVED), picture()) == before
    again = ansible_playbook()
    assert again.returncode == 0 and " changed=0 " in again.stdout, again.stdout
