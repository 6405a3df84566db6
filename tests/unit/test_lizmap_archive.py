"""An archive says itself what it holds, and one that holds something else is refused with what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.lizmap.archive import LIZMAP, PLUGIN, ArchiveContent, ArchiveError, look_into

from tests.doubles.archives import archive, lizmap_files, plugin_files

Files = dict[str, str]
RELEASE, ATLAS = lizmap_files("3.9.9", plugin="2.13.0"), plugin_files("atlasprint", "3.4.4", qgis="3.28")


def without(files: Files, end: str) -> Files:
    return {name: text for name, text in files.items() if not name.endswith(end)}


def changed(files: Files, end: str, old: str, new: str) -> Files:
    return {name: text.replace(old, new) if name.endswith(end) else text for name, text in files.items()}


def test_a_release_tells_its_version_and_the_plugin_that_it_needs(tmp_path: Path) -> None:
    path = archive(tmp_path / "any-name.zip", RELEASE)
    assert look_into(path, LIZMAP) == ArchiveContent("lizmap-web-client", "3.9.9", {"lizmap_server": "2.13.0"})
    old = archive(tmp_path / "old.zip", without(RELEASE, "mainconfig.ini.php"))
    assert look_into(old, LIZMAP) == ArchiveContent("lizmap-web-client", "3.9.9")


def test_a_plugin_tells_its_name_its_version_and_the_qgis_that_it_needs(tmp_path: Path) -> None:
    path = archive(tmp_path / "any-name.zip", ATLAS)
    assert look_into(path, PLUGIN) == ArchiveContent("atlasprint", "3.4.4", {"qgis_server": "3.28"})
    any_qgis = archive(tmp_path / "any.zip", changed(ATLAS, "metadata.txt", "qgisMinimumVersion=3.28", ""))
    assert look_into(any_qgis, PLUGIN) == ArchiveContent("atlasprint", "3.4.4")


@pytest.mark.parametrize(
    ("kind", "files", "words"),
    [
        (LIZMAP, {}, "must hold one folder, not nothing"),
        (LIZMAP, {"project.xml": ""}, "must hold one folder, not project.xml"),
        (LIZMAP, {**RELEASE, "README.md": ""}, "must hold one folder, not README.md, lizmap-web-client"),
        (LIZMAP, ATLAS, "lizmap/project.xml is not in it"),
        (LIZMAP, without(RELEASE, "installer.php"), "lizmap/install/installer.php is not in it"),
        # As in the archives of source code.
        (LIZMAP, without(RELEASE, "vendor/autoload.php"), "lizmap/vendor/autoload.php is not in it"),
        (LIZMAP, changed(RELEASE, "project.xml", "</info>", ""), "lizmap/project.xml cannot be read"),
        (LIZMAP, changed(RELEASE, "project.xml", "3.9.9", " "), "does not tell its version"),
        (LIZMAP, changed(RELEASE, "mainconfig.ini.php", "[modules]", "= no name"), "files of settings cannot be read"),
        (PLUGIN, RELEASE, "it has no lizmap-web-client/metadata.txt with a version"),
        (PLUGIN, changed(ATLAS, "metadata.txt", "version=3.4.4", ""), "metadata.txt with a version"),
        (PLUGIN, {**ATLAS, **plugin_files("other", "1")}, "must hold one folder, not atlasprint, other"),
        (PLUGIN, plugin_files("lizmap", "4.4.9", server="False"), "lizmap 4.4.9 is not for QGIS Server"),
    ],
)
def test_what_is_something_else_is_refused(tmp_path: Path, kind: str, files: Files, words: str) -> None:
    with pytest.raises(ArchiveError, match=re.escape(words)):
        look_into(archive(tmp_path / "x.zip", files), kind)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("<html>Please log in.</html>")
    with pytest.raises(ArchiveError, match="it is not a zip archive"):
        look_into(tmp_path / "x.zip", LIZMAP)


def test_a_refused_archive_is_not_recorded(run_module: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    options = {"record": str(tmp_path / "record"), "folder": str(tmp_path), "holds": LIZMAP}
    wrong = run_module("recorded_archive", source=str(archive(tmp_path / "x.zip", ATLAS)), **options)
    assert wrong["failed"]
    assert wrong["msg"].startswith(f"{tmp_path}/x.zip is not what it should be: it is no release of Lizmap Web Client")
    assert not (tmp_path / "record").exists()
    right = run_module("recorded_archive", source=str(archive(tmp_path / "x.zip", RELEASE)), **options)
    assert (right["changed"], right["name"], right["version"]) == (True, "lizmap-web-client", "3.9.9")
    assert right["requires"] == {"lizmap_server": "2.13.0"}
