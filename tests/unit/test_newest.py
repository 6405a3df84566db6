"""The root in which the units run on the newest Python and ansible-core, and what is pinned for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from workshop.laptop import newest, prepare

ROOT = Path(__file__).resolve().parents[2]
PINS = """# A comment.
-r requirements.txt
both==1
core==2.19; python_version < "3.12"
core==2.21; python_version >= "3.12"
only==3; python_version == "3.13"
"""


@pytest.mark.parametrize(
    ("python", "pins"),
    [("3.11", ["both==1", "core==2.19"]), ("3.13", ["both==1", "core==2.21", "only==3"])],
)
def test_the_pins_of_another_python_are_chosen_by_that_one(python: str, pins: list[str]) -> None:
    assert newest.pins_for(PINS, python) == pins


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
@pytest.mark.parametrize("python", ["3.11", "3.12", newest.PYTHON, "3.14"])
def test_what_is_required_is_pinned_alike_in_the_constraints(name: str, python: str) -> None:
    texts = [(ROOT / file).read_text(encoding="utf-8") for file in (name, "constraints.txt")]
    required, pinned = ({_spelt(pin) for pin in newest.pins_for(text, python)} for text in texts)
    assert required and required <= pinned


def test_ansible_core_is_another_one_where_python_takes_a_newer_one() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    old, new = (
        next(Requirement(pin).specifier for pin in newest.pins_for(text, python) if pin.startswith("ansible-core"))
        for python in ("3.11", newest.PYTHON)
    )
    assert old != new


def test_the_root_is_another_one_when_a_pin_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = newest.root_folder()
    for name in newest.PINS:
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setattr(newest, "ROOT", tmp_path)
    assert newest.root_folder() == before
    (tmp_path / "constraints.txt").write_text("other==1\n")
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
    assert set(newest.PINS) >= set(prepare.REQUIREMENTS["test"])


def _spelt(pin: str) -> str:
    name, _, version = pin.partition("==")
    return re.sub(r"[-_.]+", "-", name).lower() + "==" + version
