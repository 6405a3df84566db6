"""Each part of the role hardening on an emulated Pi that it was played on, looked at over SSH and from the Pi's own network.

`make test-hardening` says by variables which Pi that is, and removes it at the end. Its kernel is this machine's, and takes no
rules of audit from a container: of hardening_audit only what it would install is looked at, by tests/engine/test_cis.py.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest
from testinfra.host import Host

if "POPPYFIELD_PI_NAME" not in os.environ:
    pytest.skip("make test-hardening runs them, on a Pi of their own", allow_module_level=True)

from emulated_pi import MAP_PORT, PI_NAME, SSH_PORT, STATE, ansible_playbook, emulator, log_in, power_cut

HARDENED = {
    "hardening_ssh_keys_only": True,
    "hardening_security_updates": True,
    "hardening_engine": True,
    "hardening_firewall": True,
}
FORGOTTEN = 8000
"""A port on which a program of the Pi listens that nobody remembers."""
SECONDS = 240
"""The unit puts the rules back within 20, and the emulated processor is slow."""


@pytest.fixture(scope="module")
def pi() -> Iterator[Host]:
    """Return the Pi, on which a forgotten program listens."""
    STATE.mkdir(parents=True, exist_ok=True)
    emulator("build")
    ports = ["--ssh-port", SSH_PORT, "--map-port", MAP_PORT]
    try:
        emulator("start", "--name", PI_NAME, *ports, "--state-dir", str(STATE))
        host = log_in()
        listen(host)
        assert answers(FORGOTTEN)
        done = provision()
        assert done.returncode == 0, done.stdout + done.stderr
        yield host
    finally:
        emulator("destroy", "--name", PI_NAME)


def provision(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the stage that prepares the Pi, with all that is asked of the role."""
    return ansible_playbook("-e", json.dumps(HARDENED), *options, playbook="playbooks/provision.yml")


def listen(host: Host) -> None:
    """Have the forgotten program run until the next boot."""
    host.check_output(f"systemd-run --quiet python3 -m http.server {FORGOTTEN} --directory /usr/share/doc")
    until(lambda: listens(host), "the forgotten program listens")


def listens(host: Host) -> bool:
    """Tell whether it runs, whoever reaches it."""
    return bool(host.check_output(f"ss --listening --tcp --no-header 'sport = :{FORGOTTEN}'"))


def until(come: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + SECONDS
    while not come():
        assert time.monotonic() < deadline, f"Not within {SECONDS} s: {what}."
        time.sleep(1)


def answers(port: int) -> bool:
    """Tell whether the Pi's network gets a connection to a port of the Pi."""
    container = docker.from_env().containers.get(PI_NAME)
    (network,) = container.attrs["NetworkSettings"]["Networks"].values()
    with closing(socket.socket()) as connection:
        connection.settimeout(5)
        return connection.connect_ex((network["IPAddress"], port)) == 0


def logs_in(*options: str) -> str:
    """Try to log in; give what ssh says of a refusal, or nothing."""
    command = ["ssh", "-F", "none", "-o", f"UserKnownHostsFile={STATE}/known_hosts", "-o", "BatchMode=yes", *options]
    command += ["-o", "ControlPath=none", "-p", SSH_PORT, "pi@127.0.0.1", "true"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()


def test_nobody_is_asked_for_a_password(pi: Host) -> None:
    assert "Permission denied (publickey)" in logs_in("-o", "PubkeyAuthentication=no")
    assert logs_in("-o", "IdentitiesOnly=yes", "-i", f"{STATE}/id_ed25519") == ""
    settings = pi.check_output("sshd -T").splitlines()
    assert {"passwordauthentication no", "kbdinteractiveauthentication no"} <= set(settings)


def test_security_updates_come_by_themselves_and_stop_no_container(pi: Host) -> None:
    settings = pi.check_output("apt-config dump")
    assert 'APT::Periodic::Unattended-Upgrade "1";' in settings
    origins = [line for line in settings.splitlines() if "Origins-Pattern::" in line]
    assert any("label=Debian-Security" in line for line in origins)
    assert not any("label=Debian\"" in line for line in origins)
    assert "docker" in settings.partition("Package-Blacklist")[2]
    assert pi.check_output("systemctl is-enabled apt-daily-upgrade.timer") == "enabled"


def test_dockers_settings_count(pi: Host) -> None:
    info = json.loads(pi.check_output("docker info --format '{{json .}}'"))
    assert info["LiveRestoreEnabled"]
    assert any("no-new-privileges" in option for option in info["SecurityOptions"])
    daemon = json.loads(pi.check_output("cat /etc/docker/daemon.json"))
    assert (daemon["icc"], daemon["no-new-privileges"]) == (False, True)


def firewall_holds(pi: Host) -> None:
    """See that the Pi's network reaches SSH and no forgotten program, which runs."""
    until(lambda: not answers(FORGOTTEN), "the forgotten program is not reached")
    assert answers(22)
    assert listens(pi)


@pytest.mark.attack(kind="reach from outside", on="Pi")
def test_only_ssh_and_the_map_are_reached_from_outside(pi: Host) -> None:
    firewall_holds(pi)
    pi.check_output("systemctl stop poppyfield-firewall")
    for tool in ("iptables", "ip6tables"):
        pi.check_output(f"{tool} -w -F INPUT")
    assert answers(FORGOTTEN)
    pi.check_output("systemctl start poppyfield-firewall")
    firewall_holds(pi)


@pytest.mark.attack(kind="reach from outside", on="Pi")
def test_it_is_so_again_when_the_firewall_was_emptied_or_docker_restarted(pi: Host) -> None:
    for tool in ("iptables", "ip6tables"):
        pi.check_output(f"{tool} -w -F INPUT")
    firewall_holds(pi)
    pi.check_output("systemctl restart docker")
    firewall_holds(pi)


def test_it_is_so_after_a_power_cut_and_a_second_run_changes_nothing(pi: Host) -> None:
    power_cut()
    host = log_in()
    listen(host)
    firewall_holds(host)
    done = provision()
    assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout + done.stderr
