"""A project that somebody sent: reading it costs the laptop little, reads nothing else, and writes no orders."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax import handler, make_parser
from xml.sax.xmlreader import InputSource

import pytest
from ansible.module_utils.poppyfield.host import foreign_xml
from ansible.module_utils.poppyfield.projects.folder_difference import FolderError, walk
from ansible.module_utils.poppyfield.projects.qgis_project import LARGEST_PROJECT, ProjectError, parse_project
from ansible.module_utils.poppyfield.projects.server_checks import read_ground

from tests.images.projects import Layer, qgs
from tests.unit.memory_used import peak_of

Run = Callable[..., dict[str, Any]]
MB = 1024**2
HEAD = b'<qgis version="3.40.6-Bratislava">'
# Five levels of ten. The parser itself stops at some millions of letters, if it is not too old.
LAUGHS = "".join(f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 6))
BILLION_LAUGHS = f'<!DOCTYPE qgis [<!ENTITY a0 "haha">{LAUGHS}]>{HEAD.decode()}<x>&a5;</x></qgis>'.encode()


@pytest.fixture
def check(run_module: Run, tmp_path: Path) -> Run:
    """Check a folder with these files."""

    def run(files: dict[str, bytes]) -> dict[str, Any]:
        (tmp_path / "maps").mkdir(exist_ok=True)
        for name, content in files.items():
            (tmp_path / "maps" / name).write_bytes(content)
        given = [{"repository": "fields", "folder": str(tmp_path / "maps")}]
        return run_module("qgis_projects", repositories=given, qgis_server="3.40", web_client="archive")

    return run


def qgz(content: bytes) -> bytes:
    """Give a .qgz with a project of this content."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("map.qgs", content)
    return packed.getvalue()


@pytest.mark.attack(kind="XML bomb", on="laptop", proof=None)
def test_entities_are_not_expanded() -> None:
    assert len(ElementTree.fromstring(BILLION_LAUGHS).findtext("x") or "") == 400_000
    for name, content in (("map.qgs", BILLION_LAUGHS), ("map.qgz", qgz(BILLION_LAUGHS))):
        with pytest.raises(ProjectError, match="EntitiesForbidden"):
            parse_project(name, content)


@pytest.mark.attack(kind="XML external entity", on="laptop", proof=None)
def test_no_file_of_the_laptop_is_read_into_a_project(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    content = f'<!DOCTYPE qgis [<!ENTITY key SYSTEM "file://{tmp_path}/key">]><qgis version="3.40"><x>&key;</x></qgis>'
    read: list[str] = []

    class Reader(handler.ContentHandler):
        def characters(self, content: str) -> None:
            read.append(content)

    source = InputSource()
    source.setByteStream(io.BytesIO(content.encode()))
    careless = make_parser()
    careless.setFeature(handler.feature_external_ges, True)
    careless.setContentHandler(Reader())
    careless.parse(source)
    assert read == ["secret"]
    with pytest.raises(ProjectError, match="EntitiesForbidden"):
        parse_project("map.qgs", content.encode())


@pytest.mark.attack(kind="zip bomb", on="laptop", proof=None)
def test_a_project_that_unpacks_to_more_than_projects_have_is_not_unpacked() -> None:
    content = qgz(HEAD + b" " * (LARGEST_PROJECT + MB) + b"</qgis>")
    assert len(content) < MB

    def careless() -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.read("map.qgs")

    def careful() -> None:
        with pytest.raises(ProjectError, match="unpacks to more than 64 MB"):
            parse_project("map.qgz", content)

    assert peak_of(careless) > LARGEST_PROJECT
    assert peak_of(careful) < 4 * MB


@pytest.mark.attack(kind="large XML", on="laptop", proof=None)
def test_a_tree_has_a_number_of_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_xml, "MOST_ELEMENTS", 10_000)
    content = HEAD + b"<a/>" * 200_000 + b"</qgis>"
    assert len(ElementTree.fromstring(content)) == 200_000

    def careful() -> None:
        with pytest.raises(ProjectError, match="more than 10000 elements"):
            parse_project("map.qgs", content)

    assert peak_of(careful) < peak_of(lambda: ElementTree.fromstring(content)) / 4


@pytest.mark.attack(kind="deep XML", on="laptop", proof=None)
def test_groups_of_groups_end(monkeypatch: pytest.MonkeyPatch) -> None:
    group = b'<layer-tree-group name="g">'
    content = HEAD + group * 5000 + b"</layer-tree-group>" * 5000 + b"</qgis>"
    with pytest.raises(ProjectError, match="nested more than 200 deep"):
        parse_project("map.qgs", content)
    monkeypatch.setattr(foreign_xml, "DEEPEST", 10_000)
    with pytest.raises(RecursionError):
        parse_project("map.qgs", content)


@pytest.mark.attack(kind="deep JSON", on="laptop", proof=None)
def test_a_configuration_of_a_hundred_thousand_levels_is_a_finding(check: Run) -> None:
    content = b'{"layers": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(RecursionError):
        json.loads(content)
    told = check({"map.qgs": qgs([Layer("./trees.geojson")]).encode(), "map.qgs.cfg": content})
    assert "its .cfg is not what the Lizmap plugin writes" in told["msg"]


@pytest.mark.attack(kind="huge file", on="laptop", proof=None)
def test_a_huge_file_is_not_read(check: Run, tmp_path: Path) -> None:
    huge = tmp_path / "maps/map.qgs"
    huge.parent.mkdir()
    with huge.open("wb") as sparse:
        sparse.truncate(LARGEST_PROJECT * 3)
    assert peak_of(huge.read_bytes) >= LARGEST_PROJECT * 3
    told: dict[str, Any] = {}
    assert peak_of(lambda: told.update(check({}))) < LARGEST_PROJECT * 1.5
    assert "it is larger than 64 MB" in told["msg"]


@pytest.mark.attack(kind="hostile name", on="laptop", proof=None)
@pytest.mark.parametrize("name", ["a\x1b]0;owned\x07.qgs", "a\u202egpj.sgq", "a\nPLAY RECAP.qgs", "a\x9b2J.qgs"])
def test_a_file_whose_name_gives_orders_to_a_terminal_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with pytest.raises(FolderError) as refused:
        list(walk(tmp_path))
    assert str(refused.value).isprintable()


@pytest.mark.attack(kind="hostile name", on="laptop", proof=None)
@pytest.mark.parametrize("order", ["&#x9b;2J", "&#x202e;", "&#10;PLAY RECAP"])
def test_what_layers_are_called_gives_a_terminal_no_orders(check: Run, order: str) -> None:
    project = qgs([Layer("/elsewhere.geojson", name="Trees NAME")]).replace("NAME", order)
    assert not (ElementTree.fromstring(project).findtext("projectlayers/maplayer/layername") or "").isprintable()
    told = check({"map.qgs": project.encode()})
    words = [told.get("msg", ""), *told.get("warnings", [])]
    assert any("Trees" in text for text in words)
    assert [text for text in words if not text.replace("\n", "").isprintable() or "\nPLAY" in text] == []


@pytest.mark.attack(kind="device in a folder", on="laptop", proof=None)
def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.qgs")
    assert list(walk(tmp_path)) == []
    (tmp_path / "endless.qgs").symlink_to("/dev/zero")
    with (tmp_path / "endless.qgs").open("rb") as careless:
        assert careless.read(3) == b"\0\0\0"
    with pytest.raises(FolderError, match="is a link to something"):
        list(walk(tmp_path))


@pytest.mark.attack(kind="XML bomb", on="Pi", proof=None)
def test_a_qgis_server_in_other_hands_does_not_exhaust_the_pi() -> None:
    laughs = BILLION_LAUGHS.decode()
    assert len(ElementTree.fromstring(laughs).findtext("x") or "") == 400_000
    with pytest.raises(ValueError, match="they have entities"):
        read_ground(laughs)
