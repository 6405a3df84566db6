"""A card dies: all of it is there again, from the stick, by one command of the laptop, and by the sheet alone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible.module_utils.poppyfield.backup import comparison
from ansible.module_utils.poppyfield.backup.comparison import objects_of
from PIL import Image
from testinfra.host import Host

from emulated_pi import ansible_playbook, do, sql
from sample_map import OBSERVE, PROJECTS, picture
from tests.reports import RESTORE, add_to_report
from usb_stick import BACKUPS, Stick, with_a_new_card

DATA_FOLDERS = "/etc/poppyfield/data-folders"
# Runs on a Pi that is emulated by a machine with something else to do.
pytestmark = pytest.mark.timeout(60 * 60)


class Saved(NamedTuple):
    """What the Pi had when its last backup was made."""

    content: dict[str, Any]
    picture: Image.Image


@pytest.fixture(scope="module")
def saved(stick: Stick) -> Iterator[Saved]:
    """Return what a Pi had whose card is dead: nothing of it is left but the stick."""
    pi = with_a_new_card(stick)
    run = ansible_playbook(*BACKUPS)
    assert run.returncode == 0, run.stdout + run.stderr
    empty = picture()
    sql(pi, OBSERVE)
    pi.check_output("head -c 100000 /dev/urandom > %s/sample/photo.jpg", PROJECTS)
    drawn = picture()
    assert drawn.tobytes() != empty.tobytes(), "the observation is not on the map"
    assert "demo-pi: " in do("backup", *BACKUPS)
    yield Saved(stick.content(), drawn)


@pytest.fixture(scope="module")
def renewed(saved: Saved, stick: Stick) -> Host:
    """Return the Pi with a new card, and what was on the old one."""
    del saved
    pi = with_a_new_card(stick)
    began = time.monotonic()
    run = ansible_playbook(*BACKUPS, "-e", "restore_from=stick")
    assert run.returncode == 0, run.stdout + run.stderr
    picture()
    add_to_report(RESTORE, seconds_to_map=round(time.monotonic() - began))
    return pi


def without(content: dict[str, Any], folder: str) -> dict[str, Any]:
    """Give what was held, without the files of a folder."""
    files = {path: one for path, one in content["files"].items() if not path.startswith(f"{folder}/")}
    return {**content, "files": files}


def differences(saved: Saved, stick: Stick) -> list[str]:
    """Say what the Pi has otherwise than before, by a backup that it makes of it now."""
    do("backup", *BACKUPS)
    # Which file systems the folders are on is another matter on another card.
    said = comparison.differences(without(saved.content, DATA_FOLDERS), without(stick.content(), DATA_FOLDERS))
    counted = objects_of(without(saved.content, DATA_FOLDERS))
    add_to_report(RESTORE, objects=counted, equal=sum(counted.values()) - len(said))
    return said


def test_a_new_card_with_the_stick_in_it_has_all_that_the_dead_one_had(
    renewed: Host, saved: Saved, stick: Stick
) -> None:
    del renewed
    assert picture().tobytes() == saved.picture.tobytes()
    assert differences(saved, stick) == []


def test_the_emergency_sheet_alone_brings_back_what_was_lost(
    renewed: Host, saved: Saved, stick: Stick, tmp_path: Path
) -> None:
    do("emergency_sheet", *BACKUPS, "-e", f"sheet_folder={tmp_path}")
    sheet = (tmp_path / "demo-pi.en.html").read_text("utf-8")
    commands = [line for block in re.findall(r"<pre>(.*?)</pre>", sheet, re.DOTALL) for line in block.splitlines()]
    restores = [line.removeprefix("sudo ") for line in commands if "backup restore --from" in line]
    finishes = [line.removeprefix("sudo ") for line in commands if line.endswith("backup finish")]
    sql(renewed, "DROP SCHEMA sample CASCADE")
    renewed.check_output("rm -r %s/sample", PROJECTS)
    for line in (restores[0], finishes[0]):
        renewed.check_output(line)
    assert picture().tobytes() == saved.picture.tobytes()
    assert differences(saved, stick) == []


def test_the_password_on_the_sheet_opens_the_stick_on_any_computer(stick: Stick, saved: Saved, tmp_path: Path) -> None:
    del saved
    do("emergency_sheet", *BACKUPS, "-e", f"sheet_folder={tmp_path}", "-e", "sheet_language=fr")
    sheet = (tmp_path / "demo-pi.fr.html").read_text("utf-8")
    password = re.findall(r"<pre>(.*?)</pre>", sheet, re.DOTALL)[0].strip()
    (tmp_path / "typed").write_text(password)
    with stick.repository(tmp_path / "typed") as repository:
        assert repository.runs()
