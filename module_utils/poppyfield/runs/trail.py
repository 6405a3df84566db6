"""What was deployed on a host, when, by whom and with what result: a line of JSON for each, the newest last."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.host.locked_folder import locked_folder
from ansible.module_utils.poppyfield.runs.lock import short

Json = dict[str, Any]

FILE = Path("/var/lib/poppyfield/history.jsonl")
FILE_MODE = 0o600
LARGEST_FILE = 256 * 1024
"""Then it becomes the older one, of which there is one: some thousand deployments, and half a megabyte at most."""
LARGEST_LINE = 4096

DEPLOYED = "deployed"
PUT_BACK = "put back"
CHANGED = "changed"
FAILED = "failed"

TEXTS = {
    "at": 40,
    "result": 20,
    "service": 40,
    "container": 80,
    "image": 160,
    "digest": 80,
    "tried": 160,
    "why": 300,
    "by": 80,
    "playbook": 80,
    "commit": 80,
}
"""What an entry has, and how long each may be."""


def entry(result: str, run: Mapping[str, Any], now: datetime, **what: Any) -> Json:
    """Give an entry; what is empty is left out."""
    known = {"at": now.isoformat(timespec="seconds"), "result": result, **what, **run}
    return cleaned(known)


def cleaned(given: Mapping[str, Any]) -> Json:
    """Give the known texts of an entry, each as one short line."""
    texts = {name: short(given.get(name), most) for name, most in TEXTS.items() if isinstance(given.get(name), str)}
    return {name: text for name, text in texts.items() if text}


def parsed(text: str) -> list[Json]:
    """Read entries, the oldest first; a line that a loss of power left unfinished is none."""
    return [found for line in text.splitlines() for found in _entry_of(line)]


def _entry_of(line: str) -> Iterator[Json]:
    try:
        found = json.loads(line[:LARGEST_LINE])
    except (RecursionError, ValueError):
        return
    if isinstance(found, Mapping) and (known := cleaned(found)):
        yield known


def told(given: Any, limit: int) -> list[str]:
    """Say each entry in a line, the newest first as they are given. What a Pi in other hands gives is bounded."""
    entries = given if isinstance(given, list) else []
    return [_line(cleaned(one)) for one in entries[:limit] if isinstance(one, Mapping)]


def _line(one: Mapping[str, str]) -> str:
    digest = f" ({one['digest'][:19]})" if "digest" in one else ""
    tried = f", tried {one['tried']}" if "tried" in one else ""
    commit = f" at {one['commit']}" if "commit" in one else ""
    whence = f"by {one.get('by', '?')}, {one.get('playbook', '?')}{commit}"
    why = f": {one['why']}" if "why" in one else ""
    moment = one.get("at", "?")[:16].replace("T", " ")
    what = f"{one.get('service', '?')} {one.get('result', '?')}"
    return f"{moment} UTC  {what}  {one.get('image', 'no image')}{digest}{tried}  {whence}{why}"


# The effect ---------------------------------------------------------------------------------------------------------


def note(result: str, run: Mapping[str, Any] | None, **what: Any) -> str:
    """Add an entry, and see that it is on the disk; say why that was not possible. Without a run nothing is added."""
    if not run:
        return ""
    try:
        _append(json.dumps(entry(result, run, datetime.now(UTC), **what), ensure_ascii=False))
    except OSError as error:
        return f"This is not in the trail of this host, {FILE}: {error.strerror}."
    return ""


def newest(limit: int, services: Sequence[str] | None = None) -> list[Json]:
    """Give the newest entries, the newest first; none where there is no trail, or nobody may read it."""
    found = [one for path in (_older(), FILE) for one in _read(path)]
    return [one for one in found[::-1] if services is None or one.get("service") in services][:limit]


def _append(line: str) -> None:
    FILE.parent.mkdir(parents=True, exist_ok=True)
    with locked_folder(FILE.parent):
        if FILE.exists() and FILE.stat().st_size > LARGEST_FILE:
            FILE.rename(_older())
        is_new = not FILE.exists()
        handle = os.open(FILE, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, FILE_MODE)
        with os.fdopen(handle, "r+b", buffering=0) as stream:
            # After a line that was cut off begins a new one.
            size = os.fstat(handle).st_size
            whole = size == 0 or os.pread(handle, 1, size - 1) == b"\n"
            stream.write((b"" if whole else b"\n") + line.encode() + b"\n")
            os.fsync(handle)
    if is_new:
        atomic_file.sync_folder(FILE.parent)


def _older() -> Path:
    return FILE.with_suffix(".1.jsonl")


def _read(path: Path) -> Iterable[Json]:
    try:
        with path.open("rb") as stream:
            return parsed(stream.read(LARGEST_FILE + LARGEST_LINE).decode("utf-8", "replace"))
    except OSError:
        return []
