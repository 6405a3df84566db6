"""Lines of ours in the settings that a Raspberry Pi's firmware reads at its start, config.txt. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

BEGIN = "# BEGIN Poppyfield: {}"
END = "# END Poppyfield: {}"
FOR_ALL = "[all]"
"""What stands before it may be for another model of the Pi."""


def with_block(text: str, name: str, lines: Sequence[str]) -> str:
    """Give config.txt with these lines at its end, for every model, in a block of this name; without any, without it.

    A line that somebody else has written, and that is not for one model alone, is not written a second time.
    """
    begin, end = BEGIN.format(name), END.format(name)
    rest = re.sub(rf"^{re.escape(begin)}\n(?:.*\n)*?{re.escape(end)}\n?", "", text, flags=re.MULTILINE)
    wanted = [line for line in lines if line not in _for_all(rest)]
    if not wanted:
        return rest
    newline = "" if not rest or rest.endswith("\n") else "\n"
    return "\n".join([f"{rest}{newline}{begin}", FOR_ALL, *wanted, end]) + "\n"


def _for_all(text: str) -> list[str]:
    """Give the lines that count on every model."""
    found, section = [], FOR_ALL
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        elif section == FOR_ALL:
            found.append(line)
    return found
