"""Repositories that are no longer in the inventory: nobody is served them, and their files stay unless asked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.engine import EngineMissingError
from ansible.module_utils.poppyfield.projects import withdrawal
from ansible.module_utils.poppyfield.projects.published_folder import PublishedFolder
from ansible.module_utils.poppyfield.projects.server_checks import NotRunningError

Json = dict[str, Any]
Run = Callable[..., Json]
RESULTS = ("changed", "reasons", "diff", "withdrawn", "removed", "left")
OWN = {"owner": os.getuid(), "group": os.getgid()}


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    """The Pi's folder of projects: two repositories were published, and a third one was made by hand."""
    folder = tmp_path / "projects"
    for name in ("fields", "nests", "by-hand"):
        (folder / name).mkdir(parents=True)
        (folder / name / "map.qgs").write_text(name)
        (folder / name).chmod(0o755)
    for name in ("fields", "nests"):
        with PublishedFolder(folder, name, **OWN).locked():
            pass
    return folder


@pytest.fixture
def withdraw(predict_and_run: Run, projects: Path) -> Run:
    """Predict and run the module; these are the repositories that are still published."""

    def run(*published: str, **more: Any) -> Json:
        given = {"projects_folder": str(projects), "published": list(published), **more}
        return predict_and_run("withdrawn_repositories", RESULTS, **given)

    return run


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, projects: Path) -> list[str]:
    """Say what a map server was asked for, and what it could read then."""
    told: list[str] = []

    def tell(what: str) -> None:
        told.append(f"{what}: {' '.join(readable(projects))}")

    server = SimpleNamespace(wait_until_refreshable=lambda: tell("wait"), refresh=lambda: tell("refresh"))
    monkeypatch.setattr(withdrawal.Engine, "connect", lambda: None)  # type: ignore[attr-defined]
    monkeypatch.setattr(withdrawal, "ProjectServer", lambda *_: server)
    return told


@pytest.fixture
def warnings(library: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect what the module warns of: Ansible itself tells the same warning only once."""
    told: list[str] = []
    monkeypatch.setattr(library("withdrawn_repositories").AnsibleModule, "warn", lambda _, text: told.append(text))
    return told


def readable(projects: Path) -> list[str]:
    """Name the repositories that others than their owner can read."""
    return sorted(path.name for path in projects.iterdir() if path.name[0] != "." and path.stat().st_mode & 0o055)


@pytest.mark.field_changed_once
def test_what_is_not_named_is_closed_once_and_its_files_stay(
    withdraw: Run, projects: Path, asked: list[str], warnings: list[str]
) -> None:
    done = withdraw("fields")
    assert done["reasons"] == ["repository nests: published -> withdrawn"]
    assert (done["withdrawn"], done["removed"], done["left"]) == (["nests"], [], ["nests"])
    assert readable(projects) == ["by-hand", "fields"]
    assert (projects / "nests" / "map.qgs").read_text() == "nests"
    # QGIS Server has projects in its memory: it is restarted when it cannot read them any more.
    assert asked == ["wait: by-hand fields nests", "refresh: by-hand fields"]
    again = withdraw("fields")
    assert not again["changed"] and again["left"] == ["nests"]
    assert len(asked) == 2
    assert len(warnings) == 4 and all("published no more: nests. Nobody is served them." in text for text in warnings)


@pytest.mark.field_changed_once
@pytest.mark.parametrize("was", ["published", "withdrawn"])
def test_its_files_are_removed_when_that_is_asked_for(
    withdraw: Run, projects: Path, asked: list[str], warnings: list[str], was: str
) -> None:
    if was == "withdrawn":
        withdraw("fields")
    warnings.clear()
    done = withdraw("fields", prune=True)
    assert done["reasons"] == [f"repository nests: {was} -> absent"]
    assert (done["removed"], done["left"], warnings) == (["nests"], [], [])
    assert sorted(path.name for path in projects.iterdir()) == [".poppyfield", "by-hand", "fields"]
    assert asked[-1] == "refresh: by-hand fields"
    assert not withdraw("fields", prune=True)["changed"]


def test_one_that_somebody_opened_again_by_hand_is_closed_again(withdraw: Run, projects: Path) -> None:
    withdraw("fields")
    (projects / "nests").chmod(0o755)
    assert withdraw("fields")["withdrawn"] == ["nests"]
    assert readable(projects) == ["by-hand", "fields"]


@pytest.mark.usefixtures("likes_all")
def test_one_that_is_named_again_is_served_again_with_its_files(
    withdraw: Run, run_plugin: Run, projects: Path, tmp_path: Path
) -> None:
    withdraw("fields")
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "notes.txt").write_text("new")
    given = {"repository": "nests", "folder": str(tmp_path / "maps"), "projects_folder": str(projects)}
    done = run_plugin("published_projects", **given, **OWN)
    assert done["added"] == ["notes.txt"] and done["left"] == ["map.qgs"]
    assert readable(projects) == ["by-hand", "fields", "nests"]
    assert (projects / "nests" / "map.qgs").read_text() == "nests"


@pytest.fixture
def likes_all(library: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let QGIS Server like every project."""
    server = SimpleNamespace(know=lambda _: None, refresh=lambda: None, wait_until_refreshable=lambda: None)
    monkeypatch.setattr(library("published_projects"), "ProjectServer", lambda *_: server)
    monkeypatch.setattr(library("published_projects"), "check_projects", lambda *_, **__: ([], []))


@pytest.mark.parametrize("why", [EngineMissingError("none"), NotRunningError("stopped")])
def test_without_a_map_server_there_is_nobody_to_restart(
    withdraw: Run, projects: Path, monkeypatch: pytest.MonkeyPatch, why: Exception
) -> None:
    def missing(*_: Any) -> None:
        raise why

    monkeypatch.setattr(withdrawal, "ProjectServer", missing)
    assert withdraw("fields")["withdrawn"] == ["nests"]
    assert readable(projects) == ["by-hand", "fields"]


def test_a_repository_that_is_being_published_stays_as_it_is(run_module: Run, projects: Path, asked: list[str]) -> None:
    with PublishedFolder(projects, "nests", **OWN).locked():
        said = run_module("withdrawn_repositories", projects_folder=str(projects), published=["fields"], prune=True)
    assert "Another run is publishing" in said["msg"]
    assert readable(projects) == ["by-hand", "fields", "nests"] and asked == []


def test_a_bare_host_has_nothing_to_withdraw(withdraw: Run, tmp_path: Path) -> None:
    assert not withdraw(projects_folder=str(tmp_path / "none"))["changed"]


def test_a_folder_of_any_name_is_told_so_that_it_can_be_printed(withdraw: Run, projects: Path) -> None:
    """Such a name no repository has, but somebody may have made it in the workshop by hand."""
    (projects / "caf\udce9").mkdir()
    (projects / ".poppyfield" / "caf\udce9").mkdir()
    done = withdraw("fields", "nests")
    assert done["reasons"] == ["repository caf\\xe9: published -> withdrawn"] and done["left"] == ["caf\\xe9"]
    assert done["withdrawn"] == list(done["diff"]["before"]) == ["caf\\xe9"]
    assert withdraw("fields", "nests", prune=True)["removed"] == ["caf\\xe9"]
    assert not (projects / "caf\udce9").exists()
