"""What the tests of this scenario are given."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from testinfra.host import Host

from emulated_pi import HTTPS_PORT, pi  # noqa: F401 - pi is a fixture
from tests.lizmap.browser import Browser

SECRETS = "/etc/poppyfield/secrets"


@pytest.fixture(scope="session")
def certificate(pi: Host, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811 - the fixture
    """Return the Pi's certificate, which it has made for itself and shows to everybody."""
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_text(pi.check_output("cat %s", f"{SECRETS}/lizmap_tls_certificate") + "\n")
    assert ssl.get_server_certificate(("127.0.0.1", int(HTTPS_PORT))).split() == path.read_text().split()
    return path


@pytest.fixture(scope="session")
def browser(certificate: Path) -> Callable[[], Browser]:
    """Return what opens Lizmap as somebody who is not logged in."""
    return lambda: Browser(f"https://127.0.0.1:{HTTPS_PORT}", certificate)


@pytest.fixture(scope="session")
def log_in(pi: Host, browser: Callable[[], Browser]) -> Callable[[str], Browser]:  # noqa: F811 - the fixture
    """Return what logs somebody in, with the password that the Pi has made."""

    def run(login: str) -> Browser:
        secret = "lizmap_admin_password" if login == "admin" else f"lizmap_user_{login}"
        person = browser()
        assert person.log_in(login, pi.check_output("cat %s", f"{SECRETS}/{secret}"))
        return person

    return run
