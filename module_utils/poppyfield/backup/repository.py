"""This Pi's repository on a target, through restic."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.backup.backup_runs import (
    RECORD,
    RUN_TAG,
    TAG,
    Run,
    complete_runs,
    keep_options,
    without_record,
)
from ansible.module_utils.poppyfield.backup.restic_words import DAMAGED, meaning, unread
from ansible.module_utils.poppyfield.backup.settings import BackupError, Json, Settings
from ansible.module_utils.poppyfield.backup.streams import CHUNK, files_of_archive, interrupt, last_words, text_of
from ansible.module_utils.poppyfield.backup.targets import SftpServer
from ansible.module_utils.poppyfield.backup.this_pi import sync

CHECK_PARTS = 10
"""A weekly check reads the next tenth of all that is stored."""
MOST_REPACKED = "256M"
"""What is written at most to give up room in one week: a stick wears."""
UNREADABLE = "could not load snapshot"
"""What restic says of a snapshot that it leaves out of a list."""
SOME_UNREAD = 3
"""What restic ends with when it has saved all but some files that it could not read."""


@dataclass(frozen=True)
class Saved:
    """A snapshot that was made."""

    snapshot: str
    name: str
    bytes_added: int
    bytes_read: int
    unread: tuple[str, ...] = ()
    """Files that are there, and not in it."""


class BackupRepository:
    """This Pi's repository on a target, through restic."""

    def __init__(self, settings: Settings, place: Path) -> None:
        self._host = settings.host
        self.place = place
        """Where its target is mounted."""
        self._folder = place / "poppyfield" / settings.host
        # restic writes each pack into a temporary file first: not on the card.
        self._temporary = place / "poppyfield" / f"{settings.host}.tmp"
        self._scratch = scratch_folder(settings, place)
        others = {name: value for name, value in os.environ.items() if not name.startswith("RESTIC_")}
        self.environment = {
            **others,
            "RESTIC_REPOSITORY": str(self._folder),
            "RESTIC_PASSWORD_FILE": settings.password_file,
            "RESTIC_PROGRESS_FPS": "0.01",
            "TMPDIR": str(self._temporary),
            # A Pi has little memory.
            "GOGC": "20",
        }

    def open(self, *, make: bool = False, unlock: bool = True) -> None:
        """Find the repository, or make it. Raises BackupError where something else is there.

        To unlock it takes restic a second: needless for who has done so just before.
        """
        if not self._is_there():
            if not make:
                raise BackupError(f"there is no backup of {self._host}{self._others()}.")
            self._make()
        # Of a proof that was cut off.
        shutil.rmtree(self._scratch, ignore_errors=True)
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(mode=0o700)
        if unlock:
            # Those of programs that have ended.
            self.do("unlock")

    def _others(self) -> str:
        """Say whose backups are there."""
        names = sorted(path.parent.name for path in self._folder.parent.glob("*/config") if "." not in path.parent.name)
        return f"; it has some of {', '.join(names)}" if names else ""

    def close(self) -> None:
        """Leave nothing but the repository."""
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _is_there(self) -> bool:
        return (self._folder / "config").exists()

    def _make(self) -> None:
        """Make the repository whole, or not at all."""
        if self._folder.exists():
            raise BackupError(f"{self._folder.name} in poppyfield/ is no backup. Remove it, or take another target.")
        partial = self._folder.with_name(f"{self._host}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700, parents=True)
        self._temporary.mkdir(mode=0o700, exist_ok=True)
        self.do("init", RESTIC_REPOSITORY=str(partial))
        partial.rename(self._folder)
        sync(self._folder.parent)

    def _command(self, *words: str) -> list[str]:
        return ["restic", "--no-cache", *words]

    def do(self, *words: str, **environment: str) -> str:
        """Run restic; give what it printed."""
        return self._done(*words, **environment).stdout

    def _done(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self._command(*words),
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise BackupError(meaning(done.stderr or done.stdout) + ".")
        return done

    def snapshots(self) -> list[Json]:
        """Give all snapshots of this Pi that can be read."""
        return self._listed()[0]

    def _listed(self) -> tuple[list[Json], bool]:
        """Give all snapshots of this Pi that can be read, and whether there are others."""
        done = self._done("snapshots", "--json", "--host", self._host)
        return json.loads(done.stdout or "[]") or [], UNREADABLE in done.stderr

    def runs(self) -> list[Run]:
        """Give the backups that count. Raises BackupError where there is none that can be read, and others."""
        snapshots, others = self._listed()
        runs = complete_runs(snapshots)
        if others and not runs:
            raise BackupError(f"{DAMAGED}.")
        return runs

    def save_output(
        self, producer: Sequence[str], name: str, run: str, kind: str, owner: os.stat_result | None = None
    ) -> Saved:
        """Save what a command prints. No snapshot is made where the command fails: restic never sees the end."""
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
            drops = owner is not None and owner.st_uid != os.geteuid()
            process = subprocess.Popen(
                producer,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                user=owner.st_uid if owner and drops else None,
                group=owner.st_gid if owner and drops else None,
                extra_groups=[] if drops else None,
            )
            restic = subprocess.Popen(
                self._backup(run, kind, "--stdin", "--stdin-filename", name),
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=self.environment,
            )
            assert process.stdout and restic.stdin  # noqa: S101 - both are pipes
            with suppress(BrokenPipeError):
                shutil.copyfileobj(process.stdout, restic.stdin, CHUNK)
            process.stdout.close()
            if process.wait() and restic.poll() is None:
                interrupt(restic)
                raise BackupError(f"{name} could not be made: {last_words(complaints)}. This backup does not count.")
            with suppress(BrokenPipeError):
                restic.stdin.close()
            return self._saved(name, restic.wait(), text_of(said))

    def save_bytes(self, content: bytes, name: str, run: str, kind: str) -> Saved:
        """Save what is there already."""
        command = self._backup(run, kind, "--stdin", "--stdin-filename", name)
        done = subprocess.run(command, input=content, env=self.environment, capture_output=True, check=False)
        return self._saved(name, done.returncode, (done.stdout + done.stderr).decode(errors="replace"))

    def save_paths(self, paths: Sequence[str], left_out: Iterable[str], run: str, kind: str) -> Saved:
        """Save files and folders, but for those within them that are left out."""
        without = [word for path in left_out for word in ("--exclude", re.sub(r"([\\*?\[])", r"\\\1", path))]
        command = self._backup(run, kind, *without, "--", *paths)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, env=self.environment, capture_output=True, check=False)
        said = (done.stdout + done.stderr).decode(errors="replace")
        saved = self._saved("the files", 0 if done.returncode == SOME_UNREAD else done.returncode, said)
        # What was removed while it was being read, as sessions of Lizmap are, is nobody's loss.
        return replace(saved, unread=tuple(path for path in unread(said) if os.path.lexists(path)))

    def _backup(self, run: str, kind: str, *words: str) -> list[str]:
        tags = [word for tag in (TAG, RUN_TAG + run, kind) for word in ("--tag", tag)]
        return self._command("backup", "--json", "--host", self._host, *tags, *words)

    @staticmethod
    def _saved(name: str, code: int, said: str) -> Saved:
        summaries = [line for line in said.splitlines() if '"message_type":"summary"' in line]
        if code or not summaries:
            raise BackupError(f"{name} could not be saved: {meaning(said)}.")
        summary = json.loads(summaries[-1])
        return Saved(summary["snapshot_id"], name, summary["data_added"], summary["total_bytes_processed"])

    def dump(self, snapshot: str, name: str) -> bytes:
        """Give what was saved of one stream, when it is little."""
        command = self._command("dump", snapshot, name)
        done = subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            raise BackupError(meaning(done.stderr.decode(errors="replace")) + ".")
        return done.stdout

    def pour(self, snapshot: str, name: str, consumer: Sequence[str]) -> None:
        """Give what was saved of one stream to a command. Raises BackupError unless both ended well."""
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
            restic = subprocess.Popen(
                self._command("dump", snapshot, name),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
            )
            done = subprocess.run(
                consumer, stdin=restic.stdout, stdout=subprocess.DEVNULL, stderr=complaints, check=False
            )
            assert restic.stdout  # noqa: S101 - it is a pipe
            restic.stdout.close()
            if restic.wait() and not done.returncode:
                raise BackupError(f"{name} could not be read: {meaning(text_of(said))}.")
            if done.returncode:
                raise BackupError(f"{name} could not be restored: {last_words(complaints)}.")

    def beginning(self, snapshot: str, name: str, consumer: Sequence[str]) -> str:
        """Give what a command prints that reads only the beginning of what was saved of a stream."""
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
            command, quiet = self._command("dump", snapshot, name), subprocess.DEVNULL
            with subprocess.Popen(
                command, env=self.environment, stdin=quiet, stdout=subprocess.PIPE, stderr=said
            ) as restic:
                done = subprocess.run(
                    consumer, stdin=restic.stdout, stdout=subprocess.PIPE, stderr=complaints, check=False
                )
                restic.kill()
            if done.returncode:
                why = meaning(text_of(said)) if text_of(said).strip() else last_words(complaints)
                raise BackupError(f"{name} could not be read: {why}.")
        return done.stdout.decode(errors="replace")

    def files_in(self, snapshot: str) -> dict[str, Json]:
        """Give what the files of a snapshot hold, as restic restores them, without a place to put them."""
        with tempfile.TemporaryFile() as said:
            command = self._command("dump", "--archive", "tar", snapshot, "/")
            environment, quiet = self.environment, subprocess.DEVNULL
            with subprocess.Popen(command, env=environment, stdin=quiet, stdout=subprocess.PIPE, stderr=said) as restic:
                try:
                    found = files_of_archive(restic.stdout)
                except (tarfile.TarError, OSError) as error:
                    restic.kill()
                    raise BackupError(f"the files could not be read: {error}: {meaning(text_of(said))}.") from error
            if restic.returncode:
                raise BackupError(f"the files could not be read: {meaning(text_of(said))}.")
        return found

    def unpack(self, snapshot: str, path: str, folder: Path) -> None:
        """Restore a folder with owners and rights below another folder."""
        self.do("restore", snapshot, "--include", path, "--target", str(folder))

    def tidy(self, keep: Mapping[str, int], newest: str) -> None:
        """Forget what is not to be kept, and what belongs to no backup that counts; no room is given up yet.

        The newest run stays, which may be the oldest by its time.
        """
        kept = (*keep_options(keep), "--keep-tag", RUN_TAG + newest)
        self.do("forget", "--host", self._host, "--tag", f"{TAG},{RECORD}", "--group-by", "host", *kept)
        snapshots, others = self._listed()
        if others:
            # What seems to belong to no backup may belong to one whose record can't be read.
            raise BackupError(f"{DAMAGED}.")
        if gone := without_record(snapshots):
            self.do("forget", *gone)

    def prune(self) -> None:
        """Give up the room of what was forgotten, within bounds."""
        self.do("prune", "--max-repack-size", MOST_REPACKED)

    def check(self, week: int) -> None:
        """Give up the room of what was forgotten, and read a part of all that is stored."""
        self.prune()
        self.do("check", f"--read-data-subset={week % CHECK_PARTS + 1}/{CHECK_PARTS}")


class CopiedRepository(BackupRepository):
    """A Pi's repository in a folder of any machine, of which nothing is changed: no file there is of another owner."""

    def __init__(self, settings: Settings, place: Path, folder: Path) -> None:
        super().__init__(settings, place)
        self._folder = folder / "poppyfield" / settings.host
        self.environment["RESTIC_REPOSITORY"] = str(self._folder)

    def _command(self, *words: str) -> list[str]:
        return super()._command("--no-lock", *words)


class SftpRepository(BackupRepository):
    """This Pi's repository on another machine; what is written into files before it is sent is in memory."""

    def __init__(self, settings: Settings, place: Path, server: SftpServer) -> None:
        super().__init__(settings, place)
        self._server = server
        where = f"sftp:{server.user}@{server.machine}:{server.folder.rstrip('/')}/poppyfield/{settings.host}"
        self.environment["RESTIC_REPOSITORY"] = where

    def _command(self, *words: str) -> list[str]:
        return [*super()._command(), "--option", f"sftp.command={shlex.join(self._server.command())}", *words]

    def _is_there(self) -> bool:
        self._temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        command, quiet = self._command("cat", "config"), subprocess.DEVNULL
        done = subprocess.run(
            command, env=self.environment, stdin=quiet, capture_output=True, text=True, errors="replace", check=False
        )
        # As restic 0.14 and 0.18 say it.
        if done.returncode and "is there a repository at" not in done.stderr.lower():
            raise BackupError(meaning(done.stderr) + ".")
        return done.returncode == 0

    def _make(self) -> None:
        """Make it; its last file is the one by which it is found."""
        self.do("init")


def repository_on(settings: Settings, target: Mapping[str, Any], place: Path) -> BackupRepository:
    """Give this Pi's repository on a target."""
    if target.get("sftp"):
        return SftpRepository(settings, place, SftpServer.of(settings, target))
    return BackupRepository(settings, place)


def scratch_folder(settings: Settings, place: Path) -> Path:
    """Give where a backup is restored for trial."""
    return place / "poppyfield" / f"{settings.host}.proof"
