"""How often the map server looks again at a project that stays bad: each look costs a start of QGIS Server."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "images" / "lizmap" / "services" / "left-out" / "run"


def looks(project: Path, minutes: int, *, changed: int = 0, well_after: int = 0) -> list[int]:
    """Give the minutes in which a bad project is looked at, by the service's own function."""
    text = SERVICE.read_text("utf-8")
    (function,) = re.findall(r"^look_again\(\) \{\n.*?^\}\n", text, re.MULTILINE | re.DOTALL)
    settings = "\n".join(re.findall(r"^(?:looks_each_pause|longest_pause)=.*$", text, re.MULTILINE))
    script = f"""
set -euo pipefail
{settings}
declare -A left_out looks rest written_at
left_out[$1]=bad
minute=0
look_at() {{ [[ $1 == "$project" ]]; echo "$minute"; }}
{function}
for ((minute = 1; minute <= $2; minute++)); do
    if ((minute == $3)); then touch --date=2020-01-01 "$1"; fi
    if ((minute == $4)); then left_out[$1]=; fi
    if ((minute == $4 + 1 && $4 > 0)); then left_out[$1]=bad; fi
    look_again
done
"""
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(project), str(minutes), str(changed), str(well_after)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(line) for line in done.stdout.split()]


def test_a_project_that_stays_bad_is_looked_at_less_and_less_often(tmp_path: Path) -> None:
    project = tmp_path / "a $(touch evil) [map].qgs"
    project.touch()
    found = looks(project, 1000)
    assert found[:11] == list(range(1, 12))
    pauses = [later - before for before, later in itertools.pairwise(found)]
    assert pauses == sorted(pauses) and pauses[-1] == 10 and len(found) < 150


def test_one_whose_file_was_changed_is_looked_at_at_once(tmp_path: Path) -> None:
    project = tmp_path / "map.qgs"
    project.touch()
    assert {100, 101, 102} <= set(looks(project, 110, changed=100))
    assert not {100, 102} <= set(looks(project, 110))


def test_one_that_was_well_meanwhile_begins_again(tmp_path: Path) -> None:
    project = tmp_path / "map.qgs"
    project.touch()
    found = looks(project, 70, well_after=60)
    assert 60 not in found and set(range(61, 71)) <= set(found)
