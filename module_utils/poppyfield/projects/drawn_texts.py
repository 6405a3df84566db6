"""The fonts that a project writes in, and which of them the map server's image has. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

IN_IMAGE = frozenset({"dejavu sans", "dejavu sans mono", "dejavu serif"})
"""Families that fontconfig finds in the image (tests/images/test_gallery.py), in small letters."""
GENERIC = frozenset({"sans", "sans serif", "sans-serif", "serif", "mono", "monospace", "ms shell dlg 2"})
"""Names that stand for whatever there is."""
STYLES = re.compile(
    r"\s+(?:bold|italic|oblique|regular|light|book|condensed|semibold|extrabold|medium)$", re.IGNORECASE
)


def fonts_of(root: Any) -> Iterator[str]:
    """Give the families that labels, layouts and markers of a project are written in."""
    for element in root.iter():
        if element.tag == "text-style" and element.get("fontFamily"):
            yield element.get("fontFamily")
        elif element.tag == "layer" and element.get("class") == "FontMarker":
            yield from _of_marker(element)


def _of_marker(element: Any) -> Iterator[str]:
    for option in element.iter():
        if (option.get("name") or option.get("k")) == "font" and (value := option.get("value") or option.get("v")):
            yield value


def lacking_fonts(fonts: Iterable[str]) -> list[str]:
    """Give the families that the image lacks."""
    return sorted({font for font in fonts if _family(font) not in IN_IMAGE | GENERIC})


def _family(font: str) -> str:
    name = font.strip().lower()
    while (shorter := STYLES.sub("", name)) != name:
        name = shorter
    return name
