"""The maps of a Pi as anybody sees them: asked for now and then, and what is remembered of them in between."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ansible.module_utils.poppyfield.host.printable import printable
from ansible.module_utils.poppyfield.lizmap import answers
from ansible.module_utils.poppyfield.projects import map_checks
from ansible.module_utils.poppyfield.projects.map_checks import MapError

Json = dict[str, Any]

WIDTH = 320
MOST_MAPS = 20
LARGEST_ANSWER = 8 * 1024**2
LONGEST_TITLE = 120
ASK_AGAIN = 600
"""Seconds; drawing is what a Pi does for its visitors."""
ASK_AGAIN_FAILED = 300
PNG = b"\x89PNG\r\n\x1a\n"
FEW = 12
"""Different bytes that the data of a picture in one colour has at most: the colour, and how lines are stored."""
OK, UNAUTHORIZED, FORBIDDEN = 200, 401, 403


@dataclass(frozen=True)
class SeenAnswer:
    """What the map server answered."""

    status: int
    body: bytes


Ask = Callable[[str], SeenAnswer]
"""Gets a path; raises OSError where nobody answers."""


class PrivateMapError(Exception):
    """The map is not for everybody."""


def names(folder: Path) -> list[str]:
    """Give the maps that are published, as repository/project."""
    files = [path for kind in ("qgs", "qgz") for path in folder.glob(f"*/*.{kind}")]
    shown = [
        path
        for path in files
        if not path.name.startswith(".") and not path.parent.name.startswith(".") and not is_hidden(path)
    ]
    return sorted({f"{path.parent.name}/{path.stem}" for path in shown})[:MOST_MAPS]


def is_hidden(project: Path) -> bool:
    """Tell whether Lizmap leaves a project out of its list, as its settings say."""
    try:
        with project.with_name(f"{project.name}.cfg").open("rb") as stream:
            hidden = json.loads(stream.read(LARGEST_ANSWER))["options"]["hideProject"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return str(hidden) == "True"


def look(ask: Ask, project: str, *, is_lizmap: bool) -> tuple[str, bytes]:
    """Give the title of a map and its picture, as anybody gets them; raise PrivateMapError, MapError or OSError."""
    address = answers.service_url("", project) if is_lizmap else map_checks.project_address("", project)
    said = ask(map_checks.capabilities_url(address))
    if _is_refusal(said):
        raise PrivateMapError
    if said.status != OK:
        raise MapError("It does not say what it has.")
    found = map_checks.capabilities_of(_without_dtd(said.body))
    drawn = ask(map_checks.map_url(address, map_checks.choose_layers(found, ()), WIDTH))
    if drawn.status != OK or not is_picture(drawn.body):
        raise MapError("It does not draw.")
    return _title(found.title, project), drawn.body


def _is_refusal(said: SeenAnswer) -> bool:
    return said.status in (UNAUTHORIZED, FORBIDDEN) or b"AuthorizationRequired" in said.body


def is_taken_back(ask: Ask, project: str) -> bool:
    """Tell whether Lizmap says that a map is not for everybody any more: it asks nobody else, and draws nothing."""
    try:
        return _is_refusal(ask(answers.config_url("", project)))
    except OSError:
        return False


def _without_dtd(body: bytes) -> Any:
    """Read XML that defines nothing of its own: the Pi has no package for XML of strangers."""
    try:
        text = body.decode("utf-8")
        if "<!DOCTYPE" in text:
            raise MapError("Its answer defines entities.")
        return ElementTree.fromstring(text)  # noqa: S314 - it has no entities
    except (ElementTree.ParseError, ValueError) as error:
        raise MapError("Its answer is no XML.") from error


def _title(title: str, project: str) -> str:
    line = " ".join(printable(title).split())[:LONGEST_TITLE]
    return line or project


def is_picture(body: bytes) -> bool:
    """Tell whether this is a PNG of more than one colour; the Pi has no library for pictures."""
    if not body.startswith(PNG):
        return False
    data, place = b"", len(PNG)
    while place + 8 <= len(body):
        length = int.from_bytes(body[place : place + 4], "big")
        if body[place + 4 : place + 8] == b"IDAT":
            data += body[place + 8 : place + 8 + length]
        place += length + 12
    try:
        lines = zlib.decompressobj().decompress(data, LARGEST_ANSWER)
    except zlib.error:
        return False
    return len(set(lines)) > FEW


def is_due(known: Mapping[str, Any] | None, now: float) -> bool:
    """Tell whether a map is to be asked for; a clock that was set must not put it off."""
    if known is None:
        return True
    pause = ASK_AGAIN if known["draws"] else ASK_AGAIN_FAILED
    return not 0 <= now - known["asked"] < pause


def seen(
    known: Json | None, ask: Ask, project: str, now: float, moment: str, *, is_lizmap: bool
) -> tuple[Json | None, bytes]:
    """Ask for a map; give what is to be remembered, None for one that is not for everybody, and a new picture.

    One that fails is told of only if it is known to be for everybody: without Lizmap each is. One that drew before and
    is late is asked again at the next look, and told of if it is late then, too: the Pi may have had much to do.
    """
    try:
        title, picture = look(ask, project, is_lizmap=is_lizmap)
    except PrivateMapError:
        return None, b""
    except (MapError, OSError) as error:
        if known is None and is_lizmap:
            return None, b""
        if isinstance(error, TimeoutError) and known and known["draws"] and "late" not in known:
            return {**known, "late": True, "asked": now - ASK_AGAIN}, b""
        before = known or {"title": project, "picture": "", "pictured": "", "link": _link(project, is_lizmap)}
        return {**before, "draws": False, "asked": now}, b""
    return {
        "title": title,
        "link": _link(project, is_lizmap),
        "draws": True,
        "asked": now,
        "picture": picture_name(project),
        "pictured": moment,
    }, picture


def _link(project: str, is_lizmap: bool) -> str:
    return answers.page_url("", project) if is_lizmap else "/"


def picture_name(project: str) -> str:
    """Give a name that tells nothing, and that is the same each time."""
    return hashlib.sha256(project.encode()).hexdigest()[:16]
