"""Logs of containers, collected on the laptop: how much, since when, and in which file. Pure."""

from __future__ import annotations

import re

from ansible.module_utils.poppyfield.host import file_names
from ansible.module_utils.poppyfield.host.printable import printable

MOST_BYTES = 1024 * 1024
"""Of one log: what a Pi says fills neither its own memory nor the laptop's."""
SINCE = re.compile(r"(\d{1,6})([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


def seconds(since: str) -> int:
    """Give how many seconds ago, such as 2h, is; raise ValueError where it says no such time."""
    found = SINCE.fullmatch(since)
    if found is None:
        raise ValueError(f"since must be like 2h, not {since}.")
    return int(found[1]) * SECONDS[found[2]]


def file_name(host: str, service: str) -> str:
    """Give the name of the file for a service of a host, in which nothing of a host's name leads elsewhere."""
    return f"{file_names.of_host(host)}.{service}.log"


def for_file(said: object) -> bytes:
    """Give what a host says of a log as it is kept: bounded, and without what gives a terminal orders."""
    text = printable(str(said)[-MOST_BYTES:]).encode()[-MOST_BYTES:]
    return text.decode("utf-8", "ignore").encode()
