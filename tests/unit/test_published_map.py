"""published_map against a small HTTP server, and the reading of a map server's answers."""

from __future__ import annotations

import json
import os
import re
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from ansible.module_utils.poppyfield.projects import map_checks
from ansible.module_utils.poppyfield.projects.map_checks import BoundingBox, MapError, MapLayer

from tests.doubles.map_server import COLLECTIONS, MapServer, nothing_drawn, png, running_map_server
from tests.images.projects import Layer, qgs

Run = Callable[..., dict[str, Any]]
WMS_HEAD = '<WMS_Capabilities xmlns="http://www.opengis.net/wms">'
# As behind a proxy that asks with a host of its own.
COLLECTIONS_ELSEWHERE = json.dumps(COLLECTIONS).replace("@", "http://10.0.0.1:8080").encode()


@pytest.fixture
def server() -> Iterator[MapServer]:
    with running_map_server() as running:
        yield running


@pytest.fixture
def check(server: MapServer, run_module: Run) -> Run:
    def run(check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {"url": server.url, "project": "sample/france", "timeout": 5, **arguments}
        return run_module("published_map", check_mode=check_mode, **given)

    return run


def test_a_map_that_draws(server: MapServer, check: Run, tmp_path: Path) -> None:
    result = check(picture=str(tmp_path / "new" / "map.png"))
    assert result["verified"] and not result["changed"]
    assert result["capabilities"] == {"title": "France", "layers": ["observations", "big towns", "countries"]}
    assert result["getmap"]["distinct_colors"] == 6
    assert (tmp_path / "new" / "map.png").read_bytes() == server.answers["WMS GetMap"]
    assert result["feature_count"] == 2
    assert result["features"] == {"big_towns": 2}
    assert result["projects"] == [{"id": "1", "title": "France"}]
    asked = next(query for query in server.asked if query.get("REQUEST") == "GetMap")
    assert asked["LAYERS"] == "countries,big towns,observations"
    assert (asked["CRS"], asked["BBOX"]) == ("EPSG:3857", "0.0,0.0,400.0,200.0")
    assert (asked["WIDTH"], asked["HEIGHT"]) == ("800", "400")
    assert server.asked[-1] == {"path": "/ows/sample/france/wfs3/collections/big%20towns/items.json", "limit": "1"}
    assert result["checks"][-1] == {"check": "ogc_api", "ok": True, "detail": "a feature of big_towns"}


def test_the_features_of_an_older_qgis_server_are_found(server: MapServer, check: Run) -> None:
    # QGIS Server 3.22 calls the link otherwise than the standard.
    server.answers["collections"] = server.answers["collections"].replace(b'"rel": "items"', b'"rel": "item"')
    assert check()["checks"][-1] == {"check": "ogc_api", "ok": True, "detail": "a feature of big_towns"}


def test_a_picture_that_cannot_be_saved_is_a_sentence(check: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = check(picture=str(tmp_path / "file" / "map.png"))["msg"]
    assert f"Check of the picture: The map draws, but its picture cannot be saved to {tmp_path}/file/map.png: " in said
    assert "Give `picture` (in the inventory lizmap_picture_folder) a place that you may write to." in said


def test_without_a_project_only_the_catalogue_is_asked_for(server: MapServer, check: Run) -> None:
    assert check(project=None)["verified"]
    assert [query["path"] for query in server.asked] == ["/index.json"]


def test_a_server_that_starts_is_waited_for(
    server: MapServer, check: Run, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library("published_map"), "PAUSE", 0.01)
    server.starting = 3
    assert check()["verified"]


def test_waiting_ends_with_the_time(
    server: MapServer, check: Run, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library("published_map"), "PAUSE", 0.01)
    server.starting = 10**6
    result = check(timeout=1)
    assert result["failed"]
    assert "not ready (HTTP 502), and still after 1 seconds" in result["msg"]


def test_a_server_that_fails_is_asked_a_few_times_more(
    server: MapServer, check: Run, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library("published_map"), "PAUSE", 0.01)
    server.starting, server.starting_status = 3, 500
    assert check()["verified"]
    server.starting = 100
    assert "failed with HTTP 500: starting" in check()["msg"]
    assert server.starting == 94


def test_check_mode_asks_once_and_does_not_fail(server: MapServer, check: Run) -> None:
    server.starting = 1
    result = check(check_mode=True)
    assert not result.get("failed") and not result["verified"]
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("answer", "body", "expected"),
    [
        ("catalogue", b"<html>", ("catalogue", "not a list of projects")),
        ("catalogue", b'{"projects": null}', ("catalogue", "not a list of projects: '{\"projects\": null}'")),
        ("catalogue", b'{"projects": [null]}', ("catalogue", "not a list of projects")),
        ("catalogue", b"null", ("catalogue", "not a list of projects: 'null'")),
        ("catalogue", b"[" * 100_000, ("catalogue", "not a list of projects")),
        ("WMS GetCapabilities", b"<?xml version='1.0' encoding='none'?><a/>", ("capabilities", "not XML")),
        ("WMS GetCapabilities", b"<?xml version='1.0' encoding='utf-7'?><a/>", ("capabilities", "not XML")),
        ("WFS GetCapabilities", b"<?xml version='1.0' encoding='none'?><a/>", ("features", "not XML")),
        ("WFS GetFeature", b'{"features": [null]}', ("features", "JSON without features")),
        ("WFS GetFeature", b"[" * 100_000, ("features", "not GeoJSON")),
        ("collections", b'{"collections": null}', ("ogc_api", "no list of collections")),
        ("collections", b"null", ("ogc_api", "no list of collections")),
        ("collections", b'{"collections": [{"id": "x", "links": [{"rel": 1}]}]}', ("ogc_api", "no list of coll")),
        ("WMS GetCapabilities", b"<html", ("capabilities", "not XML")),
        ("WMS GetCapabilities", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", ("capabilities", "not XML")),
        ("WMS GetCapabilities", b"<Error><Text>No project</Text></Error>", ("capabilities", "No project")),
        ("WMS GetMap", b"<ServiceException>Layer broken", ("picture", "not a PNG: '<ServiceException>Layer broken'")),
        ("WFS GetFeature", b"<no/>", ("features", "not GeoJSON")),
        ("WFS GetFeature", b"[]", ("features", "JSON without features")),
        ("collections", b"<html>", ("ogc_api", "no list of collections: '<html>'")),
        ("collections", b'{"collections": [{"id": "x", "links": []}]}', ("ogc_api", "no list of collections")),
        ("collections", b'{"collections": []}', ("ogc_api", "does not give the layer big_towns, which WFS gives")),
        ("collections", COLLECTIONS_ELSEWHERE, ("ogc_api", "Let the proxy in front pass the Host header")),
        ("items", b'{"features": []}', ("ogc_api", "gives no feature of the layer big_towns")),
    ],
)
def test_the_check_that_fails_says_why(
    server: MapServer, check: Run, answer: str, body: bytes, expected: tuple[str, str]
) -> None:
    failed, words = expected
    server.answers[answer] = body
    result = check()
    assert result["failed"]
    assert f"Check of the {failed}" in result["msg"] and words in result["msg"]
    assert [entry["ok"] for entry in result["checks"]][-1] is False


BROKEN_NUMBERS = b"""<WMS_Capabilities xmlns="http://www.opengis.net/wms"><Capability><Layer>
<Layer><Name>a</Name><CRS>CRS:84</CRS><MinScaleDenominator>none</MinScaleDenominator><MaxScaleDenominator>inf</MaxScaleDenominator>
<BoundingBox CRS="EPSG:3857" minx="west" miny="0" maxx="1" maxy="1"/>
<BoundingBox CRS="EPSG:4326" minx="-inf" miny="0" maxx="inf" maxy="1"/>
<BoundingBox CRS="CRS:84" minx="0" miny="0" maxx="1e-300" maxy="1e300"/></Layer>
</Layer></Capability></WMS_Capabilities>"""


def test_capabilities_with_broken_numbers_are_read_as_far_as_they_go() -> None:
    (layer,) = map_checks.parse_capabilities(BROKEN_NUMBERS).layers
    assert layer == MapLayer("a", "a", (BoundingBox("CRS:84", 0, 0, 1e-300, 1e300),))
    assert "WIDTH=800&HEIGHT=800" in map_checks.map_url("http://x/", [layer], 800)


@pytest.mark.parametrize("geometry", [None, "point", [], {}, {"coordinates": [1]}, {"coordinates": [[1, "a"], None]}])
def test_a_feature_without_a_place_is_nowhere(geometry: Any) -> None:
    assert map_checks.find_places([{"geometry": geometry}]) == []


def test_a_map_without_wfs_is_asked_for_feature_info(server: MapServer, check: Run) -> None:
    server.answers["WFS GetCapabilities"] = b"<WFS_Capabilities/>"
    assert check()["feature_count"] == 3
    asked = next(query for query in server.asked if "QUERY_LAYERS" in query)
    assert asked["QUERY_LAYERS"] == "countries,big towns,observations"


def test_the_extent_of_a_layer_without_features_does_not_count() -> None:
    """QGIS Server gives it the world."""
    sides = {"west": -180, "south": -90, "east": 180, "north": 90}
    kinds = {"west": "Longitude", "south": "Latitude", "east": "Longitude", "north": "Latitude"}
    world = "".join(f"<{side}Bound{kinds[side]}>{n}</{side}Bound{kinds[side]}>" for side, n in sides.items())
    layers = [("nests", -90, -180, 90, 180, world), ("field", 46, 2, 47, 3, world.replace("180", "3"))]
    told = "".join(
        f"<Layer><Name>{name}</Name><CRS>EPSG:4326</CRS><EX_GeographicBoundingBox>{geographic}"
        f'</EX_GeographicBoundingBox><BoundingBox CRS="EPSG:4326" minx="{a}" miny="{b}" maxx="{c}" maxy="{d}"/></Layer>'
        for name, a, b, c, d, geographic in layers
    )
    capabilities = f"{WMS_HEAD}<Capability><Layer>{told}</Layer></Capability></WMS_Capabilities>"
    nests, field = map_checks.parse_capabilities(capabilities.encode()).layers
    assert map_checks.extent_of([nests, field]) == BoundingBox("EPSG:4326", 46, 2, 47, 3)
    assert map_checks.extent_of([nests]) == BoundingBox("EPSG:4326", -90, -180, 90, 180)


# Maps with little on them --------------------------------------------------------------------------------------------

ALL_IN_WFS = b"".join(b"<FeatureType><Name>%s</Name></FeatureType>" % n for n in (b"observations", b"countries"))
NO_FEATURES = b'{"features": []}'


def asked(server: MapServer, request: str) -> list[dict[str, str]]:
    return [query for query in server.asked if query.get("REQUEST") == request]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


def start_empty(server: MapServer) -> None:
    """Let no layer have a feature, as before the first day in the field."""
    server.answers["WMS GetMap"] = png(1)
    server.answers["WMS GetMap transparent"] = nothing_drawn()
    wfs = server.answers["WFS GetCapabilities"]
    server.answers["WFS GetCapabilities"] = wfs.replace(b"<FeatureType>", ALL_IN_WFS + b"<FeatureType>", 1)
    server.answers["WFS GetFeature"] = server.answers["WMS GetFeatureInfo"] = NO_FEATURES


def test_an_area_that_fills_the_picture_is_a_map(
    server: MapServer, check: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers["WMS GetMap"] = server.answers["WMS GetMap transparent"] = png(1)
    result = check()
    assert result["verified"] and result["getmap"]["distinct_colors"] == 1
    assert "shows nothing" not in said(capsys)


def test_a_survey_that_starts_empty_is_right(server: MapServer, check: Run, capsys: pytest.CaptureFixture[str]) -> None:
    start_empty(server)
    result = check()
    assert result["verified"], result
    assert result["features"] == {"observations": 0, "big_towns": 0, "countries": 0}
    assert len(asked(server, "GetMap")) == 2
    told = "sample/france: its map shows nothing yet, for there are no features: 'observations' and 'big towns'"
    assert told in said(capsys)
    assert "The map has 0 features, but at least 1" in check(min_features=1)["msg"]


def test_a_survey_that_starts_empty_and_has_no_extent_is_right(
    server: MapServer, check: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_empty(server)
    server.answers["WMS GetCapabilities"] = re.sub(b"<BoundingBox[^>]*/>", b"", server.answers["WMS GetCapabilities"])
    result = check(picture=str(tmp_path / "map.png"), layers=["countries"])
    assert result["verified"] and "getmap" not in result
    assert not asked(server, "GetMap")
    assert "its map shows nothing yet, for there are no features: 'countries'." in said(capsys)
    # Nor can features be counted by a picture.
    server.answers["WFS GetCapabilities"] = b"<WFS_Capabilities/>"
    assert check()["verified"] and not asked(server, "GetFeatureInfo")


def test_layers_that_wfs_does_not_tell_of_are_counted_where_nothing_is_drawn(server: MapServer, check: Run) -> None:
    start_empty(server)
    server.answers["WFS GetCapabilities"] = b"<WFS_Capabilities/>"
    assert check()["verified"]
    assert [query["QUERY_LAYERS"] for query in asked(server, "GetFeatureInfo")][1:] == [
        "observations",
        "big towns",
        "countries",
    ]


@pytest.mark.parametrize(
    "change",
    [("WMS GetFeatureInfo", NO_FEATURES, b'{"features": [{}]}'), ("WMS GetCapabilities", b' queryable="1"', b"")],
)
def test_nothing_drawn_of_layers_that_may_have_features_is_a_fault(
    server: MapServer, check: Run, change: tuple[str, bytes, bytes]
) -> None:
    start_empty(server)
    server.answers["WFS GetCapabilities"] = b"<WFS_Capabilities/>"
    answer, old, new = change
    server.answers[answer] = server.answers[answer].replace(old, new)
    words = check()["msg"]
    assert "Check of the layers: Nothing is drawn, and of 'observations' and 'big towns' and 'countries' it" in words
    assert "QGIS Server can reach their data" in words


def test_layers_that_are_drawn_at_other_scales_only_leave_the_picture_empty(server: MapServer, check: Run) -> None:
    start_empty(server)
    server.answers["WFS GetCapabilities"] = b"<WFS_Capabilities/>"
    server.answers["WMS GetFeatureInfo"] = b'{"features": [{}]}'
    limit = b"<CRS>EPSG:3857</CRS><MaxScaleDenominator>5000</MaxScaleDenominator>"
    capabilities = server.answers["WMS GetCapabilities"]
    server.answers["WMS GetCapabilities"] = capabilities.replace(b"<CRS>EPSG:3857</CRS>", limit)
    assert check()["verified"]


def test_no_picture_is_asked_of_tables(server: MapServer, check: Run, capsys: pytest.CaptureFixture[str]) -> None:
    capabilities = server.answers["WMS GetCapabilities"]
    server.answers["WMS GetCapabilities"] = capabilities.replace(b"<CRS>EPSG:3857</CRS>", b"")
    result = check()
    assert result["verified"] and result["features"] == {"big_towns": 2}
    assert not asked(server, "GetMap") and "getmap" not in result
    (picture,) = [entry["detail"] for entry in result["checks"] if entry["check"] == "picture"]
    assert picture == "no picture: there are only tables" and "sample/france" not in said(capsys)


TILES = "type=xyz&url=https://tile.openstreetmap.org/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=19&zmin=0"


def write_project(folder: Path, from_internet: tuple[str, ...], *others: str) -> None:
    layers = [Layer(TILES, "wms", name, geometry="") for name in from_internet]
    folder.mkdir()
    (folder / "france.qgs").write_text(qgs([*layers, *(Layer("./x.gpkg", name=name) for name in others)]))


def test_what_comes_from_the_internet_is_not_drawn(server: MapServer, check: Run, tmp_path: Path) -> None:
    write_project(tmp_path / "maps", ("countries",), "observations", "big towns")
    assert check(folder=str(tmp_path / "maps"))["verified"]
    assert asked(server, "GetMap")[0]["LAYERS"] == "big towns,observations"


def test_a_map_that_comes_from_the_internet_is_named(
    server: MapServer, check: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_project(tmp_path / "maps", ("observations", "big towns", "countries"))
    server.answers["WFS GetCapabilities"] = b"<WFS_Capabilities/>"
    result = check(folder=str(tmp_path / "maps"))
    assert result["verified"] and "getmap" not in result
    assert not asked(server, "GetMap") and not asked(server, "GetFeatureInfo")
    told = "comes from the internet: 'observations' and 'big towns' and 'countries'."
    assert "sample/france: nothing of its map was drawn" in (words := said(capsys)) and told in words


def test_what_a_server_does_not_give_is_named(
    server: MapServer, check: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    wfs = "url='https://example.org/wfs' typename='x' version='auto'"
    layers = [Layer(wfs, "WFS", name) for name in ("far", "countries")]
    (folder / "france.qgs").write_text(
        qgs([*layers, *(Layer("./x.gpkg", name=n) for n in ("observations", "big towns"))])
    )
    assert check(folder=str(folder))["verified"]
    assert "sample/france: the map goes on without what comes from servers that the Pi does not reach: far." in said(
        capsys
    )
    assert asked(server, "GetMap")[0]["LAYERS"] == "big towns,observations"


@pytest.mark.parametrize("content", [None, "<html/>"])
def test_a_project_that_is_not_here_tells_nothing(
    server: MapServer, check: Run, tmp_path: Path, content: str | None
) -> None:
    if content:
        (tmp_path / "france.qgs").write_text(content)
    assert check(folder=str(tmp_path))["verified"]
    assert asked(server, "GetMap")[0]["LAYERS"] == "countries,big towns,observations"


def test_named_layers(server: MapServer, check: Run) -> None:
    check(layers=["big towns"])
    asked = next(query for query in server.asked if query.get("REQUEST") == "GetMap")
    assert (asked["LAYERS"], asked["BBOX"]) == ("big towns", "10.0,10.0,210.0,110.0")
    assert "no layer rivers. It has: observations, big towns, countries" in check(layers=["rivers"])["msg"]


def test_a_map_that_does_not_exist(check: Run) -> None:
    assert "HTTP 404: no such map" in check(project="sample/none")["msg"]
    assert "must be given as repository/project" in check(project="france")["msg"]


def test_a_layer_with_a_comma_in_its_name_is_named_as_not_checked(
    server: MapServer, check: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    capabilities = server.answers["WMS GetCapabilities"]
    server.answers["WMS GetCapabilities"] = capabilities.replace(b">observations<", ">Forêt, parcelles<".encode())
    result = check()
    assert result["verified"] and result["not_checked"] == ["Forêt, parcelles"]
    asked = next(query for query in server.asked if query.get("REQUEST") == "GetMap")
    assert asked["LAYERS"] == "countries,big towns"
    said = " ".join(capsys.readouterr().err.split())
    assert "sample/france, layer 'Forêt, parcelles': no map can show it" in said and "give it a short name" in said


def test_a_map_whose_layers_all_have_commas_cannot_be_asked_for(server: MapServer, check: Run) -> None:
    names = (b"observations", b"big towns", b"countries")
    for name in names:
        body = server.answers["WMS GetCapabilities"].replace(b"<Name>" + name, b"<Name>a, " + name)
        server.answers["WMS GetCapabilities"] = body
    said = check()["msg"]
    assert (
        "No layer of the map can be asked for, of 'a, observations', 'a, big towns' and 'a, countries': no map" in said
    )
    assert "give it a short name" in said


def test_a_layer_with_a_colon_in_its_name_is_looked_at_too(server: MapServer, check: Run) -> None:
    """WFS writes a colon as a hyphen."""
    server.answers["WMS GetCapabilities"] = server.answers["WMS GetCapabilities"].replace(b">big towns", b">big:towns")
    server.answers["WFS GetCapabilities"] = server.answers["WFS GetCapabilities"].replace(b"big_towns", b"big-towns")
    server.answers["collections"] = server.answers["collections"].replace(b'"big towns"', b'"big:towns"')
    point = {"geometry": {"type": "Point", "coordinates": [2.0, 46.0]}}
    server.answers["WFS GetFeature"] = json.dumps({"features": [point]}).encode()
    result = check()
    assert result["verified"] and result["features"] == {"big-towns": 1}
    assert result["drawn"] == {"big:towns": "drawn"}
    detail = next(entry["detail"] for entry in result["checks"] if entry["check"] == "layers")
    assert detail.endswith("not looked at alone, for WFS gives no features with a place: observations, countries")


def test_what_a_server_says_is_told_with_its_characters(server: MapServer, check: Run) -> None:
    server.answers["WMS GetCapabilities"] = (
        b"<Error>No layer &amp;quot;d&amp;#039;&amp;Eacute;t&amp;eacute;&amp;quot;</Error>"
    )
    assert 'No layer "d\'Été"' in check()["msg"]
    server.answers["WMS GetCapabilities"] = b"no XML, but &lt;b&gt; at /?a=1&REQUEST=b&copy=2"
    assert "no XML, but <b> at /?a=1&REQUEST=b&copy=2" in check()["msg"]


def test_addresses_are_quoted() -> None:
    assert map_checks.project_address("http://pi/", "a b/c?d") == "http://pi/ows/a%20b/c%3Fd/"


def test_the_extent_of_layers() -> None:
    def layer(*boxes: BoundingBox) -> MapLayer:
        return MapLayer("x", "x", boxes)

    degrees = BoundingBox("EPSG:4326", 40, 0, 50, 20)
    meters = BoundingBox("EPSG:2154", 0, 0, 10, 10)
    assert map_checks.extent_of([layer(meters, degrees), layer(degrees), layer()]) == degrees
    assert degrees.aspect() == 0.5
    with pytest.raises(MapError, match="No layer has an extent"):
        map_checks.extent_of([layer()])
    with pytest.raises(MapError, match="no coordinate reference system in common"):
        map_checks.extent_of([layer(meters), layer(degrees)])


class Unreliable:
    """A session that fails in this way first, and then answers like another one."""

    def __init__(self, error: Exception, answers: requests.Session) -> None:
        self.error: Exception | None = error
        self.answers = answers

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        if self.error:
            error, self.error = self.error, None
            raise error
        return self.answers.request(method, url, **options)


@pytest.mark.parametrize(
    ("error", "said"),
    [(requests.Timeout(), "no answer in time"), (requests.ConnectionError(), "nobody answers there")],
)
def test_a_server_that_does_not_answer_is_asked_again(
    server: MapServer, library: Any, error: Exception, said: str
) -> None:
    module = library("published_map")
    pauses: list[float] = []
    with requests.Session() as session:
        url = f"{server.url}/index.json"
        patient = module.Server(Unreliable(error, session), url, 60, sleep=pauses.append)
        assert patient.get(url) == server.answers["catalogue"]
        assert pauses == [module.PAUSE]
        with pytest.raises(MapError, match=said):
            module.Server(Unreliable(error, session), url, 60, patient=False).get(url)


def test_the_time_is_counted_again_from_each_answer(server: MapServer, library: Any) -> None:
    """A slow server is not one that does not answer."""
    now = 0.0

    def sleep(_: float) -> None:
        nonlocal now
        now += 40

    with requests.Session() as session:
        url = f"{server.url}/index.json"
        patient = library("published_map").Server(session, url, 60, clock=lambda: now, sleep=sleep)
        for _ in range(5):
            server.starting = 1
            assert patient.get(url)
        assert now == 200
        server.starting = 3
        with pytest.raises(MapError, match="still after 60 seconds"):
            patient.get(url)


@pytest.mark.parametrize(
    ("limits", "expected"), [((5000.0, 20000.0), 10000.0), ((0.0, 40000.0), 20000.0), ((5000.0, 0.0), 10000.0)]
)
def test_a_layer_with_limits_of_scale_is_viewed_within_them(limits: tuple[float, float], expected: float) -> None:
    place = map_checks.Place(1.0, 59.0, 3.0, 61.0, (2.0, 60.0))
    whole, feature, close = map_checks.views([place, place], MapLayer("x", "x", (), *limits))
    assert whole == feature == BoundingBox("CRS:84", 0.9, 58.9, 3.1, 61.1)
    # 256 pixels of 0.28 mm at 60 degrees north, where a degree of longitude has 55.66 km.
    across = (close.max_first - close.min_first) * 55660
    assert across == pytest.approx(256 * 0.00028 * expected, rel=0.001)
    assert (close.min_first + close.max_first) / 2 == pytest.approx(2.0)


def test_a_view_is_neither_a_point_nor_beyond_the_world() -> None:
    point = map_checks.Place(2.0, 47.0, 2.0, 47.0, (2.0, 47.0))
    (view, _) = map_checks.views([point], MapLayer("x", "x", ()))
    assert (view.max_first - view.min_first, view.max_second - view.min_second) == pytest.approx((0.001, 0.001))
    world = map_checks.Place(-180.0, -90.0, 180.0, 90.0, (0.0, 0.0))
    assert map_checks.views([world], MapLayer("x", "x", ()))[0].numbers() == "-180.0,-90.0,180.0,90.0"


def test_places_of_features() -> None:
    features: list[dict[str, Any]] = [
        {"geometry": None},
        {"geometry": {"coordinates": []}},
        {"geometry": {"coordinates": [[[1, 2, 9], [3, 5, 9], [1, 2, 9]], [[2, 3], [2, 4], [2, 3]]]}},
    ]
    assert map_checks.find_places(features) == [map_checks.Place(1, 2, 3, 5, (1, 2))]
    assert len(map_checks.find_places(features * 30)) == 20


@pytest.fixture
def secured(server: MapServer, run_module: Run, tmp_path: Path) -> str:
    """Let the server speak HTTPS with a certificate of its own; give that."""
    paths = {name: str(tmp_path / name) for name in ("certificate", "key")}
    run_module("tls_certificate", **paths, names=["maps.example.org"], owner=os.getuid())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(paths["certificate"], paths["key"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return Path(paths["certificate"]).read_text()


def test_a_server_that_shows_the_certificate_of_the_pi(server: MapServer, check: Run, secured: str) -> None:
    url = server.url.replace("http:", "https:")
    assert check(url=url, certificate=f"{secured}and then its issuer")["verified"]
    assert "not one in PEM" in check(url=url, certificate="x")["msg"]
    assert "one that this host does not trust" in check(url=url)["msg"]


def test_a_server_that_shows_another_certificate(
    server: MapServer, check: Run, secured: str, run_module: Run, tmp_path: Path
) -> None:
    paths = {name: str(tmp_path / f"other-{name}") for name in ("certificate", "key")}
    run_module("tls_certificate", **paths, names=["maps.example.org"], owner=os.getuid())
    other = Path(paths["certificate"]).read_text()
    assert other != secured
    result = check(url=server.url.replace("http:", "https:"), certificate=other)
    assert "Check of the catalogue" in result["msg"] and "another certificate than expected" in result["msg"]


def test_an_address_that_cannot_be_is_a_sentence(check: Run) -> None:
    result = check(url="http://[pi")
    assert result["failed"] and "http://[pi/index.json: " in result["msg"]


@pytest.mark.parametrize(
    ("module", "package"), [("requests", "requests"), ("PIL", "Pillow"), ("defusedxml", "defusedxml")]
)
def test_a_package_that_is_missing_is_named(
    check: Run, library: Any, monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    monkeypatch.delitem(sys.modules, library("published_map").__name__)
    monkeypatch.setitem(sys.modules, module, None)
    assert f"Failed to import the required Python library ({package})" in check()["msg"]


@pytest.mark.parametrize(
    ("capabilities", "said"),
    [
        (b"<WMS_Capabilities xmlns='http://www.opengis.net/wms'/>", "The capabilities name no layer."),
        (
            b"<WMS_Capabilities xmlns='http://www.opengis.net/wms'><Capability><Layer><Name>Map</Name></Layer></Capability>"
            b"</WMS_Capabilities>",
            "name no layer that can be drawn",
        ),
    ],
)
def test_a_map_without_layers_is_said(server: MapServer, check: Run, capabilities: bytes, said: str) -> None:
    server.answers["WMS GetCapabilities"] = capabilities
    assert said in check()["msg"]


def test_how_long_each_layer_takes_is_told_when_asked_for(server: MapServer, check: Run) -> None:
    assert "seconds" not in check()
    server.asked.clear()
    result = check(seconds=True)
    assert result["verified"]
    told = [(view["layer"], view["scale"]) for view in result["seconds"]]
    # One without an extent of its own is looked at in that of the map.
    assert sorted({layer for layer, _ in told}) == ["big towns", "countries", "observations"] and len(told) == 12
    times = [view["seconds"] for view in result["seconds"]]
    assert times == sorted(times, reverse=True) and all(view["problem"] == "" for view in result["seconds"])
    asked = [query for query in server.asked if query.get("LAYERS") == "big towns" and query["WIDTH"] == "1024"]
    assert [query["BBOX"] for query in asked] == [
        "10.0,10.0,210.0,110.0",
        "85.0,47.5,135.0,72.5",
        "103.75,56.875,116.25,63.125",
        "108.4375,59.21875,111.5625,60.78125",
    ]
    assert result["checks"][-2]["check"] == "seconds" and "views of single layers" in result["checks"][-2]["detail"]


def test_that_a_layer_has_no_picture_at_some_scale_is_told_with_its_seconds(
    server: MapServer, check: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = [map_checks.TimedView(f"{server.url}/nowhere", 25000)]
    monkeypatch.setattr(map_checks, "timed_views", lambda _, layer: views if layer.name == "big towns" else [])
    result = check(seconds=True)
    assert result["verified"]
    (told,) = result["seconds"]
    assert (told["layer"], told["scale"]) == ("big towns", 25000) and "HTTP 404: no such map" in told["problem"]
    monkeypatch.setattr(map_checks, "timed_views", lambda *_: [])
    assert check(seconds=True)["checks"][-2]["detail"] == "0 views of single layers"


@pytest.mark.parametrize(
    ("crs", "numbers", "scale"),
    [
        ("EPSG:3857", (0.0, 0.0, 286.72, 100.0), 1000),
        ("EPSG:3857", (0.0, 0.0, 123456.0, 1.0), 430000),
        # The latitude comes first there.
        ("EPSG:4326", (0.0, 0.0, 1.0, 10.0), 3900000),
        ("CRS:84", (0.0, 0.0, 10.0, 1.0), 3900000),
        ("EPSG:2154", (0.0, 0.0, 0.001, 0.001), 1),
    ],
)
def test_the_scale_of_a_view_is_told_in_two_figures(
    crs: str, numbers: tuple[float, float, float, float], scale: int
) -> None:
    layer = MapLayer("a", "a", (BoundingBox(crs, *numbers),))
    first, *others = map_checks.timed_views("http://pi/", layer)
    assert first.scale == scale
    assert [view.scale for view in others] == sorted((view.scale for view in others), reverse=True)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://pi:80", "http://pi"),
        ("http://127.0.0.1:80/", "http://127.0.0.1"),
        ("https://[fe80::80]:443/maps/", "https://[fe80::80]/maps"),
        ("http://[fe80::80]/", "http://[fe80::80]"),
        ("http://pi:8080", "http://pi:8080"),
        ("http://pi:443/", "http://pi:443"),
        ("https://pi:80", "https://pi:80"),
        ("http://pi/a:80", "http://pi/a:80"),
        ("http://[pi", "http://[pi"),
    ],
)
def test_links_do_not_name_the_usual_port(url: str, address: str) -> None:
    assert map_checks.server_address(url) == address
