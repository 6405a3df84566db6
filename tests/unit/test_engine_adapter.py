"""The adapter to Docker: commands fed through their standard input, archives, connecting, and what its errors say."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import engine
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, EngineGoneError, EngineMissingError
from docker import errors

# Commands ----------------------------------------------------------------------------------------------------------


def test_a_command_reads_its_input_and_gives_what_it_wrote() -> None:
    script = "cat; echo oops >&2; exit 3"
    assert engine.run_with_input(["sh", "-c", script], [b"first ", b"second"]) == engine.Result(
        3, "first second", "oops\n"
    )


def test_a_command_that_ends_early_is_judged_by_its_exit_code() -> None:
    plenty = (b"x" * 65536 for _ in range(100))
    assert engine.run_with_input(["sh", "-c", "exit 4"], plenty).code == 4


def test_a_command_that_does_not_exist_is_a_sentence() -> None:
    with pytest.raises(EngineError, match=r"no-such-command cannot be run: No such file or directory\."):
        engine.run_with_input(["no-such-command"])


def test_a_command_does_not_outlive_the_one_who_feeds_it(tmp_path: Path) -> None:
    fifo = tmp_path / "process"
    os.mkfifo(fifo)

    def broken() -> Iterator[bytes]:
        yield b"first"
        raise KeyError(fifo.read_text().strip())

    with pytest.raises(KeyError) as raised:
        engine.run_with_input(["sh", "-c", f"echo $$ > {fifo}; exec cat"], broken())
    # Killed and waited for, so that not even a zombie is left.
    assert not Path(f"/proc/{raised.value.args[0]}").exists()


# Connecting ---------------------------------------------------------------------------------------------------------


class EngineServer(BaseHTTPRequestHandler):
    """As much of the Engine API as connecting needs."""

    def do_GET(self) -> None:
        answer: dict[str, Any] = {"ApiVersion": "1.41"} if self.path.endswith("/version") else {"MemoryLimit": True}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output quiet."""


def test_it_connects_to_the_engine_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), EngineServer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_address[1]}")
        assert Engine.connect().keeps_memory_limits()
        server.shutdown()
        thread.join()


def test_an_engine_that_does_not_answer_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineMissingError, match="Docker Engine does not answer on this host"):
        Engine.connect()


def test_a_missing_sdk_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(EngineMissingError, match="docker_engine role installs python3-docker"):
        Engine.connect()


# What its errors say ------------------------------------------------------------------------------------------------


def failing(error: Exception) -> Engine:
    """Give an engine that answers every question in this way."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    return Engine(SimpleNamespace(start=fail, logs=fail, remove_image=fail, version=fail), errors)


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (errors.APIError("500", explanation="no space"), EngineError, "could not start the container x: no space"),
        (errors.APIError("conflict"), EngineError, "could not start the container x: conflict"),
        (errors.InvalidVersion("too old"), EngineError, "could not start the container x: too old"),
        (ConnectionResetError("reset"), EngineGoneError, "stopped answering while it was to start the container x"),
    ],
)
def test_what_docker_says_is_in_a_sentence(error: Exception, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        failing(error).start("x")


def test_a_log_that_cannot_be_read_is_empty() -> None:
    assert failing(errors.APIError("driver none")).last_log_lines("x") == ""
    assert failing(errors.APIError("driver none")).log_since("x", 1) == ""


def test_what_is_shown_of_a_container_has_nothing_that_controls_a_terminal() -> None:
    def run(*_: object) -> engine.Result:
        return engine.Result(1, "\x1b[0m", "\x1b[31mERROR\x1b[0m: no\n\ttable\x07\n")

    api = SimpleNamespace(logs=lambda *_, **__: b"\x1b]0;owned\x07a\n\x1b[2Jb\x08\n")
    adapter = Engine(api, errors, run)
    assert adapter.last_log_lines("x") == "a\nb"
    # What it puts out is data, and may hold anything.
    assert adapter.execute("x", "root", ["true"], ()) == engine.Result(1, "\x1b[0m", "ERROR: no\n\ttable\n")
    assert engine.last_lines("\x1b[1mone\n\n\ttwo\x1b[0m \n") == "one\n\ttwo"
    with pytest.raises(EngineError, match=r"could not start the container x: no space$"):
        failing(errors.APIError("500", explanation="\x1b[31mno space\x1b[0m")).start("x")


def test_a_log_is_read_from_a_time_on() -> None:
    asked: list[dict[str, object]] = []

    def logs(name: str, **given: object) -> bytes:
        asked.append({"name": name, **given})
        return b"caf\xc3\xa9 \xff\n\x1b[2J\tb\r\n"

    assert Engine(SimpleNamespace(logs=logs), errors).log_since("x", 1700000000) == "caf\u00e9 \ufffd\n\tb\n"
    assert asked == [{"name": "x", "stdout": True, "stderr": True, "since": 1700000000}]


def test_an_image_that_is_gone_already_was_not_removed() -> None:
    assert not failing(errors.ImageNotFound("none")).remove_image("x:1")
    with pytest.raises(EngineError, match="could not remove the image x:1: broken"):
        failing(errors.APIError("broken")).remove_image("x:1")


# Archives -----------------------------------------------------------------------------------------------------------


def engine_of(version: str) -> tuple[Engine, list[bytes]]:
    """Give an engine of a version, and what it has loaded."""
    loaded: list[bytes] = []

    def load(stream: Any) -> list[str]:
        loaded.append(stream.read())
        return ["done"]

    return Engine(SimpleNamespace(version=lambda: {"Version": version}, load_image=load), errors), loaded


@pytest.fixture
def zstd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A host that has this script as its zstd, and no other one."""

    def make(script: str) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "zstd").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / "zstd").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")

    return make


@pytest.mark.parametrize(
    ("version", "name", "received"),
    [
        ("20.10.24+dfsg1", "image.tar.gz", b"archive\n"),
        ("20.10.24+dfsg1", "image.tar.zst", b"unpacked archive\n"),
        ("22.06.0", "image.tar.zst", b"unpacked archive\n"),
        ("23.0.0", "image.tar.zst", b"archive\n"),
        ("master", "image.tar.zst", b"archive\n"),
    ],
)
def test_an_engine_gets_what_it_can_read(
    zstd: Callable[[str], None], tmp_path: Path, version: str, name: str, received: bytes
) -> None:
    zstd('test "$1" = -dc && printf "unpacked " && cat "$2"')
    (tmp_path / name).write_text("archive\n")
    loading, loaded = engine_of(version)
    loading.load_image(tmp_path / name)
    assert loaded == [received]


def test_an_old_engine_needs_zstd_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "image.tar.zst").touch()
    with pytest.raises(EngineError, match="install the package zstd"):
        engine_of("20.10.24")[0].load_image(tmp_path / "image.tar.zst")


@pytest.mark.parametrize("name", ["image.tar.zst", "image.tar.gz"])
def test_an_archive_that_is_missing_is_not_called_damaged(tmp_path: Path, name: str) -> None:
    with pytest.raises(EngineError, match=rf"^There is no archive at {tmp_path}/{name}\.$"):
        engine_of("20.10.24")[0].load_image(tmp_path / name)


def test_a_damaged_archive_is_said(zstd: Callable[[str], None], tmp_path: Path) -> None:
    zstd("echo 'zstd: premature end' >&2; exit 1")
    (tmp_path / "image.tar.zst").touch()
    with pytest.raises(EngineError, match=r"image\.tar\.zst is damaged: zstd cannot read it \(premature end\)"):
        engine_of("20.10.24")[0].load_image(tmp_path / "image.tar.zst")


def refusing(error: Exception) -> Callable[..., Any]:
    """An engine that takes all that it is sent, and then says so."""

    def load(stream: Any) -> list[str]:
        stream.read()
        raise error

    return load


def test_an_archive_that_zstd_cannot_read_is_why_the_engine_refuses_it(
    zstd: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "image.tar.zst").touch()
    zstd("printf half; exit 1")
    loading = SimpleNamespace(version=lambda: {"Version": "20.10.24"}, load_image=refusing(errors.APIError("bad tar")))
    with pytest.raises(EngineError, match="is damaged: zstd cannot read it"):
        Engine(loading, errors).load_image(tmp_path / "image.tar.zst")
    (tmp_path / "bin" / "zstd").write_text("#!/bin/sh\nprintf whole\n")
    with pytest.raises(EngineError, match=r"Docker could not load .*: bad tar"):
        Engine(loading, errors).load_image(tmp_path / "image.tar.zst")


class FailingCard:
    """A file on a card that gives its beginning only."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.parts = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> FailingCard:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def read(self, size: int = -1) -> bytes:
        self.parts += 1
        if self.parts > 1:
            raise OSError(5, "Input/output error")
        return bytes(self.file.read(min(size, 8)))


class LoadingServer(EngineServer):
    """Takes an image, as far as it comes."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))


def test_a_card_that_cannot_be_read_is_not_told_as_an_engine_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Through the real SDK: what it does with an error of the stream is the point."""
    archive = tmp_path / "image.tar.gz"
    archive.write_bytes(b"x" * 100_000)
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *how: FailingCard(opened(path, *how)))
    with ThreadingHTTPServer(("127.0.0.1", 0), LoadingServer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_address[1]}")
        docker = Engine.connect()
        monkeypatch.setattr(docker, "_reads_zstd", lambda: True)
        with pytest.raises(EngineError, match=r"image\.tar\.gz cannot be read: Input/output error\. The card") as said:
            docker.load_image(archive)
        server.shutdown()
        thread.join()
    assert not isinstance(said.value, EngineGoneError)
