"""What a TLS certificate says, as `openssl` tells it, and whether it will do. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

PUBLIC_KEY = re.compile(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", re.DOTALL)
NAME = re.compile(r"(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
LONGEST_COMMON_NAME = 64
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")


class CertificateError(Exception):
    """A certificate that will not do, in a sentence for the user."""


class OpenSslError(CertificateError):
    """An openssl that does not tell what is asked: another certificate would not help."""

    def __init__(self) -> None:
        super().__init__(
            "The openssl of this host does not tell from when to when a certificate is valid. Version 3.0 or later is "
            "needed: install Debian's package openssl, and look at which one `command -v openssl` finds."
        )


@dataclass(frozen=True)
class Certificate:
    """A certificate."""

    names: tuple[str, ...]
    starts: datetime
    ends: datetime
    self_signed: bool
    public_key: str


def parse_certificate(text: str) -> Certificate:
    """Read what `openssl x509` prints with -dates -dateopt iso_8601 -subject -issuer -ext subjectAltName -pubkey."""
    found = dict(re.findall(r"^(notBefore|notAfter|subject|issuer)=(.*)$", text, re.MULTILINE))
    names = re.findall(r"(?:DNS|IP Address):([^,\s]+)", text)
    try:
        starts, ends = _time(found["notBefore"]), _time(found["notAfter"])
    except (KeyError, ValueError) as error:
        raise OpenSslError from error
    return Certificate(
        names=tuple(_canonical(name) for name in names),
        starts=starts,
        ends=ends,
        self_signed="subject" in found and found["subject"] == found.get("issuer"),
        public_key=public_key(text),
    )


def public_key(text: str) -> str:
    """Find the public key in what openssl prints."""
    match = PUBLIC_KEY.search(text)
    return match[0] if match else ""


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    if time.tzinfo is None:
        raise ValueError(f"{text} tells no zone")
    return time


def _canonical(name: str) -> str:
    return str(ipaddress.ip_address(name)) if is_address(name) else name.lower()


def is_address(name: str) -> bool:
    """Tell whether it is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def check_names(names: Iterable[str]) -> list[str]:
    """Give the names, each once; refuse what is no name and no address."""
    kept = list(dict.fromkeys(_canonical(name) for name in names if name))
    wrong = [name for name in kept if not is_address(name) and not NAME.fullmatch(name)]
    if wrong:
        raise CertificateError(f"{', '.join(wrong)} cannot be the name of a server.")
    return kept


def covers(certificate: Certificate, name: str) -> bool:
    """Tell whether a certificate is for a name; a wildcard stands for one part of it."""
    wanted = _canonical(name)
    _, _, domain = wanted.partition(".")
    return wanted in certificate.names or (not is_address(wanted) and f"*.{domain}" in certificate.names)


def problems(certificate: Certificate, key: str, names: Sequence[str], now: datetime) -> list[str]:
    """Tell what is wrong with a certificate and the public part of its key."""
    found = []
    if certificate.public_key != key:
        found.append("the key is not that of the certificate")
    if now < certificate.starts:
        found.append(f"the certificate is not valid before {certificate.starts:%Y-%m-%d}")
    if now >= certificate.ends:
        found.append(f"the certificate expired on {certificate.ends:%Y-%m-%d}")
    missing = [name for name in names if not covers(certificate, name)]
    if missing:
        found.append(
            f"the certificate is for {', '.join(certificate.names) or 'no name'}, not for {', '.join(missing)}"
        )
    return found


def reason_to_renew(
    certificate: Certificate, key: str, names: Sequence[str], now: datetime, days: int, *, of_issuer: bool
) -> str:
    """Tell why a certificate of our own making is to be renewed; empty when it is not.

    `of_issuer` tells whether it is of the issuer that it is to have: itself, or the fleet's authority.
    """
    found = problems(certificate, key, names, now)
    if found:
        return found[0]
    if not of_issuer:
        return "the certificate has another issuer"
    if certificate.ends - now <= timedelta(days=days):
        return f"the certificate expires on {certificate.ends:%Y-%m-%d}"
    return ""


def request_arguments(names: Sequence[str], days: int) -> list[str]:
    """Give the arguments of `openssl req` for a certificate that is signed with its own key."""
    alternatives = ",".join(f"{'IP' if is_address(name) else 'DNS'}:{name}" for name in names)
    return [
        *("req", "-x509", *NEW_KEY),
        *("-days", str(days), "-subj", f"/CN={names[0][:LONGEST_COMMON_NAME]}"),
        *("-addext", f"subjectAltName={alternatives}", "-addext", "extendedKeyUsage=serverAuth"),
        *("-addext", "keyUsage=critical,digitalSignature"),
    ]


def signing_request_arguments() -> list[str]:
    """Give the arguments of `openssl req` for a request to sign a new key; who signs it knows for which names."""
    return ["req", "-new", *NEW_KEY, "-subj", "/CN=Poppyfield"]


def verify_arguments(authority: str, now: datetime) -> list[str]:
    """Give the arguments of `openssl verify` for a certificate that this authority alone is to have issued."""
    return ["verify", "-CAfile", authority, "-no-CApath", "-no-CAstore", "-attime", str(int(now.timestamp()))]
