"""What people get from Lizmap: pages, maps, and only what they may see; and what nobody gets."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.images import projects
from tests.images.map_server import map_server, trusting, wait_until
from tests.images.projects import POPPY, WHITE
from tests.lizmap.conftest import Query
from tests.lizmap.guard.asking import UNGUARDED
from tests.lizmap.lizmap import ACCOUNTS_PASSWORD, ADMIN_PASSWORD, STATE, Lizmap, image_of, lizmap

DOUBLES = Path(__file__).resolve().parents[1] / "doubles"
WWW = "/usr/share/lizmap/lizmap/www"
MEADOW = "/srv/projects/fields/meadow.qgs"
IN_THE_MEADOW, BESIDE_IT = (50, 50), (150, 50)


@pytest.fixture(scope="module", params=["sqlite", "postgis"])
def accounts(request: pytest.FixtureRequest) -> str:
    """Return where the accounts are."""
    place: str = request.param
    return place


@pytest.fixture(scope="module")
def server(
    accounts: str, query: Query, lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lizmap]:
    """Return Lizmap with a repository for all and one for administrators."""
    query("DROP SCHEMA IF EXISTS lizmap CASCADE")
    folder = tmp_path_factory.mktemp(accounts)
    with lizmap(lizmap_image, folder, network, environment={"LIZMAP_ACCOUNTS": accounts}) as running:
        running.wait_until_healthy()
        running.publish("fields", "__anonymous", "users")
        running.publish("private", "admins")
        yield running


@pytest.mark.parametrize("project", ["fields/meadow", "fields/postgis"])
def test_a_map_opens_and_draws(server: Lizmap, project: str) -> None:
    page = server.page(project)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html;charset=UTF-8")
    drawn = image_of(server.map(project))
    assert (drawn.getpixel(IN_THE_MEADOW), drawn.getpixel(BESIDE_IT)) == (POPPY, WHITE)


def test_a_map_tells_what_it_has(server: Lizmap) -> None:
    configuration = server.service(path="/getProjectConfig").json()
    assert list(configuration["layers"]) == ["meadow"]
    capabilities = server.service(SERVICE="WMS", VERSION="1.3.0", REQUEST="GetCapabilities")
    assert "<Name>meadow</Name>" in capabilities.text
    # Where it is asked for, not where QGIS Server is inside the container.
    assert ":8081" not in capabilities.text
    assert ":8080" not in capabilities.text
    assert f'xlink:href="{server.url}/index.php/lizmap/service?' in capabilities.text


def test_addresses_have_the_name_and_the_port_that_the_browser_used(server: Lizmap) -> None:
    for host in ("pi.example", "pi.example:8000"):
        address = f'"http://{host}/index.php/view/embed?'
        assert address in server.page(headers={"Host": host}).text


def test_a_feature_comes_from_postgis(server: Lizmap) -> None:
    request = {"SERVICE": "WFS", "VERSION": "1.0.0", "REQUEST": "GetFeature", "TYPENAME": "meadow"}
    answer = server.service("fields/postgis", **request, OUTPUTFORMAT="GeoJSON")
    (feature,) = answer.json()["features"]
    assert feature["properties"]["name"] == projects.NAME


def test_a_map_that_is_not_for_all_is_refused(server: Lizmap) -> None:
    assert server.page("private/meadow").status_code == 303
    assert not server.map("private/meadow").headers["Content-Type"].startswith("image/")
    assert server.page("private/meadow", auth=("admin", "wrong")).status_code == 303
    assert "Private" not in server.get("/index.php/view/").text
    assert "Fields" in server.get("/index.php/view/").text


def test_the_administrators_password_is_that_of_this_pi_only(server: Lizmap) -> None:
    assert server.knows("admin", ADMIN_PASSWORD)
    assert not server.knows("admin", "admin")


def test_lizmap_and_its_plugin_understand_each_other(server: Lizmap) -> None:
    told = server.metadata("admin", ADMIN_PASSWORD)
    assert told["qgis_server_info"]["metadata"]["version"]
    assert "lizmap_server" in told["qgis_server_info"]["plugins"]
    # Lizmap 3.7 does not tell.
    assert told["info"].get("installation_complete", True) is True


def test_nobody_asks_qgis_server_but_lizmap(server: Lizmap) -> None:
    server.container.reload()
    (network,) = server.container.attrs["NetworkSettings"]["Networks"].values()
    with socket.socket() as connection:
        connection.settimeout(10)
        assert connection.connect_ex((network["IPAddress"], 8080)) == 0
    with socket.socket() as connection:
        connection.settimeout(10)
        assert connection.connect_ex((network["IPAddress"], 8081)) != 0
    capabilities = "SERVICE=WMS&REQUEST=GetCapabilities&MAP=/srv/projects/private/meadow.qgs"
    for path in ("/ows/", "/ows/private/meadow/", "/cgi-bin/qgis_mapserv.fcgi", "/index.json"):
        assert server.get(f"{path}?{capabilities}").status_code == 404


@pytest.mark.parametrize(
    "path", ["/.htaccess", "/document/new.php", "/document/new.php/x", "/assets/../../project.xml"]
)
def test_only_lizmaps_own_scripts_run_and_no_file_of_its_own_shows(server: Lizmap, path: str) -> None:
    code, output = server.run("sh", "-c", f"echo '<?php echo 6 * 7;' > {WWW}/document/new.php")
    assert code == 0, output
    answer = server.get(path)
    assert (answer.status_code, "42" in answer.text, "<?php" in answer.text) == (404, False, False)


def test_no_password_is_seen_where_others_look(server: Lizmap) -> None:
    told = ""
    for user in ("www-data", "qgis", "root"):
        _, seen = server.run("bash", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline", user=user)
        assert "LIZMAP_ACCOUNTS" in seen
        told += seen
    _, kept = server.run("sh", "-c", f"cat {STATE}/*/lizmap/var/log/* {STATE}/*/lizmap/var/config/*")
    for password in (ADMIN_PASSWORD, ACCOUNTS_PASSWORD):
        assert password not in told + kept + server.log()


def test_nothing_of_lizmap_can_be_written_but_its_state(server: Lizmap) -> None:
    host = server.container.attrs["HostConfig"]
    assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
    for folder in ("/usr/share/lizmap/lizmap/modules", "/usr/share/poppyfield/qgis-plugins", "/srv/projects/fields"):
        assert server.run("touch", f"{folder}/new")[0] != 0


def test_the_accounts_are_where_they_should_be(server: Lizmap, accounts: str, query: Query) -> None:
    _, files = server.run("sh", "-c", f"ls {STATE}/*/lizmap/var/db")
    schemas = query("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'lizmap%'")
    if accounts == "sqlite":
        assert {"jauth.db", "logs.db"} <= set(files.split())
        assert schemas == ""
    else:
        assert ".db" not in files
        assert schemas == "lizmap"
        assert query("SELECT usr_login FROM lizmap.jlx_user") == "admin"


def test_projects_have_no_way_to_the_accounts(server: Lizmap) -> None:
    _, services = server.run("cat", "/run/poppyfield/pg_service.conf")
    assert "[poppyfield]" in services
    assert "[lizmap]" not in services
    look = "cat /proc/$(pgrep -o qgis_mapserv)/environ | tr '\\0' '\\n'"
    _, environment = server.run("bash", "-c", look, user="qgis")
    assert "PGSERVICEFILE=/run/poppyfield/pg_service.conf" in environment.splitlines()


WRITES = pytest.mark.attack(kind="writing", on="Lizmap", proof="test_an_expression_of_a_visitor_cannot_make_an_account")


@pytest.mark.parametrize("before", [pytest.param(False, id="now", marks=WRITES), pytest.param(True, id="as before")])
def test_an_expression_of_a_visitor_cannot_make_an_account(
    lizmap_image: str, network: str, tmp_path: Path, before: bool
) -> None:
    # The user alone must do: the guard is away. So is the health check, which would notice that.
    mounts = {**UNGUARDED, **(trusting(tmp_path) if before else {})}
    with lizmap(lizmap_image, tmp_path, network, mounts=mounts, healthcheck={"test": ["NONE"]}) as server:
        listens = ("bash", "-c", "exec 3<> /dev/tcp/127.0.0.1/8081 && [[ -S /run/qgis-server.sock ]]")
        wait_until(lambda: server.run(*listens)[0] == 0, "QGIS Server is asked", server.log)
        # What stands between nginx and QGIS Server may come after it: an attack that nobody heard proves nothing.
        heard = "HTTP/1.1 200 "
        wait_until(
            lambda: server.ask_inside(MEADOW, REQUEST="GetCapabilities").startswith(heard), "it answers", server.log
        )
        (accounts,) = (tmp_path / "state").glob("*/lizmap/var/db/jauth.db")
        place = f"{STATE}/{accounts.relative_to(tmp_path / 'state')}"
        rest = "map('usr_login', '''eve''', 'usr_email', '''e''', 'usr_password', '''x''')"
        make = f"sqlite_fetch_and_increment('{place}', 'jlx_user', 'status', 'usr_login', 'eve', {rest}) >= 0"
        assert not server.ask_inside(MEADOW, REQUEST="GetFeature", EXP_FILTER=make).startswith("HTTP/1.1 502 ")
        with closing(sqlite3.connect(accounts)) as database:
            logins = {login for (login,) in database.execute("SELECT usr_login FROM jlx_user")}
    assert logins == ({"admin", "eve"} if before else {"admin"})


def test_all_that_lizmap_keeps_belongs_to_it(server: Lizmap) -> None:
    _, others = server.run("find", STATE, "!", "-user", "www-data")
    assert others == ""


def test_what_does_not_work_is_named_by_the_health_check(lizmap_image: str, network: str, tmp_path: Path) -> None:
    with lizmap(lizmap_image, tmp_path, network) as server:
        server.wait_until_healthy()
        assert server.run("s6-svc", "-wD", "-T", "10000", "-d", "/run/service/php-fpm", user="root")[0] == 0
        code, said = server.run("healthcheck")
        assert (code, "PHP did not answer" in said) == (1, True)
        assert server.run("s6-svc", "-wD", "-T", "10000", "-d", "/run/service/nginx", user="root")[0] == 0
        assert server.run("healthcheck") == (1, "healthcheck: nginx did not answer.\n")


def test_a_database_that_does_not_answer_is_waited_for_but_one_that_refuses_is_not(
    lizmap_image: str, network: str, tmp_path: Path
) -> None:
    for environment, code, part in (
        ({"POSTGIS_PORT": "1"}, 1, "The database did not answer: "),
        (
            {"POSTGIS_DATABASE": "nowhere"},
            3,
            'The database refuses the map server: FATAL:  database "nowhere" does not',
        ),
    ):
        with lizmap(lizmap_image, tmp_path, network, environment=environment) as server:
            said = wait_until(lambda: "database" in (told := server.run("healthcheck"))[1] and told, "it is asked")
            assert (said[0], part in said[1]) == (code, True), said


def test_a_status_without_a_reason_is_as_good(lizmap_image: str, tmp_path: Path) -> None:
    volumes = [f"{DOUBLES}/terse_front.py:/double.py:ro"]
    double: dict[str, Any] = {"entrypoint": ["python3", "/double.py"], "user": "www-data"}
    double["tmpfs"] = {"/run": "uid=33,gid=33"}
    with map_server(lizmap_image, tmp_path, volumes=volumes, **double) as server:
        server.wait_until_healthy()
        assert server.run("healthcheck") == (0, "")


def test_a_page_of_lizmap_is_asked_for_once_after_each_start(server: Lizmap) -> None:
    _, sessions = server.run("sh", "-c", "ls /tmp/sessions | wc -l")
    assert server.run("healthcheck") == (0, "")
    assert server.run("sh", "-c", "ls /tmp/sessions | wc -l") == (0, sessions)
