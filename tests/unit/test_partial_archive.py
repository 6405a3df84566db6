"""What is left out of an image's archive for a host that has some of its layers."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.containers.engine import EngineError
from ansible.module_utils.poppyfield.images import partial_archive

OCI = "blobs/sha256/"


def save(path: Path, layers: dict[str, str], *, config: str, links: dict[str, str] | None = None) -> Path:
    """Save an image as docker does: layers by digest and member, a configuration, and a manifest that comes last."""
    manifest = [{"Config": config, "RepoTags": ["x:1"], "Layers": list(layers.values())}]
    rootfs = {"rootfs": {"type": "layers", "diff_ids": list(layers)}}
    with tarfile.open(path, "w:gz") as tar:
        for member in dict.fromkeys(layers.values()):
            if member in (links or {}):
                link = tarfile.TarInfo(member)
                link.type, link.linkname = tarfile.SYMTYPE, (links or {})[member]
                tar.addfile(link)
            else:
                add(tar, member, f"layer {member}")
        add(tar, config, json.dumps(rootfs))
        add(tar, "manifest.json", json.dumps(manifest))
    return path


def add(tar: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text)
    tar.addfile(member, io.BytesIO(text.encode()))


def names(path: Path) -> set[str]:
    with tarfile.open(path) as tar:
        return set(tar.getnames())


@pytest.mark.parametrize(
    ("of_images", "shared"),
    [
        ([], 0),
        ([[]], 0),
        ([["x", "b", "c"]], 0),
        ([["a", "x", "c"]], 1),
        ([["a"], ["a", "b"], ["x"]], 2),
        ([["a", "b", "c", "d"]], 3),
    ],
)
def test_a_layer_counts_only_on_top_of_the_same_ones(of_images: list[list[str]], shared: int) -> None:
    assert partial_archive.shared_layers(["a", "b", "c"], of_images) == shared


@pytest.mark.parametrize(
    ("members", "config"),
    [(["1/layer.tar", "2/layer.tar", "3/layer.tar"], "c.json"), ([f"{OCI}1", f"{OCI}2", f"{OCI}3"], f"{OCI}c")],
    ids=["docker", "oci"],
)
def test_what_the_host_has_is_left_out(tmp_path: Path, members: list[str], config: str) -> None:
    archive = save(tmp_path / "image.tar.gz", dict(zip("abc", members, strict=True)), config=config)
    partial = tmp_path / "partial.tar.gz"
    assert partial_archive.write(archive, [["a", "b"], ["a", "c"]], partial)
    assert names(partial) == {members[2], config, "manifest.json"}
    with tarfile.open(partial) as tar:
        assert tar.extractfile(members[2]).read() == f"layer {members[2]}".encode()  # type: ignore[union-attr]


def test_a_layer_that_comes_twice_stays_for_its_second_place(tmp_path: Path) -> None:
    layers = {"a": f"{OCI}1", "b": f"{OCI}2", "c": f"{OCI}1"}
    archive = save(tmp_path / "image.tar.gz", layers, config="c.json")
    assert partial_archive.write(archive, [["a", "b"]], tmp_path / "partial.tar.gz")
    assert names(tmp_path / "partial.tar.gz") == {f"{OCI}1", "c.json", "manifest.json"}


def test_a_layer_that_another_one_is_a_link_to_stays(tmp_path: Path) -> None:
    layers = {"a": "1/layer.tar", "b": "2/layer.tar", "c": "3/layer.tar"}
    links = {"3/layer.tar": "../1/layer.tar"}
    archive = save(tmp_path / "image.tar.gz", layers, config="c.json", links=links)
    assert partial_archive.write(archive, [["a", "b"]], tmp_path / "partial.tar.gz")
    assert names(tmp_path / "partial.tar.gz") == {"1/layer.tar", "3/layer.tar", "c.json", "manifest.json"}


def test_nothing_is_written_for_a_host_that_has_nothing_of_it(tmp_path: Path) -> None:
    archive = save(tmp_path / "image.tar.gz", {"a": "1/layer.tar"}, config="c.json")
    for of_images in ([], [["x"]]):
        assert not partial_archive.write(archive, of_images, tmp_path / "partial.tar.gz")
    assert not (tmp_path / "partial.tar.gz").exists()


@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda _: b"garbage", lambda _: b""])
def test_a_damaged_archive_is_named(tmp_path: Path, damage: object) -> None:
    archive = save(tmp_path / "image.tar.gz", {"a": "1/layer.tar", "b": "2/layer.tar"}, config="c.json")
    archive.write_bytes(damage(archive.read_bytes()))  # type: ignore[operator]
    with pytest.raises(EngineError, match=r"image\.tar\.gz is damaged .*: remove it, and run the build stage"):
        partial_archive.write(archive, [["a"]], tmp_path / "partial.tar.gz")
