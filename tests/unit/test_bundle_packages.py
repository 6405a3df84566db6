"""The packages of a bundle: what is asked for, where they come from, and that apt installs from it alone."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.bundle import making, manifest, packages, signing, trial, verification
from ansible.module_utils.poppyfield.bundle.apt import Apt, lacks, local_source
from ansible.module_utils.poppyfield.bundle.making import BundleContents
from ansible.module_utils.poppyfield.bundle.manifest import BundledImage, BundleError
from ansible.module_utils.poppyfield.host import docker_packages

PLAIN = {
    "docker_engine_compose": "never",
    "hardening_security_updates": False,
    "hardening_audit": False,
    "backup_targets": [],
    "position_enabled": False,
    "hotspot_enabled": False,
}
STOCK = Path(__file__).with_name("stock") / "trixie-arm64.status"
"""What dpkg has installed on the emulated Pi's card as flashed, without what apt does not ask for."""
WANTED = BundleContents("abc", "trixie", ("trixie",), ("arm64",), {"trixie": ("hello-poppyfield",)})


def test_what_roles_install_is_asked_for() -> None:
    plain = packages.wanted("trixie", [PLAIN])
    assert set(plain) == {"docker.io", "docker-cli", "python3-docker", "openssl", "python3-apt"}
    assert "docker-cli" not in packages.wanted("bookworm", [PLAIN])
    one = {**PLAIN, "docker_engine_compose": "always", "hardening_security_updates": True, "backup_targets": [{}]}
    more = {"docker-compose", "unattended-upgrades", "restic", "vim"}
    assert set(packages.wanted("trixie", [PLAIN, one], ["vim"])) - set(plain) == more
    assert set(packages.wanted("trixie", [{**PLAIN, "hardening_audit": True}])) - set(plain) == {"auditd"}
    assert set(packages.wanted("trixie", [{**PLAIN, "position_enabled": True}])) - set(plain) == {"chrony", "gpsd"}


def test_beside_an_engine_from_elsewhere_only_the_sdk_is_installed() -> None:
    names = ["docker.io", "docker-cli", "docker-compose", "python3-docker", "openssl"]
    assert docker_packages.beside_engine(names, "") == names
    assert docker_packages.beside_engine(names, "docker-ce") == ["python3-docker", "openssl"]


def test_another_release_comes_from_where_this_machine_has_its_own() -> None:
    told = (
        "Debian|Debian|http://mirror.example.org/debian/|Packages\n"
        "Debian|Debian|http://mirror.example.org/debian/|Translations\n"
        "Debian|Debian-Security|http://security.example.org/|Packages\n"
        "Docker|Docker CE|http://docker.example.org/|Packages\n"
        "Debian|Debian Backports|http://mirror.example.org/debian/|Packages\n\n"
    )
    lines = packages.own_sources("trixie", told)
    assert [line.split("] ")[1] for line in lines] == [
        "http://mirror.example.org/debian/ trixie main",
        "http://mirror.example.org/debian/ trixie-updates main",
        "http://security.example.org/ trixie-security main",
    ]
    assert packages.own_sources("trixie", "Ubuntu|Ubuntu|http://ubuntu.example.org/|Packages\n") == []


def test_given_sources_are_taken_as_they_are_and_without_any_it_says_what_to_give(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert packages.sources("trixie", ["deb file:/x ./"]) == ["deb copy:/x ./"]
    none = subprocess.CompletedProcess([], 0, "", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: none)
    with pytest.raises(BundleError, match="bundle_sources has no line for trixie"):
        packages.sources("trixie", [])


@pytest.mark.parametrize(
    ("name", "plain"),
    [("docker.io_1%3a2.3-1_arm64.deb", "docker.io_2.3-1_arm64.deb"), ("a_1.0~rc1+b_all.deb", "a_1.0~rc1+b_all.deb")],
)
def test_the_name_of_a_package_has_nothing_that_a_stick_cannot_hold(name: str, plain: str) -> None:
    assert packages.plain_name(name) == plain
    manifest.check_path(f"packages/trixie-arm64/{plain}")


def test_what_apt_says_is_missing_is_read() -> None:
    said = (
        " docker.io : Depends: containerd (>= 1.4~) but it is not going to be installed\n"
        "             Depends: runc but it is not installable\n"
        "E: Unable to locate package nginx\nE: Unable to correct problems, you have held broken packages.\n"
    )
    assert lacks(said) == [
        "docker.io needs containerd (>= 1.4~) but it is not going to be installed",
        "nginx is not in it",
    ]
    assert lacks("E: Could not get lock") == []


# With real packages, made here ----------------------------------------------------------------------------------------


def package(folder: Path, name: str, version: str = "1.0", needs: str = "") -> None:
    """Make a package of nothing."""
    control = folder / name / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    lines = [f"Package: {name}", f"Version: {version}", "Architecture: arm64", "Maintainer: nobody <n@example.org>"]
    lines += [f"Depends: {needs}"] if needs else []
    control.write_text("\n".join([*lines, "Description: nothing", ""]))
    build = ["dpkg-deb", "--build", "--root-owner-group", str(folder / name), f"{folder}/{name}_{version}_arm64.deb"]
    subprocess.run(build, check=True, capture_output=True)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Where apt's own user gets at it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def mirror(tmp_path: Path) -> list[str]:
    """Where packages come from, and apt's line for it."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    package(folder, "hello-poppyfield", needs="helper-poppyfield (>= 1)")
    package(folder, "helper-poppyfield", version="1:2.0")
    package(folder, "other-poppyfield")
    packages.index(folder)
    return [local_source(folder)]


@pytest.fixture
def bundle(tmp_path: Path, mirror: list[str]) -> Path:
    (tmp_path / "keys").mkdir()
    making.make(tmp_path / "out", replace(WANTED, sources={"trixie": mirror}), tmp_path / "keys")
    return tmp_path / "out"


def names(bundle: Path) -> list[str]:
    return sorted(path.name for path in (bundle / "packages" / "trixie-arm64").iterdir())


def test_a_bundle_holds_what_is_asked_for_and_what_that_needs(bundle: Path, tmp_path: Path) -> None:
    assert names(bundle) == [
        "Packages",
        "Release",
        "hello-poppyfield_1.0_arm64.deb",
        "helper-poppyfield_2.0_arm64.deb",
    ]
    signers = (tmp_path / "keys" / signing.SIGNERS).read_text()
    found = verification.verified(bundle, signers)
    assert (found.number, found.commit, found.profile) == (1, "abc", "trixie")
    assert found.packages == {"trixie": ("hello-poppyfield",)}
    assert abs(found.made - (bundle / "MANIFEST").stat().st_mtime) < 600
    # No secret is in it, and nothing is left beside it.
    key = (tmp_path / "keys" / signing.KEY).read_bytes()
    assert not any(key[40:80] in path.read_bytes() for path in bundle.rglob("*") if path.is_file())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys", "mirror", "out"]


def test_what_is_installed_there_already_is_not_in_it(tmp_path: Path, mirror: list[str]) -> None:
    (tmp_path / "keys").mkdir()
    status = tmp_path / "stock"
    status.write_text(
        "Package: helper-poppyfield\nStatus: install ok installed\nArchitecture: arm64\nVersion: 1:1.5\n"
        "Maintainer: nobody <n@example.org>\nDescription: nothing\n\n"
    )
    wanted = replace(WANTED, sources={"trixie": mirror}, status={"trixie-arm64": str(status)})
    making.make(tmp_path / "out", wanted, tmp_path / "keys")
    assert names(tmp_path / "out") == ["Packages", "Release", "hello-poppyfield_1.0_arm64.deb"]
    index = (tmp_path / "out" / "packages" / "trixie-arm64" / "Packages").read_text()
    asked = ["hello-poppyfield"]
    assert trial.problems(index, asked, architecture="arm64", status=status) == []
    # A Pi that is not as it was said to be is told what it lacks.
    empty = tmp_path / "empty"
    empty.touch()
    (told,) = trial.problems(index, asked, architecture="arm64", status=empty)
    assert "hello-poppyfield needs helper-poppyfield (>= 1) but it is not installable" in told


def test_a_trial_names_a_package_that_the_bundle_has_not(bundle: Path, tmp_path: Path) -> None:
    index = (bundle / "packages" / "trixie-arm64" / "Packages").read_text()
    status = tmp_path / "empty"
    status.touch()
    asked: Sequence[str] = ["hello-poppyfield"]
    assert trial.problems(index, asked, architecture="arm64", status=status) == []
    (told,) = trial.problems(index, ["other-poppyfield"], architecture="arm64", status=status)
    assert "other-poppyfield is not in it" in told
    assert trial.problems("", [], architecture="arm64", status=status) == []


def test_apt_downloads_from_the_folder_what_the_index_names(bundle: Path, tmp_path: Path) -> None:
    """Of a version with an epoch, too, whose file has another name than apt would give it."""
    status = tmp_path / "empty"
    status.touch()
    apt = Apt(tmp_path / "apt", "arm64", status)
    apt.prepare([local_source(bundle / "packages" / "trixie-arm64")])
    assert apt.run("update").returncode == 0
    done = apt.run("--simulate", "install", "hello-poppyfield")
    assert "Inst helper-poppyfield (1:2.0" in done.stdout and done.returncode == 0
    # apt reads files of a folder where they are.
    uris = apt.run("--print-uris", "install", "hello-poppyfield").stdout
    for name in ("hello-poppyfield_1.0_arm64.deb", "helper-poppyfield_2.0_arm64.deb"):
        assert f"file:{bundle}/packages/trixie-arm64/./{name}" in uris.replace("//", "/")


def test_what_no_source_has_makes_no_bundle(tmp_path: Path, mirror: list[str]) -> None:
    (tmp_path / "keys").mkdir()
    wanted = replace(WANTED, sources={"trixie": mirror}, packages={"trixie": ["absent-poppyfield"]})
    with pytest.raises(BundleError, match="absent-poppyfield is not in it"):
        making.make(tmp_path / "out", wanted, tmp_path / "keys")
    gone = replace(WANTED, sources={"trixie": ["deb [trusted=yes] file:/nowhere ./"]})
    with pytest.raises(BundleError, match="apt finds no way"):
        making.make(tmp_path / "out", gone, tmp_path / "keys")
    assert not (tmp_path / "out").exists() and not (tmp_path / "keys" / signing.NUMBER).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys", "mirror"]


def test_images_are_in_it_by_their_files_names(tmp_path: Path, mirror: list[str]) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "postgis.tar.zst").write_text("an image")
    image = BundledImage("postgis", "arm64", "poppyfield/postgis:1", "d1", str(tmp_path / "postgis.tar.zst"))
    (tmp_path / ".out.partial").mkdir()  # of a run that was cut off
    (tmp_path / "out").mkdir()
    wanted = replace(WANTED, sources={"trixie": mirror}, images=(image,))
    made = making.make(tmp_path / "out", wanted, tmp_path / "keys")
    assert made.images == (replace(image, path="images/postgis.tar.zst"),)
    assert (tmp_path / "out" / "images" / "postgis.tar.zst").read_text() == "an image"


def test_a_place_that_is_taken_and_a_status_that_is_wrong_are_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(BundleError, match="is there already"):
        making.make(tmp_path / "out", WANTED, tmp_path)
    for status, said in (
        ({"trixie-amd64": "/x"}, "the bundle is for trixie-arm64"),
        ({"trixie-arm64": "/x"}, "no file"),
    ):
        with pytest.raises(BundleError, match=said):
            making.make(tmp_path / "new", replace(WANTED, status=status), tmp_path)
    assert not (tmp_path / signing.KEY).exists()


@pytest.mark.parametrize("missing", ["apt-get", "apt-ftparchive"])
def test_without_apt_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BundleError, match=f"{missing} is missing"):
        Apt(tmp_path).run("update") if missing == "apt-get" else packages.index(tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("stock", [True, False])
def test_docker_for_a_64_bit_pi_is_resolved_fetched_and_installable_from_the_bundle_alone(
    tmp_path: Path, stock: bool
) -> None:
    """From the mirrors of this machine's own apt; onto a card as flashed, and onto one of which nothing is known."""
    (tmp_path / "keys").mkdir()
    nothing = tmp_path / "nothing"
    nothing.touch()
    asked = packages.wanted("trixie", [{**PLAIN, "docker_engine_compose": "with_engine"}])
    status = {"trixie-arm64": str(STOCK)} if stock else {}
    wanted = replace(WANTED, packages={"trixie": asked}, status=status)
    making.make(tmp_path / "out", wanted, tmp_path / "keys")
    index = (tmp_path / "out" / "packages" / "trixie-arm64" / "Packages").read_text()
    there = set(re.findall(r"^Package: (.+)$", index, re.MULTILINE))
    assert set(re.findall(r"^Architecture: (.+)$", index, re.MULTILINE)) == {"arm64", "all"}
    assert {"docker.io", "docker-cli", "docker-compose", "containerd", "runc"} <= there
    # What a card has as flashed is only in a bundle that knows of none.
    assert ("libc6" in there) == (not stock)
    assert trial.problems(index, asked, architecture="arm64", status=STOCK) == []
    assert bool(trial.problems(index, asked, architecture="arm64", status=nothing)) == stock
    # Where one is missing that another needs, it is told.
    less = "\n\n".join(one for one in index.split("\n\n") if not one.startswith("Package: containerd\n"))
    (told,) = trial.problems(less, asked, architecture="arm64", status=STOCK)
    assert "docker.io needs containerd" in told
