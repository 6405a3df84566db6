"""What a bundle holds for a Pi that installs itself: wheels, the checkout, the inventory, files in parts."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.bundle import (
    contents,
    inventory_files,
    making,
    manifest,
    packages,
    places,
    signing,
    source,
    taking,
    verification,
    wheels,
)
from ansible.module_utils.poppyfield.bundle.contents import WantedContent
from ansible.module_utils.poppyfield.bundle.making import BundleContents, ForPiAlone
from ansible.module_utils.poppyfield.bundle.manifest import BundleError

from tests.unit import bundles

ROOT = Path(__file__).resolve().parents[2]
PLAIN_INVENTORY = "pis:\n  hosts:\n    pi-orchard:\n"
ENCRYPTED = "postgis_passwords:\n  gis: !vault |\n    $ANSIBLE_VAULT;1.1;AES256\n    3132\n"


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


# In parts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "parts"), [(0, 1), (9, 1), (10, 1), (11, 2), (30, 3), (31, 4)])
def test_a_file_is_split_where_a_stick_holds_none_so_large_and_joined_again(
    tmp_path: Path, size: int, parts: int
) -> None:
    content = os.urandom(size)
    (tmp_path / "Grundkarte süd.mbtiles").write_bytes(content)
    stored = contents.store(tmp_path, WantedContent("map-1", tmp_path / "Grundkarte süd.mbtiles"), largest=10)
    assert len(stored.paths) == parts
    assert all((tmp_path / path).stat().st_size <= 10 for path in stored.paths)
    assert stored.paths == (("contents/map-1",) if parts == 1 else tuple(sorted(stored.paths)))
    for path in stored.paths:
        manifest.check_path(path)
    place = contents.unpack(tmp_path, stored, tmp_path / "pi")
    assert place.name == "Grundkarte süd.mbtiles" and place.read_bytes() == content


def test_what_fat32_holds_is_the_limit() -> None:
    assert contents.LARGEST == 4 * 1024**3 - 1


def test_a_file_that_is_whole_takes_no_room_twice(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"archive")
    stored = contents.store(tmp_path, WantedContent("a-1", tmp_path / "a.zip"))
    place = contents.unpack(tmp_path, stored, tmp_path / "pi")
    assert place.samefile(tmp_path / stored.paths[0])


def test_a_folder_of_projects_is_what_is_published_of_it_also_in_parts(tmp_path: Path) -> None:
    folder = tmp_path / "fields"
    (folder / "data").mkdir(parents=True)
    (folder / "Übersicht.qgs").write_text("a project")
    (tmp_path / "elsewhere.gpkg").write_bytes(b"x" * 3000)
    (folder / "data" / "trees.gpkg").symlink_to(tmp_path / "elsewhere.gpkg")
    (folder / ".hidden").write_text("no")
    stored = contents.store(tmp_path, WantedContent("fields-1", folder), largest=1000)
    assert len(stored.paths) > 3 and stored.name == ""
    place = contents.unpack(tmp_path, stored, tmp_path / "pi")
    assert names(place) == ["data/trees.gpkg", "Übersicht.qgs"]
    assert (place / "data" / "trees.gpkg").read_bytes() == b"x" * 3000
    (folder / "lost").symlink_to(tmp_path / "absent")
    with pytest.raises(BundleError, match="a link to something that does not exist"):
        contents.store(tmp_path, WantedContent("fields-2", folder))


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_an_archive_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    def fill(tar: tarfile.TarFile) -> None:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())

    stored = contents.store_tar(tmp_path, "x", fill)
    with pytest.raises(BundleError, match="make the bundle again"):
        contents.unpack(tmp_path, stored, tmp_path / "pi")
    assert names(tmp_path / "pi") == []


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("link")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc"
    stored = contents.store_tar(tmp_path, "x", lambda tar: tar.addfile(member))
    with pytest.raises(BundleError, match="'link' is in an archive of the bundle, and no file"):
        contents.unpack(tmp_path, stored, tmp_path / "pi")


def test_a_key_is_a_name_that_a_stick_can_hold_and_the_same_each_time() -> None:
    assert contents.key_of(Path("/x/Grundkarte süd.mbtiles"), "0123456789") == "grundkarte-s-d-01234567"
    assert contents.key_of(Path("/x/日本"), "0123456789") == "x-01234567"


def test_variables_have_the_paths_on_the_pi_in_place_of_references() -> None:
    value = [{"file": "bundle:map-1", "title": "bundle"}, "bundle:map-1", 3, None]
    assert contents.resolved(value, {"map-1": Path("/x/a.mbtiles")}) == [
        {"file": "/x/a.mbtiles", "title": "bundle"}, "/x/a.mbtiles", 3, None,
    ]  # fmt: skip
    with pytest.raises(BundleError, match="the bundle has no 'map-2'"):
        contents.resolved(["bundle:map-2"], {})


# Wheels ---------------------------------------------------------------------------------------------------------------


LOCK = """\
# made
ansible-core==2.19.14 ; python_full_version < '3.12' \\
    --hash=sha256:aa
ansible-core==2.21.5 ; python_full_version >= '3.12' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
pywin32==312 ; sys_platform == 'win32' \\
    --hash=sha256:dd
idna==3.20 \\
    --hash=sha256:ee
"""


def test_a_lock_is_judged_by_the_python_of_the_pi_and_not_of_the_laptop() -> None:
    trixie = "ansible-core==2.21.5 --hash=sha256:bb --hash=sha256:cc\nidna==3.20 --hash=sha256:ee\n"
    assert wheels.required(LOCK, "trixie", "arm64") == trixie
    assert wheels.required(LOCK, "bookworm", "arm64").startswith("ansible-core==2.19.14 --hash=sha256:aa\nidna")


@pytest.mark.parametrize(
    ("lock", "said"), [("idna==3\n", "no digest of 'idna==3'"), ("idna==3 ; x\n  \n", "nobody can read, 'x'")]
)
def test_a_lock_that_says_too_little_is_refused(lock: str, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        wheels.required(lock, "trixie", "arm64")


def test_the_lock_of_this_checkout_has_ansible_for_each_release() -> None:
    for release in wheels.PYTHONS:
        assert "ansible-core==" in wheels.required((ROOT / source.LOCK).read_text(), release, "arm64")


def wheel(folder: Path, name: str, tag: str) -> str:
    """Make a wheel of nothing; give its SHA-256."""
    path = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{name}-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the index of Python packages, and a lock of what is in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    digests = {name: wheel(folder, name, tag) for name, tag in (
        ("plain", "py3-none-any"), ("native", "cp313-cp313-manylinux_2_17_aarch64"),
    )}  # fmt: skip
    wheel(folder, "native", "cp311-cp311-manylinux_2_17_x86_64")
    lock = tmp_path / "lock.txt"
    lock.write_text("".join(f"{name}==1.0 \\\n    --hash=sha256:{digest}\n" for name, digest in digests.items()))
    return lock


def test_pip_gets_the_wheels_of_the_pi_by_their_digests(index: Path, tmp_path: Path) -> None:
    wheels.fetch(index, "trixie", "arm64", tmp_path / "wheels")
    assert names(tmp_path / "wheels") == [
        "native-1.0-cp313-cp313-manylinux_2_17_aarch64.whl", "plain-1.0-py3-none-any.whl", "requirements.txt",
    ]  # fmt: skip
    for name in names(tmp_path / "wheels"):
        manifest.check_path(f"wheels/trixie-arm64/{name}")


def test_another_content_than_the_locks_or_none_for_the_pi_is_refused(index: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"bookworm-arm64: .*native==1[.]0.*bundle_alone"):
        wheels.fetch(index, "bookworm", "arm64", tmp_path / "none")
    digest = wheel(index.parent / "index", "plain", "py3-none-any")
    index.write_text(f"plain==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    with pytest.raises(BundleError, match=r"does not get all Python packages of lock[.]txt") as caught:
        wheels.fetch(index, "trixie", "arm64", tmp_path / "other")
    assert digest != "0" * 64 and "HASHES" in str(caught.value).upper()


# The checkout ---------------------------------------------------------------------------------------------------------


def checkout(folder: Path) -> Path:
    """Make one, with all that a Pi needs, and a link as the images have them."""
    for place in source.NEEDED:
        path = folder / place
        if "." in place or place == "LICENSE":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(place)
        else:
            path.mkdir(parents=True, exist_ok=True)
            (path / "one").write_text(place)
    (folder / "images" / "two").symlink_to("one")
    (folder / "images" / "run").write_text("#!/bin/sh\n")
    (folder / "images" / "run").chmod(0o755)
    (folder / making.INSTALL_SOURCE).parent.mkdir(parents=True)
    (folder / making.INSTALL_SOURCE).write_text("#!/bin/sh\n")
    (folder / "locks" / "demo.txt").write_text("plain==1.0 \\\n    --hash=sha256:00\n")
    return folder


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


def unpacked(folder: Path, place: Path) -> Path:
    place.mkdir()
    return contents.unpack(place, source.store(place, folder), place / "pi")


def test_what_is_committed_is_in_it_and_nothing_else_of_the_folder(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "checkout")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    (folder / "mine.key").write_text("a secret")
    place = unpacked(folder, tmp_path / "clean")
    assert "mine.key" not in names(place) and {"site.yml", "library/one", "images/two"} <= set(names(place))
    assert not (place / "images" / "two").is_symlink() and (place / "images" / "run").stat().st_mode & 0o111
    # What the images are built with, though it is not committed yet.
    (folder / "site.yml").write_text("changed")
    place = unpacked(folder, tmp_path / "dirty")
    assert (place / "site.yml").read_text() == "changed" and "mine.key" not in names(place)


def test_without_git_it_is_the_files_that_run(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "checkout")
    (folder / "inventory" / "fleet").mkdir()
    (folder / "inventory" / "fleet" / "hosts.yml").write_text("x")
    (folder / "library" / "__pycache__").mkdir()
    (folder / "library" / "__pycache__" / "x.pyc").write_text("x")
    found = names(unpacked(folder, tmp_path / "out"))
    assert {"site.yml", "library/one", "inventory/example/one"} <= set(found)
    assert not [name for name in found if "fleet" in name or "__pycache__" in name]


def test_this_checkout_has_what_a_pi_needs() -> None:
    assert [place for place in source.NEEDED if not (ROOT / place).exists()] == []


# The inventory --------------------------------------------------------------------------------------------------------


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    folder = tmp_path / "fleet"
    (folder / "group_vars").mkdir(parents=True)
    (folder / "hosts.yml").write_text(PLAIN_INVENTORY)
    (folder / "group_vars" / "pis.yml").write_text("lizmap_web_client: none\n")
    return folder


def test_the_inventory_is_in_it_as_it_is_but_for_what_is_the_laptops(inventory: Path, tmp_path: Path) -> None:
    signing.ensure_key(inventory)
    for name in ("bundle.number", "fleet-ca.key", "fleet-ca.crt", "hosts.yml~", ".hosts.yml.swp"):
        (inventory / name).write_text("x")
    (inventory / "backup-passwords").mkdir()
    (inventory / "backup-passwords" / "pi-orchard").write_text("secret")
    (inventory / "group_vars" / "vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n3132\n")
    found = inventory_files.found([str(inventory)])
    assert found.given == ("0",) and inventory_files.check(found)
    (tmp_path / "bundle").mkdir()
    place = contents.unpack(tmp_path / "bundle", inventory_files.store(tmp_path / "bundle", found), tmp_path / "pi")
    assert names(place) == ["0/group_vars/pis.yml", "0/group_vars/vault.yml", "0/hosts.yml"]
    assert (place / "0" / "hosts.yml").read_text() == PLAIN_INVENTORY


def test_an_inventory_of_one_file_has_its_variables_beside_it(inventory: Path) -> None:
    (inventory / "notes.txt").write_text("x")
    found = inventory_files.found([str(inventory / "hosts.yml")])
    assert [name for name, _ in found.files] == ["0/hosts.yml", "0/group_vars/pis.yml"]
    assert found.given == ("0/hosts.yml",) and not inventory_files.check(found)
    with pytest.raises(BundleError, match="the inventory 'pi1,' is no file and no folder"):
        inventory_files.found(["pi1,"])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("pis.yml", "postgis_passwords:\n  gis: correct-horse-battery\n", "postgis_passwords"),
        ("pis.yml", "a: 1\npi_page_operator_password: correct-horse-battery\n", "pi_page_operator_password"),
        ("pis.yml", "lizmap_users:\n  - {login: anna, password: correct-horse-battery}\n", "password"),
        ("pis.yml", "lizmap_settings:\n  x: {mailer: {smtpPassword: correct-horse-battery}}\n", "smtpPassword"),
        ("pis.yml", "ansible_become_pass: 123456\n", "ansible_become_pass"),
        ("pis.json", '{"ansible_password": "correct-horse-battery"}', "ansible_password"),
        ("hosts.ini", "[pis]\npi1 ansible_become_password='correct-horse-battery'\n", "ansible_become_password"),
        ("hosts", "[pis]\npi1 ansible_password=correct-horse-battery\n", "ansible_password"),
        ("id", "-----BEGIN OPENSSH PRIVATE KEY-----\ncorrect-horse-battery\n", "a private key"),
    ],
)
def test_a_secret_that_anybody_could_read_is_refused_by_its_file_and_never_shown(
    inventory: Path, name: str, text: str, said: str
) -> None:
    (inventory / "group_vars" / name).write_text(text)
    with pytest.raises(BundleError) as caught:
        inventory_files.check(inventory_files.found([str(inventory)]))
    told = str(caught.value)
    assert told.startswith(f"{inventory}/group_vars/{name} has {said} that anybody could read")
    assert "ansible-vault encrypt" in told and "horse" not in told and "123456" not in told


@pytest.mark.parametrize(
    "text",
    [
        ENCRYPTED,
        "lizmap_authority_passphrase: '{{ vault_passphrase }}'\n",
        "pi_page_operator_password: ''\npostgis_passwords: {}\n",
        "lizmap_verify_password_file: /etc/x\nbackup_password_folder: /x\nansible_ssh_private_key_file: ~/.ssh/id\n",
        "lizmap_tls_key: /home/anna/key.pem\n",
        "x: !unsafe 'a'\ny: !other [1]\n",
        "just a word",
    ],
)
def test_what_is_encrypted_or_no_secret_is_let_in(text: str) -> None:
    assert list(inventory_files.plain_secrets(".yml", text)) == []


def test_the_example_has_no_secret() -> None:
    assert not inventory_files.check(inventory_files.found([str(ROOT / "inventory" / "example")]))


# All of it ------------------------------------------------------------------------------------------------------------


Made = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, inventory: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """Make a bundle, with no mirror to ask for Debian packages."""

    def fetch(_apt: Any, _lines: Any, _packages: Any, target: Path) -> None:
        target.mkdir(parents=True)
        (target / "Packages").write_text("")

    monkeypatch.setattr(packages, "fetch", fetch)
    monkeypatch.setattr(packages, "sources", lambda *_: [])
    there = checkout(tmp_path / "checkout")
    (there / "locks" / "demo.txt").write_text(index.read_text())
    (tmp_path / "a.mbtiles").write_bytes(b"tiles")
    (tmp_path / "keys").mkdir()
    alone = ForPiAlone(
        there, (str(inventory),), {"pi-orchard": {"lizmap_basemaps": [{"file": "bundle:a-1"}]}},
        (WantedContent("a-1", tmp_path / "a.mbtiles"),),
    )  # fmt: skip
    wanted = BundleContents("abc", "trixie", ("trixie",), ("arm64",), {"trixie": ()}, alone=alone)

    def made(name: str = "out", **changes: Any) -> Path:
        making.make(tmp_path / name, replace(wanted, **changes), tmp_path / "keys")
        return tmp_path / name

    return made


def test_a_bundle_has_all_of_it_in_its_manifest_with_size_and_digest(make: Made, tmp_path: Path) -> None:
    folder = make()
    signers = (tmp_path / "keys" / signing.SIGNERS).read_text()
    found = verification.verified(folder, signers)
    assert [one.key for one in found.contents] == ["source", "inventory", "a-1"]
    assert {file.path for file in found.files} >= {
        "install", "signers", "contents/source", "contents/inventory", "contents/a-1",
        "wheels/trixie-arm64/plain-1.0-py3-none-any.whl",
    }  # fmt: skip
    assert found.hosts["pi-orchard"]["lizmap_basemaps"] == [{"file": "bundle:a-1"}]
    assert (found.inventories, found.vaulted) == (("0",), False)
    assert manifest.read(manifest.written(found)) == found
    (folder / "contents" / "a-1").write_bytes(b"tilez")
    with pytest.raises(BundleError, match="contents/a-1 is not what MANIFEST says of it"):
        verification.verified(folder, signers)


def test_a_plain_secret_makes_no_bundle_and_no_key(make: Made, inventory: Path, tmp_path: Path) -> None:
    (inventory / "group_vars" / "pis.yml").write_text("postgis_passwords: {gis: correct-horse-battery}\n")
    with pytest.raises(BundleError, match=r"pis[.]yml has postgis_passwords that anybody could read"):
        make()
    assert not (tmp_path / "out").exists() and list((tmp_path / "keys").iterdir()) == []
    # Where only a laptop uses it the inventory is not in it.
    folder = make(alone=None)
    assert names(folder) == ["MANIFEST", "MANIFEST.sig", "packages/trixie-arm64/Packages"]


def test_an_encrypted_inventory_is_said_to_be_one(make: Made, inventory: Path, tmp_path: Path) -> None:
    (inventory / "group_vars" / "pis.yml").write_text(ENCRYPTED)
    folder = make()
    assert verification.signed(folder, (tmp_path / "keys" / signing.SIGNERS).read_text()).vaulted


def test_a_content_without_its_file_or_with_a_name_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    (tmp_path / "bundle").mkdir()
    signers = bundles.write(tmp_path / "bundle", keys)
    found = verification.signed(tmp_path / "bundle", signers)
    for content, said in (
        (manifest.BundledContent("a", "x", ("contents/a",)), "a content without its file, contents/a"),
        (manifest.BundledContent("a", "../x", (bundles.IMAGE,)), "a content 'a' that is none"),
        (manifest.BundledContent("a", "x", ()), "a content 'a' that is none"),
    ):
        bundles.sign(tmp_path / "bundle", keys, replace(found, contents=(content,)))
        with pytest.raises(BundleError, match=said):
            verification.signed(tmp_path / "bundle", signers)


# Only what is newer ----------------------------------------------------------------------------------------------


@pytest.fixture
def two(make: Made, tmp_path: Path) -> tuple[Path, Path, str]:
    """A first bundle, a second one that is newer by a base map, and the trusted signers."""
    (tmp_path / "postgis.tar.zst").write_text("an image")
    image = manifest.BundledImage("postgis", "arm64", "poppyfield/postgis:1", "d1", str(tmp_path / "postgis.tar.zst"))
    first = make(images=(image,))
    (tmp_path / "a.mbtiles").write_bytes(b"other tiles")
    second = make("second", images=(image,), newer_than=first)
    return first, second, (tmp_path / "keys" / signing.SIGNERS).read_text()


def test_a_second_bundle_holds_only_what_is_newer(two: tuple[Path, Path, str]) -> None:
    first, second, signers = two
    assert names(second) == ["MANIFEST", "MANIFEST.sig", "contents/a-1", "install", "signers"]
    found = verification.verified(second, signers)
    assert found.number == 2 and found.base == hashlib.sha256((first / "MANIFEST").read_bytes()).hexdigest()
    # It says of all files what they are.
    assert {file.path for file in found.files} == set(names(first)) - {"MANIFEST", "MANIFEST.sig"}
    assert manifest.read(manifest.written(found)) == found
    there = places.of_bundle(second, found)
    assert there.of("images/postgis.tar.zst") == first / "images/postgis.tar.zst"
    assert there.of("contents/a-1") == second / "contents/a-1"


def test_it_needs_the_first_one_beside_it_by_whatever_name_and_unchanged(
    two: tuple[Path, Path, str], tmp_path: Path
) -> None:
    first, second, signers = two
    first.rename(tmp_path / "another name")
    verification.verified(second, signers)
    image = tmp_path / "another name" / "images" / "postgis.tar.zst"
    image.write_text("an imagf")
    with pytest.raises(BundleError, match=r"images/postgis\.tar\.zst is not what MANIFEST says of it"):
        verification.verified(second, signers)
    image.unlink()
    image.symlink_to(tmp_path / "postgis.tar.zst")
    with pytest.raises(BundleError, match=r"images/postgis\.tar\.zst can't be read"):
        verification.verified(second, signers)
    (tmp_path / "another name").rename(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    with pytest.raises(BundleError, match="holds only what is newer than another bundle, which is not beside it"):
        verification.verified(second, signers)


def test_joined_it_is_whole_and_a_pi_gets_and_verifies_all_of_its_part(
    two: tuple[Path, Path, str], tmp_path: Path
) -> None:
    first, second, signers = two
    found = verification.signed(second, signers)
    taking.pack(second, found, "trixie-arm64", tmp_path / "part.tar")
    place = taking.BundlePlace(tmp_path / "pi" / "bundles", tmp_path / "pi" / "bundle.json")
    taking.take(place, tmp_path / "part.tar", signers, "trixie-arm64")
    assert names(place.of(2)) == ["MANIFEST", "MANIFEST.sig", "packages/trixie-arm64/Packages"]
    for path in found.elsewhere:
        (second / path).parent.mkdir(parents=True, exist_ok=True)
        (first / path).rename(second / path)
    verification.verified(second, signers)
    with pytest.raises(BundleError, match="is missing"):
        verification.verified(first, signers)


def test_what_is_missing_on_the_pi_is_not_looked_for_elsewhere(two: tuple[Path, Path, str]) -> None:
    _first, second, signers = two
    with pytest.raises(BundleError, match="is missing"):
        verification.verified(second, signers, whole=True)


def test_a_second_one_is_newer_than_a_whole_one_of_the_same_key(make: Made, two: tuple[Path, Path, str]) -> None:
    first, second, _signers = two
    with pytest.raises(BundleError, match="itself holds only what is newer than another bundle: name the first"):
        make("third", newer_than=second)
    (first / "signers").write_text("x")
    with pytest.raises(BundleError, match="signers is not what MANIFEST says of it"):
        make("third", newer_than=first)


@pytest.mark.parametrize(
    "changes", [{"base": "x"}, {"base": "", "elsewhere": ("a",)}, {"base": "0" * 64, "elsewhere": ("a",)}]
)
def test_a_manifest_that_does_not_say_what_it_is_newer_than_is_refused(changes: dict[str, Any]) -> None:
    one = replace(bundles.PLAIN, images=(), **changes)
    with pytest.raises(BundleError, match="does not say which bundle it is newer than"):
        manifest.read(manifest.written(one))
