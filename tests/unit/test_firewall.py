"""The rules of the firewall follow from the policy; packets are sent through them in tests/engine."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.spec import bridge_of, network_body
from ansible.module_utils.poppyfield.host import firewall
from ansible.module_utils.poppyfield.host.firewall_service import UNIT, FirewallError, FirewallService

from tests.unit.inventory_of import told

Json = dict[str, Any]
MAP: Json = {
    "bridge": "poppyfield",
    "hardware_addresses": ["02:00:00:00:00:01"],
    "may_reach": [{"address": "192.168.1.7/24", "port": 443, "protocol": "tcp"}, {"address": "fd00::5"}],
}
DATABASE: Json = {"bridge": "poppyfield", "hardware_addresses": [], "may_reach": []}
BOTH = firewall.with_container(firewall.with_container({}, "map", MAP), "database", DATABASE)


class FakeSystem:
    """A host whose commands succeed, but for one."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.fails = ""
        self.active = False

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        words = " ".join(command)
        if "is-active" in words:
            return subprocess.CompletedProcess(command, 0 if self.active else 3, "", "")
        self.commands.append(words)
        failed = bool(self.fails) and self.fails in words
        self.active = self.active or (words == f"systemctl restart {UNIT}" and not failed)
        return subprocess.CompletedProcess(
            command, int(failed), "", "iptables: No chain\nby that name" if failed else ""
        )


@pytest.fixture
def system() -> FakeSystem:
    return FakeSystem()


@pytest.fixture
def service(tmp_path: Path, system: FakeSystem) -> FirewallService:
    (tmp_path / "units").mkdir()
    return FirewallService(tmp_path / "firewall", tmp_path / "units", tmp_path, system)


def test_a_container_sends_to_its_places_alone_and_answers() -> None:
    chain = firewall.CONTAINERS
    assert firewall.rules(BOTH, 4).splitlines() == [
        f":{chain} - [0:0]",
        f"-A {chain} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        f"-A {chain} -m mac --mac-source 02:00:00:00:00:01 -d 192.168.1.0/24 -p tcp --dport 443 -j RETURN",
        f"-A {chain} -j REJECT --reject-with icmp-admin-prohibited",
        f"-I INPUT -i poppyfield -j {chain}",
        f"-I FORWARD -i poppyfield ! -o poppyfield -j {chain}",
        f"-I DOCKER-USER -i poppyfield ! -o poppyfield -j {chain}",
    ]
    assert f"-A {chain} -m mac --mac-source 02:00:00:00:00:01 -d fd00::5/128 -j RETURN" in firewall.rules(BOTH, 6)
    assert "192.168" not in firewall.rules(BOTH, 6)


@pytest.mark.parametrize("version", firewall.VERSIONS)
def test_no_policy_is_no_rule(version: int) -> None:
    assert firewall.rules({}, version) == ""
    gone = firewall.with_container(firewall.with_container({}, "map", MAP), "map", None)
    assert firewall.rules(firewall.with_host(gone, None), version) == ""


@pytest.mark.parametrize("version", firewall.VERSIONS)
def test_a_host_is_closed_but_for_what_is_open_and_is_asked_first_what_a_container_may(version: int) -> None:
    opened = [{"port": 22, "protocol": "tcp", "source": ""}, {"port": 53, "protocol": "udp", "source": "10.0.0.0/8"}]
    lines = firewall.rules(firewall.with_host(BOTH, {"open": opened}), version).splitlines()
    assert f"-A {firewall.HOST} -p tcp --dport 22 -j RETURN" in lines
    assert (f"-A {firewall.HOST} -s 10.0.0.0/8 -p udp --dport 53 -j RETURN" in lines) is (version == 4)
    for chain in (firewall.HOST, firewall.ROUTED):
        own = [line for line in lines if line.startswith(f"-A {chain} ")]
        assert own[-1] == f"-A {chain} -j DROP"
        # What our containers send is judged by their own rules.
        assert f"-A {chain} -i poppyfield -j RETURN" in own
    # The last jump that is put on top comes first.
    assert lines.index(f"-I INPUT -j {firewall.HOST}") < lines.index(f"-I INPUT -i poppyfield -j {firewall.CONTAINERS}")


@pytest.mark.parametrize(("version", "mask"), [(4, 32), (6, 128)])
def test_an_address_has_only_so_many_connections_to_a_port(version: int, mask: int) -> None:
    most = {"connections": 400, "source": ""}
    opened = [{"port": 80, "protocol": "tcp", **most}, {"port": 53, "protocol": "udp", **most}]
    lines = firewall.rules({"host": {"open": opened}}, version).splitlines()
    bounds = [line for line in lines if "connlimit" in line]
    assert len(bounds) == 2 and all("-p tcp" in line and f"--connlimit-mask {mask} " in line for line in bounds)
    assert [line.split()[1] for line in bounds] == [firewall.HOST, firewall.CROWDS]
    # Before what lets the rest in, and asked once for what is routed.
    assert lines.index(bounds[0]) < lines.index(f"-A {firewall.HOST} -p tcp --dport 80 -j RETURN")
    jumps = [line for line in lines if line.endswith(f"-j {firewall.CROWDS}")]
    assert jumps and all(line.startswith("-I DOCKER-USER ") for line in jumps)


def test_a_port_for_some_networks_is_for_nobody_else() -> None:
    for_some = {"port": 5433, "container_port": 5432, "networks": ["192.168.1.7/24", "10.0.0.5"]}
    policy = firewall.with_container({}, "database", {**DATABASE, "only_from": for_some})
    chain = "POPPYFIELD-FOR-SOME-5433"
    assert firewall.rules(policy, 4).splitlines()[:7] == [
        f":{chain} - [0:0]",
        f"-A {chain} -s 192.168.1.0/24 -j RETURN",
        f"-A {chain} -s 10.0.0.5/32 -j RETURN",
        f"-A {chain} -j REJECT --reject-with icmp-admin-prohibited",
        f"-I INPUT ! -i lo -p tcp --dport 5433 -j {chain}",
        f"-I FORWARD ! -i poppyfield -o poppyfield -p tcp --dport 5432 -j {chain}",
        f"-I DOCKER-USER ! -i poppyfield -o poppyfield -p tcp --dport 5432 -j {chain}",
    ]
    assert [line for line in firewall.rules(policy, 6).splitlines() if line.startswith(f"-A {chain}")] == [
        f"-A {chain} -j REJECT --reject-with icmp6-adm-prohibited"
    ]


def test_a_network_has_an_interface_that_is_known_before_it_is_there() -> None:
    body = network_body("poppyfield")
    assert bridge_of("poppyfield", None) == bridge_of("poppyfield", {"Id": "1" * 64, **body}) == "poppyfield"
    assert bridge_of("poppyfield", {"Id": "0123456789abcdef", "Options": None}) == "br-0123456789ab"
    others = [bridge_of(name, None) for name in ("poppyfield-of-another-name", "eth0", "poppyfield_x")]
    assert len(set(others)) == 3
    assert all(name.startswith("pf-") and len(name) == 15 for name in others)


def test_hardware_addresses_are_of_nobody_and_differ() -> None:
    found = [firewall.hardware_address(name) for name in ("websig-lizmap", "websig-lizmap-candidate")]
    assert len(set(found)) == 2
    assert all(len(address) == 17 and address.startswith("02:") for address in found)


def test_a_policy_is_brought_about_once(service: FirewallService, system: FakeSystem) -> None:
    assert len(service.converge(BOTH, check_mode=True)) == 5
    assert system.commands == [] and not service.folder.exists()
    assert len(service.converge(BOTH, check_mode=False)) == 5
    assert system.commands[0].endswith("firewall apply") and system.commands[-1] == f"systemctl restart {UNIT}"
    assert service.policy() == BOTH
    done = list(system.commands)
    assert service.converge(BOTH, check_mode=False) == []
    assert system.commands == done
    changed = service.converge(firewall.with_container(BOTH, "map", DATABASE), check_mode=False)
    assert {change.path.name for change in changed} == {"policy.json", "rules.v4", "rules.v6"}


def test_rules_that_are_not_in_force_are_tried_again(service: FirewallService, system: FakeSystem) -> None:
    system.fails = "firewall apply"
    for _ in range(2):
        with pytest.raises(FirewallError, match=r"could not be put in force .*No chain by that name"):
            service.converge(BOTH, check_mode=False)
    system.fails = ""
    service.converge(BOTH, check_mode=False)
    assert system.active


def test_a_damaged_policy_is_none(service: FirewallService) -> None:
    service.write(BOTH)
    for text in ("{", "[]"):
        (service.folder / "policy.json").write_text(text)
        assert service.policy() == {}


def test_what_cannot_be_put_in_force_is_taken_back_at_once(service: FirewallService, system: FakeSystem) -> None:
    system.fails = "firewall apply"
    with pytest.raises(FirewallError):
        service.try_out(firewall.with_host({}, {"open": []}), 60)
    assert system.commands[-1].endswith("firewall take-back")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"address": "192.168.1.20"}, ""),
        ({"address": "192.168.1.0/24", "port": 443}, ""),
        ({"address": "fd00::5", "port": 65535, "protocol": "udp"}, ""),
        ({"address": "maps.example.org"}, "lizmap_may_reach: maps.example.org is no IP address"),
        ({"address": "192.168.1.20:443"}, "lizmap_may_reach: 192.168.1.20:443 is no IP address"),
        ({"address": "192.168.1.20", "port": 0}, "lizmap_may_reach: 0 is no port"),
        ({"address": "192.168.1.20", "port": 65536}, "lizmap_may_reach: 65536 is no port"),
    ],
)
def test_what_projects_need_is_checked(place: Json, said: str) -> None:
    found = told(lizmap_may_reach=[place])
    assert len(found) == bool(said)
    assert said in " ".join(found)


@pytest.mark.parametrize(
    ("opening", "said"),
    [
        ({"port": 8080}, ""),
        ({"port": 123, "protocol": "udp", "source": "fd00::/8"}, ""),
        ({"port": 65536}, "hardening_firewall_open: 65536 is no port"),
        ({"port": 8080, "source": "office"}, "hardening_firewall_open: office is no IP address"),
    ],
)
def test_what_stays_open_is_checked(opening: Json, said: str) -> None:
    found = told(hardening_firewall_open=[opening])
    assert len(found) == bool(said)
    assert said in " ".join(found)
