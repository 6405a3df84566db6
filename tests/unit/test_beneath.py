"""Files that root writes below a folder of a container's: whatever it has put there, nothing else is touched."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.host import beneath
from ansible.module_utils.poppyfield.host.beneath import BeneathError

MODE = 0o755


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the host with a file that a container must not reach."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "shadow").write_text("root's")
    (tmp_path / "data").mkdir()
    return tmp_path / "outside"


def put(folder: Path, *path: str, content: bytes = b"new", make: int | None = MODE) -> None:
    with beneath.opened(str(folder), path[:-1], make=make) as handle:
        assert handle is not None
        beneath.write(handle, path[-1], [content], 0o644)


def holds(folder: Path, *path: str, content: bytes = b"new") -> bool | None:
    with beneath.opened(str(folder), path[:-1]) as handle:
        if handle is None:
            return None
        return beneath.holds(handle, path[-1], len(content), hashlib.sha256(content).hexdigest())


def test_folders_are_made_and_files_are_known_again(tmp_path: Path) -> None:
    assert holds(tmp_path, "a", "b", "file") is None
    put(tmp_path, "a", "b", "file")
    assert holds(tmp_path, "a", "b", "file") is True
    assert holds(tmp_path, "a", "b", "file", content=b"old") is False
    assert holds(tmp_path, "a", "b", "other") is None
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == MODE
    assert (tmp_path / "a" / "b" / "file").stat().st_mode & 0o777 == 0o644


@pytest.mark.attack(kind="link out of a folder", on="Pi", proof="test_a_link_leads_out_unless_it_is_refused")
def test_no_folder_is_a_link(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "config").symlink_to(outside)
    with pytest.raises(BeneathError, match="'config' is there already and not a folder"):
        put(tmp_path / "data", "config", "shadow")
    with pytest.raises(BeneathError):
        holds(tmp_path / "data", "config", "shadow")
    assert (outside / "shadow").read_text() == "root's"


@pytest.mark.attack(kind="link out of a folder", on="Pi", proof="test_a_link_leads_out_unless_it_is_refused")
def test_no_file_is_read_or_written_through_a_link(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "logo").symlink_to(outside / "shadow")
    with pytest.raises(BeneathError, match="'logo' is there already and not a file"):
        holds(tmp_path / "data", "logo", content=b"root's")
    # Written over, the link itself is what goes.
    put(tmp_path / "data", "logo")
    assert (outside / "shadow").read_text() == "root's"
    assert not (tmp_path / "data" / "logo").is_symlink()


def test_a_link_leads_out_unless_it_is_refused(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "config").symlink_to(outside)
    (tmp_path / "data" / "logo").symlink_to(outside / "shadow")
    monkeypatch.setattr(os, "O_NOFOLLOW", 0)
    monkeypatch.setattr(beneath, "_FILE", os.O_RDONLY)
    assert holds(tmp_path / "data", "logo", content=b"root's") is True
    put(tmp_path / "data", "config", "shadow")
    assert (outside / "shadow").read_text() == "new"


def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BeneathError, match="not a file"):
        holds(tmp_path, "pipe")


def test_a_file_where_a_folder_should_be_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("file")
    with pytest.raises(BeneathError, match="not a folder"):
        put(tmp_path, "a", "b")
    assert (tmp_path / "a").read_text() == "file"


def test_what_a_run_that_was_cut_off_left_goes(tmp_path: Path) -> None:
    (tmp_path / f"{beneath.UNFINISHED}1").write_text("half")
    (tmp_path / f"{beneath.UNFINISHED}folder").mkdir()
    (tmp_path / "kept").write_text("whole")
    with beneath.opened(str(tmp_path), ()) as handle:
        assert handle is not None
        beneath.sweep(handle)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{beneath.UNFINISHED}folder", "kept"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_all_belongs_to_whom_the_folder_belongs_to(tmp_path: Path) -> None:
    os.chown(tmp_path, 4321, 4322)
    put(tmp_path, "a", "b", "file")
    for path in ("a", "a/b", "a/b/file"):
        state = (tmp_path / path).stat()
        assert (state.st_uid, state.st_gid) == (4321, 4322)
