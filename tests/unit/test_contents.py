"""Tables are found in SQL as pg_dump and ogr2ogr write it."""

from __future__ import annotations

import pytest
from ansible.module_utils.poppyfield.postgis.contents import FileTable, of_sql, of_statement

from tests.gallery.dumps import plain


def tables(text: str) -> list[FileTable]:
    return of_sql(line.encode() for line in text.splitlines(keepends=True))


def test_tables_of_pg_dump_have_their_rows() -> None:
    assert tables(plain()) == [FileTable("public", "plots", 3)]
    assert tables(plain(names=())) == [FileTable("public", "plots", 0)]
    assert tables(plain().replace("\n", "\r\n")) == [FileTable("public", "plots", 3)]


def test_tables_of_ogr2ogr_have_their_coordinate_system() -> None:
    text = """SET standard_conforming_strings = ON;
BEGIN;
CREATE TABLE "public"."parcelles" ( "fid" SERIAL, CONSTRAINT "parcelles_pk" PRIMARY KEY ("fid") );
SELECT AddGeometryColumn('public','parcelles','geom',2154,'MULTIPOLYGON',2);
COPY "public"."parcelles" ("fid", "geom") FROM STDIN;
1\t0106
2\t0106
\\.
COMMIT;
"""
    assert tables(text) == [FileTable("public", "parcelles", 2, (("geom", "MULTIPOLYGON", 2154),))]
    (unknown,) = tables(text.replace("2154", "-1"))
    assert unknown.places == (("geom", "MULTIPOLYGON", 0),)
    assert unknown.said() == "public.parcelles (2 rows), MULTIPOLYGON in no coordinate system"


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ('CREATE TABLE public."Relevés d\'été" (\n    geom public.geometry(Point,2154)\n);\n', "Relevés d'été"),
        (
            "CREATE UNLOGGED TABLE IF NOT EXISTS sites (\n    place geography NOT NULL,\n    geometry_of text\n);",
            "sites",
        ),
    ],
)
def test_columns_with_geometries_are_found(statement: str, table: str) -> None:
    found = of_statement(statement)
    assert found and (found.schema, found.name, len(found.places)) == ("public", table, 1)


def test_what_is_in_rows_and_functions_makes_no_table() -> None:
    function = "CREATE FUNCTION public.f() RETURNS void LANGUAGE sql AS $_$\nCREATE TABLE inner_one (a int);\n$_$;\n"
    text = function + plain(names=["CREATE TABLE x (a int);", "\\N"])
    assert tables(text) == [FileTable("public", "plots", 2)]


def test_older_dumps_say_the_schema_before() -> None:
    made = "SET search_path = survey, pg_catalog;\nCREATE TABLE plots (\n    id int\n);\n"
    text = made + "COPY plots (id) FROM stdin;\n1\n\\.\n"
    assert tables(text) == [FileTable("survey", "plots", 1)]


def test_a_table_travels_as_plain_data() -> None:
    table = FileTable("public", "plots", 3, (("geom", "POINT", 2154),), certain=False)
    assert FileTable.of_plain(table.plain()) == table
