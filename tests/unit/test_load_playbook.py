"""What playbooks/load.yml does around the module: where a map does not draw after, the old data come back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit import last_play

STAND_IN = """#!{python}
# WANT_JSON
import json, sys
given = json.load(open(sys.argv[1]))
open({log!r}, "a").write(given["mode"] + " ")
done = {{"changed": True, "msg": "Done by " + given["mode"] + ".", "tables": {tables!r}, "kept": ""}}
if given["mode"] == "undo" and {undo_fails!r}:
    done = {{"failed": True, "msg": "It could not be undone."}}
print(json.dumps(done))
"""


def play(
    tmp_path: Path, *, tables: tuple[str, ...] = ("plots",), undo_fails: bool = False, **given: Any
) -> tuple[str, list[str]]:
    """Play the last play on this machine with a module that only notes what it is asked; give both."""
    log, library = tmp_path / "log", tmp_path / "library"
    library.mkdir()
    log.touch()
    stand_in = STAND_IN.format(python=sys.executable, log=str(log), tables=list(tables), undo_fails=undo_fails)
    (library / "loaded_data_double").write_text(stand_in)
    text = yaml.safe_dump([{**last_play.last_play("load.yml"), "hosts": "all", "become": False}])
    text = text.replace("loaded_data:", "loaded_data_double:")
    said = last_play.play(tmp_path, text, {"database": "gis", "files": "gis.dump", **given})
    return said, log.read_text().split()


@pytest.mark.parametrize(("mode", "asked"), [("replace", ["replace", "undo"]), ("add", ["add"])])
def test_data_after_which_no_map_draws_are_replaced_by_the_old_ones(
    tmp_path: Path, mode: str, asked: list[str]
) -> None:
    # No map draws here: nobody has looked at this machine.
    said, found = play(tmp_path, mode=mode, lizmap_web_client="archive")
    assert found == asked, said
    assert ("Done by undo." in said) == (mode == "replace")
    assert "The summary says what is wrong." in said


def test_old_data_that_cannot_be_put_back_are_told_with_what_was_wrong(tmp_path: Path) -> None:
    said, found = play(tmp_path, mode="replace", undo_fails=True, lizmap_web_client="archive")
    assert found == ["replace", "undo"], said
    summary = said.rpartition("TASK [Summary]")[2]
    assert "It could not be undone." in summary and "lizmap_admin_password" in summary
