"""Names of hosts in names of files on the laptop. Pure."""

from __future__ import annotations

import re


def of_host(name: str) -> str:
    """Give a host's name as one for a file or folder, in which nothing leads elsewhere."""
    return re.sub(r"[^\w.-]", "_", name).lstrip(".") or "_"
