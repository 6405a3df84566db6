"""What the tests of this scenario are given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from emulated_pi import PI_NAME, emulator
from usb_stick import Stick


@pytest.fixture(scope="session")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stick]:
    """Return the stick, with nothing on it."""
    found = Stick(tmp_path_factory.mktemp("stick"))
    yield found
    emulator("destroy", "--name", PI_NAME)
    found.close()
