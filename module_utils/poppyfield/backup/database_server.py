"""PostgreSQL in the database's container, asked through Docker."""

from __future__ import annotations

import json
import subprocess

from ansible.module_utils.poppyfield.backup.settings import BackupError, Json, Settings
from ansible.module_utils.poppyfield.backup.sql import connection

PG_OPTIONS = "-c role=none -c search_path= -c log_min_error_statement=panic -c statement_timeout=0"
"""Nothing that the owner of a database may have set changes what a dump holds, and no verifier gets into the log."""
PSQL = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--username=postgres", "--file=-")
DATABASES = """
SELECT coalesce(json_agg(json_build_object('name', datname, 'bytes', pg_database_size(oid)) ORDER BY datname), '[]')
FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres' AND datname !~ '__loading$';
"""


def in_postgis(settings: Settings, *words: str) -> list[str]:
    """Give the command that runs in the database's container, as its superuser."""
    return [
        *("docker", "exec", "--interactive", "--user", "postgres", "--env", f"PGOPTIONS={PG_OPTIONS}"),
        *(settings.postgis, *words),
    ]


def psql(settings: Settings, script: str, database: str = "postgres", *, tolerant: bool = False) -> str:
    """Run SQL; give what it printed. What is in the script is in no message."""
    stop = () if tolerant else ("--set=ON_ERROR_STOP=1",)
    command = in_postgis(settings, *PSQL, *stop, "--set=VERBOSITY=terse", connection(database))
    done = subprocess.run(command, input=script.encode(), capture_output=True, check=False)
    if done.returncode:
        raise BackupError(f"PostgreSQL refused: {' '.join(done.stderr.decode(errors='replace').split())[-300:]}")
    return done.stdout.decode().strip()


def databases(settings: Settings) -> list[Json]:
    """Give the databases with their sizes."""
    found: list[Json] = json.loads(psql(settings, DATABASES))
    return found


def postgresql(settings: Settings) -> int:
    """Give the major version of the server."""
    return int(psql(settings, "SHOW server_version_num;")) // 10000


def globals_dump(settings: Settings) -> list[str]:
    """Give the command that dumps roles and tablespaces."""
    return in_postgis(settings, "pg_dumpall", "--globals-only", "--username=postgres", connection("postgres"))
