"""What flows from one command to another one, and what commands complain of."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from ansible.module_utils.poppyfield.backup.settings import Json

CHUNK = 1 << 20


def files_of_archive(stream: IO[bytes] | None) -> dict[str, Json]:
    """Give what the files in a tar archive hold."""
    found = {}
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            path, content = f"/{member.name.strip('/')}", archive.extractfile(member) if member.isreg() else None
            if content is not None:
                owner = [member.uid, member.gid, member.mode]
                found[path] = {"digest": digest_of(content), "bytes": member.size, "owner": owner}
    # What a tar archive is filled up with, so that restic sees its reader go on to the end.
    while stream is not None and stream.read(CHUNK):
        pass
    return found


def digest_of(stream: IO[bytes]) -> str:
    """Give the digest of what is left of a stream."""
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def interrupt(restic: subprocess.Popen[bytes]) -> None:
    """End restic before it has seen the end of its input."""
    restic.send_signal(signal.SIGINT)
    try:
        restic.wait(timeout=30)
    except subprocess.TimeoutExpired:
        restic.kill()
        restic.wait()
    assert restic.stdin  # noqa: S101 - it is a pipe
    with suppress(BrokenPipeError):
        restic.stdin.close()


def text_of(stream: IO[bytes]) -> str:
    """Give all that was written to a temporary file."""
    stream.seek(0)
    return stream.read().decode(errors="replace")


def last_words(stream: IO[bytes]) -> str:
    """Give the last lines of what a command has complained of."""
    lines = [line for line in text_of(stream).splitlines() if line.strip()]
    return " ".join(" ".join(lines[-2:]).split()).rstrip(".") or "it ended without a word"


def piped(producer: Sequence[str], consumer: Sequence[str]) -> str:
    """Give what one command prints to another one; say why that did not end well, empty where both did."""
    quiet = subprocess.DEVNULL
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
        with subprocess.Popen(producer, stdin=quiet, stdout=subprocess.PIPE, stderr=said) as producing:
            done = subprocess.run(consumer, stdin=producing.stdout, stdout=quiet, stderr=complaints, check=False)
        if producing.returncode or done.returncode:
            return last_words(complaints if done.returncode else said)
    return ""
