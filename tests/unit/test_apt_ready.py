"""Another program's lock is waited for and its holder named; an interrupted dpkg is finished, and both are said."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host.package_locks import candidates, described, half_done

Run = Callable[..., dict[str, Any]]
HOLD = """import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)"""


@pytest.fixture
def module(library: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module on a host where no dpkg is interrupted and nobody holds a lock."""
    loaded = library("apt_ready")
    monkeypatch.setattr(loaded, "JOURNAL", tmp_path / "updates")
    monkeypatch.setattr(loaded, "PAUSE", 0)
    monkeypatch.setattr(loaded, "holder", lambda: "")
    monkeypatch.setattr(loaded, "interrupted", list)
    return loaded


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A lock that another process holds, as apt takes its own."""
    path = tmp_path / "lock-frontend"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield path, process.pid
        process.kill()


def test_the_holder_of_a_lock_is_named(library: Callable[[str], ModuleType], lock: tuple[Path, int]) -> None:
    path, process = lock
    module = library("apt_ready")
    with path.open("a") as stream, pytest.raises(OSError):
        fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    said = module.holder((str(path), "/no/such/lock"))
    assert said.startswith(f"{sys.executable} -c import fcntl, sys, time")
    assert said.endswith(f"(process {process}), which holds {path}")
    os.kill(process, 9)
    deadline = time.monotonic() + 10
    while module.holder((str(path),)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert module.holder((str(path),)) == ""


def test_reading_the_kernels_table_of_locks() -> None:
    table = (
        "1: POSIX  ADVISORY  WRITE 812 b3:02:131 0 EOF\n"
        "1: -> POSIX  ADVISORY  WRITE 900 b3:02:131 0 EOF\n"
        "2: OFDLCK ADVISORY  READ -1 00:06:131 0 EOF\n"
        "3: FLOCK  ADVISORY  WRITE 813 b3:02:999 0 EOF\n"
        "4: POSIX  ADVISORY  WRITE 0 b3:02:132 0 EOF\nshort\n"
    )
    assert candidates(table, {131: "/a", 132: "/b"}) == [(812, "/a"), (0, "/b")]
    assert described(812, "") == "process 812"
    assert described(812, "/usr/bin/python3 /usr/bin/unattended-upgrade ") == (
        "/usr/bin/python3 /usr/bin/unattended-upgrade (process 812)"
    )


@pytest.mark.field("B11", "apt's lock is held")
def test_a_lock_is_waited_for_and_told(
    run_module: Run, module: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    holders = iter(["apt-get update (process 7), which holds /l"] * 3 + [""] * 2)
    monkeypatch.setattr(module, "holder", lambda: next(holders))
    done = run_module("apt_ready")
    assert (done["changed"], done["waited_for"]) == (False, "apt-get update (process 7), which holds /l")
    assert "Waited for apt-get update (process 7)" in capsys.readouterr().err + str(done.get("warnings"))
    assert run_module("apt_ready", check_mode=True)["waited_for"] == ""


@pytest.mark.field("B11", "apt's lock is held")
def test_waiting_ends_with_the_holders_name(
    run_module: Run, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "holder", lambda: "apt-get update (process 7), which holds /l")
    failed = run_module("apt_ready", timeout=0)
    assert failed["failed"]
    assert "For 0 seconds (raspberry_pi_apt_timeout)" in failed["msg"]
    assert "because of apt-get update (process 7), which holds /l. Let it end" in failed["msg"]


@pytest.mark.field("B12", "dpkg was interrupted")
@pytest.mark.parametrize("check_mode", [False, True])
def test_an_interrupted_dpkg_is_finished_and_told(
    run_module: Run,
    module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    check_mode: bool,
) -> None:
    finished: list[bool] = []
    monkeypatch.setattr(module, "interrupted", lambda: ["docker.io"])
    monkeypatch.setattr(module, "finish", lambda: finished.append(True))
    monkeypatch.setattr(module, "renew_damaged", lambda _: [])
    done = run_module("apt_ready", check_mode=check_mode)
    assert (done["changed"], done["finished"], finished) == (True, ["docker.io"], [] if check_mode else [True])
    said = capsys.readouterr().err + str(done.get("warnings"))
    assert "dpkg had been interrupted at docker.io" in said
    assert "would be finished" in said if check_mode else "was finished" in said
    if check_mode:
        monkeypatch.setattr(module, "holder", lambda: "apt-get install docker.io (process 7), which holds /l")
        assert not run_module("apt_ready", check_mode=True)["changed"]


def test_what_dpkg_was_interrupted_at() -> None:
    listing = (
        "bash\tinstalled\nlibc6\thalf-configured\ndocker.io\tunpacked\nold\tconfig-files\nman-db\ttriggers-pending\n"
    )
    assert half_done(listing, []) == ["docker.io", "libc6", "man-db"]
    assert half_done("bash\tinstalled\n", ["0001"]) == ["dpkg's own table"]
    assert half_done("bash\tinstalled\n", ["tmp.i"]) == []


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Put programs in front of the real ones."""
    for name, text in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_dpkg_is_run_without_questions_and_its_refusal_is_quoted(
    run_module: Run, library: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = library("apt_ready")
    monkeypatch.setattr(module, "holder", lambda: "")
    monkeypatch.setattr(module, "JOURNAL", tmp_path / "updates")
    said = tmp_path / "said"
    commands(
        tmp_path,
        monkeypatch,
        dpkg_query=f"test -e {said} || printf 'docker.io\\thalf-configured\\n'",
        dpkg=f'[ "$1" = --verify ] || echo "$DEBIAN_FRONTEND $*" > {said}',
    )
    done = run_module("apt_ready")
    assert (done["changed"], done["finished"]) == (True, ["docker.io"])
    assert said.read_text() == "noninteractive --force-confdef --force-confold --configure -a\n"
    assert not run_module("apt_ready")["changed"]
    said.unlink()
    commands(tmp_path, monkeypatch, dpkg="echo 'docker.io: post-installation script failed' >&2; exit 1")
    failed = run_module("apt_ready")
    assert "post-installation script failed" in failed["msg"]
    assert "sudo apt-get --fix-broken install" in failed["msg"]


def test_a_package_that_the_power_went_in_the_midst_of_is_installed_again_where_a_file_is_damaged(
    run_module: Run, library: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = library("apt_ready")
    monkeypatch.setattr(module, "holder", lambda: "")
    monkeypatch.setattr(module, "JOURNAL", tmp_path / "updates")
    said = tmp_path / "said"
    verify = """case "$2" in
runc) echo '??5??????   /usr/sbin/runc' ;;
containerd) echo '??5?????? c /etc/containerd/config.toml'; echo 'missing     /usr/share/doc/containerd/NEWS' ;;
esac"""
    commands(
        tmp_path,
        monkeypatch,
        dpkg_query="printf 'runc\\tunpacked\\ncontainerd\\tunpacked\\n'",
        dpkg=f'[ "$1" != --verify ] || {{ {verify}; }}',
        apt_get=f'echo "$@" > {said}',
    )
    done = run_module("apt_ready")
    assert (done["finished"], done["renewed"]) == (["containerd", "runc"], ["runc"])
    assert said.read_text().split()[:2] == ["install", "--reinstall"] and said.read_text().split()[-1] == "runc"
    commands(tmp_path, monkeypatch, apt_get="echo 'E: it cannot be downloaded' >&2; exit 100")
    failed = run_module("apt_ready")
    assert "damaged files of runc" in failed["msg"] and "E: it cannot be downloaded" in failed["msg"]
    assert "Give the Pi internet and run again" in failed["msg"]


def test_a_host_without_dpkg_is_a_sentence(
    run_module: Run, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> list[str]:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(module, "interrupted", none)
    assert "Is this Debian?" in run_module("apt_ready")["msg"]
