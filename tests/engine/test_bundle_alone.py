"""A Pi installs itself from a stick, for real but for the Pi: a Debian root of its own, without a network."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.bundle import making, manifest, packages, signing, verification
from ansible.module_utils.poppyfield.bundle.contents import WantedContent
from ansible.module_utils.poppyfield.bundle.making import BundleContents, ForPiAlone
from ansible.module_utils.poppyfield.bundle.manifest import BundledImage

from workshop.laptop.prepare import cache_folder

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = "python3,openssh-client,sudo,ca-certificates"
"""Of what Raspberry Pi OS Lite has, what an installation begins with; neither pip nor python3-venv."""
ARCHITECTURE = subprocess.run(
    ["dpkg", "--print-architecture"], capture_output=True, text=True, check=False
).stdout.strip()
PART = f"trixie-{ARCHITECTURE}"
STATE = ("var/lib/poppyfield", "etc/poppyfield", "srv/poppyfield", "run")
INVENTORY = """
pis:
  hosts:
    pi-orchard:
      ansible_host: 192.0.2.7
    pi-marsh:
  vars:
    lizmap_web_client: none
    bundle_alone: true
"""
IN_A_ROOT = """set -eu
mount -t proc proc "$1/proc"
mount -t tmpfs tmpfs "$1/dev/shm"
root=$1
shift
exec chroot "$root" "$@"
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: chroot")


@pytest.fixture(scope="module")
def pi() -> Iterator[Path]:
    """A root as of a new card, on which each test finds what the one before it left: nothing."""
    kept = cache_folder() / "bundle-roots" / f"{PART}.tar"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        options = ("--variant=minbase", "--dpkgopt=path-exclude=/usr/share/doc/*", '--aptopt=Acquire::Languages "none"')
        partial = kept.with_suffix(".partial.tar")
        command = ["mmdebstrap", "--quiet", f"--include={PACKAGES}", *options, "trixie", str(partial)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        partial.rename(kept)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        subprocess.run(["tar", "-xf", str(kept), "-C", folder], check=True)
        (Path(folder) / "etc" / "hostname").write_text("raspberrypi\n")
        yield Path(folder)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle as the laptop makes it, but that its images are none, and that it has no Docker."""
    folder = tmp_path_factory.mktemp("laptop")
    for name in ("keys", "fleet"):
        (folder / name).mkdir()
    (folder / "fleet" / "hosts.yml").write_text(INVENTORY)
    (folder / "a.mbtiles").write_bytes(b"tiles")
    alone = ForPiAlone(
        ROOT, (str(folder / "fleet"),),
        {"pi-orchard": {"lizmap_basemaps": [{"file": "bundle:a-1", "name": "a"}]}, "pi-marsh": {}},
        (WantedContent("a-1", folder / "a.mbtiles"),),
    )  # fmt: skip
    (folder / "image.tar.zst").write_text("an image")
    images = tuple(
        BundledImage(name, ARCHITECTURE, f"poppyfield/{name}:1", "d1", str(folder / "image.tar.zst"))
        for name in ("postgis", "lizmap")
    )
    wanted = BundleContents(
        "abc", "trixie", ("trixie",), (ARCHITECTURE,), {"trixie": packages.FOR_PI_ALONE}, images=images, alone=alone
    )
    making.make(folder / "bundle", wanted, folder / "keys")
    (folder / "a.mbtiles").write_bytes(b"other tiles")
    making.make(folder / "newer", replace(wanted, newer_than=folder / "bundle"), folder / "keys")
    return folder


@pytest.fixture
def newer(made: Path) -> Path:
    """A second one, with another base map."""
    return made / "newer"


Install = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def stick(made: Path, pi: Path) -> Iterator[Path]:
    """The stick in the Pi, which a test may change, and a Pi that knows no key."""
    place = pi / "media" / "stick"
    subprocess.run(["cp", "-al", str(made / "bundle"), str(place)], check=True)
    yield place
    shutil.rmtree(place)
    for name in STATE[:3]:
        shutil.rmtree(pi / name, ignore_errors=True)
    (pi / "boot" / "firmware" / "bundle.signers").unlink(missing_ok=True)


@pytest.fixture
def install(pi: Path, stick: Path) -> Install:
    assert stick.is_dir()

    def run(
        *words: str, answer: str | None = None, bundle: str = "stick", environment: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "sh", "-c", IN_A_ROOT, "sh", str(pi)]
        command += ["env", *environment, "sh", f"/media/{bundle}/install", *words]
        if answer is None:
            return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        ours, its = pty.openpty()
        os.write(ours, f"{answer}\n".encode())
        done = subprocess.run(command, stdin=its, capture_output=True, text=True, check=False)
        os.close(its)
        os.close(ours)
        return done

    return run


@pytest.fixture
def trusted(made: Path, pi: Path) -> None:
    """A card that playbooks/card.yml wrote."""
    (pi / "boot" / "firmware").mkdir(parents=True, exist_ok=True)
    shutil.copy(made / "keys" / signing.SIGNERS, pi / "boot" / "firmware" / "bundle.signers")


def state(pi: Path) -> list[str]:
    return sorted(
        str(path) for name in STATE for path in (pi / name).rglob("*") if path.name != "poppyfield-install.lock"
    )


def changed(path: Path, content: bytes) -> None:
    """Give a file of the stick another content, and not its twin in the laptop's bundle."""
    path.unlink()
    path.write_bytes(content)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    changed(path, bytes(content))


def refused(install: Install, pi: Path, *words: str, answer: str | None = None, bundle: str = "stick") -> str:
    before = state(pi)
    done = install(*words, answer=answer, bundle=bundle)
    assert done.returncode == 1, done.stdout + done.stderr
    assert state(pi) == before
    said = done.stderr.strip().splitlines()[-1]
    assert "Nothing was changed. " in said
    return said


@pytest.mark.autonomy("flipped")
@pytest.mark.parametrize(
    "path",
    ["contents/source", "contents/inventory", "contents/a-1", "install", "signers", f"packages/{PART}/Packages",
     f"wheels/{PART}/requirements.txt"],
)  # fmt: skip
@pytest.mark.usefixtures("trusted")
def test_a_flipped_byte_is_refused_by_its_files_name(install: Install, pi: Path, stick: Path, path: str) -> None:
    if path == "install":  # so that it still runs, as it was changed
        changed(stick / path, (stick / path).read_bytes() + b"# more\n")
    else:
        flip(stick / path)
    assert f"{path} is not what MANIFEST says of it" in refused(install, pi)


@pytest.mark.autonomy("flipped")
@pytest.mark.parametrize("name", [manifest.NAME, manifest.SIGNATURE])
@pytest.mark.usefixtures("trusted")
def test_a_flipped_byte_in_what_is_signed_is_refused(install: Install, pi: Path, stick: Path, name: str) -> None:
    flip(stick / name)
    assert "None of the trusted keys has signed MANIFEST as it is" in refused(install, pi)


@pytest.mark.autonomy("added")
@pytest.mark.autonomy("link")
@pytest.mark.usefixtures("trusted")
def test_a_file_that_is_missing_or_too_many_and_a_link_are_refused(install: Install, pi: Path, stick: Path) -> None:
    (stick / "contents" / "a-1").rename(pi / "media" / "aside")
    assert "contents/a-1 is missing" in refused(install, pi)
    (stick / "contents" / "a-1").symlink_to("/media/aside")
    assert "./contents/a-1 is a link or no file" in refused(install, pi)
    (stick / "contents" / "a-1").unlink()
    (pi / "media" / "aside").rename(stick / "contents" / "a-1")
    (stick / "autorun.inf").write_text("x")
    assert "autorun.inf is in the folder, and MANIFEST does not name it" in refused(install, pi)


@pytest.mark.autonomy("key")
@pytest.mark.usefixtures("trusted")
def test_a_foreign_key_is_refused_though_the_stick_says_it_is_the_right_one(
    install: Install, pi: Path, stick: Path, made: Path, tmp_path: Path
) -> None:
    signers = (made / "keys" / signing.SIGNERS).read_text()
    content = manifest.written(verification.signed(stick, signers))
    signing.ensure_key(tmp_path)
    (stick / manifest.SIGNATURE).unlink()
    signing.sign(content, tmp_path, stick)
    changed(stick / "signers", (tmp_path / signing.SIGNERS).read_bytes())
    assert "None of the trusted keys" in refused(install, pi)
    # What the Pi has taken before counts more than its card.
    (pi / "etc" / "poppyfield").mkdir(parents=True)
    record = pi / "etc" / "poppyfield" / "bundle.json"
    record.write_text(json.dumps({"number": 1, "signers": signers}))
    assert "None of the trusted keys" in refused(install, pi)
    record.write_text("{")
    assert "/etc/poppyfield/bundle.json can't be read" in refused(install, pi)


@pytest.mark.autonomy("older")
@pytest.mark.usefixtures("trusted")
def test_an_older_bundle_than_the_last_is_refused(install: Install, pi: Path, made: Path) -> None:
    (pi / "etc" / "poppyfield").mkdir(parents=True)
    record = {"number": 2, "signers": (made / "keys" / signing.SIGNERS).read_text()}
    (pi / "etc" / "poppyfield" / "bundle.json").write_text(json.dumps(record))
    assert "This is bundle 1, and bundle 2 was taken before" in refused(install, pi)


def test_a_key_that_nobody_knows_is_shown_and_asked_for(install: Install, pi: Path, made: Path) -> None:
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(made / "keys" / signing.KEY)], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert "Nobody is here to compare that: run sudo sh /media/stick/install in a terminal" in refused(install, pi)
    assert "The key is not trusted." in refused(install, pi, answer="no")
    done = install("pi-orchard", "--list-hosts", answer="yes")
    assert shown in done.stderr and "pi-orchard" in done.stdout, done.stdout + done.stderr


@pytest.mark.usefixtures("trusted")
def test_another_system_is_told(install: Install, pi: Path) -> None:
    # A Pi with another release.
    release = pi / "etc" / "os-release"
    text = release.read_text()
    release.unlink()
    release.write_text(text.replace("VERSION_CODENAME=trixie", "VERSION_CODENAME=sid"))
    said = refused(install, pi)
    release.write_text(text)
    assert f"The bundle is for another system than this one, sid-{ARCHITECTURE}" in said


@pytest.mark.usefixtures("trusted")
def test_a_second_bundle_needs_the_first_one_beside_it(install: Install, pi: Path, stick: Path, newer: Path) -> None:
    place = pi / "media" / "newer"
    assert len(list(newer.rglob("*"))) < len(list(stick.rglob("*"))) / 2
    subprocess.run(["cp", "-al", str(newer), str(place)], check=True)
    try:
        done = install("pi-orchard", "--list-hosts", bundle="newer")
        assert done.returncode == 0 and "pi-orchard" in done.stdout, done.stdout + done.stderr
        unpacked = pi / "var" / "lib" / "poppyfield" / "install" / "2" / "files" / "a-1" / "a.mbtiles"
        assert unpacked.read_bytes() == b"other tiles"
        flip(stick / "contents" / "source")
        assert "contents/source is not what MANIFEST says of it" in refused(install, pi, bundle="newer")
        stick.rename(pi / "aside")
        assert "which is not beside it" in refused(install, pi, bundle="newer")
    finally:
        shutil.rmtree(place)
        (pi / "aside").rename(stick)


@pytest.mark.autonomy("alone begins")
@pytest.mark.usefixtures("trusted")
def test_the_pi_makes_its_own_ansible_and_begins_the_playbook_without_a_network(install: Install, pi: Path) -> None:
    unknown = install()
    assert unknown.returncode == 1
    assert "this Pi's name is " in unknown.stderr and "it has" not in unknown.stderr
    assert "the inventory has pi-marsh, pi-orchard: say which of them it is" in unknown.stderr
    done = install("pi-orchard", "--list-hosts")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "play #1 (localhost:pis): Settings" in done.stdout and "pi-orchard" in done.stdout
    assert "pi-marsh" not in done.stdout
    place = pi / "var" / "lib" / "poppyfield" / "install"
    assert sorted(path.name for path in place.iterdir()) == ["1"] and place.stat().st_mode & 0o777 == 0o700
    assert (place / "1" / "files" / "a-1" / "a.mbtiles").read_bytes() == b"tiles"
    # What the images are packed with, which this system lacks.
    zstd = place / "1" / "tools" / "usr" / "bin" / "zstd"
    subprocess.run(["chroot", str(pi), f"/{zstd.relative_to(pi)}", "--version"], check=True, capture_output=True)
    # The stick has the bundle.
    assert not (place / "1" / "bundle").exists()


@pytest.mark.autonomy("clock 2099")
@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("year", ["2020", "2099"])
def test_what_year_the_clock_has_decides_nothing(install: Install, pi: Path, stick: Path, year: str) -> None:
    """No signature and no digest has a time; the Pi's programs ask a clock that is decades ahead, or years behind."""
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    shutil.copy(library, pi / library.name)
    clock = (f"LD_PRELOAD=/{library.name}", f"FAKETIME=@{year}-06-01 12:00:00")
    told = subprocess.run(["chroot", pi, "env", *clock, "date", "+%Y"], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == year
    done = install("pi-orchard", "--list-hosts", environment=clock)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "play #1 (localhost:pis): Settings" in done.stdout
    flip(stick / "contents" / "source")
    assert "contents/source is not what MANIFEST says of it" in install("pi-orchard", environment=clock).stderr


@pytest.mark.autonomy("alone begins")
@pytest.mark.autonomy("package")
@pytest.mark.usefixtures("trusted")
def test_site_yml_looks_at_this_machine_and_says_what_the_bundle_lacks(install: Install, pi: Path) -> None:
    """Over a local connection, as root, with the system's own Python: it is no Pi, and the bundle has no Docker."""
    done = install("pi-marsh")
    assert done.returncode != 0
    said = " ".join(f"{done.stdout} {done.stderr}".split())
    assert "pi-marsh: " in said and "Nothing was changed." in said, said[-3000:]
    assert "The bundle does not hold all that this Pi has to install" in said, said[-3000:]
    assert "docker.io is not in it" in said
    assert not (pi / "srv" / "poppyfield").exists()
