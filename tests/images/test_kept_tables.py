"""Which changes of the database have a kept picture drawn again: those of the tables that it shows, and no other."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from PIL import ImageChops

from tests.images import projects
from tests.images.map_server import PREFIX, MapServer, database, map_server, picture, wait_until
from tests.images.projects import POPPY, Layer
from tests.images.test_kept_pictures import ask, kept, path, postgis, query, sql, until_kept

__all__ = ["postgis"]

REPORT = Path("build/reports/fresh.json")
EDITS = 2000
PLACE = "ST_SetSRID(ST_MakePoint({x}, {y}), 4326)"
MIDDLE = (128, 128)
INK = (10, 20, 30)
SQL = (
    projects.POSTGIS_SQL
    + """
CREATE TABLE notes (id int PRIMARY KEY, geom geometry(Point, 4326), words text);
CREATE TABLE elsewhere (id int);
CREATE VIEW seen AS SELECT id, geom FROM notes;
CREATE TABLE parts (id int, geom geometry(Point, 4326)) PARTITION BY RANGE (id);
CREATE TABLE parts_low PARTITION OF parts FOR VALUES FROM (0) TO (1000);
CREATE UNLOGGED TABLE loose (id int PRIMARY KEY, geom geometry(Point, 4326));
CREATE FUNCTION all_notes() RETURNS TABLE (id int, geom geometry) LANGUAGE sql STABLE
AS 'SELECT id, geom FROM public.notes';
CREATE VIEW called AS SELECT id, geom FROM all_notes();
"""
)
CRASH = (
    'for process in /proc/[0-9]*; do if grep -q "^postgres: checkpointer" "$process/cmdline" 2> /dev/null; then'
    ' kill -KILL "${process#/proc/}" && exit 0; fi; done; exit 1'
)
"""Ends one of PostgreSQL's processes, so that it starts again from its log."""
POINTS = ("notes", "seen", "parts", "loose", "called")


def points(name: str) -> Layer:
    """Give a layer of points in PostGIS, of which each covers half a picture."""
    symbol = projects.marker(color=projects.rgba(INK), size="60")
    source = f"service='poppyfield' key='id' srid=4326 type=Point table=\"public\".\"{name}\" (geom)"
    return Layer(source, "postgres", name=name, geometry="Point", style=projects.single_symbol(symbol))


def publish(made: Path, names: Iterable[str]) -> Path:
    """Write a project with these layers of points above the meadow; give the folder."""
    made.chmod(0o755)
    place = made / "projects" / "tables"
    place.mkdir(parents=True)
    text = projects.qgs([*map(points, names), projects.postgis(place)])
    (place / "map.qgs").write_text(text, "utf-8")
    hidden = "<WMSRestrictedLayers type='QStringList'><value>meadow</value></WMSRestrictedLayers>"
    (place / "secretive.qgs").write_text(text.replace("<properties>", f"<properties>{hidden}"), "utf-8")
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("tables"), POINTS)


@pytest.fixture(scope="module")
def server(
    lizmap_image: str, postgis_image: str, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MapServer]:
    with (
        database(postgis_image, tmp_path_factory.mktemp("postgis"), SQL) as network,
        map_server(lizmap_image, folder, network) as running,
    ):
        running.wait_until_healthy()
        yield running


@pytest.fixture
def empty(postgis: Any) -> Any:
    """Return the database without a point."""
    sql(postgis, "DELETE FROM notes; DELETE FROM parts; DELETE FROM loose")
    return postgis


def of(*layers: str) -> str:
    """Give what the map page asks for, of these layers."""
    return query(LAYERS=",".join(layers))


def note(number: int, table: str = "notes") -> str:
    """Give the statement that puts a point into the middle of the map."""
    middle = PLACE.format(x=(projects.WEST + projects.EAST) / 2, y=(projects.SOUTH + projects.NORTH) / 2)
    return f"INSERT INTO {table} (id, geom) VALUES ({number}, {middle})"


def is_inked(answer: Any) -> bool:
    """Tell whether a point is in the middle of a picture."""
    return bool(picture(answer).getpixel(MIDDLE) == INK)


@contextmanager
def session(postgis: Any) -> Iterator[Any]:
    """Give what runs statements one after the other in one session, which stays open meanwhile."""
    command = ["docker", "exec", "--interactive", postgis.name, "psql", "-qAt", "-U", "postgres", "-d", "gis"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as psql:
        heard, said = psql.stdin, psql.stdout
        assert heard and said

        def run(words: str) -> None:
            heard.write(f"{words};\n\\echo done\n")
            heard.flush()
            assert said.readline() == "done\n"

        yield run
        heard.close()


def until_told(server: MapServer, *layers: str) -> None:
    """Wait until the tables of these layers have a version of their own, so that a change elsewhere leaves it."""

    def again() -> bool:
        until_kept(server, "tables", of(*layers))
        sql(docker.from_env().containers.get(f"{PREFIX}postgis"), "INSERT INTO elsewhere VALUES (1)")
        return kept(ask(server, "tables", of(*layers))) == "HIT"

    wait_until(again, f"the tables of {layers} have a version of their own", server.log)


@pytest.mark.parametrize(
    "change",
    [
        note(1),
        f"{note(1)}; UPDATE notes SET words = 'moved', geom = geom",
        f"BEGIN; SAVEPOINT a; {note(1)}; RELEASE a; COMMIT",
        f"BEGIN; SAVEPOINT a; {note(2)}; ROLLBACK TO a; {note(1)}; COMMIT",
        f"SET synchronous_commit = off; {note(1)}",
        "INSERT INTO notes SELECT n, ST_SetSRID(ST_MakePoint(-170, -80), 4326), repeat('long ', 5000)"
        f" FROM generate_series(2, 300) n; {note(1)}",
        f"COPY (SELECT 1) TO STDOUT; {note(1)}",
    ],
)
def test_a_table_that_is_written_is_drawn_again_and_no_other(server: MapServer, empty: Any, change: str) -> None:
    until_told(server, "meadow")
    until_kept(server, "tables", of("notes"))
    sql(empty, change)
    assert is_inked(ask(server, "tables", of("notes")))
    assert is_inked(ask(server, "tables", of("meadow", "notes")))
    # An asynchronous commit is in the log a moment later.
    wait_until(lambda: kept(ask(server, "tables", of("meadow"))) == "HIT", "the meadow is kept", server.log)
    until_told(server, "meadow")
    sql(empty, "DELETE FROM notes")
    assert not is_inked(ask(server, "tables", of("notes")))


@pytest.mark.parametrize(
    ("layer", "change"),
    [
        ("seen", note(1)),
        ("called", note(1)),
        ("parts", note(1, "parts")),
        ("loose", note(1, "loose")),
        ("notes", f"{note(1)}; CREATE TABLE others (LIKE notes); INSERT INTO others TABLE notes; TRUNCATE notes;"
         " INSERT INTO notes TABLE others; DROP TABLE others"),
        ("notes", f"{note(1)}; VACUUM FULL notes"),
        ("notes", f"BEGIN; ALTER TABLE notes RENAME TO old; CREATE TABLE notes (LIKE old INCLUDING ALL); {note(1)};"
         " DROP TABLE old CASCADE; CREATE VIEW seen AS SELECT id, geom FROM notes;"
         " GRANT SELECT ON notes, seen TO gis; COMMIT"),
    ],
)  # fmt: skip
def test_what_changes_a_layer_by_a_detour_is_seen(server: MapServer, empty: Any, layer: str, change: str) -> None:
    assert not is_inked(until_kept(server, "tables", of(layer)))
    with session(empty) as run:
        run(change)
    assert is_inked(ask(server, "tables", of(layer)))
    # Also when all that was written is in the log.
    sql(empty, "INSERT INTO elsewhere VALUES (5)")
    assert is_inked(ask(server, "tables", of(layer)))


def test_another_definition_of_a_view_is_seen(server: MapServer, empty: Any) -> None:
    sql(empty, note(1))
    assert is_inked(until_kept(server, "tables", of("seen")))
    for condition, expected in (("id > 1", False), ("true", True)):
        sql(empty, f"CREATE OR REPLACE VIEW seen AS SELECT id, geom FROM notes WHERE {condition}")
        assert is_inked(ask(server, "tables", of("seen"))) is expected
        until_kept(server, "tables", of("seen"))


@pytest.mark.parametrize("is_restarted", [False, True])
def test_what_is_open_for_long_is_seen_when_it_is_done(server: MapServer, empty: Any, is_restarted: bool) -> None:
    until_told(server, "notes")
    with session(empty) as run:
        run(f"BEGIN; {note(1)}")
        # Others write meanwhile, so that it is looked.
        sql(empty, "INSERT INTO elsewhere VALUES (2)")
        if is_restarted:
            assert server.run("pkill", "-u", "www-data", "-x", "php") == (0, "")
            wait_until(lambda: kept(ask(server, "tables", of("notes"))) == "HIT", "it answers again", server.log)
        for _ in range(3):
            sql(empty, "INSERT INTO elsewhere VALUES (3)")
            assert not is_inked(ask(server, "tables", of("notes")))
        run("COMMIT")
        assert is_inked(ask(server, "tables", of("notes")))
    until_told(server, "notes")


def test_nothing_of_before_a_crash_is_taken_for_now(server: MapServer, empty: Any) -> None:
    until_told(server, "notes", "meadow")
    for number in range(3):
        sql(empty, note(number))
        assert empty.exec_run(["bash", "-c", CRASH]).exit_code == 0
        wait_until(lambda: empty.exec_run("healthcheck").exit_code == 0, "PostGIS answers")
        assert is_inked(wait_until(lambda: drawn(server), "the map draws", server.log))
        sql(empty, "DELETE FROM notes")
        assert not is_inked(ask(server, "tables", of("notes")))


def drawn(server: MapServer) -> Any:
    """Give a picture of the notes, once QGIS Server has connected again."""
    answer = ask(server, "tables", of("notes"))
    return answer if answer.headers["Content-Type"] == "image/png" else None


def test_the_page_is_told_which_layers_are_edited(server: MapServer, empty: Any) -> None:
    until_told(server, "meadow")
    address = f"{path('tables')}layers.json"
    sql(empty, note(1))
    told = server.get(address).json()["layers"]
    assert set(told) == {*POINTS, "meadow"}
    assert (told["notes"]["edited"], told["seen"]["edited"], told["meadow"]["edited"]) == (True, True, False)
    assert (told["notes"]["covers"], told["meadow"]["covers"]) == (False, True)
    for other in ("0" * 32, path("tables", "secretive").split("/")[2]):
        assert server.get(f"/project/{other}/layers.json").json() == {"layers": {}}
    assert server.get("/layers").status_code == 404


@pytest.mark.long
def test_two_thousand_edits_and_no_stale_picture(server: MapServer, empty: Any) -> None:
    chance = random.Random(19)
    is_there = {"notes": False, "parts": False}
    shown = {"notes": ("notes", "seen"), "parts": ("parts",)}
    stale = differ = hits = 0
    began = time.monotonic()
    for edit in range(EDITS):
        table = chance.choice(list(is_there))
        words = f"DELETE FROM {table}" if is_there[table] else note(edit % 1000, table)
        is_there[table] ^= True
        ending = chance.choice(["", "; INSERT INTO elsewhere VALUES (4)"])
        sql(empty, words + ending if chance.random() < 0.8 else f"SET synchronous_commit = off; {words}")
        for name, layers in shown.items():
            answers = [ask(server, "tables", of(chance.choice(layers))) for _ in range(2)]
            stale += sum(is_inked(answer) != is_there[name] for answer in answers)
            hits += sum(kept(answer) == "HIT" for answer in answers)
        meadow = ask(server, "tables", of("meadow"))
        stale += picture(meadow).getpixel(MIDDLE) != POPPY and picture(meadow).getpixel((50, 128)) != POPPY
        if edit % 50 == 0:
            anew = ask(server, "tables", of("meadow").replace("SERVICE", "service"))
            differ += ImageChops.difference(picture(meadow), picture(anew)).getbbox() is not None
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    report = {
        **{"edits": EDITS, "stale_reads": stale, "pictures_differ": differ, "kept": hits},
        "seconds": round(time.monotonic() - began),
    }
    REPORT.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    assert (stale, differ) == (0, 0)
    assert hits
