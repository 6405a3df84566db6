"""A gallery of dumps as people have them, and what is right for each: told on the laptop, or loaded.

Neither of Debian's releases has the pg_dump of PostgreSQL 12, 14 or 18, and none writes archives of version 1.17: such
files are written by this script, after the real ones, and are named so. Those that the image's own pg_dump writes are
made in tests/images/test_first_start_dumps.py.
"""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

NAMES = ("Zoé", "Épine", "Eau")
BY_BYTES = ["Eau", "Zoé", "Épine"]
"""As the database sorts that was made for no language: letters with accents come last."""
IN_FRENCH = ["Eau", "Épine", "Zoé"]
"""As a French dictionary sorts: É after E."""

# SQL as pg_dump writes it --------------------------------------------------------------------------------------------

TRANSACTION_TIMEOUT_SINCE = 17


def plain(
    version: str = "16.3",
    *,
    encoding: str = "UTF8",
    collation: str = "",
    before: str = "",
    after: str = "",
    names: Sequence[str] = NAMES,
) -> str:
    """Give the SQL that pg_dump of a version writes of a table `plots` with names."""
    timeout = "SET transaction_timeout = 0;\n" if int(version.partition(".")[0]) >= TRANSACTION_TIMEOUT_SINCE else ""
    column = f' COLLATE pg_catalog."{collation}"' if collation else ""
    rows = "".join(f"{number}\t{name}\n" for number, name in enumerate(names, 1))
    return f"""--
-- PostgreSQL database dump
--

-- Dumped from database version {version}
-- Dumped by pg_dump version {version}

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
{timeout}SET client_encoding = '{encoding}';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

{before}SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE public.plots (
    id integer NOT NULL,
    name text{column}
);


COPY public.plots (id, name) FROM stdin;
{rows}\\.


ALTER TABLE ONLY public.plots
    ADD CONSTRAINT plots_pkey PRIMARY KEY (id);

{after}
--
-- PostgreSQL database dump complete
--

"""


def restricted(text: str) -> str:
    """Give SQL with the lines that pg_dump writes since the summer of 2025."""
    key = "9M2yqSMt6Vw0iYbAlzBRv2QhqTkTBh3ZQ0r8Zy1c4U5x"
    begin = "--\n\n-- Dumped from"
    return text.replace(begin, f"--\n\n\\restrict {key}\n\n-- Dumped from").rstrip("\n") + f"\n\n\\unrestrict {key}\n\n"


OWNERS = """ALTER TABLE public.plots OWNER TO ann;
ALTER TABLE public.plots ENABLE ROW LEVEL SECURITY;
CREATE POLICY everything ON public.plots TO reader USING (true);
GRANT SELECT ON TABLE public.plots TO reader WITH GRANT OPTION;
GRANT ALL ON TABLE public.plots TO "Ann B.";
REVOKE ALL ON TABLE public.plots FROM "old-clerk";
ALTER DEFAULT PRIVILEGES FOR ROLE ann IN SCHEMA public GRANT SELECT ON TABLES TO guest;
CREATE SCHEMA survey AUTHORIZATION surveyor;
REVOKE USAGE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
GRANT SELECT ON TABLE public.plots TO public;
"""
ROLES = {"ann", "reader", "Ann B.", "old-clerk", "guest", "surveyor"}


NOTES = """CREATE TABLE public.made (what text);
CREATE FUNCTION public.note() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO made VALUES (tg_tag);
END $$;
CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION public.note();
ALTER DATABASE noted SET default_transaction_read_only = on;
"""
"""What notes all that is made, if its table is found; and nothing can be changed from then on."""


def extension(name: str) -> str:
    """Give what pg_dump writes of an extension."""
    return f'CREATE EXTENSION IF NOT EXISTS "{name}" WITH SCHEMA public;\n\n'


# Archives, as pg_dump -Fc writes them ---------------------------------------------------------------------------------

BEFORE_DATA, DATA = 2, 3
INTEGER_SIZE, OFFSET_SIZE = 4, 8
CUSTOM = 1


@dataclass
class Entry:
    """One thing in an archive."""

    kind: str
    name: str
    statement: str
    copy: str = ""
    data: bytes = b""
    owner: str = "ann"
    schema: str | None = "public"


def entries(*, encoding: str = "UTF8", locale: str = "C", collation: str = "") -> list[Entry]:
    """Give what pg_dump writes of a database of a locale with the table `plots`."""
    column = f' COLLATE pg_catalog."{collation}"' if collation else ""
    rows = "".join(f"{number}\t{name}\n" for number, name in enumerate(NAMES, 1))
    where = f"LC_COLLATE = '{locale}' LC_CTYPE = '{locale}'"
    database = f"CREATE DATABASE office WITH TEMPLATE = template0 ENCODING = '{encoding}' {where};\n"
    return [
        Entry("ENCODING", "ENCODING", f"SET client_encoding = '{encoding}';\n"),
        Entry("STDSTRINGS", "STDSTRINGS", "SET standard_conforming_strings = 'on';\n"),
        Entry("DATABASE", "office", database),
        Entry("TABLE", "plots", f"CREATE TABLE public.plots (\n    id integer,\n    name text{column}\n);\n"),
        Entry(
            "TABLE DATA",
            "plots",
            "",
            "COPY public.plots (id, name) FROM stdin;\n",
            rows.encode({"LATIN1": "latin-1"}.get(encoding, "utf-8")),
        ),
        Entry("POLICY", "plots everything", "CREATE POLICY everything ON public.plots TO reader USING (true);\n"),
    ]


def of_stock_container() -> list[Entry]:
    """Give what pg_dump writes of a database that Docker's usual PostGIS container has made, with our table in it."""
    extensions = {"fuzzystrmatch": "public", "postgis_tiger_geocoder": "tiger"}
    made = [Entry("SCHEMA", "tiger", "CREATE SCHEMA tiger;\n", schema=None)]
    made += [Entry("SCHEMA", "tiger_data", "CREATE SCHEMA tiger_data;\n", schema=None)]
    for name, schema in extensions.items():
        statement = f"CREATE EXTENSION IF NOT EXISTS {name} WITH SCHEMA {schema};\n"
        made.append(Entry("EXTENSION", name, statement, owner="", schema=None))
        comment = f"COMMENT ON EXTENSION {name} IS 'as it is';\n"
        made.append(Entry("COMMENT", f"EXTENSION {name}", comment, owner="", schema=None))
    settings = "COPY tiger.geocode_settings (name, setting) FROM stdin;\n"
    return [
        *entries(),
        *made,
        Entry("TABLE DATA", "geocode_settings", "", settings, b"debug\tfalse\n", schema="tiger"),
        Entry(
            "TABLE", "ma_place", "CREATE TABLE tiger_data.ma_place () INHERITS (tiger.place);\n", schema="tiger_data"
        ),
    ]


def _integer(value: int) -> bytes:
    return bytes([value < 0]) + abs(value).to_bytes(INTEGER_SIZE, "little")


def _text(text: str | None) -> bytes:
    if text is None:
        return _integer(-1)
    return _integer(len(text.encode())) + text.encode()


def archive(content: Sequence[Entry], version: tuple[int, int] = (1, 14), by: str = "12.22") -> bytes:
    """Give the archive of a version that pg_dump writes of this content, without compression."""
    head = b"PGDMP" + bytes([*version, 0, INTEGER_SIZE, OFFSET_SIZE, CUSTOM])
    head += b"\0" if version >= (1, 15) else _integer(0)
    head += b"".join(_integer(value) for value in (0, 30, 12, 28, 10, 126, 0))
    head += _text("office") + _text(by) + _text(by) + _integer(len(content))
    blocks = {
        number: b"\1" + _integer(number) + _integer(len(entry.data)) + entry.data + _integer(0)
        for number, entry in enumerate(content, 1)
        if entry.data
    }
    place = len(head) + sum(len(_entry(number, entry, version, 0)) for number, entry in enumerate(content, 1))
    listed = b""
    for number, entry in enumerate(content, 1):
        listed += _entry(number, entry, version, place if number in blocks else 0)
        place += len(blocks.get(number, b""))
    return head + listed + b"".join(blocks.values())


def _entry(number: int, entry: Entry, version: tuple[int, int], offset: int) -> bytes:
    made = _integer(number) + _integer(bool(entry.data)) + _text("0") + _text("0")
    made += _text(entry.name) + _text(entry.kind) + _integer(DATA if entry.data else BEFORE_DATA)
    made += _text(entry.statement) + _text("") + _text(entry.copy or None) + _text(entry.schema) + _text(None)
    made += _text("heap") if version >= (1, 14) else b""
    made += _integer(0) if version >= (1, 16) else b""
    made += _text(entry.owner) + _text("false") + (_text(str(number - 1)) if entry.data else b"") + _text(None)
    return made + bytes([2 if offset else 3]) + offset.to_bytes(OFFSET_SIZE, "little")


def _lines(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


# The table ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A file, and what is right for it; from the reason, not from what came out."""

    what: str
    name: str
    make: Callable[[], bytes]
    told: str = ""
    """Words of the one thing that is told on the laptop; empty when nothing is, and the file is loaded."""
    sorted: list[str] = field(default_factory=lambda: BY_BYTES)
    """How the database then gives the names."""
    profile: str = "trixie"


LOADED = (
    Case("SQL of 12, by a script", "10-a12.sql", lambda: plain("12.22").encode()),
    Case("SQL of 14, by a script", "10-a14.sql", lambda: plain("14.18").encode()),
    Case("SQL of 15", "10-a15.sql", lambda: plain("15.13").encode()),
    Case("SQL of 17", "10-a17.sql", lambda: plain("17.5").encode()),
    Case("SQL of 18 with restrict lines, by a script", "10-a18.sql", lambda: restricted(plain("18.0")).encode()),
    Case("UTF-8 with a byte order mark", "10-bom.sql", lambda: codecs.BOM_UTF8 + plain().encode()),
    Case("line ends of Windows", "10-crlf.sql", lambda: _lines(plain())),
    Case("both, with restrict lines", "10-windows.sql", lambda: codecs.BOM_UTF8 + _lines(restricted(plain("17.6")))),
    Case("compressed by gzip", "10-packed.sql.gz", lambda: gzip.compress(plain().encode())),
    Case("owners and rights of roles that are not here", "10-owned.sql", lambda: plain(after=OWNERS).encode()),
    Case("an event trigger that fails, read-only", "10-noted.sql", lambda: plain(after=OWNERS + NOTES).encode()),
    # Only what says so itself is in French: the database is made for no language.
    Case("a column in French", "10-fr.sql", lambda: plain(collation="fr_FR.utf8").encode(), sorted=IN_FRENCH),
    Case("the same in capitals", "10-fru.sql", lambda: plain(collation="fr_FR.UTF-8").encode(), sorted=IN_FRENCH),
    Case("Latin-1 that says so", "10-l1.sql", lambda: plain(encoding="LATIN1").encode("latin-1")),
    Case("Windows-1252 that says so", "10-w1252.sql", lambda: plain(encoding="WIN1252").encode("cp1252")),
    Case(
        "SQL of a person, in lower case",
        "10-person.sql",
        lambda: (
            b"create table plots (id serial, name text);\n"
            + f"insert into plots (name) values ('{NAMES[0]}'), ('{NAMES[1]}'), ('{NAMES[2]}')".encode()
        ),
    ),
    Case("an archive of 12, by a script", "10-c12.dump", lambda: archive(entries())),
    Case("an archive of 16, by a script", "10-c16.dump", lambda: archive(entries(), (1, 15), "16.3")),
    Case("an archive of 18, by a script", "10-c18.dump", lambda: archive(entries(), (1, 16), "18.0")),
    # The archive says for which language the whole database was.
    # Addresses in the United States: what is for them is left out.
    Case(
        "an archive of Docker's usual PostGIS container, by a script",
        "10-stock.dump",
        lambda: archive(of_stock_container()),
    ),
    Case(
        "an archive of a French database, by a script",
        "10-cfr.dump",
        lambda: archive(entries(locale="fr_FR.UTF-8")),
        sorted=IN_FRENCH,
    ),
    Case(
        "an archive with a column in French, in Latin-1, by a script",
        "10-cl1.dump",
        lambda: archive(entries(encoding="LATIN1", collation="fr_FR.iso88591")),
        sorted=IN_FRENCH,
    ),
)

CLUSTER = "--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE ann;\n\n\\connect gis\n\n"
CREATED = "CREATE DATABASE gis WITH TEMPLATE = template0;\n\n\\connect gis\n\n"

REFUSED = (
    # One letter in Latin-1, é, begins a letter of three bytes in UTF-8 that does not go on.
    Case("Latin-1 that does not say so", "gis.sql", lambda: plain().encode("latin-1"), "line 30 is not UTF-8"),
    Case("the same, by gzip", "gis.sql.gz", lambda: gzip.compress(plain().encode("cp1252")), "line 30 is not UTF-8"),
    Case("UTF-8 that says Latin-1", "gis.sql", lambda: plain(encoding="LATIN1").encode(), "letters are in UTF-8"),
    Case("UTF-16 of PowerShell", "gis.sql", lambda: plain().encode("utf-16"), "it is in UTF-16"),
    Case("UTF-16, the other way", "gis.sql", lambda: codecs.BOM_UTF16_BE + plain().encode("utf-16-be"), "UTF-16"),
    Case("UTF-16 without a mark", "gis.sql", lambda: plain().encode("utf-16-le"), "it is in UTF-16"),
    Case("an archive through PowerShell", "gis.dump", lambda: codecs.BOM_UTF16_LE + b"P\0G\0D\0", "has spoilt"),
    Case(
        "an archive of 1.17, by a script", "gis.dump", lambda: archive([], (1, 17), "19.0"), "archive of version 1.17"
    ),
    Case(
        "an archive of 16, for bookworm",
        "gis.dump",
        lambda: archive(entries(), (1, 15), "16.3"),
        "archive of version 1.15 by pg_dump 16.3, but PostgreSQL 15 reads them up to 1.14",
        profile="bookworm",
    ),
    Case(
        "SQL of 17, for bookworm", "gis.sql", lambda: plain("17.5").encode(), "transaction_timeout", profile="bookworm"
    ),
    Case("pg_dumpall", "gis.sql", (CLUSTER + plain()).encode, "the output of pg_dumpall"),
    Case("pg_dump --create", "gis.sql", lambda: plain(before=CREATED).encode(), "makes a database of its own"),
    Case("an archive named SQL", "gis.sql", lambda: archive(entries()), "an archive of pg_dump, not SQL"),
    Case("SQL named an archive", "gis.dump", lambda: plain().encode(), "it is SQL, not an archive"),
    Case("an empty archive", "gis.dump", lambda: b"", "it is empty"),
    Case("gzip that the name does not say", "gis.sql", lambda: gzip.compress(b"SELECT 1;"), "it is compressed by gzip"),
    Case("an archive in gzip", "gis.dump", lambda: gzip.compress(archive([])), "it is compressed by gzip"),
    Case("no gzip, as the name says", "gis.sql.gz", lambda: plain().encode(), "not compressed by gzip"),
    Case("zip", "gis.sql", lambda: b"PK\3\4" + b"x" * 99, "compressed, but not by gzip"),
    Case("gzip, cut off", "gis.sql.gz", lambda: gzip.compress(plain().encode())[:-9], "it is not whole"),
    Case("SQL, cut off", "gis.sql", lambda: plain().encode()[:-60], "its last lines are missing"),
    Case("an archive, cut off in its list", "gis.dump", lambda: archive(entries())[:400], "within the list"),
    Case("an archive, cut off in its data", "gis.dump", lambda: archive(entries())[:-38], "its end is missing"),
    Case("pgAdmin's extension", "gis.sql", lambda: plain(before=extension("adminpack")).encode(), "adminpack"),
    Case(
        "an extension that Debian has apart",
        "gis.dump",
        lambda: archive([*entries(), Entry("EXTENSION", "timescaledb", "CREATE EXTENSION timescaledb;\n")]),
        "does not have: timescaledb",
    ),
    Case(
        "SQL of Docker's usual PostGIS container",
        "gis.sql",
        lambda: plain(before=extension("postgis_tiger_geocoder")).encode(),
        "extensions for addresses in the United States",
    ),
    Case(
        "a collation of Windows",
        "gis.sql",
        lambda: plain(collation="French_France.1252").encode(),
        "does not have: French_France.1252",
    ),
)
