"""Projects are published to the real map server: it draws the new ones, and refuses what it cannot draw."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.projects.server_checks import REFRESH

from tests.gallery import report
from tests.images import projects
from tests.images.map_server import MapServer, database, map_server, volumes, wait_until
from tests.images.projects import GRASS, POPPY, Layer, qgs

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE = {
    **{"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
    # The one that has Docker's SDK.
    "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
}
LEFT_OUT = ROOT / "images" / "lizmap" / "services" / "left-out" / "run"
WEST_SIDE = (50, 50)
TABLE = "service='poppyfield' key='id' srid=4326 type=Polygon table=\"public\".\"{}\" (geom)"
SQL = (
    f"{projects.POSTGIS_SQL}"
    "CREATE TABLE gone (id int PRIMARY KEY, geom geometry(Polygon, 4326));"
    "CREATE TABLE moved (id int PRIMARY KEY, geom geometry(Polygon, 4326));"
    "INSERT INTO moved SELECT id, geom FROM meadow;"
    "CREATE TABLE lakes (id int PRIMARY KEY, geom geometry(Polygon, 4326));"
    "INSERT INTO lakes SELECT id, geom FROM meadow;"
    "CREATE TABLE denied (id int PRIMARY KEY, geom geometry(Polygon, 4326)); REVOKE ALL ON denied FROM gis;"
    "CREATE TABLE nests (id int PRIMARY KEY, geom geometry(Polygon, 4326));"
    "CREATE TABLE people (id int PRIMARY KEY, name text); INSERT INTO people VALUES (1, 'Ann'), (2, 'Bob');"
)
Publish = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def pi(
    postgis_image: str, lizmap_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[MapServer, Path]]:
    """Run a map server with its database; give it, and its folder of projects, with one repository in it."""
    folder = tmp_path_factory.mktemp("pi")
    (folder / "projects" / "known").mkdir(parents=True)
    # Bad layers are looked at again each minute, which is long for a test.
    (folder / "left-out").write_text(
        LEFT_OUT.read_text("utf-8")
        .replace("\nagain_seconds=60\n", "\nagain_seconds=4\n")
        .replace("\nrenew_seconds=300\n", "\nrenew_seconds=4\n"),
        "utf-8",
    )
    (folder / "left-out").chmod(0o755)
    given = [*volumes(folder), f"{folder}/left-out:/usr/local/lib/poppyfield/services/left-out/run:ro"]
    with (
        database(postgis_image, folder, SQL) as network,
        map_server(lizmap_image, folder, network, volumes=given) as server,
    ):
        server.wait_until_healthy()
        yield server, folder / "projects"


@pytest.fixture
def publish(pi: tuple[MapServer, Path], tmp_path: Path) -> Publish:
    """Publish a project with these layers through Ansible itself, as map.qgs of a repository."""
    server, folder = pi

    def run(*layers: Layer, repository: str = "known", **given: Any) -> dict[str, Any]:
        maps = tmp_path / repository
        maps.mkdir(exist_ok=True)
        projects.geojson(maps)
        (maps / "map.qgs").write_text(qgs(layers), encoding="utf-8")
        whose = {"projects_folder": str(folder), "container": server.container.name}
        return ansible("published_projects", repository=repository, folder=str(maps), **{**whose, **given})

    return run


def ansible(module: str, **arguments: Any) -> dict[str, Any]:
    """Run a module as Ansible does."""
    command = [sys.executable, "-m", "ansible", "adhoc", "--inventory", "localhost,", "--connection", "local"]
    command += ["--module-name", module, "--args", json.dumps(arguments), "localhost"]
    environment = {**os.environ, **ANSIBLE}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert " => " in done.stdout, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.partition(" => ")[2])
    return {"failed": done.returncode != 0, **result}


def meadow(color: tuple[int, int, int] = POPPY) -> Layer:
    """Give the layer of the file that each repository here has."""
    return Layer("./meadow.geojson", style=projects.single_symbol(projects.fill(color)))


def test_a_project_is_published_and_drawn_and_its_change_too(pi: tuple[MapServer, Path], publish: Publish) -> None:
    server, _ = pi
    first = publish(meadow(), Layer(TABLE.format("meadow"), "postgres", "table"))
    assert first["changed"] and first["checked"] == ["map.qgs"], first
    assert server.picture("known/map").getpixel(WEST_SIDE) == POPPY
    assert server.picture("known/map", LAYERS="table").getpixel(WEST_SIDE) == POPPY
    again = publish(meadow(), Layer(TABLE.format("meadow"), "postgres", "table"))
    assert not again["changed"] and again["checked"] == ["map.qgs"]
    second = publish(meadow(GRASS))
    assert second["updated"] == ["map.qgs"]
    # Each worker has the old project in its memory.
    assert {server.picture("known/map").getpixel(WEST_SIDE) for _ in range(8)} == {GRASS}


NESTS = Layer(TABLE.format("nests"), "postgres", "nests")
PEOPLE = Layer(
    "service='poppyfield' key='id' table=\"public\".\"people\"",
    "postgres",
    "people",
    geometry="No geometry",
    style='<renderer-v2 type="nullSymbol"/>',
)
TILES = "crs=EPSG:3857&format&type=xyz&url=https://tile.invalid/%7Bz%7D/%7Bx%7D/%7By%7D.png&zmax=19&zmin=0"
INTERNET = Layer(TILES, "wms", "osm", geometry="", crs=3857)
NOTHING_YET = "nothing is drawn"
AREA = Layer("./meadow.geojson")
LITTLE: dict[str, tuple[list[Layer], str, dict[str, int]]] = {
    "a survey that starts empty": ([NESTS], NOTHING_YET, {"nests": 0}),
    "a survey that starts empty, with a background": ([NESTS, INTERNET], NOTHING_YET, {"nests": 0}),
    "tables only": ([PEOPLE], "no picture: there are only tables", {"people": 2}),
    "tiles of the internet only": ([INTERNET], "no picture: from the internet come 'osm'", {}),
    "an empty layer and a table": ([NESTS, PEOPLE], NOTHING_YET, {"nests": 0, "people": 2}),
    # The area is as large as its extent, and so fills the picture.
    "one flat area": ([AREA], "colours", {"meadow": 1}),
    "one flat area and an empty layer": ([NESTS, AREA], "colours", {"nests": 0, "meadow": 1}),
}


# The others, which make test-maps plays, are these put together.
FOR_EACH_CHANGE = ("tables only", "one flat area")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FOR_EACH_CHANGE else [pytest.mark.long]) for name in LITTLE]
)
def test_a_map_with_little_on_it_is_published_and_verified(
    pi: tuple[MapServer, Path], publish: Publish, tmp_path: Path, name: str
) -> None:
    server, _ = pi
    layers, picture, features = LITTLE[name]
    published = publish(*layers)
    assert not published["failed"], published
    result = ansible("published_map", url=server.url, project="known/map", folder=str(tmp_path / "known"))
    details = {check["check"]: check["detail"] for check in result["checks"]}
    said = {picture: picture in details.get("picture", ""), "verified": result["verified"]}
    got = ", ".join(words for words, is_so in said.items() if is_so) or str(details)
    report.record(name, "project", "map page", f"{picture}, verified", got)
    assert all(said.values()), result
    assert result["features"] == features


def test_a_flat_area_that_is_not_drawn_is_noticed(pi: tuple[MapServer, Path], publish: Publish, tmp_path: Path) -> None:
    server, _ = pi
    publish(Layer("./meadow.geojson", style='<renderer-v2 type="nullSymbol"/>'))
    result = ansible("published_map", url=server.url, project="known/map", folder=str(tmp_path / "known"))
    assert result["failed"] and "The layer meadow has features, but nothing is drawn where they are" in result["msg"]


@pytest.mark.long
def test_a_large_folder_travels_in_parts(pi: tuple[MapServer, Path], publish: Publish, tmp_path: Path) -> None:
    _, folder = pi
    (tmp_path / "known").mkdir()
    # What cannot be packed: the first is more than one part holds.
    large = {name: os.urandom(megabytes * 1024 * 1024) for name, megabytes in (("a.bin", 70), ("b.bin", 10))}
    for name, content in large.items():
        (tmp_path / "known" / name).write_bytes(content)
    done = publish(meadow())
    assert done["changed"] and done["uploaded_bytes"] > 80 * 1024 * 1024
    assert {name: (folder / "known" / name).read_bytes() for name in large} == large
    for name in large:
        (tmp_path / "known" / name).unlink()
    assert publish(meadow(), prune=True)["removed"] == sorted(large)


@pytest.mark.long
def test_data_that_changed_are_drawn_though_the_project_did_not(
    pi: tuple[MapServer, Path], publish: Publish, tmp_path: Path
) -> None:
    server, _ = pi
    (tmp_path / "known").mkdir()
    layer = projects.geopackage(tmp_path / "known")
    publish(layer)
    assert {server.picture("known/map").getpixel(WEST_SIDE) for _ in range(8)} == {POPPY}
    east = tuple((x + 1, y) for x, y in projects.RING)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(projects, "RING", east)
        (tmp_path / "known" / "meadow.gpkg").unlink()
        projects.geopackage(tmp_path / "known")
    assert publish(layer)["updated"] == ["meadow.gpkg"]
    assert {server.picture("known/map").getpixel(WEST_SIDE) for _ in range(8)} == {projects.WHITE}


@pytest.mark.long
def test_the_catalogue_knows_repositories_that_come_and_projects_that_go(
    pi: tuple[MapServer, Path], publish: Publish, tmp_path: Path
) -> None:
    server, _ = pi

    def titles() -> set[str]:
        return {project["title"] for project in server.get("/index.json").json()["projects"]}

    publish(meadow())
    publish(meadow(), repository="new")
    server.wait_until_healthy()
    (tmp_path / "new" / "other.qgs").write_text(qgs([meadow()], title="Other"))
    publish(meadow(), repository="new")
    assert "Other" in titles()
    (tmp_path / "new" / "other.qgs").unlink()
    assert publish(meadow(), repository="new", prune=True)["removed"] == ["other.qgs"]
    assert "Other" not in titles()
    assert publish(meadow(), repository="new", state="absent")["changed"]


@pytest.mark.parametrize("prune", [False, pytest.param(True, marks=pytest.mark.long)])
def test_nobody_is_served_a_repository_that_is_published_no_more(
    pi: tuple[MapServer, Path], publish: Publish, prune: bool
) -> None:
    server, folder = pi

    def catalogue() -> set[str]:
        return {f"/project/{project['id']}/" for project in server.get("/index.json").json()["projects"]}

    def served(address: str) -> bool:
        return server.get(f"{address}?SERVICE=WMS&REQUEST=GetCapabilities").ok

    publish(meadow())
    publish(meadow(), repository="past")
    server.wait_until_healthy()
    before = catalogue()
    assert served("/ows/past/map/") and all(map(served, before))
    whose = {"projects_folder": str(folder), "container": server.container.name}
    done = ansible("withdrawn_repositories", published=["known"], prune=prune, **whose)
    assert done["withdrawn"] == ["past"], done
    (gone,) = before - catalogue()
    # Each worker had it in its memory.
    assert not any(served(address) for address in (gone, "/ows/past/map/") for _ in range(8))
    assert served("/ows/known/map/")
    assert (folder / "past" / "map.qgs").exists() is not prune
    assert publish(meadow(), repository="past")["changed"]
    assert served("/ows/past/map/") and served(gone)


def database_table(name: str, **changes: str) -> Layer:
    """Give a layer of a table, its source changed in places."""
    source = TABLE.format(name)
    for old, new in changes.items():
        source = source.replace(old, new)
    return Layer(source, "postgres", "Rivers")


BAD = {
    "missing table": (database_table("nothing"), "public.nothing is not in the Pi's database.", "Load it"),
    "missing schema": (database_table("meadow", public="other"), "other is not in the Pi's database.", "Load it"),
    "no right to read": (database_table("denied"), "may not read the table", "GRANT SELECT"),
    "missing column": (database_table("meadow", geom="shape"), "its table has no column 'shape'", "same columns"),
    "wrong service": (database_table("meadow", poppyfield="office"), "a Pi has no service 'office'", "service must be"),
    "wrong database": (
        database_table("meadow", key="dbname='nodb' key"),
        'database "nodb" does not exist',
        "lizmap_database",
    ),
    "filter on a missing column": (
        Layer(TABLE.format("meadow") + ' sql="nix" = 1', "postgres", "Rivers"),
        "no column 'nix'",
        "same columns",
    ),
    "missing file": (Layer("./nothing.geojson", name="Rivers"), "cannot read nothing.geojson", "export it again"),
    "missing layer": (Layer("./meadow.geojson|layername=other", name="Rivers"), "no layer 'other'", "export it again"),
    "missing raster": (
        Layer("./no.tif", "gdal", "Rivers", geometry=""),
        "cannot open the file ./no.tif",
        "export it again",
    ),
}


# One of each kind: a table, a right, an expression, a file.
BAD_FOR_EACH_CHANGE = ("missing table", "no right to read", "filter on a missing column", "missing file")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case in BAD_FOR_EACH_CHANGE else [pytest.mark.long]) for case in BAD]
)
def test_a_bad_layer_is_named_and_the_old_project_still_drawn(
    pi: tuple[MapServer, Path], publish: Publish, case: str
) -> None:
    server, folder = pi
    layer, problem, remedy = BAD[case]
    publish(meadow(GRASS))
    refused = publish(meadow(), layer)
    assert refused["failed"], refused
    (found,) = refused["findings"]
    assert (found["repository"], found["project"], found["layer"]) == ("known", "map.qgs", "Rivers")
    assert problem in found["problem"]
    assert remedy in found["remedy"]
    assert found["problem"] in refused["msg"]
    assert server.picture("known/map").getpixel(WEST_SIDE) == GRASS
    assert not (folder / ".poppyfield" / "known" / "staged").exists()


def test_a_bad_project_beside_a_good_one_withholds_only_itself(
    pi: tuple[MapServer, Path], publish: Publish, tmp_path: Path
) -> None:
    server, folder = pi
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "bad.qgs").write_text(qgs([database_table("nothing")]), encoding="utf-8")
    done = publish(meadow(GRASS))
    assert not done["failed"] and done["withheld"] == ["bad.qgs"], done
    assert "public.nothing is not in the Pi's database." in done["refused"]
    assert {server.picture("known/map").getpixel(WEST_SIDE) for _ in range(8)} == {GRASS}
    assert not (folder / "known" / "bad.qgs").exists()


def test_a_table_that_was_dropped_is_noticed_though_it_was_good_before(
    pi: tuple[MapServer, Path], publish: Publish
) -> None:
    server, _ = pi
    table = Layer(TABLE.format("gone"), "postgres", "Rivers")
    assert not publish(meadow(GRASS), table)["failed"]
    ask_database(server, "DROP TABLE gone")
    refused = publish(meadow(), table)
    assert "public.gone is not in the Pi's database" in refused["msg"]
    assert publish(meadow())["changed"]


MANY = """
    CREATE TABLE trees (id int PRIMARY KEY, geom geometry(Point, 4326));
    INSERT INTO trees SELECT n, ST_Point(2 + n % 1000 / 500.0, 46 + n / 1000 / 1100.0, 4326)
    FROM generate_series(1, 1100000) n;
    ALTER TABLE trees OWNER TO gis;
    ANALYZE trees;
"""
NEAR = (
    '<renderer-v2 type="RuleRenderer" symbollevels="0"><rules key="all"><rule key="near" symbol="0" '
    f'scalemaxdenom="50000"/></rules><symbols>{projects.marker()}</symbols></renderer-v2>'
)


@pytest.mark.long
def test_what_makes_a_map_slow_is_told_until_it_is_mended(pi: tuple[MapServer, Path], publish: Publish) -> None:
    server, _ = pi
    ask_database(server, MANY)
    asked = {"database": "gis", "database_container": database_of(server).name}
    trees = Layer(TABLE.format("trees"), "postgres", "trees", "Point", style=projects.single_symbol(projects.marker()))
    try:
        for published in (publish(meadow(), trees, **asked), publish(meadow(), trees, **asked)):
            told = [(finding["layer"], finding["problem"]) for finding in published["slow"]]
            assert told == [
                (
                    "trees",
                    "its table public.trees has about 1,100,000 rows and no spatial index on geom: for each picture "
                    "all are read.",
                ),
                ("trees", "its table public.trees has about 1,100,000 rows, and all are drawn when people zoom out."),
            ], published
        ask_database(server, published["slow"][0]["remedy"].partition("run once: ")[2])
        near = publish(meadow(), replace(trees, style=NEAR), **asked)
        assert (near["failed"], near["slow"]) == (False, []), near
    finally:
        publish(meadow(), **asked)
        ask_database(server, "DROP TABLE trees")


def test_the_seconds_of_each_layer_are_told_at_each_scale(
    pi: tuple[MapServer, Path], publish: Publish, tmp_path: Path
) -> None:
    server, _ = pi
    publish(meadow(), Layer(TABLE.format("lakes"), "postgres", "lakes"))
    where = {"url": server.url, "project": "known/map", "folder": str(tmp_path / "known")}
    timed = ansible("published_map", seconds=True, **where)["seconds"]
    assert sorted((view["layer"], view["problem"]) for view in timed) == [("lakes", "")] * 4 + [("meadow", "")] * 4
    assert len({view["scale"] for view in timed}) == 4


def ask_database(server: MapServer, sql: str) -> None:
    """Change a table, as the database's owner in the map server's container cannot: from the database's own."""
    code, output = database_of(server).exec_run(["psql", "-U", "postgres", "-d", "gis", "-c", sql])
    assert code == 0, output


def database_of(server: MapServer) -> Any:
    """Give the container of a map server's database."""
    network = next(iter(server.container.attrs["NetworkSettings"]["Networks"]))
    (name,) = [
        container.name
        for container in server.container.client.networks.get(network).containers
        if container.name.endswith("postgis")
    ]
    return server.container.client.containers.get(name)


def with_other_workers(server: MapServer) -> None:
    """Have the projects read again, as when the Pi is started."""
    code, said = server.run("bash", "-c", REFRESH, user="qgis")
    assert code == 0, said


def left_out(server: MapServer) -> str:
    """Give what the health check says of layers that are left out; what it found earlier stands there, too."""
    code, said = server.run("healthcheck")
    assert code == 0, said
    return "\n".join(line for line in said.splitlines() if line.startswith("Left out"))


@pytest.mark.long
def test_a_layer_that_is_bad_later_takes_no_other_with_it(pi: tuple[MapServer, Path], publish: Publish) -> None:
    server, _ = pi
    rivers = Layer(TABLE.format("moved"), "postgres", "Rivers")
    assert not publish(meadow(), rivers)["failed"]
    assert left_out(server) == ""
    ask_database(server, "ALTER TABLE moved RENAME TO moved_away")
    try:
        with_other_workers(server)
        address = "/ows/known/map/?SERVICE=WMS&REQUEST=GetCapabilities"
        assert server.get(address).status_code == 500
        wait_until(lambda: server.get(address).ok, "the map goes on without its bad layer", server.log)
        assert {server.picture("known/map").getpixel(WEST_SIDE) for _ in range(8)} == {POPPY}
        assert left_out(server) == "Left out: known/map.qgs (layer_id_Rivers)"
        # The workers leave it out, and publishing is as strict as ever.
        refused = publish(meadow(GRASS), rivers)
        assert refused["failed"] and "public.moved is not in the Pi's database" in refused["msg"]
        refused = publish(meadow(), rivers)
        assert refused["failed"] and "public.moved is not in the Pi's database" in refused["msg"]
    finally:
        ask_database(server, "ALTER TABLE moved_away RENAME TO moved")
    wait_until(lambda: not left_out(server), "nothing is left out any more", server.log)
    wait_until(
        lambda: server.picture("known/map", LAYERS="Rivers").getpixel(WEST_SIDE) == POPPY, "it is drawn", server.log
    )


def signal_left_out(server: MapServer, name: str) -> None:
    """Halt what looks at bad layers, or let it go on."""
    code, said = server.run("pkill", f"-{name}", "-f", "services/left-out/run", user="qgis")
    assert code == 0, said


@pytest.mark.long
def test_a_layer_that_is_away_for_a_moment_comes_back_while_another_is_left_out(
    pi: tuple[MapServer, Path], publish: Publish
) -> None:
    server, _ = pi

    def drawn() -> bool:
        try:
            return server.picture("known/map", LAYERS="Lakes").getpixel(WEST_SIDE) == POPPY
        except AssertionError:
            # No picture, but an error.
            return False

    rivers = Layer(TABLE.format("moved"), "postgres", "Rivers")
    assert not publish(Layer(TABLE.format("lakes"), "postgres", "Lakes"), rivers)["failed"]
    ask_database(server, "ALTER TABLE moved RENAME TO moved_away")
    try:
        with_other_workers(server)
        address = "/ows/known/map/?SERVICE=WMS&REQUEST=GetCapabilities"
        wait_until(lambda: server.get(address).ok, "the map goes on without its bad layer", server.log)
        wait_until(lambda: left_out(server), "it is told", server.log)
        # Away for so short a time that no look falls into it.
        signal_left_out(server, "STOP")
        ask_database(server, "ALTER TABLE lakes RENAME TO lakes_away")
        with_other_workers(server)
        assert not any(drawn() for _ in range(8))
        ask_database(server, "ALTER TABLE lakes_away RENAME TO lakes")
        signal_left_out(server, "CONT")
        # The workers have read the project without it, and would keep it so.
        wait_until(lambda: all(drawn() for _ in range(8)), "each worker draws it again", server.log)
    finally:
        ask_database(server, "ALTER TABLE moved_away RENAME TO moved")
    wait_until(lambda: not left_out(server), "nothing is left out any more", server.log)


@pytest.mark.long
def test_a_layer_of_a_server_is_on_the_map_while_the_server_is_reached(
    pi: tuple[MapServer, Path], publish: Publish
) -> None:
    server, folder = pi
    (network,) = server.container.attrs["NetworkSettings"]["Networks"].values()
    with socket.create_server(("", 0)) as found:
        port = found.getsockname()[1]
    address = f"/vsicurl/http://{network['Gateway']}:{port}/meadow.geojson"
    far = replace(meadow(GRASS), source=address, name="far")

    def drawn() -> bool:
        try:
            return server.picture("known/map", LAYERS="far").getpixel(WEST_SIDE) == GRASS
        except AssertionError:
            # No picture, but an error.
            return False

    assert not publish(meadow())["failed"]
    refused = publish(meadow(), far)
    assert [finding["layer"] for finding in refused["findings"]] == ["far"]
    done = publish(meadow(), far, internet=True)
    assert not done["failed"] and done["checked"] == ["map.qgs"], done
    asked = "/ows/known/map/?SERVICE=WMS&REQUEST=GetCapabilities"
    wait_until(lambda: server.get(asked).ok, "the map goes on without the server", server.log)
    assert server.picture("known/map").getpixel(WEST_SIDE) == POPPY and not drawn()
    wait_until(lambda: "known/map.qgs" in left_out(server), "it is told", server.log)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder / "known"))
    with ThreadingHTTPServer(("", port), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        wait_until(lambda: all(drawn() for _ in range(8)), "each worker draws it", server.log)
        wait_until(lambda: not left_out(server), "nothing is left out any more", server.log)
        serving.shutdown()


@pytest.mark.long
def test_words_in_the_log_leave_no_layer_out(pi: tuple[MapServer, Path], publish: Publish) -> None:
    """Visitors have words in it. They are a reason to look, and the project itself says that it is well."""
    server, _ = pi

    def looks() -> bool:
        return "timeout 300 " in server.run("ps", "-eo", "args")[1]

    publish(meadow())
    code, said = server.run("bash", "-c", "echo 1 /srv/projects/known/map.qgs > /run/poppyfield/noticed")
    assert code == 0, said
    wait_until(looks, "the project is looked at", server.log)
    wait_until(lambda: not looks(), "it was looked at", server.log)
    assert left_out(server) == ""
    assert server.picture("known/map").getpixel(WEST_SIDE) == POPPY


def test_several_bad_layers_are_named_each_with_its_reason(publish: Publish) -> None:
    layers = [
        Layer(TABLE.format("nothing"), "postgres", "one"),
        Layer("./none.gpkg", name="two"),
        Layer(TABLE.format("denied"), "postgres", "three"),
    ]
    refused = publish(meadow(), *layers)
    told = {found["layer"]: found["problem"] for found in refused["findings"]}
    assert told == {
        "one": "public.nothing is not in the Pi's database.",
        "two": "QGIS Server cannot read none.gpkg: it is damaged, or of another kind.",
        "three": 'the map server\'s role may not read the table "public"."denied".',
    }


def test_a_server_that_does_not_run_is_said(pi: tuple[MapServer, Path], publish: Publish) -> None:
    refused = publish(meadow(projects.WHITE), container="pf-no-such-container")
    assert "pf-no-such-container does not run" in refused["msg"]


def test_visitors_do_not_see_what_is_not_published(pi: tuple[MapServer, Path], publish: Publish) -> None:
    server, folder = pi
    staged = folder / ".poppyfield" / "known" / "staged"
    publish(meadow())
    staged.mkdir()
    try:
        (staged / "map.qgs").write_text(qgs([meadow()]))
        for address in (
            "/ows/.poppyfield/known/",
            "/ows/.poppyfield%2Fknown%2Fstaged/map/",
            "/ows/known/../staged/map",
        ):
            assert server.get(address).status_code in (400, 403, 404), address
    finally:
        (staged / "map.qgs").unlink()
        staged.rmdir()


@pytest.mark.long
def test_nobody_sees_half_a_project_while_it_is_swapped(pi: tuple[MapServer, Path], publish: Publish) -> None:
    """A browser that asks all the time gets the old picture or the new one, and never an error."""
    server, _ = pi
    publish(meadow(POPPY))
    seen: list[Any] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            try:
                seen.append(server.picture("known/map").getpixel(WEST_SIDE))
            except AssertionError as error:
                seen.append(str(error))

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for color in (GRASS, POPPY, GRASS):
            publish(meadow(color))
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert set(seen) == {POPPY, GRASS}
