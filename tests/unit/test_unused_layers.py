"""What a load of an image that was cut off leaves in Docker's folder, and what is removed of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.images import image_names
from ansible.module_utils.poppyfield.images.unused_layers import DockerFolder, chain

OLD, NEW = "poppyfield/postgis:trixie-arm64-old", "poppyfield/postgis:trixie-arm64-new"
BASE, TOP, NEWER = (f"sha256:{letter * 64}" for letter in "abc")


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """Return the folder of a Docker that has an image, a container of a third one, and half of a new one."""
    (tmp_path / "overlay2" / "l").mkdir(parents=True)
    (tmp_path / "image" / "overlay2" / "layerdb" / "sha256").mkdir(parents=True)
    layers(tmp_path, [BASE, TOP], "old")
    layers(tmp_path, [BASE, NEWER], "new")
    image(tmp_path, "1", "d1", [BASE, TOP])
    image(tmp_path, "2", "d2", [BASE, NEWER])
    names(tmp_path, {OLD: "sha256:1", NEW: "sha256:2"})
    return tmp_path


def layers(docker: Path, differences: list[str], name: str) -> None:
    below = ""
    for number, layer in enumerate(chain(differences)):
        noted = docker / "image" / "overlay2" / "layerdb" / "sha256" / layer
        if not noted.exists():
            files(docker, f"{name}-{number}")
            noted.mkdir()
            (noted / "cache-id").write_text(f"{name}-{number}")
            if below:
                (noted / "parent").write_text(f"sha256:{below}")
        below = layer


def files(docker: Path, name: str) -> None:
    (docker / "overlay2" / name / "diff").mkdir(parents=True)
    (docker / "overlay2" / "l" / name.upper()).symlink_to(f"../{name}/diff")


def image(docker: Path, name: str, digest: str, differences: list[str]) -> None:
    folder = docker / "image" / "overlay2" / "imagedb" / "content" / "sha256"
    folder.mkdir(parents=True, exist_ok=True)
    config = {"config": {"Labels": image_names.labels(digest)}, "rootfs": {"diff_ids": differences}}
    (folder / name).write_text(json.dumps(config))


def names(docker: Path, images: dict[str, str]) -> None:
    noted = {"Repositories": {"poppyfield/postgis": images}}
    (docker / "image" / "overlay2" / "repositories.json").write_text(json.dumps(noted))


def left(docker: Path) -> tuple[set[str], set[str], set[str]]:
    """Give which files of layers there are, which links to them, and which images."""
    found = {path.name for path in (docker / "overlay2").iterdir()} - {"l"}
    links = {path.name for path in (docker / "overlay2" / "l").iterdir()}
    return found, links, {path.name for path in (docker / "image/overlay2/imagedb/content/sha256").iterdir()}


def cleaned(docker: Path) -> tuple[set[str], set[str], set[str]]:
    folder = DockerFolder(docker)
    assert folder.is_known()
    folder.forget(NEW, "d2")
    folder.remove_unused()
    return left(docker)


KEPT = ({"old-0", "old-1"}, {"OLD-0", "OLD-1"}, {"1"})


def test_what_the_image_alone_has_goes_and_what_it_shares_stays(docker: Path) -> None:
    assert cleaned(docker) == KEPT
    noted = json.loads((docker / "image" / "overlay2" / "repositories.json").read_text())
    assert noted["Repositories"]["poppyfield/postgis"] == {OLD: "sha256:1"}
    assert len(list((docker / "image/overlay2/layerdb/sha256").iterdir())) == 2


def test_without_a_name_it_is_found_by_its_digest(docker: Path) -> None:
    names(docker, {OLD: "sha256:1"})
    assert cleaned(docker) == KEPT


@pytest.mark.parametrize("content", ["", "[", "[]"])
def test_without_content_its_layers_belong_to_nothing(docker: Path, content: str) -> None:
    (docker / "image/overlay2/imagedb/content/sha256/2").write_text(content)
    assert cleaned(docker) == KEPT


def test_layers_without_notes_and_notes_without_layers_go(docker: Path) -> None:
    (docker / "image/overlay2/layerdb/sha256" / chain([BASE, NEWER])[1] / "cache-id").write_text("")
    files(docker, "half")
    assert cleaned(docker) == KEPT


def test_what_a_container_has_stays(docker: Path) -> None:
    third = f"sha256:{'e' * 64}"
    layers(docker, [BASE, third], "third")
    files(docker, "mount")
    files(docker, "mount-init")
    mount = docker / "image" / "overlay2" / "layerdb" / "mounts" / "container"
    mount.mkdir(parents=True)
    (mount / "parent").write_text(f"sha256:{chain([BASE, third])[1]}")
    (mount / "mount-id").write_text("mount")
    (mount / "init-id").write_text("mount-init")
    found, _, images = cleaned(docker)
    assert (found, images) == ({"old-0", "old-1", "third-1", "mount", "mount-init"}, {"1"})


def test_a_folder_that_is_kept_otherwise_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "containerd").mkdir()
    assert not DockerFolder(tmp_path).is_known()
