"""The Pi's front page before Lizmap: it is at / alone, and Lizmap's own addresses stay."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import requests
from ansible.module_utils.poppyfield.pi_page import program, render, words
from ansible.module_utils.poppyfield.pi_page.judge import PiHealth

from tests.lizmap.conftest import Start

FINE = PiHealth("fine", [], list(words.SUBJECTS["en"]))
TITLE = "<h1>pi-orchard</h1>"


def write_front(folder: Path) -> None:
    """Write the front page as the program on the Pi does."""
    when = datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")
    for language in words.LANGUAGES:
        page = render.front("pi-orchard", FINE, [], language, when)
        program.PiPages(folder).write(f"front.{language}.html", page.encode())


def test_the_front_page_is_at_the_root_alone(start: Start, tmp_path: Path) -> None:
    pages = tmp_path / "page"
    pages.mkdir(mode=0o755)
    with start(mounts={str(pages): "/srv/page"}) as server:
        server.wait_until_healthy()
        # Without one, / is Lizmap.
        before = server.get("/")
        assert before.status_code == server.get("/index.php").status_code and TITLE not in before.text
        write_front(pages)
        french = server.get("/", headers={"Accept-Language": "fr"})
        assert '<html lang="fr">' in french.text and TITLE in french.text
        assert words.LABELS["fr"]["old"] not in french.text
        assert words.LABELS["en"]["sign_in"] in server.get("/").text
        # What else is asked is Lizmap's.
        for path in ("/?repository=fields", "/index.php", "/index.php/view/", "/admin.php/auth/login"):
            assert TITLE not in server.get(path).text
        assert server.get("/?repository=fields").status_code == before.status_code
        assert TITLE not in requests.post(server.url, timeout=60).text
        assert server.get("/index.php/view/").ok and server.get("/admin.php/auth/login").ok
        # One that the operator made in Lizmap is not hidden: the program finds it where this Lizmap keeps it.
        server.container.reload()
        assert not program.has_own_front(server.container.attrs)
        folder = server.run("realpath", "/usr/share/lizmap/lizmap/var")[1].strip()
        assert server.run("mkdir", "-p", f"{folder}/lizmap-theme-config")[0] == 0
        written = f"echo '<p>Our orchard</p>' > {folder}/lizmap-theme-config/landing_page_content.html"
        assert server.run("sh", "-c", written)[0] == 0
        assert program.has_own_front(server.container.attrs)
