"""Expressions that tell a visitor what the map does not."""

from __future__ import annotations


def questions(file: str) -> dict[str, str]:
    """Give them by name: each is true, and so tells, where QGIS Server evaluates it. No map shows this file."""
    return {
        "the environment": "env('PGSERVICEFILE') IS NOT NULL",
        "a file that no map shows": f"file_exists('{file}')",
        "the size of a file": f"file_size('{file}') > 10",
        "other layers": "aggregate('meadow', 'count', \"name\") = 1",
        "the source of a layer": "layer_property('meadow', 'source') LIKE '/srv/%'",
        "the place of the project": "@project_path LIKE '/srv/projects/%'",
        "hidden in eval": "eval('env(''PGSERVICEFILE'')') IS NOT NULL",
    }
