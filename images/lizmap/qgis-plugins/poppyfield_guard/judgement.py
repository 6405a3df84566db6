"""What of a request to QGIS Server is refused, decided from its parameters alone; guard.py asks.

Who sends them is a visitor of Lizmap, or Lizmap itself: its front hands the parameters of WMS, WFS and WMTS on as they
are, and adds filters by user. By SERVICE=EXPRESSION, which the front takes from nobody, Lizmap has the project's own
expressions evaluated: of these requests only what a visitor has a hand in is judged.

QGIS decodes percent signs of some parameters twice, and cuts filters apart at semicolons without a look at quotation
marks. So a value is judged in each spelling that QGIS could see, and in each of the pieces: where one is an expression,
it must be harmless, and what QGIS would evaluate must be an expression.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import NoReturn
from urllib.parse import unquote
from xml.parsers import expat

from .functions import ALLOWED, ALLOWED_VARIABLES

PROJECTS = "/srv/projects/"
HEALTH = "/usr/share/poppyfield/health/health.qgs"
RESERVED = {"MAP", "REQUEST", "REQUEST_BODY", "SERVICE", "VERSION"}
PRINTS = {"GETPRINT", "GETPRINTATLAS"}
DEEPEST_XML = 100
MOST_ELEMENTS = 5000
MOST_PIECES = 5000
MOST_PARAMETERS = 1000
LONGEST_VALUE = 250_000
DEEPEST_EXPRESSION = 100
MOST_OPERATORS = 2000
MOST_SPELLINGS = 4
LONGEST_NAME = 60

OF_A_MAP = re.compile(r"^MAP\d+:", re.IGNORECASE)
EXTERNAL = re.compile(r"external_wms\s*:", re.IGNORECASE)
LOCAL = re.compile(r"\bfile:\S|/vsi\w", re.IGNORECASE)
FETCHED_BY_PRINTS = re.compile(
    r"^\s*(?:[a-z][a-z0-9+.-]*:)?//|<\s*(?:embed|iframe|image|img|link|object|script|style|svg)\b|url\s*\(",
    re.IGNORECASE,
)
OGC_FILTER = re.compile(r"^\s*<|\(\s*<|<[\w.:-]*Filter\b", re.IGNORECASE)
OF_THE_LIST = re.compile(r"\((?:\)|(<.*?Filter>)\))", re.DOTALL)
IN_PARENTHESES = re.compile(r"\(([^()]+)\)")
# As QGIS reads expressions: comments, texts and quoted names, which may lack an end; then what nests.
# Nothing is read twice.
TOKEN = re.compile(
    r"--[^\r\n]*|/\*(?:.*?\*/|.*)|'(?:[^'\\]|\\.?|'')*(?:'|\Z)|\"[^\"]*(?:\"|\Z)"
    r"|(?P<opens>[(\[])|(?P<closes>[)\]])|(?P<operators>[-+*/%^|=<>~!]|\b(?:and|or|not|in|is|i?like|between|case)\b)",
    re.DOTALL | re.IGNORECASE,
)
DIRECTION = re.compile(r"[ +](?:A|ASC|D|DESC)$", re.IGNORECASE)
FETCHING_TAGS = {"externalgraphic", "inlinecontent", "onlineresource"}
FIELD_TAGS = {"propertyname", "valuereference"}


@dataclass(frozen=True)
class Expression:
    """What an expression uses."""

    functions: frozenset[str]
    variables: frozenset[str]


Parse = Callable[[str], "Expression | None"]
"""Gives what a text uses as an expression, or nothing when it is none."""


class Refused(Exception):  # noqa: N818 - a decision, no error
    """A parameter that a visitor may not send so."""

    def __init__(self, parameter: str, why: str) -> None:
        super().__init__(f"The parameter {shown(parameter, LONGEST_NAME)} is refused: {why}")


def shown(text: str, most: int) -> str:
    """Give a text as one line of at most so many characters, without control characters."""
    line = "".join(letter if letter.isprintable() else "?" for letter in text[: most + 1])
    return line if len(line) <= most else f"{line[: most - 3]}..."


def judge(parameters: Mapping[str, str], names: Iterable[str], parse: Parse) -> None:
    """Raise Refused for the first parameter that a visitor may not send.

    The parameters are as QGIS understands them, their names in capital letters; `names` are those that were sent.
    """
    if len(parameters) > MOST_PARAMETERS:
        raise Refused(next(iter(parameters)), f"there are more than {MOST_PARAMETERS} parameters.")
    for name in names:
        _judge_name_as_sent(name)
    request, service = (parameters.get(name, "").upper() for name in ("REQUEST", "SERVICE"))
    if service == "EXPRESSION":
        _judge_what_lizmap_asks(parameters, request, parse)
        return
    prints = request in PRINTS or service == "ATLAS"
    for name, value in parameters.items():
        _judge_name(name)
        for number, text in enumerate(spellings(value)):
            _Value(name, text, parse, is_first=number == 0).judge(prints)


def spellings(value: str) -> Iterator[str]:
    """Give a value as it is, and as it is after each further decoding that changes it."""
    for _ in range(MOST_SPELLINGS):
        yield value
        decoded = unquote(value.replace("+", " "))
        if decoded == value:
            return
        value = decoded


def _judge_name_as_sent(name: str) -> None:
    # QGIS takes a letter whose capital is one of these, such as the long s, for it; Lizmap does not.
    if not name.isascii() and name.upper() in RESERVED:
        raise Refused(name, "its name has letters that look like others.")


def _judge_name(name: str) -> None:
    if "%" in name:
        raise Refused(name, "its name is encoded twice.")
    if ":" in OF_A_MAP.sub("", name):
        raise Refused(name, "maps of other servers are not fetched.")


def _judge_what_lizmap_asks(parameters: Mapping[str, str], request: str, parse: Parse) -> None:
    """Judge a request of Lizmap itself: forms, constraints, default values and tooltips are the project's own."""
    if "REQUEST_BODY" in parameters:
        raise Refused("REQUEST_BODY", "expressions are evaluated for Lizmap only.")
    _Value("MAP", parameters.get("MAP", ""), parse).as_map()
    if request == "VIRTUALFIELDS":
        if filtered := parameters.get("FILTER"):
            _Value("FILTER", filtered, parse).must_be_expression(filtered)
        for name, texts in (
            ("SAFE_VIRTUALS", _values_of(parameters.get("SAFE_VIRTUALS", ""))),
            ("SORTING_FIELD", [parameters.get("SORTING_FIELD", "")]),
        ):
            for text in texts:
                _Value(name, text, parse).is_expression(text)


def _values_of(text: str) -> list[str]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        raise Refused("SAFE_VIRTUALS", "it is no JSON.") from None
    return [str(value) for value in found.values()] if isinstance(found, dict) else []


@dataclass(frozen=True)
class _Value:
    """One spelling of the value of a parameter."""

    name: str
    text: str
    parse: Parse
    is_first: bool = True
    """Whether it is the spelling that was sent, and not one that QGIS could make of it."""

    def judge(self, prints: bool) -> None:
        """Judge it by what the parameter is for."""
        kind = OF_A_MAP.sub("", self.name)
        if EXTERNAL.search(self.text):
            self.refuse("EXTERNAL_WMS: maps of other servers are not fetched.")
        if LOCAL.search(self.text):
            self.refuse("files are not read.")
        if prints:
            self.as_printed(kind)
        if self.text and (judge_kind := KINDS.get(kind)):
            if len(self.text) > LONGEST_VALUE and judge_kind not in DOCUMENTS:
                self.refuse(f"it is longer than {LONGEST_VALUE} letters.")
            judge_kind(self)

    def refuse(self, why: str) -> NoReturn:
        """Refuse it."""
        raise Refused(self.name, why)

    def is_expression(self, text: str) -> bool:
        """Tell whether a text is an expression; refuse one that is not harmless."""
        self.must_be_shallow(text)
        uses = self.parse(text)
        if uses is None:
            return False
        for variable in sorted(uses.variables - ALLOWED_VARIABLES):
            self.refuse(f"visitors have no variable @{shown(variable, LONGEST_NAME)}.")
        # QGIS counts a variable as a call of this function.
        for function in sorted(uses.functions - ALLOWED.keys() - ({"var"} if uses.variables else set())):
            self.refuse(f"visitors have no function {shown(function, LONGEST_NAME)}.")
        return True

    def must_be_shallow(self, text: str) -> None:
        """Refuse what QGIS would go into so deeply that it has no stack, or no end: it calls itself for each level."""
        depth = operators = 0
        for token in TOKEN.finditer(text):
            depth = depth + 1 if token["opens"] else max(0, depth - 1) if token["closes"] else depth
            operators += 1 if token["operators"] else 0
            if depth > DEEPEST_EXPRESSION or operators > MOST_OPERATORS:
                most = f"{MOST_OPERATORS} operators, or {DEEPEST_EXPRESSION} parentheses within another"
                self.refuse(f"it has more than {most}.")

    def must_be_expression(self, text: str) -> None:
        """Refuse a text that is no harmless expression."""
        if not self.is_expression(text) and self.is_first:
            self.refuse("it is not an expression.")

    def pieces(self, separator: str) -> list[str]:
        """Cut it apart, or refuse it where that would take long."""
        found = self.text.split(separator)
        if len(found) > MOST_PIECES:
            self.refuse(f"it has more than {MOST_PIECES} pieces.")
        return found

    def as_map(self) -> None:
        """Judge the path of a project."""
        path = posixpath.normpath(posixpath.join(PROJECTS, self.text))
        is_project = path.startswith(PROJECTS) and path.endswith((".qgs", ".qgz"))
        if ".." in self.text.split("/") or ":" in self.text or not (is_project or path == HEALTH):
            self.refuse("it is no project below /srv/projects.")

    def as_style(self) -> None:
        """Judge the address of a style."""
        self.refuse("styles are not fetched; SLD_BODY holds one.")

    def as_expressions(self) -> None:
        """Judge expressions with semicolons between them."""
        for piece in self.pieces(";"):
            if piece.strip():
                self.must_be_expression(piece)
        if ";" in self.text:
            self.is_expression(self.text)

    def as_filter(self) -> None:
        """Judge LAYER:EXPRESSION with semicolons between them, an OGC filter, or several in parentheses."""
        is_xml = OGC_FILTER.search(self.text)
        if is_xml:
            self.as_ogc_filters()
        for piece in self.pieces(";"):
            expression = piece.partition(":")[2] or piece
            if is_xml or not expression.strip(" ()"):
                self.is_expression(expression)
            else:
                self.must_be_expression(expression)

    def as_ogc_filters(self) -> None:
        """Judge one OGC filter, or several in parentheses."""
        text = self.text.strip()
        if text.startswith("<"):
            self.judge_xml(text)
            return
        # One after the other: a pattern for all of them would try each way to take them together, without end.
        at = 0
        while at < len(text):
            found = OF_THE_LIST.match(text, at)
            if found is None:
                self.refuse("it is neither an OGC filter nor a list of them in parentheses.")
            if found[1]:
                self.judge_xml(found[1])
            at = found.end()

    def as_order(self) -> None:
        """Judge what to sort by: QGIS takes each for an expression."""
        self.pieces(",")
        self.pieces("(")
        for whole in (self.text, *IN_PARENTHESES.findall(self.text)):
            for part in (whole, *whole.split(",")):
                self.is_expression(DIRECTION.sub("", part.strip()))

    def as_features(self) -> None:
        """Judge numbers of features, which QGIS writes into an expression."""
        if re.search(r"[()']", self.text):
            self.refuse("the number of a feature has neither quotation marks nor parentheses.")
        # QGIS joins them by OR, one within the other.
        for separator in ",;":
            self.pieces(separator)

    def as_options(self) -> None:
        """Judge NAME:VALUE with semicolons between them, where a value may be names of fields."""
        self.pieces(",")
        for option in self.pieces(";"):
            value = option.partition(":")[2]
            for part in (value, *value.split(",")):
                self.is_expression(part)

    def as_xml(self) -> None:
        """Judge a document."""
        self.judge_xml(self.text)

    def as_symbols(self) -> None:
        """Judge documents with semicolons between them."""
        for document in self.pieces(";"):
            if document.strip():
                self.judge_xml(document)

    def as_printed(self, kind: str) -> None:
        """Judge what may be the text of a label."""
        if "[%" in self.text:
            self.refuse("texts of a print hold no expressions: [%.")
        if KINDS.get(kind) not in DOCUMENTS and FETCHED_BY_PRINTS.search(self.text):
            self.refuse("texts of a print fetch nothing.")

    def judge_xml(self, text: str) -> None:
        """Refuse XML that is not well-formed, hides or fetches something, or calls a function that visitors lack."""
        parser = expat.ParserCreate("utf-8")
        path: list[str] = []
        texts: list[str] = []
        elements = count(1)

        def start(tag: str, attributes: dict[str, str]) -> None:
            if len(path) > DEEPEST_XML or (path and path[-1] in FIELD_TAGS):
                self.refuse("the XML is nested too deeply.")
            if next(elements) > MOST_ELEMENTS:
                self.refuse(f"the XML has more than {MOST_ELEMENTS} elements.")
            path.append(_local(tag))
            texts.clear()
            self.judge_element(path[-1], [(_local(key), value) for key, value in attributes.items()])

        def end(_: str) -> None:
            # QGIS takes it for an expression where it sorts or labels.
            if path.pop() in FIELD_TAGS:
                self.is_expression("".join(texts).strip())

        def hides(*_: object) -> None:
            self.refuse("XML has neither entities, comments, CDATA nor instructions here.")

        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = texts.append
        parser.StartDoctypeDeclHandler = hides
        parser.CommentHandler = hides
        parser.StartCdataSectionHandler = hides
        parser.ProcessingInstructionHandler = hides
        try:
            parser.Parse(text.lstrip().encode("utf-8", "replace"), True)
        except expat.ExpatError:
            self.refuse("it is no well-formed XML.")

    def judge_element(self, tag: str, attributes: list[tuple[str, str]]) -> None:
        """Judge an element by the local names of it and of its attributes."""
        if tag == "function":
            called = [value for key, value in attributes if key == "name"]
            for function in called or [""]:
                if function not in ALLOWED:
                    self.refuse(f"visitors have no function {shown(function, LONGEST_NAME)}.")
        if tag in FETCHING_TAGS or any(key == "href" for key, _ in attributes):
            self.refuse("pictures and styles are not fetched.")


def _local(name: str) -> str:
    return name.rpartition(":")[2].lower()


KINDS: dict[str, Callable[[_Value], None]] = {
    "MAP": _Value.as_map,
    "SLD": _Value.as_style,
    "REQUEST_BODY": _Value.as_xml,
    "SLD_BODY": _Value.as_xml,
    "HIGHLIGHT_SYMBOL": _Value.as_symbols,
    "EXP_FILTER": _Value.as_expressions,
    "FILTER": _Value.as_filter,
    "FORMAT_OPTIONS": _Value.as_options,
    "SORTBY": _Value.as_order,
    "ATLAS_PK": _Value.as_features,
    "FEATUREID": _Value.as_features,
    "RESOURCEID": _Value.as_features,
    "SELECTION": _Value.as_features,
}
"""What a parameter is for; those of one map in a print have its number before the name."""
DOCUMENTS = (_Value.as_xml, _Value.as_symbols)
