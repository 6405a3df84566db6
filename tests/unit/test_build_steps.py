"""The action plugin of arm_image follows the log of a build that runs here, from its beginning to its end."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action.normal import ActionModule as NormalActionModule

ROOT = Path(__file__).resolve().parents[2]
DOUBLES = ROOT / "tests" / "doubles"


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("action_arm_image", ROOT / "plugins" / "action" / "arm_image.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "build.log"


def test_what_a_run_writes_is_shown_and_what_was_there_before_is_not(plugin: ModuleType, log: Path) -> None:
    log.write_text("old\n")
    shown: list[str] = []
    with plugin.following(log, shown.append):
        log.write_text("new\nand longer\n\nwithout an end")
    assert shown == ["new", "and longer", "", "without an end"]


def test_a_file_that_is_not_started_again_shows_nothing(plugin: ModuleType, log: Path) -> None:
    shown: list[str] = []
    with plugin.following(log, shown.append):
        pass
    log.write_text("old\n")
    with plugin.following(log, shown.append):
        pass
    assert shown == []


def test_lines_are_shown_while_the_build_goes_on(plugin: ModuleType, log: Path) -> None:
    shown: list[str] = []
    seen = threading.Event()

    def show(line: str) -> None:
        shown.append(line)
        seen.set()

    with plugin.following(log, show), log.open("wb", buffering=0) as stream:
        for text in (b"first\nsec", b"ond\n", b"caf\xe9\n"):
            seen.clear()
            stream.write(text)
            assert seen.wait(60), "nothing was shown"
    assert shown == ["first", "second", "caf\N{REPLACEMENT CHARACTER}"]


def test_the_thread_ends_with_the_build_even_when_that_fails(plugin: ModuleType, log: Path) -> None:
    threads = threading.active_count()
    with pytest.raises(ValueError, match="failed"), plugin.following(log, print):
        assert threading.active_count() == threads + 1
        raise ValueError("failed")
    assert threading.active_count() == threads


def test_a_log_that_cannot_be_read_is_no_failure(
    plugin: ModuleType, log: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with plugin.following(log, print):
        log.mkdir()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("given", "followed"),
    [
        ({}, True),
        ({"transport": "ssh"}, False),
        ({"check_mode": True}, False),
        ({"async_val": 60}, False),
        ({"args": {}}, False),
    ],
)
def test_only_a_build_that_runs_here_and_now_is_followed(
    plugin: ModuleType, log: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], followed: bool
) -> None:
    lines: list[str] = []
    monkeypatch.setenv("FOLDER", str(log.parent))
    monkeypatch.setattr(plugin.display, "display", lines.append)

    def run_module(action: Any, tmp: str | None, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        log.write_text("#1 [1/1] COPY . /\n#1 0.1 said\n#1 DONE 0.1s\n")
        return {"changed": True}

    monkeypatch.setattr(NormalActionModule, "run", run_module)
    action = plugin.ActionModule.__new__(plugin.ActionModule)
    action._connection = SimpleNamespace(transport=given.get("transport", "local"))
    task = {"args": {"log_file": f"$FOLDER/{log.name}"}, "check_mode": False, "async_val": 0}
    action._task = SimpleNamespace(**{**task, **given})
    assert action.run() == {"changed": True}
    assert lines == (["#1 [1/1] COPY . /", "#1 DONE 0.1s"] if followed else [])


PLAYBOOK = """
- name: Build
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Build the image
      arm_image:
        name: poppyfield/test
        tag_prefix: trixie-arm64
        platform: linux/arm64
        context: "{context}"
        log_file: "{log}"
        force: true
"""


@pytest.mark.parametrize(("verbosity", "all_lines"), [((), False), (("-v",), True)])
def test_in_a_playbook_the_steps_come_before_the_result(
    tmp_path: Path, log: Path, verbosity: tuple[str, ...], all_lines: bool
) -> None:
    for folder in ("docker", "bin", "context"):
        (tmp_path / folder).mkdir()
    (tmp_path / "docker" / "version").write_text("Docker version 20.10.24+dfsg1, build 297e128")
    (tmp_path / "bin" / "docker").symlink_to(DOUBLES / "docker_command")
    (tmp_path / "context" / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "play.yml").write_text(PLAYBOOK.format(context=tmp_path / "context", log=log))
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", *verbosity, "play.yml"],
        cwd=tmp_path,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "FAKE_DOCKER": str(tmp_path / "docker"),
            "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    result = next(position for position, line in enumerate(lines) if line.startswith("changed: [localhost]"))
    begun = lines.index("#2 [1/1] COPY . /")
    assert lines.index("#2 DONE 0.1s") in range(begun, result)
    assert ("#1 transferring context: 2B" in lines) is all_lines
    assert any("building poppyfield/test" in line for line in lines) is all_lines
    assert "errantly" not in done.stdout + done.stderr
