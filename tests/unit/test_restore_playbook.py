"""What playbooks/restore.yml does around the program: it asks, and takes back what a map does not draw after."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.unit import last_play

PROGRAM = """#!/bin/sh
echo "$1" >> {log}
case $1 in
    find) echo '{{"run": "r1", "said": "the backup of pi-orchard of 10:02 on stick, with gis"}}' ;;
    take-back) echo 'Everything is again as it was.' ;;
esac
"""


def play(tmp_path: Path, *options: str, program: str = PROGRAM) -> tuple[str, list[str]]:
    """Play the last play on this machine with a program that only says what it is asked; give both."""
    path, log = tmp_path / "program", tmp_path / "log"
    path.write_text(program.format(log=log))
    path.chmod(0o755)
    text = yaml.safe_dump([{**last_play.last_play("restore.yml"), "hosts": "all", "become": False}])
    said = last_play.play(tmp_path, text, {"restore_program": [str(path)], "restore_from": "stick"}, *options)
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


def test_the_last_minute_is_asked_for_and_put_in_place_where_somebody_says_so(tmp_path: Path) -> None:
    words = tmp_path / "words"
    noted = f'{PROGRAM}echo "$@" >> {words}\n'
    wanted = "confirmed=true lizmap_web_client=archive restore_last_minute=true"
    play(tmp_path, "--extra-vars", wanted, program=noted)
    assert words.read_text().splitlines() == [
        "find --from stick --time latest --last-minute",
        "restore --from stick --run r1 --last-minute",
        "take-back",
    ]


@pytest.mark.parametrize(
    ("given", "find", "restore"),
    [
        ("restore_table=gis.public.trees", "--table=gis.public.trees", "--table=gis.public.trees"),
        ("restore_project=fields/fields.qgs", "--project=fields/fields.qgs", "--project=fields/fields.qgs"),
        (
            "restore_table=gis.public.trees restore_as=old",
            "--table=gis.public.trees --as=old",
            "--table=gis.public.trees --as=old",
        ),
        ("restore_databases=gis restore_as=old", "", "--database gis --as=old"),
    ],
)
def test_a_part_is_restored_in_place_or_beside(tmp_path: Path, given: str, find: str, restore: str) -> None:
    words = tmp_path / "words"
    # What is put beside needs no map: so that the play ends there all the same.
    noted = f'{PROGRAM}echo "$@" >> {words}\ncase "$*" in restore*--as=*) exit 1 ;; esac\n'
    play(tmp_path, "--extra-vars", f"confirmed=true lizmap_web_client=archive {given}", program=noted)
    found = ["find --from stick --time latest " + find, "restore --from stick --run r1 " + restore]
    assert [line.strip() for line in words.read_text().splitlines()][:2] == [line.strip() for line in found]


@pytest.mark.parametrize(
    "given",
    [
        "restore_databases=gis",
        "restore_as=gis_yesterday",
        "restore_table=gis.public.trees restore_project=fields/fields.qgs",
        "restore_table=gis.public.trees restore_last_minute=true",
        "restore_last_minute=true restore_time=2026-11-29T10:02",
    ],
)
def test_what_does_not_go_together_is_told_before_any_pi_is_asked(tmp_path: Path, given: str) -> None:
    plays = yaml.safe_load((last_play.ROOT / "playbooks" / "restore.yml").read_text("utf-8"))
    chore = next(one for one in plays if one["name"] == "Chore")
    said = last_play.play(tmp_path, yaml.safe_dump([{**chore, "hosts": "all"}]), {"restore_from": "stick"}, "-e", given)
    assert "Nothing was changed. Say from which of backup_targets" in said
