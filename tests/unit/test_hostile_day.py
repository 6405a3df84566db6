"""What a hostile day leaves on the card follows from a measured flood, and stops at the limits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from workshop.bench.hostile_day import ROOT, Flood, Limits, card_bytes_per_hostile_day, limits

MB = 1 << 20


def test_a_flood_grows_with_the_day_until_a_limit() -> None:
    most = Limits(log_bytes=1000, folder_bytes=5000)
    flood = Flood(requests=10, seconds=8640, log_bytes=7, folder_bytes=9)
    assert card_bytes_per_hostile_day(flood, most) == 70 + 90
    assert card_bytes_per_hostile_day(Flood(10, 8640, 101, 9), most) == 1000 + 90
    assert card_bytes_per_hostile_day(Flood(10, 8640, 7, 501), most) == 70 + 5000


def test_the_limits_are_those_of_the_image_and_of_docker(tmp_path: Path) -> None:
    assert limits() == Limits(log_bytes=30 * MB, folder_bytes=256 * MB + 100_000 * 256)
    for folder in ("roles/docker_engine/defaults", "images/lizmap/services/janitor", "images/lizmap/web-client"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    janitor = tmp_path / "images/lizmap/services/janitor/run"
    janitor.write_text(janitor.read_text("utf-8").replace("pictures_bytes=", "others="), "utf-8")
    with pytest.raises(ValueError, match="pictures_bytes"):
        limits(tmp_path)
