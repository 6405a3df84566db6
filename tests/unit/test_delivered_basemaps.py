"""Base maps on a Pi become those of the inventory: only what is missing travels, and no page that is open breaks."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.module_utils.poppyfield.basemaps import digests, published
from ansible.module_utils.poppyfield.containers.engine import Engine
from ansible.module_utils.poppyfield.projects import folder_difference, published_folder
from ansible.module_utils.poppyfield.projects.folder_difference import FolderError
from ansible.module_utils.poppyfield.projects.published_folder import PublishedFolder

from tests.tiles import pmtiles, png, write_mbtiles
from tests.unit.test_published_projects import in_pieces_of

Json = dict[str, Any]
Run = Callable[..., Json]
Library = Callable[[str], ModuleType]
DAY = 24 * 60 * 60


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    """The laptop's folder."""
    folder = tmp_path / "maps"
    folder.mkdir()
    (folder / "valley.pmtiles").write_bytes(pmtiles([png((0, 90, 0))]))
    write_mbtiles(folder / "relief.mbtiles")
    return folder


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    """The Pi's folder of projects."""
    folder = tmp_path / "projects"
    folder.mkdir()
    return folder


@pytest.fixture
def refreshed(library: Library, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What QGIS Server is asked."""
    asked: list[str] = []
    server = SimpleNamespace(
        refresh=lambda: asked.append("refresh"), wait_until_refreshable=lambda: asked.append("wait")
    )
    monkeypatch.setattr(library("delivered_basemaps"), "ProjectServer", lambda *_: server)
    monkeypatch.setattr(Engine, "connect", lambda: None)
    return asked


@pytest.fixture
def options(maps: Path, projects: Path, tmp_path: Path) -> Json:
    return {
        "basemaps": [{"file": str(maps / "valley.pmtiles")}, {"file": str(maps / "relief.mbtiles")}],
        "projects_folder": str(projects),
        "cache_folder": str(tmp_path / "cache"),
        "owner": os.getuid(),
        "group": os.getgid(),
    }


@pytest.fixture
def deliver(run_plugin: Run, options: Json, refreshed: list[str]) -> Run:
    def run(**changes: Any) -> Json:
        return run_plugin("delivered_basemaps", **{**options, **changes})

    return run


def there(projects: Path) -> list[str]:
    return sorted(path.name for path in (projects / "basemaps").iterdir())


def listed(projects: Path) -> list[Json]:
    found: list[Json] = json.loads((projects / "basemaps" / "index.json").read_text("utf-8"))["basemaps"]
    return found


def replace(maps: Path, color: int) -> None:
    (maps / "valley.pmtiles").write_bytes(pmtiles([png((0, color, 0))]))


def test_they_are_delivered_once(
    predict_and_run: Run, options: Json, refreshed: list[str], projects: Path, maps: Path
) -> None:
    done = predict_and_run("delivered_basemaps", **options)
    (valley,) = listed(projects)
    assert there(projects) == ["index.json", "relief.mbtiles", valley["file"]]
    assert published.PUBLISHED.fullmatch(valley["file"])
    assert (projects / "basemaps" / valley["file"]).read_bytes() == (maps / "valley.pmtiles").read_bytes()
    assert (projects / "basemaps" / "relief.mbtiles").read_bytes() == (maps / "relief.mbtiles").read_bytes()
    assert valley == {
        "name": "valley",
        "file": valley["file"],
        "title": "The valley",
        "attribution": "© OpenStreetMap contributors",
        "tiles": "raster",
        "bounds": [-5.5, 41.0, 10.0, 51.5],
        "zooms": [0, 1],
    }
    assert done["added"] == ["index.json", "relief.mbtiles", valley["file"]] and refreshed == []
    again = predict_and_run("delivered_basemaps", **options)
    assert not again["changed"] and again["reasons"] == []


def test_files_are_the_owners_to_write_and_everybodys_to_read(deliver: Run, projects: Path, maps: Path) -> None:
    (maps / "valley.pmtiles").chmod(0o600)
    deliver()
    assert {path.stat().st_mode & 0o777 for path in (projects / "basemaps").iterdir()} == {0o644}


def test_what_the_inventory_says_is_over_what_the_file_says(deliver: Run, maps: Path, projects: Path) -> None:
    entry = {"file": str(maps / "valley.pmtiles"), "name": "v", "title": "<i>Vallée</i>", "attribution": "IGN"}
    deliver(basemaps=[entry])
    (valley,) = listed(projects)
    assert (valley["name"], valley["title"], valley["attribution"]) == ("v", "Vallée", "IGN")


def test_one_that_was_replaced_stays_for_a_day(deliver: Run, maps: Path, projects: Path) -> None:
    deliver()
    (first,) = listed(projects)
    replace(maps, 91)
    done = deliver()
    (second,) = listed(projects)
    assert done["changed"] and done["left"] == [first["file"]]
    assert {first["file"], second["file"]} <= set(there(projects)) and first["file"] != second["file"]
    again = deliver()
    assert not again["changed"] and again["left"] == [first["file"]]
    index = projects / "basemaps" / "index.json"
    earlier = index.stat().st_mtime - DAY - 1
    os.utime(index, (earlier, earlier))
    later = deliver()
    assert later["changed"] and later["removed"] == [first["file"]]
    assert there(projects) == ["index.json", "relief.mbtiles", second["file"]]
    assert not deliver()["changed"]


def test_of_one_that_is_replaced_twice_the_last_old_one_stays(deliver: Run, maps: Path, projects: Path) -> None:
    names = []
    for color in (90, 91, 92):
        replace(maps, color)
        deliver()
        names += [one["file"] for one in listed(projects)]
    assert there(projects) == sorted(["index.json", "relief.mbtiles", *names[1:]])


def test_one_that_is_named_no_more_is_removed(deliver: Run, options: Json, projects: Path) -> None:
    deliver()
    done = deliver(basemaps=options["basemaps"][1:])
    assert done["changed"] and there(projects) == ["relief.mbtiles"]


def test_none_named_removes_them_all_and_nothing_else(deliver: Run, projects: Path) -> None:
    (projects / "fields").mkdir()
    deliver()
    assert deliver(basemaps=[])["changed"]
    assert [path.name for path in projects.iterdir() if path.name != ".poppyfield"] == ["fields"]
    assert not deliver(basemaps=[])["changed"]


def test_an_empty_folder_is_removed_so_that_it_is_not_asked_about_again(deliver: Run, projects: Path) -> None:
    (projects / "basemaps").mkdir()
    assert deliver(basemaps=[])["changed"] and not (projects / "basemaps").exists()


def test_a_file_that_somebody_changed_on_the_pi_is_put_back(deliver: Run, maps: Path, projects: Path) -> None:
    deliver()
    (projects / "basemaps" / "relief.mbtiles").write_bytes(b"x")
    assert deliver()["updated"] == ["relief.mbtiles"]
    assert (projects / "basemaps" / "relief.mbtiles").read_bytes() == (maps / "relief.mbtiles").read_bytes()


def test_qgis_server_reads_an_mbtiles_again_that_was_replaced(deliver: Run, maps: Path, refreshed: list[str]) -> None:
    deliver()
    replace(maps, 91)
    deliver()
    assert refreshed == []
    (maps / "relief.mbtiles").unlink()
    write_mbtiles(maps / "relief.mbtiles", name="Relief of today")
    deliver()
    assert refreshed == ["wait", "refresh"]


def test_without_a_map_server_nothing_is_read_again(
    deliver: Run, maps: Path, library: Library, monkeypatch: pytest.MonkeyPatch, projects: Path
) -> None:
    deliver()
    module = library("delivered_basemaps")

    def stopped(*_: Any) -> None:
        raise module.NotRunningError("it does not run")

    monkeypatch.setattr(module, "ProjectServer", stopped)
    (maps / "relief.mbtiles").unlink()
    write_mbtiles(maps / "relief.mbtiles", name="Relief of today")
    assert deliver()["updated"] == ["relief.mbtiles"]


def delivered_in_four_runs(deliver: Run, monkeypatch: pytest.MonkeyPatch) -> int:
    """Deliver, cut off three times, each time with the third upload; give how many bytes travelled."""
    copy, sent = shutil.copyfile, 0

    def sending(source: str, target: str) -> None:
        nonlocal sent
        with tarfile.open(source) as upload:
            sent += sum(entry.size for entry in upload)
        if budget and not budget.pop():
            raise ConnectionError
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", sending)
    for _ in range(3):
        budget = [False, True, True]
        with pytest.raises(ConnectionError):
            deliver()
    budget = []
    assert deliver()["changed"]
    return sent


LARGE = [pytest.mark.autonomy("resumed 4 GiB"), pytest.mark.long]


@pytest.mark.parametrize(
    ("gap", "piece"),
    [
        pytest.param(0, 1000, marks=pytest.mark.autonomy("resumed")),
        pytest.param(4 * 1024**3, folder_difference.BATCH_BYTES, marks=LARGE),
    ],
)
def test_a_delivery_that_is_cut_off_three_times_goes_on(
    deliver: Run, options: Json, monkeypatch: pytest.MonkeyPatch, gap: int, piece: int
) -> None:
    in_pieces_of(piece, monkeypatch)
    valley, projects = Path(options["basemaps"][0]["file"]), Path(options["projects_folder"])
    valley.write_bytes(pmtiles([os.urandom(9500)]))
    with valley.open("r+b") as stream:
        stream.seek(gap, os.SEEK_END)
        stream.write(os.urandom(9500))
    sent = delivered_in_four_runs(deliver, monkeypatch)
    total = sum(path.stat().st_size for path in (projects / "basemaps").iterdir())
    # Only the pieces that were under way travelled twice.
    assert sent <= total + 3 * piece
    (found,) = listed(projects)
    arrived = projects / "basemaps" / found["file"]
    assert filecmp.cmp(arrived, valley, shallow=False)
    # Folders of tests are kept for a while, and this is much.
    arrived.unlink()


def test_what_arrives_otherwise_than_it_was_is_refused(
    deliver: Run, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_folder, "digest", lambda _: "0" * 64)
    assert "was changed while it was copied: run again" in deliver()["msg"]
    assert not (projects / "basemaps").exists()


def test_too_little_room_is_told_before_anything_is_sent(
    deliver: Run, projects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PublishedFolder, "free_bytes", lambda _: 1_000_000)
    refused = deliver()
    assert refused["failed"] and refused["msg"].startswith("lizmap_basemaps: There is too little room on the Pi")
    assert list(projects.iterdir()) == []


def test_a_host_gets_nothing_but_these_files(
    deliver: Run, library: Library, monkeypatch: pytest.MonkeyPatch, projects: Path
) -> None:
    module = library("delivered_basemaps")
    look = module.converge
    asked = {"_missing": {"f" * 64: 5}, "_begun": "all"}
    monkeypatch.setattr(module, "converge", lambda *given, **named: {**look(*given, **named), **asked})
    assert "has not arrived on the Pi" in deliver()["msg"]
    assert not (projects / "basemaps").exists()


def test_a_bad_file_is_told_with_its_path(deliver: Run, maps: Path, projects: Path) -> None:
    (maps / "valley.pmtiles").write_bytes(b"x")
    with pytest.raises(AnsibleActionFail, match=r"valley\.pmtiles: it is neither PMTiles nor MBTiles"):
        deliver()
    (maps / "valley.pmtiles").unlink()
    with pytest.raises(AnsibleActionFail, match="No such file"):
        deliver()
    assert list(projects.iterdir()) == []


def test_a_large_file_is_read_once_on_the_laptop(maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = maps / "valley.pmtiles", tmp_path / "cache"
    first = digests.of_file(path, cache)
    with monkeypatch.context() as patched:
        patched.setattr(digests, "digest", lambda _: pytest.fail("it was read again"))
        assert digests.of_file(path, cache) == first
    replace(maps, 91)
    assert digests.of_file(path, cache) != first
    (cache / "basemaps-sha256").write_bytes(b"\xff damaged")
    assert digests.of_file(path, cache) == folder_difference.digest(path)
    (tmp_path / "file").write_text("")
    assert digests.of_file(path, tmp_path / "file" / "cache") == folder_difference.digest(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"basemaps": 1}', b'{"basemaps": [{}]}', b"\xff", b"[" * 5000])
def test_a_list_that_cannot_be_read_names_nothing(content: bytes) -> None:
    assert published.listed(content) == set()


def test_a_staged_project_finds_the_base_maps_where_a_published_one_does(
    deliver: Run, run_plugin: Run, options: Json, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    projects = Path(options["projects_folder"])
    deliver()
    module = library("published_projects")
    server = SimpleNamespace(know=lambda _: None, refresh=lambda: None, wait_until_refreshable=lambda: None)
    monkeypatch.setattr(module, "ProjectServer", lambda *_: server)
    seen = []

    def check(_: Any, __: str, inside: str, *___: Any, **____: Any) -> tuple[list[str], list[Any]]:
        staged = projects / Path(inside).relative_to("/srv/projects")
        seen.append((staged / "../basemaps/relief.mbtiles").exists())
        return [], []

    monkeypatch.setattr(module, "check_projects", check)
    folder = projects.parent / "fields"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    own = {"projects_folder": str(projects), "owner": os.getuid(), "group": os.getgid()}
    done = run_plugin("published_projects", repositories=[{"repository": "fields", "folder": str(folder)}], **own)
    assert seen == [True]
    # A link that led nowhere later would keep the map page from knowing the state of its files.
    assert sorted(path.name for path in (projects / ".poppyfield" / "fields").iterdir()) == ["known", "lock"]
    # They are no repository that the inventory lacks.
    assert done["others"] == [] and done["has_basemaps"] is True
    deliver(basemaps=[])
    again = run_plugin("published_projects", repositories=[{"repository": "fields", "folder": str(folder)}], **own)
    assert again["has_basemaps"] is False and not again["changed"]


def test_the_link_of_a_staged_project_goes_with_it_where_the_project_is_refused(
    deliver: Run, options: Json, run_plugin: Run, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    projects = Path(options["projects_folder"])
    deliver()
    module = library("published_projects")

    def refuse(*_: Any, **__: Any) -> None:
        raise FolderError("it does not draw")

    server = SimpleNamespace(know=lambda _: None, refresh=lambda: None, wait_until_refreshable=lambda: None)
    monkeypatch.setattr(module, "ProjectServer", lambda *_: server)
    monkeypatch.setattr(module, "check_projects", refuse)
    folder = projects.parent / "fields"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    own = {"projects_folder": str(projects), "owner": os.getuid(), "group": os.getgid()}
    assert run_plugin("published_projects", repository="fields", folder=str(folder), **own)["failed"]
    assert sorted(path.name for path in (projects / ".poppyfield" / "fields").iterdir()) == ["incoming", "lock"]
