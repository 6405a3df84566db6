"""XML that somebody else wrote: read without entities, and within bounds. For the controller, which has defusedxml."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import TreeBuilder

MOST_ELEMENTS = 1_000_000
"""A large QGIS project has some hundred thousand."""
DEEPEST = 200
"""What reads the tree calls itself for each level."""


class XmlError(Exception):
    """What was read is no XML, or more than is read; the text says what it is."""


class _BoundedTree(TreeBuilder):
    """Builds the tree of a document, up to a number of elements and a depth."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0
        self.depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Any:
        """Begin an element."""
        self.elements += 1
        self.depth += 1
        if self.elements > MOST_ELEMENTS:
            raise XmlError(f"it has more than {MOST_ELEMENTS} elements")
        if self.depth > DEEPEST:
            raise XmlError(f"its elements are nested more than {DEEPEST} deep")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Any:
        """End an element."""
        self.depth -= 1
        return super().end(tag)


def parse(content: bytes) -> Any:
    """Give the root of a document; raise XmlError."""
    from defusedxml.common import DefusedXmlException  # noqa: PLC0415 - only the controller has defusedxml
    from defusedxml.ElementTree import ParseError, XMLParser  # noqa: PLC0415

    parser = XMLParser(target=_BoundedTree())
    try:
        parser.feed(content)
        return parser.close()
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:  # the last two tell of its encoding
        raise XmlError(str(error)) from error
