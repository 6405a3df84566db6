"""A Pi that installs itself: which host it is, what it unpacks, and what the playbook is given."""

from __future__ import annotations

import json
import runpy
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.bundle import alone, contents, inventory_files, signing
from ansible.module_utils.poppyfield.bundle.alone import InstalledFrom
from ansible.module_utils.poppyfield.bundle.contents import WantedContent
from ansible.module_utils.poppyfield.bundle.manifest import BundledContent, BundledFile, BundleError, Manifest

from tests.unit import bundles

ROOT = Path(__file__).resolve().parents[2]
HOSTS: dict[str, dict[str, Any]] = {
    "pi-marsh": {"lizmap_archive": "bundle:big-1"},
    "pi-orchard": {"lizmap_basemaps": [{"file": "bundle:a-1", "name": "a"}]},
}


@pytest.fixture
def place(tmp_path: Path) -> InstalledFrom:
    """A verified copy as `install` leaves it."""
    one = InstalledFrom(tmp_path / "1")
    one.bundle.mkdir(parents=True)
    one.signers.write_text("poppyfield-bundle ssh-ed25519 AAAA\n")
    return one


@pytest.fixture
def found(place: InstalledFrom, tmp_path: Path) -> Manifest:
    (tmp_path / "hosts.yml").write_text("pis:\n")
    (tmp_path / "a.mbtiles").write_text("tiles")
    files = inventory_files.found([str(tmp_path / "hosts.yml")])
    stored = (
        inventory_files.store(place.bundle, files),
        contents.store(place.bundle, WantedContent("a-1", tmp_path / "a.mbtiles")),
        BundledContent("big-1", "big.zip", ("contents/absent",)),
    )
    return replace(bundles.PLAIN, contents=stored, inventories=("0/hosts.yml",), hosts=HOSTS)


@pytest.mark.parametrize(
    ("hosts", "given", "name", "host"),
    [
        (["a", "b"], "b", "raspberrypi", "b"),
        (["a", "b"], "", "a", "a"),
        (["a"], "", "raspberrypi", "a"),
        (["a", "b"], "b", "a", "b"),
    ],
)
def test_a_pi_is_the_host_that_is_given_or_the_only_one_or_that_of_its_name(
    hosts: Sequence[str], given: str, name: str, host: str
) -> None:
    assert alone.chosen(hosts, given, name) == host


@pytest.mark.parametrize(
    ("given", "said"),
    [("c", "has no Pi 'c'; it has a, b: give one of these names"), ("", "say which of them it is, as in sudo sh inst")],
)
def test_where_nobody_can_tell_the_names_are_told(given: str, said: str) -> None:
    with pytest.raises(BundleError) as caught:
        alone.chosen(["b", "a"], given, "raspberrypi")
    assert said in str(caught.value)


def test_what_this_host_needs_is_unpacked_and_nothing_of_others(place: InstalledFrom, found: Manifest) -> None:
    alone.prepare(place, found, "pi-orchard")
    assert sorted(path.name for path in place.files.iterdir()) == ["a-1", "inventory"]
    settings = json.loads(place.settings.read_text())
    assert settings["lizmap_basemaps"] == [{"file": str(place.files / "a-1" / "a.mbtiles"), "name": "a"}]
    assert settings["bundle_folder"] == str(place.bundle)
    assert (Path(settings["bundle_key_folder"]) / signing.SIGNERS).read_text() == place.signers.read_text()
    # Nobody restarts the machine that runs the playbook.
    assert settings["raspberry_pi_allow_reboot"] is False
    # Not as an extra variable, which would make a trial of a log-in by SSH one without SSH.
    assert "ansible_connection" not in settings
    assert json.loads(place.connection.read_text()) == {
        "all": {"hosts": {"pi-orchard": {"ansible_connection": "local"}}}
    }


def test_a_bundle_for_a_laptop_alone_says_so(place: InstalledFrom, found: Manifest) -> None:
    with pytest.raises(BundleError, match="make it again with bundle_alone"):
        alone.prepare(place, replace(found, contents=()), "pi-marsh")


def test_the_playbook_is_for_this_host_with_what_the_person_gave(place: InstalledFrom, found: Manifest) -> None:
    words = alone.command(place, found, "pi-orchard", ["--check"], asks=False)
    assert words[:4] == [str(place.folder / "environment/bin/python"), "-m", "ansible", "playbook"]
    inventories = [words[number + 1] for number, word in enumerate(words) if word == "-i"]
    # The last one says that the host is this machine.
    assert inventories == [str(place.files / "inventory/0/hosts.yml"), str(place.connection)]
    assert words[words.index("--limit") + 1] == "pi-orchard"
    assert words[words.index("--extra-vars") + 1] == f"@{place.settings}"
    assert words[-2:] == ["site.yml", "--check"]


def test_a_vaults_password_is_asked_for_once_and_only_where_somebody_is(place: InstalledFrom, found: Manifest) -> None:
    vaulted = replace(found, vaulted=True)
    assert alone.command(place, vaulted, "pi-marsh", [], asks=True)[-1] == "--ask-vault-pass"
    for option in ("--vault-password-file=/x", "-J"):
        assert alone.command(place, vaulted, "pi-marsh", [option], asks=False)[-1] == option
    with pytest.raises(BundleError, match="nobody is here to give its password"):
        alone.command(place, vaulted, "pi-marsh", ["--check"], asks=False)


def test_a_password_of_backups_that_a_laptop_has_made_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "alone" / "backup-passwords"
    alone.keep_password("pi-orchard", tmp_path / "password", folder)
    assert not folder.exists()
    (tmp_path / "password").write_text("correct-horse\n")
    alone.keep_password("pi-orchard", tmp_path / "password", folder)
    (tmp_path / "password").write_text("another\n")
    alone.keep_password("pi-orchard", tmp_path / "password", folder)
    kept = folder / "pi-orchard"
    assert kept.read_text() == "correct-horse\n"
    assert (kept.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)


@pytest.mark.parametrize(
    ("model", "controllers", "needed"),
    [("Raspberry Pi 5", "cpu io\n", True), ("Raspberry Pi 5", "cpu memory\n", False), ("", "cpu\n", False)],
)
def test_a_restart_is_asked_for_where_limits_of_memory_do_not_count_yet(
    model: str, controllers: str, needed: bool
) -> None:
    assert alone.restart_needed(model, controllers) is needed


# The program ------------------------------------------------------------------------------------------------------

Main = Callable[[Sequence[str]], int]


@pytest.fixture
def main() -> Main:
    program: Main = runpy.run_path(str(ROOT / "pi_alone" / "__main__.py"))["main"]
    return program


def test_the_program_runs_the_playbook_in_its_checkout(
    main: Main, place: InstalledFrom, found: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tuple(BundledFile(path, 0, "0" * 64) for one in found.contents[:2] for path in one.paths)
    (tmp_path / "keys").mkdir()
    signing.ensure_key(tmp_path / "keys")
    one = replace(found, contents=found.contents[:2], hosts={"a": {}, "b": {}}, files=files, images=())
    bundles.sign(place.bundle, tmp_path / "keys", one)
    ran: list[Any] = []

    def run(words: list[str], **given: Any) -> subprocess.CompletedProcess[str]:
        if "playbook" not in words:
            return real(words, **given)
        ran.append((words, given))
        return subprocess.CompletedProcess(words, 4)

    real = subprocess.run
    monkeypatch.setattr(subprocess, "run", run)
    assert main([str(place.folder), "b"]) == 1 and ran == []  # other signers than its own
    place.signers.write_text((tmp_path / "keys" / signing.SIGNERS).read_text())
    assert main([str(place.folder), "--check"]) == 1 and ran == []  # neither named nor the only one
    assert main([str(place.folder), "b", "--check"]) == 4
    ((words, given),) = ran
    assert words[words.index("--limit") + 1] == "b" and words[-1] == "--check"
    assert given["cwd"] == ROOT and given["env"]["ANSIBLE_CONFIG"] == str(ROOT / "ansible.cfg")
