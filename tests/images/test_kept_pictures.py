"""Pictures of the map page that nginx keeps: handed out again for the same state of the map, and for no other."""

from __future__ import annotations

import dataclasses
import hashlib
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import docker
import pytest
import requests
from PIL import ImageChops

from tests.images import projects
from tests.images.map_server import PREFIX, MapServer, database, map_server, picture, wait_until
from tests.images.projects import NAME, POPPY

GRID = {"WIDTH": "256", "HEIGHT": "256"}
IN_THE_MEADOW, BESIDE_IT = (50, 128), (200, 128)
OTHER = "Forest"
MOVED = "ST_GeomFromText('Polygon ((3 46, 3 47, 4 47, 4 46, 3 46))', 4326)"
EDITS = 20


def publish(folder: Path) -> None:
    """Write a project over the database, one over a file, and one whose map may change otherwise."""
    for name, style in (("geopackage", True), ("postgis", False), ("csv", False)):
        place = folder / name
        place.mkdir(parents=True)
        layer = projects.VECTORS[name](place)
        if style:
            layer = dataclasses.replace(layer, style=projects.categorized("name", NAME, projects.fill(POPPY)))
        (place / "map.qgs").write_text(projects.qgs([layer]), "utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("kept")
    made.chmod(0o755)
    publish(made / "projects")
    return made


@pytest.fixture(scope="module")
def server(
    lizmap_image: str, postgis_image: str, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MapServer]:
    """Return a map server with every project, and their database."""
    with (
        database(postgis_image, tmp_path_factory.mktemp("postgis"), projects.POSTGIS_SQL) as network,
        map_server(lizmap_image, folder, network) as running,
    ):
        running.wait_until_healthy()
        yield running


@pytest.fixture(scope="module")
def postgis(server: MapServer) -> Any:
    """Return the database's container."""
    assert server
    return docker.from_env().containers.get(f"{PREFIX}postgis")


def path(name: str, project: str = "map") -> str:
    """Give the address of a project by its id in the catalogue, as the map page asks."""
    file = f"/srv/projects/{name}/{project}.qgs"
    return f"/project/{hashlib.md5(file.encode(), usedforsecurity=False).hexdigest()}/"


def query(west: float = projects.WEST, **changes: str) -> str:
    """Give what the map page asks for, in its order."""
    box = f"{projects.SOUTH},{west},{projects.NORTH},{projects.EAST}"
    asked = {
        **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "LAYERS": "meadow", "STYLES": ""},
        **{"CRS": "EPSG:4326", "BBOX": box, **GRID, "FORMAT": "image/png", "TRANSPARENT": "TRUE"},
    }
    return urlencode({**asked, **changes})


def ask(server: MapServer, name: str, asked: str = "", **options: Any) -> requests.Response:
    """Ask a project."""
    return server.get(f"{path(name)}?{asked or query()}", **options)


def kept(answer: requests.Response) -> str | None:
    """Tell what nginx says of where an answer comes from; nothing of one that is never kept."""
    return answer.headers.get("X-Kept")


def until_kept(server: MapServer, name: str, asked: str = "") -> requests.Response:
    """Ask until the answer is one that was kept."""

    def again() -> requests.Response | None:
        answer = ask(server, name, asked)
        return answer if kept(answer) == "HIT" else None

    found: requests.Response = wait_until(again, f"a picture of {name} is kept", server.log)
    return found


def sql(postgis: Any, words: str) -> None:
    """Change the data, as anybody may."""
    code, output = postgis.exec_run(["psql", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "gis", "-c", words])
    assert code == 0, output.decode()


@pytest.mark.parametrize("name", ["postgis", "geopackage"])
def test_what_is_kept_is_what_would_be_drawn(server: MapServer, name: str) -> None:
    found = until_kept(server, name)
    drawn = ask(server, name, query().replace("SERVICE", "service"))
    assert (kept(drawn), drawn.headers["Content-Type"]) == (None, "image/png")
    assert picture(found).getpixel(IN_THE_MEADOW) == POPPY
    assert ImageChops.difference(picture(found), picture(drawn)).getbbox() is None


def test_a_map_that_may_change_unseen_is_drawn_each_time(server: MapServer) -> None:
    until_kept(server, "geopackage")
    assert [kept(ask(server, "csv")) for _ in range(4)] == ["BYPASS"] * 4


def test_whoever_changes_the_data_the_next_picture_shows_it(server: MapServer, postgis: Any) -> None:
    until_kept(server, "postgis")
    home = f"ST_GeomFromText('{projects.POLYGON_WKT}', 4326)"
    was_kept = 0
    for edit in range(EDITS):
        sql(postgis, f"UPDATE meadow SET geom = {home if edit % 2 else MOVED}")
        shown = [ask(server, "postgis") for _ in range(3)]
        is_home = [picture(answer).getpixel(IN_THE_MEADOW) == POPPY for answer in shown]
        assert is_home == [bool(edit % 2)] * 3
        was_kept += kept(shown[-1]) == "HIT"
    assert was_kept


def test_a_change_of_a_file_is_seen_a_second_later(server: MapServer, folder: Path) -> None:
    place = folder / "projects" / "geopackage"
    (data,) = place.glob("*.gpkg")
    for name, expected in ((OTHER, False), (NAME, True)):
        until_kept(server, "geopackage")
        with closing(sqlite3.connect(data)) as file:
            file.execute("UPDATE meadow SET name = ?", (name,))
            file.commit()
        # What is promised.
        time.sleep(1)
        assert (picture(ask(server, "geopackage")).getpixel(IN_THE_MEADOW) == POPPY) is expected


def test_a_publication_is_seen_a_second_later(server: MapServer, folder: Path) -> None:
    place = folder / "projects" / "geopackage"
    project = place / "map.qgs"
    text = project.read_text("utf-8")
    for now, expected in ((text.replace(NAME.replace("'", "&apos;"), OTHER).replace(NAME, OTHER), False), (text, True)):
        until_kept(server, "geopackage")
        (place / "new").write_text(now, "utf-8")
        (place / "new").replace(project)
        time.sleep(1)
        assert (picture(ask(server, "geopackage")).getpixel(IN_THE_MEADOW) == POPPY) is expected


def test_nothing_but_the_one_form_is_kept_or_handed_out(server: MapServer) -> None:
    until_kept(server, "geopackage")
    for asked in (
        query().replace("REQUEST=GetMap", "request=GetMap"),
        query().replace("GetMap", "getmap"),
        query() + "&LAYERS=meadow",
        query() + "&",
        "LAYERS=meadow&" + query().replace("LAYERS=meadow&", ""),
        query().replace("TRUE", "FALSE"),
        query() + "&DPI=91",
    ):
        assert [kept(ask(server, "geopackage", asked)) for _ in range(3)] == [None] * 3, asked
    assert kept(server.get(f"/ows/geopackage/map/?{query()}")) is None
    for address in (f"/kept{path('geopackage')}?{query()}", "/kept-version", "/kept/"):
        assert server.get(address).status_code == 404


def test_a_visitor_changes_nothing_of_what_others_get(server: MapServer) -> None:
    where = query(west=projects.WEST + 0.25)
    honest = picture(ask(server, "geopackage", where.replace("SERVICE", "service")))
    address = f"{server.url}{path('geopackage')}?{where}"
    hostile = {
        "Host": "evil.example",
        "X-Qgis-Service-Url": "http://evil.example/",
        "X-Forwarded-Proto": "https",
        "Range": "bytes=0-9",
        "Accept": "text/html",
        "If-None-Match": "*",
    }
    for _ in range(3):
        requests.head(address, timeout=60)
        requests.get(address, headers=hostile, data="SERVICE=WFS", timeout=60)
        requests.get(address, headers=hostile, timeout=60)
    found = ask(server, "geopackage", where)
    assert kept(found) == "HIT"
    assert "evil.example" not in str(found.headers)
    assert ImageChops.difference(picture(found), honest).getbbox() is None


def test_an_error_is_not_kept(server: MapServer) -> None:
    asked = query(LAYERS="nothing")
    answers = [ask(server, "geopackage", asked) for _ in range(4)]
    assert "HIT" not in {kept(answer) for answer in answers}
    assert all("image/png" not in answer.headers["Content-Type"] for answer in answers)


def test_who_asks_for_many_places_pushes_nothing_out_that_others_look_at(server: MapServer) -> None:
    until_kept(server, "geopackage")
    was_kept = []
    for number in range(60):
        assert ask(server, "geopackage", query(west=1 + number / 100)).ok
        was_kept += [kept(ask(server, "geopackage"))] if number % 10 == 9 else []
    assert set(was_kept) <= {"HIT", "EXPIRED"}
    code, size = server.run("df", "--block-size=1M", "--output=size", "/tmp/pictures")
    assert (code, size.split()[-1]) == (0, "48")


def test_thirty_who_ask_at_once_wait_for_one_drawing(server: MapServer) -> None:
    until_kept(server, "geopackage")
    asked = query(west=0.5)
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda _: ask(server, "geopackage", asked), range(30)))
    assert all(answer.ok for answer in answers)
    assert sum(kept(answer) != "HIT" for answer in answers) == 1
    assert len({answer.content for answer in answers}) == 1


def test_without_the_database_nothing_is_handed_out(server: MapServer, postgis: Any) -> None:
    until_kept(server, "postgis")
    postgis.stop()
    assert "HIT" not in {kept(ask(server, "postgis")) for _ in range(3)}
    # What needs no database is still kept.
    assert kept(until_kept(server, "geopackage")) == "HIT"
    postgis.start()
    assert picture(until_kept(server, "postgis")).getpixel(IN_THE_MEADOW) == POPPY


def test_without_its_answer_every_picture_is_drawn(server: MapServer) -> None:
    until_kept(server, "geopackage")
    assert server.run("pkill", "-STOP", "-u", "www-data", "-x", "php") == (0, "")
    try:
        answer = ask(server, "geopackage")
        assert (kept(answer), picture(answer).getpixel(IN_THE_MEADOW)) == ("BYPASS", POPPY)
    finally:
        assert server.run("pkill", "-CONT", "-u", "www-data", "-x", "php") == (0, "")
    until_kept(server, "geopackage")
