"""What databases and files hold at the moment at which they are saved, for a later comparison."""

from __future__ import annotations

import json
import os
import secrets
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from ansible.module_utils.poppyfield.backup.content_queries import (
    EXPORT,
    LARGE_OBJECTS,
    RIGHTS,
    ROLES,
    SEQUENCES,
    SESSION,
    TABLES,
)
from ansible.module_utils.poppyfield.backup.database_server import PSQL, in_postgis, psql
from ansible.module_utils.poppyfield.backup.settings import BackupError, Json, Settings
from ansible.module_utils.poppyfield.backup.sql import connection
from ansible.module_utils.poppyfield.backup.streams import digest_of, last_words
from ansible.module_utils.poppyfield.backup.this_pi import read, write


class DatabaseSession:
    """A session that sees a database as it is at one moment, for as long as it is open."""

    def __init__(self, settings: Settings, database: str) -> None:
        self._end = secrets.token_hex(8)
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the session
        self._psql = subprocess.Popen(
            in_postgis(settings, *PSQL, "--set=VERBOSITY=terse", connection(database)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            text=True,
            encoding="utf-8",
        )
        self.ask(SESSION)
        self.snapshot = self.ask(EXPORT)
        # What was dropped since can't be read any more: that is no end of all. Before, no moment could be exported.
        self.ask("\\set ON_ERROR_ROLLBACK on")

    def ask(self, sql: str) -> str:
        """Run SQL; give what it printed."""
        assert self._psql.stdin and self._psql.stdout  # noqa: S101 - both are pipes
        with suppress(BrokenPipeError):
            self._psql.stdin.write(f"{sql}\n\\echo {self._end}\n")
            self._psql.stdin.flush()
        lines: list[str] = []
        for line in self._psql.stdout:
            if line.strip() == self._end:
                return "".join(lines).strip()
            lines.append(line)
        raise BackupError(f"PostgreSQL ended a session: {last_words(self._complaints)}.")

    def listed(self, sql: str) -> Any:
        """Give what a query answers in JSON. Raises BackupError where it fails."""
        if not (said := self.ask(sql)):
            raise BackupError(f"what a database holds could not be listed: {last_words(self._complaints)}.")
        return json.loads(said)

    def each(self, sql: str) -> dict[str, Any]:
        """Give by name what each of the things says that a query lists; None for what can't be read."""
        return {one["name"]: json.loads(self.ask(one["sql"]) or "null") for one in self.listed(sql)}

    def next_values(self) -> dict[str, int | None]:
        """Give what each sequence would give next."""
        return {name: None if value is None else int(value) for name, value in self.each(SEQUENCES).items()}

    def close(self) -> None:
        """End it."""
        assert self._psql.stdin and self._psql.stdout  # noqa: S101 - both are pipes
        with suppress(BrokenPipeError):
            self._psql.stdin.close()
        self._psql.wait()
        self._psql.stdout.close()
        self._complaints.close()


def content_of_database(session: DatabaseSession, before: Mapping[str, int | None]) -> Json:
    """Give what a database holds; `before` is what its sequences would have given at first."""
    tables = {**session.each(TABLES), "large objects": json.loads(session.ask(LARGE_OBJECTS) or "null")}
    after = session.next_values()
    return {
        "tables": {name: one[:2] if one and one[2] else None for name, one in tables.items()},
        "sequences": {name: _between(value, after.get(name)) for name, value in before.items()},
        "rights": session.listed(RIGHTS),
    }


def _between(before: int | None, after: int | None) -> list[int] | None:
    return None if before is None or after is None else sorted((before, after))


def roles_of(settings: Settings) -> list[str]:
    """Give the roles, in words."""
    found: list[str] = json.loads(psql(settings, ROLES))
    return found


def of_basemaps(settings: Settings) -> tuple[str, str]:
    """Give the folder of the base maps, and that of what is on its way there: these are the laptop's, and large."""
    projects = settings.folders["projects"]
    return f"{projects}/basemaps", f"{projects}/.poppyfield/basemaps"


def look_at_files(paths: Iterable[str], left_out: Iterable[str] = ()) -> dict[str, list[int]]:
    """Give of each file in folders what changes with its content: size, times and number."""
    found, without = {}, tuple(f"{path}/" for path in left_out)
    for top in paths:
        walked = ((parent, files) for parent, _, files in os.walk(top) if not f"{parent}/".startswith(without))
        names = [os.path.join(parent, name) for parent, files in walked for name in files]  # noqa: PTH118
        for path in names or [top]:
            with suppress(OSError):
                seen = os.lstat(path)
                if stat.S_ISREG(seen.st_mode):
                    found[path] = [seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino]
    return found


def content_of_files(settings: Settings, before: Mapping[str, list[int]], left_out: Iterable[str]) -> dict[str, Json]:
    """Give what the files hold that were the same before and after they were saved.

    As restic does, it reads only those that have changed since it last did, and remembers the others in memory.
    """
    known, found, skipped = read(settings.digests), {}, {*left_out}
    after = look_at_files(before)
    for path, seen in before.items():
        if after.get(path) != seen or path in skipped:
            continue
        with suppress(OSError):
            old = known.get(path, {})
            digest = old["digest"] if old.get("seen") == seen else digest_of_file(path)
            kept = os.lstat(path)
            if look_at_files([path]).get(path) == seen:
                owner = [kept.st_uid, kept.st_gid, stat.S_IMODE(kept.st_mode)]
                found[path] = {"digest": digest, "bytes": seen[0], "owner": owner, "seen": seen}
    write(settings.digests, {path: {name: one[name] for name in ("digest", "seen")} for path, one in found.items()})
    return {path: {name: one[name] for name in ("digest", "bytes", "owner")} for path, one in found.items()}


def digest_of_file(path: str) -> str:
    """Give the digest of a file, and of nothing that a link leads to."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as stream:
        return digest_of(stream)
