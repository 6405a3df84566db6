"""The root in which the units run on the newest Python and ansible-core, and what is pinned for it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from workshop.laptop import newest, prepare

ROOT = Path(__file__).resolve().parents[2]
PINS = """# A comment.
-r requirements.txt
both==1 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
core==2.19 ; python_version < "3.12" \\
    --hash=sha256:cc
core==2.21; python_version >= "3.12"
only==3; python_version == "3.13"
"""


@pytest.mark.parametrize(
    ("python", "pins"),
    [
        ("3.11", ["both==1 --hash=sha256:aa --hash=sha256:bb", "core==2.19 --hash=sha256:cc"]),
        ("3.13", ["both==1 --hash=sha256:aa --hash=sha256:bb", "core==2.21", "only==3"]),
    ],
)
def test_the_pins_of_another_python_are_chosen_by_that_one(python: str, pins: list[str]) -> None:
    assert newest.pins_for(PINS, python) == pins


@pytest.mark.parametrize(
    ("purpose", "name"), [(purpose, name) for purpose, names in prepare.REQUIREMENTS.items() for name in names]
)
@pytest.mark.parametrize("python", ["3.11", "3.12", newest.PYTHON, "3.14"])
def test_what_is_required_is_pinned_alike_in_the_lock(purpose: str, name: str, python: str) -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / name, prepare.lock_of(purpose))]
    required, pinned = ({_spelt(pin) for pin in newest.pins_for(text, python)} for text in texts)
    assert required and required <= pinned


@pytest.mark.parametrize("purpose", [*prepare.REQUIREMENTS, "uv"])
def test_everything_in_a_lock_has_digests(purpose: str) -> None:
    pins = newest.pins_for(prepare.lock_of(purpose).read_text(encoding="utf-8"), newest.PYTHON)
    assert pins and not [pin for pin in pins if "==" not in pin or " --hash=sha256:" not in pin]


@pytest.mark.field("A13", "a laptop with a newer Python and ansible-core")
def test_these_tests_run_on_the_ansible_core_that_is_pinned_for_this_python(
    record_property: Callable[[str, object], None],
) -> None:
    """They all run twice, on the oldest and on the newest: make unit, make unit-newest."""
    python, core = f"{sys.version_info.major}.{sys.version_info.minor}", metadata.version("ansible-core")
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    (pin,) = [pin for pin in newest.pins_for(text, python) if pin.startswith("ansible-core")]
    record_property("message", f"Python {python}, ansible-core {core}")
    assert core in Requirement(pin).specifier


def test_ansible_core_is_another_one_where_python_takes_a_newer_one() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    old, new = (
        next(Requirement(pin).specifier for pin in newest.pins_for(text, python) if pin.startswith("ansible-core"))
        for python in ("3.11", newest.PYTHON)
    )
    assert old != new


def test_the_root_is_another_one_when_a_pin_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = newest.root_folder()
    monkeypatch.setattr(newest, "LOCK", tmp_path / "lock.txt")
    newest.LOCK.write_bytes(prepare.lock_of("test").read_bytes())
    assert newest.root_folder() == before
    newest.LOCK.write_text("other==1\n")
    assert newest.root_folder() != before


def test_no_mirror_is_named() -> None:
    assert not [word for word in newest.bootstrap_command(Path("/root")) if "://" in word]


def test_every_mount_is_made_in_a_namespace_of_its_own() -> None:
    command = newest.inside(Path("/the/root"), ROOT, ["true"])
    assert command[:2] == ["unshare", "--mount"]


def test_the_tests_run_in_the_checkout() -> None:
    words = newest.inside(Path("/the/root"), ROOT, ["true"])
    variables = [word for word in words[words.index("env") :] if not word.startswith("-") and "=" in word]
    assert words.index("--chdir=/checkout") < words.index(variables[0])


def test_the_root_holds_what_the_tests_need() -> None:
    assert prepare.lock_of("test") == newest.LOCK


def _spelt(pin: str) -> str:
    name, _, version = pin.partition(" --hash")[0].partition("==")
    return re.sub(r"[-_.]+", "-", name).lower() + "==" + version
