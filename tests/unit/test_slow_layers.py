"""What makes a layer slow is told with its remedy, by the laptop and by the Pi, and of nothing else."""

from __future__ import annotations

import ast
import os
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.poppyfield.postgis import spatial_tables
from ansible.module_utils.poppyfield.projects import data_files, slow_layers
from ansible.module_utils.poppyfield.projects.qgis_project import describe, parse_project
from ansible.module_utils.poppyfield.projects.slow_layers import Drawing, FileFacts, TableFacts
from PIL import Image, TiffImagePlugin

from tests.images import projects
from tests.images.projects import POPPY, Layer, fill, label, marker, options, qgs, single_symbol
from tests.unit.test_gallery_of_projects import rows, texts

Run = Callable[..., dict[str, Any]]
SOURCE = "service='poppyfield' key='id' srid=4326 type=Polygon table=\"public\".\"meadow\" (geom)"
REDUCED = 254
"""TIFF's tag of what a further picture in a file is."""


def drawing(style: str = "", flags: str = "", source: str = SOURCE) -> Drawing:
    """Read how a layer with this style is drawn; flags are attributes that QGIS gives it."""
    project = qgs([Layer(source, "postgres", style=style or single_symbol(fill(POPPY)))])
    project = project.replace('hasScaleBasedVisibilityFlag="0"', flags) if flags else project
    (layer,) = parse_project("map.qgs", project.encode()).layers
    return layer.drawing


def size_by(expression: str, active: str = "true") -> str:
    """Give a renderer whose symbols have a size by an expression, as QGIS 3.40 writes it."""
    chosen = options(active=active, expression=expression, type="3").replace("<Option", '<Option name="size"', 1)
    return single_symbol(
        marker().replace("</layer>", f"<data_defined_properties>{chosen}</data_defined_properties></layer>")
    )


def shape(expression: str, enabled: str = "1", prop: bool = False) -> str:
    """Give a renderer that draws a shape which an expression computes."""
    given = f'<prop k="geometryModifier" v="{expression}"/>' if prop else options(geometryModifier=expression)
    return single_symbol(
        f'<symbol type="fill"><layer class="GeometryGenerator" enabled="{enabled}">{given}</layer></symbol>'
    )


def label_at(expression: str, enabled: str) -> str:
    """Give labels of a shape that an expression computes."""
    chosen = f'<placement geometryGenerator="{expression}" geometryGeneratorEnabled="{enabled}" '
    return label("name").replace("<placement ", chosen)


def by_rules(*rules: str) -> str:
    return (
        f'<renderer-v2 type="RuleRenderer"><rules>{"".join(f"<rule {rule}/>" for rule in rules)}</rules></renderer-v2>'
    )


# How a layer is drawn ------------------------------------------------------------------------------------------------

AGGREGATE = "aggregate('trees', 'count', $id)"


@pytest.mark.parametrize(
    ("style", "looks_elsewhere"),
    [
        (size_by(AGGREGATE), ("aggregate",)),
        (size_by(AGGREGATE, active="false"), ()),
        (label("Overlay_Within('trees') || get_feature( 'a', 'b', 1)"), ("get_feature", "overlay_within")),
        (label("\"aggregate (2020)\" || 'overlay_within(' /* aggregate( */"), ()),
        (label("array_aggregate(1) + aggregates(2)"), ()),
        (label(AGGREGATE).replace('isExpression="1"', 'isExpression="0"'), ()),
        (by_rules('filter="relation_aggregate(1)"'), ("relation_aggregate",)),
        (by_rules('filter="aggregate(1)" checkstate="0"'), ()),
        ('<labeling type="rule-based"><rules><rule filter="aggregate(1)" active="0"/></rules></labeling>', ()),
        (projects.categorized("overlay_nearest('a')", "1", fill(POPPY)), ("overlay_nearest",)),
    ],
)
def test_functions_that_look_at_other_features_are_found(style: str, looks_elsewhere: tuple[str, ...]) -> None:
    assert drawing(style).looks_elsewhere == looks_elsewhere
    assert drawing(style).shapes == ()


def test_labels_that_are_switched_off_are_not_looked_at() -> None:
    assert drawing(label(AGGREGATE), 'labelsEnabled="0"').looks_elsewhere == ()
    assert drawing(label(AGGREGATE), 'labelsEnabled="1"').looks_elsewhere == ("aggregate",)


@pytest.mark.parametrize(
    ("style", "shapes"),
    [
        (shape("buffer($geometry, 10)"), ("buffer",)),
        (shape("Union($geometry, buffer($geometry, 1))", prop=True), ("buffer", "union")),
        (shape("buffer($geometry, 10)", enabled="0"), ()),
        (shape("centroid($geometry)"), ()),
        # A number that is computed is no shape that is drawn.
        (size_by("area(buffer($geometry, 1))"), ()),
        (label_at("smooth(@geometry)", enabled="1"), ("smooth",)),
        (label_at("smooth(@geometry)", enabled="0"), ()),
    ],
)
def test_shapes_that_are_computed_for_each_feature_are_found(style: str, shapes: tuple[str, ...]) -> None:
    assert drawing(style).shapes == shapes


@pytest.mark.parametrize(
    ("flags", "style", "always"),
    [
        ("", "", True),
        ('hasScaleBasedVisibilityFlag="1" minScale="25000" maxScale="0"', "", False),
        # Of a layer that vanishes when people zoom in all is drawn when they zoom out.
        ('hasScaleBasedVisibilityFlag="1" minScale="0" maxScale="25000"', "", True),
        ('hasScaleBasedVisibilityFlag="0" minScale="100000000"', "", True),
        ('hasScaleBasedVisibilityFlag="1" minScale="far"', "", True),
        ("", by_rules('scalemaxdenom="5000"', 'scalemaxdenom="9000"'), False),
        ("", by_rules('scalemaxdenom="5000"', 'filter="1"'), True),
        ("", by_rules('scalemaxdenom="5000"', 'checkstate="0"'), False),
    ],
)
def test_a_scale_limit_is_read_as_qgis_writes_it(flags: str, style: str, *, always: bool) -> None:
    assert drawing(style, flags).always is always


def test_of_a_filter_nobody_knows_how_many_features_it_chooses() -> None:
    assert drawing(source=f"{SOURCE} sql=").always
    assert not drawing(source=f'{SOURCE} sql="kind" = 1').always
    assert slow_layers.is_filtered("./a.gpkg|layername=b|subset=kind = 1")


@pytest.mark.parametrize(
    ("source", "place"),
    [
        (SOURCE, ("public", "meadow", "geom")),
        ("service='poppyfield' table=\"meadow\" (the geom) sql=", ("", "meadow", "the geom")),
        ("service='poppyfield' table=\"(SELECT * FROM a)\" (geom)", None),
        ('service=\'poppyfield\' table="public"."list"', None),
    ],
)
def test_the_column_of_a_table_is_read(source: str, place: tuple[str, str, str] | None) -> None:
    assert slow_layers.read_place(source) == place


# What is said of it --------------------------------------------------------------------------------------------------

LOOKS = Drawing(looks_elsewhere=("aggregate",), shapes=("buffer",))
LIMITED = Drawing(always=False)


def test_expressions_are_told_of_unless_there_are_few_features() -> None:
    (looks, write_down), (shapes, once) = slow_layers.of_drawing(LOOKS)
    assert "(aggregate), which is slow" in looks and "Field Calculator" in write_down
    assert "(buffer), which is slow" in shapes and "Geometry by expression" in once
    assert list(slow_layers.of_drawing(LOOKS, 500)) == []
    assert len(list(slow_layers.of_drawing(LOOKS, 501))) == 2
    assert list(slow_layers.of_drawing(Drawing())) == []


@pytest.mark.parametrize(
    ("facts", "drawing", "words"),
    [
        (FileFacts(9_999, has_index=False), Drawing(), []),
        (FileFacts(10_000, has_index=False), LIMITED, ["has 10,000 features and no spatial index"]),
        (FileFacts(999_999), Drawing(), []),
        (FileFacts(1_000_000), Drawing(), ["has 1,000,000 features, and all are drawn"]),
        (FileFacts(1_000_000), LIMITED, []),
        (FileFacts(pixels=25_000_000, has_overviews=False), Drawing(), ["25 million pixels and no overviews"]),
        (FileFacts(pixels=25_000_000, has_overviews=False), LIMITED, []),
        (FileFacts(pixels=25_000_000), Drawing(), []),
        (FileFacts(pixels=15_000_000, has_overviews=False), Drawing(), []),
    ],
)
def test_large_files_are_told_of(facts: FileFacts, drawing: Drawing, words: list[str]) -> None:
    told = list(slow_layers.of_file("./a.gpkg", facts, drawing))
    assert [word for (problem, _), word in zip(told, words, strict=True) if word not in problem] == []
    assert all(remedy.startswith("In QGIS Desktop, ") for _, remedy in told)


def told_of(source: str, tables: dict[tuple[str, str], TableFacts], flags: str = "") -> list[str]:
    """Give what a Pi says of a project with one layer."""
    project = qgs([Layer(source, "postgres")]).replace('hasScaleBasedVisibilityFlag="0"', flags or "plain=''")
    described = {"map.qgs": describe(parse_project("map.qgs", project.encode()))}
    found = slow_layers.of_tables("fields", described, tables)
    assert not any(finding.refuses for finding in found)
    return [finding.sentence() for finding in found]


def test_tables_without_index_or_limit_are_told_of() -> None:
    index, scale = told_of(SOURCE, {("public", "meadow"): TableFacts(1_200_000, {"geom": False})})
    assert index == (
        "fields/map.qgs, layer 'meadow': its table public.meadow has about 1,200,000 rows and no spatial index on "
        "geom: for each picture all are read. In the Pi's database, run once: "
        'CREATE INDEX ON "public"."meadow" USING gist ("geom");'
    )
    assert "about 1,200,000 rows, and all are drawn when people zoom out. In QGIS Desktop, let the layer" in scale


def test_of_other_tables_nothing_is_said() -> None:
    large = TableFacts(1_200_000, {"geom": True})
    assert told_of(SOURCE, {("public", "other"): large}) == []
    assert told_of(SOURCE, {("public", "meadow"): TableFacts(9_999, {"geom": False})}) == []
    # A column that the table does not have is told of when QGIS Server opens the project.
    assert told_of(SOURCE, {("public", "meadow"): TableFacts(20_000, {"place": False})}) == []
    limited = 'hasScaleBasedVisibilityFlag="1" minScale="25000"'
    assert told_of(SOURCE, {("public", "meadow"): large}, limited) == []
    assert told_of('table="list"', {("public", "list"): large}) == []
    assert len(told_of('table="meadow" (geom)', {("public", "meadow"): large})) == 1


def test_loaded_tables_are_told_of() -> None:
    assert list(slow_layers.of_loaded("public", "plots", 10**6, {})) == []
    assert list(slow_layers.of_loaded("public", "plots", 3, {"geom": True})) == []
    ((_, index),) = slow_layers.of_loaded('it"s', "plots", 3, {"geom": False})
    assert index.endswith('run once: CREATE INDEX ON "it""s"."plots" USING gist ("geom");')
    ((large, remedy),) = slow_layers.of_loaded("public", "plots", 10**6, {"geom": True})
    assert large == "public.plots has 1,000,000 rows: a map that draws all of them is slow."
    assert "Scale dependent visibility" in remedy


def test_what_the_catalogue_tells_is_read() -> None:
    line = '{"schema": "public", "name": "big", "rows": 1100000, "places": [["geom", "public.geometry", false]]}'
    assert spatial_tables.read(f"{line}\n\n") == {("public", "big"): TableFacts(1_100_000, {"geom": False})}


def test_the_page_has_every_message_of_what_is_slow_and_no_other() -> None:
    tree = ast.parse(Path(slow_layers.__file__).read_text("utf-8"))
    said = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Yield) and node.value:
            told = node.value.elts[0] if isinstance(node.value, ast.Tuple) else node.value
            said |= {text for text in texts(told) if len(text.split()) > 4}
    assert said == set(rows("## What makes a map slow"))


# The heads of files --------------------------------------------------------------------------------------------------


def facts_of(folder: Path) -> data_files.Found:
    return data_files.read({path.name: path for path in sorted(folder.iterdir())})


def test_a_geopackage_tells_its_features_and_indexes(tmp_path: Path) -> None:
    projects.geopackage(tmp_path)
    before = FileFacts(1, has_index=False)
    assert facts_of(tmp_path) == {("meadow.gpkg", "meadow"): before, ("meadow.gpkg", ""): before}
    with sqlite3.connect(tmp_path / "meadow.gpkg") as database:
        database.executescript("""
            CREATE TABLE gpkg_ogr_contents (table_name TEXT PRIMARY KEY, feature_count INTEGER);
            INSERT INTO gpkg_ogr_contents VALUES ('meadow', 1234567);
            CREATE VIRTUAL TABLE rtree_meadow_geom USING rtree(id, minx, maxx, miny, maxy);
            CREATE TABLE "a ""b" (fid INTEGER PRIMARY KEY, geom POINT); INSERT INTO "a ""b" VALUES (1, NULL), (2, NULL);
            INSERT INTO gpkg_contents (table_name, data_type, identifier, srs_id)
                VALUES ('a "b', 'features', 'other', 4326);
            INSERT INTO gpkg_geometry_columns VALUES ('a "b', 'geom', 'POINT', 4326, 0, 0);""")
    assert facts_of(tmp_path) == {
        ("meadow.gpkg", "meadow"): FileFacts(1234567),
        ("meadow.gpkg", ""): FileFacts(1234567),
        ("meadow.gpkg", 'a "b'): FileFacts(2, has_index=False),
    }
    assert [path.name for path in tmp_path.iterdir()] == ["meadow.gpkg"]


@pytest.mark.parametrize(("table", "index"), [("dbf", "qix"), ("DBF", "SBN")])
def test_a_shapefile_tells_its_features_and_index(tmp_path: Path, table: str, index: str) -> None:
    projects.shapefile(tmp_path)
    (tmp_path / "meadow.dbf").rename(tmp_path / f"meadow.{table}")
    assert facts_of(tmp_path) == {("meadow.shp", ""): FileFacts(1, has_index=False)}
    (tmp_path / f"meadow.{index}").touch()
    assert facts_of(tmp_path) == {("meadow.shp", ""): FileFacts(1)}


@pytest.mark.parametrize("big_tiff", [False, True])
def test_a_geotiff_tells_its_pixels_and_overviews(tmp_path: Path, *, big_tiff: bool) -> None:
    picture = Image.new("1", (5000, 4000))
    plain, reduced = TiffImagePlugin.ImageFileDirectory_v2(), TiffImagePlugin.ImageFileDirectory_v2()
    reduced[REDUCED] = 1
    smaller = picture.resize((2500, 2000))
    given: dict[str, Any] = {"compression": "tiff_adobe_deflate", "big_tiff": big_tiff}
    smaller.encoderinfo = {"tiffinfo": reduced}
    picture.save(tmp_path / "own.tif", save_all=True, append_images=[smaller], tiffinfo=plain, **given)
    picture.save(tmp_path / "bare.tif", **given)
    picture.save(tmp_path / "beside.TIFF", **given)
    (tmp_path / "beside.tiff.ovr").touch()
    assert facts_of(tmp_path) == {
        ("own.tif", ""): FileFacts(pixels=20_000_000),
        ("bare.tif", ""): FileFacts(pixels=20_000_000, has_overviews=False),
        ("beside.TIFF", ""): FileFacts(pixels=20_000_000),
    }


def test_pages_of_a_tiff_are_no_overviews(tmp_path: Path) -> None:
    page = Image.new("1", (10, 10))
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page] * 70)
    assert facts_of(tmp_path) == {("pages.tif", ""): FileFacts(pixels=100, has_overviews=False)}


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.tif", "b.tif", "c.tif"])
def test_a_damaged_file_tells_nothing(tmp_path: Path, name: str) -> None:
    head = {"b.tif": b"II*\0" + struct.pack("<IHHHII", 8, 9, 256, 3, 1, 5), "c.tif": b"II*\0\0\0\0\0"}
    (tmp_path / name).write_bytes(head.get(name, b"damaged"))
    nothing = {("c.tif", ""): FileFacts()} if name == "c.tif" else {}
    assert {key: facts for key, facts in facts_of(tmp_path).items() if facts.pixels or not facts.has_index} == {}
    assert len(facts_of(tmp_path)) == len(nothing)


# Through the modules -------------------------------------------------------------------------------------------------


def test_the_laptop_warns_of_what_is_slow(run_module: Run, tmp_path: Path) -> None:
    projects.geopackage(tmp_path)
    with sqlite3.connect(tmp_path / "meadow.gpkg") as database:
        database.executescript("""
            CREATE TABLE gpkg_ogr_contents (table_name TEXT, feature_count INTEGER);
            INSERT INTO gpkg_ogr_contents VALUES ('meadow', 2000000);""")
    layer = Layer("./meadow.gpkg|layername=meadow", style=size_by(AGGREGATE))
    (tmp_path / "map.qgs").write_text(qgs([layer]))
    repository = {"repository": "fields", "folder": str(tmp_path)}
    result = run_module("qgis_projects", repositories=[repository], qgis_server="3.40", web_client="none")
    assert not result.get("failed")
    looks, index, scale = result["findings"]
    assert looks["problem"].startswith("for each feature that it draws it looks at others (aggregate)")
    assert index["problem"].startswith("its file ./meadow.gpkg has 2,000,000 features and no spatial index")
    assert "Scale dependent visibility" in scale["remedy"]
    assert not any(finding["refuses"] for finding in result["findings"])


LARGE = '{"schema": "public", "name": "meadow", "rows": 50000, "places": [["geom", "geometry", false]]}'


def engine(output: str = "", code: int = 0) -> Any:
    """Give an engine in whose database's container a psql says this."""
    asked: list[tuple[Any, ...]] = []

    def execute(container: str, user: str, _: Any, chunks: Any) -> Any:
        asked.append((container, user, b"".join(chunks).decode()))
        return SimpleNamespace(code=code, output=output, errors="")

    return SimpleNamespace(execute=execute, asked=asked)


@pytest.fixture
def publish(run_plugin: Run, tmp_path: Path, library: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Publish a project that shows a table, and one that is refused."""
    module = library("published_projects")
    server = SimpleNamespace(know=lambda _: None, refresh=lambda: None, wait_until_refreshable=lambda: None)
    monkeypatch.setattr(module, "ProjectServer", lambda *_: server)
    bad = [module.ProjectFinding("fields", "bad.qgs", "no.")]
    monkeypatch.setattr(
        module,
        "check_projects",
        lambda _server, _repository, _inside, described, **_: (["map.qgs"], bad if "bad.qgs" in described else []),
    )
    (tmp_path / "maps").mkdir()
    (tmp_path / "projects").mkdir()
    (tmp_path / "maps" / "map.qgs").write_text(qgs([Layer(SOURCE, "postgres")]))

    def run(engine: Any, *, many: bool = False, **given: Any) -> dict[str, Any]:
        monkeypatch.setattr(module.Engine, "connect", lambda: engine)
        entry = {"repository": "fields", "folder": str(tmp_path / "maps")}
        shared = {"projects_folder": str(tmp_path / "projects"), "owner": os.getuid(), "group": os.getgid()}
        shared |= {"database": "gis", **given}
        return run_plugin("published_projects", **shared, **({"repositories": [entry]} if many else entry))

    return run


@pytest.mark.parametrize("many", [False, True])
def test_publishing_warns_of_what_is_slow_each_time(publish: Run, *, many: bool) -> None:
    database = engine(LARGE)
    for changed in (True, False):
        done = publish(database, many=many)
        assert done["changed"] is changed, done
        (warning,) = done["warnings"]
        assert warning.startswith("fields/map.qgs, layer 'meadow': its table public.meadow has about 50,000 rows")
        (found,) = (done["results"]["fields"] if many else done)["slow"]
        assert (found["layer"], found["refuses"]) == ("meadow", False)
        # Once for a run: who publishes does not ask before.
        ((container, user, script),) = database.asked
        assert (container, user) == ("websig-postgis", "postgres") and "dbname=\\'gis\\'" in script.replace("''", "\\'")
        database.asked.clear()


def test_what_is_slow_is_told_where_another_project_is_refused(publish: Run, tmp_path: Path) -> None:
    (tmp_path / "maps" / "bad.qgs").write_text(qgs([Layer("./meadow.geojson")]))
    done = publish(engine(LARGE))
    assert done["withheld"] == ["bad.qgs"]
    withheld, slow = done["warnings"]
    assert "bad.qgs" in withheld and "no spatial index on geom" in slow


def test_a_database_that_does_not_answer_tells_nothing(publish: Run, library: Any) -> None:
    def away(*_: Any) -> None:
        raise library("published_projects").EngineError("no such container")

    for silent in (engine(code=1), SimpleNamespace(execute=away)):
        done = publish(silent)
        assert (done.get("warnings", []), done["slow"]) == ([], [])


def test_no_database_is_asked_without_its_tables_or_name(publish: Run, tmp_path: Path) -> None:
    database = engine(LARGE)
    publish(database, database="")
    (tmp_path / "maps" / "map.qgs").write_text(qgs([Layer("./meadow.geojson")]))
    publish(database)
    assert database.asked == []
