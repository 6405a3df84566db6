"""How people reach Lizmap: HTTPS, what browsers are told, proxies, and how often somebody may try to log in."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from ansible.module_utils.poppyfield.lizmap import sandbox

from tests.images.map_server import HARDENED, PREFIX, REQUEST_SECONDS
from tests.lizmap.lizmap import ADMIN_PASSWORD, HERE, Lizmap, lizmap

ALLOWED = 5
SECURE = {"localconfig": {"sessions": {"cookieSecure": "on", "cookieSameSite": "Lax"}}}


def make_certificate(folder: Path) -> dict[str, str]:
    """Make a certificate; give the mounts of it and its key."""
    folder.mkdir(exist_ok=True)
    files = {name: folder / name for name in ("tls_certificate", "tls_key")}
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    command += ["-days", "3", "-subj", "/CN=maps", "-addext", "subjectAltName=DNS:maps.example.org,IP:127.0.0.1"]
    command += ["-out", str(files["tls_certificate"]), "-keyout", str(files["tls_key"])]
    subprocess.run(command, check=True, capture_output=True)
    for file in files.values():
        os.chown(file, 33, 33)
    return {str(file): f"/run/secrets/{name}" for name, file in files.items()}


class Secured:
    """Lizmap by HTTPS, asked by who knows its certificate."""

    def __init__(self, server: Lizmap, certificate: Path) -> None:
        self.server = server
        self.port = server.container.ports["8443/tcp"][0]["HostPort"]
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificate = certificate

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, verify=str(self.certificate), timeout=REQUEST_SECONDS, **options)


def ready(server: Lizmap) -> Lizmap:
    server.wait_until_healthy()
    return server


@pytest.fixture(scope="module")
def secured(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("https")
    mounts = make_certificate(folder / "tls")
    ports = {f"{port}/tcp": ("127.0.0.1", None) for port in (8080, 8443)}
    environment = {"HTTPS_PORT": "443", "HSTS_SECONDS": "600"}
    options: Any = {"settings": SECURE, "mounts": mounts, "ports": ports, "environment": environment}
    with lizmap(lizmap_image, folder, network, **options) as server:
        ready(server).publish("fields", "__anonymous")
        yield Secured(server, folder / "tls" / "tls_certificate")


@pytest.fixture(scope="module")
def proxied(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lizmap]:
    folder = tmp_path_factory.mktemp("proxied")
    with lizmap(lizmap_image, folder, network, environment={"TRUSTED_PROXIES": HERE}) as server:
        ready(server).publish("fields", "__anonymous")
        yield server


@pytest.fixture(scope="module")
def plain(lizmap_image: str, network: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lizmap]:
    with lizmap(lizmap_image, tmp_path_factory.mktemp("plain"), network) as server:
        ready(server).publish("fields", "__anonymous")
        yield server


def links(answer: requests.Response) -> set[str]:
    """Give the beginnings of the addresses of services in capabilities."""
    return set(re.findall(r'(https?://[^/"\s]+)/index\.php/lizmap/service', answer.text))


def capabilities(server: Lizmap, **headers: str) -> set[str]:
    path = (
        "/index.php/lizmap/service?repository=fields&project=meadow&SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities"
    )
    return links(server.get(path, headers=headers))


def log_in(server: Lizmap, password: str, **headers: str) -> requests.Response:
    """Try to log in as a browser does."""
    with requests.Session() as session:
        session.headers.update(headers)
        page = session.get(f"{server.url}/admin.php/auth/login", timeout=REQUEST_SECONDS)
        token = re.search(r'name="__JFORMS_TOKEN__" value="([^"]+)"', page.text)
        assert token, page.text[:2000]
        fields = {"__JFORMS_TOKEN__": token[1], "auth_login": "admin", "auth_password": password}
        return session.post(
            f"{server.url}/admin.php/auth/login/in", fields, timeout=REQUEST_SECONDS, allow_redirects=False
        )


def test_http_goes_to_https(secured: Secured) -> None:
    answer = secured.server.get("/index.php/view/map?repository=fields", allow_redirects=False)
    assert answer.status_code == 308
    assert answer.headers["Location"] == "https://127.0.0.1/index.php/view/map?repository=fields"
    wrong = requests.get(f"http://127.0.0.1:{secured.port}/x", timeout=REQUEST_SECONDS, allow_redirects=False)
    assert (wrong.status_code, wrong.headers["Location"]) == (308, "https://127.0.0.1/x")


def test_a_map_opens_by_https_with_the_given_certificate(secured: Secured) -> None:
    assert secured.get("/index.php/view/map?repository=fields&project=meadow", allow_redirects=False).ok
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{secured.url}/", timeout=REQUEST_SECONDS)


@pytest.mark.parametrize("program", ["-tls1", "-tls1_1"])
def test_old_protocols_are_refused(secured: Secured, program: str) -> None:
    command = ["openssl", "s_client", program, "-connect", f"127.0.0.1:{secured.port}"]
    assert subprocess.run(command, input=b"", capture_output=True, check=False).returncode != 0


def test_the_cookie_is_kept_from_others(secured: Secured, plain: Lizmap) -> None:
    cookie = secured.get("/admin.php/auth/login").headers["Set-Cookie"].lower()
    assert {"secure", "httponly", "samesite=lax"} <= {part.strip() for part in cookie.split(";")}
    assert "secure" not in plain.get("/admin.php/auth/login").headers["Set-Cookie"].lower()


def test_what_browsers_are_told(secured: Secured, plain: Lizmap) -> None:
    page, admin = secured.get("/index.php/view/"), secured.get("/admin.php/auth/login")
    for answer in (page, admin):
        assert answer.headers["Strict-Transport-Security"] == "max-age=600"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
    assert admin.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert "X-Frame-Options" not in page.headers
    assert "Strict-Transport-Security" not in plain.get("/index.php/view/").headers


def test_lizmaps_own_addresses_are_by_https_and_without_a_port_of_the_container(secured: Secured) -> None:
    path = (
        "/index.php/lizmap/service?repository=fields&project=meadow&SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities"
    )
    assert links(secured.get(path)) == {secured.url}
    assert links(secured.get(path, headers={"Host": "maps.example.org"})) == {"https://maps.example.org"}


def test_a_name_without_a_port_stays_without_one(plain: Lizmap) -> None:
    assert capabilities(plain, Host="maps.example.org") == {"http://maps.example.org"}


def test_only_a_trusted_proxy_tells_how_people_come(plain: Lizmap, proxied: Lizmap) -> None:
    told = {"Host": "maps.example.org", "X-Forwarded-Proto": "https"}
    assert capabilities(proxied, **told) == {"https://maps.example.org"}
    assert capabilities(plain, **told) == {"http://maps.example.org"}


def test_the_sixth_wrong_password_in_a_minute_is_refused_to_that_client_only(proxied: Lizmap) -> None:
    somebody, other = {"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}
    tried = [log_in(proxied, f"wrong {n}", **somebody) for n in range(ALLOWED + 1)]
    assert [answer.status_code for answer in tried] == [303] * ALLOWED + [429]
    assert "/auth/login" in tried[0].headers["Location"]
    assert "Too many attempts to log in. Wait a minute" in tried[-1].text
    assert tried[-1].headers["Retry-After"] == "60"
    assert log_in(proxied, ADMIN_PASSWORD, **somebody).status_code == 429
    let_in = log_in(proxied, ADMIN_PASSWORD, **other)
    assert let_in.status_code == 303 and "/auth/login" not in let_in.headers["Location"]
    # Maps go on for who typed a wrong password.
    assert proxied.get("/index.php/view/", headers=somebody).ok


def test_a_client_cannot_pretend_to_be_another(plain: Lizmap) -> None:
    answers = [log_in(plain, f"wrong {n}", **{"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(ALLOWED + 1)]
    assert answers[-1].status_code == 429


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"HTTPS_PORT": "443"}, "HTTPS_PORT is set, but /run/secrets/tls_certificate is missing"),
        ({"HTTPS_PORT": "https"}, "HTTPS_PORT must be a port, not 'https'"),
        ({"HSTS_SECONDS": "-1"}, "HSTS_SECONDS must be a positive whole number"),
        ({"TRUSTED_PROXIES": "10.0.0.1; proxy"}, "TRUSTED_PROXIES: '10.0.0.1;' is no address"),
    ],
)
def test_wrong_settings_end_the_container_with_a_sentence(
    lizmap_image: str, tmp_path: Path, environment: dict[str, str], said: str
) -> None:
    tmp_path.chmod(0o755)
    secret = tmp_path / "secret"
    secret.write_text("not a secret", "utf-8")
    os.chown(secret, 33, 33)
    container = docker.from_env().containers.run(
        lizmap_image,
        **HARDENED,
        name=f"{PREFIX}front",
        environment=environment,
        cap_add=list(sandbox.CAPABILITIES),
        tmpfs=sandbox.TMPFS,
        volumes=[f"{secret}:/run/secrets/postgis_password:ro"],
    )
    try:
        assert container.wait(timeout=REQUEST_SECONDS)["StatusCode"] == 1
        assert said in container.logs().decode()
    finally:
        container.remove(force=True)
