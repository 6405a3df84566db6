"""deleted_data as Ansible runs it: only the folders that this Pi's data are in, and only when nobody uses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineMissingError
from ansible.module_utils.poppyfield.host import data_folders, deletion, file_systems
from docker import errors

Run = Callable[..., dict[str, Any]]
VARIABLE = "postgis_data_folder"


@pytest.fixture(autouse=True)
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(data_folders, "RECORDS", tmp_path / "etc")
    return tmp_path / "etc"


@pytest.fixture(autouse=True)
def listed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The containers of the host."""
    containers: list[dict[str, Any]] = []
    api = SimpleNamespace(containers=lambda all: containers)
    monkeypatch.setattr(Engine, "connect", lambda: Engine(api, errors))
    return containers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder that was used, and something of others beside it."""
    made = tmp_path / "srv" / "data"
    (made / "cluster" / "base").mkdir(parents=True)
    (made / "cluster" / "base" / "1").write_text("rows")
    (made / "link").symlink_to(tmp_path / "srv" / "beside")
    (tmp_path / "srv" / "beside").write_text("of others")
    settle(made)
    return made


def settle(folder: Path, variable: str = VARIABLE) -> None:
    data_folders.remember(str(folder), variable, data_folders.look(str(folder), variable))


def delete(run_module: Run, folder: Path, **given: Any) -> dict[str, Any]:
    return run_module("deleted_data", folders={VARIABLE: str(folder)}, **given)


def test_the_folder_goes_with_what_is_remembered_of_it(run_module: Run, folder: Path, records: Path) -> None:
    predicted = delete(run_module, folder, check_mode=True)
    assert predicted["changed"] and predicted["msg"] == f"would be deleted: {folder}."
    assert (folder / "cluster" / "base" / "1").read_text() == "rows" and (records / VARIABLE).exists()
    done = delete(run_module, folder)
    assert (done["changed"], done["deleted"], done["msg"]) == (True, [str(folder)], f"deleted: {folder}.")
    assert not folder.exists() and not (records / VARIABLE).exists()
    assert (folder.parent / "beside").read_text() == "of others"
    # The next deployment begins with a new folder, as on a new Pi.
    assert not data_folders.problem(str(folder), VARIABLE, data_folders.look(str(folder), VARIABLE))
    again = delete(run_module, folder)
    assert not again["changed"] and again["msg"] == "there are no data to delete."


def test_what_was_cut_off_is_ended_by_the_next_run(
    run_module: Run, folder: Path, records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def cut(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith(data_folders.PREFIX):
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", cut)
    with pytest.raises(KeyboardInterrupt):
        deletion.delete(deletion.look(VARIABLE, str(folder), [], []))
    monkeypatch.setattr(Path, "unlink", unlink)
    assert not (records / VARIABLE).exists() and folder.exists()
    assert delete(run_module, folder)["deleted"] == [str(folder)]
    assert not folder.exists()


def test_a_mount_point_stays_empty(run_module: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_mount", lambda path: path == folder)
    assert delete(run_module, folder)["changed"]
    assert folder.is_dir() and not list(folder.iterdir())
    assert not delete(run_module, folder)["changed"]


def test_the_folder_behind_a_link_is_emptied(run_module: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    settle(tmp_path / "link")
    assert delete(run_module, tmp_path / "link")["changed"]
    assert folder.is_dir() and not list(folder.iterdir())


@pytest.mark.parametrize("what", ["no mark", "another folder", "an old copy", "nothing at all"])
def test_a_folder_that_is_not_the_one_of_the_data_stays(
    run_module: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    asked, said = folder, "has no mark of Poppyfield's"
    if what == "no mark":
        for mark in folder.glob(f"{data_folders.PREFIX}*"):
            mark.unlink()
    elif what == "another folder":
        asked = tmp_path / "home"
        asked.mkdir()
        (asked / "letters").write_text("of others")
        said = f"This Pi's data are in {folder}, not in {asked} ({VARIABLE})"
    elif what == "an old copy":
        monkeypatch.setattr(data_folders, "_file_system", lambda _: "2222")
        said = "an old copy of it"
    else:
        folder.rename(folder.with_name("moved"))
    done = delete(run_module, asked)
    assert done["failed"] and said in done["msg"] and done["msg"].startswith("Nothing was deleted.")
    left = [path for path in (folder, tmp_path / "srv" / "moved") if path.exists()]
    assert [(path / "cluster" / "base" / "1").read_text() for path in left] == ["rows"]
    assert what != "another folder" or (asked / "letters").exists()


def test_a_folder_that_was_never_ours_stays(run_module: Run, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters").write_text("of others")
    done = delete(run_module, tmp_path / "home")
    assert done["failed"] and "no mark" in done["msg"]
    assert (tmp_path / "home" / "letters").exists()


@pytest.mark.parametrize("mounted", ["", "/cluster"])
def test_a_folder_that_a_container_mounts_stays(
    run_module: Run, folder: Path, listed: list[dict[str, Any]], mounted: str
) -> None:
    listed.append({"Id": "1", "Names": ["/other"], "Mounts": [{"Source": f"{folder}{mounted}"}]})
    listed.append({"Id": "2", "Names": ["/far"], "Mounts": [{"Source": f"{folder}-beside"}, {"Source": ""}]})
    done = delete(run_module, folder, ignore_containers=["other"])
    assert done["failed"] and "is used by the container other:" in done["msg"]
    assert (folder / "cluster" / "base" / "1").exists()
    # A container that is removed in between is no reason to refuse it beforehand.
    assert delete(run_module, folder, ignore_containers=["other"], check_mode=True)["changed"]


def test_one_that_is_refused_saves_the_others(run_module: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "lizmap").mkdir()
    done = run_module("deleted_data", folders={VARIABLE: str(folder), "lizmap_folder": str(tmp_path / "lizmap")})
    # An empty folder is nothing to refuse.
    assert not done.get("failed") and done["deleted"] == [str(folder)]
    folder.mkdir()
    settle(folder)
    (tmp_path / "lizmap" / "letters").write_text("of others")
    done = run_module("deleted_data", folders={VARIABLE: str(folder), "lizmap_folder": str(tmp_path / "lizmap")})
    assert done["failed"] and "lizmap_folder" in done["msg"]
    assert folder.exists()


def test_a_folder_stays_in_which_another_one_or_a_disk_lies(
    run_module: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(folder / "cluster", "lizmap_folder")
    done = delete(run_module, folder)
    assert done["failed"] and f"lies what is not its own: {folder}/cluster." in done["msg"]
    (data_folders.RECORDS / "lizmap_folder").unlink()
    disk = file_systems.MountPoint(1, 0, f"{folder}/cluster", "ext4", "/dev/sda1", read_only=False)
    monkeypatch.setattr(file_systems, "parse", lambda _: [disk])
    done = delete(run_module, folder)
    assert done["failed"] and f"lies what is not its own: {folder}/cluster." in done["msg"]
    assert (folder / "cluster" / "base" / "1").exists()


def test_without_docker_nobody_uses_it(run_module: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Engine:
        raise EngineMissingError("No Docker.")

    monkeypatch.setattr(Engine, "connect", missing)
    assert delete(run_module, folder)["changed"]


def test_what_docker_and_the_disk_refuse_is_told(
    run_module: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_folder: Any) -> None:
        raise OSError(5, "Input/output error", "/srv/data")

    monkeypatch.setattr(deletion, "delete", failing)
    done = delete(run_module, folder)
    assert done["failed"] and done["msg"] == "Input/output error: /srv/data."

    def broken(all: bool) -> Any:
        raise errors.APIError("broken")

    monkeypatch.setattr(Engine, "connect", lambda: Engine(SimpleNamespace(containers=broken), errors))
    done = delete(run_module, folder)
    assert done["failed"] and done["msg"].startswith("Nothing was deleted. Docker could not list all containers")
    assert (folder / "cluster" / "base" / "1").exists()
