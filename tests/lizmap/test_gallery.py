"""The gallery's projects on Lizmap, or on its stand-in, as its rows say then: each is drawn as it should be."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

import pytest

from tests.gallery import report
from tests.gallery.drawn_projects import DRAWN, FIELD, SQL, Drawn, colours
from tests.images import projects
from tests.images.map_server import wait_until
from tests.images.projects import Layer
from tests.lizmap.conftest import Query
from tests.lizmap.lizmap import Lizmap, configuration, image_of, lizmap

# The foreign table needs a superuser to be made, and is shown with the map page.
TABLES = [drawn for drawn in DRAWN if drawn.table and drawn.what != "foreign table"]
SHOWN, NOT_SHOWN = "Lizmap shows it", "Lizmap shows no such project"
# What the laptop says of names is Lizmap's own rule: C2.
PROJECTS = {
    **dict.fromkeys(("carte 1", "a-b.c_d"), SHOWN),
    **dict.fromkeys(("été", "a,b", "x;y", "carte d'été (v2).1"), NOT_SHOWN),
}
RIVERS = Layer(
    "service='poppyfield' key='id' srid=4326 type=Polygon table=\"public\".\"two\" (geom)", "postgres", "Rivers"
)


@pytest.fixture(scope="module")
def server(
    lizmap_image: str, network: str, query: Query, on: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lizmap]:
    """Run Lizmap with a repository that has all projects."""
    folder = tmp_path_factory.mktemp("gallery")
    folder.chmod(0o755)
    repository = folder / "projects" / "gallery"
    repository.mkdir(parents=True)
    for number, drawn in enumerate(TABLES):
        (repository / f"g{number}.qgs").write_text(drawn.write(repository), "utf-8")
        (repository / f"g{number}.qgs.cfg").write_text(configuration([Layer("", "postgres")]), "utf-8")
    meadow = projects.geojson(repository)
    for name in PROJECTS if on != "stand-in" else ():
        (repository / f"{name}.qgs").write_text(projects.qgs([meadow]), "utf-8")
        (repository / f"{name}.qgs.cfg").write_text(configuration([meadow]), "utf-8")
    (repository / "later.qgs").write_text(projects.qgs([meadow, RIVERS]), "utf-8")
    (repository / "later.qgs.cfg").write_text(configuration([meadow, RIVERS]), "utf-8")
    query(f"SET ROLE gis; {SQL.replace(projects.POSTGIS_SQL, '')}", "gis")
    with lizmap(lizmap_image, folder, network) as running:
        running.wait_until_healthy()
        running.publish("gallery", "__anonymous", "users", "admins")
        yield running


@pytest.mark.long
@pytest.mark.parametrize("drawn", TABLES, ids=lambda drawn: drawn.what)
def test_each_project_is_drawn(server: Lizmap, on: str, drawn: Drawn) -> None:
    answer = server.map(f"gallery/g{TABLES.index(drawn)}")
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
