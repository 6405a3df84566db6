"""Logs of writes, as QEMU and the kernel make them."""

from __future__ import annotations

import struct
from pathlib import Path

from workshop.emulator.write_log import SECTOR

MAGIC = 0x6A736677736872


def log_of(folder: Path, *written: tuple[int, bytes, int]) -> Path:
    """Write a log of dm-log-writes, version 1: of each entry the first sector, the data and the flags."""
    log = struct.pack("<QQQI", MAGIC, 1, len(written), SECTOR).ljust(SECTOR, b"\0")
    for sector, data, flags in written:
        log += struct.pack("<QQQQ", sector, len(data) // SECTOR, flags, 0).ljust(SECTOR, b"\0") + data
    path = folder / "writes.log"
    path.write_bytes(log)
    return path
