"""Thirteen cuts of power, on a disk that loses what was not flushed; `make bench-power-cuts` plays 220."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images.building import ROOT
from tests.power_cuts.__main__ import CLASSES
from tests.power_cuts.classes import CONTROL, Class, recorded
from tests.power_cuts.cutting import Cutter

pytestmark = [pytest.mark.long, pytest.mark.timeout(20 * 60)]
SECONDS = 20
CUTS = {
    "commits": 4,
    "first-start": 2,
    "backup": 1,
    "restore": 1,
    "take-back": 1,
    "upgrade": 1,
    "lizmap-upgrade": 1,
    "lizmap-upgrade-postgis": 1,
    "images": 1,
    "control": 1,
}


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    """Install what records a disk."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it mounts disks")
    subprocess.run([sys.executable, "workshop/laptop/prepare.py", "power-cuts"], check=True, cwd=ROOT)


@pytest.mark.parametrize("kind", CLASSES, ids=[kind.name for kind in CLASSES])
def test_nothing_acknowledged_is_lost_by_a_cut_but_without_flushes(
    kind: Class, postgis_image: str, tmp_path: Path
) -> None:
    recording = recorded(kind, postgis_image, tmp_path, SECONDS)
    cutter = Cutter(kind, recording, postgis_image)
    rows = list(cutter.play(cutter.cuts(range(CUTS[kind.name]))))
    assert len(rows) == CUTS[kind.name] and all(row.dropped for row in rows)
    if kind.name == CONTROL:
        assert any(row.lost for row in rows)
    else:
        assert not [row for row in rows if row.lost or row.damage or not row.up]
