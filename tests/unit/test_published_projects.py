"""A repository on the Pi becomes what the laptop's folder is: what changed travels, and nobody sees half of it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.poppyfield.projects import published_folder, withdrawal
from ansible.module_utils.poppyfield.projects.folder_difference import FolderError, uploads
from ansible.module_utils.poppyfield.projects.published_folder import PublishedFolder, exchange

from tests.images.projects import Layer, qgs, write_zipped

Json = dict[str, Any]
Run = Callable[..., Json]
Library = Callable[[str], ModuleType]
FIRST, SECOND, THIRD = (qgs([Layer("./meadow.geojson")], title=title) for title in ("First", "Second", "Third"))


class PowerCut(BaseException):
    """The Pi has no power any more."""


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """The laptop's folder."""
    folder = tmp_path / "maps"
    write(folder, {"map.qgs": FIRST, "map.qgs.cfg": "{}", "data/fields.gpkg": "fields", "media/tree.svg": "tree"})
    return folder


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    """The Pi's folder of projects."""
    folder = tmp_path / "projects"
    folder.mkdir()
    return folder


@pytest.fixture
def options(maps: Path, projects: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> Json:
    """The module's arguments; QGIS Server likes everything."""
    server = SimpleNamespace(know=lambda _: None, refresh=lambda: None, wait_until_refreshable=lambda: None)
    monkeypatch.setattr(library("published_projects"), "ProjectServer", lambda *_: server)
    monkeypatch.setattr(library("published_projects").Engine, "connect", lambda: None)
    monkeypatch.setattr(library("published_projects"), "check_projects", lambda *_, **__: (["map.qgs"], []))
    whose = {"owner": os.getuid(), "group": os.getgid()}
    return {"repository": "fields", "folder": str(maps), "projects_folder": str(projects), **whose}


@pytest.fixture
def publish(run_plugin: Run, options: Json) -> Run:
    def run(**changes: Any) -> Json:
        return run_plugin("published_projects", **{**options, **changes})

    return run


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def read(folder: Path) -> dict[str, str]:
    """Give the files of a folder."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def beside(projects: Path) -> list[str]:
    """Name what lies beside the repositories, but for what always does."""
    workshop = projects / ".poppyfield" / "fields"
    return sorted(path.name for path in workshop.iterdir() if path.name not in ("known", "lock"))


def test_a_folder_is_published_once(publish: Run, maps: Path, projects: Path) -> None:
    done = publish()
    assert done["changed"] and done["added"] == ["data/fields.gpkg", "map.qgs", "map.qgs.cfg", "media/tree.svg"]
    assert read(projects / "fields") == read(maps)
    assert done["uploaded_bytes"] > 0 and done["checked"] == ["map.qgs"]
    assert beside(projects) == []
    again = publish()
    assert not again["changed"] and again["reasons"] == [] and again["diff"] == {"before": {}, "after": {}}


def test_a_zipped_project_is_published_unpacked_where_only_such_are_shown(
    publish: Run, maps: Path, projects: Path
) -> None:
    # What is left of an earlier .qgs is not this one's.
    (maps / "map.qgs").unlink()
    assert (maps / "map.qgs.cfg").exists()
    write_zipped(maps / "map.qgz", SECOND)
    write(maps, {"map.qgz.cfg": "{}", "data/kept.qgz": "no project of the map server's"})
    done = publish(unpack=True)
    assert {"map.qgs", "map.qgs.cfg", "map.qgz", "data/kept.qgz"} <= set(done["added"])
    assert "data/kept.qgs" not in done["added"]
    assert (projects / "fields" / "map.qgs").read_text() == SECOND
    assert (projects / "fields" / "map.qgs.cfg").read_text() == "{}"
    assert not publish(unpack=True)["changed"]


def test_files_are_the_owners_to_write_and_everybodys_to_read(publish: Run, maps: Path, projects: Path) -> None:
    (maps / "data").chmod(0o700)
    (maps / "map.qgs").chmod(0o600)
    publish()
    fields = projects / "fields"
    assert {path.stat().st_mode & 0o777 for path in fields.rglob("*") if path.is_file()} == {0o644}
    assert {path.stat().st_mode & 0o777 for path in (fields, fields / "data", fields / "media")} == {0o755}


CHANGES: dict[str, tuple[dict[str, str], Json]] = {
    "added": ({"media/new.svg": "new"}, {"added": ["media/new.svg"]}),
    "changed": ({"map.qgs": SECOND}, {"updated": ["map.qgs"]}),
    "same size": ({"data/fields.gpkg": "FIELDS"}, {"updated": ["data/fields.gpkg"]}),
    "same content twice": ({"media/copy.svg": "tree"}, {"added": ["media/copy.svg"]}),
}


@pytest.mark.parametrize("several", [False, True])
def test_what_is_served_of_a_project_that_is_withheld_stays(
    publish: Run, run_plugin: Run, options: Json, maps: Path, projects: Path, *, several: bool
) -> None:
    write(maps, {"old.qgs": FIRST, "old.qgs.cfg": "1", "old.tif": "old"})
    publish()
    write(maps, {"map.qgs": SECOND, "old.qgs": "<damaged", "old.qgs.cfg": "2", "new.qgs": "<damaged", "new.tif": "new"})
    (maps / "old.tif").unlink()
    entry = {"repository": "fields", "folder": str(maps), "withheld": ["old.qgs", "new.qgs"], "prune": True}
    shared = {key: value for key, value in options.items() if key not in entry}
    done = run_plugin("published_projects", **({"repositories": [entry]} if several else entry), **shared)
    assert done["changed"], done
    told = done["results"]["fields"] if several else done
    assert (told["added"], told["updated"], told["removed"]) == (["new.tif"], ["map.qgs"], [])
    served = read(projects / "fields")
    assert (served["map.qgs"], served["old.qgs"], served["old.qgs.cfg"]) == (SECOND, FIRST, "1")
    # It may need a file that is gone from the laptop, as the project itself is not.
    assert told["left"] == ["old.tif"]
    assert served["old.tif"] == "old" and "new.qgs" not in served


@pytest.mark.field_changed_once
@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_predicted_and_made_once(
    predict_and_run: Run, options: Json, maps: Path, projects: Path, change: str
) -> None:
    files, told = CHANGES[change]
    results = ("changed", "reasons", "diff", "added", "updated", "corrected", "removed", "left")
    predict_and_run("published_projects", results, **options)
    kept = projects / "fields" / "map.qgs.cfg"
    inode = kept.stat().st_ino
    write(maps, files)
    done = predict_and_run("published_projects", results, **options)
    nothing: Json = {"added": [], "updated": [], "corrected": [], "removed": [], "left": []}
    assert {key: done[key] for key in nothing} == nothing | told
    assert read(projects / "fields") == read(maps)
    assert kept.stat().st_ino == inode
    assert not predict_and_run("published_projects", results, **options)["changed"]


def test_only_what_changed_travels(publish: Run, maps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(maps, {"data/large.tif": os.urandom(200_000).hex()})
    assert publish()["uploaded_bytes"] > 200_000
    write(maps, {"map.qgs": SECOND})
    assert publish()["uploaded_bytes"] < 10_000
    # A file that only moved is on the Pi already, but under a name that is gone on the laptop: it travels again.
    (maps / "data" / "large.tif").touch()
    assert publish()["uploaded_bytes"] == 0


def test_check_mode_changes_nothing(options: Json, run_plugin: Run, projects: Path, tmp_path: Path) -> None:
    assert run_plugin("published_projects", check_mode=True, **options)["changed"]
    assert list(projects.iterdir()) == []
    bare = {**options, "projects_folder": str(tmp_path / "srv" / "poppyfield" / "lizmap" / "projects")}
    assert run_plugin("published_projects", check_mode=True, **bare)["changed"]
    assert not (tmp_path / "srv").exists()


# What is gone on the laptop ------------------------------------------------------------------------------------------


def test_a_file_that_is_gone_stays_unless_pruned(publish: Run, maps: Path, projects: Path) -> None:
    publish()
    (maps / "media" / "tree.svg").unlink()
    kept = publish()
    assert not kept["changed"] and kept["left"] == ["media/tree.svg"]
    assert "pi-marsh still has files" in kept["warnings"][0] and "media/tree.svg" in kept["warnings"][0]
    write(maps, {"map.qgs": SECOND})
    assert publish()["left"] == ["media/tree.svg"]
    assert (projects / "fields" / "media" / "tree.svg").read_text() == "tree"
    pruned = publish(prune=True)
    assert pruned["removed"] == ["media/tree.svg"] and pruned["left"] == []
    assert "warnings" not in pruned
    assert read(projects / "fields") == read(maps)
    assert not (projects / "fields" / "media").exists()


def test_a_long_list_of_files_that_stay_is_cut(publish: Run, projects: Path) -> None:
    publish()
    write(projects / "fields", {f"old/{number}.txt": "x" for number in range(8)})
    assert publish()["warnings"][0].count("old/") == 5


@pytest.mark.parametrize(
    ("old", "new"), [("media/tree.svg", "media"), ("map.qgs.cfg", "map.qgs.cfg/tree.svg")], ids=["file", "folder"]
)
def test_a_folder_becomes_a_file_and_a_file_a_folder(
    publish: Run, maps: Path, projects: Path, old: str, new: str
) -> None:
    publish()
    (maps / old).unlink()
    shutil.rmtree(maps / "media", ignore_errors=True)
    write(maps, {new: "new"})
    done = publish()
    assert old in done["removed"] and new in done["added"]
    assert (projects / "fields" / new).read_text() == "new"


# What somebody did on the Pi -----------------------------------------------------------------------------------------


def test_a_change_by_hand_is_noticed_and_put_back(publish: Run, maps: Path, projects: Path) -> None:
    publish()
    path = projects / "fields" / "data" / "fields.gpkg"
    times = path.stat()
    path.write_text("FIELDS")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    done = publish()
    assert done["updated"] == ["data/fields.gpkg"]
    assert list(done["diff"]["before"]) == list(done["diff"]["after"]) == ["data/fields.gpkg"]
    assert read(projects / "fields") == read(maps)


def test_a_mode_that_was_changed_is_put_back_without_sending(publish: Run, projects: Path) -> None:
    publish()
    (projects / "fields" / "map.qgs").chmod(0o600)
    (projects / "fields" / "media").chmod(0o700)
    done = publish()
    assert done["corrected"] == ["map.qgs", "media/tree.svg"] and done["uploaded_bytes"] == 0
    assert (projects / "fields" / "map.qgs").stat().st_mode & 0o777 == 0o644
    assert (projects / "fields" / "media").stat().st_mode & 0o777 == 0o755
    assert not publish()["changed"]


def test_a_link_in_the_place_of_a_file_is_replaced(publish: Run, maps: Path, projects: Path, tmp_path: Path) -> None:
    publish()
    path = projects / "fields" / "map.qgs"
    path.unlink()
    path.symlink_to(maps / "map.qgs")
    assert publish()["updated"] == ["map.qgs"]
    assert not path.is_symlink()


def test_what_did_not_change_is_not_read_again(publish: Run, projects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish()
    read_again: list[str] = []

    def digest(path: Path) -> str:
        read_again.append(path.name)
        return ""

    monkeypatch.setattr(published_folder, "digest", digest)
    assert not publish()["changed"] and read_again == []
    (projects / "fields" / "map.qgs").touch()
    publish()
    assert read_again[:1] == ["map.qgs"]


@pytest.mark.parametrize("damaged", ["", "\0" * 100, "1\t2\t3", "a\tb\tc\td\te\tf\n", None])
def test_a_record_that_is_damaged_costs_only_time(publish: Run, projects: Path, damaged: str | None) -> None:
    publish()
    known = projects / ".poppyfield" / "fields" / "known"
    good = known.read_text()
    known.unlink() if damaged is None else known.write_text(damaged)
    assert not publish()["changed"]
    assert known.read_text() == good


# What is not published -----------------------------------------------------------------------------------------------


def test_backups_and_hidden_files_stay_on_the_laptop(publish: Run, maps: Path, projects: Path) -> None:
    good = read(maps)
    names = ("map.qgs~", ".git/config", "Thumbs.db", "data/fields.gpkg-wal", "data/fields.gpkg-shm", ".~lock.a.ods#")
    write(maps, dict.fromkeys(names, "x"))
    publish()
    assert read(projects / "fields") == good


def test_links_are_followed_but_not_round_in_a_circle(publish: Run, maps: Path, projects: Path, tmp_path: Path) -> None:
    write(tmp_path / "shared", {"roads.gpkg": "roads"})
    (maps / "shared").symlink_to(tmp_path / "shared")
    publish()
    assert (projects / "fields" / "shared" / "roads.gpkg").read_text() == "roads"
    (maps / "data" / "round").symlink_to(maps)
    with pytest.raises(Exception, match="round in a circle"):
        publish()
    (maps / "data" / "round").unlink()
    (maps / "data" / "nowhere").symlink_to("/no/such/file")
    with pytest.raises(Exception, match="nowhere is a link to something that does not exist"):
        publish()


@pytest.mark.parametrize(
    ("changes", "said"), [({"folder": None}, "folder is missing"), ({"folder": "/no/such"}, "no folder /no/such")]
)
def test_a_folder_must_be_there(publish: Run, changes: Json, said: str) -> None:
    with pytest.raises(Exception, match=said):
        publish(**changes)


def test_the_module_alone_says_what_it_needs(run_module: Run, options: Json) -> None:
    assert "the action plugin of the same name" in run_module("published_projects", **options)["msg"]


@pytest.mark.parametrize("asked", [{"0" * 64: 1}, {"../../etc/shadow": 1}, ["a"], "all", 5, None])
def test_a_host_is_sent_nothing_that_is_not_of_the_folder(
    publish: Run, library: Library, monkeypatch: pytest.MonkeyPatch, projects: Path, asked: Any
) -> None:
    module = library("published_projects")
    look = module.converge
    with monkeypatch.context() as patch:
        patch.setattr(module, "converge", lambda *given, **named: {**look(*given, **named), "_missing": asked})
        with pytest.raises(Exception, match="The host asks for files that are not of the folder"):
            publish()
    assert not (projects / "fields").exists()
    assert publish()["changed"]


@pytest.mark.parametrize("ahead", [-1000, 0, 1000])
def test_a_file_that_replaces_another_is_newer_whatever_the_clock_says(
    publish: Run, maps: Path, projects: Path, ahead: int
) -> None:
    publish()
    path = projects / "fields" / "map.qgs"
    then = int(path.stat().st_mtime) + ahead
    os.utime(path, (then, then))
    write(maps, {"map.qgs": SECOND})
    publish()
    assert int(path.stat().st_mtime) > then


def test_the_server_restarts_while_the_old_folder_is_still_there(
    publish: Run, maps: Path, projects: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []

    def refresh() -> None:
        old = projects / ".poppyfield" / "fields" / "staged" / "map.qgs"
        seen.append(((projects / "fields" / "map.qgs").read_text(), old.read_text()))

    server = SimpleNamespace(know=lambda _: None, refresh=refresh, wait_until_refreshable=lambda: None)
    monkeypatch.setattr(library("published_projects"), "ProjectServer", lambda *_: server)
    publish()
    # Nobody has seen the repository before.
    assert seen == []
    write(maps, {"map.qgs": SECOND})
    publish()
    assert seen == [(SECOND, FIRST)]


# Refused by QGIS Server ----------------------------------------------------------------------------------------------


def test_what_qgis_server_refuses_is_not_published(
    publish: Run, maps: Path, projects: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    old = read(projects / "fields")
    module = library("published_projects")
    seen: list[Any] = []

    def refuse(server: Any, repository: str, inside: str, described: Json, **_: bool) -> Any:
        seen.append((inside, read(projects / ".poppyfield" / "fields" / "staged"), described))
        return [], [module.ProjectFinding("fields", "map.qgs", "its table is gone.", "Load it.", "Rivers")]

    monkeypatch.setattr(module, "check_projects", refuse)
    write(maps, {"map.qgs": SECOND, "data/large.tif": "large"})
    refused = publish()
    assert refused["failed"] and refused["msg"] == "fields/map.qgs, layer 'Rivers': its table is gone. Load it."
    assert refused["findings"][0]["layer"] == "Rivers"
    meadow = {"name": "meadow", "about": "the file ./meadow.geojson", "written": ["meadow.geojson"]}
    described = {"map.qgs": {"layer_id_meadow": meadow}}
    assert seen == [("/srv/projects/.poppyfield/fields/staged", read(maps), described)]
    assert read(projects / "fields") == old
    # What arrived stays, so that only the mended project travels.
    assert beside(projects) == ["incoming"]
    monkeypatch.setattr(module, "check_projects", lambda *_, **__: (["map.qgs"], []))
    write(maps, {"map.qgs": THIRD})
    sent = publish()
    assert not sent.get("failed") and read(projects / "fields") == read(maps) and beside(projects) == []


@pytest.fixture
def refuse(library: Library, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let QGIS Server refuse the projects of this name."""
    module = library("published_projects")

    def start(bad: str) -> None:
        def check(_server: Any, repository: str, _inside: str, described: Json, **_: bool) -> Any:
            found = [module.ProjectFinding(repository, name, "no table.") for name in described if name == bad]
            return sorted(set(described) - {bad}), found

        monkeypatch.setattr(module, "check_projects", check)

    return start


def test_a_project_that_qgis_server_refuses_withholds_only_itself(
    publish: Run, maps: Path, projects: Path, refuse: Callable[[str], None]
) -> None:
    write(maps, {"old.qgs": FIRST})
    publish()
    refuse("old.qgs")
    write(maps, {"old.qgs": SECOND, "map.qgs": THIRD})
    done = publish()
    assert not done.get("failed") and done["updated"] == ["map.qgs"] and done["uploaded_bytes"]
    assert (done["withheld"], done["checked"]) == (["old.qgs"], ["map.qgs"])
    assert done["refused"] == done["findings"][0]["repository"] + "/old.qgs: no table."
    assert (read(projects / "fields")["old.qgs"], read(projects / "fields")["map.qgs"]) == (FIRST, THIRD)
    # Nothing else differs now; it is told all the same, and nothing stays beside.
    again = publish()
    assert not again["changed"] and again["withheld"] == ["old.qgs"] and beside(projects) == []


def test_a_repository_whose_projects_are_all_refused_does_not_keep_others(
    run_plugin: Run, options: Json, maps: Path, tmp_path: Path, refuse: Callable[[str], None]
) -> None:
    projects, more = Path(options["projects_folder"]), tmp_path / "nests"
    write(more, {"nests.qgs": SECOND})
    shared = {name: value for name, value in options.items() if name not in ("repository", "folder")}
    both = [{"repository": "nests", "folder": str(more)}, {"repository": "fields", "folder": str(maps)}]
    refuse("nests.qgs")
    done = run_plugin("published_projects", repositories=both, **shared)
    assert done["withheld"] == ["nests/nests.qgs"] and done["refused"] == "nests/nests.qgs: no table."
    assert done["changed"] and read(projects / "fields") == read(maps) and not (projects / "nests").exists()
    failed = run_plugin("published_projects", repositories=both[:1], **shared)
    assert failed["failed"] and failed["msg"] == "nests/nests.qgs: no table."


def test_what_arrived_in_vain_is_removed_when_it_is_not_wanted_any_more(
    publish: Run, maps: Path, projects: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    module = library("published_projects")
    good = module.check_projects
    monkeypatch.setattr(
        module, "check_projects", lambda *_, **__: ([], [module.ProjectFinding("fields", "map.qgs", "bad.")])
    )
    write(maps, {"map.qgs": SECOND})
    assert publish()["failed"] and beside(projects) == ["incoming"]
    monkeypatch.setattr(module, "check_projects", good)
    write(maps, {"map.qgs": FIRST})
    assert not publish()["changed"] and beside(projects) == []


def test_a_project_that_did_not_change_but_is_bad_by_now_is_told_of(
    publish: Run, projects: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    module = library("published_projects")
    asked: list[str] = []

    def check(
        _server: object, _repository: str, inside: str, _projects: object, **_: bool
    ) -> tuple[list[str], list[Any]]:
        asked.append(inside)
        return [], [module.ProjectFinding("fields", "map.qgs", "public.trees is not in the Pi's database.")]

    monkeypatch.setattr(module, "check_projects", check)
    refused = publish()
    assert refused["failed"] and "public.trees is not in the Pi's database." in refused["msg"]
    assert asked == ["/srv/projects/fields"]
    assert (projects / "fields" / "map.qgs").exists() and beside(projects) == []


# Withdrawn -----------------------------------------------------------------------------------------------------------


@pytest.mark.field_changed_once
def test_a_repository_is_withdrawn_once(
    predict_and_run: Run, options: Json, maps: Path, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_and_run("published_projects", **options)
    (projects / "other").mkdir()
    monkeypatch.setattr(withdrawal, "_running_server", lambda *_: None)
    absent = {**options, "state": "absent"}
    done = predict_and_run("published_projects", **absent)
    assert done["reasons"] == ["repository fields: present -> absent"] and len(done["removed"]) == 4
    assert not (projects / "fields").exists() and (projects / "other").exists() and read(maps)
    assert not predict_and_run("published_projects", **absent)["changed"]
    assert predict_and_run("published_projects", **options)["changed"]


ODD_NAMES = {
    b"caf\xe9.gpkg": "caf\\xe9.gpkg",
    b"two\nlines\t.tif": "two\\x0alines\\x09.tif",
    b"\xe2\x80\xa8": "\\xe2\\x80\\xa8",
}


def test_files_on_the_pi_may_have_any_name(predict_and_run: Run, options: Json, maps: Path, projects: Path) -> None:
    """As those that somebody copied there from Windows; the run ended after the swap, and each one after it."""
    results = ("changed", "reasons", "diff", "added", "updated", "corrected", "removed", "left")
    predict_and_run("published_projects", results, **options)
    for name in ODD_NAMES:
        Path(os.fsdecode(os.fsencode(projects / "fields") + b"/" + name)).write_text("old")
    write(maps, {"map.qgs": SECOND})
    done = predict_and_run("published_projects", results, **options)
    assert sorted(done["left"]) == sorted(ODD_NAMES.values())
    assert not predict_and_run("published_projects", results, **options)["changed"]
    removed = predict_and_run("published_projects", results, **options, prune=True)
    assert sorted(removed["removed"]) == sorted(ODD_NAMES.values()) == sorted(removed["diff"]["before"])
    assert json.dumps(removed, ensure_ascii=False).isprintable()
    assert read(projects / "fields") == read(maps)


def test_files_with_odd_names_are_not_read_again(publish: Run, projects: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish()
    for name in ODD_NAMES:
        Path(os.fsdecode(os.fsencode(projects / "fields") + b"/" + name)).write_text("old")
    publish()
    monkeypatch.setattr(published_folder, "digest", lambda path: pytest.fail(f"{path} was read again"))
    assert len(publish()["left"]) == len(ODD_NAMES)


# Cut off -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cut_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[str]]]:
    """Cut the power before the given change of the file system, counted from 0; give what was changed until then."""
    done: list[str] = []
    left = [10**6]

    def counted(name: str, change: Callable[..., Any]) -> Callable[..., Any]:
        def changing(*arguments: Any, **keywords: Any) -> Any:
            if not left[0]:
                raise PowerCut
            left[0] -= 1
            done.append(name)
            return change(*arguments, **keywords)

        return changing

    def begin(changes: int) -> list[str]:
        left[0] = changes
        done.clear()
        return done

    monkeypatch.setattr(published_folder, "exchange", counted("exchange", published_folder.exchange))
    for name in ("link", "fsync", "chown", "fchown", "fchmod", "unlink", "rmdir", "mkdir", "rename", "chmod"):
        monkeypatch.setattr(os, name, counted(name, getattr(os, name)))
    yield begin
    left[0] = 10**6


CUTS = 110
LARGE = "FIELDS" * 4000
Begin = Callable[[int], list[str]]


@pytest.fixture
def _large_in_two_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    in_pieces_of(len(LARGE) - 1000, monkeypatch)


@pytest.mark.crash_point
@pytest.mark.usefixtures("_large_in_two_pieces")
@pytest.mark.parametrize("number", range(CUTS))
def test_after_a_power_cut_the_old_or_the_new_is_whole_and_the_next_run_finishes(
    publish: Run, maps: Path, projects: Path, cut_after: Begin, number: int
) -> None:
    publish()
    old = read(projects / "fields")
    write(maps, {"map.qgs": SECOND, "data/fields.gpkg": LARGE, "media/new.svg": "new"})
    done = cut_after(number)
    with contextlib.suppress(PowerCut):
        publish()
    happened = list(done)
    cut_after(10**6)
    assert read(projects / "fields") == (read(maps) if "exchange" in happened else old)
    again = publish()
    assert not again.get("failed") and again["changed"] == ("exchange" not in happened)
    assert read(projects / "fields") == read(maps) and beside(projects) == []
    assert not publish()["changed"]


@pytest.mark.usefixtures("_large_in_two_pieces")
def test_the_power_cuts_above_cover_a_whole_run(publish: Run, maps: Path, cut_after: Begin) -> None:
    publish()
    write(maps, {"map.qgs": SECOND, "data/fields.gpkg": LARGE, "media/new.svg": "new"})
    done = cut_after(10**6)
    publish()
    assert "exchange" in done and len(done) < CUTS


def test_a_disk_that_is_full_changes_nothing(
    publish: Run, maps: Path, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    old = read(projects / "fields")
    write(maps, {"map.qgs": SECOND})

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "staged")

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", full)
        assert publish()["msg"] == "No space left on device: staged."
    assert read(projects / "fields") == old
    assert publish()["changed"]


def test_what_does_not_fit_is_refused_before_it_is_sent(
    publish: Run, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PublishedFolder, "free_bytes", lambda _: 1_000_000)
    refused = publish()
    assert refused["failed"] and "too little room on the Pi: 52 MB are needed and 1 MB are free" in refused["msg"]
    assert list(projects.iterdir()) == []


def test_a_file_that_changes_while_it_is_sent_is_noticed(
    publish: Run, maps: Path, projects: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copyfile

    def late(source: str, target: str) -> None:
        copy(source, target)
        other = PublishedFolder(projects, "other", os.getuid(), os.getgid())
        assert other.arrived() == []

    monkeypatch.setattr(shutil, "copyfile", late)
    module = library("published_projects")
    real = module.converge

    def converge(params: Json, *, check_mode: bool) -> Json:
        result: Json = real(params, check_mode=check_mode)
        if params["_step"] == "look":
            write(maps, {"map.qgs": SECOND})
        return result

    monkeypatch.setattr(module, "converge", converge)
    assert publish()["msg"] == "A file of the project's folder was changed while it was copied: run again."
    assert not (projects / "fields").exists()


def in_pieces_of(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an upload hold so many bytes."""
    monkeypatch.setattr(uploads, "__defaults__", (size,))


def test_an_empty_file_alone_is_sent(publish: Run, maps: Path, projects: Path) -> None:
    publish()
    write(maps, {"media/empty.svg": ""})
    assert publish()["changed"] and read(projects / "fields") == read(maps)


def test_a_large_file_travels_in_pieces_each_of_which_is_told(
    publish: Run, maps: Path, projects: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish()
    write(maps, {"data/tiles.mbtiles": "0123456789" * 25, "media/empty.svg": ""})
    in_pieces_of(100, monkeypatch)
    capsys.readouterr()
    packed: list[int] = []
    copy = shutil.copyfile

    def counted(source: str, target: str) -> None:
        with tarfile.open(source) as upload:
            packed.append(sum(entry.size for entry in upload))
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", counted)
    assert publish()["changed"]
    assert packed == [100, 100, 50]
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Sending")]
    assert [line.split(" (")[0] for line in told] == [f"Sending part {number} of 3" for number in (1, 2, 3)]
    assert read(projects / "fields") == read(maps) and beside(projects) == []
    assert not publish()["changed"]


def test_an_upload_that_was_cut_off_goes_on_where_it_was(
    publish: Run, maps: Path, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    write(maps, {"data/tiles.mbtiles": "0123456789" * 45})
    in_pieces_of(100, monkeypatch)
    copy = shutil.copyfile
    starts: list[int] = []

    def sending(source: str, target: str) -> None:
        with tarfile.open(source) as upload:
            starts.extend(int(entry.name.split(".")[1]) for entry in upload)
        if len(starts) == 3:
            raise PowerCut
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", sending)
    with pytest.raises(PowerCut):
        publish()
    (growing,) = projects.glob(".poppyfield/fields/incoming/.*.growing")
    with growing.open("ab") as stream:
        stream.write(b"of a piece that was not flushed")
    assert starts == [0, 100, 200]
    assert publish()["changed"] and starts == [0, 100, 200, 200, 300, 400]
    assert read(projects / "fields") == read(maps) and beside(projects) == []


def test_a_file_that_arrived_whole_but_was_not_judged_is_judged_by_the_next_run(
    publish: Run, maps: Path, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    write(maps, {"data/tiles.mbtiles": "0123456789" * 25})
    in_pieces_of(100, monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(PublishedFolder, "_complete", lambda *_: (_ for _ in ()).throw(PowerCut))
        with pytest.raises(PowerCut):
            publish()
    assert publish()["changed"] and read(projects / "fields") == read(maps)


def test_a_host_that_says_nonsense_of_what_it_has_begun_gets_everything(
    publish: Run, maps: Path, projects: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = library("published_projects")
    look = module.converge
    monkeypatch.setattr(module, "converge", lambda *given, **named: {**look(*given, **named), "_begun": {"x": "y"}})
    assert publish()["changed"] and read(projects / "fields") == read(maps)


def test_a_piece_that_is_missing_is_noticed(
    publish: Run, maps: Path, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    old = read(projects / "fields")
    write(maps, {"data/tiles.mbtiles": "0123456789" * 25})
    in_pieces_of(100, monkeypatch)
    receive = PublishedFolder.receive

    def losing(folder: PublishedFolder, archive: Path) -> int:
        received = receive(folder, archive)
        for path in folder.incoming.glob(".*.growing"):
            path.unlink()
        return received

    with monkeypatch.context() as patched:
        patched.setattr(PublishedFolder, "receive", losing)
        assert publish()["msg"] == "A piece of a large file is missing on the Pi: run again."
    assert read(projects / "fields") == old
    assert publish()["changed"] and read(projects / "fields") == read(maps)


def test_a_file_that_is_no_piece_is_refused(
    publish: Run, maps: Path, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(_: str, target: str) -> None:
        with tarfile.open(target, "w:gz") as upload:
            upload.add(maps / "map.qgs", "../map.qgs")

    monkeypatch.setattr(shutil, "copyfile", other)
    assert "../map.qgs, which is no piece of a file" in publish()["msg"]
    assert not (projects / "map.qgs").exists() and not (projects / ".poppyfield" / "fields" / "map.qgs").exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"])
def test_an_upload_that_arrives_damaged_is_refused(
    publish: Run, projects: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(shutil, "copyfile", lambda _, target: Path(target).write_bytes(content))
    assert "arrived damaged" in publish()["msg"]
    assert not (projects / "fields").exists()


def test_an_upload_of_something_else_is_refused(
    publish: Run, maps: Path, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(_: str, target: str) -> None:
        with tarfile.open(target, "w:gz") as upload:
            upload.add(maps / "data", recursive=False)

    monkeypatch.setattr(shutil, "copyfile", other)
    assert "which is no file" in publish()["msg"]


def test_what_is_removed_on_the_pi_meanwhile_is_noticed(
    publish: Run, maps: Path, projects: Path, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = library("published_projects")
    real = module.converge

    def converge(params: Json, *, check_mode: bool) -> Json:
        if params["_step"] == "publish":
            shutil.rmtree(projects / ".poppyfield" / "fields" / "incoming")
        result: Json = real(params, check_mode=check_mode)
        return result

    monkeypatch.setattr(module, "converge", converge)
    assert "has not arrived on the Pi" in publish()["msg"]
    assert not (projects / "fields").exists()


@pytest.mark.parametrize("name", ["two\nlines", "caf\udce9.svg"])
def test_names_that_cannot_be_printed_are_refused(publish: Run, maps: Path, name: str) -> None:
    (maps / name).write_text("x")
    with pytest.raises(Exception, match="cannot be printed: rename it"):
        publish()


def test_two_runs_do_not_publish_at_once(projects: Path) -> None:
    folder = PublishedFolder(projects, "fields", os.getuid(), os.getgid())
    with folder.locked(), pytest.raises(FolderError, match="Another run"), folder.locked():
        pass


def test_a_reader_never_sees_half_a_project(publish: Run, maps: Path, projects: Path) -> None:
    """Each file tells the same number, in the old folder as in the new one."""
    numbered = {f"data/{name}": "0" for name in "abcdefgh"}
    write(maps, numbered)
    publish()
    seen: set[frozenset[str]] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            # One folder is opened and read: which one, the name decides at that moment.
            handle = os.open(projects / "fields", os.O_RDONLY)
            try:
                names = [os.open(name, os.O_RDONLY, dir_fd=handle) for name in numbered]
                seen.add(frozenset(os.read(name, 9).decode() for name in names))
                for name in names:
                    os.close(name)
            except FileNotFoundError:
                # The old folder is being removed: a reader that began there finds no file, never another's.
                pass
            finally:
                os.close(handle)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(1, 30):
            write(maps, dict.fromkeys(numbered, str(number)))
            publish()
    finally:
        stop.set()
        reader.join()
    assert len(seen) > 1
    assert [numbers for numbers in seen if len(numbers) != 1] == []


# Exchanging ----------------------------------------------------------------------------------------------------------


def test_two_folders_are_exchanged(tmp_path: Path) -> None:
    write(tmp_path, {"a/x": "1", "b/y": "2"})
    exchange(tmp_path / "a", tmp_path / "b")
    assert read(tmp_path) == {"a/y": "2", "b/x": "1"}


def test_a_folder_that_is_missing_is_not_exchanged(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "b")


def test_a_file_system_that_cannot_exchange_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.get_errno", lambda: errno.EINVAL)
    with pytest.raises(FolderError, match="cannot exchange two folders"):
        exchange(tmp_path / "a", tmp_path / "b")


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch, library: Library) -> list[str]:
    """Which steps the module was executed for."""
    module = library("published_projects")
    steps: list[str] = []
    started = module.main

    def counted() -> None:
        parse = module.AnsibleModule

        def noted(**given: Any) -> Any:
            made = parse(**given)
            steps.append(made.params["_step"])
            return made

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "AnsibleModule", noted)
            started()

    monkeypatch.setattr(module, "main", counted)
    return steps


def test_several_repositories_are_looked_at_in_one_execution_and_only_those_that_differ_are_sent(
    run_plugin: Run, options: Json, maps: Path, tmp_path: Path, executed: list[str]
) -> None:
    projects, more = Path(options["projects_folder"]), tmp_path / "nests"
    write(more, {"map.qgs": SECOND, "map.qgs.cfg": "{}"})
    shared = {name: value for name, value in options.items() if name not in ("repository", "folder")}
    both = [{"repository": "fields", "folder": str(maps)}, {"repository": "nests", "folder": str(more)}]
    done = run_plugin("published_projects", repositories=both, **shared)
    assert done["changed"]
    assert (read(projects / "fields"), read(projects / "nests")) == (read(maps), read(more))
    assert set(done["diff"]["after"]) == set(done["results"]) == {"fields", "nests"}
    executed.clear()
    assert not run_plugin("published_projects", repositories=both, **shared)["changed"]
    assert executed == ["look"]
    write(more, {"map.qgs": THIRD})
    executed.clear()
    done = run_plugin("published_projects", repositories=both, **shared)
    assert executed == ["look", "receive", "publish"]
    assert done["reasons"] and all(reason.startswith("nests: ") for reason in done["reasons"])
    assert read(projects / "nests")["map.qgs"] == THIRD


def test_what_was_published_and_is_not_named_any_more_is_told(run_plugin: Run, options: Json, maps: Path) -> None:
    shared = {name: value for name, value in options.items() if name not in ("repository", "folder")}
    both = [{"repository": name, "folder": str(maps)} for name in ("fields", "nests")]
    assert run_plugin("published_projects", repositories=both, **shared)["others"] == []
    assert run_plugin("published_projects", repositories=both[:1], **shared)["others"] == ["nests"]
    done = run_plugin("published_projects", repositories=[], **shared)
    assert not done["changed"] and done["others"] == ["fields", "nests"]
