"""Real cuts while site.yml runs on a whole machine: in each stage of a first run on a bare card, then of new releases.

Nobody does anything on the Pi. After each cut the command is given again, and the next cut is in a later stage of that
run; where a map was served, it is served again before. The last run ends right, and another changes nothing.
"""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.machine import map_server
from tests.machine.reached import CONTAINERS, Machine, Place
from tests.power_cuts.cutting import Row
from tests.power_cuts.database import CLIENTS, WALKED, insert
from tests.power_cuts.real_cuts import Ledger, Results

SITE = "site"
PLACE = Place("poppyfield-site-cuts", ssh_port=2235, map_port=8095)
RESULTS = Results(SITE, (*map_server.MADE_OF, "tests/power_cuts/site_runs.py"))
ROWS = 50
UNPACKING = "timeout 1800 sh -c 'until pgrep -x dpkg > /dev/null; do sleep 0.2; done'"


@dataclass(frozen=True)
class Moment:
    """When the power goes: some seconds after a task began, and what is true on the Pi then, or has to be served."""

    task: str
    seconds: tuple[float, float]
    when: str = "true"
    given: tuple[str, ...] = ()
    is_served: bool = False


def released(share: float) -> tuple[str, ...]:
    """Give what makes another release: both containers are replaced."""
    return ("-e", f"postgis_memory_limit_share={share}", "-e", f"lizmap_memory_limit_share={share}")


MOMENTS = (
    Moment("Install the engine and its Python SDK", (2, 60), when=UNPACKING),
    Moment("Install the engine and its Python SDK", (0, 10)),
    Moment("Deliver the images that this Pi lacks", (10, 90)),
    Moment("Deploy the PostGIS container", (1, 40)),
    Moment("Deploy the Lizmap container", (1, 40)),
    Moment("Request the published map", (0, 20)),
    Moment("Deploy the PostGIS container", (1, 40), given=released(0.6), is_served=True),
    Moment("Replace the one that serves", (1, 40), given=released(0.5), is_served=True),
    Moment("Request the published map", (0, 20), given=released(0.4), is_served=True),
)
"""In the order of the runs of one card."""


def play(seed: int) -> None:
    """Play the cuts that are not played yet on this state of the checkout, and look at what comes in the end."""
    machine = Machine(PLACE)
    done = len(RESULTS.rows)
    if done:
        machine.power_on(settled=False)
    else:
        machine.destroy()
        machine.start()
    try:
        for number in range(done, len(MOMENTS)):
            row = cut(machine, number, random.Random(f"{seed} {number}"))
            RESULTS.add(row)
            Console(stderr=True).print(f"{number + 1} of {len(MOMENTS)}: {row}", highlight=False)
            assert row.up, row.damage
        ends_right(machine)
    finally:
        machine.stop()


def cut(machine: Machine, number: int, dice: random.Random) -> Row:
    """Cut the power in one run of site.yml, give it back, and look."""
    moment, ledger = MOMENTS[number], Ledger(machine.folder)
    if moment.is_served:
        if not ledger.rows:
            ends_right(machine)
        commit(machine, ledger)
        assert ledger.is_as_before(machine.picture().tobytes()), "The map is not drawn as it was before."
    dropped = interrupted(machine, moment, dice)
    began, up, lost, damage = time.monotonic(), True, len(ledger.rows), ""
    try:
        machine.power_on(settled=False)
        if moment.is_served:
            machine.wait_until_healthy()
            damage = ledger.damage(machine)
        lost = ledger.lost(machine) if ledger.rows else 0
    except (AssertionError, OSError) as error:
        up, damage = False, str(error)
    seconds = round(time.monotonic() - began, 1)
    return Row(SITE, number, -1, dropped, len(ledger.rows), lost, up, damage, seconds)


def interrupted(machine: Machine, moment: Moment, dice: random.Random) -> int:
    """Make a run, and cut the power when its moment comes; give how many writes are lost."""
    dropped = None
    run = machine.ansible_started("site.yml", *moment.given, program="ansible-playbook", PYTHONUNBUFFERED="1")
    assert run.stdout
    said = []
    for line in run.stdout:
        said.append(line)
        if dropped is None and line.startswith("TASK [") and moment.task in line:
            machine.run(moment.when)
            time.sleep(dice.uniform(*moment.seconds))
            dropped = machine.power_off(seed=dice.randrange(2**31))
    run.wait()
    assert dropped is not None and run.returncode, "".join(said)
    return dropped


def commit(machine: Machine, ledger: Ledger) -> None:
    """Commit rows, each in a transaction of its own, that no later cut may lose."""
    if machine.sql("SELECT to_regclass('walked') IS NULL") == "t":
        machine.sql(WALKED)
    name = ledger.walks * CLIENTS
    for row in machine.sql("".join(insert(name, number, 1000) for number in range(ROWS))).split():
        ledger.note(f"{name}/{row}")


def ends_right(machine: Machine) -> None:
    """Make a run that has to end right, and another that has nothing to do; both containers are as they should be."""
    with tempfile.TemporaryDirectory() as folder:
        machine.provision(Path(folder) / "run.json")
        again = machine.provision(Path(folder) / "again.json")
    assert (again["changed"], again["failed"]) == (0, 0), again
    names = machine.run("docker ps --all --format '{{.Names}}'").split()
    assert sorted(names) == sorted(CONTAINERS), names
