"""Commands, the program's own files and its lock on this Pi."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup.settings import BackupError, Json, Settings

LAST_MINUTE = "last_minute"
"""The part of the program that saves and restores it."""
TRIAL_MAPS = "trial_maps"
"""The part of the program that draws the maps of a trial."""
PARTS = (LAST_MINUTE, TRIAL_MAPS)
"""Which not every Pi has: each is a module with a function main."""
FOLDER = Path(__file__).resolve().parents[4]
"""That of the program, which Python runs; `program_files` installs it."""


def is_installed(part: str) -> bool:
    """Tell whether a part of the program is on this Pi. A laptop, where nothing is installed, has none."""
    return (FOLDER / "__main__.py").exists() and Path(__file__).with_name(f"{part}.py").exists()


def do(command: Sequence[str], *, given: bytes = b"") -> str:
    """Run a command; give what it printed. Raises BackupError."""
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())[-500:]
        raise BackupError(f"{command[0]} {command[1]}: {said or done.returncode}")
    return done.stdout.decode(errors="replace")


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a file of ours, which is there whole or not at all whenever the power goes."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        json.dump(document, stream, indent=1, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Let the names in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read(path: Path) -> Json:
    """Read such a file; nothing where there is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def locked(settings: Settings, *, wait: bool) -> Iterator[bool]:
    """Hold the one lock of backup and restore; False where another one holds it and nobody is to wait."""
    folder = Path(settings.run_folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def told_in_a_sentence(action: Callable[[], int]) -> int:
    """Do something; where it fails, say so in one sentence. Give the exit status."""
    try:
        return action()
    except BackupError as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{error.strerror}: {error.filename}", file=sys.stderr)
    return 1
