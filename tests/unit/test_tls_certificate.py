"""tls_certificate with the real openssl, and what it decides about a certificate."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.host import certificates
from ansible.module_utils.poppyfield.host.certificates import Certificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Run = Callable[..., dict[str, Any]]
NAMES = ["maps.example.org", "192.168.1.20", "fe80::1"]
TODAY = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def ensure(run_module: Run, tmp_path: Path) -> Run:
    def run(check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {
            "certificate": str(tmp_path / "certificate"),
            "key": str(tmp_path / "key"),
            "names": NAMES,
            "owner": os.getuid(),
            **arguments,
        }
        return run_module("tls_certificate", check_mode=check_mode, **given)

    return run


def give(folder: Path, names: list[str], starts: int = -10, ends: int = 300, other_key: bool = False) -> None:
    """Write a certificate of an authority, and its key."""
    key, authority = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(TODAY + timedelta(days=starts))
        .not_valid_after(TODAY + timedelta(days=ends))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    )
    signed = builder.sign(authority, hashes.SHA256())
    kept = authority if other_key else key
    (folder / "certificate").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        kept.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def made(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "certificate").read_bytes())


def test_a_certificate_is_made_for_its_names_and_kept(ensure: Run, tmp_path: Path) -> None:
    assert ensure(check_mode=True)["changed"] and not (tmp_path / "certificate").exists()
    first = ensure()
    assert first["changed"] and first["reasons"] == ["there is no certificate yet"]
    found = made(tmp_path)
    alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in alternatives] == NAMES
    assert (found.not_valid_after_utc - datetime.now(UTC)).days == 729
    assert first["valid_until"] == f"{found.not_valid_after_utc:%Y-%m-%d}"
    again = ensure()
    assert not again["changed"] and again["valid_until"] == first["valid_until"]
    assert made(tmp_path) == found
    assert ensure(state="checked")["names"] == NAMES


def test_only_the_owner_reads_the_key(ensure: Run, tmp_path: Path) -> None:
    ensure()
    state = (tmp_path / "key").stat()
    assert (stat.S_IMODE(state.st_mode), state.st_uid) == (0o400, os.getuid())
    key = serialization.load_pem_private_key((tmp_path / "key").read_bytes(), None)
    assert key.public_key() == made(tmp_path).public_key()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["certificate", "key"]


def test_the_keys_file_holds_the_certificate_so_that_both_are_replaced_at_once(ensure: Run, tmp_path: Path) -> None:
    ensure()
    both = (tmp_path / "key").read_text()
    assert both.startswith("-----BEGIN PRIVATE KEY-----")
    assert both.endswith((tmp_path / "certificate").read_text())
    assert not ensure()["changed"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"names": ["other.example.org"]}, "not for other.example.org"),
        ({"renew_before": 731}, "the certificate expires on "),
    ],
)
def test_a_certificate_is_renewed(ensure: Run, tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    ensure()
    before = made(tmp_path)
    assert ensure(check_mode=True, **change)["changed"]
    assert made(tmp_path) == before
    result = ensure(**change)
    assert reason in result["reasons"][0]
    assert made(tmp_path) != before


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "key").unlink(), "there is no certificate yet"),
        (lambda folder: (folder / "certificate").write_text("x"), "certificate is not a certificate in PEM"),
        (lambda folder: (folder / "key").write_text("x"), "key is not a key in PEM"),
        (lambda folder: give(folder, NAMES[:1], other_key=True), "the key is not that of the certificate"),
        (lambda folder: give(folder, ["maps.example.org"]), "the certificate has another issuer"),
    ],
)
def test_what_will_not_do_is_renewed(ensure: Run, tmp_path: Path, damage: Callable[[Path], None], reason: str) -> None:
    ensure(names=NAMES[:1])
    for path in tmp_path.iterdir():
        path.chmod(0o600)
    damage(tmp_path)
    assert reason in ensure(names=NAMES[:1])["reasons"][0]
    assert not ensure(names=NAMES[:1])["changed"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ""),
        ({"names": ["*.example.org"]}, ""),
        (
            {"names": ["example.org", "*.example.com"]},
            "the certificate is for example.org, *.example.com, not for maps.",
        ),
        ({"names": ["*.org"]}, "not for maps.example.org"),
        ({"ends": -1}, "the certificate expired on "),
        ({"starts": 1}, "the certificate is not valid before "),
        ({"other_key": True}, "the key is not that of the certificate"),
        ({"ends": -1, "other_key": True}, "the key is not that of the certificate; the certificate expired on "),
    ],
)
def test_a_given_certificate_is_checked(ensure: Run, tmp_path: Path, given: dict[str, Any], said: str) -> None:
    give(tmp_path, **{"names": ["maps.example.org"], **given})
    before = (tmp_path / "certificate").read_bytes()
    result = ensure(state="checked", names=["maps.example.org", ""])
    assert bool(result.get("failed")) == bool(said)
    assert said in result.get("msg", "")
    assert (tmp_path / "certificate").read_bytes() == before


@pytest.mark.parametrize(("days", "warned"), [(30, True), (10, False)])
def test_a_given_certificate_that_ends_soon_is_warned_of(
    ensure: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], days: int, warned: bool
) -> None:
    give(tmp_path, ["maps.example.org"], ends=20)
    assert not ensure(state="checked", names=[], renew_before=days).get("failed")
    assert ("Get a new one in time." in capsys.readouterr().err) is warned


def test_a_key_with_a_passphrase_is_refused(ensure: Run, tmp_path: Path) -> None:
    give(tmp_path, ["maps.example.org"])
    command = ["openssl", "pkey", "-in", str(tmp_path / "key"), "-aes256", "-passout", "pass:secret"]
    protected = subprocess.run(command, check=True, capture_output=True).stdout
    (tmp_path / "key").write_bytes(protected)
    assert "has a passphrase" in ensure(state="checked", names=[])["msg"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"names": []}, "names has no name"),
        ({"names": ["maps.example.org,IP:1.2.3.4"]}, "cannot be the name of a server"),
        ({"names": ["a b"]}, "a b cannot be the name of a server"),
        ({"key": "/nowhere/at/all/key"}, "does not exist"),
        ({"certificate": "/nowhere/certificate", "state": "checked"}, "or cannot be read"),
    ],
)
def test_what_cannot_be_is_a_sentence(ensure: Run, given: dict[str, Any], said: str) -> None:
    result = ensure(**given)
    assert result["failed"] and said in result["msg"]


def test_a_failed_openssl_leaves_nothing(
    ensure: Run, library: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(library("tls_certificate").certificates, "request_arguments", lambda *_: ["req", "-no-such"])
    assert ensure()["msg"] == "openssl req failed."
    assert list(tmp_path.iterdir()) == []


def test_check_mode_tells_what_a_run_does_where_openssl_is_not_installed_yet(
    ensure: Run, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_there(module: Any, name: str, *, required: bool = False) -> None:
        if required:
            module.fail_json(msg=f"there is no {name}")

    monkeypatch.setattr(library("tls_certificate").AnsibleModule, "get_bin_path", not_there)
    predicted = ensure(check_mode=True)
    assert (predicted["changed"], predicted["reasons"]) == (True, ["there is no certificate yet"])
    assert ensure()["msg"] == "there is no openssl"


def test_a_full_disk_leaves_the_old_certificate(
    ensure: Run, library: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    ensure()
    before = made(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(library("tls_certificate").atomic_file.os, "fsync", full)
        assert ensure(names=["another.example.org"])["msg"] == f"{tmp_path}/key: No space left on device."
    assert made(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["certificate", "key"]


def test_a_key_that_a_cut_left_is_swept(ensure: Run, tmp_path: Path) -> None:
    (tmp_path / ".tls-abc").mkdir()
    (tmp_path / ".tls-abc" / "key").write_text("a key")
    (tmp_path / ".key.abcdefgh").write_text("a key")
    ensure()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["certificate", "key"]


OLD_OPENSSL = """#!/bin/sh
case " $* " in
    *" -dateopt "*) echo "x509: Unknown option: -dateopt" >&2; exit 1 ;;
    *) exec {openssl} "$@" ;;
esac
"""
SILENT_OPENSSL = """#!/bin/sh
{openssl} "$@" | grep -v ^not
"""


@pytest.mark.parametrize("script", [OLD_OPENSSL, SILENT_OPENSSL])
@pytest.mark.parametrize("state", ["self_signed", "checked"])
def test_an_openssl_without_dates_is_named_and_the_certificate_stays(
    ensure: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, state: str
) -> None:
    ensure()
    before = made(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "openssl").write_text(script.format(openssl=shutil.which("openssl")))
    (tmp_path / "bin" / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    said = ensure(state=state)["msg"]
    assert "openssl of this host does not tell from when to when" in said and "Version 3.0 or later" in said
    assert made(tmp_path) == before


@pytest.mark.parametrize(
    "text", ["", "notBefore=2026-01-01 00:00:00Z", "notBefore=soon\nnotAfter=later", "notBefore=2026-01-01\nnotAfter=x"]
)
def test_what_tells_no_dates_is_no_certificate(text: str) -> None:
    with pytest.raises(certificates.OpenSslError):
        certificates.parse_certificate(text)


def test_addresses_are_compared_as_addresses() -> None:
    found = Certificate(("fe80::1", "1.2.3.4"), TODAY, TODAY, True, "")
    assert certificates.covers(found, "FE80:0:0:0:0:0:0:1")
    assert not certificates.covers(found, "1.2.3.5")
    assert certificates.check_names(["A.example", "a.example", "", "FE80:0::1"]) == ["a.example", "fe80::1"]
