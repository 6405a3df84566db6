"""Text of others is shown without what a terminal would obey."""

from __future__ import annotations

import pytest
from ansible.module_utils.poppyfield.host.printable import printable
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("#5 0.1 \x1b[31mred\x1b[0m\x07\tcaf\u00e9\r\n", "#5 0.1 red\tcaf\u00e9\n"),
        ("a\n\n\tb\n", "a\n\n\tb\n"),
        ("10 %\r20 %", "10 %\n20 %"),
        ("\x1b[?25l\x1b[2;5Hx\x1b[38:5:1my\x1b[ q", "xy"),
        ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\\\b".replace("\\\\", "\\"), "ab"),
        ("\x1b]0;never ends\nnext", "\nnext"),
        ("\x1b]0;never ends", ""),
        ("\x1bPq\x1b\\\\a\x1b_x\x1b\\\\b".replace("\\\\", "\\"), "ab"),
        ("\x1bc\x1b(B\x1b7a\x1b", "a"),
        ("\x9b2Ja\x9d0;title\x9cb\x85c", "ab c"),
        ("a\x08\x00\x7f\u202eb\u200b\ufeff", "ab"),
        ("10\u00a0000\u202fkm", "10 000 km"),
        ("", ""),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.sampled_from("\x1b[]0;mP\\\x07\x9b\x9da\n\t\r\x85 ")))
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    shown = printable(text)
    assert all(char.isprintable() or char in "\n\t" for char in shown)
    assert printable(shown) == shown
    assert shown.count("\n") == text.replace("\r\n", "\n").replace("\r", "\n").count("\n")
