"""A Pi takes its part of a bundle: the copy is verified, and whatever is wrong leaves the Pi as it was."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from ansible.module_utils.poppyfield.bundle import first_look, manifest, signing, taking, verification
from ansible.module_utils.poppyfield.bundle.manifest import BundleError
from ansible.module_utils.poppyfield.bundle.taking import BundlePlace, TakenRecord

from tests.unit import bundles

Library = Callable[[str], ModuleType]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "bundle"
    place.mkdir()
    return place


@pytest.fixture
def signers(folder: Path, tmp_path: Path) -> str:
    return bundles.write(folder, tmp_path / "keys")


@pytest.fixture
def place(tmp_path: Path) -> BundlePlace:
    return BundlePlace(tmp_path / "pi" / "bundles", tmp_path / "pi" / "etc" / "bundle.json")


def packed(folder: Path, tmp_path: Path) -> Path:
    archive = tmp_path / "bundle.tar"
    found = manifest.read((folder / manifest.NAME).read_bytes())
    taking.pack(folder, found, bundles.PART, archive)
    return archive


def state(place: BundlePlace) -> dict[str, bytes]:
    above = place.folder.parent
    return {str(path.relative_to(above)): path.read_bytes() for path in sorted(above.rglob("*")) if path.is_file()}


def test_its_part_is_taken_and_nothing_else(folder: Path, signers: str, place: BundlePlace, tmp_path: Path) -> None:
    assert not taking.is_taken(place, 7)
    taking.take(place, packed(folder, tmp_path), signers, bundles.PART)
    assert taking.is_taken(place, 7) and not taking.is_taken(place, 8)
    verification.verified(place.of(7), signers, part=bundles.PART)
    assert sorted(path.name for path in place.folder.iterdir()) == ["7", "apt"]
    assert taking.recorded(place) == TakenRecord(7, signers)
    assert place.record_file.stat().st_mode & 0o777 == 0o600


def test_apt_sees_only_the_bundle(folder: Path, signers: str, place: BundlePlace, tmp_path: Path) -> None:
    taking.take(place, packed(folder, tmp_path), signers, bundles.PART)
    said = place.configuration.read_text("utf-8")
    assert f'Dir::Etc::sourcelist "{place.folder}/apt/sources.list";' in said
    assert 'Dir::Etc::sourceparts "/dev/null";' in said and "Dir::State::status" not in said
    assert f'Dir::State::lists "{place.folder}/apt/lists";' in said
    part = place.of(7) / "packages" / bundles.PART
    assert place.apt.sources.read_text("utf-8") == f"deb [trusted=yes] file:{part} ./\n"


def test_a_newer_one_takes_the_place_of_the_last(
    folder: Path, signers: str, place: BundlePlace, tmp_path: Path
) -> None:
    taking.take(place, packed(folder, tmp_path), signers, bundles.PART)
    newer = replace(verification.signed(folder, signers), number=9)
    bundles.sign(folder, tmp_path / "keys", newer)
    taking.take(place, packed(folder, tmp_path), signers, bundles.PART)
    assert sorted(path.name for path in place.folder.iterdir()) == ["9", "apt"]
    assert "bundles/9/packages" in place.apt.sources.read_text("utf-8")


@pytest.mark.autonomy("cut import")
def test_what_a_cut_off_run_left_is_in_nobodys_way(
    folder: Path, signers: str, place: BundlePlace, tmp_path: Path
) -> None:
    (place.folder / "7.partial" / "packages").mkdir(parents=True)
    (place.folder / "new.partial").mkdir()
    # Renamed, but not yet remembered: it is taken once more.
    (place.of(7) / "half").mkdir(parents=True)
    assert not taking.is_taken(place, 7)
    taking.take(place, packed(folder, tmp_path), signers, bundles.PART)
    assert sorted(path.name for path in place.folder.iterdir()) == ["7", "apt"]
    verification.verified(place.of(7), signers, part=bundles.PART)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


@pytest.mark.autonomy("swapped")
@pytest.mark.autonomy("flipped")
@pytest.mark.parametrize(
    ("name", "harm"),
    [
        (bundles.PACKAGE, flip),
        (bundles.INDEX, flip),
        (bundles.RELEASE, flip),
        (manifest.NAME, flip),
        (manifest.SIGNATURE, flip),
        (bundles.PACKAGE, link),
        (manifest.NAME, link),
        (bundles.INDEX, lambda path: path.write_bytes(b"longer than it was" * 9)),
    ],
)
def test_what_was_changed_on_the_stick_after_it_was_verified_leaves_the_pi_as_it_was(
    folder: Path, signers: str, place: BundlePlace, tmp_path: Path, *, name: str, harm: Callable[[Path], object]
) -> None:
    """The laptop has looked at it, and then somebody swaps a file."""
    taking.take(place, packed(folder, tmp_path), signers, bundles.PART)
    before = state(place)
    found = verification.signed(folder, signers)
    harm(folder / name)
    archive = tmp_path / "changed.tar"
    taking.pack(folder, found, bundles.PART, archive)
    with pytest.raises(BundleError):
        taking.take(place, archive, signers, bundles.PART)
    assert state(place) == before


def member(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size, info.type = len(content) if kind == tarfile.REGTYPE else 0, kind
    info.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
    return info, io.BytesIO(content)


@pytest.mark.parametrize(
    "more",
    [
        ("../escaped", b"x", tarfile.REGTYPE),
        ("/tmp/escaped", b"x", tarfile.REGTYPE),
        ("packages/new.deb", b"x", tarfile.REGTYPE),
        ("packages/link", b"", tarfile.SYMTYPE),
        ("packages/hard", b"", tarfile.LNKTYPE),
        ("packages/pipe", b"", tarfile.FIFOTYPE),
        (bundles.IMAGE, b"an image", tarfile.REGTYPE),
    ],
)
def test_what_the_manifest_does_not_name_for_this_pi_is_not_unpacked(
    folder: Path, signers: str, place: BundlePlace, tmp_path: Path, more: tuple[str, bytes, bytes]
) -> None:
    archive = packed(folder, tmp_path)
    with tarfile.open(archive, "a:") as tar:
        tar.addfile(*member(*more))
    with pytest.raises(BundleError, match="does not name so"):
        taking.take(place, archive, signers, bundles.PART)
    assert state(place) == {} and not (tmp_path / "pi" / "escaped").exists()
    assert list(place.folder.iterdir()) == []


def test_a_file_less_is_refused(folder: Path, signers: str, place: BundlePlace, tmp_path: Path) -> None:
    found = verification.signed(folder, signers)
    less = replace(found, files=tuple(file for file in found.files if file.path != bundles.RELEASE))
    archive = tmp_path / "less.tar"
    taking.pack(folder, less, bundles.PART, archive)
    with pytest.raises(BundleError, match="Release is missing"):
        taking.take(place, archive, signers, bundles.PART)
    assert state(place) == {}


def test_what_does_not_begin_as_a_bundle_is_refused(signers: str, place: BundlePlace, tmp_path: Path) -> None:
    for name in ("other", manifest.NAME):
        archive = tmp_path / "other.tar"
        with tarfile.open(archive, "w:") as tar:
            tar.addfile(*member(name))
        with pytest.raises(BundleError, match="does not begin as a bundle does"):
            taking.take(place, archive, signers, bundles.PART)
    assert list(place.folder.iterdir()) == []


@pytest.mark.autonomy("older")
@pytest.mark.autonomy("key")
def test_an_older_one_and_one_of_another_key_are_refused(
    folder: Path, signers: str, place: BundlePlace, tmp_path: Path
) -> None:
    taking.take(place, packed(folder, tmp_path), signers, bundles.PART)
    before = state(place)
    older = replace(verification.signed(folder, signers), number=6)
    bundles.sign(folder, tmp_path / "keys", older)
    with pytest.raises(BundleError, match="this is bundle 6, and bundle 7 was taken before"):
        taking.take(place, packed(folder, tmp_path), signers, bundles.PART)
    others = bundles.write(folder, tmp_path / "others", replace(bundles.PLAIN, number=8))
    with pytest.raises(BundleError, match="another key"):
        taking.take(place, packed(folder, tmp_path), others, bundles.PART)
    assert state(place) == before


def test_a_record_that_cant_be_read_is_no_reason_to_trust_anybody(place: BundlePlace) -> None:
    place.record_file.parent.mkdir(parents=True)
    for content in ("", "[]", '{"number": 1}'):
        place.record_file.write_text(content)
        with pytest.raises(BundleError, match="can't be read"):
            taking.recorded(place)


# The module -----------------------------------------------------------------------------------------------------------


def test_the_module_looks_and_takes_once(
    folder: Path, signers: str, place: BundlePlace, tmp_path: Path, library: Library
) -> None:
    module = library("taken_bundle")
    params = {"number": 7, "signers": signers, "part": bundles.PART, "_look_only": True, "_archive": None}
    assert module.converge(place, params) == {"changed": True, "number": 7}
    assert state(place) == {}
    given = {**params, "_look_only": False, "_archive": str(packed(folder, tmp_path))}
    assert module.converge(place, given) == {"changed": True, "number": 7}
    assert module.converge(place, params) == {"changed": False, "number": 7}
    with pytest.raises(BundleError, match="another key"):
        module.converge(place, {**params, "signers": "another"})


# The first look -------------------------------------------------------------------------------------------------------


def offer(trusted: str, **changes: object) -> first_look.Offer:
    index = bundles.CONTENTS[bundles.INDEX].decode()
    plain = first_look.Offer(7, trusted, {"trixie": ["hello"]}, {bundles.PART: index})
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_the_first_look_tells_what_is_for_this_pi(
    folder: Path, signers: str, place: BundlePlace, tmp_path: Path
) -> None:
    told = first_look.look(place, offer(signers), "trixie", "arm64", [])
    assert told == {"bundle": {"part": bundles.PART, "wanted": True}, "bundle_problems": ()}
    taking.take(place, packed(folder, tmp_path), signers, bundles.PART)
    assert not first_look.look(place, offer(signers), "trixie", "arm64", [])["bundle"]["wanted"]


@pytest.mark.parametrize(
    ("changes", "architecture", "said"),
    [
        ({}, "armhf", "The bundle is for trixie-arm64, and this Pi is trixie-armhf"),
        ({"number": 6}, "arm64", "this is bundle 6, and bundle 7 was taken before"),
        ({"signers": "another"}, "arm64", "this Pi takes bundles of another key"),
    ],
)
def test_the_first_look_tells_what_the_pi_would_refuse(
    folder: Path,
    signers: str,
    place: BundlePlace,
    tmp_path: Path,
    *,
    changes: dict[str, object],
    architecture: str,
    said: str,
) -> None:
    taking.take(place, packed(folder, tmp_path), signers, bundles.PART)
    told = first_look.look(place, offer(signers, **changes), "trixie", architecture, [])
    assert not told["bundle"]["wanted"] and said in told["bundle_problems"][0]


def test_the_signers_are_the_same_whatever_blank_lines_they_end_with() -> None:
    taking.check_record(TakenRecord(1, "a key\n"), 1, "a key")


def test_the_record_is_json(place: BundlePlace, folder: Path, signers: str, tmp_path: Path) -> None:
    taking.take(place, packed(folder, tmp_path), signers, bundles.PART)
    assert json.loads(place.record_file.read_text()) == {"number": 7, "signers": signers}
    public = subprocess.run(
        ["ssh-keygen", "-y", "-P", "", "-f", str(tmp_path / "keys" / signing.KEY)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert public.split()[1] in signers and "PRIVATE" not in "".join(map(repr, state(place).values()))
