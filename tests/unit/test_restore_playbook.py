"""What playbooks/restore.yml does around the program: it asks, and takes back what a map does not draw after."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.unit import last_play

PROGRAM = """#!/bin/sh
echo "$1" >> {log}
case $1 in
    find) echo '{{"run": "r1", "said": "the backup of pi-orchard of 10:02 on stick, with gis"}}' ;;
    take-back) echo 'Everything is again as it was.' ;;
esac
"""


def play(tmp_path: Path, *options: str) -> tuple[str, list[str]]:
    """Play the last play on this machine with a program that only says what it is asked; give both."""
    program, log = tmp_path / "program", tmp_path / "log"
    program.write_text(PROGRAM.format(log=log))
    program.chmod(0o755)
    text = yaml.safe_dump([{**last_play.last_play("restore.yml"), "hosts": "all", "become": False}])
    said = last_play.play(tmp_path, text, {"restore_program": [str(program)], "restore_from": "stick"}, *options)
    return said, log.read_text().split()


def test_nothing_is_restored_before_somebody_agreed(tmp_path: Path) -> None:
    said, asked = play(tmp_path)
    assert "Nothing was done, because the answer was not yes." in said
    assert asked == ["find"]


def test_a_restore_whose_map_does_not_draw_is_taken_back(tmp_path: Path) -> None:
    # No map draws here: nobody has looked at this machine.
    said, asked = play(tmp_path, "--extra-vars", "confirmed=true lizmap_web_client=archive")
    assert asked == ["find", "restore", "take-back"], said
    assert "Everything is again as it was." in said
