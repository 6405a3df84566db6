"""Data that root has copied back belongs to the server again before it starts, and nothing else is touched."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host import host_files

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
UID = 5432


def converge(folder: Path, **options: Any) -> list[str]:
    wanted = {"path": str(folder), "owner": str(UID), "group": str(UID), "mode": "0700", "recurse": True, **options}
    predicted = host_files.reasons(host_files.converge({"folders": [wanted]}, check_mode=True))
    assert host_files.reasons(host_files.converge({"folders": [wanted]}, check_mode=False)) == predicted
    return list(predicted)


def owned(path: Path) -> tuple[int, int, int]:
    state = path.lstat()
    return state.st_uid, state.st_gid, stat.S_IMODE(state.st_mode)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return data as cp leaves it."""
    base = tmp_path / "data" / "cluster" / "base" / "1"
    base.mkdir(parents=True)
    (base / "1259").write_text("rows")
    (tmp_path / "data" / "cluster" / "PG_VERSION").write_text("17\n")
    (tmp_path / "outside").write_text("root's own")
    (base / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(base / "fifo")
    for path in [tmp_path / "data", *(tmp_path / "data").rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path / "data"


@pytest.mark.field("B7", "data copied back as root")
def test_data_that_root_copied_back_is_given_to_the_server(data: Path) -> None:
    assert converge(data) == [f"folder {data}: corrected"]
    base = data / "cluster" / "base" / "1"
    for folder in (data, data / "cluster", base):
        assert owned(folder) == (UID, UID, 0o700)
    assert owned(base / "1259") == (UID, UID, 0o600)
    assert (base / "1259").read_text() == "rows"
    # A link is given itself: what it leads to stays whose it was.
    assert owned(base / "link")[:2] == (UID, UID)
    assert owned(data.parent / "outside") == (0, 0, 0o644)
    assert converge(data) == []


def test_a_single_entry_at_the_top_that_is_anothers_is_enough(data: Path) -> None:
    converge(data)
    os.chown(data / "cluster" / "PG_VERSION", 0, 0)
    assert converge(data) == [f"folder {data}: corrected"]
    assert owned(data / "cluster" / "PG_VERSION")[0] == UID


def test_only_two_levels_are_looked_at_while_all_is_right(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converge(data)
    looked: list[str] = []
    scandir = os.scandir

    def counted(path: Any) -> Any:
        looked.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    assert converge(data) == []
    assert set(looked) == {str(data), str(data / "cluster")}


def test_what_the_file_system_itself_keeps_stays_roots(data: Path) -> None:
    (data / "lost+found").mkdir(mode=0o700)
    converge(data)
    assert owned(data / "lost+found") == (0, 0, 0o700)
    assert converge(data) == []


def test_modes_that_the_folder_allows_stay(data: Path) -> None:
    (data / "cluster" / "PG_VERSION").chmod(0o440)
    converge(data, mode="0755")
    assert owned(data / "cluster" / "PG_VERSION")[2] == 0o640
    assert owned(data / "cluster")[2] == 0o755


def test_nothing_is_given_away_unless_it_is_asked_for(data: Path) -> None:
    converge(data, recurse=False)
    assert owned(data / "cluster")[0] == 0
