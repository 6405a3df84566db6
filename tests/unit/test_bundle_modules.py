"""made_bundle and taken_bundle as Ansible runs them, with the action plugin; and what the first look tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.bundle import manifest, taking, verification
from ansible.module_utils.poppyfield.bundle.taking import BundlePlace

from tests.unit import bundles

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BundlePlace:
    """Where this machine, as a Pi, keeps what it takes."""
    there = BundlePlace(tmp_path / "pi" / "bundles", tmp_path / "pi" / "bundle.json")
    monkeypatch.setattr(taking, "BundlePlace", lambda: there)
    return there


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """What the role hands over."""
    (tmp_path / "bundle").mkdir()
    signers = bundles.write(tmp_path / "bundle", tmp_path / "keys")
    return {"folder": str(tmp_path / "bundle"), "number": 7, "signers": signers, "part": bundles.PART}


def test_a_pi_takes_it_once(run_plugin: Run, place: BundlePlace, given: dict[str, Any]) -> None:
    done = run_plugin("taken_bundle", **given)
    assert done["changed"] and done["number"] == 7, done
    verification.verified(place.of(7), given["signers"], part=bundles.PART)
    again = run_plugin("taken_bundle", **given)
    assert not again["changed"] and not again.get("failed")


def test_check_mode_takes_nothing_and_says_why_it_ends(
    run_plugin: Run, place: BundlePlace, given: dict[str, Any]
) -> None:
    done = run_plugin("taken_bundle", check_mode=True, **given)
    assert done["failed"] and "run without --check" in done["msg"]
    assert not place.folder.exists()
    run_plugin("taken_bundle", **given)
    assert not run_plugin("taken_bundle", check_mode=True, **given).get("failed")


@pytest.mark.autonomy("swapped")
def test_a_file_that_is_swapped_on_its_way_is_refused_by_the_pi(
    run_plugin: Run, place: BundlePlace, given: dict[str, Any]
) -> None:
    (Path(given["folder"]) / bundles.PACKAGE).write_bytes(b"b package")
    done = run_plugin("taken_bundle", **given)
    assert done["failed"] and done["msg"].startswith("The bundle was refused, and this Pi is as it was: ")
    assert f"{bundles.PACKAGE} is not what MANIFEST says of it" in done["msg"]
    assert list(place.folder.iterdir()) == []


def test_an_older_bundle_in_place_of_the_verified_one_is_refused(
    run_plugin: Run, place: BundlePlace, given: dict[str, Any], tmp_path: Path
) -> None:
    older = replace(verification.signed(Path(given["folder"]), given["signers"]), number=6)
    bundles.sign(Path(given["folder"]), tmp_path / "keys", older)
    done = run_plugin("taken_bundle", **given)
    assert done["failed"] and "this is bundle 6, and bundle 7 was taken before" in done["msg"]
    assert not place.folder.exists()


def test_a_file_that_is_gone_meanwhile_and_a_pi_that_cant_be_written_to_are_told(
    run_plugin: Run, place: BundlePlace, given: dict[str, Any]
) -> None:
    place.folder.parent.write_text("in the way")
    assert "pi/bundle" in run_plugin("taken_bundle", **given)["msg"]
    place.folder.parent.unlink()
    (Path(given["folder"]) / bundles.PACKAGE).unlink()
    done = run_plugin("taken_bundle", **given)
    assert done["failed"] and "No such file" in done["msg"] and not place.folder.exists()


def test_the_laptop_makes_one(run_module: Run, tmp_path: Path) -> None:
    mirror, keys = tmp_path / "mirror", tmp_path / "keys"
    mirror.mkdir()
    keys.mkdir()
    options: dict[str, Any] = {
        "folder": str(tmp_path / "out"),
        "key_folder": str(keys),
        "profile": "trixie",
        "releases": ["trixie"],
        "architectures": ["arm64"],
        "packages": {"trixie": ["hello-poppyfield"]},
    }
    assert run_module("made_bundle", check_mode=True, **options)["changed"] and list(keys.iterdir()) == []
    nowhere = run_module("made_bundle", **options, sources={"trixie": [f"deb [trusted=yes] file:{mirror} ./"]})
    assert nowhere["failed"] and nowhere["msg"].startswith("No bundle was made: apt finds no way to the packages")
    wrong = run_module("made_bundle", **{**options, "key_folder": str(tmp_path / "absent")})
    assert wrong["failed"] and "absent" in wrong["msg"] and not (tmp_path / "out").exists()


def test_the_first_look_of_a_host_tells_what_is_for_it(
    library: Any, place: BundlePlace, given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = library("host_requirements")
    monkeypatch.setattr(module, "BundlePlace", lambda: place)
    monkeypatch.setattr(module, "installed", lambda names: dict.fromkeys(names, "1"))
    index = bundles.CONTENTS[bundles.INDEX].decode()
    offer = {
        "number": 7,
        "signers": given["signers"],
        "packages": {"trixie": ["hello"]},
        "indexes": {bundles.PART: index},
    }
    told = module.bundle_facts(offer, "trixie", "arm64", "")
    assert told == {"bundle": {"part": bundles.PART, "wanted": True}, "bundle_problems": ()}
    assert module.bundle_facts(None, "trixie", "arm64", "") == {}
    monkeypatch.setattr(module, "installed", lambda names: {})
    offer["packages"] = {"trixie": ["absent-poppyfield"]}
    (problem,) = module.bundle_facts(offer, "trixie", "arm64", "")["bundle_problems"]
    assert "absent-poppyfield is not in it" in problem
    assert manifest.part("trixie", "arm64") == bundles.PART
