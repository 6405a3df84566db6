"""The report of the attacks: what counts, and what makes it fail."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import attack_report
from tests.attack_report import Attack, merged, problems, shown_with

ROOT = Path(__file__).resolve().parents[2]
ATTACK = Attack("write", "expression", "map page", refused=True, proven_able=True, shown_with="map page")

PLAYED = """
import pytest

@pytest.mark.attack(kind="load", on="map page", proof="test_alone")
@pytest.mark.parametrize("case", ["a", "b"])
def test_refused(case):
    assert case == "a"

@pytest.mark.attack(kind="load", on="PostGIS", proof="test_never_run")
def test_without_proof():
    pass

@pytest.mark.attack(kind="load", on="PostGIS", proof=None)
def test_both():
    pass

@pytest.mark.attack(kind="load", on="PostGIS")
def test_skipped():
    pytest.skip("not here")

@pytest.mark.parametrize("case", ["a", "b"])
def test_alone(case):
    pass

def test_many(record_attack):
    record_attack("x", kind="name", on="Lizmap", refused=True, proven_able=False, harmless_here=True)

def test_other():
    pass
"""


RUN = """
import sys
from pathlib import Path
import pytest
from tests import attack_report
attack_report.PARTS = Path("parts")
pytest.main(["-q", "-p", "tests.attack_report", *sys.argv[1:]])
"""


def played(folder: Path, *options: str) -> tuple[list[dict[str, Any]], str]:
    """Run the tests above in a process of their own, as the plugin has one list; give its report, and what it said."""
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    attack(kind, on, proof): x\n")
    (folder / "test_played.py").write_text(PLAYED)
    command = [sys.executable, "-c", RUN, *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    (part,) = (folder / "parts").iterdir()
    return json.loads(part.read_text()), run.stdout


def test_a_run_tells_what_its_tests_played(tmp_path: Path) -> None:
    found, said = played(tmp_path)
    assert [(attack["name"], attack["refused"], attack["proven_able"]) for attack in found] == [
        ("x", True, False),
        ("test_refused[a]", True, True),
        ("test_refused[b]", False, True),
        ("test_without_proof", True, False),
        ("test_both", True, True),
    ]
    assert "1 failed, 7 passed, 1 skipped" in said


def test_only_attacks_and_their_proofs_are_run_when_asked(tmp_path: Path) -> None:
    found, said = played(tmp_path, "--attacks")
    assert len(found) == 5
    assert "1 failed, 6 passed, 1 skipped, 1 deselected" in said


def test_spellings_of_one_request_count_once_and_only_if_all_are_refused() -> None:
    spelled = [replace(ATTACK, name=name, request="w") for name in ("a", "b")]
    sums = {"tried": 2, "refused": 2, "proven_able": 2}
    report = merged([ATTACK, *spelled])
    assert {name: report[name] for name in sums} == sums
    assert report["classes"] == {"expression": sums}
    report = merged([ATTACK, spelled[0], replace(spelled[1], refused=False)])
    assert (report["tried"], report["refused"]) == (2, 1)


def test_the_same_request_counts_for_each_that_it_is_sent_to() -> None:
    report = merged([ATTACK, replace(ATTACK, on="Lizmap", shown_with="stand-in")])
    assert (report["tried"], report["shown_with"]) == (2, {"map page": 1, "stand-in": 1})


def test_what_does_nothing_here_does_not_count() -> None:
    report = merged([ATTACK, replace(ATTACK, name="idle", proven_able=False, harmless_here=True)])
    assert (report["tried"], report["harmless_here"]) == (1, ["idle"])


@pytest.mark.parametrize(
    ("change", "told"), [({"refused": False}, "not refused: 0"), ({"proven_able": False}, "never seen to succeed: 0")]
)
def test_one_attack_that_is_not_refused_or_not_proven_fails(change: dict[str, Any], told: str) -> None:
    attacks = [replace(ATTACK, name=str(number)) for number in range(attack_report.ENOUGH + 1)]
    assert problems(merged(attacks)) == []
    assert problems(merged([replace(attacks[0], **change), *attacks[1:]])) == [told]


def test_too_few_fail() -> None:
    assert problems(merged([ATTACK])) == ["only 1 attacks are proven, of at least 120"]


@pytest.mark.parametrize(
    ("archive", "shown"),
    [
        ("/a/lizmap-web-client-3.10.0-rc.2.zip", "Lizmap 3.10.0-rc.2"),
        ("lizmap-web-client-3.9.9.zip", "Lizmap 3.9.9"),
        ("", "stand-in"),
    ],
)
def test_the_stand_in_never_passes_for_lizmap(monkeypatch: pytest.MonkeyPatch, archive: str, shown: str) -> None:
    monkeypatch.setenv("LIZMAP_ARCHIVE", archive)
    assert shown_with("Lizmap") == shown
    assert shown_with("PostGIS") == "PostGIS"


def test_no_call_of_pytest_collects_two_files_of_one_name() -> None:
    """It would play none at all."""
    calls = re.findall(r"pytest((?: tests/\w+)+)", (ROOT / "Makefile").read_text("utf-8"))
    assert len(calls) > 5
    for folders in calls:
        names = [path.name for folder in folders.split() for path in (ROOT / folder).rglob("test_*.py")]
        assert len(set(names)) == len(names), folders
