"""What is published with Lizmap, and to whom, seen from outside."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests
from PIL import Image
from testinfra.host import Host

from emulated_pi import HTTPS_PORT, MAP_URL, REQUEST_SECONDS, STATE, inspect, open_ports, sql
from tests.lizmap.browser import Browser

FRANCE = "-680000,5020000,1150000,6680000"
LAYERS = "countries,departments,rivers,towns"
CAPABILITIES = "SERVICE=WMS&REQUEST=GetCapabilities&MAP=nests/france.qgs"
LogIn = Callable[[str], Browser]
Open = Callable[[], Browser]


def colours(picture: Image.Image) -> int:
    return len(picture.getcolors(maxcolors=2**24) or [])


@pytest.mark.parametrize("repository", ["sample", "nests", "old"])
def test_the_gate_has_seen_each_map(repository: str) -> None:
    with Image.open(STATE / f"demo-pi-{repository}-france.png") as picture:
        assert colours(picture.convert("RGB")) > 100


def test_it_is_lizmap_on_arm(pi: Host, browser: Open) -> None:
    assert pi.check_output("docker exec websig-lizmap uname -m") == "aarch64"
    assert browser().get("/index.php/view/app/metadata").json()["info"]["installation_complete"] is True


def test_nobody_gets_in_as_admin_with_the_password_admin(browser: Open) -> None:
    assert not browser().log_in("admin", "admin")


def test_a_private_map_is_shown_to_the_right_group_and_to_nobody_else(browser: Open, log_in: LogIn) -> None:
    people = {"anybody": browser(), "mapper": log_in("anna"), "warden": log_in("bruno"), "admin": log_in("admin")}
    assert {name for name, who in people.items() if who.sees("nests", "france")} == {"warden", "admin"}
    assert all(who.sees("sample", "france") for who in people.values())
    assert people["anybody"].picture("nests", "france", LAYERS, FRANCE) is None
    assert people["mapper"].picture("nests", "france", LAYERS, FRANCE) is None
    drawn = people["warden"].picture("nests", "france", LAYERS, FRANCE)
    assert drawn and colours(drawn) > 100


def test_http_goes_to_https(browser: Open) -> None:
    answer = requests.get(f"{MAP_URL}/index.php/view/", timeout=REQUEST_SECONDS, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (308, "https://127.0.0.1/index.php/view/")
    cookie = browser().get("/admin.php/auth/login").headers["Set-Cookie"].lower()
    assert {"secure", "httponly"} <= {part.strip() for part in cookie.split(";")}


def test_only_root_and_the_map_server_read_the_key(pi: Host) -> None:
    key = pi.file("/etc/poppyfield/secrets/lizmap_tls_key")
    assert (key.user, key.mode) == ("www-data", 0o400)


def test_nobody_asks_qgis_server_but_lizmap(pi: Host, browser: Open) -> None:
    assert open_ports(pi) == {"22", "80", "443"}
    for path in ("/ows/", "/ows/nests/france/", "/lizmap/server.json", "/cgi-bin/qgis_mapserv.fcgi", "/index.json"):
        assert browser().get(f"{path}?{CAPABILITIES}").status_code == 404
    (network,) = inspect(pi, "websig-lizmap")["NetworkSettings"]["Networks"].values()
    connect = "timeout 10 bash -c '</dev/tcp/%s/%s'"
    assert pi.run(connect, network["IPAddress"], "8443").rc == 0
    assert pi.run(connect, network["IPAddress"], "8081").rc != 0


def test_the_accounts_are_in_postgis(pi: Host) -> None:
    assert sql(pi, "SELECT usr_login FROM lizmap.jlx_user ORDER BY 1", "lizmap").split() == ["admin", "anna", "bruno"]
    assert pi.check_output("find /srv/poppyfield/lizmap/config -name '*.db'") == ""
    # The role that projects log in as has no way to them.
    assert sql(pi, "SELECT has_schema_privilege('gis', 'lizmap', 'USAGE')", "lizmap") == "f"


def test_the_address_of_the_map_is_that_of_the_browser(browser: Open) -> None:
    parameters = {"repository": "sample", "project": "france", "SERVICE": "WMS", "REQUEST": "GetCapabilities"}
    capabilities = browser().get("/index.php/lizmap/service", **parameters).text
    assert f"https://127.0.0.1:{HTTPS_PORT}/index.php/lizmap/service?" in capabilities
    assert ":8081" not in capabilities
