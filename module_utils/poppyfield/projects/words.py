"""What a map server says, for people to read. Pure."""

from __future__ import annotations

import html
import re

from ansible.module_utils.poppyfield.host.printable import printable

# With its semicolon: in an address, &REQUEST= and &copy= are none.
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]*);")


def plain(text: str) -> str:
    """Give a text in one line that can be shown, with characters where it has HTML's names of them."""
    return " ".join(printable(ENTITY.sub(lambda found: html.unescape(found[0]), text)).split())
