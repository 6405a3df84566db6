"""The map page in a browser: it leads to the Pi's own page, with a word when something is wrong.

The pictures are left in build/e2e/. It needs a browser: `make test-status`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.pi_page import judge, program, render, words
from ansible.module_utils.poppyfield.pi_page.judge import PiHealth

playwright = pytest.importorskip("playwright.sync_api")

from tests.images.map_server import MapServer, map_server, volumes  # noqa: E402
from tests.images.test_pi_page import folder_of_a_pi  # noqa: E402

pytestmark = pytest.mark.long

PICTURES = Path(__file__).resolve().parents[2] / "build" / "e2e"
SCREENS = {"desktop": (1280, 800), "phone": (390, 844)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a project and an empty one for the pages."""
    return folder_of_a_pi(tmp_path_factory)


@pytest.fixture(scope="module")
def server(lizmap_image: str, folder: Path) -> Iterator[MapServer]:
    """Return a map server that hands out the pages."""
    mounts = [*volumes(folder), f"{folder}/page:/srv/page:ro"]
    with map_server(lizmap_image, folder, volumes=mounts, environment={"QGIS_SERVER_WORKERS": "1"}) as running:
        running.wait_until_healthy()
        yield running


def write(folder: Path, level: str, *, minutes_ago: int = 0) -> None:
    """Write the pages as the program on the Pi does."""
    wrong = [] if level == "fine" else [{"level": level, "subject": "card", "code": "read_only", "values": {}}]
    health = PiHealth(level, wrong, list(words.SUBJECTS["en"]))
    when = (datetime.now(UTC) - timedelta(minutes=minutes_ago)).isoformat(timespec="seconds")
    pages = program.PiPages(folder / "page")
    pages.write("status.json", json.dumps(judge.for_programs(health, when)).encode())
    for language in words.LANGUAGES:
        pages.write(f"status.{language}.html", render.status("pi-orchard", health, [], language, when).encode())


@pytest.mark.parametrize("screen", SCREENS)
def test_the_map_page_says_in_a_word_how_the_pi_fares(server: MapServer, folder: Path, screen: str) -> None:
    width, height = SCREENS[screen]
    PICTURES.mkdir(parents=True, exist_ok=True)
    said = {}
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_context(viewport={"width": width, "height": height}, locale="fr-FR").new_page()
        complaints: list[str] = []
        shown.on("console", lambda message: complaints.append(message.text))
        for state, (level, minutes_ago) in {
            "fine": ("fine", 0),
            "attention": ("attention", 0),
            "broken": ("broken", 0),
            "old": ("fine", 6),
        }.items():
            write(folder, level, minutes_ago=minutes_ago)
            shown.goto(server.url)
            shown.reload()
            link = shown.locator(f"#state.{state}")
            playwright.expect(link).to_be_in_viewport(ratio=1)
            said[state] = link.inner_text()
            playwright.expect(shown.locator("#card")).to_be_hidden(timeout=60_000)
            shown.screenshot(path=PICTURES / f"map-page-{state}-{screen}.png")
        assert complaints == []
        assert len(set(said.values())) == len(said) and "ne fonctionne pas" in said["broken"]
        shown.locator("#state").click()
        playwright.expect(shown.locator("h1")).to_have_text("pi-orchard")


def test_a_pi_that_does_not_tell_is_not_spoken_of(server: MapServer, folder: Path) -> None:
    (folder / "page" / "status.json").unlink(missing_ok=True)
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_page()
        with shown.expect_response("**/status.json") as asked:
            shown.goto(server.url)
        assert asked.value.status == 404
        playwright.expect(shown.locator("#card")).to_be_hidden(timeout=60_000)
        playwright.expect(shown.locator("#state")).to_be_hidden()
