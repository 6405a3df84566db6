"""Options are added to the one line that the firmware reads, and a Pi always has a line to start with."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host.kernel_command_line import with_options

Run = Callable[..., dict[str, Any]]
STOCK = "console=serial0,115200 console=tty1 root=PARTUUID=4e639091-02 rootfstype=ext4 fsck.repair=yes rootwait quiet"
OPTIONS = ["cgroup_enable=memory", "cgroup_memory=1"]


@pytest.fixture
def add(run_module: Run, tmp_path: Path) -> Run:
    def run(**given: Any) -> dict[str, Any]:
        return run_module("kernel_options", **{"options": OPTIONS, "path": str(tmp_path / "cmdline.txt"), **given})

    return run


@pytest.mark.field("B2", "cmdline.txt with a second line")
@pytest.mark.parametrize("rest", ["", "\n", "\n\n", "\n# a note of the operator\n", "\ncgroup_enable=memory\n"])
def test_only_the_first_line_gets_options(add: Run, tmp_path: Path, rest: str) -> None:
    file = tmp_path / "cmdline.txt"
    file.write_text(STOCK + rest)
    predicted = add(check_mode=True)
    assert file.read_text() == STOCK + rest
    done = add()
    assert (done["changed"], done["added"], done["diff"]) == (True, OPTIONS, predicted["diff"])
    assert file.read_text() == f"{STOCK} {' '.join(OPTIONS)}{rest}"
    assert not add()["changed"]


def test_an_option_that_is_there_is_not_added_twice() -> None:
    assert with_options("a cgroup_memory=1 b\n", OPTIONS) == "a cgroup_memory=1 b cgroup_enable=memory\n"


@pytest.mark.parametrize("content", ["", "\n", "  \nconsole=tty1\n"])
def test_a_file_without_a_first_line_is_left_to_look_at(add: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "cmdline.txt").write_text(content)
    result = add()
    assert result["failed"] and "its first line is empty" in result["msg"] and "cgroup_memory=1" in result["msg"]
    assert (tmp_path / "cmdline.txt").read_text() == content


def test_a_pi_without_the_file_is_told(add: Run, tmp_path: Path) -> None:
    assert f"{tmp_path}/cmdline.txt: No such file or directory. Nothing was changed." in add()["msg"]


@pytest.mark.field("B1", "/boot/firmware on FAT")
def test_no_name_is_used_that_fat_refuses_and_nothing_is_left_behind(
    add: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    opened = os.open

    def watched(path: Any, *rest: Any, **given: Any) -> int:
        used.append(Path(os.fspath(path)).name)
        return opened(path, *rest, **given)

    monkeypatch.setattr(os, "open", watched)
    (tmp_path / "cmdline.txt").write_text(STOCK)
    assert add()["changed"]
    assert [name for name in used if "cmdline" in name]
    assert not [name for name in used if set(name) & set('"*:<>?|')]
    assert [path.name for path in tmp_path.iterdir()] == ["cmdline.txt"]


@pytest.mark.parametrize(
    ("number", "remedy"), [(errno.ENOSPC, "Make room on the boot partition"), (errno.EROFS, "mount -o remount,rw ")]
)
def test_when_the_card_is_full_or_read_only_the_old_line_stays(
    add: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refused(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "cmdline.txt").write_text(STOCK)
    monkeypatch.setattr(os, "fsync", refused)
    said = add()["msg"]
    assert os.strerror(number) in said and "The old line is as it was." in said and remedy in said
    assert (tmp_path / "cmdline.txt").read_text() == STOCK
    assert [path.name for path in tmp_path.iterdir()] == ["cmdline.txt"]
