"""What a chore is given on the command line: what is missing or wrong is told, with what can be given."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.poppyfield.inventory import chores

STATE = {"required": True, "choices": ["started", "stopped", "restarted"]}
SINCE = {"pattern": r"\d+[smhd]", "example": "2h"}


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        ({}, {}, []),
        ({}, {"service": ""}, []),
        ({}, {"service": "lizmap"}, []),
        ({}, {"service": "lizmpa"}, ["service can be postgis or lizmap, not lizmpa."]),
        # Otherwise no service would be found, and for images that means all of them.
        ({}, {"service": "Lizmap"}, ["service can be postgis or lizmap, not Lizmap."]),
        ({"state": STATE}, {"state": "stopped"}, []),
        ({"state": STATE}, {}, ["Add -e state=started|stopped|restarted."]),
        ({"state": STATE}, {"state": "running"}, ["state can be started, stopped or restarted, not running."]),
        ({"command": {"required": True, "example": "'df -h'"}}, {"command": " "}, ["Add -e command='df -h'."]),
        ({"command": {"required": True}}, {}, ["Add -e command=…."]),
        (
            {"service": {"required": True}, "command": {"required": True, "example": "'df -h'"}},
            {"command": None},
            ["Add -e service=postgis|lizmap -e command='df -h'."],
        ),
        ({"as_root": {"choices": ["true", "false"]}}, {"as_root": True}, []),
        ({"as_root": {"choices": ["true", "false"]}}, {"as_root": "True"}, []),
        ({"since": SINCE}, {"since": "15m"}, []),
        ({"since": SINCE}, {"since": "yesterday"}, ["since must be like 2h, not yesterday."]),
        (
            {"state": STATE, "since": SINCE},
            {"service": "x", "since": "x"},
            [
                "service can be postgis or lizmap, not x.",
                "since must be like 2h, not x.",
                "Add -e state=started|stopped|restarted.",
            ],
        ),
    ],
)
def test_what_is_wrong_is_told(arguments: dict[str, Any], given: dict[str, Any], said: list[str]) -> None:
    assert chores.problems(arguments, given) == said


@pytest.mark.parametrize(
    ("typed", "value", "whole"),
    [
        ([], "df", "df"),
        (["command=df -h"], "df", "df -h"),
        (["command='df -h'"], "df -h", "df -h"),
        (["command=ls", "command=psql -c 'select 1'"], "psql", "psql -c 'select 1'"),
        (['{"command": "df -h"}'], "df -h", "df -h"),
        (["@given.yml"], "df -h", "df -h"),
        (["commands=df -h"], "df", "df"),
        (["command='df' -h 'x'"], "df", "'df' -h 'x'"),
        (["command=find . -name x=y"], "find", "find . -name x=y"),
    ],
)
def test_a_command_is_taken_with_all_its_words(typed: list[str], value: str, whole: str) -> None:
    assert chores.whole("command", value, typed) == whole


@pytest.mark.parametrize(
    ("typed", "is_refused"),
    [
        ("command=df -h", False),
        ("command=df -h service=lizmap", True),
        ("command='df service=lizmap'", False),
        ("service=lizmap command=df", False),
        ("command=df x=y", False),
    ],
)
def test_another_argument_in_the_text_of_a_command_is_refused(typed: str, is_refused: bool) -> None:
    arguments = {"command": {"required": True, "whole": True}}
    said = chores.problems(arguments, {"command": "df", "service": "lizmap"}, [typed])
    expected = ["Give service by an -e of its own, or put command into quotes: -e \"command='…'\"."]
    assert said == (expected if is_refused else [])
