"""What the emulated Pi's container is: names, labels, capabilities, ports. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LABEL = "fr.poppyfield.emulator"
STATE_LABEL = f"{LABEL}.state-dir"
IMAGE_LABEL = f"{LABEL}.image"
IMAGE_REPOSITORY = "poppyfield/emulated-pi"
MACHINE_REPOSITORY = "poppyfield/emulated-machine"
TOOLS_REPOSITORY = "poppyfield/emulated-pi-tools"
ADDRESS = "127.0.0.1"
PORT_OPTIONS = {"22/tcp": "--ssh-port", "80/tcp": "--map-port", "443/tcp": "--https-port"}

# The double of FAT answers through it.
FUSE = "/dev/fuse"
# Between two times that it is powered on from outside: one that fails as it starts does not do so for ever.
REBOOTS = 20

# Overlay on overlay is refused, so the engine's layers need volumes; the data gets the machine's own file system, too.
VOLUMES = {"docker": "/var/lib/docker", "containerd": "/var/lib/containerd", "srv": "/srv"}

# systemd and a container engine need these beyond Docker's default set. They are named because `--privileged` fails
# as a whole on a machine that lacks one of them; what would reach beyond the container (modules, raw devices, the
# clock, rebooting) is left out.
CAPABILITIES = (
    "AUDIT_CONTROL",
    "DAC_READ_SEARCH",
    "IPC_LOCK",
    "LEASE",
    "LINUX_IMMUTABLE",
    "NET_ADMIN",
    "NET_BROADCAST",
    "SYS_ADMIN",
    "SYS_NICE",
    "SYS_PTRACE",
    "SYS_RESOURCE",
    "SYS_TTY_CONFIG",
)
# linux/capability.h
CAPABILITY_BITS = {
    "DAC_READ_SEARCH": 2,
    "LINUX_IMMUTABLE": 9,
    "NET_BROADCAST": 11,
    "NET_ADMIN": 12,
    "IPC_LOCK": 14,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
    "SYS_NICE": 23,
    "SYS_RESOURCE": 24,
    "SYS_TTY_CONFIG": 26,
    "LEASE": 28,
    "AUDIT_CONTROL": 30,
}


class EmulatorError(Exception):
    """Something a person can put right; the message says what."""


@dataclass(frozen=True)
class Pi:
    """An emulated Pi, as asked for."""

    name: str
    ssh_port: int
    map_port: int
    state_dir: str
    memory: str
    # The map by HTTPS; not published without it.
    https_port: int | None = None
    devices: tuple[str, ...] = ()
    """Of this machine, which the Pi has as well: a loop device is its USB stick."""
    # More of its ports, as those above: port in the Pi -> port on this machine.
    more_ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def ports(self) -> dict[str, int]:
        """What is published: port in the Pi -> port on this machine."""
        given = {"22/tcp": self.ssh_port, "80/tcp": self.map_port, "443/tcp": self.https_port, **self.more_ports}
        return {inside: outside for inside, outside in given.items() if outside is not None}


@dataclass(frozen=True)
class Existing:
    """An emulated Pi, as found."""

    running: bool
    ports: dict[str, int]
    state_dir: str


def capabilities(bounding_set: int) -> list[str]:
    """Return the capabilities to add: the ones that this machine can give (its bounding set, as in /proc)."""
    return [name for name in CAPABILITIES if bounding_set >> CAPABILITY_BITS[name] & 1]


def volume_names(name: str) -> dict[str, str]:
    """Return the Pi's volumes: volume name -> path in the Pi."""
    return {f"{name}-{suffix}": path for suffix, path in VOLUMES.items()}


def labels(pi: Pi) -> dict[str, str]:
    """Return the labels that make the container ours."""
    return {LABEL: pi.name, STATE_LABEL: pi.state_dir}


def container_options(pi: Pi, image: str, bounding_set: int) -> dict[str, Any]:
    """Return the arguments of the Docker SDK's `containers.create`.

    The private cgroup namespace is the same for cgroup v1 and v2: systemd in the container sees its own cgroup as
    the root, and the mounts that Docker makes for it are made writable by the container's first process. Binding the
    machine's /sys/fs/cgroup instead would show it the machine's cgroups, outside this container's memory limit.
    """
    return {
        "image": image,
        "name": pi.name,
        "hostname": pi.name,
        "labels": labels(pi),
        "cap_add": capabilities(bounding_set),
        "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
        "cgroupns": "private",
        "devices": [FUSE, *pi.devices],
        # Docker starts again what did not end by itself with status 0: a reboot, by root/etc/systemd/system. It leaves
        # alone what was stopped or killed from outside.
        "restart_policy": {"Name": "on-failure", "MaximumRetryCount": REBOOTS},
        "tmpfs": {"/run": "exec,mode=755,size=25%", "/tmp": "exec,mode=1777,size=25%"},  # noqa: S108
        "volumes": {volume: {"bind": path, "mode": "rw"} for volume, path in volume_names(pi.name).items()},
        "ports": {inside: (ADDRESS, outside) for inside, outside in pi.ports.items()},
        "mem_limit": pi.memory,
        "log_config": {"Type": "json-file", "Config": {"max-size": "1m"}},
    }


def check_ownership(name: str, found: dict[str, str], what: str = "container") -> None:
    """Refuse what has the right name but is not ours."""
    if found.get(LABEL) != name:
        raise EmulatorError(
            f"There is a {what} named {name} that the emulator did not make (it lacks the label {LABEL}={name}). "
            f"It is left alone: choose another --name, or remove it yourself."
        )


def check_reuse(pi: Pi, existing: Existing) -> None:
    """Refuse to start an existing Pi with other options than it was made with: Docker can't change them."""
    asked = {**by_option(pi.ports), "--state-dir": pi.state_dir}
    made = {**by_option(existing.ports), "--state-dir": existing.state_dir}
    for option in {**made, **asked}:
        if made.get(option) != asked.get(option):
            raise EmulatorError(
                f"The emulated Pi {pi.name} was made with {option} {made.get(option, 'absent')}, not "
                f"{asked.get(option, 'absent')}. Use that, or remove the Pi first: destroy --name {pi.name}"
            )


def by_option(ports: Mapping[str, int]) -> dict[str, int]:
    """Return the ports by the options that choose them."""
    return {PORT_OPTIONS.get(inside, f"--port {inside}"): outside for inside, outside in ports.items()}


def known_hosts_line(port: int, public_key: str) -> str:
    """Return the line by which ssh knows the Pi at this port."""
    kind, key = public_key.split()[:2]
    return f"[{ADDRESS}]:{port} {kind} {key}\n"
