"""A file is the old or the new one, whole; and what a cut left beside it is swept."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host import atomic_file

ROOT = Path(__file__).resolve().parents[2]
# The one writer, and what is no file that must survive: a link, a folder, a picture to look at, a build log.
ELSEWHERE = {
    "module_utils/poppyfield/host/atomic_file.py": "the writer",
    "module_utils/poppyfield/projects/published_folder.py": "folders change places",
    "module_utils/poppyfield/host/beneath.py": "by handles of folders, so that no link is followed",
    "module_utils/poppyfield/backup/this_pi.py": "of a program of its own on the Pi, without Ansible",
    "module_utils/poppyfield/backup/repository.py": "a repository gets its name when it is whole",
    "module_utils/poppyfield/backup/restoring.py": "folders change places",
    "module_utils/poppyfield/backup/restore_journal.py": "folders change places",
    "module_utils/poppyfield/backup/last_minute.py": "in a folder beside the data that is thrown away",
    "module_utils/poppyfield/backup/restore_part.py": "a folder that restic has unpacked gets its name",
    "module_utils/poppyfield/hotspot/service.py": "a checkpoint of NetworkManager, in memory like that one",
    "module_utils/poppyfield/images/git_command.py": "in a temporary folder",
    "module_utils/poppyfield/bundle/apt.py": "what apt is told, written again with each bundle",
    "module_utils/poppyfield/bundle/alone.py": "in a folder that the next installation makes again",
    "module_utils/poppyfield/bundle/card.py": "in a temporary file, for mtools to read",
    "module_utils/poppyfield/bundle/contents.py": "in a bundle that is made, or in a folder that is",
    "module_utils/poppyfield/bundle/source.py": "in a temporary folder",
    "module_utils/poppyfield/bundle/wheels.py": "in a bundle that is made",
    "module_utils/poppyfield/bundle/making.py": "beside its place, flushed, and then one rename",
    "module_utils/poppyfield/bundle/packages.py": "in a bundle that is made",
    "module_utils/poppyfield/bundle/signing.py": "in a bundle that is made, or in a temporary folder",
    "module_utils/poppyfield/bundle/taking.py": "beside its place, flushed, verified, and then one rename",
    "module_utils/poppyfield/bundle/trial.py": "in a temporary folder, for apt to read",
    "module_utils/poppyfield/bundle/verification.py": "in a temporary folder, for ssh-keygen to read",
    "library/published_map.py": "a picture to look at",
    "library/tls_certificate.py": "judged in a folder of its own before it is kept",
    "module_utils/poppyfield/containers/apply.py": "containers change names",
    "module_utils/poppyfield/containers/engine.py": "containers change names",
    "module_utils/poppyfield/containers/compose_file.py": "in a temporary folder, for docker-compose to read",
    "module_utils/poppyfield/postgis/upgrade_program.py": "a folder gets its name, flushed",
    "module_utils/poppyfield/runs/lock.py": "in memory, gone when the Pi restarts",
    "module_utils/poppyfield/runs/trail.py": "lines are added, and an unfinished one is passed over",
    "plugins/action/published_projects.py": "in a temporary folder",
    "plugins/action/delivered_basemaps.py": "in a temporary folder",
    "plugins/callback/run_report.py": "a report to look at",
}
WRITES = re.compile(r"os\.(?:replace|rename|fsync)\(|\.(?:rename|write_text|write_bytes)\(|mkstemp|NamedTemporaryFile")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text("old")
    return file


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def test_a_file_is_replaced_with_its_mode(path: Path) -> None:
    atomic_file.write(path, b"new", mode=0o600)
    assert (path.read_text(), path.stat().st_mode & 0o777, names(path)) == ("new", 0o600, ["password"])


def test_it_is_on_the_disk_before_it_has_its_name_and_the_name_is_too(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def note(what: str, function: Any) -> Any:
        def call(*arguments: Any, **given: Any) -> Any:
            done.append(what)
            return function(*arguments, **given)

        return call

    for what in ("fchown", "fchmod", "fsync"):
        monkeypatch.setattr(os, what, note(what, getattr(os, what)))
    monkeypatch.setattr(Path, "rename", note("rename", Path.rename))
    atomic_file.write(path, b"new")
    assert done == ["fchown", "fchmod", "fsync", "rename", "fsync", "fsync"]


@pytest.mark.parametrize("step", ["fchown", "fchmod", "fsync"])
def test_what_fails_leaves_the_old_file_and_nothing_beside_it(
    path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        atomic_file.write(path, b"new")
    assert (path.read_text(), names(path)) == ("old", ["password"])


def test_whatever_is_raised_while_it_is_written_leaves_the_old_file(path: Path) -> None:
    with pytest.raises(KeyError), atomic_file.replacing(path) as stream:
        stream.write(b"half")
        raise KeyError("changed meanwhile")
    assert (path.read_text(), names(path)) == ("old", ["password"])


def test_what_a_cut_left_is_swept_by_the_next_write(path: Path) -> None:
    write = (
        f"import os; import plugins.project_imports; "
        f"from ansible.module_utils.poppyfield.host import atomic_file as a; "
        f"from pathlib import Path; "
        f"a.os.fsync = lambda _: os._exit(9); a.write(Path({str(path)!r}), b'half')"
    )
    cut = subprocess.run([sys.executable, "-c", write], cwd=ROOT, check=False)
    assert cut.returncode == 9
    assert len(names(path)) == 2 and path.read_text() == "old"
    atomic_file.write(path, b"new")
    assert (path.read_text(), names(path)) == ("new", ["password"])


def test_only_leftovers_of_the_file_are_swept(path: Path) -> None:
    others = [
        ".password",
        ".password.",
        ".password.short",
        ".password.LETTERS8",
        "password.abcdefgh",
        ".other.abcdefgh",
        ".password.old.abcdefgh",
    ]
    for name in others:
        path.with_name(name).touch()
    path.with_name(".password.abcd_123").mkdir()
    path.with_name(".password.abcd_124").symlink_to(path)
    os.mkfifo(path.with_name(".password.abcd_125"))
    before = names(path)
    path.with_name(".password.abcdefgh").touch()
    assert atomic_file.sweep(path.parent, lambda name: name == "password") == [path.with_name(".password.abcdefgh")]
    assert names(path) == before
    assert atomic_file.sweep(path.parent / "none", lambda _: True) == []


def test_what_is_being_written_is_not_swept(path: Path) -> None:
    with atomic_file.replacing(path) as stream:
        atomic_file.write(path, b"another run")
        stream.write(b"new")
    assert (path.read_text(), names(path)) == ("new", ["password"])


def test_a_file_that_was_swept_before_it_was_locked_is_begun_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked: list[int] = []

    def lock(handle: int, how: int) -> None:
        if how == fcntl.LOCK_EX and not locked:
            locked.append(handle)
            Path(f"/proc/self/fd/{handle}").readlink().unlink()

    monkeypatch.setattr(fcntl, "flock", lock)
    atomic_file.write(path, b"new")
    assert locked and (path.read_text(), names(path)) == ("new", ["password"])


def test_a_folder_whose_file_system_cannot_flush_it_is_no_failure(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int) -> Any:
        def fsync(_: int) -> None:
            raise OSError(number, os.strerror(number))

        return fsync

    monkeypatch.setattr(os, "fsync", refuse(22))
    atomic_file.sync_folder(path.parent)
    monkeypatch.setattr(os, "fsync", refuse(5))
    with pytest.raises(OSError, match="Input/output error"):
        atomic_file.sync_folder(path.parent)


def test_there_is_one_atomic_writer() -> None:
    files = [file for folder in ("module_utils", "library", "plugins") for file in (ROOT / folder).rglob("*.py")]
    writing = {str(file.relative_to(ROOT)) for file in files if WRITES.search(file.read_text())}
    assert writing == set(ELSEWHERE)
