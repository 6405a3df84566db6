"""The double of FAT that an emulated Pi has at /boot/firmware: what vfat refuses is refused, with its error numbers."""

from __future__ import annotations

import errno
import importlib.util
import os
import stat
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "workshop/emulator/root/usr/lib/emulator/fat.py"


@pytest.fixture(scope="module")
def fat() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fat", PROGRAM)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", ["cmdline.txt.2026-01-01@10:00:00~", "a*b", 'a"b', "a|b", "a\\b", "a?", "<a", "a\tb", "...", " "]
)
def test_a_name_that_fat_does_not_have_is_refused(fat: ModuleType, name: str) -> None:
    with pytest.raises(OSError) as refused:
        fat.kept_name(name)
    assert refused.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("name", "kept"),
    [(".cmdline.txt.k3_x9a0b", ".cmdline.txt.k3_x9a0b"), ("Été 2026.txt", "Été 2026.txt"), ("a. .", "a")],
)
def test_dots_and_blanks_at_the_end_of_a_name_are_cut_off(fat: ModuleType, name: str, kept: str) -> None:
    assert fat.kept_name(name) == kept


def test_a_name_may_have_255_characters(fat: ModuleType) -> None:
    assert fat.kept_name("é" * 255)
    with pytest.raises(OSError) as refused:
        fat.kept_name("é" * 256)
    assert refused.value.errno == errno.ENAMETOOLONG


def test_names_have_no_case_and_keep_theirs(fat: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "Overlays").mkdir()
    (tmp_path / "Overlays" / "README").touch()
    files = fat.FatFolder(tmp_path)
    assert files.find("/OVERLAYS/readme") == tmp_path / "Overlays" / "README"
    assert files.place("/overlays/new") == tmp_path / "Overlays" / "new"
    with pytest.raises(FileNotFoundError):
        files.find("/overlays/other")
    files.rename("/overlays/README", "/overlays/ReadMe")
    assert [path.name for path in (tmp_path / "Overlays").iterdir()] == ["ReadMe"]


def test_what_is_renamed_replaces_the_file_of_that_name_in_any_case(fat: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "cmdline.txt").write_text("old")
    (tmp_path / ".cmdline.txt.new").write_text("new")
    fat.FatFolder(tmp_path).rename("/.cmdline.txt.new", "/CMDLINE.TXT")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("cmdline.txt", "new")]


def test_everything_is_roots_whatever_it_was_set_to_and_times_have_two_seconds(fat: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "config.txt"
    file.write_text("arm_64bit=1\n")
    file.chmod(0o600)
    os.utime(file, (1_000_000_001.5, 1_000_000_003.5))
    told = fat.FatFolder(tmp_path).attributes("/config.txt")
    assert (told["st_mode"], told["st_uid"], told["st_gid"]) == (stat.S_IFREG | 0o755, 0, 0)
    assert (told["st_atime"], told["st_mtime"], told["st_size"]) == (1_000_000_000, 1_000_000_002, 12)
    assert stat.S_ISDIR(fat.FatFolder(tmp_path).attributes("/")["st_mode"])


def test_a_mode_is_forgotten_and_another_owner_refused(fat: ModuleType) -> None:
    fat.change_mode(stat.S_IFREG | 0o600)
    fat.change_owner(-1, -1)
    fat.change_owner(0, 0)
    for change, values in ((fat.change_mode, (0o4755,)), (fat.change_owner, (1000, -1)), (fat.change_owner, (0, 33))):
        with pytest.raises(OSError) as refused:
            change(*values)
        assert refused.value.errno == errno.EPERM
