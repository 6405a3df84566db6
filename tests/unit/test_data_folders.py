"""The data of a Pi is where it was: an empty mount point, another disk or an old copy is not taken for it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.containers import container_module
from ansible.module_utils.poppyfield.host import data_folders, host_files, requirements
from ansible.module_utils.poppyfield.host.data_folders import SYSTEM, Found, Record, mark_to_keep, problem

from tests.unit.converging import SPEC
from tests.unit.test_requirements import NEEDS, PI

VARIABLE = "postgis_data_folder"
MARK, OTHER = ".poppyfield-data-1", ".poppyfield-data-2"
RECORD = Record("/srv/data", MARK, "1111-aaaa")


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(data_folders, "RECORDS", tmp_path / "etc" / "data-folders")
    return tmp_path / "etc" / "data-folders"


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Say which file system everything is on."""
    return lambda name: monkeypatch.setattr(data_folders, "_file_system", lambda _: name)


def settle(folder: Path, *, may_change: bool = False, check_mode: bool = False) -> str:
    """Bring a folder about as a container's module does; give the refusal, or nothing."""
    own = {"owner": str(os.getuid()), "group": str(os.getgid()), "mode": "0700"}
    wanted = {"path": str(folder), "remember_as": VARIABLE, "may_change": may_change, **own}
    try:
        predicted = host_files.converge({"folders": [wanted]}, check_mode=True)
        if not check_mode:
            assert host_files.converge({"folders": [wanted]}, check_mode=False) == predicted
            assert not host_files.reasons(host_files.converge({"folders": [wanted]}, check_mode=False))
    except host_files.HostFileError as error:
        return str(error)
    return ""


def marks(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".poppyfield-data-")]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Found(), ""),
        (Found((OTHER,), "2222"), ""),
        (Found((MARK,), "1111-aaaa", RECORD), ""),
        # Nobody can tell the file system: the mark alone decides.
        (Found((MARK,), "", RECORD), ""),
        (Found((), SYSTEM, RECORD), "lacks the file .poppyfield-data-1: its disk is not mounted, or the data are gone"),
        (Found((OTHER,), "1111-aaaa", RECORD), "is another one"),
        (Found((MARK,), SYSTEM, RECORD), "is on the disk of the system now, so it may be an old copy"),
    ],
)
def test_a_folder_is_refused_that_is_not_the_one_that_is_remembered(found: Found, said: str) -> None:
    sentence = problem("/mnt/data", VARIABLE, found)
    assert said in sentence
    assert bool(sentence) == bool(said)
    if said:
        for words in ("/srv/data on the disk 1111-aaaa", "/mnt/data (postgis_data_folder)", "findmnt"):
            assert words in sentence
        assert "-e postgis_data_folder_may_change=true" in sentence


def test_a_copy_on_another_disk_gets_a_mark_of_its_own() -> None:
    assert mark_to_keep(Found((MARK,), "1111-aaaa", RECORD)) == MARK
    assert mark_to_keep(Found((MARK,), "2222", RECORD)) == ""
    assert mark_to_keep(Found((OTHER,), "2222", RECORD)) == OTHER
    assert mark_to_keep(Found((OTHER,), "2222")) == OTHER
    assert mark_to_keep(Found()) == ""


def test_the_preflight_tells_it_unless_the_move_is_meant() -> None:
    facts = dataclasses.replace(PI, data_folders={"/srv/data": Found((), SYSTEM, RECORD)})
    need = {"path": "/srv/data", "variable": VARIABLE, "remembered": True}
    needs = dataclasses.replace(NEEDS, folders=(need,))
    assert ["lacks the file" in sentence for sentence in requirements.problems(facts, needs)] == [True]
    allowed = dataclasses.replace(NEEDS, folders=({**need, "may_change": True},))
    assert requirements.problems(facts, allowed) == []


@pytest.mark.field("B5", "the disk with the data is not mounted")
def test_a_disk_that_is_not_mounted_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    point, disk = tmp_path / "data", tmp_path / "disk"
    assert settle(point) == ""
    (mark,) = marks(point)
    assert settle(point) == "" and marks(point) == [mark]
    # What is mounted goes away, and an empty folder comes to light.
    point.rename(disk)
    point.mkdir()
    for check_mode in (True, False):
        assert f"lacks the file {mark}" in settle(point, check_mode=check_mode)
    assert list(point.iterdir()) == []
    point.rmdir()
    disk.rename(point)
    assert settle(point) == ""
    assert marks(point) == [mark]


def test_a_move_that_is_meant_is_remembered_from_then_on(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    assert settle(old) == ""
    assert "_may_change=true" in settle(new)
    assert not new.exists()
    assert settle(new, may_change=True) == ""
    assert settle(new) == ""
    assert "is another one" in settle(old)


def test_data_that_were_moved_with_their_mark_are_the_same_data(tmp_path: Path, records: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    assert settle(old) == ""
    old.rename(new)
    assert settle(new) == ""
    assert json.loads((records / VARIABLE).read_text())["folder"] == str(new)


def test_the_old_copy_under_the_mount_point_of_a_new_disk_is_not_taken_for_it(
    tmp_path: Path, disk: Callable[[str], None]
) -> None:
    card, data = tmp_path / "card", tmp_path / "data"
    disk(SYSTEM)
    assert settle(data) == ""
    shutil.copytree(data, card)
    disk("2222")
    assert "may be an old copy" in settle(data)
    assert settle(data, may_change=True) == ""
    assert marks(data) != marks(card) and len(marks(data)) == 1
    disk(SYSTEM)
    shutil.rmtree(data)
    card.rename(data)
    assert "is another one" in settle(data)


def test_a_new_card_adopts_the_disk_with_its_data(tmp_path: Path, records: Path) -> None:
    assert settle(tmp_path / "data") == ""
    before = marks(tmp_path / "data")
    shutil.rmtree(records)
    assert settle(tmp_path / "data") == ""
    assert marks(tmp_path / "data") == before
    # A record that a loss of power damaged is as good as none.
    (records / VARIABLE).write_text("")
    assert settle(tmp_path / "data") == ""
    assert json.loads((records / VARIABLE).read_text())["mark"] == before[0]


def test_a_link_is_no_mark(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert settle(data) == ""
    (mark,) = marks(data)
    (data / mark).unlink()
    (data / mark).symlink_to("/etc/shadow")
    assert "lacks the file" in settle(data)


def test_a_container_mounts_the_mark_over_itself(tmp_path: Path) -> None:
    (tmp_path / MARK).touch()
    entry = {"path": str(tmp_path), "remember_as": VARIABLE}
    module = type("Module", (), {"params": {"host_files": {"folders": [entry, {"path": "/x", "remember_as": None}]}}})
    whole = dataclasses.replace(SPEC, mounts=(dataclasses.replace(SPEC.mounts[0], source=str(tmp_path)),))
    bound = container_module.bound_to_data(module, whole).mounts[-1]
    assert (bound.source, bound.target, bound.read_only) == (f"{tmp_path}/{MARK}", f"/data/{MARK}", True)
    part = dataclasses.replace(SPEC, mounts=(dataclasses.replace(SPEC.mounts[0], source=f"{tmp_path}/config"),))
    assert container_module.bound_to_data(module, part).mounts[-1].target == f"/run/data-folders/{MARK}"


def test_the_file_system_of_this_machines_own_folder_is_told_by_itself(tmp_path: Path) -> None:
    assert data_folders.look(str(tmp_path / "not" / "yet"), VARIABLE).file_system == SYSTEM
    (other,) = [folder for folder in ("/dev/shm",) if Path(folder).is_dir()]
    assert data_folders.look(other, VARIABLE).file_system not in ("", SYSTEM)
