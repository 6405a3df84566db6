"""The gallery's projects on the map page's own server: each is drawn as it should be."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest
from ansible.module_utils.poppyfield.projects.drawn_texts import IN_IMAGE

from tests.gallery import report
from tests.gallery.drawn_projects import DRAWN, FOREIGN, SQL, Drawn, colours
from tests.images.map_server import PREFIX, MapServer, database, map_server


@pytest.fixture(scope="module")
def server(postgis_image: str, lizmap_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MapServer]:
    """Run a map server with a repository for each project, and their database."""
    folder = tmp_path_factory.mktemp("gallery")
    folder.chmod(0o755)
    for number, drawn in enumerate(DRAWN):
        repository = folder / "projects" / f"g{number}"
        repository.mkdir(parents=True)
        (repository / "map.qgs").write_text(drawn.write(repository), "utf-8")
    with database(postgis_image, folder, SQL) as network:
        command = ["psql", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "gis", "-c", FOREIGN]
        code, output = MapServer(docker.from_env().containers.get(f"{PREFIX}postgis")).run(*command, user="postgres")
        assert code == 0, output
        with map_server(lizmap_image, folder, network) as running:
            running.wait_until_healthy()
            yield running


@pytest.mark.long
@pytest.mark.parametrize("drawn", DRAWN, ids=lambda drawn: drawn.what)
def test_each_project_is_drawn(server: MapServer, drawn: Drawn) -> None:
    try:
        got = colours(server.picture(f"g{DRAWN.index(drawn)}/map", LAYERS=drawn.layers))
    except AssertionError as error:
        got = str(error)[:300]
    report.record(drawn.what, "project", "map page", drawn.expected, got)
    assert got == drawn.expected, drawn.reason


def test_the_fonts_that_projects_may_use_are_those_of_the_image(server: MapServer) -> None:
    # It complains that it can keep nothing.
    code, said = server.run("bash", "-c", "fc-list --format '%{family[0]}\\n' 2> /dev/null")
    assert code == 0, said
    assert {name.lower() for name in said.splitlines()} == IN_IMAGE
