"""Names of files, projects and repositories: which look the same, which Lizmap can show, and one that works. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from itertools import chain, count

LONGEST_REPOSITORY = 100
# Lizmap's own rule, whose letters are those of ASCII; of the spaces only the usual one can be in a published name.
OF_PROJECT = re.compile(r"[-. A-Za-z0-9_]+")
OF_REPOSITORY = re.compile(rf"[A-Za-z0-9_]{{1,{LONGEST_REPOSITORY}}}")


def as_read(name: str) -> str:
    """Give the same for names that look the same: é is one character (NFC) or an e with an accent after it (NFD)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def without_accents(name: str) -> str:
    """Give the name with plain letters where it has accents."""
    letters = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def lizmap_shows(stem: str) -> bool:
    """Tell whether Lizmap can show a project of this name, which is without its ending."""
    return bool(OF_PROJECT.fullmatch(stem))


def project_for_lizmap(stem: str, taken: Container[str] = ()) -> str:
    """Give a name like this one that Lizmap can show, and that is not taken."""
    plain = re.sub(r"[^-. A-Za-z0-9_]+", "_", without_accents(stem))
    tidy = re.sub(r" *_[ _]*", "_", plain).replace("_.", ".").strip("_ -.") or "map"
    return next(name for name in chain([tidy], (f"{tidy}_{number}" for number in count(2))) if name not in taken)


def repository_for_lizmap(key: str) -> str:
    """Give the name of a repository like this one that Lizmap can have."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", without_accents(key))
    return plain.strip("_")[:LONGEST_REPOSITORY] or "maps"


def can_be_asked(layer: str) -> bool:
    """Tell whether WMS can be asked for a layer: in its list of names a comma ends one, and nothing escapes it."""
    return "," not in layer
