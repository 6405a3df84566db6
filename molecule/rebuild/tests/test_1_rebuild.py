"""If it is broken, no matter: whatever was done to Docker on the Pi, one run without internet brings the map back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from testinfra.host import Host

from emulated_pi import ansible_playbook, sql
from sample_map import FRANCE_ROWS, POINT, picture_of_france

OBSERVED = "SELECT count(*), min(note) FROM sample.observations"
NOTE = "written before it was broken"
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
    before = (sql(pi, FRANCE_ROWS), sql(pi, OBSERVED), picture_of_france())
    assert NOTE in before[1]
    pi.check_output(f"bash -c '{BROKEN[how]}'")
    run = ansible_playbook()
    assert run.returncode == 0, run.stdout + run.stderr
    assert (sql(pi, FRANCE_ROWS), sql(pi, OBSERVED), picture_of_france()) == before
    again = ansible_playbook()
    assert again.returncode == 0 and " changed=0 " in again.stdout, again.stdout
