"""Who draws cannot write: QGIS Server, which evaluates what visitors send, is a user who has no way to the rest."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.images import projects
from tests.images.building import ROOT
from tests.images.map_server import HOME, RUN, MapServer, map_server, trusting, wait_until
from tests.images.test_abuse import taken_back
from tests.images.test_front_attacks import pair, secured

PROJECT = "/srv/projects/fields/meadow.qgs"
HEALTH_FOLDER = "/usr/share/poppyfield/health"
SUPERVISORS_CAPABILITIES = (1 << 5) | (1 << 6) | (1 << 7)
NGINX, PHP, QGIS = "8082", "33", "8081"
USERS = {
    "nginx": NGINX,
    "haproxy": NGINX,
    "php-fpm": PHP,
    "qgis_mapserv": QGIS,
    "multiwatch": QGIS,
    "run": QGIS,
}


def publish(folder: Path) -> None:
    """Write a project, and beside the projects what no visitor may reach: accounts, and another project."""
    folder.chmod(0o755)
    repository, state = folder / "projects" / "fields", folder / "state"
    repository.mkdir(parents=True)
    state.mkdir()
    (repository / "meadow.qgs").write_text(projects.qgs([projects.geojson(repository)]), "utf-8")
    (state / "secret.qgs").write_text(projects.qgs([projects.geojson(state)]), "utf-8")
    with closing(sqlite3.connect(state / "accounts.db")) as database:
        database.execute("CREATE TABLE users (id INTEGER, login TEXT)")
        database.commit()
    for path in state.iterdir():
        os.chown(path, 33, 33)
        path.chmod(0o600)


def logins(folder: Path) -> list[str]:
    """Give who has an account."""
    with closing(sqlite3.connect(folder / "state" / "accounts.db")) as database:
        return [login for (login,) in database.execute("SELECT login FROM users")]


@pytest.fixture(scope="module")
def server(lizmap_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MapServer]:
    """Return a map server that the tests only look at."""
    folder = tmp_path_factory.mktemp("users")
    publish(folder)
    # Docker's own health checks begin as root, and would be among the processes.
    options: dict[str, Any] = {"environment": {"QGIS_SERVER_WORKERS": "1"}, "healthcheck": {"test": ["NONE"]}}
    with map_server(lizmap_image, folder, **options) as running:
        running.wait_until_healthy()
        yield running


def volumes(folder: Path) -> list[str]:
    """Give what every map server has mounted."""
    return [
        f"{folder}/projects:/srv/projects:ro",
        f"{folder}/state:/srv/lizmap",
        f"{folder}/password:/run/secrets/postgis_password:ro",
    ]


WRITES = pytest.mark.attack(
    kind="writing", on="map page", proof="test_an_expression_of_a_visitor_cannot_make_an_account"
)


@pytest.mark.parametrize(
    ("before", "reached"),
    [pytest.param(False, [], id="now", marks=WRITES), pytest.param(True, ["eve"], id="as before")],
)
def test_an_expression_of_a_visitor_cannot_make_an_account(
    lizmap_image: str, tmp_path: Path, before: bool, reached: list[str]
) -> None:
    publish(tmp_path)
    row = "'users', 'id', 'login', 'eve', map('login', '''eve''')"
    make = f"sqlite_fetch_and_increment('/srv/lizmap/accounts.db', {row}) >= 0"
    mounts = [f"{source}:{target}:ro" for source, target in (trusting(tmp_path) if before else {}).items()]
    with map_server(lizmap_image, tmp_path, volumes=[*mounts, *volumes(tmp_path)]) as server:
        server.wait_until_healthy()
        assert "gml:featureMember" in server.ask_inside(PROJECT, REQUEST="GetFeature", EXP_FILTER="1 = 1")
        server.ask_inside(PROJECT, REQUEST="GetFeature", EXP_FILTER=make)
        secret = server.ask_inside("/srv/lizmap/secret.qgs", REQUEST="DescribeFeatureType")
    assert logins(tmp_path) == reached
    assert ("hectares" in secret) == before


def test_each_process_has_its_user_and_no_capability(server: MapServer) -> None:
    _, told = server.run("bash", "-c", "cat /proc/[0-9]*/status 2> /dev/null; true")
    found = set()
    for status in told.split("Name:")[1:]:
        name, *lines = status.splitlines()
        fields = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
        users, groups = set(fields["Uid"]), {*fields["Gid"], *fields["Groups"]}
        capabilities = {int(fields[f"Cap{kind}"][0], 16) for kind in ("Inh", "Prm", "Eff", "Amb")}
        if name.strip().startswith("s6-"):
            assert (users, capabilities) == ({"0"}, {0, SUPERVISORS_CAPABILITIES})
        else:
            (user,) = users
            # nginx asks PHP, and writes in the folders of that group.
            wanted = {NGINX, PHP} if user == NGINX else {user}
            assert (groups, capabilities, fields["NoNewPrivs"]) == (wanted, {0}, ["1"]), status
            found |= {(known, user) for known in USERS if name.strip().startswith(known)}
        assert int(fields["CapBnd"][0], 16) == SUPERVISORS_CAPABILITIES
    assert found == set(USERS.items())


def test_who_draws_can_write_nowhere_else(server: MapServer) -> None:
    what = r"\( -path /proc -o -path /sys \) -prune -o \( -type d -o -type f \) -writable -print"
    look = f"find / {what} 2> /dev/null; true"
    _, everything = server.run("sh", "-c", look, user="www-data")
    # Those of nginx, too, since www-data is nginx in images that a Pi may go back to.
    assert {"/tmp", "/tmp/pictures", "/tmp/uploads", "/run", "/srv/lizmap"} <= set(everything.splitlines())
    _, found = server.run("sh", "-c", look, user="qgis")
    assert HOME in found.splitlines()
    assert not [path for path in found.splitlines() if path != HOME and not path.startswith(f"{HOME}/")]


def test_who_draws_reads_the_projects_and_their_database_and_nothing_else_of_ours(server: MapServer) -> None:
    look = "find /srv/projects /srv/lizmap /run /tmp -type f -readable 2> /dev/null; true"
    _, everything = server.run("sh", "-c", look, user="www-data")
    secrets = {"/srv/lizmap/accounts.db", "/run/poppyfield/pg_service.conf"}
    assert secrets <= set(everything.splitlines())
    _, found = server.run("sh", "-c", look, user="qgis")
    assert {path.rpartition("/")[0] for path in found.splitlines()} == {"/srv/projects/fields"}
    code, service = server.run("cat", "/run/poppyfield/pg_service.conf", user="qgis")
    assert (code, "[poppyfield]" in service) == (0, True)


def test_who_draws_fills_no_more_than_its_own_folder(server: MapServer) -> None:
    full = f"{HOME}/full"
    try:
        assert server.run("sh", "-c", f"head -c 1G /dev/zero > {full}", user="qgis")[0] != 0
        _, size = server.run("stat", "--format=%s", full, user="qgis")
        assert int(size) <= 128 * 1024 * 1024
        assert server.run("sh", "-c", "head -c 1M /dev/zero > /tmp/enough && rm /tmp/enough")[0] == 0
        assert server.run("healthcheck") == (0, "")
    finally:
        server.run("rm", full, user="qgis")


# What PHP could read if somebody took it over: all files, but those of the kernel.
LOOK_FOR_KEYS = "grep --recursive --files-with-matches --no-messages --devices=skip 'PRIVATE KEY' /etc /run /srv /tmp"
# By PHP itself, as one who has taken it over would.
CONNECT = "php -r 'exit(@stream_socket_client($argv[1]) ? 0 : 1);' unix:///run/qgis-server.sock"


def program(folder: Path, text: str) -> Path:
    """Write a program of the image as it is without a defence."""
    path = folder / "program"
    path.write_text(text, "utf-8")
    path.chmod(0o755)
    return path


def taken_over(proof: str) -> Any:
    return pytest.mark.attack(kind="taken-over part", on="map page", proof=proof)


@pytest.mark.parametrize(
    ("closed", "found"),
    [
        pytest.param(True, "", id="now", marks=taken_over("test_php_cannot_read_the_key_of_https")),
        pytest.param(False, "/run/secrets/tls_key\n", id="left open"),
    ],
)
def test_php_cannot_read_the_key_of_https(lizmap_image: str, tmp_path: Path, closed: bool, found: str) -> None:
    publish(tmp_path)
    options = secured(tmp_path, *reversed(pair(tmp_path)))
    if not closed:
        entrypoint = program(tmp_path, taken_back("entrypoint", "chmod 0700 /run/secrets", by="true"))
        options["volumes"].append(f"{entrypoint}:/usr/local/bin/entrypoint:ro")
    with map_server(lizmap_image, tmp_path, **options) as server:
        server.wait_until_healthy()
        assert server.run("sh", "-c", LOOK_FOR_KEYS, user="nginx")[1] == "/run/front/tls_key\n"
        assert server.run("sh", "-c", LOOK_FOR_KEYS)[1] == found


@pytest.mark.parametrize(
    ("group", "asked"),
    [
        pytest.param("nginx", False, id="now", marks=taken_over("test_php_cannot_ask_qgis_server_past_the_queue")),
        pytest.param("www-data", True, id="as before"),
    ],
)
def test_php_cannot_ask_qgis_server_past_the_queue(lizmap_image: str, tmp_path: Path, group: str, asked: bool) -> None:
    publish(tmp_path)
    run = program(tmp_path, taken_back("services/qgis-server/run", "--regid=nginx", by=f"--regid={group}"))
    with map_server(lizmap_image, tmp_path, volumes=[f"{run}:{RUN}:ro", *volumes(tmp_path)]) as server:
        server.wait_until_healthy()
        assert (server.run("sh", "-c", CONNECT)[0] == 0) == asked


def test_nobody_but_nginx_can_ask_qgis_server_or_php(server: MapServer) -> None:
    _, told = server.run("stat", "--format=%a %U %G", "/run/qgis-server.sock", "/run/php-fpm.sock")
    assert told.splitlines() == ["660 root nginx", "660 www-data www-data"]


def test_files_that_who_draws_cannot_read_are_noticed_by_the_health_check(lizmap_image: str, tmp_path: Path) -> None:
    publish(tmp_path)
    closed = tmp_path / "square.geojson"
    closed.write_text((ROOT / "images" / "lizmap" / "health" / "square.geojson").read_text("utf-8"), "utf-8")
    os.chown(closed, 33, 33)
    closed.chmod(0o400)
    mounted = [f"{closed}:{HEALTH_FOLDER}/square.geojson:ro", *volumes(tmp_path)]
    with map_server(lizmap_image, tmp_path, volumes=mounted) as server:
        wait_until(lambda: "HTTP/1.1 " in server.run("healthcheck")[1], "QGIS Server answers", server.log)
        code, said = server.run("healthcheck")
        assert (code, "QGIS Server did not draw the map" in said) == (1, True)


@pytest.mark.parametrize(
    ("options", "mode", "said"),
    [
        ({"user": "www-data"}, 0o755, "Start this image as root"),
        ({"cap_add": ["SETGID", "SETUID"]}, 0o755, "the capabilities KILL, SETGID and SETUID"),
        ({}, 0o750, "The folder of the projects cannot be read by uid 8082"),
    ],
)
def test_a_container_that_cannot_keep_them_apart_ends_with_a_sentence(
    lizmap_image: str, tmp_path: Path, options: dict[str, Any], mode: int, said: str
) -> None:
    publish(tmp_path)
    os.chown(tmp_path / "projects", 33, 33)
    (tmp_path / "projects").chmod(mode)
    with map_server(lizmap_image, tmp_path, **options) as server:
        assert server.container.wait(timeout=60)["StatusCode"] == 1
        assert said in server.log()
