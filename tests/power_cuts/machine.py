"""Real cuts: five clients commit over SSH on a whole machine, and its power goes, card and all.

The machine is that of tests/machine: a kernel, Docker and our containers, all emulated. What was acknowledged is noted
here, where no power goes. Each cut is of the card that the one before left: all rows that were ever acknowledged must
be there. It counts only where writes that were not flushed are lost; of the others a seed says which are on the card.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event

from rich.console import Console

from tests.machine import map_server
from tests.machine.reached import PSQL, Machine, Place
from tests.power_cuts.cutting import Row
from tests.power_cuts.database import CLIENTS, LONGEST_NOTE, WALKED, insert
from tests.power_cuts.real_cuts import Ledger, Results

MACHINE = "machine"
PLACES = (
    Place("poppyfield-power-cuts", ssh_port=2234, map_port=8094),
    Place("poppyfield-power-cuts-2", ssh_port=2237, map_port=8097),
)
"""Side by side, where they are asked for: a machine that boots does not use two cores all the time."""
# What decides how a machine takes a cut: a change of it begins the count anew, with another machine.
RESULTS = Results(MACHINE, ("images", "workshop/emulator/machine", "workshop/emulator/machine_options.py"))
WALK_SECONDS = (3.0, 40.0)
"""From the first commit of each client to the cut."""
CHECKPOINT_SECONDS = 2.0
ANSWER_SECONDS = 900


def play(count: int, seed: int, machines: int = 1) -> None:
    """Play cuts until so many count, those of earlier runs among them."""
    if len(RESULTS.counting) >= count:
        return
    with ExitStack() as at_the_end, ThreadPoolExecutor(machines) as pool:
        playing = []
        for place in PLACES[:machines]:
            machine = running(place)
            at_the_end.callback(machine.stop)
            playing.append(pool.submit(play_on, machine, count, seed))
        for one in playing:
            one.result()


def play_on(machine: Machine, count: int, seed: int) -> None:
    """Play cuts of one machine."""
    for row in cuts(machine, seed):
        RESULTS.add(row)
        Console(stderr=True).print(f"{len(RESULTS.counting)} of {count}: {row}", highlight=False)
        if len(RESULTS.counting) >= count:
            break


def running(place: Place) -> Machine:
    """Return the machine that earlier runs left, or a new one; it is on."""
    machine = Machine(place)
    note = machine.folder / "made-of"
    if note.exists() and note.read_text(encoding="ascii") == RESULTS.state:
        machine.power_on(settled=False)
        machine.wait_until_healthy()
        return machine
    machine = map_server.made(place)
    note.write_text(RESULTS.state, encoding="ascii")
    return machine


def cuts(machine: Machine, seed: int) -> Iterator[Row]:
    """Cut the machine's power again and again."""
    ledger = Ledger(machine.folder)
    if machine.sql("SELECT to_regclass('walked') IS NULL") == "t":
        machine.sql(WALKED)
    assert ledger.is_as_before(machine.picture().tobytes()), "The map is not drawn as it was before."
    up = True
    while up:
        # Rows may be there of whose commit nobody was told.
        there = machine.sql(f"SELECT coalesce(max(client) / {CLIENTS} + 1, 0) FROM walked")
        walk = max(ledger.walks, int(there))
        dropped = committed_until_cut(machine, ledger, walk, random.Random(f"{seed} {machine.place.name} {walk}"))
        row = looked_at(machine, ledger, walk, dropped)
        up = row.up
        yield row


def committed_until_cut(machine: Machine, ledger: Ledger, walk: int, dice: random.Random) -> int:
    """Let clients commit, and cut the power meanwhile; give how many writes are lost."""
    begun = [Event() for _ in range(CLIENTS)]
    clients = [client_of(machine) for _ in range(CLIENTS + 1)]
    with ThreadPoolExecutor(len(clients)) as pool:
        try:
            for number, event in enumerate(begun):
                pool.submit(commit, clients[number], walk * CLIENTS + number, ledger, event)
            pool.submit(checkpoint, clients[-1])
            for event in begun:
                assert event.wait(ANSWER_SECONDS), "A client was not answered."
            time.sleep(dice.uniform(*WALK_SECONDS))
            return machine.power_off(seed=dice.randrange(2**31))
        finally:
            for client in clients:
                client.terminate()
                client.wait()


def client_of(machine: Machine) -> subprocess.Popen[str]:
    """Start a client on the machine, over SSH."""
    client = subprocess.Popen(
        machine.command(f"exec {PSQL}"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert client.stdin
    client.stdin.write(machine.password.decode())
    return client


def asked(client: subprocess.Popen[str], statement: str) -> str:
    """Give the answer to a statement, in one line; nothing from a machine that is gone."""
    assert client.stdin and client.stdout
    try:
        client.stdin.write(statement)
        return client.stdout.readline().strip()
    except OSError:
        return ""


def commit(client: subprocess.Popen[str], name: int, ledger: Ledger, begun: Event) -> None:
    """Insert one row after the other, each in a transaction of its own, as long as there is an answer."""
    dice = random.Random(name)
    number = 0
    while asked(client, insert(name, number, dice.randint(1, LONGEST_NOTE))) == str(number):
        ledger.note(f"{name}/{number}")
        begun.set()
        number += 1


def checkpoint(client: subprocess.Popen[str]) -> None:
    """Have PostgreSQL write what it holds, again and again, as long as there is an answer."""
    while asked(client, "CHECKPOINT; SELECT 'done';\n") == "done":
        time.sleep(CHECKPOINT_SECONDS)


def looked_at(machine: Machine, ledger: Ledger, walk: int, dropped: int) -> Row:
    """Give power back, and look: everything is to come up by itself."""
    rows = ledger.rows
    began, up, lost, damage = time.monotonic(), True, len(rows), ""
    try:
        machine.power_on(settled=False)
        machine.wait_until_healthy()
        lost, damage = ledger.lost(machine), ledger.damage(machine)
    except (AssertionError, OSError) as error:
        up, damage = False, str(error)
    new = sum(int(row.partition("/")[0]) // CLIENTS == walk for row in rows)
    seconds = round(time.monotonic() - began, 1)
    return Row(MACHINE, walk, -1, dropped, new, lost, up, damage, seconds)
