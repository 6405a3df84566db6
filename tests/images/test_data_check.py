"""One bit that rots on the disk is found by its table, with the real PostgreSQL, and the remedies work."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.pi_page import data_check, program
from ansible.module_utils.poppyfield.postgis import data_pages
from ansible.module_utils.poppyfield.status import rows

from tests.doubles import fleet
from tests.images.postgis_server import Server, Start, owned_folder

Json = dict[str, Any]
WHEN = "2026-11-30T02:10:00+00:00"
MAKE = """
CREATE EXTENSION postgis;
CREATE TABLE observations (id int PRIMARY KEY, what text, place geometry(Point, 4326));
ALTER TABLE observations ALTER what SET STORAGE EXTERNAL;
INSERT INTO observations
SELECT n, repeat('seen ', CASE WHEN n % 10 = 0 THEN 1000 ELSE 1 END), ST_Point(n % 90, n % 45, 4326)
FROM generate_series(1, 2000) n;
CREATE INDEX by_place ON observations USING gist (place);
CREATE TABLE "My own" AS SELECT 1 AS n;
"""
TOAST = "(SELECT reltoastrelid FROM pg_class WHERE oid = 'observations'::regclass)"
FILE = "SELECT pg_relation_filepath({})"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, starter: Start) -> Server:
    found = starter(owned_folder(tmp_path_factory.mktemp("rot") / "data")).ready()
    found.sql("CREATE DATABASE gis")
    found.sql(MAKE, "gis")
    found.sql("CHECKPOINT")
    return found


def look(server: Server) -> Json:
    server.container.reload()
    return data_check.look(
        server.container.attrs, program.said_by, lambda cluster: data_check.PageReader(cluster, lambda _: None)
    )


def rot(server: Server, *relations: str) -> None:
    """Change a bit in the middle of the first page of each, as a card does, while PostgreSQL is off."""
    files = [server.data / "cluster" / server.sql(FILE.format(one), "gis") for one in relations]
    server.container.stop()
    for file in files:
        page = file.read_bytes()[: data_pages.PAGE]
        with file.open("r+b") as stream:
            stream.seek(data_pages.PAGE - 40)
            stream.write(bytes([page[data_pages.PAGE - 40] ^ 1]))
    server.start().ready()


def command_for(server: Server, one: Json, folder: Path) -> None:
    """Run the command that the status tells for what is damaged, where no backup is known."""
    container = {"name": server.container.name, "resource": "postgis", "state": "running", "health": "healthy"}
    found = {"at": WHEN, "result": "damaged", "damaged": [one]}
    seen = {**fleet.look(), "containers": [container], "data_check": found}
    wrong = rows.row_of("pi-orchard", seen, {}, None, WHEN)["wrong"]
    (command,) = (one["values"]["command"] for one in wrong if one["code"].startswith("data_"))
    subprocess.run(command.removeprefix("sudo "), shell=True, check=True, cwd=folder)


def test_what_rots_is_named_and_the_remedies_work(server: Server, tmp_path: Path) -> None:
    found = look(server)
    assert (found["result"], found["damaged"]) == (data_pages.WHOLE, []) and found["pages"] > 2000
    rot(server, "'observations'", "'by_place'", "'\"My own\"'", TOAST)
    # PostgreSQL is well as far as anybody sees.
    assert server.execute("healthcheck")[0] == 0
    found = look(server)
    assert found["result"] == data_pages.DAMAGED
    named = sorted((one["database"], one["table"], one["index"] or "", one["pages"]) for one in found["damaged"])
    assert named == [
        ("gis", 'public."My own"', "", 1),
        ("gis", "public.observations", "", 1),
        ("gis", "public.observations", "", 1),
        ("gis", "public.observations", "public.by_place", 1),
    ]
    code, said = server.psql("SELECT * FROM observations", "--dbname=gis")
    assert code and "invalid page in block 0" in said
    # Without a backup: all that can be read is saved.
    table, index = (
        next(one for one in found["damaged"] if bool(one["index"]) is is_index) for is_index in (False, True)
    )
    command_for(server, table, tmp_path)
    saved = subprocess.run(
        ["docker", "exec", "-i", server.container.name, "pg_restore", "--data-only", "--table=observations", "-f-"],
        input=(tmp_path / "gis.dump").read_bytes(),
        capture_output=True,
        check=True,
    )
    assert saved.stdout.count(b"\tseen ") == 2000
    # An index is rebuilt, and a table that is brought back is another file.
    command_for(server, index, tmp_path)
    server.sql('DROP TABLE observations, "My own"', "gis")
    server.sql("CHECKPOINT")
    assert look(server)["result"] == data_pages.WHOLE


def test_what_postgresql_itself_can_no_longer_name_is_told_by_its_file(server: Server) -> None:
    rot(server, "'pg_class'")
    (one,) = look(server)["damaged"]
    assert (one["database"], one["table"]) == ("gis", None) and one["file"].startswith("base/")
    server.container.stop()
    (one,) = look(server)["damaged"]
    assert one["database"] is None and one["file"].startswith("base/")
