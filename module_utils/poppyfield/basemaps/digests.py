"""The SHA-256 of large files on the laptop, each of which is read once as long as it does not change."""

from __future__ import annotations

import fcntl
from pathlib import Path

from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.projects.folder_difference import (
    Known,
    digest,
    format_known,
    parse_known,
    stamp_of,
)

RECORD = "basemaps-sha256"


def of_file(path: Path, cache_folder: Path) -> str:
    """Give the SHA-256 of a file, which the cache folder remembers. Raises OSError where the file can't be read."""
    try:
        cache_folder.mkdir(parents=True, exist_ok=True)
        lock = (cache_folder / f"{RECORD}.lock").open("w")
    except OSError:
        return digest(path)
    with lock:
        # Several Pis want the same at once, each by a process of its own.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _remembered(path.resolve(), cache_folder / RECORD)


def _remembered(path: Path, record: Path) -> str:
    known, stamp = _read(record), stamp_of(path.stat())
    before, sha256 = known.get(str(path), (None, ""))
    if before == stamp:
        return sha256
    sha256 = digest(path)
    atomic_file.write(record, format_known({**known, str(path): (stamp, sha256)}).encode())
    return sha256


def _read(record: Path) -> Known:
    try:
        return parse_known(record.read_text("utf-8"))
    except (OSError, UnicodeError):
        return {}
