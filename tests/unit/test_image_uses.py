"""Which fleet asked for which version of an image last."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.images import image_uses
from ansible.module_utils.poppyfield.images.image_names import ImageName

NAME = ImageName("poppyfield/postgis", "trixie-arm64")
OTHER = ImageName("poppyfield/postgis", "trixie-amd64")
ONE, TWO = NAME.reference("1" * 64), NAME.reference("2" * 64)
NOW = time.time()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image_uses.note(tmp_path / "uses", NAME, "orchard", ONE)
    image_uses.note(tmp_path / "uses", NAME, "marsh", ONE)
    image_uses.note(tmp_path / "uses", OTHER, "marsh", OTHER.reference("3" * 64))
    for path in (tmp_path / "uses").iterdir():
        os.utime(path, (NOW, NOW))
    return tmp_path / "uses"


@pytest.mark.field("A11", "two checkouts on one laptop")
def test_each_fleet_has_one_version_of_an_image_and_others_are_told_it(folder: Path) -> None:
    assert image_uses.used(folder, NAME, "orchard", NOW) == {ONE}
    image_uses.note(folder, NAME, "marsh", TWO)
    assert image_uses.used(folder, NAME, "orchard", NOW) == {TWO}
    assert image_uses.used(folder, NAME, "marsh", NOW) == {ONE}
    assert image_uses.used(folder, NAME, "a third one", NOW) == {ONE, TWO}
    assert len(list(folder.iterdir())) == 3


def test_after_ninety_days_a_fleet_is_forgotten(folder: Path) -> None:
    assert image_uses.used(folder, NAME, "", NOW + image_uses.SECONDS_REMEMBERED - 60) == {ONE}
    later = NOW + image_uses.SECONDS_REMEMBERED + 60
    assert image_uses.used(folder, NAME, "", later) == set()
    image_uses.forget(folder, NAME, NOW - 60)
    assert len(list(folder.iterdir())) == 3
    image_uses.forget(folder, NAME, NOW + 60)
    assert [path.name for path in folder.iterdir()] == [image_uses.file_name(OTHER, "marsh")]


@pytest.mark.parametrize(
    "content", [b"", b"\0\0", b"\xff", b"null", b"{}", b'{"image": null}', b'{"image": "debian:1"}']
)
def test_a_damaged_note_is_as_good_as_none(folder: Path, content: bytes) -> None:
    (folder / image_uses.file_name(NAME, "orchard")).write_bytes(content)
    assert image_uses.used(folder, NAME, "marsh", NOW) == set()
    image_uses.note(folder, NAME, "orchard", TWO)
    assert image_uses.used(folder, NAME, "marsh", NOW) == {TWO}


def test_without_a_cache_nobody_uses_anything(tmp_path: Path) -> None:
    assert image_uses.used(tmp_path / "none", NAME, "marsh", NOW) == set()
    image_uses.forget(tmp_path / "none", NAME, NOW)
    assert not (tmp_path / "none").exists()


def test_who_uses_an_image_may_be_anybody(tmp_path: Path) -> None:
    for fleet in ("", "/home/ann/fields é", "/caf\udce9"):
        image_uses.note(tmp_path, NAME, fleet, ONE)
    assert len(list(tmp_path.iterdir())) == 3
