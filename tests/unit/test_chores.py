"""What a chore is given on the command line: what is missing or wrong is told in one sentence, with what can be given."""

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
