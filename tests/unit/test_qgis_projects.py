"""Projects are checked on the laptop: each thing that would not work on a Pi is told, with its layer and a remedy."""

from __future__ import annotations

import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.projects.names import lizmap_shows
from ansible.module_utils.poppyfield.projects.qgis_project import describe, parse_project
from ansible.module_utils.poppyfield.projects.qgis_source import Kind, is_absolute, read_connection, read_source

from tests.images.projects import RASTERS, VECTORS, Layer, qgs
from workshop.demo.sample import make_lizmap_settings

Run = Callable[..., dict[str, Any]]
Found = Callable[..., list[dict[str, Any]]]
MEADOW = Layer("./meadow.geojson")
PASSWORD = "poppies-in-june"
SERVICE = (
    "service='poppyfield' key='id' estimatedmetadata=true srid=4326 type=Polygon table=\"public\".\"meadow\" (geom)"
)


@pytest.fixture
def check(run_module: Run, tmp_path: Path) -> Run:
    """Check a folder with these files, the map page's unless told otherwise."""

    def run(
        files: dict[str, str | bytes], web_client: str = "none", basemaps: tuple[str, ...] = (), **given: Any
    ) -> dict[str, Any]:
        for name, content in files.items():
            path = tmp_path / "maps" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        repository = {"repository": "fields", "folder": str(tmp_path / "maps"), **given}
        expected = {"qgis_server": "3.40", "web_client": web_client, "basemaps": list(basemaps)}
        return run_module("qgis_projects", repositories=[repository], **expected)

    return run


@pytest.fixture
def check_layer(check: Run) -> Found:
    """Check a project with one layer beside a file meadow.geojson; give what is said of it."""

    def run(layer: Layer, *names: str) -> list[dict[str, Any]]:
        result = check({"map.qgs": qgs([layer]), "meadow.geojson": "{}", **dict.fromkeys(names, "x")})
        found: list[dict[str, Any]] = result["findings"]
        refused = [finding for finding in found if finding["refuses"]]
        assert bool(result.get("failed")) == bool(refused)
        for finding in refused:
            assert f"fields/map.qgs, layer '{layer.name}': {finding['problem']} {finding['remedy']}" in result["msg"]
            assert finding["remedy"]
        return found

    return run


def test_a_good_project_is_said_nothing_of(check: Run) -> None:
    result = check({"map.qgs": qgs([MEADOW]), "meadow.geojson": "{}"})
    assert result == {**result, "changed": False, "projects": ["fields/map.qgs"], "findings": []}
    assert not result.get("failed")


# Layers --------------------------------------------------------------------------------------------------------------

# Those of MDAL; names as QGIS writes them.
MESH_DRIVERS = (
    *("2DM", "XMDF", "DAT", "BINARY_DAT", "ASCII_DAT", "GRIB", "NETCDF", "SELAFIN", "Ugrid", "FLO2D", "HEC2D", "SWW"),
    *("TUFLOWFV", "XDMF", "3Di", "PLY", "ESRI_TIN", "XMS_TIN", "H2i", "MIKE21", "CF"),
)
LOCAL_TILES = (
    "file:./data/%7Bz%7D/%7Bx%7D/%7By%7D.png",
    "./data/%7Bz%7D/%7Bx%7D/%7By%7D.png",
    "file:./data/tile-%7Bz%7D-%7Bx%7D-%7B-y%7D.png",
    "file:%7Bz%7D/%7Bx%7D/%7By%7D.png",
)
GOOD = [
    Layer("meadow.geojson"),
    Layer("./data/../meadow.geojson|layername=meadow"),
    Layer("./data/fields.gpkg|layername=a|subset=\"name\" = 'x'"),
    Layer("GPKG:./data/fields.gpkg:relief", "gdal", geometry=""),
    Layer("/vsizip/./data/fields.zip/meadow.shp"),
    Layer("./data/shape.shp"),
    Layer("./data"),
    Layer("file:./data/points.csv?type=csv&delimiter=%3B&xField=x&yField=y&crs=EPSG:4326", "delimitedtext"),
    Layer("dbname='./data/fields.sqlite' table=\"meadow\" (geom) sql=", "spatialite"),
    Layer("type=mbtiles&url=./data/tiles.mbtiles", "mbtilesvectortiles"),
    Layer(SERVICE, "postgres"),
    Layer(SERVICE.replace("key", "password='' key") + " sql=\"host\" = 'elsewhere'", "postgres"),
    Layer("service='poppyfield' mode=2 schema='public' column='rast' table='relief'", "postgresraster", geometry=""),
    Layer("?query=SELECT * FROM meadow", "virtual"),
    Layer("./data/dam.2dm", "mdal"),
    *(Layer(f'{driver}:"./data/dam.2dm"', "mdal") for driver in MESH_DRIVERS),
    Layer('Ugrid:"./data/dam.2dm":mesh2d', "mdal"),
    Layer('"./data/dam.2dm":mesh 1', "mdal"),
    Layer('"./data/dam.2dm"', "mdal"),
    Layer('Ugrid:"./data/dam.2dm":"of the dam"', "mdal"),
    Layer("type=vtpk&url=./data/tiles.mbtiles", "vtpkvectortiles"),
    Layer("type=mbtiles&url=file:./data/tiles.mbtiles", "wms"),
    *(
        Layer(f"type=xyz&url={url}&zmax=19&zmin=0", provider)
        for url in LOCAL_TILES
        for provider in ("wms", "vectortile")
    ),
    Layer("./data/tiles.mbtiles", "copc"),
    Layer("url=file:./data/tiles.mbtiles", "cesiumtiles"),
]
BESIDE = (
    "dam.2dm",
    "fields.gpkg",
    "fields.zip",
    "shape.shp",
    "shape.dbf",
    "shape.SHX",
    "points.csv",
    "fields.sqlite",
    "tiles.mbtiles",
)


@pytest.mark.parametrize("layer", GOOD, ids=lambda layer: layer.source)
def test_sources_that_a_pi_has_are_good(check_layer: Found, layer: Layer) -> None:
    assert check_layer(layer, *(f"data/{name}" for name in BESIDE)) == []


@pytest.mark.parametrize("name", [*VECTORS, *RASTERS])
def test_formats_that_the_map_server_draws_are_good(run_module: Run, tmp_path: Path, name: str) -> None:
    layer = {**VECTORS, **RASTERS}[name](tmp_path)
    (tmp_path / "map.qgs").write_text(qgs([layer]))
    fields = {"repository": "fields", "folder": str(tmp_path)}
    assert run_module("qgis_projects", repositories=[fields], qgis_server="3.40", web_client="none")["findings"] == []


@pytest.mark.parametrize("web_client", ["none", "archive"])
def test_the_demos_project_is_good(run_module: Run, web_client: str) -> None:
    sample = {"repository": "sample", "folder": str(make_lizmap_settings.PROJECT.parent)}
    done = run_module("qgis_projects", repositories=[sample], qgis_server="3.40", web_client=web_client)
    assert done["findings"] == []


def test_the_demos_settings_for_lizmap_are_those_of_its_project() -> None:
    assert make_lizmap_settings.SETTINGS.read_text("utf-8") == make_lizmap_settings.text()


BAD = [
    ("./other.geojson", "ogr", "other.geojson is not in the project's folder", "Copy the file"),
    ("", "ogr", "path of its file is empty", "Copy the file"),
    (
        "/home/ann/maps/rivers.gpkg|layername=rivers",
        "ogr",
        "/home/ann/maps/rivers.gpkg is a path of the laptop",
        "Copy",
    ),
    (
        "/home/ann/maps/meadow.geojson",
        "ogr",
        "is a path of the laptop",
        "meadow.geojson is in the project's folder already",
    ),
    ("C:/Users/Ann/rivers.shp", "ogr", "C:/Users/Ann/rivers.shp is a path of the laptop", "Copy the file"),
    ("C:\\Users\\Ann\\meadow.geojson", "ogr", "is a path of the laptop", "Save paths to Relative"),
    ("\\\\server\\maps\\rivers.shp", "ogr", "is a path of the laptop", "Copy the file"),
    ("file:///home/ann/points.csv?type=csv", "delimitedtext", "/home/ann/points.csv is a path of the laptop", "Copy"),
    ("file:///C:/maps/points.csv?type=csv", "delimitedtext", "C:/maps/points.csv is a path of the laptop", "Copy"),
    ("/vsizip//home/ann/fields.zip/a.shp", "ogr", "/home/ann/fields.zip is a path of the laptop", "Copy the file"),
    ('NETCDF:"/home/ann/rain.nc":rain', "gdal", "/home/ann/rain.nc is a path of the laptop", "Copy the file"),
    ("../data/rivers.gpkg", "ogr", "lies outside of the project's folder", "Copy the file"),
    ("./data/../../rivers.gpkg", "ogr", "lies outside of the project's folder", "Copy the file"),
    ("../basemaps/deeper/a.mbtiles", "gdal", "lies outside of the project's folder", "Copy the file"),
    ("../basemaps/a.mbtiles", "gdal", "is no base map that every Pi of this run has", "lizmap_basemaps"),
    (
        "./Meadow.GeoJSON",
        "ogr",
        "is called meadow.geojson, not ./Meadow.GeoJSON",
        "Rename meadow.geojson to Meadow.GeoJSON",
    ),
    ('2DM:"./dam.2dm"', "mdal", "./dam.2dm is not in the project's folder", "Copy the file"),
    ('Ugrid:"./dam.nc":mesh2d', "mdal", "./dam.nc is not in the project's folder", "Copy the file"),
    ('SELAFIN:"C:/maps/dam.slf"', "mdal", "C:/maps/dam.slf is a path of the laptop", "Copy the file"),
    ('"../dam.nc"', "mdal", "../dam.nc lies outside of the project's folder", "Copy the file"),
    ("1 0 0 0", "mesh_memory", "temporary scratch layer", "Make Permanent"),
    (
        "type=xyz&url=file:///home/ann/tiles/%7Bz%7D/%7Bx%7D/%7By%7D.png",
        "wms",
        "its folder of tiles /home/ann/tiles is a path of the laptop",
        "Copy the folder of tiles",
    ),
    (
        "type=xyz&url=file:///C:/ann/data/%7Bz%7D/%7Bx%7D/%7By%7D.png",
        "wms",
        "its folder of tiles C:/ann/data is a path of the laptop",
        "data is in the project's folder already",
    ),
    (
        "type=xyz&url=file:./my%2520tiles/%257Bz%257D/%257Bx%257D.pbf",
        "vectortile",
        "its folder of tiles ./my tiles is not in the project's folder",
        "Copy the folder of tiles",
    ),
    ("localized:world.gpkg", "ogr", "folder of localized data", "Copy the file"),
    ("inbuilt:/data/world_map.gpkg|layername=countries", "ogr", "comes with QGIS Desktop only", "Copy the file"),
    (
        "./half.shp",
        "ogr",
        "half.shp is a shapefile, which has several parts, and .dbf and .shx are missing",
        "Copy all",
    ),
    ("Point?crs=EPSG:4326&field=name:string", "memory", "temporary scratch layer", "Make Permanent"),
    (
        "dbname='gis' host=localhost port=5432 key='id' table=\"a\" (geom)",
        "postgres",
        "connects to localhost",
        "Service",
    ),
    ("dbname='gis' key='id' table=\"a\" (geom)", "postgres", "connects to this laptop's own PostgreSQL", "Service"),
    ("service='office' key='id' table=\"a\" (geom)", "postgres", "service 'office', but a Pi knows only", "Service"),
    ("service='poppyfield' user='ann' table=\"a\" (geom)", "postgres", "it gives user of its own", "Service"),
    ("service='poppyfield' authcfg=a1b2c3d table=\"a\" (geom)", "postgres", "stored in this laptop's QGIS", "Service"),
    ("PG:dbname='gis' host='db.example' tables=a", "ogr", "connects to db.example", "Service"),
    ("MYSQL:gis,host=h,tables=a", "ogr", "another kind (MYSQL)", "Export the layer"),
    ("dbname='x' host=h user='u' table=\"a\"", "mssql", "another kind (SQL Server)", "Export the layer"),
    ("crs=EPSG:3857&format&url=https://maps.example/wms&layers=a", "wms", "from a server (maps.example)", "Export"),
    (" url='https://maps.example/wfs' typename='a' version='auto'", "WFS", "from a server (maps.example)", "Export"),
    ("https://maps.example/a.geojson", "ogr", "from a server (maps.example)", "Export"),
    ("/vsicurl/https://maps.example/a.tif", "gdal", "from a server (maps.example)", "Export"),
]


@pytest.mark.parametrize(("source", "provider", "problem", "remedy"), BAD, ids=[entry[0] for entry in BAD])
def test_sources_that_a_pi_does_not_have_are_refused(
    check_layer: Found, source: str, provider: str, problem: str, remedy: str
) -> None:
    (found,) = check_layer(Layer(source, provider, "Rivers"), "half.shp", "data/x")
    assert problem in found["problem"] and remedy in found["remedy"] and found["refuses"]
    assert found["layer"] == "Rivers"


@pytest.mark.parametrize(
    ("source", "provider"),
    [
        ("../basemaps/relief.mbtiles", "gdal"),
        ("./../basemaps/relief.mbtiles", "gdal"),
        ("..\\basemaps\\relief.mbtiles", "gdal"),
        ("type=mbtiles&url=file:../basemaps/relief.mbtiles", "wms"),
    ],
)
def test_a_base_map_that_every_pi_has_is_good(check: Run, source: str, provider: str) -> None:
    project = {"map.qgs": qgs([Layer(source, provider, "Relief", geometry="")])}
    assert check(project, basemaps=("relief.mbtiles",))["findings"] == []
    (refused,) = check(project, basemaps=("other.mbtiles",))["findings"]
    assert refused["refuses"] and refused["layer"] == "Relief"


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "forêt/prés.shp") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(("on_disk", "wanted"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_name_that_only_looks_the_same_is_told_as_that(check: Run, on_disk: str, wanted: str) -> None:
    style = f'<layer class="SvgMarker"><prop k="name" v="./{wanted}"/></layer>'
    project = qgs([Layer(f"./{wanted}", name="Meadow", style=style), Layer(f"./{on_disk}", name="Other")])
    parts = {on_disk.replace(".shp", part): "x" for part in (".shp", ".dbf", ".shx")}
    layer, picture = check({"map.qgs": project, **parts})["findings"]
    assert layer["layer"] == picture["layer"] == "Meadow" and layer["refuses"] and not picture["refuses"]
    assert layer["problem"].startswith(f"its file ./{wanted} is in the project's folder, but its name is written there")
    assert picture["problem"].startswith(f"the picture ./{wanted} is in the project's folder, but its name")
    assert "one without accents, foret/pres.shp," in layer["remedy"]


def test_a_part_of_a_shapefile_and_a_folder_may_only_look_the_same(check: Run) -> None:
    composed, decomposed = (unicodedata.normalize(form, "prés") for form in ("NFC", "NFD"))
    tiles = f"type=xyz&url=file:./{decomposed}/%7Bz%7D/%7Bx%7D/%7By%7D.png"
    layers = [Layer(f"./{composed}.shp"), Layer(tiles, "wms", "tiles", geometry="")]
    names = (f"{composed}.shp", f"{composed}.shx", f"{decomposed}.dbf", f"{composed}/1/1/1.png")
    part, folder = check({"map.qgs": qgs(layers), **dict.fromkeys(names, "x")})["findings"]
    assert part["problem"].startswith(f"the part .dbf of {composed}.shp is in") and "pres.dbf" in part["remedy"]
    assert folder["problem"].startswith(f"its folder of tiles ./{decomposed} is in")


@pytest.mark.parametrize(
    "source",
    [
        "type=xyz&url=https://tile.example/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=19&zmin=0",
        "type=xyz&url=https://ann:poppies@tile.example/%7Bz%7D.png",
    ],
)
def test_tiles_of_the_internet_are_warned_of(check_layer: Found, source: str) -> None:
    found = [finding for finding in check_layer(Layer(source, "wms")) if not finding["refuses"]]
    assert [finding["problem"].split(",")[0] for finding in found] == [
        "its tiles come from the internet (tile.example)",
        "its map is blank where the Pi has no internet: all that it draws comes from there ('meadow').",
    ]


WITH_PASSWORD = [
    (f"service='poppyfield' password='{PASSWORD}' table=\"a\"", "postgres"),
    (f"dbname='gis' host=localhost user='ann' password={PASSWORD} table=\"a\"", "postgres"),
    (f"PG:dbname=gis password={PASSWORD}", "ogr"),
    (f"type=xyz&url=https://ann:{PASSWORD}@tile.example/", "wms"),
    (f"username=ann&password={PASSWORD}&url=https://maps.example/wms", "wms"),
    (f"layers=a&url=https://maps.example/wms?user%3Dann%26password%3D{PASSWORD}", "wms"),
    (f" url='https://maps.example/wfs' username='ann' password='{PASSWORD}' typename='a'", "WFS"),
    (f"http-header:authorization=Basic%20{PASSWORD}&url=https://maps.example/wms", "wms"),
    (f"dbname='gis' host=h user='ann' password='{PASSWORD}' table=\"a\"", "mssql"),
    (f"MSSQL:server=h;uid=ann;pwd={PASSWORD};", "ogr"),
    (f"MYSQL:gis,user=ann,password={PASSWORD},tables=a", "ogr"),
    (f"OCI:ann/{PASSWORD}@db:a", "ogr"),
    (f"<GDAL_WMS><UserPwd>ann:{PASSWORD}</UserPwd></GDAL_WMS>", "gdal"),
    (f"?layer=postgres:dbname%3D'gis'%20password%3D'{PASSWORD}':a:UTF-8&query=SELECT%201", "virtual"),
]
SERVER_REMEDY = "Take the login out of the layer's address"


@pytest.mark.parametrize(("source", "provider"), WITH_PASSWORD)
def test_a_password_is_refused_and_never_repeated(check: Run, source: str, provider: str) -> None:
    result = check({"map.qgs": qgs([Layer(source, provider, "Rivers")])})
    problems = [finding["problem"] for finding in result["findings"] if finding["refuses"]]
    assert problems[0].startswith("there is a password in it")
    assert PASSWORD not in json.dumps(result)


@pytest.mark.parametrize(
    ("source", "provider", "remedy"),
    [
        (*WITH_PASSWORD[0], "make a PostgreSQL connection whose Service is poppyfield"),
        (*WITH_PASSWORD[3], SERVER_REMEDY),
        (*WITH_PASSWORD[5], SERVER_REMEDY),
        (*WITH_PASSWORD[8], "load it into the Pi's PostGIS"),
    ],
)
def test_the_remedy_of_a_password_is_that_of_its_source(check: Run, source: str, provider: str, remedy: str) -> None:
    first = check({"map.qgs": qgs([Layer(source, provider, "Rivers")])})["findings"][0]
    assert first["problem"].startswith("there is a password in it") and remedy in first["remedy"]


NO_PASSWORD = [
    """<actionsetting action='https://e.example/?password=[% "code" %]'/>""",
    """<actionsetting action='https://[% "user" %]:[% "code" %]@e.example/'/>""",
    """<default expression="'https://e.example/?password=' || &quot;code&quot;"/>""",
    """<expressionfield expression="concat('?password=', code)"/>""",
    """<rule filter="user=1 and password='x'"/>""",
    """<mapTip>&lt;a href="?password=[%  concat(1, 2) %]"&gt;</mapTip>""",
    """<editforminitcode>call(password=password)</editforminitcode>""",
    """<Option name="FilterExpression" value="password='x'"/>""",
    """<Option name="LayerSource" value="service='poppyfield' password='' table=&quot;a&quot;"/>""",
]


@pytest.mark.parametrize("text", NO_PASSWORD)
def test_what_an_expression_gives_is_no_password(check: Run, text: str) -> None:
    project = qgs([Layer("./meadow.geojson", style=text)]).replace("<Layouts>", f"<Layouts>{text}")
    assert check({"map.qgs": project, "meadow.geojson": "{}"})["findings"] == []


@pytest.mark.parametrize(
    "layer",
    [
        Layer(f"{SERVICE} sql=password='x'", "postgres"),
        Layer("./meadow.geojson|subset=password='x'"),
        Layer("file:./meadow.geojson?type=csv&subset=password%3D'x'&crs=EPSG:4326", "delimitedtext"),
        Layer("?query=SELECT%20*%20FROM%20meadow%20WHERE%20password%3D'x'", "virtual"),
    ],
)
def test_a_filter_by_a_column_that_is_called_password_is_none(check_layer: Found, layer: Layer) -> None:
    assert check_layer(layer) == []


ELSEWHERE = [
    (f"""<Option name="LayerSource" value="dbname='gis' password='{PASSWORD}'"/>""", "value relation", "relation"),
    (f"""<relation dataSource="service='a' password={PASSWORD}"/>""", "value relation", "a relation"),
    (f"""<actionsetting action="https://e.example/?user=ann&amp;password={PASSWORD}"/>""", "an action", "an action"),
    (f"""<mapTip>https://ann:{PASSWORD}@e.example/</mapTip>""", "a map tip", "a map tip"),
    (f"""<code>connect("dbname=gis user=ann password={PASSWORD}")</code>""", "code", "a macro"),
    (f"""<code>connect(dbname="gis", password="{PASSWORD}")</code>""", "code", "a macro"),
]


@pytest.mark.parametrize(("text", "in_layer", "outside"), ELSEWHERE)
def test_a_password_is_found_wherever_it_is(check: Run, text: str, in_layer: str, outside: str) -> None:
    project = qgs([Layer("./meadow.geojson", style=text)]).replace("<Layouts>", f"<Layouts>{text}")
    result = check({"map.qgs": project, "meadow.geojson": "{}"})
    first, second = result["findings"]
    assert "outside of its layers" in first["problem"] and first["layer"] == "" and outside in first["remedy"]
    assert second["problem"].startswith("there is a password in it") and second["layer"] == "meadow"
    assert in_layer in second["remedy"] and first["refuses"] and second["refuses"]
    assert PASSWORD not in json.dumps(result)


def test_a_password_outside_of_the_layers_is_found_too(check: Run) -> None:
    project = qgs([MEADOW]).replace(
        "<layer-tree-layer ", f"<layer-tree-layer source=\"dbname='gis' password='{PASSWORD}'\" "
    )
    result = check({"map.qgs": project, "meadow.geojson": "{}"})
    (found,) = result["findings"]
    assert "outside of its layers" in found["problem"] and found["layer"] == ""
    assert PASSWORD not in json.dumps(result)


def test_a_layer_that_is_embedded_needs_its_project(check_layer: Found, check: Run) -> None:
    embedded = '<maplayer embedded="1" project="./base/roads.qgs" id="roads_1"/>'
    project = qgs([MEADOW]).replace("<projectlayers>", f"<projectlayers>{embedded}")
    files = {"map.qgs": project, "meadow.geojson": "{}"}
    (found,) = check(files)["findings"]
    assert "the project that it is embedded from ./base/roads.qgs is not in" in found["problem"]
    assert check({**files, "base/roads.qgs": qgs([MEADOW])})["findings"] == []


@pytest.mark.parametrize("path", ["/home/ann/tree.svg", "../tree.svg", "./no.svg", "C:/svg/tree.svg"])
def test_pictures_that_the_pi_will_not_have_are_warned_of(
    check: Run, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    symbol = f'<layer class="SvgMarker"><Option type="Map"><Option name="name" value="{path}"/></Option></layer>'
    item = f'<Layouts><Layout><LayoutItem file="{path}"/></Layout></Layouts>'
    project = qgs([Layer("./meadow.geojson", style=symbol)]).replace("<Layouts></Layouts>", item)
    result = check({"map.qgs": project, "meadow.geojson": "{}"})
    assert [(finding["layer"], finding["refuses"]) for finding in result["findings"]] == [
        ("meadow", False),
        ("", False),
    ]
    assert all(f"the picture {path} will not be on the Pi" in finding["problem"] for finding in result["findings"])
    # Here the module is on the controller, and prints its warnings.
    assert f"layer 'meadow': the picture {path}" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("path", ["./tree.svg", "trees/tree.svg", "base64:PHN2Zz4=", "https://example.org/a.svg"])
def test_pictures_that_the_pi_has_are_good(check: Run, path: str) -> None:
    symbol = f'<layer class="SvgMarker"><prop k="name" v="{path}"/></layer>'
    project = qgs([Layer("./meadow.geojson", style=symbol)])
    assert check({"map.qgs": project, "meadow.geojson": "{}", "tree.svg": "x"})["findings"] == []


def named(name: str, short: str = "") -> str:
    """Give a project with a layer of this name, and a short name if there is one."""
    project = qgs([Layer("./meadow.geojson", name=name)])
    return project.replace(f"<shortname>{name}</shortname>", f"<shortname>{short}</shortname>" if short else "")


def test_a_layer_with_a_comma_in_its_name_is_told_with_the_remedy(check: Run) -> None:
    def problems(project: str) -> list[tuple[str, bool]]:
        found = check({"map.qgs": project, "meadow.geojson": "{}"})["findings"]
        assert all("give it a short name without a comma" in finding["remedy"] for finding in found)
        return [(finding["layer"], finding["refuses"]) for finding in found]

    project = named("Forêt, parcelles")
    assert problems(project) == [("Forêt, parcelles", False)]
    assert problems(named("Forêt, parcelles", "foret")) == []
    by_id = "<properties><WMSUseLayerIDs type='bool'>true</WMSUseLayerIDs>"
    assert problems(project.replace("<properties>", by_id)) == []
    excluded = "<properties><WMSRestrictedLayers><value>Forêt, parcelles</value></WMSRestrictedLayers>"
    assert problems(project.replace("<properties>", excluded)) == []
    assert problems(project.replace('geometry="Polygon"', 'geometry="No geometry"')) == []
    assert problems(named("a:b &amp; c + d % e / f # g")) == []


# Projects ------------------------------------------------------------------------------------------------------------


def zipped(*projects: str) -> bytes:
    """Give a .qgz that holds these projects."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, project in enumerate(projects):
            archive.writestr(f"{number}.qgs", project)
        archive.writestr("map.qgd", "styles")
    return content.getvalue()


def damaged(content: bytes) -> bytes:
    """Give a .qgz whose first file cannot be unpacked."""
    begins = content.index(b".qgs") + 4
    return content[:begins] + b"\xff" * 20 + content[begins + 20 :]


def test_a_zipped_project_is_read_as_well(check: Run) -> None:
    (found,) = check({"map.qgz": zipped(qgs([MEADOW]))})["findings"]
    assert (found["project"], found["layer"]) == ("map.qgz", "meadow")


NO_PROJECTS = [
    ("map.qgs", "", "it is no XML"),
    ("map.qgs", qgs([MEADOW])[:900], "it is no XML"),
    ("map.qgs", "<html/>", "a file of another kind (<html>)"),
    ("map.qgs", "<qgis/>", "it does not tell which QGIS saved it"),
    ("map.qgs", '<!DOCTYPE q [<!ENTITY a "b">]><qgis version="3.40.0">&a;</qgis>', "it is no XML"),
    ("map.qgz", qgs([MEADOW]), "it is no zip file"),
    ("map.qgz", damaged(zipped(qgs([MEADOW]))), "it is no zip file"),
    ("map.qgs", "<?xml version='1.0' encoding='utf-7'?><qgis/>", "it is no XML"),
    ("map.qgz", zipped(), "it holds 0 .qgs files"),
    ("map.qgz", zipped(qgs([MEADOW]), qgs([MEADOW])), "it holds 2 .qgs files"),
]


@pytest.mark.parametrize(("name", "content", "problem"), NO_PROJECTS)
def test_what_is_no_project_is_refused(check: Run, name: str, content: str | bytes, problem: str) -> None:
    result = check({name: content})
    assert result["failed"] and result["msg"].startswith("Nothing was changed.")
    (found,) = result["findings"]
    assert found["problem"].startswith("this is not a QGIS project: ") and problem in found["problem"]


def test_a_project_that_unpacks_to_too_much_is_refused(check: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    content = zipped(qgs([MEADOW]) + " " * 1024**2)
    monkeypatch.setattr("ansible.module_utils.poppyfield.projects.qgis_project.LARGEST_PROJECT", len(content))
    assert "unpacks to more than" in check({"map.qgz": content})["msg"]


@pytest.mark.parametrize(
    ("version", "refused"),
    [("3.40.99-Bratislava", False), ("3.4.1-Madeira", False), ("2.18.0", False), ("3.42.0-M", True), ("4.0.0", True)],
)
def test_a_newer_qgis_is_refused_unless_accepted(check: Run, version: str, refused: bool) -> None:
    files = {"map.qgs": qgs([MEADOW]).replace("3.40.6-Bratislava", version), "meadow.geojson": "{}"}
    result = check(files)
    assert bool(result.get("failed")) == refused
    if refused:
        assert "the Pi's QGIS Server is 3.40" in result["msg"] and "accept_newer_qgis: true" in result["msg"]
        accepted = check(files, accept_newer_qgis=True)
        assert not accepted.get("failed") and not accepted["findings"][0]["refuses"]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("map.qgs", "Map.qgs"), "but for upper and lower case both have the same address"),
        (("map.qgs", "map.qgz"), "there is also map.qgs, and both have the same address"),
        (("a&b.qgs",), "characters that an address cannot have"),
        (("map.QGS",), "ends in capital letters"),
        (("maps/a.qgs",), "has no QGIS project"),
        (("readme.txt",), "has no QGIS project"),
    ],
)
def test_names_that_cannot_be_are_refused(check: Run, names: tuple[str, ...], problem: str) -> None:
    project = {name: zipped(qgs([MEADOW])) if name.endswith("z") else qgs([MEADOW]) for name in names}
    result = check({**project, "meadow.geojson": "{}"})
    assert len(result["findings"]) == len(names)
    assert problem in result["msg"]


def test_a_project_in_a_subfolder_is_pointed_to(check: Run) -> None:
    assert "in a subfolder, maps/a.qgs: name that folder instead" in check({"maps/a.qgs": qgs([MEADOW])})["msg"]


def test_backups_and_hidden_files_are_no_projects(check: Run) -> None:
    files = {"map.qgs": qgs([MEADOW]), "map.qgs~": "x", ".map.qgs": "x", ".git/a.qgs": "x", "meadow.geojson": "{}"}
    assert check(files)["projects"] == ["fields/map.qgs"]


@pytest.mark.parametrize(("content", "refused"), [("x", True), ("", False)])
def test_a_database_that_is_open_is_refused(check: Run, content: str, refused: bool) -> None:
    project = qgs([Layer("./a.gpkg|layername=a")])
    result = check({"map.qgs": project, "a.gpkg": "x", "a.gpkg-wal": content, "a.gpkg-shm": "x"})
    assert bool(result.get("failed")) == refused
    assert not refused or "a.gpkg is open in a program" in result["msg"]


def test_every_problem_is_told_at_once(check: Run) -> None:
    layers = [Layer("/home/a.shp", name="one"), Layer("./b.shp", name="two")]
    result = check({"map.qgs": qgs(layers), "other.qgs": "<html/>"})
    assert len(result["msg"].splitlines()) == len(result["findings"]) == 3


def test_layers_with_the_same_trouble_are_told_of_together(check: Run) -> None:
    layers = [Layer("dbname='gis' table=\"a\" (geom)", "postgres", name) for name in ("one", "two")]
    result = check({"map.qgs": qgs([*layers, Layer("./c.shp", name="three")])})
    assert [finding["layer"] for finding in result["findings"]] == ["one", "two", "three"]
    first, second = result["msg"].removeprefix("Nothing was changed. lizmap_projects: ").splitlines()
    assert first.startswith("fields/map.qgs, layers 'one', 'two': it connects to")
    assert second.startswith("fields/map.qgs, layer 'three': its file ./c.shp")


# Lizmap --------------------------------------------------------------------------------------------------------------


def cfg(**changes: Any) -> str:
    """Give what the Lizmap plugin writes, as far as it is read here."""
    layers = {"meadow": {"id": "layer_id_meadow", "type": "layer"}, "Base": {"id": "Base", "type": "group"}}
    return json.dumps({"layers": layers, "editionLayers": {}, **changes})


@pytest.mark.parametrize(
    ("content", "problem", "refused"),
    [
        (cfg(), "", False),
        (None, "has no .cfg beside it", False),
        ("{", "not what the Lizmap plugin writes", True),
        ("[]", "not what the Lizmap plugin writes", True),
        (cfg(layers={"old": {"id": "old_1", "type": "layer"}}), "names layers that are gone (old)", False),
        (cfg(editionLayers={"meadow": {"layerId": "layer_id_meadow"}}), "'meadow' is to be edited", False),
    ],
)
def test_lizmap_needs_a_cfg_that_fits(check: Run, content: str | None, problem: str, refused: bool) -> None:
    files = {"map.qgs": qgs([MEADOW]), "meadow.geojson": "{}", **({"map.qgs.cfg": content} if content else {})}
    result = check(files, web_client="archive")
    assert bool(result.get("failed")) == refused
    assert [problem in finding["problem"] for finding in result["findings"]] == ([True] if problem else [])
    # The map page has no use for it.
    assert check(files)["findings"] == []


@pytest.mark.parametrize("source", ["./dam.2dm", '2DM:"./dam.2dm"', '"./dam.2dm":mesh'])
def test_lizmap_shows_no_project_with_a_mesh(check: Run, source: str) -> None:
    files = {"map.qgs": qgs([Layer(source, "mdal", "Dam"), MEADOW]), "meadow.geojson": "{}", "dam.2dm": "x"}
    listed = {name: {"id": f"layer_id_{name}", "type": "layer"} for name in ("Dam", "meadow")}
    files["map.qgs.cfg"] = cfg(layers=listed)
    (found,) = check(files, web_client="archive")["findings"]
    assert found["problem"].startswith("Lizmap shows no project that has a layer with a mesh") and found["refuses"]
    assert found["layer"] == "Dam" and "Rasterize mesh dataset" in found["remedy"]
    assert check(files)["findings"] == []


def test_the_datasets_of_a_mesh_are_files_too(check: Run) -> None:
    style = '<extra-datasets><uri>./depth.dat</uri><uri>XMDF:"./speed.xmdf"</uri></extra-datasets>'
    files = {"map.qgs": qgs([Layer("./dam.2dm", "mdal", style=style)]), "dam.2dm": "x", "depth.dat": "x"}
    (found,) = check(files)["findings"]
    assert found["problem"] == "the file of one of its datasets ./speed.xmdf is not in the project's folder."
    assert not found["refuses"]


TAKEN = ("été", "ete", "ete_2")
NAMES_FOR_LIZMAP = [
    ("été", "ete"),
    ("e\u0301te\u0301", "ete"),
    ("a,b", "a_b"),
    ("x;y", "x_y"),
    ("carte d'été (v2).1", "carte d_ete_v2.1"),
    ("a&b", "a_b"),
    ("地图", "map"),
    ("plan №1", "plan No1"),
]


@pytest.mark.parametrize(("name", "good"), NAMES_FOR_LIZMAP)
def test_a_name_that_lizmap_cannot_show_is_told_with_one_that_works(check: Run, name: str, good: str) -> None:
    files = {f"{name}.qgs": qgs([MEADOW]), f"{name}.qgs.cfg": cfg(), "meadow.geojson": "{}"}
    result = check(files, web_client="archive")
    (found,) = result["findings"]
    assert found["problem"].startswith("Lizmap shows no project of this name") and found["refuses"]
    assert f"save it as {good}.qgs " in found["remedy"] and result["failed"]
    assert lizmap_shows(good)
    # The map page shows it, but for what no address can have.
    assert bool(check(files).get("failed")) == ("&" in name)


def test_the_name_that_works_is_not_that_of_another_project(check: Run) -> None:
    project = {
        f"{name}.qgs{ending}": qgs([MEADOW]) if not ending else cfg() for name in TAKEN for ending in ("", ".cfg")
    }
    (found,) = check({**project, "meadow.geojson": "{}"}, web_client="archive")["findings"]
    assert "save it as ete_3.qgs " in found["remedy"]


@pytest.mark.parametrize("name", ["map", "Map_2.1", "my map - 2", "a.b", "2026"])
def test_names_that_lizmap_shows_are_good(check: Run, name: str) -> None:
    files = {f"{name}.qgs": qgs([MEADOW]), f"{name}.qgs.cfg": cfg(), "meadow.geojson": "{}"}
    assert check(files, web_client="archive")["findings"] == []


def test_a_cfg_whose_name_only_looks_the_same_is_told_as_that(check: Run) -> None:
    composed, decomposed = (unicodedata.normalize(form, "pre\u0301s.qgs") for form in ("NFC", "NFD"))
    files = {composed: qgs([MEADOW]), f"{decomposed}.cfg": cfg(), "meadow.geojson": "{}"}
    problems = [finding["problem"] for finding in check(files, web_client="archive")["findings"]]
    assert any(problem.startswith(f"its .cfg {composed}.cfg is in the project's folder, but") for problem in problems)
    assert not any("has no .cfg" in problem for problem in problems)


OSM = Layer("type=xyz&url=https://tile.example/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=19", "wms", "osm", geometry="")
ONLY_OSM = "its map opens blank where the Pi has no internet: only 'osm' is ticked, which comes from there."


def opening(check: Run, project: str, **given: Any) -> list[str]:
    """Give what is said of a project's map when it opens."""
    files = {"map.qgs": project, "meadow.geojson": "{}", "base.qgs": qgs([MEADOW]), "people.gpkg": "x"}
    configuration = {f"{name}.cfg": cfg(layers=layers) for name, layers in given.pop("layers", {}).items()}
    found = check({**files, **configuration}, **given)["findings"]
    assert not any(finding["refuses"] for finding in found if finding["project"] == "map.qgs"), found
    return [finding["problem"] for finding in found if "where the Pi has no internet: " in finding["problem"]]


def unticked(project: str, tag: str, name: str) -> str:
    changed = re.sub(rf'(<{tag} [^>]*name="{name}")( checked="Qt::Checked")?', r'\1 checked="Qt::Unchecked"', project)
    assert changed != project
    return changed


def test_a_map_that_opens_with_tiles_of_the_internet_only_is_told(check: Run) -> None:
    project = qgs([OSM, MEADOW])
    assert opening(check, project) == []
    assert opening(check, unticked(project, "layer-tree-layer", "meadow")) == [ONLY_OSM]
    assert opening(check, unticked(project, "layer-tree-layer", "osm")) == []
    nothing = unticked(unticked(project, "layer-tree-layer", "osm"), "layer-tree-layer", "meadow")
    assert opening(check, nothing) == []


def test_a_layer_shows_with_the_groups_that_it_is_in(check: Run) -> None:
    inner = re.compile("(<layer-tree-layer [^>]*meadow[^>]*/>)")
    group = r'<layer-tree-group name="A"><layer-tree-group name="B">\1</layer-tree-group></layer-tree-group>'
    project = inner.sub(group, qgs([OSM, MEADOW]))
    assert opening(check, project) == []
    assert opening(check, unticked(project, "layer-tree-group", "A")) == [ONLY_OSM]
    assert opening(check, unticked(project, "layer-tree-group", "B")) == [ONLY_OSM]


def test_a_table_shows_nothing_and_an_embedded_group_what_is_not_known(check: Run) -> None:
    people = Layer("./people.gpkg", name="people", geometry="No geometry")
    assert opening(check, qgs([OSM, people])) == [
        "its map is blank where the Pi has no internet: all that it draws comes from there ('osm')."
    ]
    assert opening(check, qgs([people])) == []
    embedded = '<layer-tree-group name="Base"><customproperties><property key="embedded_project" value="./base.qgs"/>'
    group = f"<layer-tree-group>{embedded}</customproperties></layer-tree-group>"
    assert opening(check, qgs([OSM, people]).replace("<layer-tree-group>", group, 1)) == []


@pytest.mark.parametrize(("osm", "meadow", "told"), [("True", "False", [ONLY_OSM]), ("False", "True", [])])
def test_lizmap_shows_what_its_configuration_says(check: Run, osm: str, meadow: str, told: list[str]) -> None:
    shown = {"osm": osm, "meadow": meadow}
    layers = {name: {"id": f"layer_id_{name}", "type": "layer", "toggled": value} for name, value in shown.items()}
    assert opening(check, qgs([OSM, MEADOW]), layers={"map.qgs": layers}, web_client="archive") == told
    # The map page goes by QGIS's own list.
    assert opening(check, qgs([OSM, MEADOW]), layers={"map.qgs": layers}) == []


SHOWN_AS_LAYER = {"id": "Base", "type": "layer", "groupAsLayer": "True"}
IN_CFG = {"meadow": {"id": "layer_id_meadow", "type": "layer"}}


def with_group(properties: str, embedded: str = "") -> str:
    """Give a project with a meadow and a group that has these properties."""
    group = f'<layer-tree-group name="Base"><customproperties>{properties}</customproperties></layer-tree-group>'
    project = qgs([MEADOW]).replace("<layer-tree-group>", f"<layer-tree-group>{group}")
    return project.replace("<projectlayers>", f"<projectlayers>{embedded}")


@pytest.mark.parametrize("shown", [SHOWN_AS_LAYER, {"id": "Base", "type": "layer"}])
def test_a_group_that_is_shown_as_a_layer_is_not_gone(check: Run, shown: dict[str, str]) -> None:
    group_layer = '<maplayer type="group"><id>Base_1</id><layername>Base</layername></maplayer>'
    files = {"map.qgs": with_group("", group_layer), "meadow.geojson": "{}"}
    files["map.qgs.cfg"] = cfg(layers={**IN_CFG, "Base": shown})
    (found,) = check(files, web_client="archive")["findings"]
    assert found["layer"] == "Base" and "Render layers as a group" in found["remedy"]
    assert found["problem"] == "Lizmap shows no project that has a group that is drawn as one layer, as this one is."
    # The plugin's own way leaves nothing in the project, and Lizmap knows it.
    files["map.qgs"] = with_group("", "")
    assert check(files, web_client="archive")["findings"] == []


@pytest.mark.parametrize(
    "properties",
    [
        '<property key="embedded" value="1"/><property key="embedded_project" value="./base.qgs"/>',
        '<Option type="Map"><Option name="embedded_project" value="./base.qgs" type="QString"/></Option>',
    ],
)
def test_the_layers_of_an_embedded_group_are_not_gone(check: Run, properties: str) -> None:
    """A project keeps of such a group only the name, and the .cfg lists its layers."""
    base = qgs([Layer("./meadow.geojson", name="roads")])
    files = {"map.qgs": with_group(properties), "base.qgs": base, "meadow.geojson": "{}"}
    roads = {"roads": {"id": "layer_id_roads", "type": "layer"}}
    files["map.qgs.cfg"] = cfg(layers={**IN_CFG, **roads})
    files["base.qgs.cfg"] = cfg(layers=roads)
    assert check(files, web_client="archive")["findings"] == []
    files["map.qgs.cfg"] = cfg(layers={**IN_CFG, **roads, "old": {"id": "old_1", "type": "layer"}})
    (found,) = check(files, web_client="archive")["findings"]
    assert "names layers that are gone (old)." in found["problem"]
    files["map.qgs"] = with_group(properties.replace("./base", "./none"))
    (found,) = check(files, web_client="archive")["findings"]
    assert found["layer"] == "Base" and "embedded from ./none.qgs is not in the project's folder" in found["problem"]


GONE = qgs([Layer("./gone.gpkg")])


def test_a_bad_project_withholds_only_itself(check: Run, capsys: pytest.CaptureFixture[str]) -> None:
    files = {"a.qgs": qgs([MEADOW]), "b.qgs": GONE, "meadow.geojson": "{}"}
    result = check(files)
    assert not result.get("failed") and result["withheld"] == ["fields/b.qgs"]
    assert result["refused"].startswith("fields/b.qgs, layer 'meadow': its file ./gone.gpkg is not in the project's")
    said = " ".join(capsys.readouterr().err.split())
    assert "These projects are withheld, and what is served of them stays: fields/b.qgs." in said


def test_projects_with_the_same_address_are_both_withheld(check: Run) -> None:
    files: dict[str, str | bytes] = {"a.qgs": qgs([MEADOW]), "b.qgs": qgs([MEADOW]), "b.qgz": zipped(qgs([MEADOW]))}
    assert check({**files, "meadow.geojson": "{}"})["withheld"] == ["fields/b.qgs", "fields/b.qgz"]


def test_what_is_wrong_with_a_whole_folder_or_all_projects_stops(check: Run) -> None:
    result = check({"a.qgs": GONE, "b.qgs": GONE})
    assert result["msg"].startswith("Nothing was changed.") and result["withheld"] == []
    result = check({"a.qgs": qgs([MEADOW]), "meadow.geojson": "{}", "x.gpkg": "x", "x.gpkg-wal": "x"})
    assert result["msg"].startswith("Nothing was changed.") and "x.gpkg is open in a program" in result["msg"]


PRIVATE = "<flags><Private>1</Private></flags>"


def test_a_layer_that_the_cfg_does_not_list_is_told(check: Run) -> None:
    layers = [MEADOW, Layer("./meadow.geojson", name="new"), Layer("./meadow.geojson", name="own", style=PRIVATE)]
    files = {"map.qgs": qgs(layers), "meadow.geojson": "{}", "map.qgs.cfg": cfg()}
    (found,) = check(files, web_client="archive")["findings"]
    assert "it does not list new, which Lizmap does not show then" in found["problem"] and not found["refuses"]


def test_what_is_embedded_from_a_project_that_is_refused_is_told_as_that(check: Run) -> None:
    def embedding(parent: str) -> str:
        embedded = f'<maplayer embedded="1" project="./{parent}" id="roads_1"/>'
        tree = '<layer-tree-layer id="roads_1" name="Roads"/>'
        project = qgs([MEADOW]).replace("<projectlayers>", f"<projectlayers>{embedded}")
        return project.replace("<layer-tree-group>", f"<layer-tree-group>{tree}")

    files = {"a.qgs": embedding("base.qgs"), "b.qgs": embedding("a.qgs"), "base.qgs": qgs([MEADOW])}
    assert check({**files, "meadow.geojson": "{}"})["findings"] == []
    found = check({**files, "base.qgs": qgs([Layer("./gone.gpkg")])})["findings"]
    told = {finding["project"]: finding for finding in found if "embedded" in finding["problem"]}
    assert sorted(told) == ["a.qgs", "b.qgs"] and all(finding["layer"] == "Roads" for finding in told.values())
    assert told["a.qgs"]["problem"] == "it is embedded from base.qgs, which is refused itself."
    assert "Mend a.qgs as it is told of that" in told["b.qgs"]["remedy"] and told["b.qgs"]["refuses"]


def test_a_zipped_project_is_unpacked_for_lizmap_and_what_is_lost_is_told(check: Run) -> None:
    files = {"map.qgz": zipped(qgs([MEADOW])), "map.qgs.cfg": cfg(), "meadow.geojson": "{}"}
    (found,) = check(files, web_client="archive")["findings"]
    assert found["problem"].endswith("it is published as map.qgs, without map.qgd, which it holds as well.")
    assert not found["refuses"] and "Save As" in found["remedy"]
    files["map.qgz"] = zipped(qgs([Layer("./gone.gpkg")]))
    assert "./gone.gpkg is not in the project's folder" in check(files, web_client="archive")["msg"]


FONT_MARKER = '<layer class="FontMarker"><Option type="Map"><Option name="font" value="{}"/></Option></layer>'


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ('<text-style fontFamily="Comic Sans MS"/>', ["Comic Sans MS"]),
        ('<text-style fontFamily="DejaVu Sans Bold"/><text-style fontFamily="DejaVu Serif"/>', []),
        ('<text-style fontFamily="MS Shell Dlg 2"/><text-style fontFamily=""/>', []),
        (FONT_MARKER.format("Wingdings"), ["Wingdings"]),
        (FONT_MARKER.format("Wingdings") + '<text-style fontFamily="Arial"/>', ["Arial", "Wingdings"]),
    ],
)
def test_fonts_that_the_pi_lacks_are_told_once(check: Run, text: str, lacking: list[str]) -> None:
    project = qgs([replace(MEADOW, style=text), replace(MEADOW, name="other", style=text)])
    found = check({"map.qgs": project, "meadow.geojson": "{}"})["findings"]
    assert len(found) == bool(lacking)
    assert all(f"'{name}'" in found[0]["problem"] and not found[0]["refuses"] for name in lacking)


@pytest.mark.parametrize(("megabytes", "told"), [(10, False), (11, True)])
def test_a_large_file_of_text_is_told_with_the_remedy(check: Run, megabytes: int, told: bool) -> None:
    found = check({"map.qgs": qgs([MEADOW]), "meadow.geojson": "x" * (megabytes * 1024**2)})["findings"]
    assert [finding["refuses"] for finding in found] == ([False] if told else [])
    assert not told or "as a GeoPackage, which has a spatial index" in found[0]["remedy"]


def test_a_project_that_is_stored_in_a_database_is_named_without_its_login(check: Run) -> None:
    address = f"postgresql://ann:{PASSWORD}@office?dbname=gis&amp;project=base"
    embedded = f'<maplayer embedded="1" project="{address}" id="roads_1"/>'
    project = qgs([MEADOW]).replace("<projectlayers>", f"<projectlayers>{embedded}")
    result = check({"map.qgs": project, "meadow.geojson": "{}"})
    assert "is stored in PostgreSQL, where a Pi does not read projects." in result["msg"]
    assert PASSWORD not in json.dumps(result)


# Folders -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"repository": "a/b"}, "cannot have such a name"),
        ({"folder": "/no/such/folder"}, "there is no folder /no/such"),
    ],
)
def test_a_repository_that_cannot_be_is_refused(check: Run, given: dict[str, str], problem: str) -> None:
    assert problem in check({"map.qgs": qgs([MEADOW])}, **given)["msg"]


def test_a_folder_that_many_pis_have_is_told_of_once(run_module: Run, tmp_path: Path) -> None:
    (tmp_path / "map.qgs").write_text("<html/>")
    one = {"repository": "fields", "folder": str(tmp_path)}
    result = run_module("qgis_projects", repositories=[one, dict(one)], qgis_server="3.40")
    assert len(result["findings"]) == 1


def test_a_folder_that_cannot_be_read_is_a_sentence(run_module: Run, tmp_path: Path) -> None:
    (tmp_path / "nowhere.gpkg").symlink_to("/no/such/file")
    fields = {"repository": "fields", "folder": str(tmp_path)}
    result = run_module("qgis_projects", repositories=[fields], qgis_server="3.40")
    assert "nowhere.gpkg is a link to something that does not exist" in result["msg"]


def test_layers_are_described_for_the_pi() -> None:
    layers = [
        Layer(SERVICE, "postgres", "table"),
        Layer("service='poppyfield' table=meadow", "postgres", "plain"),
        Layer("./data/a.gpkg|layername=b|subset=c", name="part"),
        Layer("type=xyz&url=https://tile.example/", "wms", "tiles", geometry=""),
    ]
    told = describe(parse_project("map.qgs", qgs(layers).encode()))
    assert told == {
        "layer_id_table": {
            **{"name": "table", "about": "the table public.meadow", "database": True},
            **{"written": ['"public"."meadow"'], "place": ["public", "meadow", "geom"], "always": True},
        },
        "layer_id_plain": {"name": "plain", "about": "its table", "database": True},
        "layer_id_part": {"name": "part", "about": "the file ./data/a.gpkg", "written": ["a.gpkg", "b"]},
        "layer_id_tiles": {"name": "tiles", "about": "its source"},
    }


# Sources -------------------------------------------------------------------------------------------------------------


def test_a_connection_is_read_as_qgis_writes_it() -> None:
    text = 'dbname=\'it\\\'s\' host=h port=5432 sslmode=disable key=\'id\' table="s"."host=x" (geom) sql="user=y"'
    assert read_connection(text) == {
        **{"dbname": "it's", "host": "h", "port": "5432", "sslmode": "disable", "key": "id"},
    }


def test_a_server_is_named_without_its_login() -> None:
    assert read_source("wms", "url=https://ann:secret@maps.example:8443/wms?key=secret").address == "maps.example"


def test_kinds_of_layers_without_data() -> None:
    assert {read_source(provider, "").kind for provider in ("", "virtual", "annotation", "group")} == {Kind.NOTHING}


@pytest.mark.parametrize("path", ["/a", "\\\\s\\a", "C:/a", "c:\\a", "~/a"])
def test_absolute_paths_are_known(path: str) -> None:
    assert is_absolute(path)
