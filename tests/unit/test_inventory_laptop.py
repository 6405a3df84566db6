"""What the check asks the laptop: files, folders, and a certificate with its key."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host import fleet_authority
from ansible.module_utils.poppyfield.inventory.laptop import ThisLaptop, local_path

from tests.unit.inventory_of import OWN_SETTINGS

LAPTOP = ThisLaptop(OWN_SETTINGS)


def test_files_and_folders_of_the_laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "file").touch()
    assert LAPTOP.is_file("~/file") and not LAPTOP.is_folder("~/file")
    assert LAPTOP.is_folder("~") and not LAPTOP.is_file("~")
    for path in ("", "/none", "~nobody-of-this-name/x", "x" * 5000, "a\0b"):
        assert not LAPTOP.is_file(path)
    assert local_path("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


def test_the_settings_that_the_image_keeps_are_known() -> None:
    assert "wmsServerURL" in LAPTOP.own_settings["lizmapConfig"]["services"]


@pytest.fixture
def files(run_module: Callable[..., Any], tmp_path: Path) -> tuple[str, str]:
    """A certificate for maps.example.org and its key."""
    paths = {name: str(tmp_path / name) for name in ("certificate", "key")}
    run_module("tls_certificate", **paths, names=["maps.example.org"], owner=os.getuid())
    return paths["certificate"], paths["key"]


def test_a_given_certificate_is_looked_at(files: tuple[str, str]) -> None:
    certificate, key = files
    assert LAPTOP.certificate_problem(certificate, key, ["maps.example.org"]) == ""
    assert LAPTOP.certificate_problem(certificate, key, []) == ""
    wrong = LAPTOP.certificate_problem(certificate, key, ["other.example.org"])
    assert wrong == "the certificate is for maps.example.org, not for other.example.org"
    assert LAPTOP.certificate_problem(certificate, certificate, []).startswith(f"{certificate} is not a key in PEM")
    # The key's file holds the certificate as well.
    assert LAPTOP.certificate_problem(key, key, []) == ""
    Path(key).write_text(Path(key).read_text().partition("-----BEGIN CERTIFICATE")[0])
    assert LAPTOP.certificate_problem(certificate, key, []) == ""
    assert LAPTOP.certificate_problem(key, key, []).startswith(f"{key} is not a certificate in PEM")
    assert "cannot be read" in LAPTOP.certificate_problem("/none", key, [])


def test_a_key_of_another_certificate_is_told(files: tuple[str, str], run_module: Callable[..., Any]) -> None:
    other = {"certificate": f"{files[0]}-2", "key": f"{files[1]}-2"}
    run_module("tls_certificate", **other, names=["x"], owner=os.getuid())
    assert LAPTOP.certificate_problem(files[0], other["key"], []) == "the key is not that of the certificate"


def test_without_openssl_a_certificate_is_left_to_the_pi(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert LAPTOP.certificate_problem(*files, ["x"]) == ""


def test_an_openssl_that_tells_no_dates_is_no_traceback(
    files: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "openssl").write_text("#!/bin/sh\n")
    (tmp_path / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert "The openssl of this host does not tell" in LAPTOP.certificate_problem(*files, [])


def test_the_authority_is_opened_and_looked_at(tmp_path: Path) -> None:
    passphrase, names = "poppies-in-the-barley", ["pi-marsh"]

    def problem(passphrase: str, names: list[str]) -> type[Any]:
        return type(LAPTOP.authority_problem(str(tmp_path), passphrase, names))

    assert problem(passphrase, names) is fleet_authority.MissingAuthorityError
    authority = fleet_authority.make(names, datetime.now(UTC))
    fleet_authority.write_key(tmp_path, authority.key, passphrase)
    fleet_authority.publish(tmp_path, authority.certificate)
    assert LAPTOP.authority_problem(str(tmp_path), passphrase, names) is None
    assert problem("another-passphrase", names) is fleet_authority.PassphraseError
    assert problem(passphrase, ["pi-orchard"]) is fleet_authority.ConstraintError
    fleet_authority.publish(tmp_path, fleet_authority.make(names, datetime.now(UTC)).certificate)
    assert problem(passphrase, names) is fleet_authority.ConstraintError


def test_who_makes_the_authority_is_not_asked_for_it(tmp_path: Path) -> None:
    maker = ThisLaptop(OWN_SETTINGS, makes_authority=True)
    assert maker.authority_problem(str(tmp_path), "", ["pi-marsh"]) is None
