"""What the map server listens on follows from what the kernel has."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "images" / "lizmap" / "front"


def written(
    tmp_path: Path, *, https: bool, ipv6: bool = False, authority: bool = False, nginx: str = "1.26.3"
) -> dict[str, str]:
    """Give what it writes by file.

    The folders of the container and of the kernel are stand-ins: no process is without its kernel's IPv6.
    """
    text = SCRIPT.read_text("utf-8")
    for name, place in {"folder": "run", "secrets": "secrets", "ipv6": "if_inet6"}.items():
        text, found = re.subn(rf"^{name}=/.*$", f"{name}={tmp_path}/{place}", text, flags=re.MULTILINE)
        assert found == 1
    assert "/usr/sbin/nginx -v" in text
    text = text.replace("/usr/sbin/nginx -v", f"echo nginx version: nginx/{nginx}")
    (tmp_path / "run").mkdir()
    (tmp_path / "secrets").mkdir()
    for name in ("tls_certificate", "tls_key", *(["tls_authority"] if authority else [])):
        (tmp_path / "secrets" / name).write_text("PEM")
    if ipv6:
        (tmp_path / "if_inet6").touch()
    environment = {"PATH": os.environ["PATH"], "HTTPS_PORT": "443" if https else ""}
    subprocess.run(["bash", "-c", text], check=True, env=environment)
    return {name: (tmp_path / "run" / f"{name}.conf").read_text() for name in ("listen", "redirect")}


@pytest.mark.field("B15", "IPv6 is off in the kernel")
@pytest.mark.parametrize("https", [False, True])
@pytest.mark.parametrize("ipv6", [False, True])
def test_it_listens_on_ipv6_where_the_kernel_has_it(tmp_path: Path, https: bool, ipv6: bool) -> None:
    files = written(tmp_path, https=https, ipv6=ipv6)
    listened = re.findall(r"^ *listen (.+);$", "".join(files.values()), re.MULTILINE)
    ports = ["8443 ssl", "8080"] if https else ["8080"]
    assert sorted(listened) == sorted([*ports, *(f"[::]:{port}" for port in ports if ipv6)])


@pytest.mark.parametrize("authority", [False, True])
def test_the_page_of_the_authority_is_there_with_the_authority(tmp_path: Path, authority: bool) -> None:
    files = written(tmp_path, https=True, authority=authority)
    assert {name: "include /etc/poppyfield/fleet-ca.conf;" in text for name, text in files.items()} == {
        "listen": authority,
        "redirect": authority,
    }


@pytest.mark.parametrize(
    ("nginx", "said"),
    [("1.22.1", ["listen 8443 ssl http2;"]), ("1.26.3", ["listen 8443 ssl;", "http2 on;"])],
)
def test_http_2_is_asked_for_as_this_nginx_knows_it(tmp_path: Path, nginx: str, said: list[str]) -> None:
    lines = written(tmp_path, https=True, nginx=nginx)["listen"].splitlines()
    assert [line for line in lines if line.startswith(("listen", "http2"))] == said


def test_the_position_is_told_without_https_by_each_site_and_by_the_redirect(tmp_path: Path) -> None:
    """What it tells is no secret, and who has no certificate yet can ask, too."""
    include = "include /etc/poppyfield/position.conf;"
    assert written(tmp_path, https=True)["redirect"].count(include) == 1
    sites = ("map-page", "lizmap")
    for name in sites:
        assert (SCRIPT.parent / "nginx" / f"{name}.conf").read_text("utf-8").count(include) == 1
    assert (SCRIPT.parent / "Dockerfile").read_text("utf-8").count(" nginx/position.conf ") == len(sites)
