"""The certificate authority of a fleet: made and kept on the laptop, and good for the names of the fleet alone.

Only what runs on the laptop imports this: `cryptography`, which ansible-core needs, a Pi need not have.
"""

from __future__ import annotations

import ipaddress
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.host.certificates import check_names, is_address
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 3650
SIGNED_DAYS = 730
"""Apple's devices refuse certificates of servers that are valid for more than 825 days."""
BACKDATED = timedelta(days=1)
"""A device whose clock is late would refuse what is younger."""
WARN_DAYS = SIGNED_DAYS
"""Before its end in which an authority can no longer sign for the whole time."""
LEAST_PASSPHRASE = 12
LONGEST_PASSPHRASE = 500
LARGEST_REQUEST = 10_000
"""Characters; a Pi that was taken over could send anything."""
ROUNDS = 600_000
"""Of PBKDF2: each guess of a passphrase costs that much."""
KEY_FILE = "fleet-ca.key"
CERTIFICATE_FILE = "fleet-ca.crt"
EVERY_ADDRESS = ("0.0.0.0/0", "::/0")
OTHER_USAGES = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")
NOTHING_BUT_SIGNATURES = dict.fromkeys([*OTHER_USAGES, "encipher_only", "decipher_only"], False)


class AuthorityError(Exception):
    """What is wrong with an authority, in a sentence for the user."""


class MissingAuthorityError(AuthorityError):
    """There is none, or it cannot be read."""


class PassphraseError(AuthorityError):
    """The passphrase does not open it, or is none."""


class ConstraintError(AuthorityError):
    """It is not for some name."""


@dataclass(frozen=True)
class Authority:
    """An authority that can sign."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


# What it is -----------------------------------------------------------------------------------------------------------


def make(names: Iterable[str], now: datetime, key: ec.EllipticCurvePrivateKey | None = None) -> Authority:
    """Make an authority for these names, perhaps with the key of one before.

    Who trusts the one before goes on trusting what either signs, for the names of the one before.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    # The name follows from the key, so that both stay when it is renewed, and two fleets have two.
    title = f"Poppyfield fleet {x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:8]}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    builder = (
        _begun(subject, subject, key.public_key(), now)
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=False, key_cert_sign=True, **NOTHING_BUT_SIGNATURES), critical=True
        )
        # Neither mail nor programs, which name constraints leave open.
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(constraints(names), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Authority(key, builder.sign(key, hashes.SHA256()))


def constraints(names: Iterable[str]) -> x509.NameConstraints:
    """Give what allows these names and addresses, and no others."""
    kept = check_names(names)
    hosts: list[x509.GeneralName] = [x509.DNSName(name) for name in kept if not is_address(name)]
    networks = [ipaddress.ip_network(name) for name in kept if is_address(name)]
    versions = {network.version for network in networks}
    # A kind of which nothing is permitted would be free.
    excluded: list[x509.GeneralName] = [] if hosts else [x509.DNSName("")]
    every = [ipaddress.ip_network(network) for network in EVERY_ADDRESS]
    excluded += [x509.IPAddress(network) for network in every if network.version not in versions]
    permitted = hosts + [x509.IPAddress(network) for network in networks]
    return x509.NameConstraints(permitted_subtrees=permitted, excluded_subtrees=excluded or None)


def outside(certificate: x509.Certificate, names: Iterable[str]) -> list[str]:
    """Give the names that an authority is not for; one without constraints is not ours, and for none."""
    try:
        allowed = certificate.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    except x509.ExtensionNotFound:
        allowed = []
    return [name for name in check_names(names) if not any(_allows(subtree, name) for subtree in allowed)]


def _allows(subtree: x509.GeneralName, name: str) -> bool:
    if isinstance(subtree, x509.IPAddress):
        network = subtree.value
        return is_address(name) and ipaddress.ip_address(name) in ipaddress.ip_network(str(network))
    return not is_address(name) and f".{name}".endswith(f".{subtree.value}")


def reason_to_make(certificate: x509.Certificate | None, names: Sequence[str], now: datetime) -> str:
    """Tell why an authority is to be made or renewed; empty when it is not."""
    if certificate is None:
        return "there is no authority yet"
    missing = outside(certificate, names)
    if missing:
        return f"the authority is not for {', '.join(missing)}"
    return ends_soon(certificate, now)


def ends_soon(certificate: x509.Certificate, now: datetime) -> str:
    """Tell that an authority will soon not do; empty when that is far."""
    if certificate.not_valid_after_utc - now > timedelta(days=WARN_DAYS):
        return ""
    return f"the authority expires on {certificate.not_valid_after_utc:%Y-%m-%d}"


def fingerprint(certificate: x509.Certificate) -> str:
    """Give the SHA-256 of a certificate as devices show it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


# What it signs --------------------------------------------------------------------------------------------------------


def sign(authority: Authority, request: str, names: Sequence[str], now: datetime) -> str:
    """Sign the key of a request for these names, whatever names the request has; give the certificate in PEM."""
    key = _key_of(request)
    end = min(now + timedelta(days=SIGNED_DAYS), authority.certificate.not_valid_after_utc)
    # With spaces, so that nobody takes it for the name of a server.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Poppyfield {names[0]}"[:64])])
    alternatives: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(name)) if is_address(name) else x509.DNSName(name) for name in names
    ]
    signed = (
        _begun(subject, authority.certificate.subject, key, now)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=False, **NOTHING_BUT_SIGNATURES), critical=True
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return signed.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
    )


def _key_of(request: str) -> ec.EllipticCurvePublicKey:
    try:
        if len(request) > LARGEST_REQUEST:
            raise ValueError(request)
        asked = x509.load_pem_x509_csr(request.encode())
        key = asked.public_key()
        if not asked.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError(request)
    except ValueError:
        raise AuthorityError("what the host sent is no request for a certificate of its own key") from None
    return key


# Where it is kept -----------------------------------------------------------------------------------------------------


def read(folder: Path) -> x509.Certificate:
    """Read the certificate of an authority."""
    path = folder / CERTIFICATE_FILE
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        raise MissingAuthorityError(f"there is no certificate authority in {folder}") from None
    except (OSError, ValueError) as error:
        raise MissingAuthorityError(f"{path} is not a certificate in PEM, or cannot be read") from error


def read_if_there(folder: Path) -> x509.Certificate | None:
    """Read the certificate of an authority; None where there is none."""
    return read(folder) if (folder / CERTIFICATE_FILE).exists() else None


def unlock(folder: Path, passphrase: str) -> ec.EllipticCurvePrivateKey:
    """Read the key of an authority."""
    path = folder / KEY_FILE
    if not passphrase:
        raise PassphraseError(f"there is no passphrase, and {path} does not open without")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase.encode())
    except OSError as error:
        raise MissingAuthorityError(f"{path} cannot be read: {error.strerror}") from error
    except (TypeError, ValueError):
        raise PassphraseError(f"the passphrase does not open {path}, or the file is broken") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise MissingAuthorityError(f"{path} holds another kind of key")
    return key


def earlier_key(folder: Path, passphrase: str) -> ec.EllipticCurvePrivateKey | None:
    """Read the key of earlier runs; None where there never was one."""
    if (folder / KEY_FILE).exists():
        return unlock(folder, passphrase)
    if (folder / CERTIFICATE_FILE).exists():
        raise MissingAuthorityError(
            f"{folder / KEY_FILE} is missing, but {CERTIFICATE_FILE} is there. Bring the former back from your copy. "
            "To begin with another authority, which every device must install, remove the latter"
        )
    return None


def write_key(folder: Path, key: ec.EllipticCurvePrivateKey, passphrase: str) -> None:
    """Keep a new key so that only its owner may read it, and only the passphrase opens it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    atomic_file.write(folder / KEY_FILE, _encrypted(key, passphrase), mode=0o600)


def _encrypted(key: ec.EllipticCurvePrivateKey, passphrase: str) -> bytes:
    """By openssl, because the library takes fewer rounds than are needed today."""
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "wb") as stream:
        stream.write(passphrase.encode() + b"\n")
        stream.flush()
        command = ["openssl", "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-iter", str(ROUNDS)]
        try:
            done = subprocess.run(
                [*command, "-passout", f"fd:{reading}"],
                input=plain,
                pass_fds=[reading],
                capture_output=True,
                check=True,
            )
        except (FileNotFoundError, subprocess.CalledProcessError):
            raise AuthorityError("openssl did not encrypt the key. Install Debian's package openssl") from None
    return done.stdout


def publish(folder: Path, certificate: x509.Certificate) -> None:
    """Write the certificate for everybody."""
    text = certificate.public_bytes(serialization.Encoding.PEM)
    atomic_file.write(folder / CERTIFICATE_FILE, text, mode=0o644)


def check_passphrase(passphrase: str) -> None:
    """Refuse a passphrase for a new authority that is soon guessed, or that openssl would not read whole."""
    if len(passphrase) < LEAST_PASSPHRASE:
        raise PassphraseError(f"the passphrase has fewer than {LEAST_PASSPHRASE} characters")
    if len(passphrase) > LONGEST_PASSPHRASE or not passphrase.isprintable():
        raise PassphraseError(f"the passphrase is not one line of up to {LONGEST_PASSPHRASE} characters")


def check_pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """Refuse a key and a certificate that do not belong together."""
    if certificate.public_key() != key.public_key():
        raise ConstraintError(f"{KEY_FILE} and {CERTIFICATE_FILE} are of two authorities")


def check(certificate: x509.Certificate, names: Sequence[str], now: datetime) -> None:
    """Raise what a run would fail at that has certificates for these names signed."""
    if certificate.not_valid_after_utc <= now:
        raise ConstraintError(f"the fleet's authority expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    if missing := outside(certificate, names):
        raise ConstraintError(f"the fleet's authority is not for {', '.join(missing)}")
