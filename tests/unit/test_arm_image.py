"""arm_image against a fake docker command: run twice, change each input once, prune, archive, explain failures."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield import engine

DOUBLE = Path(__file__).resolve().parents[1] / "doubles" / "docker_command"
Run = Callable[..., dict[str, Any]]
Build = Callable[..., dict[str, Any]]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose only docker command is the fake one."""
    folder = tmp_path / "docker"
    folder.mkdir()
    (folder / "version").write_text("Docker version 20.10.24+dfsg1, build 297e128")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").symlink_to(DOUBLE)
    # Not what is first on PATH: a version manager's python3 is a script that needs the rest of PATH.
    (programs / "python3").symlink_to(sys.executable)
    (programs / "env").symlink_to(shutil.which("env") or "")
    monkeypatch.setenv("FAKE_DOCKER", str(folder))
    monkeypatch.setenv("PATH", str(programs))
    return folder


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (folder / ".dockerignore").write_text("*.md\n")
    (folder / "README.md").write_text("ignored")
    (folder / "run").write_text("#!/bin/sh\n")
    (folder / "run").chmod(0o700)
    return folder


@pytest.fixture
def build(state: Path, context: Path, run_module: Run) -> Build:
    def run(check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {
            "name": "poppyfield/test",
            "tag_prefix": "trixie-arm64",
            "platform": "linux/arm64",
            "context": str(context),
            **arguments,
        }
        return run_module("arm_image", check_mode=check_mode, **given)

    return run


def builds(state: Path) -> list[dict[str, Any]]:
    path = state / "builds.json"
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return found


def images(state: Path) -> list[str]:
    path = state / "images.json"
    return list(json.loads(path.read_text())) if path.exists() else []


def test_the_first_run_builds_and_the_second_does_not(state: Path, build: Build) -> None:
    predicted = build(check_mode=True)
    assert builds(state) == []
    first = build()
    assert (predicted["changed"], predicted["image"]) == (True, first["image"])
    assert first["changed"] and first["built"]
    assert first["image"] == f"poppyfield/test:trixie-arm64-{first['digest'][:12]}"
    assert (first["bytes"], first["architecture"], first["archive"]) == (1234, "aarch64", "")
    second = build()
    assert not second["changed"] and not second["built"]
    assert second["image_id"] == first["image_id"]
    assert len(builds(state)) == 1


def test_the_build_gets_the_context_as_it_was_counted(state: Path, build: Build, tmp_path: Path) -> None:
    (tmp_path / "rootfs").write_text("root")
    build(additions={"dist/rootfs.md": str(tmp_path / "rootfs")}, build_args={"VERSION": 17})
    (received,) = builds(state)
    assert received["files"] == {"Dockerfile": "0o644", "run": "0o755", "dist/rootfs.md": "0o644"}
    assert received["arguments"] == {"VERSION": "17", "QEMU_CPU": "cortex-a72"}
    assert received["words"][0] == "build"


@pytest.mark.parametrize(
    ("platform", "given", "cpu"),
    [("linux/amd64", None, None), ("linux/arm/v7", None, None), ("linux/arm/v7", "cortex-a15", "cortex-a15")],
)
def test_only_a_foreign_platform_is_told_its_processor(
    state: Path, build: Build, platform: str, given: str | None, cpu: str | None
) -> None:
    build(platform=platform, **({"emulated_cpu": given} if given else {}))
    assert builds(state)[0]["arguments"].get("QEMU_CPU") == cpu


def test_buildx_is_preferred_and_makes_no_attestations(state: Path, build: Build) -> None:
    (state / "buildx").touch()
    (state / "version").write_text("Docker version 28.2.2, build e6534b4")
    build()
    words = builds(state)[0]["words"]
    assert words[:2] == ["buildx", "build"]
    assert {"--load", "--provenance=false", "--sbom=false"} <= set(words)


def test_each_input_gives_another_image(state: Path, build: Build, context: Path) -> None:
    seen = [build()["image"], build(target="map-page")["image"], build(build_args={"A": "1"})["image"]]
    seen.append(build(platform="linux/amd64")["image"])
    (context / "run").write_text("#!/bin/bash\n")
    seen.append(build()["image"])
    (context / "Dockerfile").write_text("FROM scratch\n")
    seen.append(build()["image"])
    base = build(name="poppyfield/base")
    seen.append(build(base_image=base["image"])["image"])
    assert len(set(seen)) == 7
    assert builds(state)[-1]["arguments"]["BASE_IMAGE"] == base["image"]


def test_a_base_of_another_platform_or_none_is_refused(build: Build) -> None:
    base = build(name="poppyfield/base", platform="linux/amd64")["image"]
    assert "is for linux/amd64, but the image is to be for linux/arm64" in build(base_image=base)["msg"]
    assert "poppyfield/none is not on the builder" in build(base_image="poppyfield/none")["msg"]


def test_check_mode_goes_on_without_what_earlier_tasks_make(build: Build) -> None:
    result = build(check_mode=True, additions={"a": "/no/such"}, base_image="poppyfield/none")
    assert result["changed"] and result["undetermined"]
    assert "does not exist" in build(additions={"a": "/no/such"})["msg"]


def test_force_builds_again_without_the_cache(state: Path, build: Build) -> None:
    build()
    result = build(force=True)
    assert result["changed"]
    assert "--no-cache" in builds(state)[1]["words"]


def test_the_archive_is_made_once_and_whole(build: Build, tmp_path: Path) -> None:
    folder = tmp_path / "archives"
    first = build(archive_folder=str(folder))
    archive = Path(first["archive"])
    assert archive.name == f"poppyfield-test-trixie-arm64-{first['digest'][:12]}.tar.gz"
    assert gzip.decompress(archive.read_bytes()).decode() == f"archive of {first['image']}\n"
    assert first["archive_bytes"] == archive.stat().st_size
    assert [path.name for path in folder.iterdir()] == [archive.name]
    assert not build(archive_folder=str(folder))["changed"]
    archive.unlink()
    again = build(archive_folder=str(folder))
    assert again["reasons"] == [f"archive {archive.name}: absent -> present"]
    assert not again["built"]


def test_old_versions_and_archives_of_ours_are_pruned(state: Path, build: Build, context: Path, tmp_path: Path) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    (folder / "holiday.tar.gz").write_text("not ours")
    other = build(tag_prefix="trixie-amd64", platform="linux/amd64")["image"]
    made = []
    for number in range(3):
        (context / "run").write_text(f"{number}")
        made.append(build(archive_folder=str(folder)))
        os.utime(made[-1]["archive"], (number, number))
    assert images(state) == [other, made[1]["image"], made[2]["image"]]
    assert made[2]["pruned"] == [made[0]["image"], made[0]["archive"]]
    assert {path.name for path in folder.iterdir()} == {
        "holiday.tar.gz",
        Path(made[1]["archive"]).name,
        Path(made[2]["archive"]).name,
    }


def test_absent_removes_every_version_once(state: Path, build: Build) -> None:
    image = build()["image"]
    assert build(state="absent", check_mode=True)["changed"]
    assert images(state) == [image]
    assert build(state="absent")["pruned"] == [image]
    assert images(state) == []
    assert not build(state="absent")["changed"]


def test_the_output_goes_to_the_log_and_a_failure_says_where(state: Path, build: Build, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "build.log"
    build(log_file=str(log))
    assert "#1 building poppyfield/test" in log.read_text()
    (state / "fails").write_text("#5 [2/3] RUN make\n#5 oh no\n------\n > [2/3] RUN make:\n------\nexit code: 2\n")
    result = build(target="other", log_file=str(log))
    assert result["failed"]
    assert "failed at step [2/3] RUN make." in result["msg"]
    assert "oh no" in result["msg"]
    assert "oh no" in log.read_text()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("exec /bin/sh: exec format error", "no emulator is registered"),
        ("write /x: no space left on device", "disk of the builder is full"),
    ],
)
def test_known_failures_name_the_remedy(state: Path, build: Build, output: str, words: str) -> None:
    (state / "fails").write_text(output)
    assert words in build()["msg"]


def test_a_docker_without_buildkit_is_an_error_that_names_it(state: Path, build: Build) -> None:
    (state / "version").write_text("Docker version 28.2.2, build e6534b4")
    result = build()
    assert "No docker command with BuildKit" in result["msg"]
    assert "Docker version 28.2.2" in result["msg"]
    assert "docker-buildx" in result["msg"]


def test_on_a_builder_without_docker_check_mode_predicts(
    build: Build, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build(check_mode=True)["changed"]
    assert "install Docker" in build()["msg"]


@pytest.mark.parametrize(
    ("version", "inside"),
    [
        ("Docker version 20.10.24+dfsg1, build 297e128", True),
        ("Docker version 18.09.1, build 4c52b90", True),
        ("Docker version 18.06.0-ce, build 0ffa825", False),
        ("Docker version 23.0.1, build a5ee5b1", False),
        ("Docker version 28.2.2, build e6534b4", False),
        ("podman version 4.3.1", False),
        ("", False),
    ],
)
def test_which_commands_have_buildkit_inside(version: str, inside: bool) -> None:
    assert engine.has_buildkit_inside(version) is inside


def test_every_docker_on_the_path_is_tried_in_order(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "docker").write_text("")
    (tmp_path / "a" / "docker").chmod(0o755)
    (tmp_path / "c" / "docker").chmod(0o755)
    path = ":".join(str(tmp_path / name) for name in ("c", "b", "a", "c", "none"))
    assert engine.docker_commands(path) == [str(tmp_path / name / "docker") for name in ("c", "a")]
