"""What the kernel tells of the card or disk that holds the system: errors, and wear where the card tells. Pure."""

from __future__ import annotations

import re

LEVEL_OF_WEAR = 0x0A
"""From nine tenths of its life on, as JEDEC counts it in tenths."""
LITTLE_RESERVE = 0x02
"""From here on the card has used up four fifths of its spare blocks."""


def root_disk(mounts: str) -> str:
    """Give the name of the disk that holds the system, by /proc/mounts; that of a card where it has none."""
    found = re.search(r"^/dev/(\S+) / ", mounts, re.MULTILINE)
    # Without an initramfs the kernel calls it root.
    if found is None or found[1] == "root":
        return "mmcblk0"
    return re.sub(r"(?<=\d)p\d+$|(?<=[a-z])\d+$", "", found[1])


def is_read_only(mounts: str) -> bool:
    """Tell whether nothing can be written to the system any more."""
    options = [line.split()[3].split(",") for line in mounts.splitlines() if line.split()[1:2] == ["/"]]
    return bool(options) and "ro" in options[-1]


def has_errors(kernel_log: str, disk: str, counted: str) -> bool:
    """Tell whether reading or writing failed since the start, or, as ext4 counts, at any time."""
    told = rf"I/O error, dev {disk}\b|EXT4-fs error \(device {disk}|Buffer I/O error on dev {disk}"
    return bool(re.search(told, kernel_log)) or (counted.strip().isdigit() and int(counted) > 0)


def is_worn(life_time: str, reserve: str) -> bool:
    """Tell whether a card is near its end; most tell nothing."""
    spent = [int(part, 16) for part in re.findall(r"0x[0-9a-fA-F]+", life_time)]
    left = re.fullmatch(r"0x[0-9a-fA-F]+", reserve.strip())
    return max(spent, default=0) >= LEVEL_OF_WEAR or (left is not None and int(left[0], 16) >= LITTLE_RESERVE)


def problems(kernel_log: str, mounts: str, counted: str, life_time: str, reserve: str) -> list[str]:
    """Give the codes of what is wrong."""
    found = {
        "read_only": is_read_only(mounts),
        "io_errors": has_errors(kernel_log, root_disk(mounts), counted),
        "worn": is_worn(life_time, reserve),
    }
    return [code for code, there in found.items() if there]
