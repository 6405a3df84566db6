"""The tables in a file with SQL: their names, rows and coordinate systems. Pure.

It is read as pg_dump and ogr2ogr write it; of what a person wrote, what looks alike is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

_NAME = r'(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)'
_TABLE = re.compile(rf"CREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?(?:({_NAME})\.)?({_NAME})", re.IGNORECASE)
_COPY = re.compile(rf"COPY (?:({_NAME})\.)?({_NAME}) .*FROM stdin;$", re.IGNORECASE)
_PLACE = re.compile(
    rf'({_NAME})\s+(?:{_NAME}\.)?"?(?:geometry|geography)"?(?:\((\w+)(?:,\s*(-?\d+))?\))?(?=[\s,;)]|$)', re.IGNORECASE
)
_ADDED_PLACE = re.compile(r"SELECT AddGeometryColumn\('(.+?)','(.+?)','(.+?)',(-?\d+),'(\w+)'", re.IGNORECASE)
_SEARCH_PATH = re.compile(rf"SET search_path\s*(?:=|TO)\s*({_NAME})", re.IGNORECASE)
"""As versions of pg_dump before 2018 say the schema of what follows."""
_DOLLARS = re.compile(r"\$[A-Za-z0-9_]*\$")


@dataclass(frozen=True)
class FileTable:
    """A table that a file makes."""

    schema: str
    name: str
    rows: int | None = None
    """None where the file does not tell."""
    places: tuple[tuple[str, str, int], ...] = ()
    """Of each column with geometries its name, their type, and the number of their coordinate system; 0 for none."""
    certain: bool = True
    """Whether it is there, with these rows, when all of the file is loaded."""

    @property
    def full_name(self) -> str:
        """Give its name with its schema."""
        return f"{self.schema}.{self.name}"

    def said(self) -> str:
        """Say in a few words what it is."""
        told = "" if self.rows is None else f" ({self.rows} rows)"
        places = "".join(f", {kind} in {_system(number)}" for _, kind, number in self.places)
        return f"{self.full_name}{told}{places}"

    def plain(self) -> dict[str, Any]:
        """Give it as plain data."""
        return asdict(self)

    @classmethod
    def of_plain(cls, given: Mapping[str, Any]) -> FileTable:
        """Read it from plain data."""
        places = tuple((str(name), str(kind), int(number)) for name, kind, number in given["places"])
        rows = None if given["rows"] is None else int(given["rows"])
        return cls(str(given["schema"]), str(given["name"]), rows, places, bool(given["certain"]))


def _system(number: int) -> str:
    return f"EPSG:{number}" if number else "no coordinate system"


def of_statement(statement: str, schema: str = "public") -> FileTable | None:
    """Give the table that a statement makes, in this schema unless it says another one."""
    found = _TABLE.match(statement)
    if not found:
        return None
    columns = statement[found.end() :]
    places = tuple(
        (_plain(name), kind or "geometry", int(number or 0)) for name, kind, number in _PLACE.findall(columns)
    )
    return FileTable(_plain(found[1] or schema), _plain(found[2]), None, places)


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def of_sql(lines: Iterable[bytes]) -> list[FileTable]:
    """Give the tables that a file with SQL makes, with as many rows as it copies into them."""
    reader = _SqlReader()
    for line in lines:
        reader.take(line)
    return list(reader.tables.values())


class _SqlReader:
    """Reads SQL a line at a time."""

    def __init__(self) -> None:
        self.tables: dict[tuple[str, str], FileTable] = {}
        self._copied: tuple[str, str] | None = None
        self._body = ""
        """What ends the text of a function."""
        self._statement = ""
        self._schema = "public"

    def take(self, line: bytes) -> None:
        """Look at the next line."""
        if self._copied:
            self._take_row(line)
            return
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if self._body:
            self._body = "" if text.count(self._body) % 2 else self._body
            return
        if self._statement or _TABLE.match(text):
            self._take_statement(text)
        elif found := _COPY.match(text):
            self._copied = (_plain(found[1] or self._schema), _plain(found[2]))
            self._add_rows(self._copied, 0)
        elif found := _SEARCH_PATH.match(text):
            self._schema = _plain(found[1])
        elif found := _ADDED_PLACE.match(text):
            schema, name, column = (found[number].replace("''", "'") for number in (1, 2, 3))
            self._add_place((schema, name), (column, found[5], max(int(found[4]), 0)))
        elif (quoted := _DOLLARS.search(text)) and text.count(quoted[0]) % 2:
            self._body = quoted[0]

    def _take_row(self, line: bytes) -> None:
        if line.rstrip(b"\r\n") == b"\\.":
            self._copied = None
        elif self._copied:
            self._add_rows(self._copied, 1)

    def _add_rows(self, key: tuple[str, str], count: int) -> None:
        if key in self.tables:
            table = self.tables[key]
            self.tables[key] = replace(table, rows=(table.rows or 0) + count)

    def _take_statement(self, text: str) -> None:
        self._statement += text + "\n"
        if not text.endswith(";"):
            return
        if table := of_statement(self._statement, self._schema):
            self.tables[table.schema, table.name] = table
        self._statement = ""

    def _add_place(self, key: tuple[str, str], place: tuple[str, str, int]) -> None:
        if key in self.tables:
            self.tables[key] = replace(self.tables[key], places=(*self.tables[key].places, place))
