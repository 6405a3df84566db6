"""Decide whether an archive is the one that was seen first. Pure.

The record is a text file in the format of sha256sum: a digest, two spaces and a name on each line.
"""

from __future__ import annotations


def parse_record(text: str) -> dict[str, str]:
    """Return digest by name."""
    lines = (line.split(maxsplit=1) for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return {name.strip(): digest.lower() for digest, name in lines}


def format_record(record: dict[str, str]) -> str:
    """Return the record's text, in the order of names."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(record.items()))


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
