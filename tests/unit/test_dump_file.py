"""What a file for the database says of itself is read from it in parts, and no more than is needed is kept."""

from __future__ import annotations

import gzip
import io
import resource
import tarfile
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.postgis import dump_file
from ansible.module_utils.poppyfield.postgis.dump_file import DumpFile, DumpKind

from tests.gallery.dumps import OWNERS, ROLES, Entry, archive, entries, extension, plain

IMAGE = Path(__file__).resolve().parents[2] / "images" / "postgis"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read so little at once that words, letters and lines are cut in two."""
    monkeypatch.setattr(dump_file, "PART", 7)


def read(folder: Path, content: bytes) -> DumpFile:
    path = folder / "file"
    path.write_bytes(content)
    return dump_file.read(path)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("gzipped", [False, True])
def test_sql_says_who_wrote_it_and_what_it_wants(tmp_path: Path, gzipped: bool) -> None:
    text = plain("17.5", before=extension("postgis"), collation="fr_FR.utf8", after=OWNERS).encode()
    found = read(tmp_path, gzip.compress(text) if gzipped else text)
    assert found.kind is DumpKind.SQL
    assert (found.gzipped, found.plain_size) == (gzipped, len(text))
    assert (found.written_by, found.encoding, found.not_utf8, found.has_accents) == ("17.5", "UTF8", 0, True)
    assert found.roles == ROLES
    assert found.extensions == {"postgis"}
    assert found.collations == {"fr_FR.utf8"}
    assert "transaction_timeout" in found.settings
    assert (found.whole_server, found.makes_database, found.broken) == (False, False, "")


@pytest.mark.parametrize(
    "line",
    [
        "SET client_encoding = 'LATIN1';",
        "set client_encoding='latin1';",
        "SET CLIENT_ENCODING TO LATIN1;",
        'SET SESSION client_encoding TO "latin1";',
        "set names 'latin1';",
        "\\encoding latin1",
    ],
)
def test_the_encoding_is_read_as_people_write_it(tmp_path: Path, line: str) -> None:
    assert read(tmp_path, f"-- of the office\n{line}\n".encode()).encoding == "LATIN1"


@pytest.mark.parametrize(
    "line",
    ["RESET client_encoding;", "SHOW client_encoding;", "UPDATE a SET names = 'latin1';", "-- We set names here."],
)
def test_what_is_like_an_encoding_is_none(tmp_path: Path, line: str) -> None:
    assert read(tmp_path, f"{line}\n".encode()).encoding == ""


def test_data_that_look_like_statements_are_none(tmp_path: Path) -> None:
    names = ["a\tGRANT x TO nobody", "ALTER TABLE x OWNER TO nobody", "CREATE EXTENSION nothing"]
    found = read(tmp_path, plain(names=names).encode())
    assert (found.roles, found.extensions) == (frozenset(), frozenset())


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", 0),
        ("é\né".encode(), 0),
        ("é\n".encode() * 9 + b"abc\xe9\n" + b"\xe9\n", 10),
        (b"\n\n\xe9", 3),
        # The first byte of a letter whose second one is missing.
        (b"a\nb\xc3", 2),
        (b"123456\xc3\nx", 1),
        (b"12345\n\xc3x", 2),
        # After a letter that is cut in two, and whole.
        ("12345€1".encode() + b"\xff\n\n", 1),
    ],
)
def test_the_first_line_that_is_not_utf8(tmp_path: Path, content: bytes, line: int) -> None:
    # What comes first is read at once, to find out what the file is.
    first = b"-" * (dump_file.TAR_BLOCK + len(dump_file.ARCHIVE))
    assert read(tmp_path, first + content).not_utf8 == line


@pytest.mark.parametrize("version", [(1, 12), (1, 13), (1, 14), (1, 15), (1, 16)])
def test_an_archive_says_who_wrote_it_and_what_it_wants(tmp_path: Path, version: tuple[int, int]) -> None:
    extra = [Entry("EXTENSION", "postgis", "CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public;\n", owner="")]
    content = archive([*entries(encoding="LATIN1", collation="fr_FR"), *extra], version, "12.22 (Debian 12.22-1)")
    found = read(tmp_path, content)
    assert found.kind is DumpKind.ARCHIVE
    assert (found.archive_version, found.written_by, found.encoding) == (version, "12.22", "LATIN1")
    assert found.extensions == {"postgis"}
    assert found.collations == {"fr_FR"}
    assert found.roles == {"ann", "reader"}
    assert found.broken == ""


def test_an_archive_that_is_newer_than_all_known_says_its_version_only(tmp_path: Path) -> None:
    found = read(tmp_path, archive([], (1, 17)) + b"\xff" * 100)
    assert (found.archive_version, found.broken) == ((1, 17), "")


def test_an_archive_is_not_read_behind_its_list(tmp_path: Path) -> None:
    whole = archive(entries())
    path = tmp_path / "file"
    path.write_bytes(whole)
    with path.open("r+b") as stream:
        stream.truncate(8 * 1024**3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert dump_file.read(path).roles == {"ann", "reader"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


@pytest.mark.parametrize("length", range(5, 400, 13))
def test_an_archive_that_is_cut_off_is_not_whole(tmp_path: Path, length: int) -> None:
    assert read(tmp_path, archive(entries())[:length]).broken


def test_an_archive_with_lengths_that_cannot_be_is_damaged(tmp_path: Path) -> None:
    content = archive(entries())
    place = content.index(b"office") - 5
    damaged = content[:place] + b"\0\xff\xff\xff\x7f" + content[place + 5 :]
    assert read(tmp_path, damaged).broken == "the list of what is in it is damaged"


def test_an_archive_in_tar_is_read_as_far_as_its_version(tmp_path: Path) -> None:
    whole = archive([], (1, 14)).replace(bytes([4, 8, 1]), bytes([4, 8, 3]), 1)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo("toc.dat")
        member.size = len(whole)
        tar.addfile(member, io.BytesIO(whole))
    found = read(tmp_path, packed.getvalue())
    assert (found.kind, found.archive_version, found.broken) == (DumpKind.ARCHIVE, (1, 14), "")


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as stream:
        stream.write(b"INSERT INTO plots VALUES ('")
        for _ in range(64):
            stream.write(b"0123456789abcdef" * 65536)
        stream.write(b"');\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert dump_file.read(path).broken == ""
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


def test_the_laptop_and_the_image_have_one_rule_for_names() -> None:
    sql = (IMAGE / "missing-names.sql").read_text("utf-8")
    for pattern in (dump_file.ROLES, dump_file.DEFAULT_ROLES, dump_file.COUNTRY_COLLATION):
        assert pattern in sql
    for word in dump_file.NO_ROLES:
        assert f"'{word}'" in sql
