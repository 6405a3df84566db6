"""What a load decides: whether there is room, whether all came, and what can not be added."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.postgis import loading
from ansible.module_utils.poppyfield.postgis.contents import FileTable
from ansible.module_utils.poppyfield.postgis.loading import LoadedTable, LoadError, Served

MB = loading.MB


def served(**other: Any) -> Served:
    given: dict[str, Any] = {"name": "gis", "owner": "gis", "size": 1, "postgresql": 17}
    return Served(**{**given, **other})


def loaded(name: str = "plots", rows: int = 3, **other: Any) -> LoadedTable:
    return LoadedTable(**{"schema": "public", "name": name, "rows": rows, "owner": "gis", "has_key": True, **other})


def test_room_is_counted_for_each_file_system() -> None:
    free = 1000 * MB
    apart = [("/a", 1, 700 * MB, free), ("/b", 2, 700 * MB, free)]
    assert loading.room_problem(apart) == ""
    together = [("/a", 1, 700 * MB, free), ("/b", 1, 700 * MB, free)]
    assert "The file system of /b has 1000 MB free, but 1600 MB are needed" in loading.room_problem(together)


def test_all_that_differs_is_told() -> None:
    expected = [
        FileTable("public", "plots", 3),
        FileTable("public", "sites", None),
        FileTable("public", "other", 1, certain=False),
    ]
    assert loading.differences(expected, [loaded(), loaded("sites", 9)]) == []
    assert loading.differences(expected, [loaded(rows=2)]) == [
        "public.plots has 2 rows instead of 3",
        "the table public.sites is not there",
    ]


def test_tables_without_key_or_index_are_told() -> None:
    assert loading.warnings([loaded(places=(("geom", "geometry(Point,2154)", True),))]) == []
    (key, index) = loading.warnings([loaded(has_key=False, places=(("geom", "geometry", False),))])
    assert "no primary key" in key and "no spatial index on geom" in index
    assert 'CREATE INDEX ON "public"."plots" USING gist ("geom");' in index


def test_what_can_not_be_added_is_told() -> None:
    there = served(extensions=frozenset({"postgis"}), relations=frozenset({"public.plots", "public.plots_id_seq"}))
    assert loading.addition_problem(there, served(relations=frozenset({"public.new"}))) == ""
    assert "extensions that gis does not have: hstore" in loading.addition_problem(
        there, served(extensions=frozenset({"hstore"}))
    )
    assert "has these already: public.plots" in loading.addition_problem(there, there)
    with pytest.raises(LoadError, match=r"public\.plots"):
        loading.refuse_clashes(there, [FileTable("public", "plots")])


def test_a_name_that_leaves_no_room_for_a_copy_is_refused() -> None:
    assert loading.before_name("gis", "20261129101500") == "gis__before_20261129101500"
    with pytest.raises(LoadError, match="too long"):
        loading.before_name("g" * 50, "20261129101500")


def test_a_look_at_nothing_finds_nothing() -> None:
    assert loading.read_look("\n") is None


# The page -----------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    *(
        ROOT / "module_utils" / "poppyfield" / "postgis" / f"{name}.py"
        for name in ("loading", "load_files", "spatial_files")
    ),
    ROOT / "library" / "loaded_data.py",
]
ERRORS = {"LoadError", "LoadFileError", "SpatialFileError"}
WITH_FILE = "...: "
"""What names the file in front of a message."""


def rows() -> list[re.Pattern[str]]:
    """Give the messages of the page, which has ... for what differs."""
    section = (ROOT / "docs" / "data.md").read_text("utf-8").partition("## When a load is refused")[2]
    found = re.findall(r"^\| `(.*?)` \|", section, re.MULTILINE)
    return [re.compile(re.escape(row).replace(re.escape("..."), ".+")) for row in found]


def text_of(node: ast.AST) -> str:
    """Give a text of the code, with ... for what differs."""
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "..." for part in node.values]
        return "".join(map(str, parts))
    return str(node.value) if isinstance(node, ast.Constant) else ""


def messages(path: Path) -> Iterator[str]:
    """Give what a file of the code raises, and what its functions that look for a problem give."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
            yield text_of(node.args[0])
        elif isinstance(node, ast.FunctionDef) and node.name.endswith("_problem"):
            yield from (
                text_of(found.value) for found in ast.walk(node) if isinstance(found, ast.Return) and found.value
            )


def test_the_page_has_every_message() -> None:
    said = {text.removeprefix(WITH_FILE) for path in SOURCES for text in messages(path)} - {"", "..."}
    assert len(said) > 15
    assert [text for text in sorted(said) if not any(row.match(text) for row in rows())] == []


def test_the_page_has_no_other_message() -> None:
    texts = {
        text_of(node).removeprefix(WITH_FILE)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.JoinedStr | ast.Constant)
    }
    assert rows()
    assert [row.pattern for row in rows() if not any(row.match(text) for text in texts)] == []
