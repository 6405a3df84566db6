"""An archive stays the one that was seen first."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.lizmap.recorded_archive import (
    RecordError,
    format_record,
    name_of,
    parse_record,
    problem,
)

from tests.doubles.serving import serving

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
    assert parse_record(format_record(record), "x") == record
    assert parse_record(f"# comment\n\n{SEEN.upper()}  x.zip\r\n".encode(), "x") == {"x.zip": SEEN}
    assert parse_record(f"{SEEN} *x.zip".encode(), "x") == {"x.zip": SEEN}


@pytest.mark.parametrize("damaged", [b"half", SEEN[:40].encode() + b"  x.zip", SEEN.encode(), b"\xff\xfe", b"\0" * 99])
def test_a_damaged_record_is_refused_and_its_line_named(damaged: bytes) -> None:
    with pytest.raises(
        RecordError, match=r"^/i/archives\.sha256 is damaged: line 2 is not a SHA-256 and a name\. Take"
    ):
        parse_record(f"{OTHER}  a.zip\n".encode() + damaged, "/i/archives.sha256")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/maps #2/lizmap#1.zip", "lizmap#1.zip"),
        ("what?.zip", "what?.zip"),
        ("https:x/a#b.zip", "a#b.zip"),
        ("https://example.org/a%23b.zip?version=3#top", "a%23b.zip"),
        ("HTTP://example.org/a.zip#top", "a.zip"),
    ],
)
def test_only_a_url_has_a_query_and_a_fragment(source: str, name: str) -> None:
    assert name_of(source) == name


@pytest.mark.parametrize("source", ["https://example.org/", "", "a\nb.zip", "caf\udce9.zip"])
def test_a_source_without_a_name_that_can_be_recorded_is_refused(source: str) -> None:
    with pytest.raises(RecordError, match="give the archive another name"):
        name_of(source)


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


@pytest.mark.parametrize("source", ["~nobody-at-all/x.zip", "http://[half", "https://no such host/x.zip"])
def test_a_source_that_cannot_be_is_a_sentence(archive: Archive, source: str) -> None:
    assert archive(source)["msg"].startswith((f"can't read {source}: ", f"'{source}' does not end in"))


def test_two_archives_that_differ_behind_a_hash_are_two(archive: Archive, tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        (tmp_path / f"x#{content.decode()}.zip").write_bytes(content)
        assert archive(str(tmp_path / f"x#{content.decode()}.zip"))["first_sight"]
    assert len((tmp_path / "archives.sha256").read_text().splitlines()) == 2


def test_a_damaged_record_is_a_sentence_and_stays_as_it_is(archive: Archive, options: dict[str, str]) -> None:
    Path(options["record"]).write_bytes(b"\0\0\0")
    assert f"{options['record']} is damaged: line 1" in archive()["msg"]
    assert Path(options["record"]).read_bytes() == b"\0\0\0"


def test_a_record_that_is_missing_is_made_and_one_that_cannot_be_is_a_sentence(
    archive: Archive, options: dict[str, str], tmp_path: Path
) -> None:
    assert archive()["first_sight"]
    options["record"] = str(tmp_path / "none" / "archives.sha256")
    assert f"The record {options['record']} cannot be written: No such file or directory." in archive()["msg"]
    options["record"] = str(tmp_path)
    assert f"The record {tmp_path} cannot be read: Is a directory." in archive()["msg"]


@pytest.mark.attack(
    kind="archive replaced on the way", on="laptop", proof="test_an_archive_is_recorded_when_it_is_first_seen"
)
def test_a_record_that_cannot_be_written_whole_stays_as_it_was(
    archive: Archive, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full, or a cut: an empty record would let any archive pass as seen for the first time."""
    record = Path(options["record"])
    record.write_text(f"{OTHER}  other.zip\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        assert "cannot be written: No space left on device." in archive()["msg"]
    assert record.read_text() == f"{OTHER}  other.zip\n"
    assert sorted(path.name for path in record.parent.iterdir()) == ["archives.sha256", "x.zip"]


def test_a_record_keeps_its_mode_and_stays_a_link(archive: Archive, options: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "shared").write_text("")
    (tmp_path / "shared").chmod(0o664)
    Path(options["record"]).symlink_to(tmp_path / "shared")
    archive()
    assert Path(options["record"]).is_symlink()
    assert (tmp_path / "shared").read_text() == f"{sha256(CONTENT)}  x.zip\n"
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o664


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
    with serving(Publisher) as address:
        yield address


def test_an_archive_is_downloaded_once(archive: Archive, url: str, tmp_path: Path) -> None:
    first = archive(f"{url}/x.zip?version=3", sha256=sha256(CONTENT))
    assert first["sha256"] == sha256(CONTENT)
    (downloaded,) = (tmp_path / "cache").iterdir()
    assert str(downloaded) == first["path"]
    downloaded.write_bytes(b"kept")
    assert "the inventory demands" in archive(f"{url}/x.zip?version=3", sha256=sha256(CONTENT))["msg"]


@pytest.mark.parametrize("path", ["cut-off.zip", "none"])
def test_a_download_that_fails_leaves_nothing(archive: Archive, url: str, tmp_path: Path, path: str) -> None:
    assert "broke off" in (told := archive(f"{url}/{path}", sha256=SEEN)["msg"]) or "404" in told
    assert list((tmp_path / "cache").iterdir()) == []
    assert not (tmp_path / "archives.sha256").exists()
