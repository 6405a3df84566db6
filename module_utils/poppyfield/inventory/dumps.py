"""The files of the first start: what of them the database could not load, and the room that they need. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath

from ansible.module_utils.poppyfield.images.profiles import PROFILES
from ansible.module_utils.poppyfield.inventory.laptop import Laptop
from ansible.module_utils.poppyfield.inventory.problems import Finding, Host, shown
from ansible.module_utils.poppyfield.postgis import postgres
from ansible.module_utils.poppyfield.postgis.dump_file import (
    COUNTRY_COLLATION,
    LEFT_OUT_EXTENSIONS,
    DumpFile,
    DumpKind,
)

VARIABLE = "postgis_first_start_files"
POSTGRESQL = {profile.name: int(profile.postgresql) for profile in PROFILES}
ARCHIVES_READ = {15: (1, 14), 17: (1, 16)}
"""By version of PostgreSQL the newest archives that its pg_restore reads."""
SETTINGS_SINCE = {"transaction_timeout": 17}
"""Settings that newer versions of pg_dump write at the beginning of SQL, and the first PostgreSQL that knows them."""
UTF8_ENCODINGS = ("", "UTF8", "UNICODE", "UTF-8", "SQL_ASCII")
"""What a file may say of its encoding, so that the database takes its letters as they are, which must be UTF-8 then."""
EXTENSIONS = {
    *("postgis", "postgis_raster", "postgis_topology", "postgis_sfcgal", "pgrouting", "plpgsql"),
    # Debian's names for whichever 3.x there is.
    *("postgis-3", "postgis_raster-3", "postgis_topology-3", "postgis_sfcgal-3"),
    *("amcheck", "autoinc", "bloom", "btree_gin", "btree_gist", "citext", "cube", "dblink", "dict_int", "dict_xsyn"),
    *("earthdistance", "file_fdw", "fuzzystrmatch", "hstore", "insert_username", "intagg", "intarray", "isn", "lo"),
    *("ltree", "moddatetime", "pageinspect", "pg_buffercache", "pg_freespacemap", "pg_prewarm", "pg_stat_statements"),
    *("pg_surgery", "pg_trgm", "pg_visibility", "pg_walinspect", "pgcrypto", "pgrowlocks", "pgstattuple"),
    *("postgres_fdw", "refint", "seg", "sslinfo", "tablefunc", "tcn", "tsm_system_rows", "tsm_system_time"),
    *("unaccent", "uuid-ossp", "xml2"),
}
OLDER_EXTENSIONS = {15: {"adminpack", "old_snapshot"}, 17: set[str]()}
"""By version of PostgreSQL what only that one has."""
COLLATIONS = re.compile(rf"default|C|POSIX|C\.utf8|ucs_basic|unicode|pg_c_utf8|.*-x-icu|{COUNTRY_COLLATION}")
"""The names of collations that the image has, or has ICU stand in for."""

LOADED = 2
"""How often the size of its SQL a database has on the disk: the rows, and their indexes."""
PACKED = 3
"""How many times as much SQL is in an archive, which is compressed."""
MB = 1024 * 1024

Told = tuple[str, str]
"""What is wrong, and the remedy."""


def findings(host: Host, laptop: Laptop) -> Iterator[Finding]:
    """Give what is wrong with the files that are there and have a name that can be."""
    postgresql = POSTGRESQL.get(host.values["arm_images_profile"])
    for path, kind, dump in files(host, laptop):
        for wrong, remedy in problems(dump, PurePath(path).name, kind, postgresql):
            yield Finding(VARIABLE, wrong, remedy, shown(path))


def files(host: Host, laptop: Laptop) -> Iterator[tuple[str, str, DumpFile]]:
    """Give each file, its kind by its name, and what it says of itself."""
    for path in host.values[VARIABLE]:
        named = re.match(postgres.FIRST_START_NAME, PurePath(path).name)
        if named and laptop.is_file(path):
            yield path, named[4], laptop.dump_file(path)


def summaries(hosts: Iterable[Host], laptop: Laptop) -> list[str]:
    """Give for each file of all hosts a line of what it says of itself."""
    told = (_summary(path, dump) for host in hosts for path, _, dump in files(host, laptop))
    return list(dict.fromkeys(told))


def warnings(hosts: Iterable[Host], laptop: Laptop) -> list[str]:
    """Say of each file of all hosts what of it is not loaded."""
    told = (
        f"{PurePath(path).name}: left out, since the image does not have it: {', '.join(sorted(dump.left_out))}."
        for host in hosts
        for path, _, dump in files(host, laptop)
        if dump.left_out
    )
    return list(dict.fromkeys(told))


def _summary(path: str, dump: DumpFile) -> str:
    by = f" by pg_dump {dump.written_by}" if dump.written_by else ""
    names = {"roles": dump.roles, "extensions": dump.extensions, "collations": dump.collations}
    names["left out"] = dump.left_out
    wanted = "".join(f"; {kind} {', '.join(sorted(found))}" for kind, found in names.items() if found)
    return f"{PurePath(path).name}: {dump.kind}{by}{wanted}"


def room_mb(host: Host, laptop: Laptop) -> int:
    """Give the free space in MB, at least, that the files and what is loaded from them take on the Pi."""
    return sum(_room(dump) for _, _, dump in files(host, laptop)) // MB


def _room(dump: DumpFile) -> int:
    return dump.size + loaded_bytes(dump)


def loaded_bytes(dump: DumpFile) -> int:
    """Give the bytes, at least, that what is in a file takes in the database."""
    return LOADED * dump.plain_size * (PACKED if dump.kind is DumpKind.ARCHIVE else 1)


def problems(dump: DumpFile, name: str, kind: str, postgresql: int | None) -> Iterator[Told]:
    """Give what keeps a file of this name from being loaded, by a PostgreSQL of this version where that is known.

    Of a file that is not what its name says, nothing else: the rest would be wrong, too.
    """
    if told := next(_form(dump, name, kind), None):
        yield told
        return
    for checker in _CHECKERS:
        yield from checker(dump, name)
    if postgresql:
        for versioned in _VERSION_CHECKERS:
            yield from versioned(dump, name, postgresql)


def _form(dump: DumpFile, name: str, kind: str) -> Iterator[Told]:
    stem = name.removesuffix(f".{kind}")
    if dump.kind is DumpKind.UTF16 and kind == "dump":
        yield (
            "it is text in UTF-16, most likely an archive of pg_dump that PowerShell's > has spoilt",
            f"Write it again: pg_dump -Fc --file={name} DATABASE",
        )
    elif dump.kind is DumpKind.UTF16:
        yield "it is in UTF-16, as PowerShell's > writes it", f"iconv -f UTF-16 -t UTF-8 {name} > NEW, and name that"
    elif dump.kind is DumpKind.COMPRESSED:
        yield "it is compressed, but not by gzip", "Unpack it, and name what was in it"
    elif dump.broken and dump.gzipped:
        yield f"it is not whole: {dump.broken}", "Copy or make it again"
    elif dump.gzipped and kind != "sql.gz":
        yield f"it is compressed by gzip, but its name ends with .{kind}", f"gunzip < {name} > NEW, and name that"
    elif dump.kind is DumpKind.ARCHIVE and kind != "dump":
        yield f"it is {dump.kind}, not SQL", f"Rename it to {stem}.dump"
    elif dump.kind is DumpKind.SQL and kind == "dump":
        said = "it is empty" if not dump.plain_size else "it is SQL, not an archive of pg_dump -Fc"
        yield said, f"Rename it to {stem}.sql, or make it by pg_dump -Fc"
    elif not dump.gzipped and kind == "sql.gz":
        yield "it is not compressed by gzip", f"Rename it to {stem}.sql"


def _whole(dump: DumpFile, name: str) -> Iterator[Told]:
    if dump.broken:
        yield f"it is not whole: {dump.broken}", "Copy or make it again"


def _encoding(dump: DumpFile, name: str) -> Iterator[Told]:
    if dump.encoding in UTF8_ENCODINGS:
        if dump.not_utf8:
            yield (
                f"line {dump.not_utf8} is not UTF-8: it was most likely written on Windows, in Windows-1252 or Latin-1",
                f"iconv -f WINDOWS-1252 -t UTF-8 {name} > NEW, and name that; or make it by pg_dump --encoding=UTF8",
            )
    elif dump.kind is DumpKind.SQL and dump.has_accents and not dump.not_utf8:
        yield (
            f"it says that it is in {dump.encoding}, but its letters are in UTF-8: é would be loaded as Ã©",
            "Write SET client_encoding = 'UTF8'; in place of that line",
        )


def _own_databases(dump: DumpFile, name: str) -> Iterator[Told]:
    if dump.whole_server:
        yield (
            "it is the output of pg_dumpall, with the databases and roles of a whole server",
            f"Make one file of each database by pg_dump -Fc, or cut it out of this one: {_cut_out(name)}",
        )
    elif dump.makes_database:
        yield (
            "it makes a database of its own and connects to that (pg_dump --create)",
            "Make it by pg_dump without --create (-C), since the file's name says the database, or cut that out: "
            + _cut_out(name),
        )


def _cut_out(name: str) -> str:
    """Give the command that cuts one database out of what pg_dumpall or pg_dump --create wrote."""
    unpacked = f"gunzip < {name} | " if name.endswith(".gz") else ""
    source = "" if unpacked else f" {name}"
    end = "/^-- PostgreSQL database dump complete/"
    return f"{unpacked}sed -n '/^.connect DATABASE$/,{end}{{/^.connect/!p}}'{source} > DATABASE.sql"


def _collations(dump: DumpFile, name: str) -> Iterator[Told]:
    missing = sorted(one for one in dump.collations if not COLLATIONS.fullmatch(one))
    if missing:
        yield (
            f"it sorts by what the image does not have: {', '.join(missing)}",
            f'Write a name as "fr_FR" in its place{_as_sql(dump, name)}',
        )


def _extensions(dump: DumpFile, name: str, postgresql: int) -> Iterator[Told]:
    missing = sorted(dump.extensions - EXTENSIONS - OLDER_EXTENSIONS[postgresql] - dump.left_out)
    if set(missing) & set(LEFT_OUT_EXTENSIONS):
        yield (
            f"it wants extensions for addresses in the United States, which the image does not have: "
            f"{', '.join(missing)}",
            f"Make it by pg_dump -Fc --file={_stem(name)}.dump: of an archive they, and the schemas tiger and "
            "tiger_data, are left out",
        )
    elif missing:
        yield (
            f"it wants extensions that the image with PostgreSQL {postgresql} does not have: {', '.join(missing)}",
            "DROP EXTENSION in a copy of the database, then dump it; or remove CREATE and COMMENT ON EXTENSION"
            + _as_sql(dump, name),
        )


def _stem(name: str) -> str:
    return name.removesuffix(".gz").removesuffix(".sql")


def _as_sql(dump: DumpFile, name: str) -> str:
    if dump.kind is not DumpKind.ARCHIVE:
        return ""
    return f", after pg_restore --no-owner --file={name.removesuffix('.dump')}.sql {name}"


def _archive_version(dump: DumpFile, name: str, postgresql: int) -> Iterator[Told]:
    newest = ARCHIVES_READ[postgresql]
    if dump.archive_version > newest:
        by = f" by pg_dump {dump.written_by}" if dump.written_by else ""
        yield (
            f"it is an archive of version {_dotted(dump.archive_version)}{by}, but PostgreSQL {postgresql} reads them "
            f"up to {_dotted(newest)}",
            f"Make SQL of it with the same or a newer PostgreSQL{_as_sql(dump, name)}{_newer_profile(postgresql)}",
        )


def _settings(dump: DumpFile, name: str, postgresql: int) -> Iterator[Told]:
    for setting in sorted(dump.settings):
        if SETTINGS_SINCE.get(setting, 0) > postgresql:
            yield (
                f"it was written by pg_dump {dump.written_by} and sets {setting}, which PostgreSQL {postgresql} does "
                "not know",
                f"Remove the line SET {setting}{_newer_profile(postgresql)}",
            )


def _newer_profile(postgresql: int) -> str:
    newest = max(POSTGRESQL, key=lambda name: POSTGRESQL[name])
    return f"; or set arm_images_profile to {newest}" if POSTGRESQL[newest] > postgresql else ""


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


_CHECKERS: tuple[Callable[[DumpFile, str], Iterator[Told]], ...] = (_whole, _encoding, _own_databases, _collations)
_VERSION_CHECKERS: tuple[Callable[[DumpFile, str, int], Iterator[Told]], ...] = (
    _archive_version,
    _extensions,
    _settings,
)
