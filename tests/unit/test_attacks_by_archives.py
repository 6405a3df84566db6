"""An archive that somebody sent, of Lizmap or of a plugin: what would harm who unpacks it is refused before."""

from __future__ import annotations

import hashlib
import shutil
import stat
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.lizmap import archive_bounds
from ansible.module_utils.poppyfield.lizmap.archive import LIZMAP, PLUGIN, ArchiveError, look_into

from tests.doubles.archives import archive, lizmap_files, plugin_files
from tests.doubles.serving import serving
from tests.unit.inventory_of import told

MB = 1024**2
ATLAS = plugin_files("atlasprint", "3.4.4")
METADATA = "atlasprint/metadata.txt"


def with_entry(path: Path, name: str, content: bytes = b"harm", mode: int = 0) -> Path:
    """Add an entry to an archive of a plugin, compressed, with a mode of Unix."""
    archive(path, ATLAS)
    entry = zipfile.ZipInfo(name)
    entry.external_attr, entry.compress_type = mode << 16, zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr(entry, content)
    return path


def unpack_carelessly(path: Path, folder: Path) -> None:
    """Unpack as a program does that takes names, links and sizes as they are told."""
    with zipfile.ZipFile(path) as opened:
        for entry in opened.infolist():
            target = folder / entry.filename
            target.parent.mkdir(parents=True, exist_ok=True)
            if stat.S_ISLNK(entry.external_attr >> 16):
                target.symlink_to(opened.read(entry).decode())
            else:
                target.write_bytes(opened.read(entry))


@pytest.mark.attack(kind="zip slip", on="laptop", proof=None)
@pytest.mark.parametrize("form", ["atlasprint/../../harm", "../harm", "{}/harm"])
def test_no_file_of_an_archive_lies_outside_of_its_folder(tmp_path: Path, form: str) -> None:
    path = with_entry(tmp_path / "x.zip", form.format(tmp_path))
    (tmp_path / "folder").mkdir()
    unpack_carelessly(path, tmp_path / "folder")
    assert (tmp_path / "harm").read_text() == "harm"
    with pytest.raises(ArchiveError, match="would be unpacked elsewhere"):
        look_into(path, PLUGIN)


@pytest.mark.attack(kind="zip slip", on="laptop", proof="test_no_file_of_an_archive_lies_outside_of_its_folder")
@pytest.mark.parametrize(
    "name", ["C:/harm", "atlasprint\\..\\..\\harm", "/etc/cron.d/harm", "atlasprint/a\0/../../harm"]
)
def test_no_spelling_of_a_name_leads_outside(tmp_path: Path, name: str) -> None:
    stand_in = "Z" * len(name)
    path = with_entry(tmp_path / "x.zip", stand_in)
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), name.encode()))
    with pytest.raises(ArchiveError, match=r"would be unpacked elsewhere|characters that names of files do not have"):
        look_into(path, PLUGIN)


@pytest.mark.attack(kind="link in an archive", on="laptop", proof=None)
def test_a_link_through_which_the_next_file_is_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    path = with_entry(tmp_path / "x.zip", "atlasprint/a", str(tmp_path / "outside").encode(), stat.S_IFLNK | 0o777)
    with zipfile.ZipFile(path, "a") as opened:
        opened.writestr("atlasprint/a/harm", "harm")
    unpack_carelessly(path, tmp_path / "folder")
    assert (tmp_path / "outside/harm").read_text() == "harm"
    with pytest.raises(ArchiveError, match="'atlasprint/a' in it is no file or folder but a link or a device"):
        look_into(path, PLUGIN)


@pytest.mark.skipif(not shutil.which("unzip"), reason="unzip is missing")
@pytest.mark.attack(kind="link in an archive", on="laptop", proof=None)
def test_a_link_to_a_file_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    path = with_entry(tmp_path / "x.zip", "atlasprint/a", str(tmp_path / "key").encode(), stat.S_IFLNK | 0o777)
    subprocess.run(["unzip", "-q", str(path), "-d", str(tmp_path / "folder")], check=True)
    assert (tmp_path / "folder/atlasprint/a").read_text() == "secret"
    with pytest.raises(ArchiveError, match="a link or a device"):
        look_into(path, PLUGIN)


@pytest.mark.attack(kind="device in an archive", on="laptop", proof=None)
@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_a_device_is_refused(tmp_path: Path, kind: int) -> None:
    path = with_entry(tmp_path / "x.zip", "atlasprint/a", mode=kind | 0o666)
    with zipfile.ZipFile(path) as opened:
        assert stat.S_IFMT(opened.getinfo("atlasprint/a").external_attr >> 16) == kind
    with pytest.raises(ArchiveError, match="a link or a device"):
        look_into(path, PLUGIN)


@pytest.mark.attack(kind="zip bomb", on="laptop", proof=None)
def test_an_archive_that_unpacks_to_much_more_than_it_has_is_refused(tmp_path: Path) -> None:
    path = with_entry(tmp_path / "x.zip", "atlasprint/a", b"\0" * 50 * MB)
    assert path.stat().st_size < MB / 10
    unpack_carelessly(path, tmp_path / "folder")
    assert (tmp_path / "folder/atlasprint/a").stat().st_size == 50 * MB
    with pytest.raises(ArchiveError, match="more than any release does"):
        look_into(path, PLUGIN)


@pytest.mark.attack(kind="zip bomb", on="laptop", proof=None)
@pytest.mark.parametrize(("seen", "words"), [(MB, "Bad CRC-32"), (MB + 1, "has another size than its list")])
def test_an_archive_that_hides_its_size_is_refused_when_it_is_first_seen(
    tmp_path: Path, run_module: Callable[..., dict[str, Any]], seen: int, words: str
) -> None:
    content = b"\0" * 50 * MB
    path = with_entry(tmp_path / "x.zip", "atlasprint/a", content)
    small = content[:MB]
    lie = path.read_bytes().replace(
        struct.pack("<I", zlib.crc32(content)), struct.pack("<I", zlib.crc32(content[:seen]))
    )
    path.write_bytes(lie.replace(struct.pack("<I", len(content)), struct.pack("<I", len(small))))
    with zipfile.ZipFile(path) as opened:
        # What Python reads is all in order.
        assert (opened.testzip() is None) == (seen == MB)
        assert opened.getinfo("atlasprint/a").file_size == MB
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-q", str(path), "-d", str(tmp_path / "folder")], check=False, capture_output=True)
        assert (tmp_path / "folder/atlasprint/a").stat().st_size == 50 * MB
    options = {"record": str(tmp_path / "record"), "folder": str(tmp_path), "holds": PLUGIN}
    assert words in run_module("recorded_archive", source=str(path), **options)["msg"]
    assert not (tmp_path / "record").exists()


@pytest.mark.attack(kind="many files in an archive", on="laptop", proof=None)
def test_an_archive_of_endless_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "x.zip", {**ATLAS, **{f"atlasprint/{number}": "" for number in range(2000)}})
    unpack_carelessly(path, tmp_path / "folder")
    assert len(list((tmp_path / "folder/atlasprint").iterdir())) == 2001
    assert look_into(path, PLUGIN).name == "atlasprint"
    monkeypatch.setattr(archive_bounds, "MOST_ENTRIES", 1000)
    with pytest.raises(ArchiveError, match="holds 2001 files and folders, more than 1000"):
        look_into(path, PLUGIN)


@pytest.mark.attack(kind="two files of one name", on="laptop", proof=None)
def test_a_name_that_is_in_it_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = with_entry(tmp_path / "x.zip", METADATA)
    unpack_carelessly(path, tmp_path / "folder")
    assert (tmp_path / "folder" / METADATA).read_text() == "harm"
    with pytest.raises(ArchiveError, match=r"metadata.txt' in it is twice|is in it twice"):
        look_into(path, PLUGIN)


@pytest.mark.attack(kind="hostile name", on="laptop", proof=None)
@pytest.mark.parametrize("name", ["atlasprint/\x1b]0;owned\x07", "atlasprint/\u202ephp.txt", "atlasprint/a\nb"])
def test_a_name_gives_a_terminal_no_orders(tmp_path: Path, name: str) -> None:
    path = with_entry(tmp_path / "x.zip", name)
    with zipfile.ZipFile(path) as opened:
        assert not opened.namelist()[-1].isprintable()
    with pytest.raises(ArchiveError) as refused:
        look_into(path, PLUGIN)
    assert str(refused.value).isprintable()


@pytest.mark.attack(kind="XML bomb", on="laptop", proof=None)
def test_entities_of_a_release_are_not_expanded(tmp_path: Path) -> None:
    files = lizmap_files("3.9.9")
    name = next(name for name in files if name.endswith("project.xml"))
    entity = '<!DOCTYPE project [<!ENTITY a "9.9.9">]><project'
    files[name] = files[name].replace("<project", entity, 1).replace("3.9.9", "&a;")
    with pytest.raises(ArchiveError, match="EntitiesForbidden"):
        look_into(archive(tmp_path / "x.zip", files), LIZMAP)


@pytest.mark.attack(kind="zip bomb", on="laptop", proof=None)
def test_a_file_of_settings_that_is_a_bomb_is_not_read(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.zip", {METADATA: f"[general]\nversion=1\nserver=True\n{' ' * 2 * MB}"})
    with zipfile.ZipFile(path) as opened:
        assert len(opened.read(METADATA)) > 2 * MB
    with pytest.raises(ArchiveError, match="larger than such a file is"):
        look_into(path, PLUGIN)


# On the way ----------------------------------------------------------------------------------------------------------


class OnTheWay(BaseHTTPRequestHandler):
    """Gives every archive another content than its publisher; /away redirects to it, and /endless does not end."""

    content = b""

    def do_GET(self) -> None:
        self.send_response(302 if "away" in self.path else 200)
        if "away" in self.path:
            self.send_header("Location", "/x.zip")
        self.end_headers()
        size = 64 if "endless" in self.path else 1
        for _ in range(size if "away" not in self.path else 0):
            self.wfile.write(self.content)

    def log_message(self, *_: Any) -> None:
        """Keep the test's output quiet."""


def on_the_way(content: bytes) -> AbstractContextManager[str]:
    """Serve another content than was published."""
    return serving(type("Handler", (OnTheWay,), {"content": content}))


@pytest.fixture
def fetch(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(source: str, **given: Any) -> dict[str, Any]:
        options = {"record": str(tmp_path / "record"), "folder": str(tmp_path / "cache")}
        return run_module("recorded_archive", source=source, **options, **given)

    return run


@pytest.mark.attack(kind="archive replaced on the way", on="laptop", proof=None)
def test_what_comes_by_http_is_known_before(
    fetch: Callable[..., dict[str, Any]], tmp_path: Path, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    harm = archive(tmp_path / "harm.zip", ATLAS).read_bytes()
    with on_the_way(harm) as address:
        assert "anybody on the way can replace" in fetch(f"{address}/x.zip", holds=PLUGIN)["msg"]
        assert not (tmp_path / "cache").exists()
        other = hashlib.sha256(b"the publisher's").hexdigest()
        assert "the inventory demands" in fetch(f"{address}/x.zip", holds=PLUGIN, sha256=other)["msg"]
        assert not (tmp_path / "record").exists()
        monkeypatch.setattr(library("recorded_archive"), "needs_digest", lambda _: False)
        assert fetch(f"{address}/x.zip", holds=PLUGIN)["first_sight"]


@pytest.mark.attack(kind="archive replaced on the way", on="laptop", proof=None)
def test_a_redirect_leads_to_https_only(
    fetch: Callable[..., dict[str, Any]], library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = library("recorded_archive")
    # As if the first address were one of https.
    monkeypatch.setattr(module, "needs_digest", lambda _: False)
    with on_the_way(b"harm") as address:
        assert "which is not https, and no SHA-256 is given" in fetch(f"{address}/away/x.zip")["msg"]
        monkeypatch.setattr(module, "ToHttps", module.HTTPRedirectHandler)
        assert fetch(f"{address}/away/x.zip")["first_sight"]


@pytest.mark.attack(kind="endless download", on="laptop", proof=None)
def test_a_download_without_end_is_ended(
    fetch: Callable[..., dict[str, Any]], library: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = library("recorded_archive")
    digest = hashlib.sha256(b"\0" * 64 * MB).hexdigest()
    with on_the_way(b"\0" * MB) as address:
        assert fetch(f"{address}/endless.zip", sha256=digest)["first_sight"]
        monkeypatch.setattr(module, "LARGEST_DOWNLOAD", 10 * MB)
        assert "has more than 10 MB" in fetch(f"{address}/endless-2.zip", sha256=digest)["msg"]
    assert [path.name for path in (tmp_path / "cache").iterdir() if "endless-2" in path.name] == []


def test_the_inventory_is_told_before() -> None:
    source = "http://example.org/x.zip"
    (said,) = told(lizmap_archive=source)
    assert said.startswith("lizmap_archive: it comes by http, where anybody on the way can replace it")
    assert told(lizmap_archive=source, lizmap_archive_sha256="a" * 64) == []
    assert told(lizmap_archive="https://example.org/x.zip") == []
    assert len(told(lizmap_server_extra_plugins=[{"source": "HTTP://example.org/x.zip"}])) == 1
