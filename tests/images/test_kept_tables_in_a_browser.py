"""The map page in a browser while a layer is edited: it lies over the others, which are not drawn again.

It needs a browser: `make test-status`.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api")

from tests.images.map_server import MapServer  # noqa: E402
from tests.images.projects import POPPY  # noqa: E402
from tests.images.test_kept_pictures import path, sql  # noqa: E402
from tests.images.test_kept_tables import INK, empty, note, postgis, publish, server, until_told  # noqa: E402

__all__ = ["empty", "postgis", "server"]
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(tmp_path_factory.mktemp("page"), ["notes"])


def test_the_page_lays_edited_layers_over_the_others(server: MapServer, empty: Any) -> None:
    until_told(server, "meadow")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 800, "height": 600})
        pictures: list[Any] = []
        page.on("response", lambda answer: pictures.append(answer) if "REQUEST=GetMap" in answer.url else None)

        def shown() -> Image.Image:
            """Open the page; give what it shows around the middle of the map."""
            pictures.clear()
            page.goto(f"{server.url}/#project={path('tables').split('/')[2]}")
            page.reload(wait_until="networkidle")
            playwright.expect(page.locator("#card")).to_be_hidden(timeout=60_000)
            playwright.expect(page.locator("#progress")).to_be_hidden(timeout=60_000)
            return Image.open(io.BytesIO(page.locator("#map canvas").first.screenshot())).convert("RGB")

        def is_anywhere(color: tuple[int, int, int], on: Image.Image) -> bool:
            return color in {pixel for _, pixel in on.getcolors(maxcolors=2**24) or []}

        sql(empty, note(1))
        seen = shown()
        assert is_anywhere(INK, seen) and is_anywhere(POPPY, seen)
        sql(empty, "DELETE FROM notes")
        seen = shown()
        assert not is_anywhere(INK, seen) and is_anywhere(POPPY, seen)
        last = {parse_qs(urlsplit(answer.url).query)["LAYERS"][0]: answer.headers.get("x-kept") for answer in pictures}
        below, above = sorted(last, key=lambda layers: "notes" in layers.split(","))
        assert (below, above) == ("meadow", "notes")
        assert last[below] == "HIT"
