"""The page of the fleet in a browser, on a laptop and on a phone: all that is wrong is in the first screen.

The page is left where playbooks/status.yml writes that of a real fleet, build/status/index.html, and its pictures in
build/e2e/. It needs a browser, no Lizmap: `make test-status`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.status import history, page, rows

playwright = pytest.importorskip("playwright.sync_api")

from tests.doubles import fleet  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "build" / "e2e"
PAGE = ROOT / "build" / "status" / "index.html"
SCREENS: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "is_mobile": True,
        "has_touch": True,
        "device_scale_factor": 2,
    },
}


@pytest.fixture(scope="module")
def page_file() -> Path:
    """Return the page of a fleet of four of which one has just gone and one has drifted, after some runs."""
    template, style = ((ROOT / "playbooks/templates" / name).read_text() for name in ("status.html.j2", "status.css"))
    known = history.History()
    for day in range(20, 29):
        now = f"2026-11-{day}T10:00:00+00:00"
        warm = fleet.look(millidegrees=str(1000 * (20 + day)))
        looks = dict.fromkeys(fleet.FLEET, warm) if day < 28 else fleet.LOOKS
        maps = {**fleet.MAPS, "pi-vineyard": fleet.asked()}
        seen = [rows.row_of(name, looks[name], maps[name], known.rows.get(name), now) for name in fleet.FLEET]
        known = history.grown(known, seen, fleet.FLEET)
    found = rows.worst_first(rows.with_drift(rows.with_old_releases(seen), fleet.DRIFT))
    pictures = {(name, fleet.MAP): (page.picture(fleet.png()), now) for name in fleet.FLEET}
    for folder in (PICTURES, PAGE.parent):
        folder.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page.render(template, style, found, points=known.points, pictures=pictures, language="en", now=now))
    return PAGE


@pytest.mark.parametrize("screen", SCREENS)
def test_all_that_is_wrong_is_in_the_first_screen(page_file: Path, screen: str) -> None:
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_context(**SCREENS[screen]).new_page()
        refused: list[str] = []
        shown.on("console", lambda message: refused.append(message.text))
        shown.goto(page_file.as_uri())
        sentences = shown.locator(".glance .sentence")
        assert sentences.count() == 5
        for number in range(sentences.count()):
            playwright.expect(sentences.nth(number)).to_be_in_viewport(ratio=1)
        width = shown.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert width[0] <= width[1], "the page is wider than the screen"
        assert shown.locator("img").evaluate_all("images => images.every(image => image.naturalWidth > 0)")
        assert refused == []
        shown.screenshot(path=PICTURES / f"status-{screen}.png", full_page=True)
        browser.close()
