"""Decide whether an archive is the one that was seen first. Pure.

The record is a text file in the format of sha256sum: a digest, two spaces and a name on each line.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import urlsplit

_LINE = re.compile(r"(?P<digest>[0-9a-fA-F]{64})[ \t]+\*?(?P<name>\S.*)")


WITHOUT_HTTPS = "anybody on the way can replace what comes by http. Give https, or the SHA-256 of the archive."


class RecordError(Exception):
    """A record, or a source, that cannot be used, in a sentence with its remedy."""


def is_url(source: str) -> bool:
    """Tell a URL from a path."""
    return bool(re.match(r"https?://", source, re.IGNORECASE))


def needs_digest(source: str) -> bool:
    """Tell a URL by which anybody on the way can send another file."""
    return source.lower().startswith("http://")


def name_of(source: str) -> str:
    """Give the name that an archive is recorded by: only a URL has a query and a fragment."""
    try:
        name = PurePosixPath(urlsplit(source).path if is_url(source) else source).name
    except ValueError as error:
        raise RecordError(f"can't read {source}: {error}.") from error
    if not name or not name.isprintable():
        raise RecordError(
            f"{source!r} does not end in the name of a file that can be written down: give the archive another name."
        )
    return name


def parse_record(content: bytes, path: str) -> dict[str, str]:
    """Return digest by name; refuse a record that is damaged, since what it held would count as never seen."""
    record = {}
    for number, raw in enumerate(content.split(b"\n"), start=1):
        try:
            line = raw.decode("utf-8").strip()
        except UnicodeError:
            line = repr(raw)
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise RecordError(
                f"{path} is damaged: line {number} is not a SHA-256 and a name. Take the file from your backup or from "
                "git, or remove that line, and the archive that it named is recorded again when it is next seen."
            )
        record[match["name"]] = match["digest"].lower()
    return record


def format_record(record: dict[str, str]) -> bytes:
    """Return the record's content, in the order of names."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(record.items())).encode()


def problem(name: str, actual: str, given: str | None, recorded: str | None, record_path: str) -> str | None:
    """Say why the archive must not be used, or None.

    `given` is the digest that the inventory demands, `recorded` the one of the first sight; either may be missing.
    """
    if given and actual != given.lower():
        return f"{name} has the SHA-256 {actual}, but the inventory demands {given.lower()}. Supply the right file."
    if not given and recorded and actual != recorded:
        return (
            f"{name} has the SHA-256 {actual}, but {recorded} was recorded in {record_path} when it was first seen. "
            f"If the change is intended, remove its line from that file; otherwise supply the right file."
        )
    return None
