"""Lizmap's archives are named, unless the map page does."""

from __future__ import annotations

from tests.unit.inventory_of import FakeLaptop, problems, told


def test_both_archives_must_be_named() -> None:
    found = problems(lizmap_archive="", lizmap_server_plugin="")
    assert [one.finding.variable for one in found] == ["lizmap_archive", "lizmap_server_plugin"]
    assert "Lizmap Web Client is not in Poppyfield" in found[0].finding.wrong
    assert "lizmap_web_client set to none" in found[0].finding.remedy
    assert told(lizmap_archive="") == [f"lizmap_archive: {found[0].finding.wrong}"]
    assert told(lizmap_archive="", lizmap_server_plugin="", lizmap_web_client="none") == []


def test_a_checksum_is_one() -> None:
    assert told(lizmap_archive_sha256="aF" * 32) == []
    assert told(lizmap_archive_sha256="abc") == ["lizmap_archive_sha256: it is no SHA-256 checksum"]
    plugins = [{"source": "/a.zip", "sha256": "x"}, {"source": "/b.zip"}]
    assert told(lizmap_server_extra_plugins=plugins) == ["lizmap_server_extra_plugins: it is no SHA-256 checksum"]


def test_archives_that_are_files_must_be_there() -> None:
    plugins = [{"source": "/a.zip"}, {"source": "https://example.org/b.zip"}]
    laptop = FakeLaptop(missing=["/lizmap.zip", "/a.zip", "https://example.org/b.zip"])
    found = [(one.finding.variable, one.finding.value) for one in problems(laptop, lizmap_server_extra_plugins=plugins)]
    assert found == [("lizmap_archive", '"/lizmap.zip"'), ("lizmap_server_extra_plugins", '"/a.zip"')]
    assert problems(laptop, lizmap_server_extra_plugins=plugins, lizmap_web_client="none") == []
