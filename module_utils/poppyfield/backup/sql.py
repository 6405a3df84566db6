"""Names and texts in SQL, and the scripts that set databases aside and take them back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible.module_utils.poppyfield.backup.settings import BackupError

LONGEST_NAME = 63


def set_aside(name: str, what: str, stamp: str) -> str:
    """Give the name that a database gets while another one takes its place."""
    new = f"{name}__{what}_{stamp}"
    if len(new.encode()) > LONGEST_NAME:
        raise BackupError(f"The name of the database {name} is too long to set it aside. Nothing was changed.")
    return new


def identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text for SQL."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def connection(database: str) -> str:
    """Give the option that connects to a database of any name."""
    inside = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"--dbname=dbname='{inside}'"


def if_there(database: str, *statements: str) -> str:
    """Give the psql script that does something where there is such a database."""
    asked = f"SELECT count(*) > 0 AS there FROM pg_database WHERE datname = {literal(database)} \\gset\n"  # noqa: S608
    return f"{asked}\\if :there\n{''.join(statements)}\\endif\n"


def closing_off(database: str) -> str:
    """Give the script that ends the sessions of a database, and lets nobody in: a later dump leaves it out, too."""
    closed = f"ALTER DATABASE {identifier(database)} ALLOW_CONNECTIONS false;\n"
    ended = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity"
    return if_there(database, closed, f"{ended} WHERE datname = {literal(database)};\n")


def renaming(old: str, new: str) -> str:
    """Give the script that renames a database."""
    return if_there(old, f"ALTER DATABASE {identifier(old)} RENAME TO {identifier(new)};\n")


def setting_aside(names: Iterable[str], stamp: str) -> str:
    """Give the script that sets databases aside, all or none."""
    names = list(names)
    renamed = "".join(renaming(name, set_aside(name, "before", stamp)) for name in names)
    return f"{''.join(map(closing_off, names))}BEGIN;\n{renamed}COMMIT;\n"


def taking_back(names: Mapping[str, bool], stamp: str) -> str:
    """Give the script that gives databases their names again, wherever the setting aside or what followed was cut off.

    `names` tells of each whether it was there. One that was, and has not been set aside, is as it was.
    """
    renamed = ""
    for name, was_there in names.items():
        before, failed = set_aside(name, "before", stamp), set_aside(name, "failed", stamp)
        swapped = renaming(name, failed) + renaming(before, name)
        renamed += if_there(before, swapped) if was_there else swapped
    opened_again = "".join(
        if_there(name, f"ALTER DATABASE {identifier(name)} ALLOW_CONNECTIONS true;\n")
        for name, was_there in names.items()
        if was_there
    )
    return f"{''.join(map(closing_off, names))}BEGIN;\n{renamed}COMMIT;\n{opened_again}"
