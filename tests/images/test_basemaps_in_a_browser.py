"""The map page in a browser draws a base map below the project's layers, says whose it is, and lets people choose.

The pictures are left in build/e2e/. It needs a browser: `make test-status`.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api")
marionette = pytest.importorskip("marionette_driver")

from ansible.module_utils.poppyfield.basemaps import published, tiles_file  # noqa: E402

from tests.images import projects  # noqa: E402
from tests.images.map_server import MapServer, map_server, wait_until  # noqa: E402
from tests.images.projects import POPPY  # noqa: E402
from tests.tiles import MVT, pmtiles, png, varint  # noqa: E402

pytestmark = pytest.mark.long

PICTURES = Path(__file__).resolve().parents[2] / "build" / "e2e"
GREEN, BLUE, WATER = (20, 120, 40), (30, 60, 200), (0xBC, 0xD8, 0xE6)
EXTENT = 4096
ALIKE = 4
"""How much a colour may differ, of 255."""
IN_THE_MEADOW, BESIDE_IT = 0.5, 0.04
"""Where across the map, which opens on the meadow."""


def field(number: int, content: bytes | int) -> bytes:
    """Write a field of protocol buffers."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def water_all_over() -> bytes:
    """Give a vector tile whose whole area is water."""
    move, line, close = 1 | 1 << 3, 2 | 3 << 3, 7 | 1 << 3
    geometry = [move, 0, 0, line, 2 * EXTENT, 0, 0, 2 * EXTENT, 2 * EXTENT - 1, 0, close]
    feature = field(3, 3) + field(4, b"".join(map(varint, geometry)))
    return field(3, field(15, 2) + field(1, b"water") + field(2, feature) + field(5, EXTENT))


def deliver(folder: Path, **contents: bytes) -> None:
    """Put base maps where the module puts them, in this order; what is there stays."""
    found = []
    for name, content in contents.items():
        sha256 = hashlib.sha256(content).hexdigest()
        path = folder / f"{name}.{sha256[:16]}.pmtiles"
        path.write_bytes(content)
        found.append((published.BaseMap(name, tiles_file.read(path)), sha256))
    (folder / "index.json").write_bytes(published.index(found))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a project, and room for base maps."""
    made = tmp_path_factory.mktemp("basemaps")
    made.chmod(0o755)
    for name in ("fields", "basemaps"):
        (made / "projects" / name).mkdir(parents=True)
    layer = projects.geojson(made / "projects" / "fields")
    (made / "projects" / "fields" / "map.qgs").write_text(projects.qgs([layer], project_crs=3857), "utf-8")
    return made


@pytest.fixture(scope="module")
def server(lizmap_image: str, folder: Path) -> Iterator[MapServer]:
    with map_server(lizmap_image, folder, environment={"QGIS_SERVER_WORKERS": "1"}) as running:
        running.wait_until_healthy()
        yield running


@pytest.fixture
def page() -> Iterator[Any]:
    """Give a page of a browser, and hold what it complained of."""
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB").new_page()
        shown.complaints = []
        shown.on("console", lambda message: shown.complaints.append(message.text))
        yield shown
        # A Pi without a page of its own answers 404 for its state.
        assert [text for text in shown.complaints if "404" not in text] == []
        browser.close()


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Any]:
    """Give Firefox, which Mozilla's own driver drives: Playwright's would be another one than Debian's."""
    said = str(tmp_path / "firefox.log")
    driver = marionette.marionette.Marionette(bin=shutil.which("firefox-esr"), headless=True, gecko_log=said)
    try:
        driver.start_session()
        driver.set_window_rect(width=1280, height=800)
        yield driver
    finally:
        driver.cleanup()


def has(picture: bytes, across: float, color: tuple[int, int, int]) -> bool:
    """Tell whether the map has a colour at a place."""
    seen = Image.open(io.BytesIO(picture)).convert("RGB")
    place = round(across * seen.width), seen.height // 2
    found = seen.crop((*place, place[0] + 1, place[1] + 1)).tobytes()
    return max(abs(one - other) for one, other in zip(found, color, strict=True)) < ALIKE


def wait_for(shown: Any, across: float, color: tuple[int, int, int]) -> None:
    """Wait until the map has a colour at a place."""
    for _ in range(100):
        if has(shown.locator("#map").screenshot(), across, color):
            return
        shown.wait_for_timeout(200)
    shown.screenshot(path=PICTURES / "basemaps-failed.png")
    pytest.fail(f"The map has no {color} at {across} of its width: build/e2e/basemaps-failed.png")


def test_pictures_and_vectors_lie_below_the_layers_and_can_be_switched(
    server: MapServer, folder: Path, page: Any
) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    deliver(
        folder / "projects" / "basemaps",
        valley=pmtiles([png(GREEN)], metadata={"name": "Valley", "attribution": "© <b>IGN</b>"}, zooms=(0, 0)),
        lakes=pmtiles(
            [water_all_over()], metadata={"name": "<i>Lakes</i>", "attribution": "OSM"}, kind=MVT, zooms=(0, 0)
        ),
    )
    page.goto(server.url)
    playwright.expect(page.locator("#card")).to_be_hidden(timeout=60_000)
    wait_for(page, BESIDE_IT, GREEN)
    wait_for(page, IN_THE_MEADOW, POPPY)
    playwright.expect(page.locator("#attribution")).to_contain_text("© IGN")
    page.screenshot(path=PICTURES / "basemaps-pictures.png")
    assert page.locator("#basemap option").all_inner_texts() == ["Valley", "Lakes", "None"]
    page.locator("#basemap").select_option("lakes")
    wait_for(page, BESIDE_IT, WATER)
    wait_for(page, IN_THE_MEADOW, POPPY)
    playwright.expect(page.locator("#attribution")).to_contain_text("OSM")
    page.screenshot(path=PICTURES / "basemaps-vectors.png")
    page.locator("#basemap").select_option("")
    playwright.expect(page.locator("#attribution")).not_to_contain_text("OSM")
    assert "base=" in page.url
    page.reload()
    playwright.expect(page.locator("#card")).to_be_hidden(timeout=60_000)
    assert page.locator("#basemap").input_value() == ""


@pytest.mark.autonomy("replaced")
def test_a_page_that_is_open_goes_on_while_its_base_map_is_replaced(server: MapServer, folder: Path, page: Any) -> None:
    basemaps = folder / "projects" / "basemaps"
    deliver(basemaps, valley=pmtiles([png(GREEN)] * 5, zooms=(0, 1)))
    page.goto(server.url)
    wait_for(page, BESIDE_IT, GREEN)
    deliver(basemaps, valley=pmtiles([png(BLUE)] * 5, zooms=(0, 1)))
    page.locator(".ol-zoom-in").click()
    playwright.expect(page.locator("#progress")).to_be_hidden(timeout=60_000)
    wait_for(page, BESIDE_IT, GREEN)
    playwright.expect(page.locator("#notice")).to_be_hidden()
    page.reload()
    wait_for(page, BESIDE_IT, BLUE)


@pytest.mark.autonomy("replaced in Firefox")
def test_firefox_goes_on_while_a_base_map_is_replaced(server: MapServer, folder: Path, firefox: Any) -> None:
    def shows(color: tuple[int, int, int]) -> bool:
        drawn = firefox.find_element(marionette.By.ID, "map")
        return has(firefox.screenshot(drawn, format="binary"), BESIDE_IT, color)

    def is_seen(identity: str) -> bool:
        seen: bool = firefox.find_element(marionette.By.ID, identity).is_displayed()
        return seen

    basemaps = folder / "projects" / "basemaps"
    deliver(basemaps, valley=pmtiles([png(GREEN)] * 5, zooms=(0, 1)))
    firefox.navigate(server.url)
    wait_until(lambda: shows(GREEN), "the base map is there")
    deliver(basemaps, valley=pmtiles([png(BLUE)] * 5, zooms=(0, 1)))
    firefox.find_element(marionette.By.CSS_SELECTOR, ".ol-zoom-in").click()
    wait_until(lambda: not is_seen("progress") and shows(GREEN), "it is there after a zoom")
    assert not is_seen("notice")
    firefox.refresh()
    wait_until(lambda: shows(BLUE), "the new one is there")


def test_without_base_maps_there_is_nothing_to_choose(server: MapServer, folder: Path, page: Any) -> None:
    (folder / "projects" / "basemaps" / "index.json").write_text(json.dumps({"version": 1, "basemaps": []}))
    page.goto(server.url)
    playwright.expect(page.locator("#card")).to_be_hidden(timeout=60_000)
    playwright.expect(page.locator("#layers > li")).to_have_count(1)
    playwright.expect(page.locator("#background")).to_be_hidden()
    assert "base=" not in page.url
