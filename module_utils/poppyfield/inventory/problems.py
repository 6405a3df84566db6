"""What is wrong in an inventory, and the words for it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

HIDDEN = "(hidden)"
CREDENTIALS = re.compile(r"(?<=://)[^/@\s\"]+(?=@)")
"""Of an address, as in https://NAME:PASSWORD@example.org."""
LONGEST_VALUE = 100
LEAST_SECRET = 4
"""Shorter ones stand in every text by chance."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one host."""

    variable: str
    wrong: str
    """A sentence, or the part of one that follows the variable."""
    remedy: str
    value: str = ""
    """As it is shown; empty when it would not help, or is secret."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and the hosts that have it."""

    hosts: tuple[str, ...]
    finding: Finding

    @property
    def sentence(self) -> str:
        """Say it in a line: who, which variable, its value, what is wrong, and what to do."""
        found = self.finding
        what = f"{found.variable} ({found.value})" if found.value else found.variable
        return f"{', '.join(self.hosts)}: {what}: {_ended(found.wrong)} {_ended(found.remedy)}"


@dataclass(frozen=True)
class Host:
    """The variables of a host."""

    name: str
    given: Mapping[str, Any]
    """What applies: the inventory's values over the roles' defaults."""
    values: Mapping[str, Any]
    """The same with the documented types; a default in place of each value that has another one."""


def shown(value: Any) -> str:
    """Give a value as a person may read it: one line, not too long, without credentials or what moves a cursor."""
    text = CREDENTIALS.sub(HIDDEN, json.dumps(value, ensure_ascii=False, default=str))
    text = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def together(findings: Iterable[tuple[str, Finding]], secrets: Iterable[str] = ()) -> list[Problem]:
    """Give each thing that was found on hosts once, in order, with all of its hosts and without what is secret."""
    hosts: dict[Finding, list[str]] = {}
    hidden = sorted((text for text in set(secrets) if len(text) >= LEAST_SECRET), key=len, reverse=True)
    for host, finding in findings:
        named = hosts.setdefault(_without(hidden, finding), [])
        if host not in named:
            named.append(host)
    return [Problem(tuple(names), finding) for finding, names in hosts.items()]


def message(problems: Iterable[Problem]) -> str:
    """Give the numbered list of all problems."""
    lines = [problem.sentence for problem in problems]
    count = "one thing is" if len(lines) == 1 else f"{len(lines)} things are"
    return "\n".join(
        [
            f"Nothing was changed. In the inventory {count} to be mended:",
            *(f"{number}. {line}" for number, line in enumerate(lines, 1)),
        ]
    )


def _ended(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _without(secrets: Iterable[str], finding: Finding) -> Finding:
    for secret in secrets:
        finding = replace(
            finding,
            value=_hide(secret, finding.value),
            wrong=_hide(secret, finding.wrong),
            remedy=_hide(secret, finding.remedy),
        )
    return finding


def _hide(secret: str, text: str) -> str:
    for written in (secret, json.dumps(secret, ensure_ascii=False)[1:-1]):
        text = text.replace(written, HIDDEN)
    return text
