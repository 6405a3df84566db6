"""The Pi's page in the map server's container: it needs nothing but nginx, and tells by itself when it is old."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from ansible.module_utils.poppyfield.pi_page import program, render, words
from ansible.module_utils.poppyfield.pi_page.judge import PiHealth
from ansible.module_utils.poppyfield.projects import map_checks

from tests.images import projects
from tests.images.map_server import MapServer, map_server, volumes, wait_until

FINE = PiHealth("fine", [], list(words.SUBJECTS["en"]))
PICTURE = "0123456789abcdef"
MAP: dict[str, Any] = {
    "title": "Meadow",
    "link": "/",
    "draws": True,
    "picture": PICTURE,
    "pictured": "2026-11-29T14:55:00+00:00",
}
WHEN = "2026-11-29T15:00:00+00:00"


def folder_of_a_pi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a project, and an empty one for the pages."""
    found = tmp_path_factory.mktemp("page")
    found.chmod(0o755)
    repository = found / "projects" / "fields"
    repository.mkdir(parents=True)
    (repository / "meadow.qgs").write_text(projects.qgs([projects.geojson(repository)]), "utf-8")
    (found / "page").mkdir(mode=0o755)
    return found


def write(folder: Path, health: PiHealth, now: float) -> None:
    """Write the pages as the program on the Pi does."""
    pages = program.PiPages(folder)
    for language in words.LANGUAGES:
        when = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        page = render.status("pi-orchard", health, [MAP], language, when)
        pages.write(f"status.{language}.html", page.encode())
    pages.write("status.json", b"{}\n")
    pages.write(f"status/maps/{PICTURE}.png", b"a picture")
    pages.write("kept.txt", b"of nobody's business")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a project and the pages."""
    found = folder_of_a_pi(tmp_path_factory)
    write(found / "page", FINE, time.time())
    return found


@pytest.fixture(scope="module")
def server(lizmap_image: str, folder: Path) -> Iterator[MapServer]:
    """Return a map server with the pages."""
    mounts = [*volumes(folder), f"{folder}/page:/srv/page:ro"]
    options: dict[str, Any] = {"environment": {"QGIS_SERVER_WORKERS": "1", "SERVER_NAMES": "pi-orchard"}}
    with map_server(lizmap_image, folder, volumes=mounts, **options) as running:
        running.wait_until_healthy()
        yield running


@pytest.mark.parametrize(
    ("asked_for", "language"),
    [
        ("", "en"),
        ("en-GB,en;q=0.9,fr;q=0.8", "en"),
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("de,fr;q=0.5", "fr"),
        ("de", "en"),
    ],
)
def test_the_page_is_in_the_browsers_language(server: MapServer, asked_for: str, language: str) -> None:
    answer = server.get("/status", headers={"Accept-Language": asked_for})
    assert answer.status_code == 200 and f'<html lang="{language}">' in answer.text
    assert words.LABELS[language]["fine"] in answer.text and words.LABELS[language]["old"] not in answer.text
    assert "Accept-Language" in answer.headers["Vary"]
    assert f'<html lang="{language}">' in server.get(f"/status/{language}").text


def test_the_page_lets_nothing_in_from_elsewhere(server: MapServer) -> None:
    answer = server.get("/status")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; img-src 'self'") and "script" not in policy
    assert "<script" not in answer.text and "//" not in answer.text.replace("<!DOCTYPE html>", "")
    assert server.get(f"/status/maps/{PICTURE}.png").headers["Content-Type"] == "image/png"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_that_nobody_writes_any_more_says_so(server: MapServer, folder: Path) -> None:
    write(folder / "page", FINE, time.time() - 3600)
    try:
        assert words.LABELS["fr"]["old"] in server.get("/status/fr").text
    finally:
        write(folder / "page", FINE, time.time())
    assert words.LABELS["fr"]["old"] not in server.get("/status/fr").text


@pytest.mark.parametrize(
    "path",
    [
        "/kept.txt",
        "/status/kept.txt",
        "/status/maps/..%2f..%2fkept.txt",
        "/status/maps/",
        "/status/maps/%2e%2e/kept.txt",
    ],
)
def test_nothing_else_of_the_folder_is_handed_out(server: MapServer, folder: Path, path: str) -> None:
    # It is there, and nginx can read it.
    assert server.run("cat", "/srv/page/kept.txt") == (0, "of nobody's business")
    answer = server.get(path)
    assert answer.status_code in (400, 403, 404) and "business" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_page_takes_no_orders(server: MapServer, method: str) -> None:
    for path in ("/status", "/status.json", "/status/en", f"/status/maps/{PICTURE}.png"):
        assert requests.get(server.url + path, timeout=60).status_code == 200
        assert requests.request(method, server.url + path, data="restart", timeout=60).status_code in (403, 405)


def test_a_name_that_is_not_served_has_no_page(server: MapServer) -> None:
    assert server.get("/status", headers={"Host": "pi-orchard"}).status_code == 200
    assert server.get("/status", headers={"Host": "evil.example"}).status_code == 421


def test_the_page_needs_neither_the_database_nor_php_nor_qgis_server(server: MapServer) -> None:
    """There is no database here from the start."""
    for name in ("qgis-watchdog", "qgis-server", "php-fpm", "queue"):
        code, said = server.run("s6-svc", "-dK", f"/run/service/{name}", user="root")
        assert code == 0, said
    wait_until(lambda: server.get("/ows/fields/meadow/?SERVICE=WMS&REQUEST=GetCapabilities").status_code == 502, "none")
    answer = server.get("/status")
    assert answer.status_code == 200 and words.LABELS["en"]["fine"] in answer.text
    for name in ("queue", "php-fpm", "qgis-server", "qgis-watchdog"):
        server.run("s6-svc", "-u", f"/run/service/{name}", user="root")
    server.wait_until_healthy()


def test_a_pi_without_the_page_says_so(lizmap_image: str, folder: Path) -> None:
    with map_server(lizmap_image, folder, environment={"QGIS_SERVER_WORKERS": "1"}) as server:
        server.wait_until_healthy()
        answer = server.get("/status")
        assert answer.status_code == 404 and "pi_page_enabled" in answer.text


def test_the_programs_way_to_a_map_finds_its_picture(server: MapServer, folder: Path, tmp_path: Path) -> None:
    server.container.reload()
    pages = program.PiPages(tmp_path)
    inspected = server.container.attrs
    state = inspected["State"]
    found = program.look_at_maps(
        pages, {}, {**inspected, "State": {**state, "Health": {"Status": "healthy"}}}, 5.0, WHEN, all_now=True
    )
    seen = found["fields/meadow"]
    assert seen["draws"] is True
    picture = (tmp_path / "status" / "maps" / f"{seen['picture']}.png").read_bytes()
    assert map_checks.distinct_colors(picture) > 1
