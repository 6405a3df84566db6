"""What the map server listens on follows from what the kernel has."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.hotspot.names import MAP, PROBES

SCRIPT = Path(__file__).resolve().parents[2] / "images" / "lizmap" / "front"


def written(
    tmp_path: Path,
    *,
    https: bool,
    ipv6: bool = False,
    authority: bool = False,
    nginx: str = "1.26.3",
    hotspot: str = "",
) -> dict[str, str]:
    """Give what it writes by file.

    The folders of the container and of the kernel are stand-ins: no process is without its kernel's IPv6.
    """
    text = SCRIPT.read_text("utf-8")
    for name, place in {"folder": "run", "ipv6": "if_inet6"}.items():
        text, found = re.subn(rf"^{name}=/.*$", f"{name}={tmp_path}/{place}", text, flags=re.MULTILINE)
        assert found == 1
    assert "/usr/sbin/nginx -v" in text
    text = text.replace("/usr/sbin/nginx -v", f"echo nginx version: nginx/{nginx}")
    (tmp_path / "run").mkdir()
    for name, content in {"tls_key": "PEM", "tls_certificate": "PEM", "tls_authority": "PEM" * authority}.items():
        (tmp_path / name).write_text(content)
    if ipv6:
        (tmp_path / "if_inet6").touch()
    (tmp_path / "front").write_text(text.replace(" /tmp/", f" {tmp_path}/tmp/"))
    environment = {"PATH": os.environ["PATH"], "HTTPS_PORT": "443" if https else "", "HOTSPOT_NETWORK": hotspot}
    command = "bash front < tls_key 3< tls_certificate 4< tls_authority"
    subprocess.run(["bash", "-c", command], check=True, env={**environment, "QGIS_SERVER_TIMEOUT": "300"}, cwd=tmp_path)
    return {path.stem: path.read_text() for path in (tmp_path / "run").glob("*.conf")}


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
    included = {name: "include /etc/poppyfield/fleet-ca.conf;" in files[name] for name in ("listen", "redirect")}
    assert included == {
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


@pytest.mark.parametrize("hotspot", ["", "10.77.77.0/24"])
def test_who_joins_is_led_to_a_page_only_where_the_pi_has_a_wifi(tmp_path: Path, hotspot: str) -> None:
    files = written(tmp_path, https=True, hotspot=hotspot)
    for name in ("portal", "portal-page"):
        assert files[name] == (f"include /etc/poppyfield/{name}.conf;\n" if hotspot else "")
    # Also without HTTPS: who has to pass a warning first is nobody's guest.
    assert f"include {tmp_path}/run/portal-page.conf;" in files["redirect"]
    geo = tmp_path / "run" / "portal.geo"
    assert (geo.read_text() == f"{hotspot} 1;\n") if hotspot else not geo.exists()


def test_each_site_has_the_page_and_nginx_knows_the_names_that_dns_leads_to_it() -> None:
    nginx = SCRIPT.parent / "nginx"
    for site in ("map-page", "lizmap"):
        assert (nginx / f"{site}.conf").read_text("utf-8").count("include /run/front/portal-page.conf;") == 1
    text = (nginx / "portal.conf").read_text("utf-8")
    served = re.search(r"server_name\s([^;]+);", text)
    assert served and sorted(served[1].split()) == sorted(name for names in PROBES.values() for name in names)
    # Of several servers at a port the first is for names that none of them has.
    main = (nginx / "nginx.conf").read_text("utf-8")
    assert main.index("/etc/poppyfield/site.conf") < main.index("/run/front/portal.conf")
    for page in (SCRIPT.parent / "portal").iterdir():
        assert f"http://{MAP}/" in page.read_text("utf-8")


def test_what_the_image_is_made_of_is_in_its_build_context() -> None:
    """What .dockerignore does not let in is missed only by a build."""
    folder = SCRIPT.parent
    let_in = {line[1:] for line in (folder / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    text = (folder / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    added = [name for line in re.findall(r"\badd /\S+ ([^&\n]+)", text) for name in line.split()]
    assert "portal" in added and {name.partition("/")[0] for name in added} <= let_in
