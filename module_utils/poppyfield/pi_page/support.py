"""What the support gets of a Pi: texts with a bound, and without what is secret. Pure."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.poppyfield.host.printable import printable

MOST_BYTES = 512 * 1024
"""Of each text the end."""
MOST_TEXTS = 40
HIDDEN = "(hidden)"
LEAST_SECRET = 4
"""A shorter one would hide half of each text, and is no secret."""
LEAST_LINE = 24
SECRET_KEY = re.compile(r"pass(?:word|wd|phrase)?$|pwd$|secret|token|key$", re.IGNORECASE)
KEY = r"[\w.-]*(?:passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key)[\w.-]*"
PATTERNS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    # https://NAME:PASSWORD@example.org
    (re.compile(r"(?<=://)[^/@\s\"']+(?=@)"), HIDDEN),
    (re.compile(r"(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(\"?\s*[:=]\s*)[^\r\n\"]+"), rf"\1\2{HIDDEN}"),
    (re.compile(r"(?i)\b(Basic|Bearer)\s+[\w+/=.~-]{6,}"), rf"\1 {HIDDEN}"),
    # ALTER ROLE ann PASSWORD 'x', password=x, "password": "x", password%3Dx
    (re.compile(rf"(?i)\b({KEY})((?:\"|')?\s*(?:[:=]|%3d)\s*|\s+(?=E?'))(?:E?'(?:[^']|'')*'|\"[^\"]*\"|[^\s&;,\"')]+)"),
     rf"\1\2{HIDDEN}"),
    (re.compile(r"SCRAM-SHA-256\$\S+|\bmd5[0-9a-f]{32}\b|\$(?:2[aby]|argon2\w*|[156y])\$[\w./$=,+-]{20,}"), HIDDEN),
    (re.compile(r"(?i)\b(PHPSESSID|JSESSIONID|sid)=[\w,-]{8,}"), rf"\1={HIDDEN}"),
)  # fmt: skip
"""What looks like a secret, wherever it comes from."""


def secrets_of(content: bytes) -> set[str]:
    """Give the secrets in a file of those that a Pi keeps to itself: one line, or settings as JSON."""
    text = content.decode("utf-8", "replace").strip()
    try:
        found = set(_leaves(json.loads(text)))
    except (ValueError, RecursionError):
        lines = [line.strip() for line in text.splitlines()]
        # Of a key each line of it, but not its end, which may stand anywhere.
        found = set(lines) if len(lines) == 1 else {line for line in lines if len(line) >= LEAST_LINE}
    return {one for one in found if len(one) >= LEAST_SECRET}


def _leaves(value: Any, *, secret: bool = False) -> Iterable[str]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, secret=secret or bool(SECRET_KEY.search(str(name))))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, secret=secret)
    elif isinstance(value, str) and secret:
        yield value


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Give a text without the secrets that are known, and without what looks like one."""
    for one in sorted(secrets, key=len, reverse=True):
        for written in {one, json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1], one.replace("'", "''")}:
            text = text.replace(written, HIDDEN)
    for pattern, instead in PATTERNS:
        text = pattern.sub(instead, text)
    return text


def end_of(text: str) -> bytes:
    """Give as much of the end of a text as there is room for, from the beginning of a line."""
    content = text.encode("utf-8", "replace")
    if len(content) <= MOST_BYTES:
        return content
    return content[-MOST_BYTES:].partition(b"\n")[2]


def bundle(texts: Mapping[str, str], secrets: Iterable[str], moment: int) -> bytes:
    """Give the texts, by their names, as an archive."""
    kept = list(secrets)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, text in sorted(texts.items())[:MOST_TEXTS]:
            # First without secrets: of one that is cut, a part would stay.
            content = end_of(without_secrets(printable(text), kept))
            entry = tarfile.TarInfo(f"poppyfield-support/{name}")
            entry.size, entry.mtime, entry.mode = len(content), moment, 0o644
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def log_of(raw: bytes) -> str:
    """Give a container's log as a text: the engine puts a head of eight bytes before each piece of it."""
    parts, place = [], 0
    while place + 8 <= len(raw) and raw[place] in (0, 1, 2) and raw[place + 1 : place + 4] == b"\0\0\0":
        length = int.from_bytes(raw[place + 4 : place + 8], "big")
        parts.append(raw[place + 8 : place + 8 + length])
        place += 8 + length
    # That of a container with a terminal has none.
    return b"".join(parts or [raw]).decode("utf-8", "replace")
