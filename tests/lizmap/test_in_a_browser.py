"""A day in the field, on a tablet: log in, look at the map, ask for a tree, draw a new one, and find it in PostGIS.

The steps are one test because each needs what the previous one left. A picture of each is in build/e2e/, for the
documentation too.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from tests.images import projects
from tests.images.map_server import START_SECONDS
from tests.lizmap import fieldwork
from tests.lizmap.conftest import Query
from tests.lizmap.lizmap import Lizmap, lizmap

PICTURES = Path(__file__).resolve().parents[2] / "build" / "e2e"
TABLET: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "has_touch": True}
WORKER = "ines", "ines@localhost.localdomain", "a long walk in the orchard"
NEW_TREE = 140, -90
"""Where the new tree is drawn: pixels east and south of the middle of the map."""
NOTE = "drawn in the field"


@pytest.fixture(scope="module")
def server(query: Query, lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lizmap]:
    """Return Lizmap with the orchard, which all who have an account may edit."""
    query(f"SET ROLE gis; {fieldwork.SQL}", "gis")
    folder = tmp_path_factory.mktemp("browser")
    folder.chmod(0o755)
    fieldwork.write(folder / "projects" / fieldwork.REPOSITORY)
    with lizmap(lizmap_image, folder, network) as running:
        running.wait_until_healthy()
        running.publish(fieldwork.REPOSITORY, "users")
        running.console("acl2:add", "users", "lizmap.tools.edition.use", fieldwork.REPOSITORY)
        running.console("jcommunity:user:create", *WORKER)
        yield running


@pytest.fixture
def page() -> Iterator[Page]:
    """Return a page of Debian's Chromium, as large as a tablet."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(**TABLET).new_page()
        page.set_default_timeout(1000 * START_SECONDS)
        expect.set_options(timeout=1000 * START_SECONDS)
        yield page
        browser.close()


def test_a_day_in_the_field(page: Page, server: Lizmap, query: Query) -> None:
    log_in(page, server.url, WORKER[0], WORKER[2])
    picture(page, "1-logged-in")

    open_map(page, server.url)
    middle = middle_of_map(page)
    assert is_drawn_at(page, middle), "the tree in the middle of the map is not drawn"
    picture(page, "2-map")

    page.mouse.click(*middle)
    expect(page.locator("#popupcontent")).to_contain_text("the first")
    picture(page, "3-popup")
    page.locator("#dock-close").click()

    choose(page, "attributeLayers")
    page.locator(f"#attribute-layer-list-table button[value={fieldwork.LAYER}]").click()
    expect(page.locator(f"#attribute-layer-table-{fieldwork.LAYER} tbody tr")).to_have_count(1)
    picture(page, "4-attribute-table")
    choose(page, "attributeLayers")

    draw_tree(page)
    picture(page, "6-saved")

    open_map(page, server.url)
    east, south = middle_of_map(page)
    assert is_drawn_at(page, (east + NEW_TREE[0], south + NEW_TREE[1])), "the new tree is not drawn after a reload"
    picture(page, "7-after-reload")

    wanted = f"SELECT kind, ST_X(geom) > {fieldwork.ORIGIN[0]}, ST_Y(geom) > {fieldwork.ORIGIN[1]}"
    assert query(f"{wanted} FROM tree WHERE note = '{NOTE}'", "gis") == f"{fieldwork.KINDS[0]}|t|t"


def log_in(page: Page, address: str, name: str, password: str) -> None:
    """Log in as a person does."""
    page.goto(f"{address}/admin.php/auth/login?auth_url_return=%2Findex.php")
    page.locator("#jforms_jcommunity_login_auth_login").fill(name)
    page.locator("#jforms_jcommunity_login_auth_password").fill(password)
    page.locator("#jforms_jcommunity_login_auth_password").press("Enter")
    page.wait_for_url("**/index.php")


def open_map(page: Page, address: str) -> None:
    """Open the map, and wait until Lizmap has drawn it."""
    with page.expect_response(lambda answer: "REQUEST=GetMap" in answer.url) as drawn:
        page.goto(f"{address}/index.php/view/map?repository={fieldwork.REPOSITORY}&project={fieldwork.PROJECT}")
    assert drawn.value.ok, drawn.value.status
    page.wait_for_load_state("networkidle")


def choose(page: Page, tool: str) -> None:
    """Choose one of the map's tools, from the menu that is folded on a tablet, and wait until it is folded again.

    While it moves it covers what is beside it; Playwright would scroll the map to get at that, as no person does.
    """
    page.locator("#menuToggle").click()
    page.locator(f"#button-{tool}").click()
    expect(page.locator("#mapmenu")).not_to_be_in_viewport()


def draw_tree(page: Page) -> None:
    """Draw a tree with the edit tool, and save it."""
    choose(page, "edition")
    page.locator("#edition-layer").select_option(label=fieldwork.LAYER)
    page.locator("#edition-draw").click()
    form = page.locator("#jforms_view_edition")
    form.locator("[name=kind]").fill(fieldwork.KINDS[0])
    form.locator("[name=note]").fill(NOTE)
    east, south = middle_of_map(page)
    page.locator(".edition-tabs a[href='#tabdigitization']").click()
    page.mouse.click(east + NEW_TREE[0], south + NEW_TREE[1])
    picture(page, "5-drawing")
    page.locator(".edition-tabs a[href='#tabform']").click()
    form.locator("#jforms_view_edition__submit_submit").click()
    expect(form).to_be_hidden()


def middle_of_map(page: Page) -> tuple[float, float]:
    """Give the middle of the map, in pixels of the page."""
    box = page.locator("#newOlMap").bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def is_drawn_at(page: Page, place: tuple[float, float]) -> bool:
    """Tell whether a pixel of the page has the colour of the trees."""
    with Image.open(io.BytesIO(page.screenshot())) as shown:
        return shown.convert("RGB").getpixel((round(place[0]), round(place[1]))) == projects.POPPY


def picture(page: Page, name: str) -> None:
    """Keep a picture of the page."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")
