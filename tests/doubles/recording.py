"""What real engines of several versions say, as record_engine.py wrote it down, for the fake to repeat.

In a recorded document a word in angle brackets, such as <container_id>, stands for what differs each time.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

Json = dict[str, Any]

FOLDER = Path(__file__).parent / "recorded"


def numbers(version: str) -> tuple[int, ...]:
    """Give the numbers that a version such as 20.10.24+dfsg1 begins with."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(number) for number in match.group().split(".")) if match else ()


VERSIONS = tuple(sorted((folder.name for folder in FOLDER.iterdir() if folder.is_dir()), key=numbers))
OF_TRIXIE = "26.1.5"
"""The one that a Pi gets from Debian 13."""


def nearest(version: str) -> str:
    """Give the newest recorded version that is not newer than this one, or else the oldest."""
    return [VERSIONS[0], *(v for v in VERSIONS if numbers(v) <= numbers(version))][-1]


class Recording:
    """The documents of one version: of an image, of a network, of a container in each of its states, and the errors."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._texts = {file.stem: file.read_text() for file in (FOLDER / version).iterdir()}
        self._errors: dict[str, Json] = json.loads(self._texts["errors"])

    def document(self, name: str, /, **values: str) -> Json:
        """Give a new copy of a document, with these values for what differs each time."""
        document: Json = json.loads(_filled(self._texts[name], values))
        return document

    def error(self, name: str, /, **values: str) -> tuple[int, str]:
        """Give the HTTP status and the message of a refusal."""
        error = self._errors[name]
        return error["status"], _filled(error["message"], values)


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"<{name}>", value)
    return text
