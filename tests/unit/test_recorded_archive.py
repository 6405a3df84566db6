"""An archive stays the one that was seen first."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.recorded_archive import format_record, parse_record, problem

SEEN, OTHER = "a" * 64, "b" * 64


@pytest.mark.parametrize(
    ("actual", "given", "recorded", "refused"),
    [
        (SEEN, None, None, False),
        (SEEN, None, SEEN, False),
        (OTHER, None, SEEN, True),
        (OTHER, OTHER, SEEN, False),
        (SEEN, OTHER, SEEN, True),
        (SEEN, SEEN.upper(), None, False),
    ],
)
def test_what_is_demanded_goes_before_what_was_recorded(
    actual: str, given: str | None, recorded: str | None, refused: bool
) -> None:
    said = problem("x.zip", actual, given, recorded, "/inventory/archives.sha256")
    assert (said is not None) is refused
    if said:
        assert actual in said
        assert "x.zip" in said


def test_a_record_reads_back_what_it_wrote_and_what_sha256sum_writes() -> None:
    record = {"b with spaces.zip": SEEN, "a.zip": OTHER}
    assert parse_record(format_record(record)) == record
    assert parse_record(f"# comment\n\n{SEEN.upper()}  x.zip\n") == {"x.zip": SEEN}


# The module ---------------------------------------------------------------------------------------------------------

Archive = Callable[..., dict[str, Any]]
CONTENT = b"an archive" * 100_000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def options(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "x.zip").write_bytes(CONTENT)
    return {
        "source": str(tmp_path / "x.zip"),
        "record": str(tmp_path / "archives.sha256"),
        "folder": str(tmp_path / "cache"),
    }


@pytest.fixture
def archive(run_module: Callable[..., dict[str, Any]], options: dict[str, str]) -> Archive:
    def run(source: str = "", **arguments: Any) -> dict[str, Any]:
        return run_module("recorded_archive", **{**options, **({"source": source} if source else {})}, **arguments)

    return run


def test_an_archive_is_recorded_when_it_is_first_seen(
    predict_and_run: Archive, archive: Archive, options: dict[str, str], tmp_path: Path
) -> None:
    assert archive(check_mode=True)["first_sight"]
    assert not Path(options["record"]).exists()
    told = ("changed", "path", "sha256", "first_sight")
    first = predict_and_run("recorded_archive", told, **options)
    assert first["changed"] and first["first_sight"]
    assert (first["path"], first["sha256"]) == (str(tmp_path / "x.zip"), sha256(CONTENT))
    assert Path(options["record"]).read_text() == f"{sha256(CONTENT)}  x.zip\n"
    assert not predict_and_run("recorded_archive", told, **options)["changed"]


def test_an_archive_that_became_another_one_is_refused(archive: Archive, tmp_path: Path) -> None:
    archive()
    (tmp_path / "x.zip").write_bytes(b"another")
    assert "was recorded in" in archive()["msg"]
    assert "the inventory demands" in archive(sha256=sha256(CONTENT))["msg"]
    assert not archive(sha256=sha256(b"another"))["changed"]
    assert (tmp_path / "archives.sha256").read_text() == f"{sha256(CONTENT)}  x.zip\n"


def test_an_archive_that_cannot_be_read_names_the_way_out(archive: Archive) -> None:
    assert "Download it elsewhere and give the file's path instead" in archive("/no/such.zip")["msg"]


class Publisher(BaseHTTPRequestHandler):
    """Publishes x.zip, and one whose download is cut off."""

    def do_GET(self) -> None:
        self.send_response(200 if ".zip" in self.path else 404)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:10] if self.path == "/cut-off.zip" else CONTENT)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Publisher) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_an_archive_is_downloaded_once(archive: Archive, url: str, tmp_path: Path) -> None:
    first = archive(f"{url}/x.zip?version=3")
    assert first["sha256"] == sha256(CONTENT)
    (downloaded,) = (tmp_path / "cache").iterdir()
    assert str(downloaded) == first["path"]
    downloaded.write_bytes(b"kept")
    assert "was recorded in" in archive(f"{url}/x.zip?version=3")["msg"]


@pytest.mark.parametrize("path", ["cut-off.zip", "none"])
def test_a_download_that_fails_leaves_nothing(archive: Archive, url: str, tmp_path: Path, path: str) -> None:
    assert archive(f"{url}/{path}")["failed"]
    assert list((tmp_path / "cache").iterdir()) == []
    assert not (tmp_path / "archives.sha256").exists()
