"""Text that somebody else wrote, such as a container's log, made fit to be shown in a terminal. Pure."""

from __future__ import annotations

import re

# What Ansible itself writes around a text, and no more: not what hides it.
_COLOUR = re.compile(r"(\x1b\[(?:0|[01];3[0-7]|38;5;\d{1,3})m)")
_LINE_END = re.compile(r"\r\n?")
# ESC ] and its like hold a text, such as a window's title, up to BEL or ESC \; one that does not end holds its line.
_TERMINAL_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c|(?=\n)|\Z)"
    r"|\x1b[ -/]*[0-~]"
)


def printable(text: str, *, colours: bool = False) -> str:
    """Give a text without what would colour a terminal, move about in it or give it orders; lines and tabs stay.

    `colours` lets those stay that Ansible writes.
    """
    if colours:
        parts = _COLOUR.split(text)
        return "".join(part if number % 2 else printable(part) for number, part in enumerate(parts))
    shown = _TERMINAL_SEQUENCE.sub("", _LINE_END.sub("\n", text))
    return "".join(char if char.isprintable() or char in "\n\t" else " " * char.isspace() for char in shown)
