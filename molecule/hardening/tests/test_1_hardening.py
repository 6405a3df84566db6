"""What a neighbour in the Pi's network reaches, what containers reach, and how one logs in, with all that is asked for.

The neighbour is a network of this machine's kernel, joined to the Pi's. What it reaches where our rules were taken away
shows that it is they that stop it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import docker
import pytest
from testinfra.host import Host

from emulated_pi import INVENTORY, PI_NAME, SSH_PORT, STATE, ansible_playbook, inspect, power_cut
from tests import neighbour
from workshop.emulator import login

ASKED_FOR = Path(__file__).resolve().parents[1] / "inventory"
PI = {4: "10.99.0.1", 6: "fd99::1"}
NEIGHBOUR = {4: "10.99.0.2", 6: "fd99::2"}
LENGTH = {4: 24, 6: 64}
SSH, MAP, FORGOTTEN, OPENED, PUBLISHED = 22, 80, 8000, 8123, 8124
SECONDS = 300
UNIT = "poppyfield-firewall"
DROP_IN = "/etc/ssh/sshd_config.d/00-poppyfield.conf"
AWAY = f"{DROP_IN}.away"
"""Which sshd does not read."""
ALLOWED = "/etc/ssh/sshd_config.d/01-passwords.conf"
"""After the role's, which has the last word; before that of the emulated Pi, which takes no password by itself."""
KEYS = login.AUTHORIZED_KEYS
ADDRESS = f"{login.USER}@127.0.0.1"
ASK = (
    "import socket, sys\n"
    "with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as asked:\n"
    "    asked.settimeout(60)\n"
    "    asked.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\n"
    "    sys.exit(0 if asked.recv(1) else 1)\n"
)
ANSWER = (
    f"my $listening = IO::Socket::INET->new(LocalPort => {PUBLISHED}, Listen => 5);"
    "while (my $asked = $listening->accept) { print $asked 'here'; close $asked; }"
)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this machine."""
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True)


def inside(pid: int) -> tuple[str, ...]:
    """Give what runs a command of this machine in the network of one of its processes."""
    return ("nsenter", "--target", str(pid), "--net")


def at_pi() -> tuple[str, ...]:
    """Give what runs a command of this machine in the Pi's network."""
    return inside(docker.from_env().containers.get(PI_NAME).attrs["State"]["Pid"])


def answers(there: Sequence[str], address: str, port: int) -> bool:
    """Tell whether something answers, asked from there."""
    return run(*there, "python3", "-c", ASK, address, str(port)).returncode == 0


def wait_until(come: Callable[[], bool], what: str) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + SECONDS
    while not come():
        assert time.monotonic() < deadline, f"Not within {SECONDS} s: {what}"
        time.sleep(1)


class Surroundings:
    """The Pi, its neighbour who knows the way to its containers, and programs that are the operator's."""

    def __init__(self, pi: Host, neighbour: int) -> None:
        self.pi = pi
        self.at_neighbour = inside(neighbour)
        (network,) = inspect(pi, "websig-lizmap")["NetworkSettings"]["Networks"].values()
        self.map_server, self.gateway = network["IPAddress"], network["Gateway"]
        (network,) = inspect(pi, "websig-postgis")["NetworkSettings"]["Networks"].values()
        self.database = network["IPAddress"]

    def join(self, neighbour: int) -> None:
        """Join the two networks. Docker has switched IPv6 off in the Pi's."""
        made = run(*at_pi(), *f"ip link add lan0 type veth peer name eth0 netns {neighbour}".split())
        assert made.returncode == 0, made.stderr
        for there, name, addresses, way in ((at_pi(), "lan0", PI, {}), (self.at_neighbour, "eth0", NEIGHBOUR, PI)):
            script = [f"sysctl -qw net.ipv6.conf.{own}.disable_ipv6=0" for own in ("lo", name)]
            script += ["ip link set lo up", f"ip link set {name} up"]
            script += [f"ip address add {addresses[v]}/{LENGTH[v]} dev {name} {'nodad' * (v == 6)}" for v in PI]
            script += [f"ip -{version} route add default via {gateway}" for version, gateway in way.items()]
            done = run(*there, "sh", "-ec", "\n".join(script))
            assert done.returncode == 0, done.stderr

    def start_programs(self) -> None:
        """Have programs on the Pi: forgotten, opened by the inventory, and one in a container that is published."""
        for port in (FORGOTTEN, OPENED):
            self.pi.run("systemctl reset-failed program-%s", str(port))
            serve = "systemd-run -q --unit=program-%s python3 -m http.server --bind :: %s"
            self.pi.check_output(f"systemctl is-active -q program-%s || {serve}", *[str(port)] * 3)
        self.pi.run("docker rm --force operators")
        image = inspect(self.pi, "websig-lizmap")["Image"]
        options = f"--detach --name operators --publish {PUBLISHED}:{PUBLISHED} --entrypoint perl"
        self.pi.check_output(f"docker run {options} %s -MIO::Socket::INET -e %s", image, ANSWER)
        for port in (FORGOTTEN, OPENED, PUBLISHED):
            wait_until(partial(answers, at_pi(), "127.0.0.1", port), f"a program answers at {port}")

    def seen(self) -> set[str]:
        """Give what the neighbour reaches."""
        places = {
            "SSH": (PI[4], SSH),
            "SSH by IPv6": (PI[6], SSH),
            "map": (PI[4], MAP),
            "opened": (PI[4], OPENED),
            "opened, by IPv6": (PI[6], OPENED),
            "forgotten": (PI[4], FORGOTTEN),
            "forgotten, by IPv6": (PI[6], FORGOTTEN),
            "another container": (PI[4], PUBLISHED),
            "map server, past its port": (self.map_server, 8080),
        }
        found = {name for name, place in places.items() if answers(self.at_neighbour, *place)}
        # PostgreSQL says nothing to who does not speak its language.
        connect = "import socket, sys; socket.create_connection((sys.argv[1], 5432), 5)"
        asked = run(*self.at_neighbour, "python3", "-c", connect, self.database)
        return found | ({"PostgreSQL"} if asked.returncode == 0 else set())

    def reached_from_the_map_server(self) -> set[str]:
        """Give what the map server's container reaches."""
        places = {
            "database": (self.database, 5432),
            "gateway": (self.gateway, FORGOTTEN),
            "Pi": (PI[4], FORGOTTEN),
            "neighbour": (NEIGHBOUR[4], FORGOTTEN),
        }
        command = "docker exec websig-lizmap timeout 20 bash -c %s"
        return {
            name
            for name, (address, port) in places.items()
            if self.pi.run(command, f"true < /dev/tcp/{address}/{port}").rc == 0
        }

    def take_rules_away(self) -> None:
        """Empty the firewall, on a Pi that forwards."""
        for tool in ("iptables", "ip6tables"):
            self.pi.check_output(f"{tool} -w -F && {tool} -w -X && {tool} -w -P FORWARD ACCEPT")

    def is_guarded(self) -> bool:
        """Tell whether all is as it was asked for."""
        return self.seen() == WANTED and self.reached_from_the_map_server() == {"database"}


WANTED = {"SSH", "SSH by IPv6", "map", "opened"}


@contextmanager
def surroundings(pi: Host) -> Iterator[Surroundings]:
    """Give the Pi a neighbour."""
    with ExitStack() as stack:
        neighbour_network = stack.enter_context(neighbour.network())
        found = Surroundings(pi, neighbour_network)
        found.join(neighbour_network)
        stack.callback(run, *at_pi(), "ip", "link", "delete", "lan0")
        stack.enter_context(served_at(found.at_neighbour))
        found.start_programs()
        yield found


@contextmanager
def served_at(there: Sequence[str]) -> Iterator[None]:
    """Have the neighbour serve something, too."""
    command = [*there, "python3", "-m", "http.server", str(FORGOTTEN), "--directory", "/proc/self/net"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(there, "127.0.0.1", FORGOTTEN), "the neighbour serves")
            yield
        finally:
            process.kill()


@pytest.fixture(scope="module")
def there(pi: Host) -> Iterator[Surroundings]:
    """Return the Pi with a neighbour."""
    with surroundings(pi) as found:
        yield found


def test_a_neighbour_reaches_ssh_the_map_and_what_was_opened_and_containers_reach_each_other(
    there: Surroundings,
) -> None:
    assert there.seen() == WANTED
    assert there.reached_from_the_map_server() == {"database"}


def test_without_the_rules_all_is_reached_and_they_come_back(there: Surroundings) -> None:
    there.pi.check_output("systemctl stop %s", UNIT)
    try:
        there.take_rules_away()
        assert there.seen() == WANTED | {
            *("opened, by IPv6", "forgotten", "forgotten, by IPv6", "another container"),
            *("map server, past its port", "PostgreSQL"),
        }
        assert there.reached_from_the_map_server() == {"database", "gateway", "Pi", "neighbour"}
    finally:
        there.pi.check_output("systemctl start %s", UNIT)
    assert there.seen() == WANTED
    assert there.reached_from_the_map_server() == {"database"}


def test_they_come_back_where_somebody_empties_the_firewall(there: Surroundings) -> None:
    there.take_rules_away()
    wait_until(there.is_guarded, "the unit has put the rules back")


def test_they_stay_when_docker_is_restarted(there: Surroundings) -> None:
    containers = {name: inspect(there.pi, name)["State"]["StartedAt"] for name in ("websig-lizmap", "websig-postgis")}
    there.pi.check_output("systemctl restart docker")
    assert {name: inspect(there.pi, name)["State"]["StartedAt"] for name in containers} == containers
    # Docker has put its own rules on top, which the unit notices.
    wait_until(there.is_guarded, "the unit has put the rules on top again")


def test_every_container_gets_no_new_privileges(there: Surroundings) -> None:
    image = inspect(there.pi, "websig-lizmap")["Image"]
    told = there.pi.check_output("docker run --rm --entrypoint grep %s NoNewPrivs /proc/self/status", image)
    assert told.split() == ["NoNewPrivs:", "1"]


def test_security_updates_alone_come_by_themselves(pi: Host) -> None:
    told = pi.check_output("apt-config dump")
    origins = [line for line in told.splitlines() if line.startswith("Unattended-Upgrade::Origins-Pattern:: ")]
    assert len(origins) == 3 and "-security" in origins[0]
    assert 'APT::Periodic::Unattended-Upgrade "1";' in told
    assert pi.package("unattended-upgrades").is_installed


def ways_in() -> str:
    """Give what sshd says to somebody without a key: how one may log in."""
    options = f"-o UserKnownHostsFile={STATE}/known_hosts -o StrictHostKeyChecking=yes -o PubkeyAuthentication=no"
    asked = run("ssh", *options.split(), "-o", "BatchMode=yes", "-p", SSH_PORT, ADDRESS, "true")
    return asked.stderr.rpartition("Permission denied ")[2].strip()


@pytest.fixture
def passwords(pi: Host) -> Iterator[None]:
    """Have log-in by password as before the role."""
    allow = "mv %s %s && echo 'PasswordAuthentication yes' > %s && systemctl reload ssh"
    pi.check_output(allow, DROP_IN, AWAY, ALLOWED)
    try:
        wait_until(lambda: "password" in ways_in(), "a password would be taken")
        yield
    finally:
        pi.run("rm -f %s; test -e %s || mv %s %s; systemctl reload ssh", ALLOWED, DROP_IN, AWAY, DROP_IN)


def test_a_password_is_not_taken(pi: Host) -> None:
    assert ways_in() == "(publickey)."


@contextmanager
def held_connection() -> Iterator[dict[str, str]]:
    """Have a connection to the Pi that stays open; give what has Ansible use it."""
    path = f"{STATE}/held"
    options = f"-o UserKnownHostsFile={STATE}/known_hosts -o IdentitiesOnly=yes -i {STATE}/id_ed25519 -p {SSH_PORT}"
    opened = run("ssh", *options.split(), "-o", "ControlPersist=yes", "-M", "-S", path, "-f", "-N", ADDRESS)
    assert opened.returncode == 0, opened.stderr
    try:
        yield {"ANSIBLE_SSH_CONTROL_PATH": path}
    finally:
        run("ssh", "-S", path, "-O", "exit", ADDRESS)


def test_nobody_is_locked_out_and_a_key_is_asked_for(pi: Host, passwords: None) -> None:
    assert passwords is None
    container = docker.from_env().containers.get(PI_NAME)
    layers = (INVENTORY, ASKED_FOR)
    with held_connection() as environment:
        container.exec_run(["mv", KEYS, f"{KEYS}.away"])
        try:
            done = ansible_playbook(playbook="playbooks/provision.yml", inventories=layers, environment=environment)
        finally:
            container.exec_run(["mv", f"{KEYS}.away", KEYS])
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0 and "Nothing was changed in SSH" in said and "ssh-copy-id" in said, said
    assert not pi.file(DROP_IN).exists
    assert "password" in ways_in()
    done = ansible_playbook(playbook="playbooks/provision.yml", inventories=layers)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ways_in() == "(publickey)."


def test_all_of_it_is_so_after_a_power_cut(pi: Host) -> None:
    power_cut()
    wait_until(lambda: answers(at_pi(), "127.0.0.1", MAP), "the map server is back")
    with surroundings(pi) as again:
        wait_until(lambda: "database" in again.reached_from_the_map_server(), "the database is back")
        assert again.seen() == WANTED
        assert again.reached_from_the_map_server() == {"database"}
    assert ways_in() == "(publickey)."
