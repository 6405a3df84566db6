"""The question which tables were written, which owners of databases may ask PostgreSQL. Pure.

The map server keeps pictures for as long as the tables that they show are not written, see
images/lizmap/services/map-version. PostgreSQL tells that by its log alone, the same for all databases, which only a
superuser may read. So a function in the database postgres, where nobody else can make anything, tells of each file of a
table the place in the log where it was written last and by which transactions, and nothing of what was written.
"""

# ruff: noqa: S608 - SQL is put together here on purpose; every name and text goes through identifier() or literal().

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.poppyfield.postgis.postgres import SUPERUSER, ClusterChange, Database, identifier, literal

DATABASE = "postgres"
FUNCTION = "poppyfield.written_tables(pg_lsn, pg_lsn)"
BODY = """
DECLARE
    -- So that nobody has the server read more of it at once.
    bounded CONSTANT pg_lsn := least(until, since + 67108864);
BEGIN
    RETURN QUERY
    SELECT CASE
            WHEN resource_manager = 'Heap' AND record_type !~ '^(LOCK|INPLACE)'
                OR resource_manager = 'Heap2' AND record_type LIKE 'MULTI_INSERT%'
            THEN substring(block_ref FROM 'rel [0-9]+/([0-9]+/[0-9]+) ')
        END,
        max(start_lsn - '0/0')::bigint, min(xid::text::bigint), max(xid::text::bigint), max(end_lsn - '0/0')::bigint
    FROM public.pg_get_wal_records_info(since, bounded) GROUP BY 1;
EXCEPTION WHEN OTHERS THEN
    -- No record ends before there, or the log of then is gone: nothing is known of it.
    RETURN;
END
"""
"""`file` is database/file, or NULL for all other records; places are bytes of the log, `seen` is where the records end.

A lock, a statistic and a cleaned page change no row.
"""
CREATE = (
    "CREATE SCHEMA IF NOT EXISTS poppyfield AUTHORIZATION postgres;\n"
    "CREATE EXTENSION IF NOT EXISTS pg_walinspect SCHEMA public;\n"
    "CREATE OR REPLACE FUNCTION poppyfield.written_tables(since pg_lsn, until pg_lsn)"
    " RETURNS TABLE (file text, place bigint, first bigint, last bigint, seen bigint)"
    " LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
    f" AS {literal(BODY)};\n"
    f"REVOKE ALL ON FUNCTION {FUNCTION} FROM PUBLIC;\n"
)


def state_query() -> str:
    """Give the query, for the database postgres, that tells in JSON whether the function is there and for whom."""
    allowed = (
        "ARRAY(SELECT rolname FROM aclexplode(p.proacl) a JOIN pg_authid r ON r.oid = a.grantee"
        " WHERE has_schema_privilege(r.oid, p.pronamespace, 'USAGE')"
        f" AND has_database_privilege(r.oid, {literal(DATABASE)}, 'CONNECT'))"
    )
    return (
        f"SELECT json_build_object('written_tables', p.prosecdef AND p.prosrc = {literal(BODY)}, 'roles', {allowed})"
        " FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace"
        " WHERE nspname = 'poppyfield' AND proname = 'written_tables';\n"
    )


def plan_changes(databases: Iterable[Database], state: Mapping[str, Any]) -> list[ClusterChange]:
    """Give what is missing for these databases' owners to ask; `state` is what `state_query` told, if anything."""
    owners = sorted({database.owner for database in databases} - {SUPERUSER})
    strangers = [owner for owner in owners if owner not in state.get("roles", ())]
    words = [f"role {owner}: may ask which tables were written" for owner in strangers]
    lines = [_grant(identifier(owner)) for owner in strangers]
    if owners and not state.get("written_tables"):
        words.insert(0, f"database {DATABASE}: tells which tables were written")
        lines.insert(0, CREATE)
    return [ClusterChange(tuple(words), "\n".join(["BEGIN;", *lines, "COMMIT;", ""]))] if words else []


def _grant(owner: str) -> str:
    return (
        f"GRANT CONNECT ON DATABASE {DATABASE} TO {owner}; GRANT USAGE ON SCHEMA poppyfield TO {owner};"
        f" GRANT EXECUTE ON FUNCTION {FUNCTION} TO {owner};"
    )
