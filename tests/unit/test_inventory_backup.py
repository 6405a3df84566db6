"""Where backups go is judged before anything is changed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.inventory_of import told

STICK = {"name": "stick", "label": "POPPYFIELD"}
OFFICE = {"name": "office", "folder": "/mnt/office"}
FAR = {"name": "far", "sftp": "backup@office.example:/srv/backups", "host_key": f"ssh-ed25519 {'A' * 68}"}


def test_a_stick_and_a_folder_go_with_the_defaults() -> None:
    assert told(backup_targets=[STICK, OFFICE, FAR]) == []
    assert told(backup_targets=[STICK], backup_keep={"daily": 3}) == []


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"name": "my stick", "label": "A"}, "a target's name is of letters, digits, - and _"),
        ({"name": "../etc", "label": "A"}, "a target's name is of letters, digits, - and _"),
        ({"name": "stick"}, "stick needs one of label, folder and sftp"),
        ({**STICK, "folder": "/mnt/x"}, "stick needs one of label, folder and sftp"),
        ({**STICK, "sftp": FAR["sftp"], "host_key": FAR["host_key"]}, "stick needs one of label, folder and sftp"),
        ({**FAR, "sftp": "office.example:/srv"}, "far is not USER@MACHINE:/FOLDER"),
        ({**FAR, "sftp": "a@office.example:srv"}, "far is not USER@MACHINE:/FOLDER"),
        ({**FAR, "sftp": "-oProxyCommand=x@y:/srv"}, "far is not USER@MACHINE:/FOLDER"),
        ({"name": "far", "sftp": FAR["sftp"]}, "far needs host_key, by which its machine is known"),
        ({**FAR, "host_key": "SHA256:abc"}, "far needs host_key, by which its machine is known"),
        ({"name": "stick", "label": "MY STICK"}, "such a label can't be told apart on every file system"),
        ({"name": "stick", "label": "-o"}, "such a label can't be told apart on every file system"),
        ({"name": "office", "folder": "mnt"}, "a folder is a path of the Pi on which something is mounted"),
        ({"name": "office", "folder": "/"}, "a folder is a path of the Pi on which something is mounted"),
        (
            {"name": "office", "folder": "/srv/poppyfield/lizmap/backup"},
            "a backup on the disk of the data (lizmap_folder) is lost with it",
        ),
    ],
)
def test_what_is_no_target_is_told(target: dict[str, Any], said: str) -> None:
    assert told(backup_targets=[target]) == [f"backup_targets: {said}"]


def test_two_targets_have_two_names() -> None:
    assert told(backup_targets=[STICK, {**OFFICE, "name": "stick"}]) == ["backup_targets: two targets are called stick"]


@pytest.mark.parametrize(
    ("variable", "schedule", "days", "least"),
    [
        ("backup_max_age_days", "weekly", 3, 8),
        ("backup_max_age_days", "daily", 1, 2),
        ("backup_max_age_days", "hourly", 0, 1),
        ("backup_max_unproven_days", "hourly", 7, 8),
    ],
)
def test_a_limit_that_is_always_passed_is_told(variable: str, schedule: str, days: int, least: int) -> None:
    given: dict[str, Any] = {"backup_max_age_days": 30, "backup_schedule": schedule, variable: days}
    (problem,) = told(backup_targets=[STICK], **given)
    assert problem.startswith(f"{variable}: there may be {least - 1} days between two")
    assert told(backup_targets=[STICK], **{**given, variable: least}) == [] == told(**given)


@pytest.mark.parametrize(
    ("keep", "said"),
    [({}, "it keeps no backup"), ({"hourly": 0}, "it keeps no backup"), ({"daily": 3, "weekly": -1}, "less than 0")],
)
def test_something_is_kept(keep: dict[str, int], said: str) -> None:
    (problem,) = told(backup_targets=[STICK], backup_keep=keep)
    assert problem.startswith("backup_keep") and said in problem
