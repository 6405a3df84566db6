"""delivered_image against the fake engine: load what is missing, keep what may be needed, touch nothing else."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, EngineMissingError
from ansible.module_utils.poppyfield.images import partial_archive, unfinished_loads
from ansible.module_utils.poppyfield.images.unused_layers import DockerFolder
from docker import errors

from tests.doubles.docker_engine import FakeDocker

REFERENCE = "poppyfield/postgis:trixie-arm64-000000000002"


class Host:
    """What the module does on its host beside Docker."""

    def __init__(self, folder: Path) -> None:
        self.notes = folder / "notes"
        self.did: list[str] = []


Library = Callable[[str], ModuleType]


@pytest.fixture(autouse=True)
def host(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Return a host whose notes are in a folder of the test, and whose Docker keeps its folder otherwise."""
    found = Host(tmp_path_factory.mktemp("host"))
    monkeypatch.setattr(DockerFolder, "is_known", lambda _: False)
    monkeypatch.setattr(unfinished_loads, "FOLDER", found.notes)
    monkeypatch.setattr(Engine, "flush", lambda _: found.did.append("flush"))
    return found


@pytest.fixture
def deliver(library: Library, docker: FakeDocker, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    archive = tmp_path / "image.tar.gz"
    archive.write_text(f"image {REFERENCE} 2")

    def run(look_only: bool = False, **changes: Any) -> dict[str, Any]:
        params = {"name": REFERENCE, "digest": "2", "archive": str(archive), "keep": 2, "state": "present", **changes}
        result: dict[str, Any] = library("delivered_image").converge(
            Engine(docker, errors), params, look_only=look_only
        )
        return result

    return run


def test_a_missing_image_is_loaded_once(deliver: Callable[..., dict[str, Any]], docker: FakeDocker) -> None:
    looked = deliver(look_only=True)
    assert looked["changed"] and not looked["present"] and docker.calls == []
    loaded = deliver()
    assert loaded["reasons"] == [f"image {REFERENCE}: absent -> present"]
    assert loaded["image_id"] == docker.images_by_reference[REFERENCE]["Id"]
    again = deliver()
    assert not again["changed"] and again["present"]
    assert docker.calls == [f"load {REFERENCE}"]


def test_an_image_of_the_same_name_with_another_digest_is_not_the_one(
    deliver: Callable[..., dict[str, Any]], docker: FakeDocker
) -> None:
    docker.add_image(REFERENCE, "1")
    assert deliver()["changed"]
    assert not deliver()["changed"]


def test_an_archive_of_something_else_is_an_error(deliver: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "image.tar.gz").write_text(f"image {REFERENCE} 3")
    with pytest.raises(EngineError, match="does not hold"):
        deliver()
    (tmp_path / "image.tar.gz").write_text("garbage")
    with pytest.raises(EngineError, match="invalid tar header"):
        deliver()
    with pytest.raises(EngineError, match="no archive was given"):
        deliver(archive=None)


def test_old_versions_go_except_those_in_use(deliver: Callable[..., dict[str, Any]], docker: FakeDocker) -> None:
    old = [f"poppyfield/postgis:trixie-arm64-{n:012d}" for n in (10, 11, 12)]
    for reference in old:
        docker.add_image(reference, "x")
    docker.add_image("poppyfield/postgis:latest")
    docker.containers_by_id["c"] = {"Image": docker.images_by_reference[old[0]]["Id"]}
    assert deliver()["pruned"] == [old[1]]
    assert set(docker.images_by_reference) == {REFERENCE, old[0], old[2], "poppyfield/postgis:latest"}


def test_an_image_in_use_cannot_go(deliver: Callable[..., dict[str, Any]], docker: FakeDocker) -> None:
    deliver()
    docker.containers_by_id["c"] = {"Id": "c", "Image": docker.images_by_reference[REFERENCE]["Id"]}
    with pytest.raises(EngineError, match="in use by a container"):
        deliver(state="absent")
    assert REFERENCE in docker.images_by_reference


def test_absent(deliver: Callable[..., dict[str, Any]], docker: FakeDocker) -> None:
    assert not deliver(state="absent")["changed"]
    deliver()
    assert deliver(state="absent")["reasons"] == [f"image {REFERENCE}: present -> absent"]
    docker.add_image(REFERENCE)
    with pytest.raises(EngineError, match="not made by Poppyfield"):
        deliver(state="absent")


def test_what_was_loaded_is_flushed_before_it_counts(
    deliver: Callable[..., dict[str, Any]], docker: FakeDocker, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def power_goes(_: Engine) -> None:
        raise EngineError("The power goes.")

    monkeypatch.setattr(Engine, "flush", power_goes)
    with pytest.raises(EngineError):
        deliver()
    # Docker says that it has it.
    assert REFERENCE in docker.images_by_reference
    monkeypatch.setattr(Engine, "flush", lambda _: host.did.append("flush"))
    looked = deliver(look_only=True)
    assert looked["changed"] and looked["layers"] == []
    assert deliver()["changed"] and host.did == ["flush"]
    assert not deliver()["changed"] and not list(host.notes.iterdir())


def test_an_archive_that_docker_refuses_is_no_load_that_was_cut_off(
    deliver: Callable[..., dict[str, Any]], tmp_path: Path, host: Host
) -> None:
    (tmp_path / "image.tar.gz").write_text("garbage")
    with pytest.raises(EngineError, match="invalid tar header"):
        deliver()
    assert not list(host.notes.iterdir())


# As Ansible runs it -------------------------------------------------------------------------------------------------

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def options(docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(Engine, "connect", lambda: Engine(docker, errors))
    (tmp_path / "image.tar").write_text(f"image {REFERENCE} 2")
    return {"name": REFERENCE, "digest": "2", "archive": str(tmp_path / "image.tar")}


@pytest.mark.field_changed_once
@pytest.mark.parametrize("change", [{"name": REFERENCE.replace("02", "03")}, {"digest": "3"}, {"state": "absent"}])
def test_each_change_is_predicted_and_made_once(
    predict_and_run: Run, docker: FakeDocker, options: dict[str, Any], change: dict[str, str]
) -> None:
    assert predict_and_run("delivered_image", **options)["changed"]
    wanted = {**options, **change}
    Path(wanted["archive"]).write_text(f"image {wanted['name']} {wanted['digest']}")
    assert predict_and_run("delivered_image", **wanted)["changed"]
    assert not predict_and_run("delivered_image", **wanted)["changed"]
    assert (wanted["name"] in docker.images_by_reference) is ("state" not in change)


def test_looking_is_all_that_the_action_plugin_asks_for_first(
    run_module: Run, docker: FakeDocker, options: dict[str, Any]
) -> None:
    looked = run_module("delivered_image", _look_only=True, **options)
    assert looked["changed"] and not looked["present"]
    assert docker.calls == []


def test_an_archive_that_is_missing_is_a_sentence(run_module: Run, options: dict[str, Any], tmp_path: Path) -> None:
    missing = str(tmp_path / "none.tar")
    assert (
        f"There is no archive at {missing}" in run_module("delivered_image", **{**options, "archive": missing})["msg"]
    )


def test_on_a_host_without_docker_check_mode_predicts(
    run_module: Run, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Engine:
        raise EngineMissingError("No Docker yet.")

    monkeypatch.setattr(Engine, "connect", missing)
    predicted = run_module("delivered_image", check_mode=True, **options)
    assert predicted["changed"]
    assert predicted["reasons"] == ["No Docker yet.", f"image {REFERENCE}: absent -> present"]
    assert not run_module("delivered_image", check_mode=True, state="absent", **options)["changed"]
    assert run_module("delivered_image", **options)["msg"] == "No Docker yet."


# What is uploaded ---------------------------------------------------------------------------------------------------


def test_without_the_rest_of_the_image_the_whole_archive_is_sent_after_all(
    run_plugin: Run, docker: FakeDocker, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.add_image("poppyfield/postgis:trixie-arm64-000000000001", "1")

    def write(archive: Path, of_images: list[list[str]], target: Path) -> bool:
        assert of_images == [["sha256:e3d2", "sha256:1b0f"]]
        target.write_text("layers are missing")
        return True

    image = docker.images_by_reference["poppyfield/postgis:trixie-arm64-000000000001"]
    image["RootFS"]["Layers"] = ["sha256:e3d2", "sha256:1b0f"]
    monkeypatch.setattr(partial_archive, "write", write)
    done = run_plugin("delivered_image", **options)
    assert done["uploaded_bytes"] == Path(options["archive"]).stat().st_size
    assert done["image_id"] == docker.images_by_reference[REFERENCE]["Id"]
    assert "layers" not in done


def test_a_laptop_that_cannot_write_sends_the_whole_archive(
    run_plugin: Run, docker: FakeDocker, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(partial_archive, "write", write)
    assert run_plugin("delivered_image", **options)["changed"]
    assert REFERENCE in docker.images_by_reference


def test_an_engine_on_containerd_gets_whole_archives(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    docker.add_image(REFERENCE)
    assert Engine(docker, errors).layers_for_loading()
    info = {**docker.info(), "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]]}
    monkeypatch.setattr(docker, "info", lambda: info)
    assert Engine(docker, errors).layers_for_loading() == []


def test_nothing_is_written_beside_the_archive_which_may_be_in_a_bundle(
    run_plugin: Run, docker: FakeDocker, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = Path(options["archive"]).parent
    before = sorted(beside.iterdir())
    seen: list[list[Path]] = []

    def write(*_: object) -> bool:
        seen.append(sorted(beside.iterdir()))
        return False

    monkeypatch.setattr(partial_archive, "write", write)
    assert run_plugin("delivered_image", **options)["changed"]
    assert seen == [before] and sorted(beside.iterdir()) == before
