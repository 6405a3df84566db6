"""What the kernel tells of the card or disk that holds the system: errors, and wear where the card tells. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LEVEL_OF_WEAR = 0x0A
"""From nine tenths of its life on, as JEDEC counts it in tenths."""
LITTLE_RESERVE = 0x02
"""From here on the card has used up four fifths of its spare blocks."""
CODES = ("read_only", "io_errors", "worn")
SENTENCES = {
    "read_only": "Card: nothing can be written. Make a backup, restart the Pi, and replace the card if it stays so.",
    "io_errors": "Card: it fails to read or write. Make a backup now, and replace it.",
    "worn": "Card: it is nearly worn out. Make a backup, and replace it soon.",
}
NOT_WRITABLE = {"ro", "emergency_ro"}
"""The second is what newer kernels say of ext4 when they stop to write after an error."""


def root_disk(mounts: str) -> str:
    """Give the name of the disk that holds the system, by /proc/mounts; that of a card where it has none."""
    found = re.search(r"^/dev/(\S+) / ", mounts, re.MULTILINE)
    # Without an initramfs the kernel calls it root.
    if found is None or found[1] == "root":
        return "mmcblk0"
    return re.sub(r"(?<=\d)p\d+$|(?<=[a-z])\d+$", "", found[1])


def is_read_only(mounts: str, folders: Iterable[str] = ("/",)) -> bool:
    """Tell whether nothing can be written any more to what holds one of these folders."""
    mounted = [line.split() for line in mounts.splitlines()]
    found = (_options(mounted, folder.replace(" ", r"\040")) for folder in folders)
    return any(NOT_WRITABLE & options for options in found)


def _options(mounted: Sequence[Sequence[str]], folder: str) -> set[str]:
    """Give the options of the mount that a folder is in: the last one on the longest path."""
    around = [one for one in mounted if f"{folder.rstrip('/')}/".startswith(f"{one[1].rstrip('/')}/")]
    # Of equals the last, which covers the others.
    return set(max(reversed(around), key=lambda one: len(one[1]))[3].split(",")) if around else set()


def has_errors(kernel_log: str, disk: str, counted: str) -> bool:
    """Tell whether reading or writing failed since the start, or, as ext4 counts, at any time."""
    told = rf"I/O error, dev {disk}\b|EXT4-fs error \(device {disk}|Buffer I/O error on dev {disk}"
    return bool(re.search(told, kernel_log)) or (counted.strip().isdigit() and int(counted) > 0)


def is_worn(life_time: str, reserve: str) -> bool:
    """Tell whether a card is near its end; most tell nothing."""
    spent = [int(part, 16) for part in re.findall(r"0x[0-9a-fA-F]+", life_time)]
    left = re.fullmatch(r"0x[0-9a-fA-F]+", reserve.strip())
    return max(spent, default=0) >= LEVEL_OF_WEAR or (left is not None and int(left[0], 16) >= LITTLE_RESERVE)


def problems(
    kernel_log: str, mounts: str, counted: str, life_time: str, reserve: str, *, folders: Iterable[str] = ()
) -> list[str]:
    """Give the codes of what is wrong; `folders` are those with data, which may be on a disk of their own."""
    found = {
        "read_only": is_read_only(mounts, ("/", *folders)),
        "io_errors": has_errors(kernel_log, root_disk(mounts), counted),
        "worn": is_worn(life_time, reserve),
    }
    return [code for code in CODES if found[code]]


def summary(found: Iterable[str]) -> list[str]:
    """Give what is wrong in sentences."""
    return [SENTENCES[code] for code in found]
