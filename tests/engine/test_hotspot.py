"""A Pi's own Wi-Fi with the real dnsmasq and NetworkManager of both releases; a cable stands for the radio."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from ansible.module_utils.poppyfield.host import firewall, host_files
from ansible.module_utils.poppyfield.host.firewall_service import FirewallService
from ansible.module_utils.poppyfield.hotspot import names, service, settings
from ansible.module_utils.poppyfield.hotspot.service import HotspotError, HotspotService
from ansible.module_utils.poppyfield.hotspot.settings import UUIDS, Hotspot

from tests.engine.little_network import ManagedNetwork, Network, link, network, program, root, wait_until

SUITES = ("trixie", "bookworm")
HOTSPOT = Hotspot("hs0", "FR", "pi-orchard", 6, "10.77.77.0/24", "correct horse")
TYPES = {"A": 1, "AAAA": 28, "HTTPS": 65}
# Asks a server of names as a device does, and prints for each question its code and addresses.
ASK = """
import json, socket, struct, sys
answers = {}
for name, kind in json.loads(sys.argv[2]):
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    question += b"\\0" + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(10)
        asking.connect((sys.argv[1], 53))
        asking.send(struct.pack(">6H", 77, 0x100, 1, 0, 0, 0) + question)
        answer = asking.recv(4096)
    flags, count = struct.unpack(">HH", answer[2:4] + answer[6:8])
    addresses, at = [], 12 + len(question)
    for _ in range(count):
        kind_there, _, _, size = struct.unpack(">HHIH", answer[at + 2 : at + 12])
        addresses += [socket.inet_ntoa(answer[at + 12 : at + 16])] if kind_there == 1 else ["?"]
        at += 12 + size
    answers[f"{name} {kind}"] = [flags & 15, addresses]
print(json.dumps(answers))
"""
OK, NO_SUCH_NAME = 0, 3
LEASED = '#!/bin/sh\n[ "$1" != bound ] || echo "$ip $router $dns $mask"\n'


@pytest.fixture(params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def air(suite: str, tmp_path: Path) -> Iterator[tuple[Network, Network]]:
    """Give a Pi's network, in which dnsmasq runs, and that of a device which is near."""
    with network() as pi, network() as device:
        link(pi, "hs0", device, "wl0")
        for address in (f"{HOTSPOT.address}/24", f"{names.OUTSIDE}/32"):
            pi.run("ip", "address", "add", address, "dev", "hs0")
        # Another network of the Pi, in which it answers nobody.
        link(pi, "eth0", device, "eth0")
        pi.run("ip", "address", "add", "10.9.9.1/24", "dev", "eth0")
        device.run("ip", "address", "add", "10.9.9.2/24", "dev", "eth0")
        text = settings.name_server(HOTSPOT, str(tmp_path / "leases"))
        assert "user=dnsmasq\n" in text
        (tmp_path / "dnsmasq.conf").write_text(text.replace("user=dnsmasq\n", "user=root\n"))
        options = [f"--conf-file={tmp_path}/dnsmasq.conf", f"--pid-file={tmp_path}/pid"]
        pi.begin(*program(suite, "sbin/dnsmasq"), *options, log=tmp_path / "dnsmasq.log")
        wait_until(lambda: "started" in (tmp_path / "dnsmasq.log").read_text(), "dnsmasq has started")
        yield pi, device


def asked(device: Network, server: str, *questions: tuple[str, str]) -> dict[tuple[str, str], tuple[int, list[str]]]:
    """Ask for names, each with its type; give the code and the addresses of each answer."""
    wanted = json.dumps([(name, TYPES[kind]) for name, kind in questions])
    found = json.loads(device.run(sys.executable, "-c", ASK, server, wanted).stdout)
    return {(name, kind): tuple(found[f"{name} {TYPES[kind]}"]) for name, kind in questions}


def test_a_device_gets_an_address_and_the_names_that_there_are(air: tuple[Network, Network], tmp_path: Path) -> None:
    _, device = air
    (tmp_path / "leased").write_text(LEASED)
    (tmp_path / "leased").chmod(0o755)
    options = ["-i", "wl0", "-n", "-q", "-f", "-t", "5", "-s", str(tmp_path / "leased")]
    leased = device.run("busybox", "udhcpc", *options).stdout.split()[-4:]
    assert leased[0].startswith("10.77.77.") and leased[0] != HOTSPOT.address
    assert leased[1:] == [HOTSPOT.address, HOTSPOT.address, "24"]
    assert leased[0] in (tmp_path / "leases").read_text()
    device.run("ip", "address", "add", f"{leased[0]}/24", "dev", "wl0")
    known = names.records(HOTSPOT.address)
    questions = [(name, kind) for name in (*known, "www.example.org", "wpad", "x.map.internal") for kind in TYPES]
    answers = asked(device, HOTSPOT.address, *questions)
    for name, address in known.items():
        assert answers[name, "A"] == (OK, [address]), name
        # The name is there, and has no such address: who hears that there is no name forgets the other answer.
        assert answers[name, "AAAA"] == answers[name, "HTTPS"] == (OK, []), name
    for name in ("www.example.org", "wpad", "x.map.internal"):
        assert {answers[name, kind] == (NO_SUCH_NAME, []) for kind in TYPES} == {True}, (name, answers)


def test_another_network_of_the_pi_is_given_neither_names_nor_addresses(
    air: tuple[Network, Network], tmp_path: Path
) -> None:
    pi, device = air
    # As where its adapter is in another Wi-Fi, too.
    pi.run("ip", "address", "add", "10.1.1.1/24", "dev", "hs0")
    device.run("ip", "address", "add", "10.1.1.2/24", "dev", "wl0")
    for address in ("10.9.9.1", "10.1.1.1"):
        with pytest.raises(subprocess.CalledProcessError) as refused:
            asked(device, address, (names.MAP, "A"))
        assert "ConnectionRefusedError" in refused.value.stderr
    (tmp_path / "leased").write_text(LEASED)
    (tmp_path / "leased").chmod(0o755)
    options = ["-i", "eth0", "-n", "-q", "-f", "-t", "2", "-T", "1", "-s", str(tmp_path / "leased")]
    assert device.run("busybox", "udhcpc", *options, check=False).returncode != 0


CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)"
CONTAINER, OFFICE_SERVER = "172.30.0.2", "10.9.9.2"


def reaches(device: Network, address: str, port: int) -> bool:
    """Tell whether somebody answers there."""
    return device.run(sys.executable, "-c", CONNECT, address, str(port), check=False).returncode == 0


@pytest.mark.parametrize("defended", [False, True])
def test_nothing_is_passed_on_but_to_what_a_container_publishes(tmp_path: Path, defended: bool) -> None:
    """Without the rules a tablet gets anywhere by way of the Pi, and is got at, as Docker has a host pass on."""
    with network() as pi, network() as tablet, network() as office, network() as container:
        for here, device, ours, theirs in (
            ("hs0", tablet, HOTSPOT.address, "10.77.77.9"),
            ("eth0", office, "10.9.9.1", OFFICE_SERVER),
            ("poppyfield", container, "172.30.0.1", CONTAINER),
        ):
            link(pi, here, device, "net0")
            pi.run("ip", "address", "add", f"{ours}/24", "dev", here)
            device.run("ip", "address", "add", f"{theirs}/24", "dev", "net0")
            device.run("ip", "route", "add", "default", "via", ours)
            device.begin(sys.executable, "-m", "http.server", "8080", log=tmp_path / f"{here}.log")
            wait_until(partial(reaches, device, theirs, 8080), "somebody answers")
        pi.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        publish = ["-t", "nat", "-A", "PREROUTING", "-p", "tcp", "-d", HOTSPOT.address, "--dport", "80", "-j", "DNAT"]
        pi.run("iptables", *publish, "--to-destination", f"{CONTAINER}:8080")
        wall = FirewallService(tmp_path / "wall", tmp_path)
        wall.write(firewall.with_hotspot({}, HOTSPOT.interface if defended else ""))
        pi.run("sh", str(wall.folder / "firewall"), "apply")
        assert reaches(tablet, HOTSPOT.address, 80), "the map"
        open_ways = {
            "to the office": reaches(tablet, OFFICE_SERVER, 8080),
            "from the office": reaches(office, "10.77.77.9", 8080),
            "to what is not published": reaches(tablet, CONTAINER, 8080),
            "from a container": reaches(container, "10.77.77.9", 8080),
        }
        assert set(open_ways.values()) == {not defended}, open_ways
        assert reaches(office, CONTAINER, 8080), "what is somebody else's goes on"


AWKWARD = ["pi-orchard", "verger; «été» \\ 1;2", " 112;105; ", 'a"b#c=d']
PASSWORDS = ["correct horse", " lead and trail ", "back\\slash;#=\"'", "[wifi] x"]


@pytest.mark.parametrize(("ssid", "password"), list(zip(AWKWARD, PASSWORDS, strict=True)))
def test_network_manager_reads_the_profile_as_it_is_meant(suite: str, ssid: str, password: str) -> None:
    """Of a profile that is read, nmcli says what is in it; a word that it does not know is not there then."""
    found = root(suite)
    text = settings.profile(Hotspot("wlan0", "FR", ssid, 36, "10.77.77.0/24", password), UUIDS[0])
    command = ["chroot", str(found), "nmcli", "--offline", "connection", "modify", "connection.zone", "read"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    assert done.stderr == "" and "zone=read\n" in done.stdout
    lines = done.stdout.splitlines()
    kept = [line for line in text.splitlines() if line and not line.startswith(("#", "ssid=", "psk="))]
    assert set(kept) <= set(lines)
    # What NetworkManager writes, it reads again as the same.
    again = subprocess.run(command, input=done.stdout, capture_output=True, text=True, check=True)
    assert again.stdout == done.stdout
    (name,) = (line.removeprefix("ssid=") for line in lines if line.startswith("ssid="))
    (secret,) = (line.removeprefix("psk=") for line in lines if line.startswith("psk="))
    assert unescaped(name) == ssid
    assert unescaped(secret) == password


def unescaped(value: str) -> str:
    """Read a value of a keyfile: a backslash and a letter, and in names of Wi-Fis a backslash before a semicolon."""
    if value.replace(";", "").isdigit():
        return bytes(int(number) for number in value.split(";") if number).decode()
    return re.sub(r"\\\\(?=;)|\\(.)", lambda found: {"s": " ", None: ""}.get(found[1], found[1]), value)


OFFICE = """[connection]
id=office
uuid=11111111-1111-1111-1111-111111111111
type=ethernet
interface-name=hs0
[ipv4]
method=manual
address1=10.1.1.1/24
[ipv6]
method=disabled
"""
LAPTOP = "10.1.1.7"
TRIAL_SECONDS = 4


class SwitchedPi:
    """A Pi whose adapter has joined a network, over which a laptop comes."""

    def __init__(self, managed: ManagedNetwork, wall: FirewallService) -> None:
        self.managed, folder = managed, managed.folder
        self.service = HotspotService(
            folder=folder / "poppyfield",
            units=folder / "units",
            modules=folder / "modules",
            profiles=managed.profiles,
            trial=folder / "run/NetworkManager/system-connections",
            state=folder / "state",
            booted=folder,
            run=managed.run,
            wall=wall,
        )
        for place in (self.service.units, self.service.modules):
            place.mkdir()

    @property
    def addresses(self) -> str:
        return self.managed.run(["ip", "-brief", "-4", "address", "show", "hs0"]).stdout

    @property
    def known(self) -> list[str]:
        """Give the profiles that NetworkManager knows of this adapter."""
        told = self.managed.run(["nmcli", "--get-values", "NAME", "connection"]).stdout
        return sorted(set(told.split()) - {"lo"})

    @property
    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.managed.profiles.iterdir()}

    def converge(self, hotspot: Hotspot, client: str) -> bool:
        """Have the Wi-Fi as wanted; tell whether it is on trial."""
        return self.service.converge(hotspot, client, check_mode=False).on_trial


@pytest.fixture
def pi(suite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SwitchedPi]:
    real = settings.profile

    def by_cable(hotspot: Hotspot, number: str, *, on_trial: bool = False) -> str:
        """A cable has neither a name nor a password; an address says which settings these are."""
        text = real(hotspot, number, on_trial=on_trial).replace("type=wifi\n", "type=ethernet\n")
        before, _, after = text.partition("[wifi]\n")
        return before + "[ipv4]" + after.partition("[ipv4]")[2]

    monkeypatch.setattr(settings, "profile", by_cable)
    monkeypatch.setattr(service, "TAKE_BACK_AFTER", TRIAL_SECONDS)
    monkeypatch.setattr(service, "LEAD", 0)
    whoever: Callable[..., int] = lambda name, look, kind, _: 0  # noqa: E731
    monkeypatch.setattr(host_files, "_number_of", whoever)
    with network() as at:
        link(at, "hs0", at, "air")
        managed = ManagedNetwork(at, suite, tmp_path, {"office.nmconnection": OFFICE})
        wall = FirewallService(tmp_path / "wall", tmp_path / "units", tmp_path, managed.run)
        monkeypatch.setattr(FirewallService, "_do", lambda *_: None)
        found = SwitchedPi(managed, wall)
        wait_until(lambda: "10.1.1.1" in found.addresses, "the office is joined")
        yield found


def changed(hotspot: Hotspot) -> Hotspot:
    return Hotspot(hotspot.interface, "FR", "other", 11, "10.78.78.0/24", "correct horse")


def test_a_switch_that_nobody_confirms_is_taken_back_and_nothing_is_left(pi: SwitchedPi) -> None:
    before = pi.files
    assert pi.converge(HOTSPOT, LAPTOP)
    wait_until(lambda: HOTSPOT.address in pi.addresses, "the switch happens")
    assert pi.files == before, "a loss of power takes it back, too"
    wait_until(lambda: "10.1.1.1" in pi.addresses, "the office is back")
    with pytest.raises(HotspotError, match="as it was before"):
        pi.service.confirm(HOTSPOT)
    assert pi.files == before and pi.known == ["office"]


def test_a_switch_that_is_confirmed_stays(pi: SwitchedPi) -> None:
    office = pi.files
    assert pi.converge(HOTSPOT, LAPTOP)
    wait_until((pi.service.state / "switched").exists, "the switch happens")
    assert pi.service.confirm(HOTSPOT)
    assert pi.managed.run(["busctl", "get-property", *service.MANAGER, "Checkpoints"]).stdout == "ao 0\n"
    assert pi.known == ["office", settings.PROFILE] and HOTSPOT.address in pi.addresses
    assert {name: pi.files[name] for name in office} == office
    # It is what a start of the Pi finds, and no second run changes it.
    assert not pi.service.converge(HOTSPOT, LAPTOP, check_mode=True).actions[1:]
    assert "autoconnect-retries=0" in pi.service.profile.read_text()


def test_other_settings_that_nobody_confirms_leave_the_wifi_as_it_was(pi: SwitchedPi) -> None:
    assert not pi.converge(HOTSPOT, "")
    assert HOTSPOT.address in pi.addresses
    before = pi.files
    other = changed(HOTSPOT)
    assert pi.converge(other, "10.77.77.9")
    wait_until(lambda: other.address in pi.addresses, "the switch happens")
    wait_until(lambda: HOTSPOT.address in pi.addresses, "the Wi-Fi is as it was")
    assert pi.files == before
    with pytest.raises(HotspotError):
        pi.service.confirm(other)
    assert pi.known == ["office", settings.PROFILE]


def test_other_settings_that_are_confirmed_take_the_place_of_those_before(pi: SwitchedPi) -> None:
    pi.converge(HOTSPOT, "")
    other = changed(HOTSPOT)
    assert pi.converge(other, "10.77.77.9")
    wait_until((pi.service.state / "switched").exists, "the switch happens")
    assert pi.service.confirm(other)
    assert pi.known == ["office", settings.PROFILE] and other.address in pi.addresses
    assert sorted(pi.files) == ["office.nmconnection", pi.service.profile.name]
    shutil.rmtree(pi.service.trial, ignore_errors=True)
    pi.managed.run(["nmcli", "connection", "reload"])
    assert pi.known == ["office", settings.PROFILE] and other.address in pi.addresses


def test_switched_off_its_files_go_and_the_profile_before_is_joined_again(pi: SwitchedPi) -> None:
    before = pi.files
    pi.converge(HOTSPOT, "")
    pi.service.remove("10.9.9.9", check_mode=False)
    assert pi.files == before and pi.known == ["office"]
    wait_until(lambda: "10.1.1.1" in pi.addresses, "the office is joined again")
