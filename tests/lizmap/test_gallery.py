"""The gallery's projects on Lizmap, or on its stand-in, as its rows say then: each is drawn as it should be."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.lizmap.errors_log import PATH

from tests.gallery import report
from tests.gallery.drawn_projects import DRAWN, FIELD, SQL, Drawn, colours
from tests.gallery.projects import NEWER_QGIS, NEWEST_QGIS, OLDER_QGIS, written
from tests.images import projects
from tests.images.map_server import wait_until
from tests.images.projects import Layer
from tests.lizmap.conftest import RELEASE, Query
from tests.lizmap.lizmap import Lizmap, configuration_of, image_of, lizmap

# The foreign table needs a superuser to be made, and is shown with the map page. The stand-in passes on what it is
# asked, so that files would tell nothing there that the map page does not.
HERE = [drawn for drawn in DRAWN if (RELEASE or drawn.table) and drawn.what != "foreign table"]
SHOWN, NOT_SHOWN = "Lizmap shows it", "Lizmap shows no such project"
# What the laptop says of names is Lizmap's own rule: C2.
PROJECTS = {
    **dict.fromkeys(("carte 1", "a-b.c_d"), SHOWN),
    **dict.fromkeys(("été", "a,b", "x;y", "carte d'été (v2).1"), NOT_SHOWN),
}
MESH = "MESH2D\nND 1 2.0 46.0 1.0\nND 2 3.0 46.0 1.0\nND 3 2.5 47.0 1.0\nE3T 1 1 2 3 1\n"
# Lizmap 3.9 wants a provider and a map-layer-style-manager of each layer: C4.
KINDS = {
    ("mesh_2dm", OLDER_QGIS): NOT_SHOWN,
    ("mesh_2dm", NEWER_QGIS): NOT_SHOWN,
    ("mesh_2dm", NEWEST_QGIS): NOT_SHOWN,
    ("group_layer", NEWER_QGIS): NOT_SHOWN,
    ("annotation", NEWER_QGIS): NOT_SHOWN,
    ("vector_tiles", OLDER_QGIS): NOT_SHOWN,
    ("vector_tiles", NEWER_QGIS): SHOWN,
    ("vector_tiles", NEWEST_QGIS): SHOWN,
    ("xyz_local", OLDER_QGIS): SHOWN,
    ("raster", NEWER_QGIS): SHOWN,
}
"""What QGIS itself wrote of each kind of layer, and what Lizmap does with its project."""
RIVERS = Layer(
    "service='poppyfield' key='id' srid=4326 type=Polygon table=\"public\".\"two\" (geom)", "postgres", "Rivers"
)


def write(repository: Path, name: str, project: str) -> None:
    """Write a project with its .cfg."""
    (repository / f"{name}.qgs").write_text(project, "utf-8")
    (repository / f"{name}.qgs.cfg").write_text(configuration_of(project), "utf-8")


@pytest.fixture(scope="module")
def server(
    lizmap_image: str, network: str, query: Query, on: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lizmap]:
    """Run Lizmap with a repository that has all projects."""
    folder = tmp_path_factory.mktemp("gallery")
    folder.chmod(0o755)
    repository = folder / "projects" / "gallery"
    repository.mkdir(parents=True)
    for number, drawn in enumerate(HERE):
        write(repository, f"g{number}", drawn.write(repository))
    meadow = projects.geojson(repository)
    if on != "stand-in":
        (repository / "dam.2dm").write_text(MESH, "utf-8")
        for name in PROJECTS:
            write(repository, name, projects.qgs([meadow]))
        for name, version in KINDS:
            write(repository, f"{name} {version}", written(name, version))
    write(repository, "later", projects.qgs([meadow, RIVERS]))
    query(f"SET ROLE gis; {SQL.replace(projects.POSTGIS_SQL, '')}", "gis")
    with lizmap(lizmap_image, folder, network) as running:
        running.wait_until_healthy()
        running.publish("gallery", "__anonymous", "users", "admins")
        yield running


@pytest.mark.long
@pytest.mark.parametrize("drawn", HERE, ids=lambda drawn: drawn.what)
def test_each_project_is_drawn(server: Lizmap, on: str, drawn: Drawn) -> None:
    answer = server.map(f"gallery/g{HERE.index(drawn)}", drawn.layers)
    shown = answer.headers["Content-Type"].startswith("image/")
    got = colours(image_of(answer)) if shown else answer.text[:300]
    report.record(drawn.what, "project", on, drawn.expected, got)
    assert got == drawn.expected, drawn.reason


@pytest.mark.long
@pytest.mark.usefixtures("a_release")
@pytest.mark.parametrize("name", PROJECTS)
def test_what_the_laptop_says_of_a_name_is_what_lizmap_does(server: Lizmap, on: str, name: str) -> None:
    got = SHOWN if server.page(f"gallery/{name}").status_code == HTTPStatus.OK else NOT_SHOWN
    report.record(f"project {name}, in Lizmap", "project", on, PROJECTS[name], got)
    assert got == PROJECTS[name]


@pytest.mark.long
@pytest.mark.usefixtures("a_release")
@pytest.mark.parametrize(("name", "version"), KINDS)
def test_what_the_laptop_says_of_a_kind_of_layer_is_what_lizmap_does(
    server: Lizmap, on: str, name: str, version: str
) -> None:
    expected = KINDS[name, version]
    got = SHOWN if server.page(f"gallery/{name} {version}").status_code == HTTPStatus.OK else NOT_SHOWN
    report.record(f"{name} by QGIS {version}, in Lizmap", "project", on, expected, got)
    assert got == expected
    if got == NOT_SHOWN:
        assert "Missing keys: " in server.run("tail", "-n", "40", PATH)[1]


def test_a_layer_that_is_bad_later_takes_no_other_with_it(server: Lizmap, on: str, query: Query) -> None:
    query("ALTER TABLE two RENAME TO two_away", "gis")
    try:
        wait_until(lambda: server.map("gallery/later").ok, "the map goes on without its bad layer", server.log)
        got = colours(image_of(server.map("gallery/later")))
        report.record("a table that is renamed away later", "project", on, FIELD, got)
        assert got == FIELD
        code, said = server.run("healthcheck")
        assert code == 0 and "Left out: gallery/later.qgs (layer_id_Rivers)\n" in said
    finally:
        query("ALTER TABLE two_away RENAME TO two", "gis")
