"""What a file for a database says of itself: its kind, who wrote it, its encoding, and the names that it wants.

A file may have gigabytes, so it is read once, in parts, and of each only what is to be known is kept. The archive of
pg_dump -Fc begins with a list of all that is in it, which is all that is read of it. Nothing of PostgreSQL is needed.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, cast

from ansible.module_utils.poppyfield.postgis import contents

PART = 1024 * 1024
HEAD = 64 * 1024
"""What of the beginning, and of the end, is looked at for what pg_dump says of itself."""
LONGEST_LINE = 64 * 1024
"""Of a longer line, as one with a big geometry, only the end is kept until the rest of it is read."""
LONGEST_TEXT = 64 * 1024 * 1024
"""Of one entry of an archive's list: PostgreSQL itself has no longer statements than this by far."""

ARCHIVE = b"PGDMP"
TAR_BLOCK = 512
TAR_MARK = slice(257, 262)
UTF16 = (b"\xff\xfe", b"\xfe\xff")
COMPRESSED = (b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ", b"BZh", b"7z\xbc\xaf")
"""How files of zip, zstd, xz, bzip2 and 7-Zip begin."""
GZIP = b"\x1f\x8b"

NAME = r'("[^"]+"|[a-z_][a-z0-9_$]*)'
ROLES = (
    r"(?:GRANT .* TO|REVOKE .* FROM|ALTER .* OWNER TO|ALTER DEFAULT PRIVILEGES .* (?:TO|FROM)"
    rf"|CREATE SCHEMA .* AUTHORIZATION|CREATE POLICY .* TO) {NAME}"
)
DEFAULT_ROLES = rf"ALTER DEFAULT PRIVILEGES FOR ROLE {NAME}"
"""How statements of pg_dump name roles. The image makes those that are missing by the same rules."""
NO_ROLES = frozenset({"public", "none", "current_role", "current_user", "session_user"})
"""Words in the place of a role's name, as people write them."""
COUNTRY_COLLATION = r'([a-z]{2,3}[_-][A-Z]{2}(?:[.@][^"]*)?)'
"""The names of a C library's collations that the image has ICU stand in for."""

LEFT_OUT_EXTENSIONS = ("address_standardizer", "address_standardizer_data_us", "postgis_tiger_geocoder")
"""For addresses in the United States: the image lacks them, and they are left out of an archive."""
LEFT_OUT_SCHEMAS = ("tiger", "tiger_data")
"""What the last of these makes its own, and fills."""

_ROLES = tuple(re.compile(rb"\n" + pattern.encode()) for pattern in (ROLES, DEFAULT_ROLES))
_EXTENSION = re.compile(rb"\nCREATE EXTENSION (?:IF NOT EXISTS )?" + NAME.encode())
_COLLATION = re.compile(rb'COLLATE pg_catalog\."([^"\n]+)"')
_SETTING = re.compile(rb"\nSET ([a-z_]+) =")
_ENCODING = re.compile(
    rb"(?:^|;)[ \t]*(?:SET\s+(?:NAMES\s|(?:SESSION\s+)?client_encoding\s*(?:=|TO\s))|\\encoding\s)"
    rb"\s*['\"]?([a-z0-9_-]+)",
    re.IGNORECASE | re.MULTILINE,
)
"""Also as people write it, and shp2pgsql."""
_WRITTEN_BY = re.compile(rb"\n-- Dumped by pg_dump version ([0-9][0-9A-Za-z.]*)")
_MADE_BY_DUMP = b"\n-- PostgreSQL database dump"
_COMPLETE = b"\n-- PostgreSQL database dump complete"
_WHOLE_SERVER = b"\n-- PostgreSQL database cluster dump"
_CONNECT = b"\n\\connect "


class DumpKind(StrEnum):
    """What a file holds."""

    SQL = "SQL"
    ARCHIVE = "an archive of pg_dump"
    UTF16 = "text in UTF-16"
    COMPRESSED = "compressed, but not by gzip"


class DumpFileError(Exception):
    """The file ends too early, or is damaged."""


@dataclass(frozen=True)
class DumpFile:
    """What a file says of itself."""

    kind: DumpKind = DumpKind.SQL
    gzipped: bool = False
    size: int = 0
    """Bytes as it lies there."""
    plain_size: int = 0
    """Bytes without gzip."""
    written_by: str = ""
    """The version of pg_dump that wrote it; empty for another program or a person."""
    archive_version: tuple[int, int] = (0, 0)
    encoding: str = ""
    """As it says itself, in PostgreSQL's words; empty where it does not."""
    not_utf8: int = 0
    """The first line that is not UTF-8."""
    has_accents: bool = False
    """Whether it has anything but ASCII."""
    roles: frozenset[str] = frozenset()
    extensions: frozenset[str] = frozenset()
    collations: frozenset[str] = frozenset()
    """Those of the C library or of the server that wrote it."""
    settings: frozenset[str] = frozenset()
    """Names of settings that it sets at its beginning."""
    whole_server: bool = False
    """Whether pg_dumpall wrote it."""
    makes_database: bool = False
    """Whether it makes a database of its own and goes on in that (pg_dump --create)."""
    broken: str = ""
    """Why not all of it is there."""
    sorting: str = ""
    """Of an archive: how the database sorted that it was made of, by ICU's name (fr-FR); empty for C and SQL."""
    tables: tuple[contents.FileTable, ...] = ()
    """Of an archive: the tables in it."""
    left_out: frozenset[str] = frozenset()
    """Of an archive: extensions and schemas that are not loaded, see LEFT_OUT_EXTENSIONS."""
    kept: tuple[int, ...] = ()
    """The numbers of what is loaded then, in order; empty for all of it."""


def read(path: Path) -> DumpFile:
    """Read what a file says of itself."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        gzipped = stream.read(len(GZIP)) == GZIP
        stream.seek(0)
        if not gzipped:
            return replace(_read(stream, size), size=size)
        with gzip.open(stream) as plain:
            try:
                found = _read(cast("IO[bytes]", plain), 0)
            except (EOFError, zlib.error, gzip.BadGzipFile):
                found = DumpFile(broken="gzip finds its end missing, or something in it damaged")
        return replace(found, size=size, gzipped=True)


def _read(stream: IO[bytes], size: int) -> DumpFile:
    head = stream.read(TAR_BLOCK + len(ARCHIVE))
    if head.startswith(ARCHIVE):
        return _read_archive(stream, 0, size)
    if head[TAR_MARK] == b"ustar" and head[TAR_BLOCK:] == ARCHIVE:
        return _read_archive(stream, TAR_BLOCK, size)
    if head.startswith(UTF16) or b"\0" in head[:4]:
        return DumpFile(DumpKind.UTF16)
    if head.startswith(COMPRESSED):
        return DumpFile(DumpKind.COMPRESSED)
    return _read_sql(head, stream)


# SQL ----------------------------------------------------------------------------------------------------------------


@dataclass
class _Names:
    """What statements name."""

    roles: set[bytes] = field(default_factory=set)
    extensions: set[bytes] = field(default_factory=set)
    collations: set[bytes] = field(default_factory=set)

    def look_at(self, statements: bytes) -> None:
        """Look at statements of which each begins a line; a line feed is in front of the first."""
        for pattern in _ROLES:
            self.roles.update(pattern.findall(statements))
        self.extensions.update(_EXTENSION.findall(statements))
        self.collations.update(_COLLATION.findall(statements))


class _Utf8:
    """Looks for the first line that is not UTF-8."""

    def __init__(self) -> None:
        self.wrong_line = 0
        self.has_accents = False
        self._lines = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def take(self, part: bytes) -> None:
        """Look at the next part."""
        self.has_accents = self.has_accents or not part.isascii()
        if self.wrong_line:
            return
        begun = self._decoder.getstate()[0]
        try:
            self._decoder.decode(part)
        except UnicodeDecodeError as error:
            self.wrong_line = self._lines + (begun + part)[: error.start].count(b"\n") + 1
        self._lines += part.count(b"\n")

    def end(self) -> None:
        """Tell that nothing comes any more: a letter may have been cut in two."""
        if not self.wrong_line and self._decoder.getstate()[0]:
            self.wrong_line = self._lines + 1


def _read_sql(head: bytes, stream: IO[bytes]) -> DumpFile:
    names, utf8 = _Names(), _Utf8()
    size = 0
    beginning = b"\n"
    # The last line, which may go on, behind the line feed that all patterns begin with.
    rest, end = b"\n", b""
    for part in _parts(head.removeprefix(codecs.BOM_UTF8), stream):
        size += len(part)
        utf8.take(part)
        beginning += part[: max(0, HEAD - len(beginning))]
        lines, _, last = (rest + part).rpartition(b"\n")
        names.look_at(lines)
        rest = b"\n" + last[-LONGEST_LINE:]
        end = (end + part[-HEAD:])[-HEAD:]
    utf8.end()
    names.look_at(rest)
    return _sql(beginning, end, names, utf8, size)


def _parts(head: bytes, stream: IO[bytes]) -> Iterator[bytes]:
    yield head
    while part := stream.read(PART):
        yield part


def _sql(beginning: bytes, end: bytes, names: _Names, utf8: _Utf8, size: int) -> DumpFile:
    beginning, end = beginning.replace(b"\r\n", b"\n"), end.replace(b"\r\n", b"\n")
    whole_server = _WHOLE_SERVER in beginning
    cut_off = _MADE_BY_DUMP in beginning and not whole_server and _COMPLETE not in end
    return DumpFile(
        plain_size=size,
        written_by=_first(_WRITTEN_BY, beginning),
        encoding=_first(_ENCODING, beginning).upper(),
        not_utf8=utf8.wrong_line,
        has_accents=utf8.has_accents,
        roles=_texts(names.roles) - NO_ROLES,
        extensions=_texts(names.extensions),
        collations=_texts(names.collations),
        settings=frozenset(name.decode() for name in _SETTING.findall(beginning)),
        whole_server=whole_server,
        makes_database=_MADE_BY_DUMP in beginning and _CONNECT in beginning,
        broken="its last lines are missing: pg_dump ends with “PostgreSQL database dump complete”" if cut_off else "",
    )


def _first(pattern: re.Pattern[bytes], text: bytes) -> str:
    found = pattern.search(text)
    return found[1].decode() if found else ""


def _texts(names: Iterable[bytes]) -> frozenset[str]:
    return frozenset(name.decode("utf-8", "replace").strip('"') for name in names)


# Archives -----------------------------------------------------------------------------------------------------------

# Which version of the format has what; PostgreSQL's own source names them so.
WITH_OFFSET_SIZE = (1, 7)
OLDEST_READ = (1, 10)
"""That of PostgreSQL 8.0."""
WITH_SECTION = (1, 11)
WITH_ACCESS_METHOD = (1, 14)
WITH_COMPRESSION = (1, 15)
WITH_KIND_OF_RELATION = (1, 16)
NEWEST_KNOWN = WITH_KIND_OF_RELATION
TAR_FORMAT = 3
OFFSET_SET = 2


class _ArchiveReader:
    """Reads the numbers and texts of an archive."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.integer_size = 4
        self.offset_size = 8

    def take(self, length: int) -> bytes:
        found = self.stream.read(length)
        if len(found) < length:
            raise DumpFileError("it ends within the list of what is in it")
        return found

    def byte(self) -> int:
        return self.take(1)[0]

    def integer(self) -> int:
        sign = self.byte()
        value = int.from_bytes(self.take(self.integer_size), "little")
        return -value if sign else value

    def text(self) -> bytes | None:
        length = self.integer()
        if length < 0:
            return None
        if length > LONGEST_TEXT:
            raise DumpFileError("the list of what is in it is damaged")
        return self.take(length)

    def offset(self) -> int:
        """Give where something lies, 0 where that is not told."""
        is_set = self.byte() == OFFSET_SET
        offset = int.from_bytes(self.take(self.offset_size), "little")
        return offset if is_set else 0


def _read_archive(stream: IO[bytes], start: int, size: int) -> DumpFile:
    stream.seek(start)
    reader = _ArchiveReader(stream)
    found = DumpFile(DumpKind.ARCHIVE, plain_size=size)
    try:
        reader.take(len(ARCHIVE))
        version = (reader.byte(), reader.byte())
        found = replace(found, archive_version=version)
        if not OLDEST_READ <= version <= NEWEST_KNOWN:
            return found
        return _read_list(reader, version, found)
    except DumpFileError as error:
        return replace(found, broken=str(error))


def _read_list(reader: _ArchiveReader, version: tuple[int, int], found: DumpFile) -> DumpFile:
    reader.byte()
    reader.integer_size, reader.offset_size = reader.byte(), reader.byte()
    is_tar = reader.byte() == TAR_FORMAT
    if version >= WITH_COMPRESSION:
        reader.byte()
    else:
        reader.integer()
    for _ in range(7):
        reader.integer()
    _database, _server, program = reader.text(), reader.text(), reader.text()
    found = replace(found, written_by=(program or b"").decode("ascii", "replace").split(" ")[0])
    names = _Names()
    encoding = sorting = ""
    last = 0
    entries = []
    for _ in range(reader.integer()):
        entry = _read_entry(reader, version, is_tar=is_tar)
        entries.append(replace(entry, statement=b"") if entry.kind != b"TABLE" else entry)
        names.look_at(b"\n" + entry.statement)
        names.roles.update(filter(None, [entry.owner]))
        if entry.kind == b"ENCODING":
            encoding = _first(_ENCODING, entry.statement).upper()
        elif entry.kind == b"EXTENSION":
            names.extensions.add(entry.name)
        elif entry.kind == b"DATABASE":
            sorting = _sorting(entry.statement.decode("utf-8", "replace"))
        last = max(last, entry.offset)
    cut_off = found.plain_size and last >= found.plain_size
    kept, left_out = _without_left_out(entries)
    return replace(
        found,
        sorting=sorting,
        tables=_tables(kept),
        left_out=left_out,
        kept=tuple(entry.number for entry in kept) if left_out else (),
        encoding=encoding,
        roles=_texts(names.roles) - NO_ROLES,
        extensions=_texts(names.extensions),
        collations=_texts(names.collations),
        broken="its end is missing: data lie behind it" if cut_off else "",
    )


def _sorting(statement: str) -> str:
    """Give how a database sorts, as the image's entrypoint finds it."""
    if " LOCALE_PROVIDER = builtin " in statement:
        return ""
    if found := re.search(r" ICU_LOCALE = '([^']+)'", statement):
        return found[1]
    found = re.search(r" (?:LOCALE|LC_COLLATE) = '([a-z]{2,3})_([A-Z]{2})['.@]", statement)
    return f"{found[1]}-{found[2]}" if found else ""


def _tables(entries: Iterable[_Entry]) -> tuple[contents.FileTable, ...]:
    made = (
        contents.of_statement(entry.statement.decode("utf-8", "replace"), entry.schema.decode("utf-8", "replace"))
        for entry in entries
    )
    return tuple(table for table in made if table)


def _without_left_out(entries: Sequence[_Entry]) -> tuple[list[_Entry], frozenset[str]]:
    """Give what of an archive is loaded, and the extensions and schemas that are not; the entrypoint does the same."""
    present = {entry.name.decode("utf-8", "replace") for entry in entries if entry.kind == b"EXTENSION"}
    extensions = present & set(LEFT_OUT_EXTENSIONS)
    schemas = set(LEFT_OUT_SCHEMAS) if "postgis_tiger_geocoder" in extensions else set()
    if not extensions:
        return list(entries), frozenset()
    names = {f"{kind} {name}".encode() for kind, of in (("EXTENSION", extensions), ("SCHEMA", schemas)) for name in of}
    spaces = {name.encode() for name in schemas}

    def stays(entry: _Entry) -> bool:
        # A comment's name says of what it is.
        return entry.schema not in spaces and not {entry.kind + b" " + entry.name, entry.name} & names

    there = {entry.name.decode() for entry in entries if entry.kind == b"SCHEMA" and entry.name in spaces}
    return [entry for entry in entries if stays(entry)], frozenset(extensions | there)


@dataclass(frozen=True)
class _Entry:
    """One thing in an archive."""

    number: int
    schema: bytes
    kind: bytes
    name: bytes
    statement: bytes
    """What makes it."""
    owner: bytes
    offset: int
    """Where its data begin, 0 for none, and where that is not told."""


def _read_entry(reader: _ArchiveReader, version: tuple[int, int], *, is_tar: bool) -> _Entry:
    number, _has_data = reader.integer(), reader.integer()
    for _ in ("its catalog", "its number there"):
        reader.text()
    name, kind = reader.text(), reader.text()
    if version >= WITH_SECTION:
        reader.integer()
    statement = reader.text()
    _drop, _copy, schema, _tablespace = (reader.text() for _ in range(4))
    if version >= WITH_ACCESS_METHOD:
        reader.text()
    if version >= WITH_KIND_OF_RELATION:
        reader.integer()
    owner = reader.text()
    reader.text()
    while reader.text() is not None:
        pass  # what it depends on
    offset = reader.offset() if not is_tar else 0
    if is_tar:
        reader.text()
    return _Entry(number, schema or b"", kind or b"", name or b"", statement or b"", owner or b"", offset)
