"""What a file of tiles says of itself is read, and what cannot be a base map is told with what helps."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.basemaps import tiles_file
from ansible.module_utils.poppyfield.basemaps.tiles_file import TilesFileError, TilesForm

from tests.tiles import FRANCE, MVT, pmtiles, png, write_mbtiles


def of(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("compression", [1, 2])
def test_pmtiles_tell_what_they_are(tmp_path: Path, compression: int) -> None:
    path = of(tmp_path / "valley.pmtiles", pmtiles(compression=compression, zooms=(2, 9), kind=MVT))
    found = tiles_file.read(path)
    assert found.form is TilesForm.PMTILES and found.size == path.stat().st_size
    assert (found.tiles, found.zooms, found.bounds) == ("mvt", (2, 9), FRANCE)
    assert (found.title, found.attribution) == ("The valley", "© OpenStreetMap contributors")


def test_mbtiles_tell_what_they_are(tmp_path: Path) -> None:
    found = tiles_file.read(write_mbtiles(tmp_path / "relief.mbtiles", attribution="IGN <b>2026</b>", format="jpg"))
    assert found.form is TilesForm.MBTILES
    assert (found.tiles, found.zooms, found.bounds) == ("jpg", (0, 1), FRANCE)
    assert (found.title, found.attribution) == ("Relief", "IGN 2026")


def test_mbtiles_whose_tiles_are_a_view_are_read(tmp_path: Path) -> None:
    path = write_mbtiles(tmp_path / "relief.mbtiles")
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE tiles RENAME TO images")
        database.execute("CREATE VIEW tiles AS SELECT * FROM images")
        database.commit()
    assert tiles_file.read(path).tiles == "png"


def test_reading_leaves_no_trace_beside_a_database(tmp_path: Path) -> None:
    path = write_mbtiles(tmp_path / "relief.mbtiles")
    tiles_file.read(path)
    assert list(tmp_path.iterdir()) == [path]


BAD: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "empty": (lambda: b"", "it is empty", "Name a file of one of these two"),
    "a picture": (lambda: png((0, 0, 0)), "neither PMTiles nor MBTiles", "Name a file"),
    "version 2": (lambda: pmtiles(version=2), "PMTiles of version 2", "pmtiles convert"),
    "cut within the header": (lambda: pmtiles()[:100], "ends after 100 bytes", "Copy or make it again"),
    "cut within the tiles": (lambda: pmtiles()[:-1], "it is not whole", "Copy or make it again"),
    "brotli": (lambda: pmtiles(compression=3), "something else than gzip", "Make it with gzip"),
    "zstandard tiles": (lambda: pmtiles(of_tiles=4), "something else than gzip", "Make it with gzip"),
    "no area": (lambda: pmtiles(bounds=(10, 41, -5, 51)), "its bounds (10, 41, -5, 51) are no area", "bounds"),
    "beyond the world": (lambda: pmtiles(bounds=(0, 0, 200, 10)), "no area of the world", "bounds"),
    "zooms": (lambda: pmtiles(zooms=(9, 3)), "zooms go from 9 to 3", "Make it again"),
    "metadata": (lambda: pmtiles().replace(gzip.compress(b"")[:2], b"xx"), "metadata can't be read", "Copy or make"),
    "not a database": (lambda: b"SQLite format 3\0" + b"\1" * 200, "damaged database", "Copy or make it again"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_a_base_map_is_told_with_what_helps(tmp_path: Path, what: str) -> None:
    make, wrong, remedy = BAD[what]
    with pytest.raises(TilesFileError) as told:
        tiles_file.read(of(tmp_path / "a", make()))
    assert wrong in told.value.wrong and remedy in told.value.remedy


def test_metadata_that_unpack_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles_file, "LARGEST_METADATA", 1000)
    content = pmtiles(metadata={"name": "a" * 100_000})
    with pytest.raises(TilesFileError, match="too large"):
        tiles_file.read(of(tmp_path / "a", content))


def test_a_database_that_is_no_mbtiles_is_told(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.mbtiles")) as database:
        database.execute("CREATE TABLE tiles (zoom_level integer)")
    with pytest.raises(TilesFileError, match="the table metadata with name, value is not in it"):
        tiles_file.read(tmp_path / "a.mbtiles")


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"format": ""}, "metadata lacks format"),
        ({"bounds": "1,2,3"}, "bounds are not four numbers"),
        ({"bounds": "a,b,c,d"}, "bounds are not four numbers"),
        ({"minzoom": "one"}, "zooms are no whole numbers"),
    ],
)
def test_mbtiles_with_wrong_metadata_are_told(tmp_path: Path, changes: dict[str, str], wrong: str) -> None:
    with pytest.raises(TilesFileError, match=wrong):
        tiles_file.read(write_mbtiles(tmp_path / "a.mbtiles", None, "DELETE", **changes))


def test_mbtiles_without_tiles_are_told(tmp_path: Path) -> None:
    path = write_mbtiles(tmp_path / "a.mbtiles")
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM tiles")
        database.commit()
    with pytest.raises(TilesFileError, match="it has no tiles"):
        tiles_file.read(path)


def test_mbtiles_that_are_still_written_are_told(tmp_path: Path) -> None:
    ahead = write_mbtiles(tmp_path / "ahead.mbtiles", journal="WAL")
    with pytest.raises(TilesFileError, match="WAL") as told:
        tiles_file.read(ahead)
    assert "journal_mode=DELETE" in told.value.remedy
    busy = write_mbtiles(tmp_path / "busy.mbtiles")
    (tmp_path / "busy.mbtiles-journal").write_bytes(b"work")
    with pytest.raises(TilesFileError, match=r"busy\.mbtiles-journal"):
        tiles_file.read(busy)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<script>alert(1)</script> &copy; IGN", "alert(1) © IGN"),
        ("two\nlines\x1b[2J", "two lines [2J"),
        (None, ""),
        (7, ""),
        ("a" * 1000, "a" * 300),
    ],
)
def test_what_people_wrote_becomes_plain_text(text: object, plain: str) -> None:
    assert tiles_file.plain(text) == plain
