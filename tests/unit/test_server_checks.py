"""What QGIS Server answers and writes about a project becomes a sentence for each layer.

The words of its log are those that a real one wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, Result
from ansible.module_utils.poppyfield.projects.server_checks import (
    ProjectServer,
    QgisServerAnswer,
    check_projects,
    map_request,
    parse_answer,
    read_ground,
)
from docker import errors

from tests.doubles.docker_engine import FakeDocker

CAPABILITIES = """<?xml version="1.0" encoding="utf-8"?>
<WMS_Capabilities xmlns="http://www.opengis.net/wms" version="1.3.0"><Capability><Layer><Name>Test</Name>
  <EX_GeographicBoundingBox><westBoundLongitude>2</westBoundLongitude><eastBoundLongitude>4</eastBoundLongitude>
  <southBoundLatitude>46</southBoundLatitude><northBoundLatitude>47</northBoundLatitude></EX_GeographicBoundingBox>
  <Layer><Name>meadow</Name></Layer><Layer><Name>Group</Name><Layer><Name>rivers</Name></Layer></Layer>
  <Layer><Title>without a name</Title></Layer>
</Layer></Capability></WMS_Capabilities>"""
# The project itself has a name even so.
NO_LAYER = CAPABILITIES.partition("  <Layer>")[0] + "</Layer></Capability></WMS_Capabilities>"
NOT_VALID = '<?xml version="1.0" encoding="UTF-8"?>\n<ServerException>Layer(s) not valid</ServerException>\n'
OPENED = QgisServerAnswer(200, "text/xml", CAPABILITIES)
DRAWN = QgisServerAnswer(200, "image/png", "\ufffdPNG")
REFUSED = QgisServerAnswer(500, "text/xml", NOT_VALID)
LAYERS: dict[str, dict[str, Any]] = {
    "rivers_1": {
        **{"name": "Rivers", "about": "the table public.rivers", "written": ['"public"."rivers"'], "database": True}
    },
    "woods_2": {"name": "Woods", "about": "the file ./woods.gpkg", "written": ["woods.gpkg", "trees"]},
    "roads_5": {"name": "Roads", "about": "the layer of ./base.qgs that it is", "embedded_in": "./base.qgs"},
    "relief_3": {"name": "Relief", "about": "the file ./relief.tif", "written": ["relief.tif"]},
}
STAMP = "14:17:39 WARNING"
QUERY = "SELECT has_table_privilege('\"public\".\"rivers\"','SELECT')"
NO_TABLE = f"""{STAMP} FCGIServer[238]: Socket monitoring disabled: no socket fd!
{STAMP} PostGIS[238]: Erroneous query: {QUERY} returned 7 [ERROR:  relation "public.rivers" does not exist
]
{STAMP} PostGIS[238]: Unable to determine table access privileges for the "public"."rivers" relation.
The error message from the database was:
ERROR:  relation "public.rivers" does not exist
.
SQL: {QUERY}
"""
NO_COLUMN = NO_TABLE.replace('relation "public.rivers" does', 'column "shape" of relation "rivers" does')
NO_RIGHT = f'{STAMP} PostGIS[272]: User has no SELECT privilege on "public"."rivers" relation.\n'
NO_FILE = f"{STAMP} OGR[175]: Cannot open /srv/projects/.poppyfield/f/staged/woods.gpkg ().()\n"
NO_PART = f"{STAMP} OGR[206]: Cannot find layer trees.()\n"
NO_SERVICE = f'{STAMP} PostGIS[374]: Connection to database failed\ndefinition of service "office" not found\n\n'
NO_DATABASE = (
    f'{STAMP} PostGIS[442]: Connection to database failed\nconnection to server at "postgis" (172.18.0.2), port 5432 '
    'failed: FATAL:  database "nodb" does not exist\n\n'
)
NO_HOST = f'{STAMP} PostGIS[442]: Connection to database failed\ncould not translate host name "postgis" to address\n'
BAD_FILTER = f"""{STAMP} PostGIS[408]: Erroneous query: SELECT ST_3DExtent("geom") FROM "public"."rivers" \
WHERE ("nix" = 1) returned 7 [ERROR:  column "nix" does not exist
LINE 1: ...ST_3DExtent("geom") FROM "public"."rivers" WHERE ("nix" = 1)
]
"""
BROKEN = (
    "14:17:59 CRITICAL Server[768]: Error when loading project file '/srv/x.qgs': unexpected end of file at line 12.\n"
)


def not_valid(*keys: str) -> str:
    """Give what QGIS Server writes last when it refuses a project."""
    return f"14:17:38 CRITICAL Server[175]: Error, Layer(s) {', '.join(keys)} not valid in project /srv/x.qgs\n"


class Server:
    """Answers from a list, and remembers what it was asked for."""

    def __init__(self, *answers: QgisServerAnswer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []

    def ask(self, parameters: Mapping[str, str]) -> QgisServerAnswer:
        self.asked.append(("running", parameters["REQUEST"]))
        return self.answers.pop(0)

    def ask_alone(self, parameters: Mapping[str, str], *, leave_out: bool = False) -> QgisServerAnswer:
        self.asked.append(("leaving out" if leave_out else "alone", parameters["REQUEST"]))
        return self.answers.pop(0)


def check(*answers: QgisServerAnswer) -> tuple[list[str], list[tuple[str, str]]]:
    """Check one project; give the good ones, and each layer with its problem."""
    good, found = check_projects(Server(*answers), "fields", "/srv/projects/.x", {"map.qgs": LAYERS})
    assert all((finding.repository, finding.project) == ("fields", "map.qgs") and finding.remedy for finding in found)
    return good, [(finding.layer, finding.problem) for finding in found]


def alone(log: str, status: int = 500) -> QgisServerAnswer:
    """Give the answer of a server that tells everything."""
    return QgisServerAnswer(status, "text/xml", NOT_VALID if status == 500 else CAPABILITIES, log)


@pytest.mark.parametrize(
    "body", [CAPABILITIES[:200], CAPABILITIES.replace(">46<", ">south<"), CAPABILITIES.replace("<Name>", "<Name>\x08")]
)
def test_capabilities_that_cannot_be_read_are_a_finding(body: str) -> None:
    ((layer, problem),) = check(QgisServerAnswer(200, "text/xml", body))[1]
    assert layer == "" and problem.startswith("QGIS Server's capabilities of it cannot be read (")


def test_a_good_project_is_asked_for_twice_and_no_server_is_started() -> None:
    server = Server(OPENED, DRAWN)
    assert check_projects(server, "fields", "/srv/projects/.x", {"map.qgs": LAYERS}) == (["map.qgs"], [])
    assert server.asked == [("running", "GetCapabilities"), ("running", "GetMap")]


WITH_SERVER = {**LAYERS, "wms_1": {"name": "Photos", "about": "its source", "server": True}}


def test_a_project_may_open_without_the_layers_of_servers_that_are_not_reached() -> None:
    server = Server(REFUSED, alone(not_valid("wms_1")), OPENED, DRAWN)
    found = check_projects(server, "fields", "/srv/projects/.x", {"map.qgs": WITH_SERVER}, without_servers=True)
    assert found == (["map.qgs"], [])
    assert server.asked[2:] == [("leaving out", "GetCapabilities"), ("leaving out", "GetMap")]


@pytest.mark.parametrize(
    ("bad", "without_servers", "named"),
    [
        (["wms_1"], False, ["Photos"]),
        (["wms_1", "rivers_1"], True, ["Photos", "Rivers"]),
        (["rivers_1"], True, ["Rivers"]),
    ],
)
def test_any_other_layer_is_strictly_asked_for(bad: list[str], without_servers: bool, named: list[str]) -> None:
    server = Server(REFUSED, alone(not_valid(*bad)))
    good, found = check_projects(
        server, "fields", "/srv/projects/.x", {"map.qgs": WITH_SERVER}, without_servers=without_servers
    )
    assert (good, [finding.layer for finding in found]) == ([], named)


def test_a_worker_that_fails_once_is_not_the_projects_fault() -> None:
    """As each does after a restart of the database."""
    assert check(REFUSED, alone("", 200), QgisServerAnswer(502, "text/html", ""), DRAWN) == (["map.qgs"], [])


NEW_WORDS = f"{STAMP} Raster[206]: relief.tif: band 9\nis of moss.\n"
NOTHING_SAID = ", and writes nothing of it: it is damaged, or of a kind that this QGIS Server does not know."
REASONS = [
    (NO_TABLE, "rivers_1", "Rivers", "public.rivers is not in the Pi's database."),
    (NO_TABLE.replace("relation", "schema"), "rivers_1", "Rivers", "public.rivers is not in the Pi's database."),
    (NO_COLUMN, "rivers_1", "Rivers", "its table has no column 'shape'."),
    (NO_RIGHT, "rivers_1", "Rivers", 'the map server\'s role may not read the table "public"."rivers".'),
    (NO_SERVICE, "rivers_1", "Rivers", "a Pi has no service 'office'."),
    (NO_DATABASE, "rivers_1", "Rivers", 'the Pi\'s database refuses the map server: database "nodb" does not exist.'),
    (NO_HOST, "rivers_1", "Rivers", "the Pi's database does not answer the map server."),
    (NO_FILE, "woods_2", "Woods", "QGIS Server cannot read woods.gpkg: it is damaged, or of another kind."),
    (NO_PART, "woods_2", "Woods", "its file has no layer 'trees'."),
    ("", "relief_3", "Relief", f"QGIS Server cannot open the file ./relief.tif{NOTHING_SAID}"),
    (NEW_WORDS, "relief_3", "Relief", "QGIS Server cannot open the file ./relief.tif: relief.tif: band 9 is of moss."),
    ("", "roads_5", "Roads", "it is embedded from ./base.qgs, and QGIS Server does not open it there."),
    # A connection that fails is no reason for a file, and an unknown layer still has its id.
    (NO_SERVICE, "relief_3", "Relief", f"QGIS Server cannot open the file ./relief.tif{NOTHING_SAID}"),
    ("", "other_4", "other_4", f"QGIS Server cannot open its source{NOTHING_SAID}"),
]


@pytest.mark.parametrize(("log", "key", "layer", "problem"), REASONS)
def test_why_a_layer_does_not_open(log: str, key: str, layer: str, problem: str) -> None:
    assert check(REFUSED, alone(log + not_valid(key))) == ([], [(layer, problem)])


def test_each_of_several_layers_has_its_own_reason() -> None:
    log = NO_FILE + NO_TABLE + not_valid("rivers_1", "relief_3", "woods_2")
    _, found = check(REFUSED, alone(log))
    assert [layer for layer, _ in found] == ["Rivers", "Relief", "Woods"]
    assert [problem.split()[0] for _, problem in found] == ["public.rivers", "QGIS", "QGIS"]
    assert "woods.gpkg" in found[2][1]


def test_a_query_that_fails_behind_a_good_answer_is_noticed() -> None:
    """QGIS Server then answers, and the layer stays empty."""
    told = check(QgisServerAnswer(200, "text/xml", CAPABILITIES, BAD_FILTER), alone(BAD_FILTER, 200))
    assert told == ([], [("Rivers", "its table has no column 'nix'.")])


def test_a_query_that_fails_for_somebody_elses_map_is_not_the_projects_fault() -> None:
    somebody = BAD_FILTER.replace("rivers", "theirs")
    assert check(QgisServerAnswer(200, "text/xml", CAPABILITIES, somebody), alone("", 200), DRAWN) == (["map.qgs"], [])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            QgisServerAnswer(500, "text/xml", "<ServerException>Project file error</ServerException>", BROKEN),
            "end of file at line 12",
        ),
        (
            QgisServerAnswer(500, "text/xml", "<ServerException>Project file error</ServerException>"),
            "Project file error",
        ),
        (
            QgisServerAnswer(400, "text/xml", '<ServiceException code="x">No such layer</ServiceException>'),
            "No such layer",
        ),
        (
            QgisServerAnswer(
                400, "text/xml", "<ServiceException>Layer &quot;d&apos;&#xC9;t&#233;&quot;</ServiceException>"
            ),
            'Layer "d\'Été"',
        ),
        (QgisServerAnswer(0, "", "", "Segmentation fault\n"), "Segmentation fault"),
        (QgisServerAnswer(0, "", ""), "it gave no answer in time"),
        (
            QgisServerAnswer(200, "text/xml", BAD_FILTER, BAD_FILTER.replace("rivers", "x")),
            'column "nix" does not exist',
        ),
    ],
)
def test_what_is_not_told_of_a_layer_is_told_of_the_project(answer: QgisServerAnswer, said: str) -> None:
    good, ((layer, problem),) = check(REFUSED, answer)
    assert good == [] and layer == "" and problem.startswith("QGIS Server does not draw it: ") and said in problem
    assert check(OPENED, REFUSED, answer)[1] == [(layer, problem)]


def test_a_project_without_layers_is_refused() -> None:
    assert check(QgisServerAnswer(200, "text/xml", NO_LAYER)) == ([], [("", "it has no layer that can be shown.")])


def test_a_layer_with_a_comma_in_its_name_is_not_asked_for_and_alone_it_is_named() -> None:
    """In a list of layers a comma ends a name, and QGIS Server knows no way to write one."""
    some = QgisServerAnswer(200, "text/xml", CAPABILITIES.replace("meadow", "Wood, old"))
    server = Server(some, DRAWN)
    assert check_projects(server, "fields", "/srv/projects/.x", {"map.qgs": LAYERS}) == (["map.qgs"], [])
    assert read_ground(some.body).layers == ("rivers",)
    alone = QgisServerAnswer(200, "text/xml", some.body.replace("<Name>rivers</Name>", ""))
    ((layer, problem),) = check(alone)[1]
    assert layer == "Wood, old" and "the comma in its name" in problem


def test_every_project_is_looked_at_though_one_is_bad() -> None:
    server = Server(REFUSED, alone(not_valid("relief_3")), OPENED, DRAWN)
    good, found = check_projects(server, "fields", "/srv/x", {"b.qgs": LAYERS, "a.qgs": LAYERS})
    assert good == ["b.qgs"] and [finding.project for finding in found] == ["a.qgs"]


# The map that is asked for -------------------------------------------------------------------------------------------


def test_the_layers_that_have_names_are_drawn_in_the_middle_of_the_ground() -> None:
    ground = read_ground(CAPABILITIES)
    assert ground == (("meadow", "rivers"), (2.0, 46.0, 4.0, 47.0), ())
    request = map_request(ground)  # type: ignore[arg-type]
    assert request["LAYERS"] == "meadow,rivers"
    west, south, east, north = map(float, request["BBOX"].split(","))
    assert west < 3.0 < east and south < 46.5 < north
    assert east - west == pytest.approx(0.002)


def test_ground_that_is_a_point_or_nowhere_has_some_extent() -> None:
    west, south, east, north = map(
        float,
        map_request(read_ground(NO_LAYER.split("<EX_")[0] + "</Layer></Capability></WMS_Capabilities>"))["BBOX"].split(
            ","
        ),
    )
    assert west < east and south < north


# Answers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status", "kind", "body"),
    [
        ("HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: image/png\r\n\r\npicture", 200, "image/png", "picture"),
        ("HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html>", 502, "text/html", "<html>"),
        ("Content-Type: text/xml; charset=utf-8\nStatus:  500\n\n<x/>", 500, "text/xml", "<x/>"),
        ("Content-Length: 4\nContent-Type: text/xml; charset=utf-8\n\n<x/>\n\n", 200, "text/xml", "<x/>\n\n"),
        ("", 0, "", ""),
    ],
)
def test_answers_of_a_web_server_and_of_a_program_are_read(text: str, status: int, kind: str, body: str) -> None:
    assert parse_answer(text, "log") == QgisServerAnswer(status, kind, body, "log")


# In the container ----------------------------------------------------------------------------------------------------


@pytest.fixture
def in_container(docker: FakeDocker) -> Callable[..., tuple[ProjectServer, list[list[str]]]]:
    """Give the server in a container that runs, and the commands that it runs."""

    def make(labels: dict[str, str] | None = None, running: bool = True) -> tuple[ProjectServer, list[list[str]]]:
        commands: list[list[str]] = []

        def run(argv: Any, _: Any) -> Result:
            commands.append(list(argv))
            return Result(0, "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n", "told")

        engine = Engine(docker, errors, run)
        container = {"State": {"Running": running}, "Config": {"Labels": labels}}
        engine.container = lambda name: container if name == "websig-lizmap" else None  # type: ignore[method-assign]
        engine.log_since = lambda name, since: f"since {since > 0}"  # type: ignore[assignment, method-assign]
        return ProjectServer(engine, "websig-lizmap", 60), commands

    return make


@pytest.mark.parametrize(
    ("labels", "user"), [({"fr.poppyfield.qgis-server-user": "qgis"}, "qgis"), ({}, "www-data"), (None, "www-data")]
)
def test_questions_are_asked_inside_as_the_user_of_qgis_server(
    in_container: Callable[..., Any], labels: dict[str, str] | None, user: str
) -> None:
    server, commands = in_container(labels)
    server.ask({"MAP": "/srv/projects/a.qgs"})
    server.ask_alone({"MAP": "/srv/projects/a.qgs"})
    server.refresh()
    assert [command[3:6] for command in commands] == [["--user", user, "websig-lizmap"]] * 3


def test_questions_are_asked_inside(in_container: Callable[..., Any]) -> None:
    server, commands = in_container()
    assert server.ask({"MAP": "/srv/projects/é a.qgs"}).log == "since True"
    assert server.ask_alone({"MAP": "/srv/projects/x.qgs"}).log == "told"
    first, second = commands
    assert first[:6] == ["docker", "exec", "-i", "--user", "www-data", "websig-lizmap"]
    assert first[6:9] == ["timeout", "60", "bash"]
    assert first[-1] == "MAP=%2Fsrv%2Fprojects%2F%C3%A9+a.qgs"
    assert "8081" in first[-3] and "qgis_mapserv.fcgi" in second[-4]
    # Strictly, unless it is to leave bad layers out.
    server.ask_alone({"MAP": "/srv/projects/x.qgs"}, leave_out=True)
    assert [command[-1] for command in commands[1:]] == ["0", "1"]


def test_workers_are_replaced_when_they_are_old_enough(in_container: Callable[..., Any]) -> None:
    server, commands = in_container()
    server.wait_until_refreshable()
    server.refresh()
    first, second = (command[-3] for command in commands)
    assert "/proc/uptime" in first and "kill -USR1" in second


@pytest.mark.parametrize(("labels", "asked"), [({"fr.poppyfield.web-client": "none"}, 1), ({}, 0), (None, 0)])
def test_only_the_map_page_has_a_catalogue(
    in_container: Callable[..., Any], labels: dict[str, str] | None, asked: int
) -> None:
    server, commands = in_container(labels)
    server.know("fields")
    assert [command[-1] for command in commands] == ["fields"] * asked


def test_a_container_must_run(in_container: Callable[..., Any], docker: FakeDocker) -> None:
    with pytest.raises(EngineError, match="websig-lizmap does not run"):
        in_container(running=False)
    with pytest.raises(EngineError, match="other does not run"):
        ProjectServer(Engine(docker, errors), "other", 60)
