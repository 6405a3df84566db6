"""The program of a Pi's page, with an engine, a map server and a host of the tests."""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ansible.module_utils.poppyfield.host.stack_host import HostOfStack
from ansible.module_utils.poppyfield.pi_page import own_front, program
from ansible.module_utils.poppyfield.pi_page.program import PiPages

from tests.unit.test_pi_page import CAPABILITIES, DRAWN, WHEN, container

Json = dict[str, Any]


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers what the test says."""

    answers: ClassVar[dict[str, tuple[int, bytes]]] = {}

    def do_GET(self) -> None:
        status, body = next((a for words, a in self.answers.items() if words in self.path), (404, b""))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "the test"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[int, bytes]]]:
    """An engine at a socket, whose answers the test gives."""
    answers: dict[str, tuple[int, bytes]] = {}
    handler = type("Handler", (Answering,), {"answers": answers})
    socket = str(tmp_path / "docker.sock")
    monkeypatch.setattr(program, "DOCKER", socket)
    with served(socketserver.ThreadingUnixStreamServer(socket, handler)):
        yield answers


@pytest.fixture
def map_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[int, bytes]]]:
    """A map server that draws, at the port of a container on this machine."""
    answers = {"GetCapabilities": (200, CAPABILITIES), "GetMap": (200, DRAWN)}
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Answering,), {"answers": answers}))
    monkeypatch.setattr(program, "HTTP_PORT", server.server_port)
    with served(server):
        yield answers


@pytest.fixture
def pages(tmp_path: Path) -> PiPages:
    found = PiPages(tmp_path / "served", tmp_path / "work")
    found.folder.mkdir()
    found.work.mkdir()
    return found


@pytest.fixture
def lizmap(tmp_path: Path) -> Json:
    """A container that serves one project, and one that is hidden."""
    for name in ("fields/meadow.qgs", "fields/.meadow.qgz", ".git/old.qgs"):
        path = tmp_path / "projects" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    found = container("lizmap")
    found["Config"] |= {"Env": ["A=b"], "Labels": {**found["Config"]["Labels"], program.WEB_CLIENT: "none"}}
    found["Mounts"] = [{"Type": "bind", "Source": str(tmp_path / "projects"), "Destination": "/srv/projects"}]
    found["NetworkSettings"] = {"Networks": {"none": {"IPAddress": ""}, "websig": {"IPAddress": "127.0.0.1"}}}
    return found


def listed(*containers: Json) -> dict[str, tuple[int, bytes]]:
    """Give what an engine answers that has these containers."""
    rows = [{"Id": c["Id"], "ImageID": "i", "Labels": c["Config"]["Labels"]} for c in containers]
    foreign = {"Id": "foreign", "ImageID": "f", "Labels": {}}
    return {
        "/containers/json?all=1": (200, json.dumps([*rows, foreign]).encode()),
        "/info": (200, json.dumps({"ServerVersion": "26", "DockerRootDir": "/"}).encode()),
        **{f"/containers/{c['Id']}/json": (200, json.dumps(c).encode()) for c in containers},
    }


def test_a_whole_look_writes_the_pages(
    engine: Json, map_server: Json, pages: PiPages, lizmap: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine |= listed(container("postgis"), lizmap)
    monkeypatch.setattr(program, "said_by", lambda *words: "active\n" if "docker.service" in words else "")
    program.run({"name": "pi-orchard", "front": False, "operator": False}, pages, 0.0, all_now=False)
    page = (pages.folder / "status.en.html").read_text("utf-8")
    assert "Each map draws." in page and "Fields" in page
    (picture,) = (pages.folder / "status" / "maps").iterdir()
    assert picture.read_bytes() == DRAWN and f"/status/maps/{picture.name}" in page
    assert not (pages.folder / "front.en.html").exists()
    # What is known is not asked for again so soon.
    map_server.clear()
    program.run({"name": "pi-orchard", "front": True, "operator": True}, pages, 0.0, all_now=False)
    assert "Each map draws." in (pages.folder / "status.en.html").read_text("utf-8")
    assert "Fields" in (pages.folder / "front.fr.html").read_text("utf-8")
    program.run({"name": "pi-orchard", "front": True, "operator": True}, pages, 0.0, all_now=True)
    assert "Fields does not draw" in (pages.folder / "status.en.html").read_text("utf-8")
    program.run({"name": "pi-orchard", "front": False, "operator": False}, pages, 0.0, all_now=False)
    assert not (pages.folder / "front.fr.html").exists()
    # It is withdrawn.
    Path(lizmap["Mounts"][0]["Source"], "fields", "meadow.qgs").unlink()
    program.run({"name": "pi-orchard", "front": True, "operator": True}, pages, 0.0, all_now=True)
    assert not picture.exists() and "Fields" not in (pages.folder / "status.en.html").read_text("utf-8")


STATE = "lizmap/var"
WRITTEN = f"{STATE}/lizmap-theme-config/landing_page_content.html"
SETTINGS = f"{STATE}/config/lizmapConfig.ini.php"


@pytest.mark.parametrize(
    ("file", "content", "own"),
    [
        (WRITTEN, "<p>Welcome to the orchard</p>", True),
        (WRITTEN, '<p><img src="media/logo.png"></p>', True),
        (f"{STATE}/lizmap-theme-config/landing_page_content_bottom.html", "Write to us", True),
        (f"{STATE}/lizmap-theme-config/authed_landing_page_top_content.html", "<p>Hello</p>", True),
        (SETTINGS, "[services]\nonlyMaps=0\n", False),
        (WRITTEN, "", False),
        (WRITTEN, "<p>&nbsp;</p>\n", False),
        (SETTINGS, ";<?php die(''); ?>\n[services]\nonlyMaps=on\ndefaultProject=meadow\n", True),
        (SETTINGS, '[services]\nonlyMaps = "1"\n', True),
        (SETTINGS, "[services]\nonlyMaps=off\n;onlyMaps=on\n", False),
        (f"{STATE}/config/localconfig.ini.php", "onlyMaps=on\n", False),
    ],
)
def test_lizmaps_own_front_page_is_the_operators(tmp_path: Path, file: str, content: str, own: bool) -> None:
    path = tmp_path / "3.9.9" / file
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="utf-8")
    assert own_front.is_there(str(tmp_path), "3.9.9") is own
    # That of the version before is no longer shown.
    assert not own_front.is_there(str(tmp_path), "3.9.11")


def test_what_lizmap_puts_in_the_way_of_its_front_page_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "3.9.9" / WRITTEN
    path.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").write_text("of nobody's business", encoding="utf-8")
    path.symlink_to(tmp_path / "elsewhere")
    assert not own_front.is_there(str(tmp_path), "3.9.9")
    path.unlink()
    # Whoever opens it to read would wait for ever.
    os.mkfifo(path)
    assert not own_front.is_there(str(tmp_path), "3.9.9")
    path.unlink()
    path.parent.rmdir()
    path.parent.symlink_to(tmp_path)
    assert not own_front.is_there(str(tmp_path), "3.9.9")


def test_the_pis_front_page_gives_way_to_the_operators(
    engine: Json, pages: PiPages, lizmap: Json, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = tmp_path / "config"
    (states / "3.9.9" / WRITTEN).parent.mkdir(parents=True)
    lizmap["Config"]["Labels"] |= {"fr.poppyfield.version.lizmap-web-client": "3.9.9"}
    lizmap["Mounts"] = [{"Type": "bind", "Source": str(states), "Destination": "/srv/lizmap"}]
    engine |= listed(container("postgis"), lizmap)
    monkeypatch.setattr(program, "said_by", lambda *words: "active\n" if "docker.service" in words else "")
    settings = {"name": "pi-orchard", "front": True, "operator": False}
    program.run(settings, pages, 0.0, all_now=False)
    assert (pages.folder / "front.en.html").exists()
    (states / "3.9.9" / WRITTEN).write_text("<h1>Our orchard</h1>", encoding="utf-8")
    program.run(settings, pages, 0.0, all_now=False)
    assert not list(pages.folder.glob("front.*")) and (pages.folder / "status.en.html").exists()


@pytest.mark.parametrize(
    "state",
    [{"Paused": True}, {"Running": False}, {"Restarting": True}, {"Health": {"Status": "unhealthy"}}, None],
)
def test_a_map_server_that_is_not_well_is_not_asked(pages: PiPages, lizmap: Json, state: Json | None) -> None:
    known = {"fields/meadow": {"title": "Fields"}}
    server = None if state is None else {**lizmap, "State": {**lizmap["State"], **state}}
    assert program.look_at_maps(pages, known, server, 0.0, WHEN, all_now=True) == known


def test_maps_that_take_long_do_not_keep_the_page_waiting(
    map_server: Json, pages: PiPages, lizmap: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "ALL_MAPS_SECONDS", 0)
    map_server.clear()
    assert program.look_at_maps(pages, {}, lizmap, 0.0, WHEN, all_now=True) == {}
    known = {"fields/meadow": {"title": "Fields", "draws": True, "asked": 0.0}}
    assert program.look_at_maps(pages, known, lizmap, 0.0, WHEN, all_now=True) == known


def test_without_its_folder_of_projects_there_is_no_map(pages: PiPages, lizmap: Json) -> None:
    assert program.look_at_maps(pages, {}, {**lizmap, "Mounts": []}, 0.0, WHEN, all_now=True) == {}


def test_a_map_that_is_not_for_everybody_leaves_neither_name_nor_picture(
    map_server: Json, pages: PiPages, lizmap: Json
) -> None:
    known = program.look_at_maps(pages, {}, lizmap, 0.0, WHEN, all_now=True)
    assert list(known) == ["fields/meadow"]
    map_server["GetCapabilities"] = (401, b"")
    known = program.look_at_maps(pages, known, lizmap, 0.0, WHEN, all_now=True)
    program.forget_pictures(pages, known)
    assert not list((pages.folder / "status" / "maps").iterdir())
    # It is remembered without its name, so that it is not asked for each minute.
    assert known == {"fields/meadow": {"hidden": True, "draws": True, "asked": 0.0}}
    map_server.clear()
    assert program.look_at_maps(pages, known, lizmap, 30.0, WHEN, all_now=False) == known


def test_a_map_that_was_made_private_is_gone_with_the_next_writing(
    map_server: Json, pages: PiPages, lizmap: Json
) -> None:
    """It need not be due, and nothing is drawn for that."""
    lizmap["Config"]["Labels"][program.WEB_CLIENT] = "lizmap"
    map_server["getProjectConfig"] = (200, b"{}")
    known = program.look_at_maps(pages, {}, lizmap, 0.0, WHEN, all_now=True)
    (picture,) = (pages.folder / "status" / "maps").iterdir()
    assert known["fields/meadow"]["title"] == "Fields"
    map_server |= {"GetMap": (500, b""), "GetCapabilities": (500, b"")}
    assert program.look_at_maps(pages, known, lizmap, 1.0, WHEN, all_now=False) == known
    # One that fails is not private.
    map_server["getProjectConfig"] = (500, b"")
    assert program.look_at_maps(pages, known, lizmap, 2.0, WHEN, all_now=False) == known
    map_server["getProjectConfig"] = (401, b"")
    known = program.look_at_maps(pages, known, lizmap, 3.0, WHEN, all_now=False)
    assert known == {"fields/meadow": {"hidden": True, "draws": True, "asked": 3.0}}
    program.forget_pictures(pages, known)
    assert not picture.exists()


@pytest.mark.parametrize("answer", [(500, b"{}"), (200, b"no JSON")])
def test_an_engine_that_fails_does_not_answer(engine: Json, answer: tuple[int, bytes]) -> None:
    engine["/containers/json"] = answer
    assert program.look_at_docker().info == {}


def test_who_does_not_speak_http_gives_no_answer(lizmap: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    class Mumbling(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1024)
            self.request.sendall(b"mumble\r\n\r\n")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mumbling)
    monkeypatch.setattr(program, "HTTP_PORT", server.server_address[1])
    with served(server), pytest.raises(OSError, match="no answer in HTTP"):
        program.asker(lizmap)("/")


def test_with_https_the_containers_other_port_is_asked(lizmap: Json) -> None:
    connection = program._connection("127.0.0.1", is_https=True)
    assert (connection.port, type(connection).__name__) == (program.HTTPS_PORT, "HTTPSConnection")
    connection = program._connection("127.0.0.1", is_https=False)
    assert (connection.port, type(connection).__name__) == (program.HTTP_PORT, "HTTPConnection")


@pytest.mark.parametrize("content", ["", "[]", '{"maps": 5, "updates": {}}', '{"maps": {}}'])
def test_what_is_remembered_wrongly_is_not_remembered(pages: PiPages, content: str) -> None:
    (pages.work / "state.json").write_text(content)
    assert pages.state() == {"maps": {}, "updates": {}}


def test_apt_is_asked_every_few_hours(tmp_path: Path) -> None:
    lists = tmp_path / "var/lib/apt/lists"
    lists.mkdir(parents=True)
    (lists / "debian-security_InRelease").write_text("")
    said = {"apt-get": "Inst openssl [1] (2 Debian-Security:13/stable-security [arm64])\n"}
    host = HostOfStack(lambda command, *_: said.get(command, ""), tmp_path)
    found = program.updates_wait(host, {}, 1000.0)
    assert found == {"asked": 1000.0, "wait": True}
    said.clear()
    assert program.updates_wait(host, found, 2000.0) == found
    for later in (1000.0 + program.UPDATES_AGAIN, 500.0):
        assert program.updates_wait(host, found, later) == {"asked": later, "wait": False}


def test_the_cards_own_files_are_read(tmp_path: Path) -> None:
    for path, text in {
        "proc/1/mounts": "/dev/mmcblk0p2 / ext4 rw 0 0\n",
        "sys/fs/ext4/mmcblk0p1/errors_count": "0\n",
        "sys/fs/ext4/mmcblk0p2/errors_count": "2\n",
        "sys/block/mmcblk0/device/life_time": "0x0b 0x01\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert HostOfStack(lambda *_: "", tmp_path).card() == ["io_errors", "worn"]


@pytest.mark.usefixtures("map_server")
@pytest.mark.parametrize("turned", [1, 2], ids=["before the maps", "while maps are drawn"])
def test_a_disk_that_turns_read_only_is_told_by_the_look_in_which_it_does(
    turned: int, engine: Json, pages: PiPages, lizmap: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither maps nor apt are waited for where that is known: they may take minutes, and it is to be told in one."""
    mounts = [{"Type": "bind", "Source": f"/srv/{rw}", "Destination": "/data", "RW": rw} for rw in (True, False)]
    engine |= listed({**container("postgis"), "Mounts": mounts}, lizmap)
    looks: list[Sequence[str]] = []

    def look_at_card(_: HostOfStack, folders: Sequence[str]) -> list[str]:
        looks.append(folders)
        return ["read_only"] if len(looks) >= turned else []

    monkeypatch.setattr(HostOfStack, "card", look_at_card)
    monkeypatch.setattr(program, "said_by", lambda *words: "active\n" if "docker.service" in words else "")
    if turned == 1:
        monkeypatch.setattr(program, "look_at_maps", lambda *_, **__: pytest.fail("maps were waited for"))
        monkeypatch.setattr(program, "updates_wait", lambda *_: pytest.fail("apt was waited for"))
    program.run({"name": "pi", "front": False, "operator": False}, pages, 0.0, all_now=False)
    health = json.loads((pages.folder / "status.json").read_text("utf-8"))
    assert "read_only" in [one["code"] for one in health["wrong"]] and len(looks) == turned
    # The disk of the data counts, too, and not what is only read.
    assert looks[0] == ["/", "/srv/True"]


def test_the_pis_own_compose_is_named_once_there_is_a_file_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program.compose_command(tmp_path) == ""
    (tmp_path / "docker-compose.yml").touch()
    assert program.compose_command(tmp_path) == "docker compose"
    (tmp_path / "docker-compose").touch(mode=0o755)
    assert program.compose_command(tmp_path) == "docker-compose"


def command(folder: Path, script: str) -> None:
    (folder / "told").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "told").chmod(0o755)


def test_commands_say_something_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert program.said_by("told") == ""
    command(tmp_path, 'echo "$1 $LC_ALL"')
    assert program.said_by("told", "good") == "good C\n"
    command(tmp_path, "echo bad; exit 1")
    assert program.said_by("told") == ""
    command(tmp_path, "exec sleep 60")
    monkeypatch.setattr(program, "COMMAND_SECONDS", 0.1)
    assert program.said_by("told") == ""


def test_the_settings_are_beside_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "ansible/module_utils/poppyfield/pi_page/program.py"
    (tmp_path / "settings.json").write_text('{"name": "pi"}')
    done: list[Any] = []
    run: Callable[..., None] = lambda settings, *_, all_now: done.append((settings["name"], all_now))  # noqa: E731
    monkeypatch.setattr(program, "__file__", str(inner))
    monkeypatch.setattr(program, "run", run)
    monkeypatch.setattr("sys.argv", ["page", "--now"])
    assert program.main() == 0 and done == [("pi", True)]


def test_a_docker_that_somebody_stopped_is_not_started_by_asking_it(
    engine: Json, pages: PiPages, lizmap: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine |= listed(lizmap)
    monkeypatch.setattr(program, "said_by", lambda *words: "inactive\n" if "docker.service" in words else "")
    monkeypatch.setattr(program, "look_at_docker", lambda: pytest.fail("Docker was asked"))
    program.run({"name": "pi-orchard", "front": False, "operator": False}, pages, 0.0, all_now=False)
    assert "Docker" in (pages.folder / "status.en.html").read_text("utf-8")
