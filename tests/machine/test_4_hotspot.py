"""A Pi's own Wi-Fi by radios that the kernel makes up: two devices join, and the map server sees each by its address.

One radio is the Pi's, for NetworkManager; each of the others is in a network namespace, with wpa_supplicant and a DHCP
client of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.machine.reached import Machine

# Where nobody has kept a provisioned machine, one is provisioned first.
pytestmark = pytest.mark.timeout(5400)

COUNTRY = "FR"
NAME = "demo-pi"
PI = "10.77.77.1"
PORTAL = "http://map.internal/portal/"
PROBE = "http://connectivitycheck.gstatic.com/generate_204"
OPERATOR = "http://map.internal/operator"
OPERATORS_PASSWORD = "correct-horse-battery"
MOST_GUESSES = 20
"""More than an address has free, also where each takes so long that others are free again meanwhile."""
# wpa_supplicant is on the images of Raspberry Pi OS, and not on this card.
RADIOS = """export DEBIAN_FRONTEND=noninteractive
apt-get -q update && apt-get -q install --yes --no-install-recommends wpasupplicant
echo mac80211_hwsim > /etc/modules-load.d/radios.conf
echo options mac80211_hwsim radios=3 > /etc/modprobe.d/radios.conf
modprobe mac80211_hwsim
timeout 600 sh -c 'until [ -e /sys/class/net/wlan2/phy80211/name ]; do sleep 1; done'
"""
JOIN = """ip netns add {device}
mkdir -p /etc/netns/{device}
echo 'nameserver {pi}' > /etc/netns/{device}/resolv.conf
iw phy "$(cat /sys/class/net/{device}/phy80211/name)" set netns name {device}
umask 077
cat > /run/{device}.conf <<'CONF'
network={{
ssid="{name}"
psk="{password}"
key_mgmt=WPA-PSK
}}
CONF
cat > /run/leased <<'LEASED'
[ "$1" = bound ] || exit 0
ip address replace "$ip/$mask" dev "$interface"
echo "leased $ip $router $dns"
LEASED
chmod 0700 /run/leased
ip netns exec {device} ip link set lo up
ip netns exec {device} wpa_supplicant -B -P /run/{device}.pid -D nl80211 -i {device} -c /run/{device}.conf
ip netns exec {device} busybox udhcpc -i {device} -n -q -f -t 60 -T 5 -s /run/leased
"""
LEAVE = """kill "$(cat /run/{device}.pid)" || true
ip netns delete {device} || true
rm -rf /etc/netns/{device} /run/{device}.conf
"""
ASK = """import http.client, sys
from urllib.parse import urlsplit
method, address, *body = sys.argv[1:]
parts = urlsplit(address)
asking = http.client.HTTPConnection(parts.hostname, timeout=300)
asking.request(method, parts.path, *body)
answer = asking.getresponse()
print(answer.status, answer.getheader("Location", "-"))
print(answer.read().decode())
"""
# By name, so dnsmasq answers, and nginx.
UNTIL_BACK = """timeout 900 sh -c '
until ip netns exec {device} python3 /srv/ask.py GET {address} 2> /dev/null | grep -q "^200 "; do sleep 1; done'
"""
# As the button "share this connection" of a desktop makes it. It has a dnsmasq of its own.
SHARE = """systemctl stop poppyfield-hotspot
nmcli connection modify poppyfield-hotspot ipv4.method shared
nmcli connection up poppyfield-hotspot
"""
SHARE_NO_MORE = """nmcli connection modify poppyfield-hotspot ipv4.method manual
nmcli connection up poppyfield-hotspot
systemctl start poppyfield-hotspot
"""
# A look that is under way has begun before.
LOOK = """systemctl stop poppyfield-page.service
systemctl start poppyfield-page.service
cat /run/poppyfield-page/status.json
"""


@dataclass(frozen=True)
class Station:
    """A device that has joined."""

    pi: Machine
    device: str
    address: str

    def ask(self, method: str, address: str, body: str = "") -> tuple[str, str]:
        """Ask by HTTP; give the status with where it leads, and the text."""
        said = self.pi.run(f"ip netns exec {self.device} python3 /srv/ask.py {method} {address} '{body}'")
        status, _, text = said.partition("\n")
        return status, text

    def guess(self) -> int:
        """Give an order with a wrong password; return the status."""
        form = urlencode({"order": "support", "password": "wrong-horse-battery"})
        return int(self.ask("POST", OPERATOR, form)[0].split()[0])

    def wait_until_back(self) -> None:
        """Wait until it can open the page again, by its name."""
        self.pi.run(UNTIL_BACK.format(device=self.device, address=PORTAL))


@pytest.fixture(scope="module")
def password(served: Machine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Have the Pi open its Wi-Fi, by site.yml, which also asks it on the Pi; return the password."""
    served.run(RADIOS)
    folder = tmp_path_factory.mktemp("passwords")
    asked = {
        **{"hotspot_enabled": True, "hotspot_country": COUNTRY, "hotspot_password_folder": str(folder)},
        **{"pi_page_operator_password": OPERATORS_PASSWORD, "pi_page_operator_over_http": True},
    }
    run = served.ansible("site.yml", "-e", json.dumps(asked), program="ansible-playbook")
    assert run.returncode == 0, run.stdout
    found = (Path(folder) / NAME).read_text(encoding="utf-8").strip()
    assert found not in run.stdout
    return found


@contextmanager
def joined_stations(served: Machine, password: str) -> Iterator[list[Station]]:
    """Have two devices join."""
    served.run(f"cat > /srv/ask.py <<'END'\n{ASK}\nEND")
    devices, joined = ("wlan1", "wlan2"), []
    try:
        for device in devices:
            said = served.run(JOIN.format(device=device, pi=PI, name=NAME, password=password)).split()
            address, router, server = said[said.index("leased") + 1 :][:3]
            assert (router, server) == (PI, PI)
            joined.append(Station(served, device, address))
        yield joined
    finally:
        for device in devices:
            served.ran(LEAVE.format(device=device))


@pytest.fixture(scope="module")
def stations(served: Machine, password: str) -> Iterator[list[Station]]:
    """Return two devices that have joined."""
    with joined_stations(served, password) as joined:
        yield joined


@pytest.mark.autonomy("lease by radio")
def test_the_radio_is_an_access_point_and_each_device_has_a_lease(served: Machine, stations: list[Station]) -> None:
    assert "type AP" in served.run("iw dev wlan0 info")
    # Both are there by radio, not by a lease of before.
    assert served.run("iw dev wlan0 station dump").count("authorized:\tyes") == len(stations)
    leases = served.run("cat /run/poppyfield-hotspot/leases")
    addresses = {station.address for station in stations}
    assert len(addresses) == len(stations) and all(address in leases for address in addresses)


@pytest.mark.autonomy("two addresses")
def test_who_presses_stays_and_the_map_server_sees_each_by_its_own_address(
    served: Machine, stations: list[Station]
) -> None:
    one, other = stations
    for station in stations:
        assert station.ask("GET", PROBE)[0] == f"302 {PORTAL}"
        status, page = station.ask("GET", PORTAL)
        assert status.startswith("200 ") and "http://map.internal/" in page
    assert one.ask("POST", f"{PORTAL}press")[0].startswith("303 ")
    assert one.ask("GET", PROBE)[0].startswith("204 ")
    assert other.ask("GET", PROBE)[0] == f"302 {PORTAL}", "the press of another device"
    lines = [line for line in served.run("docker logs websig-lizmap 2>&1").splitlines() if '"GET /portal/ ' in line]
    assert {line.split()[0] for line in lines} == {station.address for station in stations}


@pytest.mark.parametrize(
    ("fault", "remedy", "code"),
    [
        ("systemctl stop poppyfield-hotspot", "systemctl start poppyfield-hotspot", "hotspot_silent"),
        ("nmcli connection down poppyfield-hotspot", "nmcli connection up poppyfield-hotspot", "hotspot_closed"),
    ],
)
@pytest.mark.usefixtures("password")
def test_the_pis_page_tells_that_its_wifi_does_not_work(served: Machine, fault: str, remedy: str, code: str) -> None:
    def codes() -> list[str]:
        return [one["code"] for one in json.loads(served.run(LOOK))["wrong"] if one["subject"] == "hotspot"]

    assert codes() == []
    served.run(fault)
    try:
        assert codes() == [code]
    finally:
        served.run(remedy)
    assert codes() == []


def locked_out(station: Station) -> bool:
    """Guess until no more guesses are taken, at most so often; tell whether it came to that."""
    return any(station.guess() == HTTPStatus.TOO_MANY_REQUESTS for _ in range(MOST_GUESSES))


@pytest.mark.autonomy("lock-out")
def test_who_guesses_passwords_locks_nobody_else_out(stations: list[Station]) -> None:
    guessing, other = stations
    assert locked_out(guessing)
    assert other.guess() == HTTPStatus.FORBIDDEN


@pytest.mark.autonomy("shared")
def test_where_networkmanager_shares_the_wifi_all_are_one_address(served: Machine, stations: list[Station]) -> None:
    """Why the role does not have it so."""
    guessing, other = stations
    served.run(SHARE)
    try:
        for station in stations:
            station.wait_until_back()
        assert locked_out(guessing)
        assert other.guess() == HTTPStatus.TOO_MANY_REQUESTS
    finally:
        served.run(SHARE_NO_MORE)
    for station in stations:
        station.wait_until_back()


@pytest.mark.autonomy("back")
@pytest.mark.parametrize(
    "fault",
    [
        "systemctl restart NetworkManager",
        "systemctl restart docker",
        "systemctl kill --signal=KILL poppyfield-hotspot",
    ],
)
def test_devices_are_back_after_a_part_was_restarted_or_killed(
    served: Machine, stations: list[Station], fault: str
) -> None:
    served.run(fault)
    for station in stations:
        station.wait_until_back()
    assert served.run("iw dev wlan0 station dump").count("authorized:\tyes") == len(stations)


@pytest.mark.autonomy("back")
def test_the_wifi_is_back_after_a_reboot(served: Machine, password: str) -> None:
    """The last test: it takes the devices with it, which are in this machine, too."""
    served.reboot()
    with joined_stations(served, password) as joined:
        for station in joined:
            station.wait_until_back()
