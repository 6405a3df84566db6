"""A bundle that was changed, in whatever way, is refused in one sentence: real keys, real files."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.bundle import manifest, signing, verification
from ansible.module_utils.poppyfield.bundle.manifest import BundledFile, BundleError, Manifest

from tests.unit import bundles


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "bundle"
    place.mkdir()
    return place


@pytest.fixture
def signers(folder: Path, tmp_path: Path) -> str:
    return bundles.write(folder, tmp_path / "keys")


def refused(folder: Path, signers: str, **given: int) -> str:
    with pytest.raises(BundleError) as caught:
        verification.verified(folder, signers, **given)  # type: ignore[arg-type]
    said = str(caught.value)
    assert "\n" not in said and not said.endswith(".")
    return said


def test_one_that_nobody_changed_is_what_it_says(folder: Path, signers: str) -> None:
    found = verification.verified(folder, signers, taken=7)
    assert found.number == 7 and found.parts == ("bookworm-arm64", "trixie-arm64")
    assert manifest.read(manifest.written(found)) == found


@pytest.mark.parametrize("path", [bundles.PACKAGE, bundles.INDEX, bundles.RELEASE, bundles.IMAGE])
def test_a_flipped_byte_in_a_file_is_refused_by_its_name(folder: Path, signers: str, path: str) -> None:
    content = bytearray((folder / path).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / path).write_bytes(content)
    assert refused(folder, signers).startswith(f"{path} is not what MANIFEST says of it")


@pytest.mark.parametrize("name", [manifest.NAME, manifest.SIGNATURE])
def test_a_flipped_byte_in_what_is_signed_or_the_signature_is_refused(folder: Path, signers: str, name: str) -> None:
    whole = (folder / name).read_bytes()
    # Each byte of the manifest, and those of the signature that are not the last, unused bits of its base64.
    for place in range(40, len(whole) - 40, len(whole) // 12):
        (folder / name).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert "none of the trusted keys has signed its MANIFEST as it is" in refused(folder, signers)
    (folder / name).write_bytes(whole)
    verification.verified(folder, signers)


@pytest.mark.parametrize("content", [b"", b"a package and more"])
def test_a_shorter_or_longer_file_is_refused(folder: Path, signers: str, content: bytes) -> None:
    (folder / bundles.PACKAGE).write_bytes(content)
    assert bundles.PACKAGE in refused(folder, signers)


@pytest.mark.parametrize("path", ["autorun.inf", f"packages/{bundles.PART}/evil_1_arm64.deb", "packages/new/x"])
def test_a_file_that_was_added_is_refused(folder: Path, signers: str, path: str) -> None:
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_text("x")
    said = refused(folder, signers)
    assert f"'{path}' is in the folder" in said and "MANIFEST does not name it" in said


@pytest.mark.parametrize("path", list(bundles.CONTENTS))
def test_a_file_that_is_missing_is_refused(folder: Path, signers: str, path: str) -> None:
    (folder / path).unlink()
    assert refused(folder, signers).startswith(f"{path} is missing:")


@pytest.mark.parametrize("name", [manifest.NAME, manifest.SIGNATURE])
def test_without_manifest_or_signature_it_is_no_bundle(folder: Path, signers: str, name: str) -> None:
    (folder / name).unlink()
    assert f"has no file {name}, so it is no bundle" in refused(folder, signers)


@pytest.mark.parametrize("path", [bundles.PACKAGE, manifest.NAME, manifest.SIGNATURE])
def test_a_link_in_place_of_a_file_is_refused_though_it_leads_to_the_same(
    folder: Path, signers: str, path: str, tmp_path: Path
) -> None:
    (folder / path).rename(tmp_path / "aside")
    (folder / path).symlink_to(tmp_path / "aside")
    said = refused(folder, signers)
    assert path in said and ("is a link or no file" in said or "can't be read" in said)


def test_a_link_or_a_pipe_that_was_added_is_refused(folder: Path, signers: str) -> None:
    (folder / "more").symlink_to("/etc")
    assert refused(folder, signers).startswith("'more' is a link or no file")
    (folder / "more").unlink()
    os.mkfifo(folder / "more")
    assert refused(folder, signers).startswith("'more' is a link or no file")


def test_a_folder_that_is_a_link_is_refused(folder: Path, signers: str, tmp_path: Path) -> None:
    (folder / "images").rename(tmp_path / "aside")
    (folder / "images").symlink_to(tmp_path / "aside")
    assert refused(folder, signers).startswith("'images' is a link or no file")


@pytest.mark.parametrize(
    "path", ["../evil", "packages/../../evil", "/etc/passwd", "a//b", "", ".", ".hidden", "a/./b", "a b", "ä", "a\nb",
             "MANIFEST", "MANIFEST.sig", "-o", "a\\b"]
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_refused_though_it_is_signed(folder: Path, tmp_path: Path, path: str) -> None:
    signers = bundles.write(folder, tmp_path / "keys")
    found = verification.signed(folder, signers)
    bundles.sign(folder, tmp_path / "keys", replace(found, files=(*found.files, BundledFile(path, 1, "0" * 64))))
    assert "which no bundle has" in refused(folder, signers)


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 0},
        {"number": -3},
        {"made": -1},
        {"made": 2**40},
        {"files": (BundledFile("a", 1, "0" * 64), BundledFile("A", 1, "0" * 64))},
        {"files": (BundledFile("a", 1, "0" * 63),)},
        {"files": (BundledFile("a", -1, "0" * 64),)},
    ],
)
def test_a_signed_manifest_that_makes_no_sense_is_refused(
    folder: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    keys = tmp_path / "keys"
    signers = bundles.write(folder, keys)
    found: Manifest = replace(verification.signed(folder, signers), images=(), **changes)  # type: ignore[arg-type]
    bundles.sign(folder, keys, found)
    assert "make the bundle again" in refused(folder, signers)


def test_an_image_without_its_file_is_refused(folder: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    signers = bundles.write(folder, keys)
    found = verification.signed(folder, signers)
    kept = tuple(file for file in found.files if file.path != bundles.IMAGE)
    bundles.sign(folder, keys, replace(found, files=kept))
    assert f"an image without its file, {bundles.IMAGE}" in refused(folder, signers)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b'{"version": 1}', b'"text"', b"\xff\xfe"])
def test_what_is_no_manifest_is_refused_by_a_sentence(content: bytes) -> None:
    with pytest.raises(BundleError, match="can't be read as what a bundle says of itself"):
        manifest.read(content)


def test_a_manifest_of_a_later_version_says_so() -> None:
    later = json.loads(manifest.written(bundles.PLAIN)) | {"version": 2}
    with pytest.raises(BundleError, match="is of version '2', and this Poppyfield reads version 1"):
        manifest.read(json.dumps(later).encode())


def test_another_key_is_refused(folder: Path, signers: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    signing.ensure_key(other)
    bundles.sign(folder, other, verification.signed(folder, signers))
    assert "none of the trusted keys" in refused(folder, signers)
    verification.verified(folder, (other / signing.SIGNERS).read_text("utf-8"))


def test_a_signature_for_something_else_is_refused(
    folder: Path, signers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "NAMESPACE", "git")
    bundles.sign(folder, tmp_path / "keys", verification.signed(folder, signers))
    assert "none of the trusted keys" in refused(folder, signers)


def test_a_lower_number_than_what_was_taken_is_refused(folder: Path, signers: str) -> None:
    assert "this is bundle 7, and bundle 8 was taken before" in refused(folder, signers, taken=8)


def test_a_part_has_its_own_files_and_no_others(folder: Path, signers: str) -> None:
    with pytest.raises(BundleError, match="is in the folder"):
        verification.verified(folder, signers, part=bundles.PART)
    (folder / bundles.IMAGE).unlink()
    (folder / bundles.OTHER_PART).unlink()
    assert verification.verified(folder, signers, part=bundles.PART).number == 7
    (folder / bundles.PACKAGE).unlink()
    with pytest.raises(BundleError, match="is missing"):
        verification.verified(folder, signers, part=bundles.PART)


def test_what_is_far_too_large_is_not_read(folder: Path, signers: str) -> None:
    (folder / manifest.SIGNATURE).write_bytes(b"x" * (verification.LARGEST_SIGNATURE + 1))
    assert refused(folder, signers).startswith("MANIFEST.sig is no file of a bundle")


@pytest.mark.parametrize("told", [verification.check_signature, signing.sign])
def test_without_ssh_keygen_it_says_what_to_install(
    folder: Path, signers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[..., None]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = (b"x", b"x", signers) if told is verification.check_signature else (b"x", tmp_path / "keys", folder)
    with pytest.raises(BundleError, match="install openssh-client"):
        told(*arguments)


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    assert signing.ensure_key(tmp_path)
    key = tmp_path / signing.KEY
    before = (key.read_bytes(), (tmp_path / signing.SIGNERS).read_text("utf-8"))
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "valid-" not in before[1] and 'namespaces="poppyfield-bundle"' in before[1]
    assert not signing.ensure_key(tmp_path)
    assert (key.read_bytes(), (tmp_path / signing.SIGNERS).read_text("utf-8")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [signing.KEY, signing.SIGNERS]


def test_a_key_that_others_can_read_or_that_is_lost_is_told(tmp_path: Path) -> None:
    signing.ensure_key(tmp_path)
    (tmp_path / signing.KEY).chmod(0o644)
    with pytest.raises(BundleError, match="chmod 600"):
        signing.ensure_key(tmp_path)
    (tmp_path / signing.KEY).unlink()
    with pytest.raises(BundleError, match="but not the key"):
        signing.ensure_key(tmp_path)


def test_what_is_no_key_is_told(tmp_path: Path) -> None:
    (tmp_path / signing.KEY).write_text("no key")
    (tmp_path / signing.KEY).chmod(0o600)
    with pytest.raises(BundleError, match="ssh-keygen refuses"):
        signing.ensure_key(tmp_path)


def test_each_bundle_has_a_higher_number_than_the_last(tmp_path: Path) -> None:
    assert [signing.next_number(tmp_path) for _ in range(3)] == [1, 2, 3]
    (tmp_path / signing.NUMBER).write_text("many")
    with pytest.raises(BundleError, match="has no number"):
        signing.next_number(tmp_path)
