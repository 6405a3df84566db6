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

import pytest

from tests.machine.reached import BOOT_SECONDS, Machine

# Where nobody has kept a provisioned machine, one is provisioned first.
pytestmark = pytest.mark.timeout(5400)

COUNTRY = "FR"
NAME = "demo-pi"
PI = "10.77.77.1"
PORTAL = "http://map.internal/portal/"
PROBE = "http://connectivitycheck.gstatic.com/generate_204"
BY_ADDRESS = f"http://{PI}/portal/"
OPERATORS_PASSWORD = "correct-horse-battery"
DEVICES = ("wlan1", "wlan2")
ROUNDS = 4
"""Fewer than the guesses that an address has free."""
# wpa_supplicant is on the images of Raspberry Pi OS, and not on this card.
RADIOS = """export DEBIAN_FRONTEND=noninteractive
apt-get -q update && apt-get -q install --yes --no-install-recommends wpasupplicant
# As a Pi's own, they are there at each start.
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
ip route replace default via "$router"
echo "leased $ip $router $dns"
LEASED
chmod 0700 /run/leased
ip netns exec {device} ip link set lo up
ip netns exec {device} wpa_supplicant -B -P /run/{device}.pid -D nl80211 -i {device} -c /run/{device}.conf
"""
LEASE = "ip netns exec {device} busybox udhcpc -i {device} -n -q -f -t 60 -T 5 -s /run/leased"
LEAVE = """kill "$(cat /run/{device}.pid)" || true
ip netns delete {device} || true
rm -rf /etc/netns/{device} /run/{device}.conf
"""
ASK = """import http.client, sys
from urllib.parse import urlsplit
method, address = sys.argv[1:]
parts = urlsplit(address)
asking = http.client.HTTPConnection(parts.hostname, timeout=300)
asking.request(method, parts.path)
answer = asking.getresponse()
print(answer.status, answer.getheader("Location", "-"))
print(answer.read().decode())
"""
UNTIL_BACK = """begun=$(cut -d. -f1 /proc/uptime)
timeout {seconds} sh -c '
until ip netns exec {device} python3 /srv/ask.py GET {address} 2> /dev/null | grep -q "^200 "; do sleep 1; done'
echo $(($(cut -d. -f1 /proc/uptime) - begun))
"""
UNTIL_BEGUN_AGAIN = """before=$(systemctl show --property=MainPID --value {unit})
systemctl {order} {unit}
timeout {seconds} sh -c '
while [ "$(systemctl show --property=MainPID --value {unit})" = '$before' ] || ! systemctl -q is-active {unit}
do sleep 1; done'
"""
# Of one program, so that no time goes by in which somebody may guess again: the first device guesses the operator's
# password until no more guesses are taken, then the other one guesses once, and what it is answered is printed.
GUESS = """import http.client, os, sys
from urllib.parse import urlencode
host, rounds, guessing, other = sys.argv[1:]
form = urlencode({"order": "support", "password": "wrong-horse-battery"})
def guess(device):
    with open(f"/run/netns/{device}") as network:
        os.setns(network.fileno(), os.CLONE_NEWNET)
    asking = http.client.HTTPConnection(host, timeout=300)
    asking.request("POST", "/operator", form)
    return asking.getresponse().status
for _ in range(int(rounds)):
    if not any(guess(guessing) == 429 for _ in range(20)):
        sys.exit("it may go on guessing")
    print(guess(other))
"""
# As the button "share this connection" of a desktop makes it, beside the profile. It has a dnsmasq of its own, which
# knows no names.
SHARE = """systemctl stop poppyfield-hotspot
umask 077
sed -e 's/^id=.*/id=shared/' -e 's/^uuid=.*/uuid=77777777-7777-4777-8777-777777777777/' -e '/^address2=/d' \\
    -e '/^never-default=/d' -e 's/^method=manual/method=shared/' \\
    /etc/NetworkManager/system-connections/poppyfield-hotspot.nmconnection > /run/shared.nmconnection
install -D -m 0600 /run/shared.nmconnection /run/NetworkManager/system-connections/shared.nmconnection
nmcli connection load /run/NetworkManager/system-connections/shared.nmconnection
nmcli connection up shared
"""
SHARE_NO_MORE = """nmcli connection up poppyfield-hotspot
nmcli connection delete shared
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

    def ask(self, method: str, address: str) -> tuple[str, str]:
        """Ask by HTTP; give the status with where it leads, and the text."""
        said = self.pi.run(f"ip netns exec {self.device} python3 /srv/ask.py {method} {address}")
        status, _, text = said.partition("\n")
        return status, text

    def wait_until_back(self, page: str = PORTAL) -> int:
        """Wait until it can open the page again; tell how many seconds of the machine's clock that took."""
        said = self.pi.run(UNTIL_BACK.format(device=self.device, address=page, seconds=BOOT_SECONDS))
        return int(said.split()[-1])


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
    for name, program in (("ask", ASK), ("guess", GUESS)):
        served.run(f"cat > /srv/{name}.py <<'END'\n{program}\nEND")
    try:
        for device in DEVICES:
            served.run(JOIN.format(device=device, pi=PI, name=NAME, password=password))
        yield [Station(served, device, leased(served, device)) for device in DEVICES]
    finally:
        for device in DEVICES:
            served.ran(LEAVE.format(device=device))


def leased(served: Machine, device: str) -> str:
    """Have a device ask for an address; return it."""
    said = served.run(LEASE.format(device=device)).split()
    address, router, server = said[said.index("leased") + 1 :][:3]
    assert (router, server) == (PI, PI)
    return address


def seen_as(stations: list[Station], path: str) -> list[str]:
    """Have each device ask for a path that nobody else asks for; give the addresses that nginx has logged."""
    for station in stations:
        station.ask("GET", f"http://{PI}/{path}")
    lines = stations[0].pi.run("docker logs websig-lizmap 2>&1").splitlines()
    return [line.split()[0] for line in lines if f'"GET /{path} ' in line]


def answers_beside_a_guesser(served: Machine) -> set[int]:
    """Give what a device is answered that guesses now and then, each time after the other one has guessed too often."""
    return set(map(int, served.run(f"python3 /srv/guess.py {PI} {ROUNDS} {' '.join(DEVICES)}").split()))


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
def test_who_presses_stays_and_the_map_server_sees_each_by_its_own_address(stations: list[Station]) -> None:
    one, other = stations
    for station in stations:
        assert station.ask("GET", PROBE)[0] == f"302 {PORTAL}"
        status, page = station.ask("GET", PORTAL)
        assert status.startswith("200 ") and "http://map.internal/" in page
    assert one.ask("POST", f"{PORTAL}press")[0].startswith("303 ")
    assert one.ask("GET", PROBE)[0].startswith("204 ")
    assert other.ask("GET", PROBE)[0] == f"302 {PORTAL}", "the press of another device"
    assert seen_as(stations, "seen") == [one.address, other.address]


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


@pytest.mark.autonomy("lock-out")
def test_who_guesses_passwords_locks_nobody_else_out(served: Machine, stations: list[Station]) -> None:
    # The Wi-Fi was closed by the test before.
    for station in stations:
        station.wait_until_back()
    assert answers_beside_a_guesser(served) == {HTTPStatus.FORBIDDEN}


@pytest.mark.autonomy("shared")
def test_where_networkmanager_shares_the_wifi_all_are_one_address(served: Machine, stations: list[Station]) -> None:
    """Why the role does not have it so."""
    served.run(SHARE)
    try:
        for station in stations:
            station.wait_until_back(BY_ADDRESS)
        one, other = seen_as(stations, "seen-shared")
        assert one == other
        assert HTTPStatus.TOO_MANY_REQUESTS in answers_beside_a_guesser(served)
    finally:
        served.run(SHARE_NO_MORE)
    for station in stations:
        station.wait_until_back()


@pytest.mark.autonomy("back")
@pytest.mark.parametrize(
    ("unit", "order"),
    [
        ("NetworkManager", "restart"),
        ("docker", "restart"),
        ("docker", "kill --signal=KILL"),
        ("poppyfield-hotspot", "kill --signal=KILL"),
    ],
)
def test_devices_are_back_after_a_part_was_restarted_or_killed(
    served: Machine, stations: list[Station], unit: str, order: str
) -> None:
    served.run(UNTIL_BEGUN_AGAIN.format(unit=unit, order=order, seconds=BOOT_SECONDS))
    print(f"seconds since {unit} had begun again after {order}:", *(station.wait_until_back() for station in stations))
    assert [leased(served, station.device) for station in stations] == [station.address for station in stations]
    assert served.run("iw dev wlan0 station dump").count("authorized:\tyes") == len(stations)


@pytest.mark.autonomy("back")
def test_the_wifi_is_back_after_a_reboot(served: Machine, password: str) -> None:
    """The last test: it takes the devices with it, which are in this machine, too."""
    served.reboot()
    with joined_stations(served, password) as joined:
        print("seconds since both had an address:", *(station.wait_until_back() for station in joined))
