"""Databases of SQLite, found and copied as each is at one moment.

Imports nothing of ours: its text is run by itself, as the owner of a database.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO
from urllib.parse import quote

MAGIC_OF_SQLITE = b"SQLite format 3\0"


def sqlite_files(folder: Path) -> Iterator[Path]:
    """Find the SQLite databases in a folder, which may change while they are copied."""
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in sorted(names) if name.endswith(".db")):
            if stat.S_ISREG(path.lstat().st_mode) and _begins_as_sqlite(path):
                yield path


def _begins_as_sqlite(path: Path) -> bool:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
        return stream.read(len(MAGIC_OF_SQLITE)) == MAGIC_OF_SQLITE


def copy_sqlite(path: str, out: IO[bytes]) -> None:
    """Write a database out as it is at one moment; run as its owner, who may have made anything of it."""
    with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=30)) as database:
        database.execute("BEGIN")
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        out.write(database.serialize())


if __name__ == "__main__":
    copy_sqlite(sys.argv[1], sys.stdout.buffer)
