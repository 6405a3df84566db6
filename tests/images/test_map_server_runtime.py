"""The map server at run time: when it is healthy, how it uses memory, what its front lets through, what it survives."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import requests

from tests.images import projects
from tests.images.map_server import PASSWORD, MapServer, map_server, volumes, wait_until
from tests.images.projects import GRASS, POPPY, Layer

IN_THE_MEADOW = 50, 50
HEALTH_FOLDER = "/usr/share/poppyfield/health"
ENDLESS = (
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) "
    "SELECT count(*) AS n, makepoint(3, 46.5, 4326) AS geometry FROM c"
)
Start = Callable[..., AbstractContextManager[MapServer]]


def publish(folder: Path) -> None:
    """Write a project whose map is a meadow, and one whose map is never done."""
    repository = folder / "projects" / "fields"
    repository.mkdir(parents=True)
    (repository / "meadow.qgs").write_text(projects.qgs([projects.geojson(repository)]), "utf-8")
    never = projects.virtual_layer(ENDLESS, "Point")
    (repository / "endless.qgs").write_text(projects.qgs([never]), "utf-8")
    many = projects.trees(repository, [projects.MIDDLE] * 50)
    (repository / "many.qgs").write_text(projects.qgs([many]), "utf-8")
    projects.write_zipped(repository / "zipped.qgz", projects.qgs([projects.geojson(repository)]))


@pytest.fixture
def start(lizmap_image: str, tmp_path: Path) -> Start:
    """Return what starts a map server with options of docker run."""
    tmp_path.chmod(0o755)
    publish(tmp_path)
    return lambda **options: map_server(lizmap_image, tmp_path, **options)


@pytest.fixture(scope="module")
def server(lizmap_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MapServer]:
    """Return a map server that the tests only ask."""
    folder = tmp_path_factory.mktemp("front")
    folder.chmod(0o755)
    publish(folder)
    with map_server(lizmap_image, folder, environment={"QGIS_SERVER_WORKERS": "1"}) as running:
        running.wait_until_healthy()
        yield running


def processes(server: MapServer, name: str) -> dict[str, str]:
    """Give the state of each process of this name by its number, as the container counts."""
    script = (
        "for folder in /proc/[0-9]*; do [[ $(< $folder/comm) == $0* ]] && stat=$(< $folder/stat) &&"
        ' stat=${stat##*) } && echo "${folder#/proc/} ${stat%% *}"; done 2> /dev/null; true'
    )
    _, output = server.run("bash", "-c", script, name)
    return dict(line.split() for line in output.splitlines())


# Health --------------------------------------------------------------------------------------------------------------


def test_a_health_check_leaves_no_trace_in_the_log(server: MapServer) -> None:
    before = server.log()
    assert server.run("healthcheck") == (0, "")
    assert server.log() == before


def test_a_map_server_that_draws_nothing_is_not_healthy(start: Start, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.geojson"
    nothing.write_text('{"type": "FeatureCollection", "features": []}', "utf-8")
    with start() as server:
        server.wait_until_healthy()
    with start(volumes=[f"{nothing}:{HEALTH_FOLDER}/square.geojson:ro", *volumes(tmp_path)]) as server:
        wait_until(lambda: "(HTTP/1.1 200 OK)" in server.run("healthcheck")[1], "a blank picture comes", server.log)
        code, said = server.run("healthcheck")
        assert (code, said) == (1, "healthcheck: QGIS Server did not draw the map (HTTP/1.1 200 OK).\n")


def test_a_worker_that_is_still_starting_is_waited_for(start: Start) -> None:
    with start(environment={"QGIS_SERVER_WORKERS": "1"}) as server:
        server.wait_until_healthy()
        (worker,) = processes(server, "qgis_mapserv")
        server.run("kill", "-STOP", worker, user="root")
        # The signal to go on comes when the check has long been waiting.
        script = '(sleep 5; kill -CONT "$0") & healthcheck'
        assert server.run("bash", "-c", script, worker, user="root") == (0, "")


def test_only_the_maps_port_is_open_to_the_network(server: MapServer) -> None:
    server.container.reload()
    (network,) = server.container.attrs["NetworkSettings"]["Networks"].values()
    assert reachable(network["IPAddress"], 8080)
    assert not reachable(network["IPAddress"], 8081)
    _, sockets = server.run("cat", "/proc/net/tcp", "/proc/net/tcp6")
    listening = {row.split()[1] for row in sockets.splitlines() if " 0A " in row}
    assert {address for address in listening if not address.startswith("0100007F:")} == {
        "00000000:1F90",
        f"{'0' * 32}:1F90",
    }


def reachable(address: str, port: int) -> bool:
    """Say whether something listens there."""
    with socket.socket() as probe:
        probe.settimeout(10)
        return probe.connect_ex((address, port)) == 0


# Memory --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "environment", "workers", "php"),
    [
        ("700m", {}, 1, 2),
        ("900m", {}, 1, 2),
        ("1500m", {}, 2, 4),
        ("3g", {}, 4, 8),
        ("8g", {}, 4, 8),
        ("900m", {"QGIS_SERVER_WORKERS": "3", "PHP_CHILDREN": "5"}, 3, 5),
    ],
)
def test_processes_follow_the_containers_memory_unless_they_are_given(
    start: Start, limit: str, environment: dict[str, str], workers: int, php: int
) -> None:
    with start(mem_limit=limit, environment=environment) as server:
        wait_until(lambda: len(processes(server, "qgis_mapserv")) == workers, f"{workers} workers", server.log)
        assert f"{workers} QGIS Server workers, up to {php} PHP processes, " in server.log()


@pytest.mark.parametrize(
    ("target", "content", "workers"),
    [
        ("/proc/meminfo", "MemTotal:         945364 kB\nMemFree: 9 kB\n", 1),
        ("/proc/meminfo", "MemTotal:        1944860 kB\nMemFree: 9 kB\n", 2),
        ("/sys/fs/cgroup/memory.max", f"{1500 * 1024 * 1024}\n", 2),
    ],
)
def test_the_machines_memory_and_a_limit_of_cgroup_v2_count_too(
    start: Start, tmp_path: Path, target: str, content: str, workers: int
) -> None:
    told = tmp_path / "told"
    told.write_text(content, "ascii")
    with start(volumes=[f"{told}:{target}:ro", *volumes(tmp_path)]) as server:
        wait_until(lambda: f"{workers} QGIS Server workers, " in server.log(), f"{workers} workers", server.log)


@pytest.mark.parametrize("name", ["QGIS_SERVER_WORKERS", "PHP_CHILDREN", "QGIS_SERVER_TIMEOUT", "POSTGIS_PORT"])
@pytest.mark.parametrize("value", ["0", "two", "-1"])
def test_a_number_that_is_none_ends_the_container_and_is_named(start: Start, name: str, value: str) -> None:
    with start(environment={name: value}) as server:
        assert server.container.wait(timeout=60)["StatusCode"] == 1
        assert f"entrypoint: {name} must be a positive whole number, not '{value}'." in server.log()


# The front -----------------------------------------------------------------------------------------------------------


def test_the_pages_own_files_are_kept_and_the_page_is_asked_for_again(server: MapServer) -> None:
    page = server.get("/")
    assert page.headers["Cache-Control"] == "no-cache"
    again = server.get("/", headers={"If-None-Match": page.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    script = page.text.partition('src="app.js')[2].partition('"')[0]
    kept = server.get(f"/app.js{script}")
    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert server.get("/app.js").headers["Cache-Control"] == "no-cache"


def test_a_part_of_a_file_can_be_asked_for(server: MapServer) -> None:
    part = server.get("/app.js", headers={"Range": "bytes=0-9", "Accept-Encoding": "identity"})
    assert (part.status_code, len(part.content)) == (206, 10)


@pytest.mark.parametrize("request_name", ["GetMap", "GetCapabilities"])
def test_no_answer_of_qgis_server_is_kept_by_browsers(server: MapServer, request_name: str) -> None:
    answer = server.wms("fields/meadow", request_name)
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "nginx"


def test_no_script_in_the_data_runs_in_a_browser(server: MapServer) -> None:
    click = {"QUERY_LAYERS": "meadow", "I": "50", "J": "50", "INFO_FORMAT": "text/html"}
    answer = server.wms("fields/meadow", "GetFeatureInfo", **click)
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "script-src 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("kind", ["GML2", "GML3", "application/json"])
def test_features_are_sent_compressed(server: MapServer, kind: str) -> None:
    answer = server.wfs("fields/many", "GetFeature", TYPENAME="tree", OUTPUTFORMAT=kind)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in answer.headers["Vary"]


def test_pictures_are_not_compressed_again(server: MapServer) -> None:
    assert "Content-Encoding" not in server.wms("fields/meadow").headers


@pytest.mark.parametrize(("length", "status"), [(30_000, 200), (40_000, 414)])
def test_addresses_may_be_long_but_not_endless(server: MapServer, length: int, status: int) -> None:
    query = "SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities&LAYERS="
    answer = server.get(f"/ows/fields/meadow/?{query}{'x' * length}")
    assert answer.status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("project", ["/ows/fields/meadow/", "/ows/fields/zipped/", f"/project/{32 * 'a'}/"])
@pytest.mark.parametrize("path", ["", "wfs3/collections/meadow/items", "wfs3/collections/meadow/items/0"])
def test_nothing_is_written_through_the_map(server: MapServer, method: str, project: str, path: str) -> None:
    assert requests.request(method, f"{server.url}{project}{path}", data="{}", timeout=60).status_code == 403


@pytest.mark.parametrize("word", ["MAP", "map", "m%61p", "MAP%20", "%4dAP"])
@pytest.mark.parametrize("path", ["/", "/index.json", "/ows/fields/meadow/", "/ows/fields/meadow/wfs3/"])
def test_no_address_names_another_file(server: MapServer, path: str, word: str) -> None:
    query = "SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=square&CRS=CRS:84&BBOX=0,0,2,1&WIDTH=16&HEIGHT=8"
    answer = server.get(f"{path}?{query}&{word}={HEALTH_FOLDER}/health.qgs")
    assert not answer.headers["Content-Type"].startswith("image/")
    assert b"square</Name>" not in answer.content


@pytest.mark.parametrize("path", ["/ows/fields/..%2fmeadow/", "/ows/..%2f..%2fusr/health/", "/ows/fields/missing/"])
@pytest.mark.parametrize("service", ["?SERVICE=WMS&REQUEST=GetCapabilities", "wfs3/collections"])
def test_only_projects_in_repositories_are_served(server: MapServer, path: str, service: str) -> None:
    assert server.get(f"{path}{service}").status_code in (400, 404)


@pytest.mark.parametrize("steps", range(1, 12))
def test_no_other_file_is_among_those_of_the_api(server: MapServer, steps: int) -> None:
    answer = server.get(f"/ows/fields/meadow/wfs3/static/{'..%2f' * steps}etc/passwd")
    assert "root:" not in answer.text


def test_links_of_the_api_are_as_people_come(server: MapServer, start: Start) -> None:
    told = {"Host": "maps.example.org", "X-Forwarded-Proto": "https"}

    def beginnings(asked: MapServer) -> set[str]:
        answer = asked.get("/ows/fields/meadow/wfs3/", headers=told)
        return {link["href"].partition("/ows/")[0] for link in answer.json()["links"]}

    assert beginnings(server) == {"http://maps.example.org"}
    with start(environment={"TRUSTED_PROXIES": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"}) as proxied:
        proxied.wait_until_healthy()
        assert beginnings(proxied) == {"https://maps.example.org"}


def test_a_project_that_was_changed_shows_at_once(start: Start, tmp_path: Path) -> None:
    project = tmp_path / "projects" / "fields" / "meadow.qgs"
    style = projects.single_symbol(projects.fill(GRASS))
    with start() as server:
        server.wait_until_healthy()
        assert server.picture("fields/meadow").getpixel(IN_THE_MEADOW) == POPPY
        project.write_text(projects.qgs([Layer("./meadow.geojson", style=style)]), "utf-8")
        wait_until(
            lambda: server.picture("fields/meadow").getpixel(IN_THE_MEADOW) == GRASS, "the new colour", server.log
        )


# What it survives ----------------------------------------------------------------------------------------------------


def test_an_answer_that_does_not_come_is_given_up_and_its_worker_replaced(start: Start) -> None:
    with start(environment={"QGIS_SERVER_WORKERS": "1", "QGIS_SERVER_TIMEOUT": "5"}) as server:
        server.wait_until_healthy()
        (worker,) = processes(server, "qgis_mapserv")
        query = "SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=meadow&CRS=CRS:84&BBOX=2,46,4,47&WIDTH=9&HEIGHT=9"
        assert server.get(f"/ows/fields/endless/?{query}&FORMAT=image/png").status_code == 504
        wait_until(lambda: worker not in processes(server, "qgis_mapserv"), "the worker is ended", server.log)
        server.wait_until_healthy()
        assert server.picture("fields/meadow").getpixel(IN_THE_MEADOW) == POPPY
        assert f"qgis-watchdog: ending worker {worker} of QGIS Server" in server.log()


@pytest.mark.parametrize("name", ["qgis_mapserv", "multiwatch", "nginx", "haproxy", "php-fpm", "run"])
def test_what_is_killed_comes_back_and_the_map_draws_again(start: Start, name: str) -> None:
    with start(environment={"QGIS_SERVER_WORKERS": "2"}) as server:
        server.wait_until_healthy()
        before = processes(server, name)
        assert before
        server.run("kill", "-KILL", *before, user="root")
        wait_until(lambda: len(processes(server, name).keys() - before.keys()) == len(before), name, server.log)
        server.wait_until_healthy()
        assert server.picture("fields/meadow").getpixel(IN_THE_MEADOW) == POPPY
        assert "Z" not in processes(server, "").values()


@pytest.mark.parametrize(
    ("service", "target"),
    [
        ("nginx", "/etc/poppyfield/nginx.conf"),
        ("php-fpm", "/etc/poppyfield/php-fpm.conf"),
        ("qgis-server", "/usr/lib/cgi-bin/qgis_mapserv.fcgi"),
    ],
)
def test_a_service_that_cannot_start_ends_the_container(
    start: Start, tmp_path: Path, service: str, target: str
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("broken\n", "ascii")
    with start(volumes=[f"{broken}:{target}:ro", *volumes(tmp_path)]) as server:
        assert server.container.wait(timeout=120)["StatusCode"] == 1
        assert f"{service} keeps failing: the container ends." in server.log()


def test_a_stop_is_clean(start: Start) -> None:
    with start() as server:
        server.wait_until_healthy()
        # Who does not end by itself is killed, which shows in the code.
        server.container.stop(timeout=20)
        server.container.reload()
        assert server.container.attrs["State"]["ExitCode"] == 0


def test_processes_that_nobody_waits_for_do_not_stay(server: MapServer) -> None:
    code, orphan = server.run("bash", "-c", "(sleep 1 & echo $!)")
    assert code == 0
    wait_until(lambda: orphan.strip() not in processes(server, ""), "the orphan is gone")


def test_the_password_is_in_a_file_of_its_own_only(server: MapServer) -> None:
    for user in ("www-data", "qgis", "root"):
        _, told = server.run("bash", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline", user=user)
        assert "QGIS_SERVER_WORKERS=1" in told
        assert PASSWORD not in told
    assert PASSWORD not in server.log()
    _, mode = server.run("stat", "--format=%a %U %G", "/run/poppyfield/pg_service.conf")
    assert mode.split() == ["640", "www-data", "qgis"]


def test_nothing_of_the_image_can_be_written(server: MapServer) -> None:
    for user in ("www-data", "qgis", "root"):
        for folder in ("/etc/poppyfield", "/usr/local/lib/poppyfield", "/srv/projects"):
            assert server.run("touch", f"{folder}/new", user=user)[0] != 0
