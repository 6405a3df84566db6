"""The map page shows where the Pi is, in a browser, as long as somebody wants to see it, and says whose position it is.

The pictures are left in build/e2e/. It needs a browser: `make test-status`.
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api")

from tests.images.map_server import MapServer, map_server, volumes  # noqa: E402
from tests.images.test_map_page_in_a_browser import PICTURES, SCREENS  # noqa: E402
from tests.images.test_pi_page import folder_of_a_pi  # noqa: E402
from tests.images.test_pi_position import fix, place, tell  # noqa: E402

pytestmark = pytest.mark.long

GREEN, GREY = (27, 122, 61), (107, 107, 107)
NO_FIX = {"class": "TPV", "mode": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a project and an empty one for the pages."""
    return folder_of_a_pi(tmp_path_factory)


@pytest.fixture(scope="module")
def server(lizmap_image: str, folder: Path) -> Iterator[MapServer]:
    """Return a map server that hands out the position."""
    mounts = [*volumes(folder), f"{folder}/page:/srv/page:ro"]
    with map_server(lizmap_image, folder, volumes=mounts, environment={"QGIS_SERVER_WORKERS": "1"}) as running:
        running.wait_until_healthy()
        yield running


@contextmanager
def opened(server: MapServer, screen: str, language: str = "fr-FR") -> Iterator[Any]:
    """Open the map page, whose time is the test's."""
    width, height = SCREENS[screen]
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_context(viewport={"width": width, "height": height}, locale=language).new_page()
        shown.asked = []
        shown.on("request", lambda request: shown.asked.append(request.url) if "/position" in request.url else None)
        shown.goto(server.url)
        playwright.expect(shown.locator("#card")).to_be_hidden(timeout=60_000)
        yield shown
        browser.close()


def pixels(shown: Any, colour: tuple[int, int, int]) -> int:
    """Count the pixels of the map that have this colour, beside its buttons."""
    picture = Image.open(io.BytesIO(shown.locator("#map").screenshot())).convert("RGB")
    picture = picture.crop((80, 0, *picture.size))
    return sum(count for count, found in picture.getcolors(1 << 24) or [] if found == colour)


def until(shown: Any, come: Any) -> None:
    """Wait until it is so, on a page that draws in its own time."""
    for _ in range(100):
        if come():
            return
        shown.wait_for_timeout(100)
    pytest.fail("it does not come about")


@pytest.mark.parametrize("screen", SCREENS)
def test_the_pi_is_shown_where_it_is_until_nobody_wants_to_see_it(server: MapServer, folder: Path, screen: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    tell(folder, fix())
    with opened(server, screen) as shown:
        button, line = shown.locator(".ol-control.position button"), shown.locator("#position")
        playwright.expect(button).to_be_in_viewport(ratio=1)
        playwright.expect(line).to_be_hidden()
        assert len(shown.asked) == 1 and pixels(shown, GREEN) == 0
        button.click()
        playwright.expect(line).to_have_text(re.compile(r"^Le Pi est ici, et non cet appareil \(± 5\s000 m\)\.$"))
        playwright.expect(line).to_be_in_viewport(ratio=1)
        # The mark, and the circle of its accuracy.
        until(shown, lambda: pixels(shown, GREEN) > 200)
        shown.screenshot(path=PICTURES / f"position-{screen}.png")
        tell(folder, fix(), NO_FIX, ago=11)
        playwright.expect(line).to_contain_text("était ici, et non cet appareil, il y a 11", timeout=20_000)
        until(shown, lambda: pixels(shown, GREY) > 200 and pixels(shown, GREEN) == 0)
        shown.screenshot(path=PICTURES / f"position-stale-{screen}.png")
        tell(folder, NO_FIX)
        playwright.expect(line).to_contain_text("n'a pas de position", timeout=20_000)
        shutil.rmtree(place(folder))
        playwright.expect(line).to_contain_text("ne dit pas où il est", timeout=20_000)
        button.click()
        playwright.expect(line).to_be_hidden()
        asked = len(shown.asked)
        shown.clock.install()
        shown.clock.run_for(60_000)
        assert len(shown.asked) == asked and asked > 4


def test_a_pi_without_a_receiver_is_not_asked_again(server: MapServer, folder: Path) -> None:
    shutil.rmtree(place(folder), ignore_errors=True)
    with opened(server, "desktop") as shown:
        assert len(shown.asked) == 1
        assert shown.locator(".ol-control.position").count() == 0
