"""A day in the field, on a tablet: log in, look at the map, ask for a tree, draw a new one, and find it in PostGIS.

The steps are one test because each needs what the one before it left. A picture of each is in build/e2e/, for the
documentation too.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, Position, expect

from tests.images import projects
from tests.lizmap import fieldwork

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "build" / "e2e"
NEW_TREE = 140, -90
"""Where the new tree is drawn: pixels east and south of the middle of the map."""
NOTE = "drawn in the field"
# Lizmap's own names of what a person clicks on.
MAP = "#newOlMap"


def test_a_day_in_the_field(page: Page, address: str, login: tuple[str, str], psql: Callable[[str], str]) -> None:
    """Everything that people do with a tablet works, and the new tree is a row of the table."""
    log_in(page, address, *login)
    picture(page, "1-logged-in")

    open_map(page, address)
    middle = middle_of_map(page)
    assert is_drawn_at(page, middle), "the tree in the middle of the map is not drawn"
    picture(page, "2-map")

    page.mouse.click(*middle)
    expect(page.locator("#popupcontent")).to_contain_text("the first")
    picture(page, "3-popup")
    page.locator("#dock-close").click()

    page.locator("#button-attributeLayers").click()
    page.locator(f"#attribute-layer-list-table button[value={fieldwork.LAYER}]").click()
    expect(page.locator(f"#attribute-layer-table-{fieldwork.LAYER} tbody tr")).to_have_count(1)
    picture(page, "4-attribute-table")
    page.locator("#button-attributeLayers").click()

    draw_tree(page)
    picture(page, "6-saved")

    open_map(page, address)
    east, south = middle_of_map(page)
    assert is_drawn_at(page, (east + NEW_TREE[0], south + NEW_TREE[1])), "the new tree is not drawn after a reload"
    picture(page, "7-after-reload")

    query = f"SELECT kind, ST_X(geom) > {fieldwork.ORIGIN[0]}, ST_Y(geom) > {fieldwork.ORIGIN[1]}"
    assert psql(f"{query} FROM tree WHERE note = '{NOTE}'").strip() == f"{fieldwork.KINDS[0]}|t|t"


def log_in(page: Page, address: str, name: str, password: str) -> None:
    """Log in as a person does."""
    page.goto(f"{address}/admin.php/auth/login?auth_url_return=%2Findex.php")
    page.locator("#jforms_jcommunity_login_auth_login").fill(name)
    page.locator("#jforms_jcommunity_login_auth_password").fill(password)
    page.locator("#jforms_jcommunity_login_auth_password").press("Enter")
    page.wait_for_url("**/index.php")


def open_map(page: Page, address: str) -> None:
    """Open the map, and wait until Lizmap has drawn it."""
    with page.expect_response(lambda answer: "REQUEST=GetMap" in answer.url.replace("Request", "REQUEST")) as drawn:
        page.goto(f"{address}/index.php/view/map?repository={fieldwork.REPOSITORY}&project={fieldwork.PROJECT}")
    assert drawn.value.ok, drawn.value.status
    page.wait_for_load_state("networkidle")


def draw_tree(page: Page) -> None:
    """Draw a tree with the edit tool, and save it."""
    page.locator("#button-edition").click()
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
    expect(page.locator("#lizmap-edition-message")).to_be_visible()


def middle_of_map(page: Page) -> tuple[float, float]:
    """Give the middle of the map, in pixels of the page."""
    box = page.locator(MAP).bounding_box()
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
