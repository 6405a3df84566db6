"""The fleet's certificate authority: what it is for, what it signs, and what devices that trust it accept.

Devices are OpenSSL, which begins a real connection in memory.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.poppyfield.host import fleet_authority
from ansible.module_utils.poppyfield.host.fleet_authority import (
    Authority,
    AuthorityError,
    ConstraintError,
    MissingAuthorityError,
    PassphraseError,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

Run = Callable[..., dict[str, Any]]
ROOT = Path(__file__).resolve().parents[2]
NAMES = ["pi-marsh", "pi-marsh.local", "maps.example.org", "192.168.1.20", "fd00::5"]
PASSPHRASE = "poppies-in-the-barley"
NOW = datetime.now(UTC).replace(microsecond=0)
PEM = serialization.Encoding.PEM
Key = ec.EllipticCurvePrivateKey


def request(key: Any, *names: str) -> str:
    """Ask to sign a key, perhaps for names."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(PEM).decode()


def loaded(signed: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(signed.encode())


def value_of(certificate: x509.Certificate, kind: Any) -> Any:
    return certificate.extensions.get_extension_for_class(kind).value


def refusal(
    folder: Path, trusted: x509.Certificate, authority: Authority, name: str, *between: x509.Certificate
) -> str:
    """Give why a device that trusts one certificate refuses a server of this name; empty when it does not.

    The authority, perhaps one below the trusted one, has signed the server's certificate.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    chain = fleet_authority.sign(authority, request(key), [name], NOW)
    chain += "".join(certificate.public_bytes(PEM).decode() for certificate in between)
    secret = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    (folder / "pair").write_text(secret + chain)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(folder / "pair")
    device_context = ssl.create_default_context(cadata=trusted.public_bytes(PEM).decode())
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    device = device_context.wrap_bio(down, up, server_hostname=name.replace("*", "x"))
    server = server_context.wrap_bio(up, down, server_side=True)
    try:
        for side in (device, server, device, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    return ""


def without(authority: Authority, kind: Any, *instead: Any) -> Authority:
    """Give an authority with the same key that lacks one extension, or has another instead."""
    old = authority.certificate
    builder = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), old.serial_number, old.not_valid_before_utc, old.not_valid_after_utc
    )
    for extension in old.extensions:
        if not isinstance(extension.value, kind):
            builder = builder.add_extension(extension.value, extension.critical)
    for extension in instead:
        builder = builder.add_extension(extension, critical=True)
    return Authority(authority.key, builder.sign(authority.key, hashes.SHA256()))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return fleet_authority.make(NAMES, NOW)


# What devices accept --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_device_opens_every_pi_of_the_fleet(authority: Authority, tmp_path: Path, name: str) -> None:
    assert refusal(tmp_path, authority.certificate, authority, name) == ""


OUTSIDE = ["bank.example.com", "example.org", "pi-orchard.local", "local", "*.example.com", "192.168.1.21", "fd00::6"]


@pytest.mark.attack(kind="certificate for another name", on="laptop", proof=None)
@pytest.mark.parametrize("name", OUTSIDE)
def test_a_stolen_key_is_no_good_for_other_names(authority: Authority, tmp_path: Path, name: str) -> None:
    assert "permitted subtree violation" in refusal(tmp_path, authority.certificate, authority, name)
    free = without(authority, x509.NameConstraints)
    assert refusal(tmp_path, free.certificate, free, name) == ""


@pytest.mark.attack(kind="certificate for another name", on="laptop", proof=None)
@pytest.mark.parametrize(
    ("names", "name"), [(["pi-marsh"], "10.0.0.1"), (["10.0.0.1"], "pi-marsh"), (["10.0.0.1"], "fd00::5")]
)
def test_a_kind_of_name_that_the_fleet_has_not_is_not_free(tmp_path: Path, names: list[str], name: str) -> None:
    made = fleet_authority.make(names, NOW)
    assert "subtree violation" in refusal(tmp_path, made.certificate, made, name)
    free = without(made, x509.NameConstraints)
    assert refusal(tmp_path, free.certificate, free, name) == ""


@pytest.mark.attack(kind="authority below the authority", on="laptop", proof=None)
def test_a_stolen_key_makes_no_further_authority(authority: Authority, tmp_path: Path) -> None:
    def below(above: Authority) -> str:
        inner = fleet_authority.make(NAMES, NOW)
        old = inner.certificate
        builder = x509.CertificateBuilder(
            above.certificate.subject,
            old.subject,
            old.public_key(),
            5,
            old.not_valid_before_utc,
            old.not_valid_after_utc,
        )
        for extension in old.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(above.key.public_key())
        middle = builder.add_extension(issuer, critical=False).sign(above.key, hashes.SHA256())
        return refusal(tmp_path, above.certificate, Authority(inner.key, middle), "pi-marsh", middle)

    assert "path length constraint exceeded" in below(authority)
    assert below(without(authority, x509.BasicConstraints, x509.BasicConstraints(True, None))) == ""


@pytest.mark.attack(kind="certificate for mail or programs", on="laptop", proof=None)
@pytest.mark.parametrize(
    ("purpose", "usage"),
    [("smimesign", ExtendedKeyUsageOID.EMAIL_PROTECTION), ("sslclient", ExtendedKeyUsageOID.CLIENT_AUTH)],
)
def test_a_stolen_key_signs_neither_mail_nor_people(
    authority: Authority, tmp_path: Path, purpose: str, usage: x509.ObjectIdentifier
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = loaded(fleet_authority.sign(authority, request(key), ["pi-marsh"], NOW))
    other = without(Authority(authority.key, leaf), x509.ExtendedKeyUsage, x509.ExtendedKeyUsage([usage])).certificate
    (tmp_path / "leaf").write_bytes(other.public_bytes(PEM))

    def verified(trusted: Authority) -> bool:
        (tmp_path / "ca").write_bytes(trusted.certificate.public_bytes(PEM))
        command = ["openssl", "verify", "-purpose", purpose, "-CAfile", str(tmp_path / "ca"), str(tmp_path / "leaf")]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert not verified(authority)
    assert verified(without(authority, x509.ExtendedKeyUsage))


def test_devices_accept_how_it_is_made(authority: Authority) -> None:
    """What Apple, Google and Microsoft want of an authority and of a server's certificate."""
    found = authority.certificate
    limits = found.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (limits.critical, limits.value.ca, limits.value.path_length) == (True, True, 0)
    usage = found.extensions.get_extension_for_class(x509.KeyUsage)
    assert (usage.critical, usage.value.key_cert_sign) == (True, True)
    assert not (usage.value.digital_signature or usage.value.crl_sign or usage.value.key_agreement)
    assert found.extensions.get_extension_for_class(x509.NameConstraints).critical
    signed = loaded(fleet_authority.sign(authority, request(ec.generate_private_key(ec.SECP256R1())), NAMES, NOW))
    assert (signed.not_valid_after_utc - signed.not_valid_before_utc).days <= 825
    # A day back, for a tablet whose clock is late.
    assert signed.not_valid_before_utc == found.not_valid_before_utc == NOW - timedelta(days=1)
    assert [str(name.value) for name in value_of(signed, x509.SubjectAlternativeName)] == NAMES
    assert list(value_of(signed, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not value_of(signed, x509.BasicConstraints).ca


def test_nothing_outlives_the_authority(authority: Authority) -> None:
    late = authority.certificate.not_valid_after_utc - timedelta(days=100)
    signed = loaded(fleet_authority.sign(authority, request(ec.generate_private_key(ec.SECP256R1())), NAMES, late))
    assert signed.not_valid_after_utc == authority.certificate.not_valid_after_utc


# What a Pi sends ------------------------------------------------------------------------------------------------------


@pytest.mark.attack(kind="certificate for another name", on="laptop", proof=None)
def test_a_pi_gets_no_name_by_asking_for_it(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    asked = request(key, "pi-orchard.local", "maps.example.org")
    assert "pi-orchard.local" in str(x509.load_pem_x509_csr(asked.encode()).extensions)
    signed = loaded(fleet_authority.sign(authority, asked, ["pi-marsh"], NOW))
    assert [name.value for name in value_of(signed, x509.SubjectAlternativeName)] == ["pi-marsh"]


def forged() -> str:
    """A request for a key that another one signed."""
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    mine = x509.load_pem_x509_csr(request(key).encode()).public_bytes(serialization.Encoding.DER)
    place = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    der = mine.replace(key.public_key().public_bytes(*place), other.public_key().public_bytes(*place))
    return x509.load_der_x509_csr(der).public_bytes(PEM).decode()


@pytest.mark.parametrize(
    "sent",
    ["", "x", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "é" * 20_000],
)
def test_what_is_no_request_is_refused(authority: Authority, sent: str) -> None:
    with pytest.raises(AuthorityError, match="no request for a certificate of its own key"):
        fleet_authority.sign(authority, sent, ["pi-marsh"], NOW)


@pytest.mark.parametrize("sent", [forged, lambda: request(rsa.generate_private_key(65537, 2048))])
def test_the_key_of_somebody_else_is_not_signed(authority: Authority, sent: Callable[[], str]) -> None:
    with pytest.raises(AuthorityError, match="no request for a certificate of its own key"):
        fleet_authority.sign(authority, sent(), ["pi-marsh"], NOW)


# Names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        (NAMES, []),
        (["PI-Marsh.Local", "FD00:0::5"], []),
        (["www.maps.example.org"], []),
        (["pi-orchard", "pi-marsh"], ["pi-orchard"]),
        (["xmaps.example.org", "example.org"], ["xmaps.example.org", "example.org"]),
        (["192.168.1.2", "192.168.1.20"], ["192.168.1.2"]),
        (["fd00::6"], ["fd00::6"]),
    ],
)
def test_names_outside_are_found_as_devices_find_them(
    authority: Authority, tmp_path: Path, asked: list[str], missing: list[str]
) -> None:
    assert fleet_authority.outside(authority.certificate, asked) == missing
    for name in asked:
        refused = bool(refusal(tmp_path, authority.certificate, authority, name.lower()))
        assert refused == (name in missing)


@pytest.mark.parametrize(
    ("names", "days", "reason"),
    [
        (NAMES, 0, ""),
        (NAMES[:1], 0, ""),
        ([*NAMES, "pi-orchard"], 0, "the authority is not for pi-orchard"),
        (NAMES, 3650 - 731, ""),
        (NAMES, 3650 - 730, "the authority expires on "),
    ],
)
def test_when_an_authority_is_renewed(authority: Authority, names: list[str], days: int, reason: str) -> None:
    told = fleet_authority.reason_to_make(authority.certificate, names, NOW + timedelta(days=days))
    assert told.startswith(reason) and bool(told) == bool(reason)
    assert fleet_authority.reason_to_make(None, names, NOW) == "there is no authority yet"
    free = without(authority, x509.NameConstraints)
    assert fleet_authority.outside(free.certificate, ["pi-marsh"]) == ["pi-marsh"]


def test_tablets_that_have_an_earlier_authority_go_on_opening_the_earlier_pis(
    authority: Authority, tmp_path: Path
) -> None:
    renewed = fleet_authority.make([*NAMES, "pi-orchard"], NOW + timedelta(days=2), authority.key)
    later = fleet_authority.make(["pi-marsh"], NOW)
    old, new = authority.certificate, renewed.certificate
    for name in NAMES:
        assert refusal(tmp_path, old, renewed, name) == ""
    assert "permitted subtree violation" in refusal(tmp_path, old, renewed, "pi-orchard")
    assert refusal(tmp_path, old, later, "pi-marsh")
    assert new.subject == old.subject and new.serial_number != old.serial_number


# Where it is kept -----------------------------------------------------------------------------------------------------


@pytest.fixture
def place(authority: Authority, tmp_path: Path) -> Path:
    """The folder of an authority."""
    fleet_authority.write_key(tmp_path / "fleet", authority.key, PASSPHRASE)
    fleet_authority.publish(tmp_path / "fleet", authority.certificate)
    return tmp_path / "fleet"


def test_the_key_is_for_its_owner_and_for_who_has_the_passphrase(authority: Authority, place: Path) -> None:
    kept = place / "fleet-ca.key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.read_text().startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert sorted(path.name for path in place.iterdir()) == ["fleet-ca.crt", "fleet-ca.key"]
    assert fleet_authority.read(place) == authority.certificate
    assert fleet_authority.unlock(place, PASSPHRASE).private_numbers() == authority.key.private_numbers()
    for wrong, said in (("poppies-in-the-Barley", "does not open"), ("", "there is no passphrase")):
        with pytest.raises(PassphraseError, match=said):
            fleet_authority.unlock(place, wrong)


@pytest.mark.attack(kind="guessed passphrase", on="laptop", proof=None)
def test_each_guess_of_the_passphrase_costs_hundreds_of_thousands_of_rounds(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rounds() -> int:
        fleet_authority.write_key(tmp_path, authority.key, PASSPHRASE)
        command = ["openssl", "asn1parse", "-in", str(tmp_path / "fleet-ca.key")]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return max(int(line.rpartition(":")[2], 16) for line in told.splitlines() if "INTEGER" in line)

    assert rounds() >= 600_000
    monkeypatch.setattr(fleet_authority, "ROUNDS", 1)
    assert rounds() == 1


def test_the_passphrase_is_on_no_command_line_and_in_no_environment(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    (tmp_path / "openssl").write_text(
        f'#!/bin/sh\n{{ echo "$@"; env; }} > {seen}\nexec {shutil.which("openssl")} "$@"\n'
    )
    (tmp_path / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    fleet_authority.write_key(tmp_path, authority.key, PASSPHRASE)
    assert "pkcs8 -topk8" in seen.read_text() and PASSPHRASE not in seen.read_text()
    assert fleet_authority.unlock(tmp_path, PASSPHRASE)


@pytest.mark.parametrize(
    ("passphrase", "said"),
    [("eleven-char", "fewer than 12"), ("x" * 501, "not one line"), ("two lines\nof words", "not one line")],
)
def test_a_passphrase_that_will_not_do_is_refused(passphrase: str, said: str) -> None:
    with pytest.raises(PassphraseError, match=said):
        fleet_authority.check_passphrase(passphrase)
    fleet_authority.check_passphrase(PASSPHRASE)


def test_a_certificate_that_cannot_be_read_is_a_sentence(place: Path) -> None:
    (place / "fleet-ca.crt").write_text("x")
    with pytest.raises(MissingAuthorityError, match="is not a certificate in PEM"):
        fleet_authority.read(place)
    (place / "fleet-ca.crt").unlink()
    with pytest.raises(MissingAuthorityError, match="there is no certificate authority in "):
        fleet_authority.read(place)


def test_a_key_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingAuthorityError, match="cannot be read: No such file"):
        fleet_authority.unlock(tmp_path, PASSPHRASE)
    (tmp_path / "fleet-ca.key").write_text("x")
    with pytest.raises(PassphraseError, match="or the file is broken"):
        fleet_authority.unlock(tmp_path, PASSPHRASE)
    how = serialization.BestAvailableEncryption(PASSPHRASE.encode())
    other = rsa.generate_private_key(65537, 2048).private_bytes(PEM, serialization.PrivateFormat.PKCS8, how)
    (tmp_path / "fleet-ca.key").write_bytes(other)
    with pytest.raises(MissingAuthorityError, match="holds another kind of key"):
        fleet_authority.unlock(tmp_path, PASSPHRASE)


def test_without_openssl_no_key_is_written(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AuthorityError, match="Install Debian's package openssl"):
        fleet_authority.write_key(tmp_path, authority.key, PASSPHRASE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "days", "said"),
    [
        (NAMES, 0, ""),
        (NAMES, 3650, "the fleet's authority expired on "),
        (["pi-marsh", "pi-orchard"], 0, "the fleet's authority is not for pi-orchard"),
    ],
)
def test_what_a_run_would_fail_at_is_told_before(authority: Authority, names: list[str], days: int, said: str) -> None:
    try:
        fleet_authority.check(authority.certificate, names, NOW + timedelta(days=days))
    except ConstraintError as error:
        assert said and said in str(error)
    else:
        assert not said
    with pytest.raises(ConstraintError, match="are of two authorities"):
        fleet_authority.check_pair(authority.certificate, ec.generate_private_key(ec.SECP256R1()))
    fleet_authority.check_pair(authority.certificate, authority.key)


# The certificate of a Pi ----------------------------------------------------------------------------------------------


@pytest.fixture
def ensure(run_plugin: Run, place: Path, tmp_path: Path) -> Run:
    """Have a certificate signed by the authority."""
    (tmp_path / "pi").mkdir()

    def run(check_mode: bool = False, **changes: Any) -> dict[str, Any]:
        given = {
            "certificate": str(tmp_path / "pi" / "certificate"),
            "key": str(tmp_path / "pi" / "key"),
            "names": ["pi-marsh", "192.168.1.20", ""],
            "owner": os.getuid(),
            "state": "fleet",
            "authority_folder": str(place),
            "authority_passphrase": PASSPHRASE,
            **changes,
        }
        return run_plugin("tls_certificate", check_mode=check_mode, **given)

    return run


def of_pi(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "pi" / "certificate").read_bytes())


def test_a_pi_has_its_key_signed_once(ensure: Run, authority: Authority, tmp_path: Path) -> None:
    predicted = ensure(check_mode=True)
    assert list((tmp_path / "pi").iterdir()) == []
    first = ensure()
    assert (first["changed"], first["reasons"]) == (True, ["there is no certificate yet"])
    assert (predicted["changed"], predicted["reasons"]) == (first["changed"], first["reasons"])
    found = of_pi(tmp_path)
    found.verify_directly_issued_by(authority.certificate)
    assert [str(name.value) for name in value_of(found, x509.SubjectAlternativeName)] == ["pi-marsh", "192.168.1.20"]
    both = (tmp_path / "pi" / "key").read_bytes()
    assert serialization.load_pem_private_key(both, None).public_key() == found.public_key()
    assert both.endswith((tmp_path / "pi" / "certificate").read_bytes())
    assert first["content"].encode() == (tmp_path / "pi" / "certificate").read_bytes()
    assert sorted(path.name for path in (tmp_path / "pi").iterdir()) == ["certificate", "key"]
    again = ensure()
    assert not again["changed"] and again["valid_until"] == first["valid_until"]
    assert of_pi(tmp_path) == found


def test_the_pi_is_told_no_passphrase(
    ensure: Run, library: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    module = library("tls_certificate")
    real, told = module.ensure, []

    def seen(of_run: Any, *given: Any) -> Any:
        told.append(of_run.params)
        return real(of_run, *given)

    monkeypatch.setattr(module, "ensure", seen)
    assert ensure()["changed"]
    assert [bool(params["_signed"]) for params in told] == [False, True]
    assert PASSPHRASE not in str(told) and str(place) not in str(told)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"names": ["pi-marsh", "pi-marsh.local"]}, "not for pi-marsh.local"),
        ({"renew_before": 730}, "the certificate expires on "),
    ],
)
def test_a_pi_gets_a_new_certificate_where_the_one_before_will_not_do(
    ensure: Run, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    ensure()
    before = of_pi(tmp_path)
    assert ensure(check_mode=True, **change)["changed"] and of_pi(tmp_path) == before
    assert reason in ensure(**change)["reasons"][0]
    assert of_pi(tmp_path).public_key() != before.public_key()


def test_a_certificate_follows_from_another_kind_to_the_fleets_and_back(
    ensure: Run, authority: Authority, tmp_path: Path
) -> None:
    ensure(state="self_signed")
    assert ensure()["reasons"] == ["the certificate has another issuer"]
    of_pi(tmp_path).verify_directly_issued_by(authority.certificate)
    assert ensure(state="self_signed")["reasons"] == ["the certificate has another issuer"]
    assert of_pi(tmp_path).issuer == of_pi(tmp_path).subject


def test_a_renewed_authority_signs_nothing_again_and_another_one_all(
    ensure: Run, authority: Authority, place: Path
) -> None:
    ensure()
    renewed = fleet_authority.make([*NAMES, "pi-orchard"], NOW, authority.key)
    fleet_authority.publish(place, renewed.certificate)
    assert not ensure()["changed"]
    other = fleet_authority.make(NAMES, NOW)
    fleet_authority.write_key(place, other.key, PASSPHRASE)
    fleet_authority.publish(place, other.certificate)
    assert ensure()["reasons"] == ["the certificate has another issuer"]


def test_the_laptops_clock_counts(
    ensure: Run, library: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Late(datetime):
        """The clock of a Pi that stood still for a month."""

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) - timedelta(days=30)

    monkeypatch.setattr(library("tls_certificate"), "datetime", Late)
    assert "msg" not in ensure()
    assert not ensure()["changed"]
    assert (of_pi(tmp_path).not_valid_after_utc - datetime.now(UTC)).days == 729


def test_a_key_that_waits_for_its_signature_is_swept(ensure: Run, tmp_path: Path) -> None:
    """A run that was cut off between its two halves, or whose passphrase was wrong."""
    said = ensure(authority_passphrase="another-passphrase")["msg"]
    assert said.startswith("The fleet's authority: the passphrase does not open ") and "another-passphrase" not in said
    assert [path.name for path in (tmp_path / "pi").iterdir()] == [".tls-request"]
    assert ensure()["changed"]
    assert sorted(path.name for path in (tmp_path / "pi").iterdir()) == ["certificate", "key"]


def test_what_is_missing_is_told(ensure: Run, place: Path) -> None:
    assert ensure(authority_folder="")["msg"] == "state: fleet needs authority_folder."
    assert "cannot be the name" in ensure(names=["a b"])["msg"]
    assert ensure(names=[])["msg"] == "names has no name for the certificate."
    (place / "fleet-ca.crt").unlink()
    assert ensure()["msg"].startswith("The fleet's authority: there is no certificate authority in ")


def test_what_the_authority_signed_is_checked_before_it_is_used(
    ensure: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure()
    before = (tmp_path / "pi" / "key").read_bytes()
    real = fleet_authority.sign
    monkeypatch.setattr(
        fleet_authority, "sign", lambda authority, request, _, now: real(authority, request, ["pi-other"], now)
    )
    said = ensure(names=["pi-marsh", "pi-marsh.local"])["msg"]
    assert said.startswith("What the authority signed will not do: ") and "not for pi-marsh" in said
    assert (tmp_path / "pi" / "key").read_bytes() == before


def test_an_authority_near_its_end_is_warned_of(ensure: Run, authority: Authority, place: Path) -> None:
    assert "warnings" not in ensure()
    old = fleet_authority.make(NAMES, NOW - timedelta(days=3650 - 700), authority.key)
    fleet_authority.publish(place, old.certificate)
    (warning,) = ensure()["warnings"]
    assert "the authority expires on " in warning and "playbooks/authority.yml" in warning


# The chore ------------------------------------------------------------------------------------------------------------

Play = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run a playbook on a fleet, which is described and kept in tmp_path."""

    def run(hosts: list[str], *options: str, passphrase: str = PASSPHRASE) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "fleet"
        folder.mkdir(exist_ok=True)
        every = {
            "lizmap_web_client": "none",
            "lizmap_tls": "fleet",
            "lizmap_authority_passphrase": passphrase,
            # Nobody connects.
            "ansible_host": "192.0.2.1",
        }
        (folder / "hosts.yml").write_text(yaml.dump({"pis": {"hosts": dict.fromkeys(hosts), "vars": every}}))
        return subprocess.run(
            [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(folder), "-vvv", *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )

    return run


@pytest.mark.long
def test_the_chore_makes_the_authority_and_renews_it_for_a_pi_that_is_added(play: Play, tmp_path: Path) -> None:
    chore, key, crt = (
        "playbooks/authority.yml",
        tmp_path / "fleet" / "fleet-ca.key",
        tmp_path / "fleet" / "fleet-ca.crt",
    )
    predicted = play(["pi-marsh"], "--check", chore)
    assert predicted.returncode == 0 and not key.exists(), predicted.stdout
    done = play(["pi-marsh"], chore)
    assert done.returncode == 0, done.stdout
    made = x509.load_pem_x509_certificate(crt.read_bytes())
    assert fleet_authority.fingerprint(made) in done.stdout and "Renewed" not in done.stdout
    names = ["pi-marsh", "pi-marsh.local", "192.0.2.1"]
    assert fleet_authority.outside(made, [*names, "pi-orchard"]) == ["pi-orchard"]
    kept = key.read_bytes()
    assert "changed=0" in play(["pi-marsh"], chore).stdout
    limited = play(["pi-marsh", "pi-orchard"], "--limit", "pi-marsh", chore)
    assert limited.returncode != 0 and "run this without --limit" in limited.stdout
    wrong = play(["pi-marsh", "pi-orchard"], chore, passphrase="another-passphrase")
    assert wrong.returncode != 0 and "Nothing was changed: the passphrase does not open" in wrong.stdout
    assert x509.load_pem_x509_certificate(crt.read_bytes()) == made
    renewed = play(["pi-marsh", "pi-orchard"], chore)
    assert "Renewed. Tablets go on opening the earlier Pis;" in renewed.stdout
    assert key.read_bytes() == kept
    assert fleet_authority.outside(fleet_authority.read(tmp_path / "fleet"), [*names, "pi-orchard"]) == []
    for run in (predicted, done, limited, wrong, renewed):
        assert PASSPHRASE not in run.stdout + run.stderr and "another-passphrase" not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, ""),
        ({"names": []}, "Nothing was changed: names has no name for the authority."),
        ({"names": ["a b"]}, "Nothing was changed: a b cannot be the name of a server."),
        ({"passphrase": "short"}, "Nothing was changed: the passphrase has fewer than 12 characters."),
        ({"folder": "/proc/none"}, "/proc/none: No such file or directory."),
    ],
)
def test_what_the_chore_cannot_do_is_a_sentence(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    given = {"folder": str(tmp_path / "new"), "passphrase": PASSPHRASE, "names": NAMES, **options}
    result = make(**given)
    assert result.get("msg", "") == said
    assert (tmp_path / "new").exists() == (not said)


def make(**arguments: Any) -> dict[str, Any]:
    """Run fleet_authority as Ansible does."""
    command = [sys.executable, "-m", "ansible", "adhoc", "--inventory", "localhost,", "--connection", "local"]
    command += ["--module-name", "fleet_authority", "--args", json.dumps(arguments), "localhost"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    result: dict[str, Any] = json.loads(done.stdout.partition(" => ")[2])
    return result


def test_a_lost_key_is_not_replaced_by_another_in_silence(place: Path) -> None:
    (place / "fleet-ca.key").unlink()
    said = make(folder=str(place), passphrase=PASSPHRASE, names=NAMES)["msg"]
    assert "fleet-ca.key is missing, but fleet-ca.crt is there. Bring the former back from your copy." in said
    assert not (place / "fleet-ca.key").exists()


def test_a_lost_certificate_is_made_again_with_the_same_key_and_name(authority: Authority, place: Path) -> None:
    (place / "fleet-ca.crt").unlink()
    assert make(folder=str(place), passphrase=PASSPHRASE, names=NAMES)["reasons"] == ["there is no authority yet"]
    found = fleet_authority.read(place)
    assert (found.subject, found.public_key()) == (authority.certificate.subject, authority.key.public_key())
