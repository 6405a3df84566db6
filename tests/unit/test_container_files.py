"""container_files as Ansible runs it: the container's files, and the laptop's, with a fake engine in between."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.poppyfield.containers import parcel, placed_files, writable_places
from ansible.module_utils.poppyfield.containers.engine import Engine
from ansible.module_utils.poppyfield.containers.writable_places import HostPlace, PlaceError
from ansible.module_utils.poppyfield.host import data_folders
from docker import errors

from tests.doubles.files_engine import CONFIG, NAME, LittleEngine
from tests.unit.conftest import load_plugin

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LittleEngine:
    folder = tmp_path / "pi" / "config"
    (folder / "var").mkdir(parents=True)
    (folder / "var" / "settings.ini").write_text("[map]")
    (folder / "var" / "now").symlink_to("settings.ini")
    found = LittleEngine(folder)
    monkeypatch.setattr(Engine, "connect", lambda: Engine(found, errors))
    return found


@pytest.fixture
def copy(run_plugin: Run) -> Run:
    """Copy files of the map server's container."""

    def run(direction: str, **given: Any) -> dict[str, Any]:
        told = {"container": NAME, "service": "lizmap", **given}
        return run_plugin("container_files", direction=direction, **told)

    return run


@pytest.fixture
def plugin() -> ModuleType:
    return load_plugin("container_files")


# Where ---------------------------------------------------------------------------------------------------------------


def container(*mounts: tuple[str, str, bool]) -> dict[str, Any]:
    described = [
        {"Type": "bind", "Source": source, "Destination": target, "RW": writable} for source, target, writable in mounts
    ]
    return {"Name": f"/{NAME}", "Mounts": described}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/data", HostPlace("/srv/data")),
        ("/data/", HostPlace("/srv/data")),
        ("/data/a/b", HostPlace("/srv/data", ("a", "b"))),
        ("/data/a/../b", HostPlace("/srv/data", ("b",))),
        ("/data/inner/x", HostPlace("/srv/inner", ("x",))),
        ("/data/fixed", None),
        ("/data/fixed/x", None),
        ("/data/../etc", None),
        ("/database", None),
        ("/etc/passwd", None),
    ],
)
def test_a_path_lies_in_the_nearest_folder_that_is_mounted(path: str, place: HostPlace | None) -> None:
    found = container(
        ("/srv/data", "/data", True), ("/srv/inner", "/data/inner", True), ("/srv/fixed", "/data/fixed", False)
    )
    if place:
        assert writable_places.place_of(found, path) == place
    else:
        with pytest.raises(PlaceError, match=r"These folders of it can be written to: /data, /data/inner\."):
            writable_places.place_of(found, path)


def test_a_container_without_such_a_folder_says_so() -> None:
    with pytest.raises(PlaceError, match="written to: none"):
        writable_places.place_of(container(), "/data")


# Out -----------------------------------------------------------------------------------------------------------------


def test_a_folder_comes_out_private_and_only_once(engine: LittleEngine, copy: Run, tmp_path: Path) -> None:
    predicted = copy("out", path=f"{CONFIG}/var", dest=str(tmp_path / "to"), check_mode=True)
    assert predicted["changed"] and "1 files (0.0 MB) would be fetched" in predicted["msg"]
    assert not (tmp_path / "to").exists()
    done = copy("out", path=f"{CONFIG}/var", dest=str(tmp_path / "to"))
    assert (done["changed"], done["files"], done["left_out"]) == (True, ["var/settings.ini"], ["var/now"])
    assert "left out, since no files: var/now" in done["msg"]
    settings = tmp_path / "to" / "pi-marsh" / "var" / "settings.ini"
    assert settings.read_text() == "[map]" and settings.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["pi-marsh"]
    again = copy("out", path=f"{CONFIG}/var", dest=str(tmp_path / "to"))
    assert not again["changed"] and "already" in again["msg"]


@pytest.mark.parametrize("name", ["../../pi", "a/b", "..", ".hidden"])
def test_a_pis_name_leads_to_no_other_folder(engine: LittleEngine, copy: Run, tmp_path: Path, name: str) -> None:
    assert copy("out", path=f"{CONFIG}/var", dest=str(tmp_path / "x" / "to"), on=name)["changed"]
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["to"]
    (folder,) = (tmp_path / "x" / "to").iterdir()
    assert (folder / "var" / "settings.ini").read_text() == "[map]"


def test_what_was_fetched_before_is_replaced_only_where_that_is_asked(
    engine: LittleEngine, copy: Run, tmp_path: Path
) -> None:
    target = tmp_path / "to" / "pi-marsh" / "settings.ini"
    target.parent.mkdir(parents=True)
    target.write_text("mine")
    given = {"path": f"{CONFIG}/var/settings.ini", "dest": str(tmp_path / "to")}
    with pytest.raises(AnsibleActionFail, match=r"already with another content: settings\.ini"):
        copy("out", **given)
    assert target.read_text() == "mine"
    assert copy("out", **given, replace=True)["changed"]
    assert target.read_text() == "[map]"


def test_a_link_alone_is_told(engine: LittleEngine, copy: Run, tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="/srv/lizmap/var/now is no file or folder"):
        copy("out", path=f"{CONFIG}/var/now", dest=str(tmp_path / "to"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"path": f"{CONFIG}/nothing"}, "Could not find the file"),
        ({"path": "relative"}, "path must be a whole path"),
        ({"path": CONFIG, "container": "websig-other"}, "There is no container websig-other"),
        ({"path": CONFIG, "service": "postgis"}, "A container named websig-lizmap exists that Poppyfield did not make"),
    ],
)
def test_what_cannot_be_fetched_is_told(
    engine: LittleEngine, copy: Run, tmp_path: Path, given: dict[str, str], said: str
) -> None:
    done = copy("out", dest=str(tmp_path / "to"), **given)
    assert done["failed"] and said in done["msg"]
    assert not (tmp_path / "to").exists()


class HostilePi:
    """Sends other contents than its list says."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def fetch_file(self, remote: str, local: str) -> None:
        try:
            Path(local).write_bytes(self.content)
        except OSError as error:
            raise AnsibleError(f"failed to transfer file: {error}") from error


@pytest.mark.attack(kind="file without end", on="laptop", proof="test_a_file_without_end_fills_the_disk_unless_bounded")
def test_a_pi_fills_no_disk_of_the_laptop(engine: LittleEngine, copy: Run, tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="could not be fetched"):
        copy("out", path=f"{CONFIG}/var", dest=str(tmp_path / "to"), connection=HostilePi(b"x" * 10_000_000))
    assert not list((tmp_path / "to").rglob("*settings*"))


def test_a_file_without_end_fills_the_disk_unless_bounded(tmp_path: Path, plugin: ModuleType) -> None:
    HostilePi(b"x" * 10_000_000).fetch_file("", str(tmp_path / "contents"))
    assert (tmp_path / "contents").stat().st_size == 10_000_000
    with plugin.files_up_to(1000), pytest.raises(AnsibleError):
        HostilePi(b"x" * 10_000_000).fetch_file("", str(tmp_path / "contents"))
    assert (tmp_path / "contents").stat().st_size <= 1000


def test_contents_that_are_not_those_of_the_list_are_not_taken(engine: LittleEngine, copy: Run, tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="did not arrive as it was sent"):
        copy("out", path=f"{CONFIG}/var", dest=str(tmp_path / "to"), connection=HostilePi(b"[MAP]"))
    assert not list((tmp_path / "to").rglob("*settings*"))


@pytest.mark.attack(kind="path out of the folder", on="laptop", proof=None)
def test_a_list_that_leads_elsewhere_is_refused(
    engine: LittleEngine, copy: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = parcel.of_archive

    def hostile(*given: Any) -> Any:
        found, left_out = listed(*given)
        files = [parcel.PackedFile(f"../../{file.path}", file.size, file.sha256, file.mode) for file in found.files]
        return parcel.Parcel(tuple(files)), left_out

    monkeypatch.setattr(parcel, "of_archive", hostile)
    given = {"path": f"{CONFIG}/var/settings.ini", "dest": str(tmp_path / "to")}
    with pytest.raises(AnsibleActionFail, match="would be unpacked elsewhere"):
        copy("out", **given)
    assert not (tmp_path / "settings.ini").exists()
    # Without the judgement it gets there.
    monkeypatch.setattr(parcel, "path_problem", lambda _: "")
    copy("out", **given)
    assert (tmp_path / "settings.ini").read_text() == "[map]"


# In ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "target"), [(f"{CONFIG}/", "logo.png"), (f"{CONFIG}/pictures/l.png", "pictures/l.png")]
)
def test_a_file_is_put_under_its_own_or_another_name(
    engine: LittleEngine, copy: Run, tmp_path: Path, path: str, target: str
) -> None:
    (tmp_path / "logo.png").write_bytes(b"png")
    (tmp_path / "logo.png").chmod(0o666)
    given = {"src": str(tmp_path / "logo.png"), "path": path}
    predicted = copy("in", **given, check_mode=True)
    assert predicted["changed"] and "1 files would be put into" in predicted["msg"]
    assert not (engine.folder / target).exists()
    done = copy("in", **given)
    assert done["changed"] and "1 files put into" in done["msg"]
    assert (engine.folder / target).read_bytes() == b"png"
    assert (engine.folder / target).stat().st_mode & 0o777 == 0o644
    again = copy("in", **given)
    assert not again["changed"] and "already" in again["msg"]


@pytest.mark.parametrize(("path", "target"), [(f"{CONFIG}/", "themes"), (f"{CONFIG}/other", "other")])
def test_a_folder_is_put_beside_what_is_there(
    engine: LittleEngine, copy: Run, tmp_path: Path, path: str, target: str
) -> None:
    (tmp_path / "themes" / "empty").mkdir(parents=True)
    (tmp_path / "themes" / "one.css").write_text("one")
    (engine.folder / target).mkdir()
    (engine.folder / target / "two.css").write_text("two")
    assert copy("in", src=str(tmp_path / "themes"), path=path)["changed"]
    found = {str(file.relative_to(engine.folder / target)) for file in (engine.folder / target).rglob("*")}
    assert found == {"one.css", "two.css", "empty"}


def test_a_file_of_another_content_is_replaced_only_where_that_is_asked(
    engine: LittleEngine, copy: Run, tmp_path: Path
) -> None:
    (tmp_path / "settings.ini").write_text("mine")
    given = {"src": str(tmp_path / "settings.ini"), "path": f"{CONFIG}/var/"}
    refused = copy("in", **given)
    assert refused["failed"] and "-e replace=true" in refused["msg"]
    assert (engine.folder / "var" / "settings.ini").read_text() == "[map]"
    done = copy("in", **given, replace=True)
    assert done["diff"]["before"] == {"settings.ini": "another content"}
    assert (engine.folder / "var" / "settings.ini").read_text() == "mine"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/etc/", "These folders of it can be written to: /srv/lizmap."),
        ("/srv/projects/x", "These folders of it can be written to: /srv/lizmap."),
        (f"{CONFIG}/{data_folders.PREFIX}x", "Poppyfield's own"),
        (f"{CONFIG}/var", "'var' is there already and not a file"),
    ],
)
def test_nothing_is_put_where_it_cannot_be(
    engine: LittleEngine, copy: Run, tmp_path: Path, path: str, said: str
) -> None:
    (tmp_path / "logo.png").write_bytes(b"png")
    done = copy("in", src=str(tmp_path / "logo.png"), path=path)
    assert done["failed"] and said in done["msg"]


def test_a_container_of_others_is_given_nothing(engine: LittleEngine, copy: Run, tmp_path: Path) -> None:
    engine.labels.clear()
    (tmp_path / "logo.png").write_bytes(b"png")
    done = copy("in", src=str(tmp_path / "logo.png"), path=f"{CONFIG}/")
    assert done["failed"] and "left alone" in done["msg"]
    assert [path.name for path in engine.folder.iterdir()] == ["var"]


def test_what_is_not_on_the_laptop_is_told(engine: LittleEngine, copy: Run, tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match=r"there is no .*/nothing on this laptop"):
        copy("in", src=str(tmp_path / "nothing"), path=CONFIG)
    with pytest.raises(AnsibleActionFail, match="src is missing"):
        copy("in", path=CONFIG)


def test_what_the_disk_of_the_pi_refuses_is_told(
    engine: LittleEngine, copy: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_given: Any, **_named: Any) -> None:
        raise OSError(5, "Input/output error", "logo.png")

    (tmp_path / "logo.png").write_bytes(b"png")
    monkeypatch.setattr(placed_files, "compare", failing)
    done = copy("in", src=str(tmp_path / "logo.png"), path=f"{CONFIG}/")
    assert done["failed"] and done["msg"] == "Input/output error: logo.png."


def test_a_list_that_is_none_is_refused_on_the_pi_too(engine: LittleEngine, run_module: Run) -> None:
    given = {"container": NAME, "service": "lizmap", "direction": "in", "path": f"{CONFIG}/"}
    done = run_module("container_files", **given, _parcel={"files": "x", "folders": []})
    assert done["failed"] and done["msg"] == f"{CONFIG}/: it is no list of files."
