"""published_map against the real Lizmap Web Client: what works passes, and each fault is found by the right check."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.poppyfield.containers.health import HOPELESS
from ansible.module_utils.poppyfield.lizmap.errors_log import PATH, last_errors

from tests.gallery import report
from tests.images import projects
from tests.images.map_server import PREFIX, REQUEST_SECONDS, wait_until
from tests.images.projects import Layer
from tests.lizmap.conftest import Query
from tests.lizmap.lizmap import ADMIN_PASSWORD, Lizmap, configuration, edited, lizmap

ROOT = Path(__file__).resolve().parents[2]
TABLE = """
    DROP TABLE IF EXISTS observations;
    CREATE TABLE observations (id serial PRIMARY KEY, species text NOT NULL, seen date, geom geometry(Point, 4326));
    INSERT INTO observations (species, geom)
        SELECT 'kestrel', ST_SetSRID(ST_MakePoint(2 + n * 0.15, 46 + n * 0.08), 4326) FROM generate_series(1, 10) n;
    ALTER TABLE observations OWNER TO gis;
    DROP TABLE IF EXISTS parcels;
    CREATE TABLE parcels (id serial PRIMARY KEY, whose text, geom geometry(Polygon, 4326));
    INSERT INTO parcels (whose, geom) VALUES ('admins', ST_MakeEnvelope(1, 45, 2.5, 46.4, 4326));
    ALTER TABLE parcels OWNER TO gis"""
PARCELS = Layer(
    "service='poppyfield' key='id' srid=4326 type=Polygon table=\"public\".\"parcels\" (geom)",
    provider="postgres",
    name="parcels",
    fields=("id", "whose"),
)


def observations(style: str = "", fields: tuple[str, ...] = ("id", "species", "seen")) -> Layer:
    """Give the layer that can be edited."""
    return Layer(
        "service='poppyfield' key='id' srid=4326 type=Point checkPrimaryKeyUnicity='1' "
        'table="public"."observations" (geom)',
        provider="postgres",
        name="observations",
        geometry="Point",
        style=style or projects.single_symbol(projects.marker()),
        fields=fields,
    )


# What Lizmap's plugin for QGIS Desktop writes of who sees which features of a layer: what follows the name of who logs
# in, or lies in the polygons of a group of theirs.
FILTERS: dict[str, dict[str, Any]] = {
    "login": {
        "loginFilteredLayers": {
            "observations": {
                **{"layerId": observations().id, "filterAttribute": "species", "filterPrivate": "True"},
                **{"edition_only": "False", "order": 0},
            }
        }
    },
    "polygon": {
        "filter_by_polygon": {
            "config": {"polygon_layer_id": PARCELS.id, "group_field": "whose", "filter_by_user": False},
            "layers": [
                {
                    **{"layer": observations().id, "primary_key": "id", "filter_mode": "display_and_editing"},
                    **{"spatial_relationship": "intersects", "use_centroid": "False"},
                }
            ],
        }
    },
}


PRINTED = {
    "config": {"default_popup_print": False},
    "list": [
        {
            **{"layout": "page", "enabled": True, "allowed_groups": ""},
            **{"formats_available": ["pdf"], "default_format": "pdf", "dpi_available": ["96"], "default_dpi": "96"},
        }
    ],
}
"""What Lizmap's plugin writes of a layout that people may print."""


def write_project(folder: Path, name: str, layers: list[Layer], **settings: Any) -> None:
    """Write a project whose observations may be edited, and which can be printed."""
    edition = {layer.name: edited(layer) for layer in layers if layer.name == "observations"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.qgs").write_text(projects.qgs(layers, projects.layout("page")), "utf-8")
    settings = {"editionLayers": edition, "layouts": PRINTED, **settings}
    (folder / f"{name}.qgs.cfg").write_text(configuration(layers, **settings), "utf-8")


@contextmanager
def running(
    image: str, folder: Path, network: str, ready: Callable[[Lizmap], Any] = Lizmap.wait_until_healthy, **options: Any
) -> Iterator[Lizmap]:
    """Run Lizmap with a repository for everybody, in which administrators may edit, and one for nobody."""
    folder.chmod(0o755)
    survey = folder / "projects" / "survey"
    write_project(survey, "points", [observations()])
    write_project(survey, "unseen", [observations(projects.single_symbol(projects.marker(color="0,0,0,0")))])
    write_project(survey, "empty", [])
    write_project(survey, "computed", [observations(fields=("id", "species", "seen", "twice"))])
    for name, settings in FILTERS.items():
        write_project(survey, f"by_{name}", [observations(), PARCELS], **settings)
    write_project(folder / "projects" / "closed", "points", [observations()])
    with lizmap(image, folder, network, **options) as server:
        ready(server)
        server.publish("survey", "__anonymous", "users", "admins")
        server.console("acl2:add", "admins", "lizmap.tools.edition.use", "survey")
        server.console("repository:create", "closed", "Closed", "/srv/projects/closed/")
        yield server


@pytest.fixture(scope="module")
def server(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lizmap]:
    with running(lizmap_image, tmp_path_factory.mktemp("survey"), network) as started:
        yield started


@pytest.fixture(autouse=True)
def _table(query: Query) -> None:
    query(TABLE, "gis")


def check(server: Lizmap, project: str | None = "survey/points", **arguments: Any) -> dict[str, Any]:
    """Run the module as Ansible does."""
    given = {"url": server.url, "web_client": "lizmap", "project": project, "timeout": REQUEST_SECONDS, **arguments}
    return run_module("published_map", given)


def trial_of(server: Lizmap, project: str = "survey/points") -> dict[str, Any]:
    """Give what editing_trial finds of the layer."""
    layer = {"map": project, "layer": "observations", "layer_id": observations().id, "table": "observations"}
    found: dict[str, Any] = run_module("editing_trial", {"layers": [layer], "container": server.container.name})
    trial: dict[str, Any] = found["trials"][0]
    return trial


def run_module(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run a module of the project by Ansible."""
    command = [sys.executable, "-m", "ansible", "adhoc", "--inventory", "localhost,", "--connection", "local"]
    command += ["--extra-vars", json.dumps({"ansible_python_interpreter": sys.executable})]
    command += ["--module-name", name, "--args", json.dumps(arguments), "localhost"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert " => " in done.stdout, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout.partition(" => ")[2])
    return result


def as_admin(server: Lizmap, project: str = "survey/points", **arguments: Any) -> dict[str, Any]:
    return check(server, project, user="admin", password=ADMIN_PASSWORD, **arguments)


def failed(result: dict[str, Any]) -> str:
    assert not result["verified"], result
    return str(result["checks"][-1]["check"])


def rows(query: Query) -> int:
    return int(query("SELECT count(*) FROM observations", "gis"))


def written(query: Query) -> int:
    """Tell how many rows have ever been written."""
    return int(query("SELECT last_value FROM observations_id_seq", "gis"))


def test_a_map_for_everybody_works_for_everybody(server: Lizmap, query: Query) -> None:
    result = check(server)
    assert result["verified"], result
    assert result["features"] == {"observations": 10}
    assert result["drawn"] == {"observations": "drawn"}
    assert result["checks"][-1] == {"check": "editing", "ok": True, "detail": "no layer to edit"}
    assert written(query) == 10


@pytest.mark.usefixtures("a_release")
def test_who_may_edit_sees_a_form_and_sends_nothing(server: Lizmap, query: Query, on: str) -> None:
    trial = trial_of(server)
    assert trial == {**trial, "problem": "", "untried": "", "needed": ["species"], "counting": "", "form_fails": ""}
    for _ in range(10):
        result = as_admin(server, editing="required", trials=[trial])
        assert result["verified"], result
        detail, expected = result["checks"][-1]["detail"], "observations: its form opens; PostgreSQL takes a row"
        report.record("edited table: form that opens", "project", on, expected, detail)
        assert detail == expected
    assert (rows(query), written(query)) == (10, 10)


FORMS = {
    "form with a generated column": (
        "survey/computed",
        "ALTER TABLE observations ADD twice int GENERATED ALWAYS AS (id * 2) STORED",
        "generated columns (twice)",
    ),
    "form without a key": (
        "survey/points",
        "ALTER TABLE observations DROP CONSTRAINT observations_pkey",
        "it has no key that Lizmap can use",
    ),
}


@pytest.mark.usefixtures("a_release")
@pytest.mark.parametrize("name", FORMS)
def test_a_form_that_does_not_open_is_told_with_its_cause(server: Lizmap, query: Query, on: str, name: str) -> None:
    project, sql, said = FORMS[name]
    query(sql, "gis")
    result = as_admin(server, project, trials=[trial_of(server, project)])
    assert result["verified"], result
    detail = result["checks"][-1]["detail"]
    cause = f"its form does not open: {said}"
    got = cause if "does not open" in detail and said in detail else detail
    report.record(f"edited table: {name}", "project", on, cause, got)
    assert got == cause
    assert rows(query) == 10


@pytest.mark.parametrize("by", FILTERS)
def test_a_layer_that_is_filtered_is_tried_without_a_trace(server: Lizmap, query: Query, on: str, by: str) -> None:
    """Under a filter nobody finds again what does not pass it, and so nobody could remove it."""
    before = (rows(query), written(query))
    for _ in range(2):
        trial = trial_of(server, f"survey/by_{by}")
        assert (trial["problem"], trial["untried"]) == ("", ""), trial
        if on != "stand-in":
            result = as_admin(server, f"survey/by_{by}", editing="required", trials=[trial])
            assert result["verified"], result
            assert result["checks"][-1]["detail"] == "observations: its form opens; PostgreSQL takes a row"
    traces = "no trace" if (rows(query), written(query)) == before else "a row, or a step of its sequence"
    report.record(f"edited table: filtered by {by}", "project", on, "no trace", traces)
    assert traces == "no trace"


@pytest.mark.usefixtures("a_release")
def test_a_layout_is_printed(server: Lizmap, on: str) -> None:
    result = check(server)
    assert result["verified"], result
    (printed,) = [entry["detail"] for entry in result["checks"] if entry["check"] == "print"]
    got = "a page" if re.fullmatch(r"page: \d+ bytes", printed) else printed
    report.record("layout, printed", "project", on, "a page", got)
    assert got == "a page"


def errors_log(server: Lizmap) -> list[str]:
    """Read Lizmap's log by the role's own command."""
    (task,) = yaml.safe_load((ROOT / "roles" / "lizmap" / "tasks" / "errors_log.yml").read_text("utf-8"))
    command = task["ansible.builtin.raw"].replace("{{ lizmap_container_name | quote }}", server.container.name)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return last_errors(done.stdout)


def test_what_is_in_the_log_of_errors_is_read_while_it_is_new(server: Lizmap) -> None:
    entry = "2099-01-01 20:00:00\\t[0]\\tof this test\\t/a.php\\t1\\n\\n"
    assert server.run("sh", "-c", f"printf '{entry}' >> {PATH}") == (0, "")
    assert errors_log(server) == ["2099-01-01 20:00:00: of this test"]
    assert server.run("touch", "--date=1 hour ago", PATH) == (0, "")
    assert errors_log(server) == []
    assert server.run("sh", "-c", f": > {PATH}") == (0, "")


@pytest.mark.usefixtures("a_release")
def test_what_lizmap_writes_of_a_form_that_fails_can_be_quoted(server: Lizmap, query: Query, on: str) -> None:
    query("ALTER TABLE observations ADD twice int GENERATED ALWAYS AS (id * 2) STORED", "gis")
    result = as_admin(server, "survey/computed")
    assert result["verified"] and result["is_in_errors_log"], result
    said = errors_log(server)
    # It asks PostgreSQL for what a column is generated from, as for a default.
    cause = "PostgreSQL's words of id * 2"
    got = cause if any("(id * 2)" in line for line in said) else "; ".join(said)
    report.record("edited table: form that fails, its log", "project", on, cause, got)
    assert got == cause, server.log()


def test_the_list_of_projects(server: Lizmap) -> None:
    result = check(server, None)
    assert {"id": "survey/points", "title": "points"} in result["projects"]
    assert not [entry for entry in result["projects"] if entry["id"].startswith("closed/")]


def test_a_wrong_password(server: Lizmap) -> None:
    result = check(server, user="admin", password="not the password")
    assert failed(result) == "login"
    assert "does not let admin in" in result["msg"]


def test_rights_that_are_missing(server: Lizmap) -> None:
    result = check(server, "closed/points")
    assert failed(result) == "page"
    assert "lizmap.repositories.view" in result["msg"]


def test_a_project_that_is_missing(server: Lizmap) -> None:
    result = check(server, "survey/nowhere")
    assert failed(result) == "page"
    assert ".qgs.cfg" in result["msg"]


def test_an_empty_project(server: Lizmap) -> None:
    result = check(server, "survey/empty")
    assert failed(result) == "capabilities"
    assert "no layer" in result["msg"]


def test_a_layer_that_draws_nothing(server: Lizmap) -> None:
    result = check(server, "survey/unseen")
    assert failed(result) == "layers"
    assert "observations has features, but nothing is drawn" in result["msg"]


def test_a_layer_whose_table_is_gone_shows_nothing(server: Lizmap, query: Query) -> None:
    """A worker that read the project before tells no more than that; one that has not, as in a new release, does."""
    query("DROP TABLE observations", "gis")
    result = check(server)
    if result["verified"]:
        assert (result["feature_count"], result["drawn"]) == (0, {})
    else:
        assert "observations" in result["msg"] or "each layer" in result["msg"]


@pytest.mark.usefixtures("a_release")
def test_the_map_of_the_demo(lizmap_image: str, network: str, tmp_path: Path) -> None:
    command = ["docker", "exec", "-i", f"{PREFIX}postgis", "psql", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres"]
    sql = (ROOT / "workshop" / "demo" / "sample" / "sample.sql").read_text("utf-8")
    subprocess.run([*command, "-d", "gis"], input=f"SET ROLE gis; {sql}", text=True, check=True)
    tmp_path.chmod(0o755)
    shutil.copytree(ROOT / "workshop" / "demo" / "sample" / "projects", tmp_path / "projects")
    with lizmap(lizmap_image, tmp_path, network) as server:
        server.wait_until_healthy()
        server.publish("sample", "__anonymous", "users")
        server.console("acl2:add", "__anonymous", "lizmap.tools.edition.use", "sample")
        result = check(server, "sample/france", editing="required")
    assert result["verified"], result
    assert result["features"]["departments"] == 96
    assert "its form opens" in result["checks"][-1]["detail"]


def test_php_that_does_not_run(server: Lizmap) -> None:
    assert server.run("s6-svc", "-wD", "-T", "10000", "-d", "/run/service/php-fpm", user="root")[0] == 0
    try:
        result = check(server, timeout=3)
    finally:
        assert server.run("s6-svc", "-wU", "-T", "10000", "-u", "/run/service/php-fpm", user="root")[0] == 0
    assert failed(result) == "page"
    assert "not PHP behind it" in result["msg"]


def test_a_plugin_that_is_missing(lizmap_image: str, network: str, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    mounts = {str(nothing): "/usr/share/poppyfield/qgis-plugins/lizmap_server"}

    def is_noticed(server: Lizmap) -> None:
        wait_until(lambda: server.run("healthcheck")[0] == HOPELESS, "the health check misses it", server.log)
        assert "did not load its plugin lizmap_server" in server.run("healthcheck")[1]

    with running(lizmap_image, tmp_path, network, is_noticed, mounts=mounts) as server:
        result = check(server)
    assert failed(result) == "page"
    assert "plugin lizmap_server is missing" in result["msg"]
