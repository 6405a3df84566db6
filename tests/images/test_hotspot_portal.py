"""Who joins the Pi's own Wi-Fi is led to a page, and stays once its button was pressed; with and without HTTPS."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from ansible.module_utils.poppyfield.hotspot import names

from tests.doubles.joining_devices import CONNECTED, DEVICES, SIGN_IN, JoiningDevice
from tests.images.map_server import MapServer, map_server, volumes
from tests.images.test_pi_page import folder_of_a_pi

NETWORK = "10.77.77.0/24"
PORTAL = f"http://{names.MAP}/portal/"
GUESTS = (f"10.77.77.{number}" for number in itertools.count(2))


class Wifi:
    """A map server in whose Wi-Fi devices are; the tests come by a proxy that tells from which address."""

    def __init__(self, server: MapServer) -> None:
        self.server = server

    def ask(self, guest: str, name: str, path: str, method: str = "GET", **headers: str) -> requests.Response:
        """Ask as a device at this address asks a server of this name by HTTP."""
        return requests.request(
            method,
            self.server.url + path,
            headers={"Host": name, "X-Forwarded-For": guest, **headers},
            allow_redirects=False,
            timeout=60,
        )

    def probe(self, guest: str, device: JoiningDevice) -> str:
        """Give what a device makes of it."""
        return device.decide(self.ask(guest, device.name, device.path))

    def press(self, guest: str) -> requests.Response:
        """Press the button of the page."""
        return self.ask(guest, names.MAP, "/portal/press", "POST")


@pytest.fixture(scope="module", params=["http", "https"])
def wifi(request: pytest.FixtureRequest, lizmap_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wifi]:
    folder = folder_of_a_pi(tmp_path_factory)
    environment = {"QGIS_SERVER_WORKERS": "1", "SERVER_NAMES": names.MAP, "HOTSPOT_NETWORK": NETWORK}
    # The engine's own network, from which the tests come.
    environment["TRUSTED_PROXIES"] = "172.16.0.0/12 192.168.0.0/16"
    secrets: tuple[str, ...] = ()
    if request.param == "https":
        environment["HTTPS_PORT"] = "443"
        secrets = ("tls_certificate", "tls_key")
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-subj", "/CN=pi-orchard", "-out", str(folder / secrets[0]), "-keyout", str(folder / secrets[1])]
        subprocess.run(command, check=True, capture_output=True)
        for name in secrets:
            (folder / name).chmod(0o400)
            os.chown(folder / name, 33, 33)
    options: dict[str, Any] = {
        "environment": environment,
        "volumes": [*volumes(folder), *(f"{folder / name}:/run/secrets/{name}:ro" for name in secrets)],
        "ports": {"8080/tcp": ("127.0.0.1", None)},
    }
    with map_server(lizmap_image, folder, **options) as running:
        running.wait_until_healthy()
        yield Wifi(running)


@pytest.mark.autonomy("portal")
@pytest.mark.autonomy("models")
@pytest.mark.parametrize("system", DEVICES)
def test_each_system_is_led_to_the_page_and_stays_after_the_press(wifi: Wifi, system: str) -> None:
    device, guest = DEVICES[system], next(GUESTS)
    led = wifi.ask(guest, device.name, device.path)
    assert device.decide(led) == SIGN_IN and led.headers["Location"] == PORTAL
    assert led.headers["Cache-Control"] == "no-store", "a browser that keeps it would show the page for ever"
    assert wifi.press(guest).status_code == 303
    assert wifi.probe(guest, device) == CONNECTED
    assert wifi.probe(next(GUESTS), device) == SIGN_IN, "the press of another device"


@pytest.mark.parametrize(("language", "words"), [("fr-FR,fr;q=0.9,en;q=0.8", "Appuyez"), ("de", "Press")])
def test_the_page_is_in_the_language_of_the_device_and_needs_nothing_else(
    wifi: Wifi, language: str, words: str
) -> None:
    answer = wifi.ask(next(GUESTS), names.MAP, "/portal/", **{"Accept-Language": language})
    text = answer.content.decode()
    assert answer.status_code == 200 and words in text and f"http://{names.MAP}/" in text
    assert (
        answer.headers["Cache-Control"] == "no-store"
        and "default-src 'none'" in answer.headers["Content-Security-Policy"]
    )
    assert not re.search(r"<(script|img|link)\b", text)


def test_the_press_leads_to_what_is_to_be_done_next(wifi: Wifi) -> None:
    guest = next(GUESTS)
    assert wifi.press(guest).headers["Location"] == "/portal/pressed"
    assert f"http://{names.MAP}/" in wifi.ask(guest, names.MAP, "/portal/pressed").text
    # What else somebody looks for at these names is not here; the map is.
    assert wifi.ask(guest, "www.google.com", "/search?q=x").headers["Location"] == f"http://{names.MAP}/"
    assert wifi.press(guest).status_code == 303, "once more does no harm"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_only_a_press_presses(wifi: Wifi, method: str) -> None:
    guest, device = next(GUESTS), DEVICES["Android"]
    assert wifi.ask(guest, names.MAP, "/portal/press", method).status_code in (403, 405)
    assert wifi.ask(guest, names.MAP, "/portal/write-down", method).status_code in (308, 404, 405)
    assert wifi.probe(guest, device) == SIGN_IN


@pytest.mark.parametrize("address", ["192.168.9.9", "10.77.78.2", "203.0.113.7"])
def test_who_is_not_in_the_wifi_presses_nothing(wifi: Wifi, address: str) -> None:
    """So that there are never more presses to remember than the network has addresses."""
    assert wifi.press(address).status_code == 403
    assert wifi.probe(address, DEVICES["Android"]) == SIGN_IN


def test_what_is_remembered_is_an_address_and_nothing_else(wifi: Wifi) -> None:
    guest = next(GUESTS)
    wifi.press(guest)
    code, told = wifi.server.run("find", "/tmp/portal", "-type", "f", "-printf", "%f %s\n", user="nginx:www-data")
    lines = told.split("\n")
    assert code == 0 and f"{guest} 1" in lines
    assert all(re.fullmatch(r"10\.77\.77\.\d+ 1", line) for line in lines if line)


def test_other_names_are_answered_as_before(wifi: Wifi) -> None:
    guest = next(GUESTS)
    assert wifi.ask(guest, "evil.example", "/").status_code == 421
    assert wifi.ask(guest, names.MAP, "/position").json()["state"] == "off"
    assert wifi.ask(guest, names.MAP, "/healthz").status_code == 200
