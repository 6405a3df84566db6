"""Base maps: the map page fetches ranges of them, projects draw them, and nothing else of their folder is shown."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.images import building, projects
from tests.images.map_server import REQUEST_SECONDS, MapServer, map_server, picture
from tests.images.projects import GRASS, POPPY
from tests.tiles import pmtiles, png

GREEN = 20, 120, 40
FRONT = (building.ROOT / "images" / "lizmap" / "nginx" / "map-page.conf").read_text("utf-8")
TAKEN_BACK = {
    "if ($is_one_range = 0) {": "if ($is_one_range = never) {",
    "max_ranges 1;": "",
    r'"^/basemaps/[A-Za-z0-9_-]{1,60}\.[0-9a-f]{16}\.pmtiles$"': "^/basemaps/",
}
TILES = pmtiles([png(GREEN)])
ADDRESS = f"/basemaps/valley.{hashlib.sha256(TILES).hexdigest()[:16]}.pmtiles"
LIST = {"version": 1, "basemaps": [{"name": "valley"}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with two base maps as they are delivered, and a project with one of them."""
    made = tmp_path_factory.mktemp("basemaps")
    made.chmod(0o755)
    basemaps, fields = made / "projects" / "basemaps", made / "projects" / "fields"
    for path in (basemaps, fields, made / "projects" / ".poppyfield" / "fields" / "staged"):
        path.mkdir(parents=True)
    (made / "projects" / ADDRESS.removeprefix("/")).write_bytes(TILES)
    (basemaps / "index.json").write_text(json.dumps(LIST))
    (basemaps / "notes.txt").write_text("for nobody else")
    layer = dataclasses.replace(projects.mbtiles(basemaps), source="../basemaps/ground.mbtiles")
    project = projects.qgs([layer])
    (fields / "map.qgs").write_text(project, "utf-8")
    staged = made / "projects" / ".poppyfield" / "fields"
    (staged / "staged" / "map.qgs").write_text(project, "utf-8")
    # As PublishedFolder makes it.
    (staged / "basemaps").symlink_to(Path("..", "..", "basemaps"))
    return made


@pytest.fixture(scope="module")
def server(lizmap_image: str, folder: Path) -> Iterator[MapServer]:
    with map_server(lizmap_image, folder, environment={"QGIS_SERVER_WORKERS": "1"}) as running:
        running.wait_until_healthy()
        yield running


@pytest.fixture(scope="module")
def careless(lizmap_image: str, folder: Path) -> Iterator[MapServer]:
    """Return a map server whose front hands out whatever is asked for of the folder, as often as it is."""
    front = FRONT
    for defence, nothing in TAKEN_BACK.items():
        assert defence in front
        front = front.replace(defence, nothing)
    own = {"map-page.conf": front}
    with map_server(lizmap_image, folder, configuration=own, environment={"QGIS_SERVER_WORKERS": "1"}) as running:
        running.wait_until_healthy()
        yield running


@pytest.mark.parametrize(("asked", "first", "last"), [("0-126", 0, 126), ("127-999999", 127, len(TILES) - 1)])
def test_a_range_is_answered_and_good_for_ever(server: MapServer, asked: str, first: int, last: int) -> None:
    answer = server.get(ADDRESS, headers={"Range": f"bytes={asked}", "Accept-Encoding": "gzip"})
    assert answer.status_code == 206 and answer.content == TILES[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(TILES)}"
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("asked", [None, "bytes=-100", "bytes=5-", "x"])
def test_no_file_is_handed_out_as_a_whole(server: MapServer, asked: str | None) -> None:
    answer = server.get(ADDRESS, headers={"Range": asked} if asked else {})
    assert answer.status_code == 416 and len(answer.content) < 200


@pytest.mark.attack(kind="load", on="map page")
@pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "bytes=" + ",".join(["0-1"] * 50)], ids=["two", "fifty"])
def test_several_ranges_at_once_are_refused(server: MapServer, careless: MapServer, asked: str) -> None:
    assert careless.get(ADDRESS, headers={"Range": asked}).headers["Content-Type"].startswith("multipart/byteranges")
    answer = server.get(ADDRESS, headers={"Range": asked})
    assert answer.status_code == 416 and len(answer.content) < 200


@pytest.mark.attack(kind="file or project", on="map page")
@pytest.mark.parametrize("name", ["ground.mbtiles", "notes.txt"])
def test_no_other_file_of_the_folder_is_handed_out(server: MapServer, careless: MapServer, name: str) -> None:
    asked = {"Range": "bytes=0-9"}
    assert careless.get(f"/basemaps/{name}", headers=asked).status_code == 206
    assert server.get(f"/basemaps/{name}", headers=asked).status_code == 404


def test_the_list_is_asked_for_again_each_time(server: MapServer) -> None:
    answer = server.get("/basemaps/index.json")
    assert answer.json() == LIST and answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/basemaps",
        "/basemaps/",
        "/basemaps/valley.pmtiles",
        "/basemaps/valley.0123456789abcdef.pmtiles",
        "/basemaps/..%2ffields/map.qgs",
        "/basemaps/../fields/map.qgs",
        "/basemaps/index.json/",
        "/.poppyfield/fields/staged/map.qgs",
    ],
)
def test_what_is_no_base_map_is_not_found(server: MapServer, path: str) -> None:
    answer = server.get(path, headers={"Range": "bytes=0-99"})
    assert answer.status_code == 404


@pytest.mark.parametrize("path", [ADDRESS, "/basemaps/index.json"])
def test_nobody_can_do_more_than_read(server: MapServer, path: str) -> None:
    for method in ("POST", "PUT", "DELETE"):
        answer = requests.request(method, server.url + path, headers={"Range": "bytes=0-1"}, timeout=REQUEST_SECONDS)
        assert answer.status_code == 403


def test_a_project_draws_the_tiles_that_lie_beside_its_folder(server: MapServer) -> None:
    seen = picture(server.wms("fields/map", LAYERS="ground", BBOX="-60,0,60,60"))
    assert (seen.getpixel((20, 50)), seen.getpixel((180, 50))) == (POPPY, GRASS)


def test_a_staged_project_draws_them_too(server: MapServer) -> None:
    answer = server.ask_inside(
        "/srv/projects/.poppyfield/fields/staged/map.qgs",
        **{"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetCapabilities"},
    )
    assert "<Name>ground</Name>" in answer and "ServiceException" not in answer


def test_a_pi_without_base_maps_says_so(lizmap_image: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "projects").mkdir()
    with map_server(lizmap_image, tmp_path, environment={"QGIS_SERVER_WORKERS": "1"}) as running:
        running.wait_until_healthy()
        answer = running.get("/basemaps/index.json")
        assert answer.json() == {"version": 1, "basemaps": []}
        assert answer.headers["Content-Type"] == "application/json" and answer.headers["Cache-Control"] == "no-cache"
