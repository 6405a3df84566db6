"""Reads a page of Lizmap Web Client as a browser does: its form, its links, and what it says to its reader. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

# Jelix, Lizmap's framework, has this field in each form that changes something.
TOKEN = "__JFORMS_TOKEN__"  # noqa: S105 - the name of a field
MESSAGE_BLOCKS = {"alert", "jelix-msg", "jforms-error-list"}
NOT_SENT = {"button", "file", "image", "reset", "submit"}
NOT_SHOWN = {"hidden", *(NOT_SENT - {"file"})}


@dataclass
class Form:
    """A form, with the values that a browser would send if nobody changed them."""

    action: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    # The names of what people fill in.
    shown: set[str] = field(default_factory=set)


@dataclass
class Page:
    """What a page, or a part of one, shows."""

    form: Form | None = None
    links: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


def read_page(body: bytes) -> Page:
    """Read a page."""
    reader = _Reader()
    reader.feed(body.decode("utf-8", "replace"))
    reader.close()
    return reader.page


class _Reader(HTMLParser):
    """Finds the form that has a token, and messages."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self._form = Form()
        self._list = ""
        self._text_area = ""
        self._block = ""
        self._depth = 0
        self._in_link = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        classes = given.get("class", "").split()
        self._note_message(tag, classes)
        if tag == "a":
            self._in_link = True
            self.page.links.append(given.get("href", ""))
        elif tag == "form":
            self._form = Form(action=given.get("action", ""))
        elif tag == "option" and self._list:
            self._option(given)
        elif given.get("name"):
            self._field(tag, given)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._in_link = False
        elif tag == "select":
            self._list = ""
        elif tag == "textarea":
            self._text_area = ""
        elif tag == "form":
            if TOKEN in self._form.fields:
                self.page.form = self.page.form or self._form
            self._form = Form()
        if tag == self._block:
            self._depth -= 1
            self._block = tag if self._depth else ""

    def handle_data(self, data: str) -> None:
        if self._text_area:
            self._form.fields[self._text_area] += data
        elif self._block and not self._in_link and data.strip():
            self.page.messages.append(" ".join(data.split()))

    def _note_message(self, tag: str, classes: Sequence[str]) -> None:
        if tag == self._block:
            self._depth += 1
        elif not self._block and MESSAGE_BLOCKS & set(classes):
            self._block, self._depth = tag, 1

    def _field(self, tag: str, given: dict[str, str]) -> None:
        name, kind = given["name"], given.get("type", "text")
        if tag in {"select", "textarea"} or (tag == "input" and kind not in NOT_SHOWN):
            self._form.shown.add(name)
        if tag == "select":
            self._list = name
            self._form.fields.setdefault(name, "")
        elif tag == "textarea":
            self._text_area = name
            self._form.fields[name] = ""
        elif tag == "input" and kind in {"checkbox", "radio"}:
            if "checked" in given:
                self._form.fields[name] = given.get("value", "on")
        elif tag == "input" and kind not in NOT_SENT:
            self._form.fields[name] = given.get("value", "")

    def _option(self, given: dict[str, str]) -> None:
        value = given.get("value", "")
        if "selected" in given:
            self._form.fields[self._list] = value
