"""Debian's scanners find nothing serious on the map page and on Lizmap, and do find it on a site that has it.

build/reports/scanners.json has all that they found.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlencode

from tests.attack_report import REPORTS, shown_with
from tests.doubles.careless_site import careless_site
from tests.images import building, projects
from tests.images.map_server import MapServer, map_server, wait_until
from tests.lizmap.lizmap import lizmap
from tests.scanners.scanners import Finding, sqlmap, wapiti

BOX = {"CRS": "CRS:84", "BBOX": "2,46,4,47", "WIDTH": "20", "HEIGHT": "10"}
GET_MAP = {"SERVICE": "WMS", "VERSION": "1.3.0", "REQUEST": "GetMap", "LAYERS": "meadow", "FORMAT": "image/png", **BOX}
GET_INFO = {**GET_MAP, "REQUEST": "GetFeatureInfo", "QUERY_LAYERS": "meadow", "I": "5", "J": "5"}
GET_FEATURE = {"SERVICE": "WFS", "VERSION": "1.1.0", "REQUEST": "GetFeature", "TYPENAME": "meadow", "MAXFEATURES": "1"}
ASKED = (GET_MAP, GET_INFO, GET_FEATURE)
ENOUGH = 30
"""So many requests show that a scanner has not given up at the door."""


def test_scanners_find_what_is_there(tmp_path: Path) -> None:
    with careless_site() as site:
        assert any(finding.high for finding in wapiti(site, [], tmp_path))
        found = sqlmap(site, ["/?word=oak", "/?plot=1"], tmp_path)
    assert {finding.where.rpartition(" ")[2] for finding in found} == {"plot"}


def test_scanners_find_nothing_serious_on_the_map_page(tmp_path: Path) -> None:
    image = building.images("images.json")["lizmap"]
    tmp_path.chmod(0o755)
    place = tmp_path / "projects" / "fields"
    place.mkdir(parents=True)
    (place / "meadow.qgs").write_text(projects.qgs([projects.geojson(place)]), "utf-8")
    project = "/ows/fields/meadow"
    with map_server(image, tmp_path) as server:
        server.wait_until_healthy()
        features = f"{project}/wfs3/collections/meadow/items?limit=1&name=a"
        addresses = [features, "/index.json", *(f"{project}/?{urlencode(asked)}" for asked in ASKED)]
        scan(server, "map page", addresses, tmp_path)


def test_scanners_find_nothing_serious_on_lizmap(lizmap_image: str, network: str, tmp_path: Path) -> None:
    with lizmap(lizmap_image, tmp_path, network, environment={"QGIS_SERVER_WORKERS": "2"}) as server:
        server.wait_until_healthy()
        server.publish("fields", "__anonymous")
        wait_until(lambda: server.map().headers["Content-Type"] == "image/png", "the map draws", server.log)
        chosen = {"repository": "fields", "project": "meadow"}
        addresses = [
            *(f"/index.php/lizmap/service?{urlencode({**chosen, **asked})}" for asked in ASKED),
            f"/index.php/view/map?{urlencode(chosen)}",
            f"/index.php/lizmap/service/getProjectConfig?{urlencode(chosen)}",
            "/admin.php/auth/login?login=a",
        ]
        scan(server, "Lizmap", addresses, tmp_path)


def scan(server: MapServer, site: str, addresses: list[str], folder: Path) -> None:
    """Let all scanners loose on a site, write down what they found, and allow nothing serious."""
    found: list[Finding] = []
    asked = {}
    for scanner in (wapiti, sqlmap):
        before = requests_to(server)
        found += scanner(server.url, addresses, folder)
        asked[scanner.__name__] = requests_to(server) - before
    tell(site, asked, [asdict(finding) for finding in found])
    assert [finding for finding in found if finding.high] == []
    assert [scanner for scanner, requests in asked.items() if requests < ENOUGH] == []
    assert server.run("healthcheck") == (0, "")


def requests_to(server: MapServer) -> int:
    """Count what was asked so far, also where the log tells only how many lines there were."""
    log = server.log()
    return log.count(' HTTP/1.1" ') + sum(map(int, re.findall(r"^nginx: (\d+) lines were left out", log, re.MULTILINE)))


def tell(site: str, asked: dict[str, int], found: list[dict[str, object]]) -> None:
    """Add what was found on a site to the report."""
    path = REPORTS / "scanners.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    told = {"shown_with": shown_with(site), "requests": asked, "findings": found}
    path.write_text(json.dumps({**before, site: told}, indent=2, ensure_ascii=False) + "\n", "utf-8")
