"""The whole machines of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.machine import map_server
from tests.machine.reached import Machine, Place

BARE = Place("poppyfield-machine", ssh_port=2232, map_port=8092)
MAP_SERVER = Place("poppyfield-machine-map", ssh_port=2233, map_port=8093, more_ports={5432: 15432, 8000: 18000})


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Return a Pi that nobody has used yet."""
    pi = Machine(BARE)
    pi.destroy()
    pi.start()
    yield pi
    pi.destroy()


@pytest.fixture(scope="module")
def served() -> Iterator[Machine]:
    """Return a Pi that site.yml has made a map server of."""
    pi = map_server.made(MAP_SERVER)
    yield pi
    pi.destroy()
