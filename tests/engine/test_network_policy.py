"""What containers may reach, and who may reach the Pi, shown with packets in networks of the tests' own.

The Pi is the private engine's machine. It has a neighbour in its network. On both a web server listens that is nobody's
business; a container named like the map server's is published, one like PostGIS's is not.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.containers.plan import DesiredState
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Port, bridge_of
from ansible.module_utils.poppyfield.host import firewall
from ansible.module_utils.poppyfield.host.firewall_service import FirewallService

from tests import neighbour
from tests.engine.conftest import started
from tests.engine.private_engine import PrivateEngine
from tests.engine.worlds import NETWORK, OLD, PREFIX, RealWorld, converge

MAP, DATABASE = f"{PREFIX}map", f"{PREFIX}database"
PI, NEIGHBOUR, SECRET = "10.99.0.1", "10.99.0.2", 8000
PUBLISHED = 8765
FOR_SOME, POSTGRESQL = 8766, 5432
INSIDE = 8080
WORD = b"served"
LISTEN = ("busybox", "nc", "-ll", "-p", "{port}", "-e", "busybox", "echo", WORD.decode())
CONNECT = ("busybox", "nc", "-w", "5")
ATTACK = pytest.mark.attack(kind="reach from a container", on="Pi", proof=None)


@pytest.fixture(scope="module", params=["nft", pytest.param("legacy", marks=pytest.mark.long)])
def engine(
    request: pytest.FixtureRequest, api: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateEngine]:
    """Return a private engine on a machine whose iptables is the one or the other."""
    tools = tmp_path_factory.mktemp("tools")
    with pytest.MonkeyPatch.context() as patch:
        for tool in ("iptables", "ip6tables"):
            for name in (tool, f"{tool}-restore"):
                found = shutil.which(name.replace(tool, f"{tool}-{request.param}"), path="/usr/sbin:/sbin")
                assert found, f"{tool}-{request.param} is missing"
                (tools / name).symlink_to(found)
        patch.setenv("PATH", f"{tools}:/usr/sbin:/sbin", prepend=":")
        with started(api, tmp_path_factory.mktemp("engine")) as private:
            yield private


class Surroundings:
    """The machine of the engine, its network, and its containers."""

    def __init__(self, engine: PrivateEngine, world: RealWorld, neighbour: int, folder: Path) -> None:
        self.engine = engine
        self.world = world
        self.at_neighbour = ["nsenter", "--target", str(neighbour), "--net"]
        self.firewall = FirewallService(folder / "firewall", folder / "units", folder, self.command)
        (folder / "units").mkdir()

    def command(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command of the Pi; systemd is not there."""
        there = ["true"] if words[0] in ("systemctl", "systemd-run") else self.engine.as_if_there(*words)
        return subprocess.run(there, capture_output=True, text=True, check=False)

    def make(self, name: str, **fields: Any) -> None:
        """Run a container."""
        command = tuple(word.format(port=INSIDE) for word in LISTEN)
        wanted = ContainerSpec(
            name=name, resource="postgis", image=OLD, network=NETWORK, command=command, stop_timeout=1
        )
        wanted = replace(wanted, network_aliases=(name.removeprefix(PREFIX),), **fields)
        converge(self.world, wanted, DesiredState())

    def reached_from(self, name: str) -> set[str]:
        """Give what a container reaches."""
        secret = {"Pi": PI, "gateway": self.network()["IPAM"]["Config"][0]["Gateway"], "neighbour": NEIGHBOUR}
        places = {place: (address, SECRET) for place, address in secret.items()}
        places["database"] = (self.address(DATABASE), INSIDE)
        return {place for place, (address, port) in places.items() if self.connects(name, address, port)}

    def connects(self, name: str, address: str, port: int) -> bool:
        """Tell whether a container gets a connection."""
        made = self.world.api.exec_create(name, [*CONNECT, address, str(port)])
        return WORD in self.world.api.exec_start(made["Id"])

    def address(self, name: str) -> str:
        """Give the address of a container."""
        return str(self.world.api.inspect_container(name)["NetworkSettings"]["Networks"][NETWORK]["IPAddress"])

    def serves(self) -> bool:
        """Tell whether the Pi and its neighbour see the map."""
        asked = [[*self.engine.as_if_there(), *CONNECT, "127.0.0.1", str(PUBLISHED)]]
        asked.append([*self.at_neighbour, *CONNECT, PI, str(PUBLISHED)])
        return all(gets(command) for command in asked)

    def neighbour_connects(self, address: str, port: int) -> bool:
        """Tell whether the neighbour gets a connection."""
        return gets([*self.at_neighbour, *CONNECT, address, str(port)])

    def network(self) -> Any:
        """Give what Docker says of the containers' network."""
        return self.world.api.inspect_network(NETWORK)

    def keep_to_network(self, may_reach: Sequence[dict[str, Any]] = (), only_from: Sequence[str] = ()) -> None:
        """Put the policy in force; with only_from the database's port is for these networks."""
        bridge = bridge_of(NETWORK, self.network())
        policy = self.firewall.policy()
        for name, places in ((DATABASE, ()), (MAP, may_reach)):
            entry: dict[str, Any] = {
                "bridge": bridge,
                "hardware_addresses": [firewall.hardware_address(name)],
                "may_reach": [*places],
            }
            if only_from and name == DATABASE:
                entry["only_from"] = {"port": FOR_SOME, "container_port": POSTGRESQL, "networks": [*only_from]}
            policy = firewall.with_container(policy, name, entry)
        self.firewall.converge(policy, check_mode=False)


@contextmanager
def running(*command: str) -> Iterator[int]:
    """Give the number of a process that ends with the test."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def there(engine: PrivateEngine, private: RealWorld, tmp_path: Path) -> Iterator[Surroundings]:
    """Return the machine with a neighbour, and both containers on it."""
    with ExitStack() as stack:
        neighbour_network = stack.enter_context(neighbour.network())
        found = Surroundings(engine, private, neighbour_network, tmp_path)
        # That of the test before is still in force.
        found.firewall.converge({}, check_mode=False)
        there = engine.as_if_there("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "eth0")
        subprocess.run([*there, "netns", str(neighbour_network)], check=True)
        stack.callback(subprocess.run, engine.as_if_there("ip", "link", "delete", "lan0"), check=False)
        own = ["ip", "-batch", "-"]
        for prefix, address, name, more in (
            (engine.as_if_there(), PI, "lan0", ""),
            (found.at_neighbour, NEIGHBOUR, "eth0", f"link set lo up\nroute add default via {PI}\n"),
        ):
            script = f"address add {address}/24 dev {name}\nlink set {name} up\n{more}"
            subprocess.run([*prefix, *own], input=script, text=True, check=True)
            stack.enter_context(listening(prefix))
        found.make(DATABASE)
        found.make(MAP, ports=(Port("0.0.0.0", PUBLISHED, INSIDE),), hardware_address=firewall.hardware_address(MAP))
        yield found


@contextmanager
def listening(prefix: Sequence[str]) -> Iterator[None]:
    """Have a server somewhere, on all addresses."""
    with running(*prefix, *(word.format(port=SECRET) for word in LISTEN)):
        assert any(gets([*prefix, *CONNECT, "127.0.0.1", str(SECRET)]) for _ in range(500))
        yield


def gets(command: Sequence[str]) -> bool:
    """Tell whether a command gets the word of a server."""
    return WORD in subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).stdout


@ATTACK
def test_a_container_reaches_the_database_alone_and_the_map_is_served(there: Surroundings) -> None:
    assert there.reached_from(MAP) == {"Pi", "gateway", "neighbour", "database"}
    assert there.serves()
    there.keep_to_network()
    assert there.reached_from(MAP) == there.reached_from(DATABASE) == {"database"}
    assert there.serves()


@ATTACK
def test_it_is_so_again_when_the_firewall_was_emptied_and_docker_restarted(there: Surroundings) -> None:
    there.keep_to_network()
    for tool in ("iptables", "ip6tables"):
        for what in ("-F", "-X"):
            there.engine.in_its_network(tool, what)
    assert there.reached_from(MAP) >= {"Pi", "gateway"}
    there.firewall.apply("keep")
    assert there.reached_from(MAP) == {"database"}
    there.engine.restart()
    assert there.reached_from(MAP) == {"database"}
    assert there.serves()


@pytest.mark.attack(kind="reach from outside", on="Pi", proof=None)
def test_the_rules_lead_again_where_docker_has_put_its_own_on_top(there: Surroundings) -> None:
    there.keep_to_network()
    opened = {"open": [{"port": PUBLISHED, "protocol": "tcp", "source": ""}]}
    there.firewall.converge(firewall.with_host(there.firewall.policy(), opened), check_mode=False)
    assert not there.neighbour_connects(there.address(MAP), INSIDE)
    # As it does when it is restarted while containers run.
    bridge = bridge_of(NETWORK, there.network())
    there.engine.in_its_network("iptables", "-I", "FORWARD", "-o", bridge, "-j", "ACCEPT")
    assert there.neighbour_connects(there.address(MAP), INSIDE)
    there.firewall.apply("keep")
    assert not there.neighbour_connects(there.address(MAP), INSIDE)
    assert there.serves()


@ATTACK
def test_what_a_project_needs_is_reached_by_the_map_server_alone(there: Surroundings) -> None:
    there.keep_to_network([{"address": NEIGHBOUR, "port": SECRET, "protocol": "tcp"}])
    assert there.reached_from(MAP) == {"neighbour", "database"}
    assert there.reached_from(DATABASE) == {"database"}
    there.keep_to_network([{"address": NEIGHBOUR, "port": SECRET + 1, "protocol": "tcp"}])
    assert there.reached_from(MAP) == {"database"}


@pytest.mark.attack(kind="reach from outside", on="Pi", proof=None)
def test_a_neighbour_reaches_the_map_alone(there: Surroundings) -> None:
    # As on a Pi that forwards, and by a neighbour who knows the way.
    there.engine.in_its_network("iptables", "-P", "FORWARD", "ACCEPT")
    inside = [(PI, SECRET), (there.address(DATABASE), INSIDE), (there.address(MAP), INSIDE)]
    assert [there.neighbour_connects(*place) for place in inside] == [True, True, True]
    opened = [{"port": PUBLISHED, "protocol": "tcp", "source": ""}]
    there.keep_to_network()
    there.firewall.converge(firewall.with_host(there.firewall.policy(), {"open": opened}), check_mode=False)
    assert [there.neighbour_connects(*place) for place in inside] == [False, False, False]
    assert there.reached_from(MAP) == {"database"}
    assert there.serves()
    opened.append({"port": SECRET, "protocol": "tcp", "source": f"{NEIGHBOUR}/32"})
    there.firewall.converge(firewall.with_host(there.firewall.policy(), {"open": opened}), check_mode=False)
    assert [there.neighbour_connects(*place) for place in inside] == [True, False, False]


CONNECTING = """
import socket, sys
held = []
for _ in range(20):
    connection = socket.socket()
    held += [connection] if connection.connect_ex((sys.argv[1], int(sys.argv[2]))) == 0 else []
print(len(held))
"""


@pytest.mark.attack(kind="load", on="Pi", proof=None)
def test_a_neighbour_has_only_so_many_connections_that_say_nothing(there: Surroundings) -> None:
    def held() -> int:
        connect = [*there.at_neighbour, sys.executable, "-c", CONNECTING, PI, str(PUBLISHED)]
        return int(subprocess.run(connect, capture_output=True, check=True).stdout)

    there.keep_to_network()
    opened = {"port": PUBLISHED, "protocol": "tcp", "source": "", "connections": 0}
    for most, expected in ((0, 20), (5, 5)):
        policy = firewall.with_host(there.firewall.policy(), {"open": [{**opened, "connections": most}]})
        there.firewall.converge(policy, check_mode=False)
        assert held() == expected
        # Those that were ended are not counted.
        assert there.serves()


@pytest.mark.attack(kind="reach from outside", on="PostGIS", proof=None)
def test_a_port_for_some_networks_is_reached_from_there_alone(there: Surroundings) -> None:
    # Not the port on which the map is served inside.
    listen = tuple(word.format(port=POSTGRESQL) for word in LISTEN)
    there.make(DATABASE, command=listen, ports=(Port("0.0.0.0", FOR_SOME, POSTGRESQL),))
    # The second as a neighbour does it who knows the way.
    there.engine.in_its_network("iptables", "-P", "FORWARD", "ACCEPT")
    ways = [(PI, FOR_SOME), (there.address(DATABASE), POSTGRESQL)]
    # From when on its server listens nobody tells.
    assert any(there.neighbour_connects(*ways[0]) for _ in range(500))
    there.keep_to_network(only_from=["10.98.0.0/16"])
    assert [there.neighbour_connects(*way) for way in ways] == [False, False]
    assert there.connects(MAP, there.address(DATABASE), POSTGRESQL)
    assert there.serves()
    there.engine.restart()
    assert not there.neighbour_connects(*ways[0])
    for networks in (["10.98.0.0/16", f"{NEIGHBOUR}/32"], ["10.99.0.0/24"]):
        there.keep_to_network(only_from=networks)
        assert there.neighbour_connects(*ways[0])
    there.keep_to_network(only_from=["10.98.0.0/16"])
    # Where Docker's rules are gone, its own program answers.
    there.engine.in_its_network("iptables", "-t", "nat", "-F")
    assert not there.neighbour_connects(*ways[0])


def test_what_nobody_confirms_is_taken_back(there: Surroundings) -> None:
    there.keep_to_network()
    before = there.firewall.policy()
    there.firewall.try_out(firewall.with_host(before, {"open": []}), 60)
    assert not there.neighbour_connects(PI, SECRET)
    assert not there.serves()
    # As the timer does, and a boot.
    there.firewall.apply("start")
    assert there.neighbour_connects(PI, SECRET)
    assert there.firewall.policy() == before
    assert not there.firewall.confirm()
    assert there.reached_from(MAP) == {"database"}
