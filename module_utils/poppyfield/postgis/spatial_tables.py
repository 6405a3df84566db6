"""What the catalogue of a database tells of its tables with geometries: about how many rows, which indexes. Pure."""

# ruff: noqa: S608 - SQL is put together here on purpose; the only name from outside goes through connection().

from __future__ import annotations

import json

from ansible.module_utils.poppyfield.postgis.postgres import connection
from ansible.module_utils.poppyfield.projects.slow_layers import TableFacts

HAS_INDEX = (
    "EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam"
    " WHERE i.indrelid = c.oid AND a.attnum = ANY (i.indkey) AND i.indisvalid AND i.indpred IS NULL"
    " AND m.amname IN ('gist', 'spgist', 'brin'))"
)
"""Whether a column is found by where it is: an index that is another, partial, or was never finished is of no use."""
PLACES = (
    f"(SELECT coalesce(json_agg(json_build_array(attname, format_type(atttypid, atttypmod), {HAS_INDEX})"
    " ORDER BY attnum), '[]')"
    " FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid WHERE attrelid = c.oid AND NOT attisdropped"
    " AND typname IN ('geometry', 'geography'))"
)
"""Of each column with geometries of a table `c` its name, its type, and whether it has a spatial index, as JSON."""
_COUNTED = "greatest({0}.reltuples, pg_stat_get_live_tuples({0}.oid))"
ROWS = (
    f"coalesce((SELECT sum({_COUNTED.format('l')}) FROM pg_partition_tree(c.oid) p JOIN pg_class l ON l.oid = p.relid"
    f" WHERE p.isleaf), {_COUNTED.format('c')}, 0)::bigint"
)
"""About how many rows there are: as PostgreSQL has noted, since counting a million takes a Pi seconds."""


def script(database: str) -> str:
    """Give the psql script that tells the tables with geometries, each as a line of JSON."""
    return (
        f"\\connect {connection(database)}\n"
        "SELECT one FROM (SELECT json_build_object('schema', nspname, 'name', relname,"
        f" 'rows', {ROWS}, 'places', {PLACES}) AS one FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE relkind IN ('r', 'p', 'm') AND nspname !~ '^pg_' AND nspname <> 'information_schema') every"
        " WHERE json_array_length(one -> 'places') > 0;\n"
    )


def read(output: str) -> dict[tuple[str, str], TableFacts]:
    """Read what it gave, by schema and name."""
    found = {}
    for document in map(json.loads, filter(str.strip, output.splitlines())):
        indexed = {name: has_index for name, _, has_index in document["places"]}
        found[document["schema"], document["name"]] = TableFacts(int(document["rows"]), indexed)
    return found
