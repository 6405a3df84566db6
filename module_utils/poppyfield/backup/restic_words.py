"""What restic prints, in words for a person."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

PULLED_OUT = "it was pulled out, or is damaged"
DAMAGED = (
    "it is damaged: take another one for new backups, and keep this one: restic check on another computer tells more"
)
SIGNS_OF_DAMAGE = (
    *("does not contain", "is damaged", "verification failed", "invalid data", "unmarshal", "unexpected eof", "): eof"),
    *("not found in repository", "runtime.goexit"),
)
"""The last one is of restic itself, which ends so where its configuration is empty."""
MEANINGS = (
    (
        "wrong password",
        "it was made with another password than this Pi's, or its keys are lost. It is of another Pi of this name, or "
        "the password was replaced: give this Pi the right one (backup_password_folder), or name another target",
    ),
    ("no space left", "it is full. Take a bigger one, or keep fewer (backup_keep)"),
    ("read-only file system", "it can't be written to: it was pulled out, is write-protected, or is damaged"),
    ("input/output error", PULLED_OUT),
    ("no such file or directory", PULLED_OUT),
    *((words, DAMAGED) for words in SIGNS_OF_DAMAGE),
)
"""What restic says, and what that means for a person."""
MOST_NAMED = 5


def meaning(said: str) -> str:
    """Say what went wrong, from what restic has printed."""
    for words, sentence in MEANINGS:
        if words in said.lower():
            return sentence
    lines = [_words_of(line) for line in said.splitlines() if line.strip()]
    return " ".join(" ".join(lines[-2:]).split()) or "restic ended without a word"


def unread(said: str) -> list[str]:
    """Give the files that restic could not read, from what it has printed."""
    documents = []
    for line in said.splitlines():
        with suppress(ValueError):
            documents.append(json.loads(line))
    errors = [one for one in documents if isinstance(one, dict) and one.get("message_type") == "error"]
    return list(dict.fromkeys(str(one.get("item", "?")) for one in errors))


def not_in_it(paths: Sequence[str]) -> str:
    """Say which files a backup lacks, empty where there are none."""
    more = f" and {len(paths) - MOST_NAMED} more" if len(paths) > MOST_NAMED else ""
    named = ", ".join(paths[:MOST_NAMED]) + more
    return f" These could not be read, and are not in it: {named}. The card may be failing." if paths else ""


def _words_of(line: str) -> str:
    """Give what a line says to people: newer versions of restic write their last one as JSON."""
    with suppress(ValueError):
        document = json.loads(line)
        if isinstance(document, dict):
            return str(document.get("message", line))
    return line
