"""Files on their way between a container and the laptop: what is packed, and what of it is taken."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers import parcel, placed_files
from ansible.module_utils.poppyfield.containers.parcel import Parcel, ParcelError, of_archive, of_laptop, parse

MODES = 0o700


def described(path: str, content: bytes = b"poppies", mode: int = 0o644) -> dict[str, Any]:
    return {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "mode": mode}


def listed(*files: dict[str, Any], folders: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"files": list(files), "folders": list(folders)}


def archive(*entries: tuple[str, bytes | str, bytes]) -> Iterator[bytes]:
    """Give an archive in small pieces: each entry has a name, a content or where it leads to, and a kind."""
    with io.BytesIO() as whole:
        with tarfile.open(fileobj=whole, mode="w") as written:
            for name, content, kind in entries:
                entry = tarfile.TarInfo(name)
                entry.type, entry.mode = kind, 0o4777
                if isinstance(content, str):
                    entry.linkname = content
                else:
                    entry.size = len(content)
                written.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
        data = whole.getvalue()
    return (data[at : at + 1000] for at in range(0, len(data), 1000))


def test_files_and_folders_are_packed_and_what_is_neither_is_left_out() -> None:
    written = io.BytesIO()
    found, left_out = of_archive(
        archive(
            ("config", b"", tarfile.DIRTYPE),
            ("config/one", b"1" * 3000, tarfile.REGTYPE),
            ("config/link", "/etc/shadow", tarfile.SYMTYPE),
            ("config/again", "config/one", tarfile.LNKTYPE),
            ("config/disk", b"", tarfile.BLKTYPE),
            ("config/a\nb", b"x", tarfile.REGTYPE),
            ("config/two", b"2", tarfile.REGTYPE),
        ),
        written.write,
    )
    assert [(file.path, file.size, file.mode) for file in found.files] == [
        ("config/one", 3000, 0o755),
        ("config/two", 1, 0o755),
    ]
    assert found.folders == ("config",)
    assert left_out == ["config/link", "config/again", "config/disk", "config/a\nb"]
    assert written.getvalue() == b"1" * 3000 + b"2"
    assert found.files[0].sha256 == hashlib.sha256(b"1" * 3000).hexdigest()
    assert parse(found.plain()) == found


@pytest.mark.parametrize(("most", "said"), [(10, "there is no room"), (parcel.LARGEST, "")])
def test_no_more_is_written_than_there_is_room_for(most: int, said: str) -> None:
    written = io.BytesIO()
    entries = archive(("a", b"12345678", tarfile.REGTYPE), ("b", b"12345678", tarfile.REGTYPE))
    if said:
        with pytest.raises(ParcelError, match=said):
            of_archive(entries, written.write, most)
        assert written.getvalue() == b"12345678"
    else:
        assert of_archive(entries, written.write, most)[0].size == 16


def test_too_much_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(parcel, "MOST_FILES", 2)
    three = [(name, b"", tarfile.REGTYPE) for name in "abc"]
    with pytest.raises(ParcelError, match="more than 2 files"):
        of_archive(archive(*three), lambda _: None)
    with pytest.raises(ParcelError, match="more than 2 files"):
        parse(listed(*(described(name) for name in "abc")))
    for name in "abc":
        (tmp_path / name).touch()
    with pytest.raises(ParcelError, match="more than 2 files"):
        of_laptop(tmp_path)


def test_what_is_no_archive_is_told() -> None:
    with pytest.raises(ParcelError, match="Docker's archive cannot be read"):
        of_archive([b"nothing of the kind" * 100], lambda _: None)


def test_a_folder_of_the_laptop_is_packed_without_what_others_could_do_with_it(tmp_path: Path) -> None:
    (tmp_path / "in" / "empty").mkdir(parents=True)
    (tmp_path / "in" / "run").write_bytes(b"#!")
    (tmp_path / "in" / "run").chmod(0o4777)
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "secret").chmod(0o600)
    found, sources = of_laptop(tmp_path)
    assert {file.path: file.mode for file in found.files} == {"in/run": 0o755, "secret": 0o600}
    assert set(found.folders) == {"in", "in/empty"}
    assert sources["in/run"].read_bytes() == b"#!"
    alone, _ = of_laptop(tmp_path / "secret")
    assert [file.path for file in alone.files] == ["secret"] and not alone.folders


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_link_or_device_of_the_laptop_is_not_put(tmp_path: Path, kind: str) -> None:
    if kind == "link":
        (tmp_path / "odd").symlink_to("/etc/shadow")
    else:
        os.mkfifo(tmp_path / "odd")
    with pytest.raises(ParcelError, match="odd is no file or folder"):
        of_laptop(tmp_path)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "no list"),
        ({"files": 1, "folders": []}, "no list"),
        ({"files": [["a"]], "folders": []}, "no list"),
        (listed({**described("a"), "size": "1"}), "no list"),
        (listed({**described("a"), "size": -1}), "cannot be"),
        (listed({**described("a"), "sha256": "short"}), "cannot be"),
        (listed({**described("a"), "size": parcel.LARGEST + 1}), "more than 1024 MB"),
        (listed(described("a"), described("a")), "twice"),
        (listed(described("a"), described("a/b")), "a file and a folder"),
        (listed(described("a"), folders=("a/b",)), "a file and a folder"),
        (listed(described("a//b")), "no plain path"),
        (listed(described("./a")), "no plain path"),
        (listed(described("")), "no plain path"),
        (listed(described("n" * 256)), "too long"),
        (listed(described("a/" * 600 + "b")), "too long"),
    ],
)
def test_a_list_that_cannot_be_is_refused(document: Any, said: str) -> None:
    with pytest.raises(ParcelError, match=said):
        parse(document)


OUTSIDE = ["../outside", "a/../../outside", "/outside", "a/../../../outside", "..", "a\\..\\b", "\x1b[2J", "c:x"]


@pytest.mark.attack(kind="path out of the folder", on="laptop", proof="test_such_paths_lead_elsewhere_unless_judged")
@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("as_folder", [False, True])
def test_nothing_that_a_pi_sends_leads_out_of_its_folder(path: str, as_folder: bool) -> None:
    document = listed(folders=(path,)) if as_folder else listed(described(path))
    with pytest.raises(ParcelError):
        parse(document)


def test_such_paths_lead_elsewhere_unless_judged(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    file = parcel.PackedFile(**described("../outside"))
    stream = io.BytesIO(b"poppies")
    placed_files.place(str(tmp_path / "to"), (), Parcel((file,)), stream, wanted={file.path}, modes=MODES)
    assert (tmp_path / "outside").read_bytes() == b"poppies"


def test_only_what_is_wanted_is_written_whole_and_private(tmp_path: Path) -> None:
    one, two = (parcel.PackedFile(**described(name, name.encode() * 9, 0o755)) for name in ("a/one", "two"))
    given = Parcel((one, two), ("empty",))
    assert placed_files.compare(str(tmp_path), (), given) == (["a/one", "two"], [])
    assert placed_files.missing_folders(str(tmp_path), (), given) == ["empty"]
    placed_files.place(str(tmp_path), (), given, io.BytesIO(b"a/one" * 9 + b"two" * 9), wanted={"two"}, modes=MODES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "two"]
    assert (tmp_path / "two").read_bytes() == b"two" * 9
    assert (tmp_path / "two").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o700
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"another")
    assert placed_files.compare(str(tmp_path), (), given) == ([], ["a/one"])


@pytest.mark.parametrize("sent", [b"poppieS", b"popp", b""])
def test_what_was_damaged_on_the_way_takes_no_place(tmp_path: Path, sent: bytes) -> None:
    (tmp_path / "map").write_bytes(b"before")
    file = parcel.PackedFile(**described("map"))
    with pytest.raises(ParcelError, match="did not arrive as it was sent"):
        placed_files.place(str(tmp_path), (), Parcel((file,)), io.BytesIO(sent), wanted={"map"}, modes=MODES)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("map", b"before")]


def test_of_many_files_the_first_are_named() -> None:
    assert parcel.named(list("ab")) == "a, b"
    assert parcel.named(list("abcdefg")) == "a, b, c, d, e and 2 more"
