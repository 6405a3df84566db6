"""The map server with a certificate of the fleet's authority: who trusts that one alone opens the map and its page."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from ansible.module_utils.poppyfield.host import fleet_authority
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.images.map_server import MapServer, map_server, volumes

NAMES = ["pi-marsh.local", "127.0.0.1"]
PAGE = "/fleet-ca/"


class Fleet:
    """A map server by HTTPS, and the authority that its devices have installed."""

    def __init__(self, server: MapServer, authority: Path) -> None:
        self.server = server
        self.authority = authority
        self.port = int(server.container.ports["8443/tcp"][0]["HostPort"])

    def get(self, path: str, *, https: bool, **options: Any) -> requests.Response:
        url = f"https://127.0.0.1:{self.port}" if https else self.server.url
        return requests.get(url + path, timeout=120, verify=str(self.authority), **options)

    def shake_hands(self, name: str) -> dict[str, Any]:
        """Begin a connection to this name as who trusts nobody but the authority."""
        context = ssl.create_default_context(cafile=str(self.authority))
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection,
            context.wrap_socket(connection, server_hostname=name) as secured,
        ):
            return dict(secured.getpeercert() or {})


@pytest.fixture(scope="module")
def fleet(lizmap_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    folder.chmod(0o755)
    now = datetime.now(UTC)
    authority = fleet_authority.make(NAMES, now)
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    signed = fleet_authority.sign(authority, request.public_bytes(pem).decode(), NAMES, now)
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    texts = {
        "tls_authority": authority.certificate.public_bytes(pem).decode(),
        "tls_certificate": signed,
        "tls_key": secret + signed,
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o400)
        os.chown(folder / name, 33, 33)
    options: dict[str, Any] = {
        "environment": {"HTTPS_PORT": "443"},
        "volumes": [*volumes(folder), *(f"{folder / name}:/run/secrets/{name}:ro" for name in texts)],
        "ports": {f"{port}/tcp": ("127.0.0.1", None) for port in (8080, 8443)},
    }
    with map_server(lizmap_image, folder, **options) as server:
        server.wait_until_healthy()
        server.container.reload()
        yield Fleet(server, folder / "tls_authority")


def test_https_offers_http_2(fleet: Fleet) -> None:
    context = ssl.create_default_context(cafile=str(fleet.authority))
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", fleet.port), timeout=60) as connection,
        context.wrap_socket(connection, server_hostname=NAMES[0]) as secured,
    ):
        assert secured.selected_alpn_protocol() == "h2"


def test_who_trusts_the_authority_opens_the_map_without_a_warning(fleet: Fleet) -> None:
    assert fleet.get("/", https=True).ok
    assert ("DNS", "pi-marsh.local") in fleet.shake_hands("pi-marsh.local")["subjectAltName"]
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        fleet.shake_hands("pi-orchard.local")
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"https://127.0.0.1:{fleet.port}/", timeout=60)


@pytest.mark.parametrize("https", [True, False])
@pytest.mark.parametrize(
    ("languages", "spoken"),
    [
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("de, fr;q=0.8, en;q=0.5", "fr"),
        ("en-GB,en;q=0.9,fr;q=0.8", "en"),
        ("de", "en"),
        ("", "en"),
    ],
)
def test_the_page_is_in_the_browsers_language(fleet: Fleet, https: bool, languages: str, spoken: str) -> None:
    answer = fleet.get(PAGE, https=https, headers={"Accept-Language": languages}, allow_redirects=False)
    assert answer.status_code == 200, answer.text
    assert f'<html lang="{spoken}">' in answer.text
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "Accept-Language" in answer.headers["Vary"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("https", [True, False])
def test_the_authority_is_handed_out_as_devices_install_it(fleet: Fleet, https: bool) -> None:
    answer = fleet.get(f"{PAGE}fleet-ca.crt", https=https, allow_redirects=False)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-x509-ca-cert")
    assert answer.content == fleet.authority.read_bytes()
    assert "Content-Disposition" not in answer.headers


def test_nothing_else_is_given_away_there_and_the_rest_goes_to_https(fleet: Fleet) -> None:
    for path in ("tls_key", "../tls_key", "%2e%2e/tls_key", "fleet-ca.crt/../../tls_key"):
        answer = fleet.get(f"{PAGE}{path}", https=True)
        assert "PRIVATE KEY" not in answer.text
    assert fleet.get("/fleet-ca", https=False, allow_redirects=False).headers["Location"] == PAGE
    assert fleet.get("/", https=False, allow_redirects=False).status_code == 308
