"""Whether a QGIS project gives a password away, and where: in the source of data, or in a text such as an action.

A source says `password=` of a connection. In an expression the same characters are a comparison, or a piece of an
address that is put together, so that of texts only what is written out counts. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any
from urllib.parse import unquote


class WrittenIn(Enum):
    """Where a password is written."""

    SOURCE = "the source of data"
    TEXT = "a text, such as an action, a map tip or a macro"


KEYS = r"(?:password|passwd|pwd)"
# Only what is a value: password='' is QGIS's way to say that there is none.
PASSWORD = re.compile(rf"\b{KEYS}=(?:'[^']|\"[^\"]|[^\s'\"&;|)])", re.IGNORECASE)
IN_ADDRESS = re.compile(r"\w://[^/@:\s'\"?]+:[^/@\s'\"?]+@")
# OCI:scott/tiger@db; GDAL's own files of settings; headers that QGIS sends along with each question.
OF_GDAL = re.compile(
    r"^OCI:[^/@,\s]+/[^@,\s]+|<UserPwd>[^<]|\bUSERPWD=[^\s&|]|\bhttp-header:authorization=[^&\s]", re.IGNORECASE
)
# What features are shown is no part of the connection, and may compare a column that has this name.
FILTER = re.compile(r"(?:\ssql=|\|subset=).*$|(?<=[?&])(?:subset|query)=[^&]*", re.DOTALL)
EXPRESSION = re.compile(r"\[%.*?%\]", re.DOTALL)
NAME_OF_SOURCE = re.compile(r"source$|uri$|^connection$", re.IGNORECASE)
LITERAL = r"[^\s'\"&;|)(\[\]{}<>%$@+,]"
WRITTEN_OUT = re.compile(
    rf"[?&]{KEYS}={LITERAL}"
    rf"|\b(?:dbname|hostaddr|host|service|user|username)=\S*(?:\s+\w+=\S*)*?\s+{KEYS}=(?:{LITERAL}|'[^'\s|+,)]+')"
    rf"|\bconnect\w*\([^)]*\b{KEYS}=(?:'\w|\"\w)",
    re.IGNORECASE,
)


def is_in_source(source: str) -> bool:
    """Tell whether the source of data holds a password, of whatever provider; QGIS writes some of it in percents."""
    text = FILTER.sub("", source)
    return any(pattern.search(form) for form in _forms(text) for pattern in (PASSWORD, IN_ADDRESS, OF_GDAL))


def is_in_text(text: str) -> bool:
    """Tell whether a text that is no source has a password written out; what an expression gives is none."""
    # In its place stands what begins no value.
    known = EXPRESSION.sub("'", text)
    return bool(WRITTEN_OUT.search(known) or IN_ADDRESS.search(known))


def _forms(text: str) -> Iterator[str]:
    """Give a text as it is written and, where it has characters as percents, with these; twice for one in another."""
    yield text
    for _ in range(2):
        decoded = unquote(text)
        if decoded == text:
            return
        # A filter may be written so, too.
        text = FILTER.sub("", decoded)
        yield text


def find(elements: Iterable[Any]) -> frozenset[WrittenIn]:
    """Give the places where elements of a project have a password."""
    return frozenset(place for element in elements for place in _of_element(element))


def _of_element(element: Any) -> Iterator[WrittenIn]:
    # <Option name="LayerSource" value="…"/>, <prop k="…" v="…"/>, <customproperty key="…" value="…"/>
    named = element.get("name") or element.get("k") or element.get("key") or ""
    texts = [(element.tag, element.text or "")]
    texts += [(named if key in ("value", "v") else key, value) for key, value in element.attrib.items()]
    for name, text in texts:
        if NAME_OF_SOURCE.search(name):
            if is_in_source(text):
                yield WrittenIn.SOURCE
        elif is_in_text(text):
            yield WrittenIn.TEXT
