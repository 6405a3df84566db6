"""site.yml on a Pi with a kernel, a clock and a card of its own: containers, firewall and map, also after a cut."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.reached import CONTAINERS, Machine

# From a bare card on, it is provisioned in the midst of them.
pytestmark = pytest.mark.timeout(5400)

POINT = "ST_SetSRID(ST_MakePoint(2.5, 46.6), 4326)"
HOURS_OFF = 30
CLOCK_SECONDS = 120
NOTE = "written before the power cut"
GREETING = b"GET / HTTP/1.0\r\n\r\n"
FORGOTTEN = "systemd-run --quiet --unit=forgotten --collect python3 -m http.server 8000 --directory /usr/share/doc"
LET_IN = "iptables -w -%s INPUT -p tcp --dport 8000 -j ACCEPT"


@pytest.fixture(scope="module", params=["as provisioned", "after a power cut"])
def pi(request: pytest.FixtureRequest, served: Machine) -> Iterator[Machine]:
    """Return the Pi in each of the two states; both must look the same from outside."""
    if request.param == "after a power cut":
        served.sql(f"INSERT INTO sample.observations (species, note, geom) VALUES ('Papaver', '{NOTE}', {POINT})")
        served.power_cut()
        served.wait_until_healthy()
    yield served


def test_containers_run_on_its_own_kernel(pi: Machine) -> None:
    for name in CONTAINERS:
        assert pi.run(f"docker exec {name} uname -sm") == "Linux aarch64"
    assert pi.run("docker info --format '{{.Architecture}}'") == "aarch64"
    # Without it Docker cannot keep memory limits; a stock Pi has it only by cmdline.txt and a reboot.
    assert pi.run("docker info --format '{{.MemoryLimit}}'") == "true"
    assert "cgroup_enable=memory" in pi.run("cat /boot/firmware/cmdline.txt", sudo=False).split()


def test_from_outside_only_ssh_and_the_map_answer(pi: Machine) -> None:
    assert pi.answers_at(22)
    assert pi.answers_at(80, GREETING)
    assert not pi.answers_at(5432)
    pi.run(FORGOTTEN)
    try:
        pi.run("until ss -Hltn | grep -q :8000; do sleep 1; done")
        assert not pi.answers_at(8000, GREETING)
        # It is the firewall that keeps it out.
        pi.run(LET_IN % "I")
        assert pi.answers_at(8000, GREETING)
        pi.run(LET_IN % "D")
    finally:
        pi.run("systemctl stop forgotten")


def test_a_map_is_drawn_and_shows_what_the_database_has(pi: Machine) -> None:
    before = pi.picture()
    colours = before.getcolors(maxcolors=2**24)
    assert colours and len(colours) > 100
    pi.sql(f"INSERT INTO sample.observations (species, geom) VALUES ('Papaver rhoeas', {POINT})")
    assert pi.picture().tobytes() != before.tobytes()
    pi.sql("DELETE FROM sample.observations WHERE species = 'Papaver rhoeas'")
    assert pi.picture().tobytes() == before.tobytes()


def test_no_row_is_lost(pi: Machine, request: pytest.FixtureRequest) -> None:
    assert pi.sql("SELECT count(*) FROM sample.departments") == "96"
    if "power cut" in request.node.callspec.id:
        assert pi.sql(f"SELECT count(*) FROM sample.observations WHERE note = '{NOTE}'") == "1"


def test_a_second_run_changes_nothing_but_a_wrong_clock(
    pi: Machine, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    is_off = "power cut" in request.node.callspec.id
    pi.set_clock(time.time() - (HOURS_OFF * 3600 if is_off else 0))
    again = pi.provision(tmp_path / "again.json")
    assert (again["changed"], again["failed"]) == (int(is_off), 0)
    assert abs(int(pi.run("date +%s", sudo=False)) - time.time()) < CLOCK_SECONDS
