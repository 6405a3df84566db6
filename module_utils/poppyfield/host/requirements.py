"""What a host must be before anything is changed on it: facts and requirements -> problems in sentences. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.poppyfield.host import data_folders, docker_packages, docker_settings
from ansible.module_utils.poppyfield.host.architectures import PLATFORMS
from ansible.module_utils.poppyfield.host.file_systems import FileSystem, unfit
from ansible.module_utils.poppyfield.images.profiles import PI_ARCHITECTURES, PROFILES, RELEASES
from ansible.module_utils.poppyfield.postgis import major_upgrade

DEBIAN_LIKE = ("debian", "raspbian")
OTHER_TIME_SERVERS = ("ntpsec", "openntpd")
"""Packages that chrony would take the place of; systemd-timesyncd, which is there from the start, is nobody's own."""
CLOCK_TOLD = 5 * 60
"""Seconds between the clocks that are worth a word. What brings the question to a slow Pi takes less."""
CLOCK_SET = 60
"""Seconds between the clocks from which on a clock that nobody else sets is set."""
SUPPORTED = (
    "Supported are Raspberry Pi OS and Debian: trixie (13) 64-bit, bookworm (12) 64-bit, and bookworm 32-bit "
    "on a Raspberry Pi 2 or later."
)


SET_CLOCK = (
    "Connect the Pi to a network with a time server, or set its clock from the laptop: "
    "ssh -t NAME sudo date --set=@$(date +%s). If it is the laptop that is wrong, set that one."
)
IS_SET = "No time server sets it, so the provision stage does."


@dataclass(frozen=True)
class Disk:
    """Free space on the file system that holds a path."""

    path: str
    free_mb: int | None


@dataclass(frozen=True)
class Listener:
    """Who listens on a TCP port, as far as one can tell."""

    port: int
    busy: bool
    owner: str = ""
    """Name of the container that publishes the port; empty for another program."""


@dataclass(frozen=True)
class Facts:
    """What was found on the host."""

    os_id: str
    os_version_id: str
    os_id_like: tuple[str, ...]
    os_name: str
    architecture: str
    machine: str
    memory_mb: int
    clock_year: int
    clock: int = 0
    """Seconds since 1970, taken before anything else is looked at."""
    clock_kept: bool = False
    """Whether a time server, or the like, sets the clock; False where nobody asked."""
    disks: tuple[Disk, ...] = ()
    file_systems: tuple[FileSystem, ...] = ()
    """Those of the folders that were asked for, as far as the kernel tells."""
    data_folders: Mapping[str, data_folders.Found] = field(default_factory=dict)
    """By path what is found and remembered of a folder."""
    listeners: tuple[Listener, ...] = ()
    foreign_containers: tuple[str, ...] = ()
    foreign_networks: tuple[str, ...] = ()
    memory_cgroup: bool = True
    model: str = ""
    docker: bool = False
    """Whether Docker Engine answers."""
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By path the digest, owner, group and mode of a file; nothing of one that is not there."""
    docker_version: str = ""
    """What Docker Engine says when it answers."""
    docker_snap: bool = False
    docker_command: bool = False
    """Whether there is a command docker, whoever answers it."""
    docker_repository: str = ""
    """The address in the file that we write for apt."""
    docker_root: str = ""
    """The folder that the engine works in, or would."""
    daemon_differs: bool | None = None
    """Whether daemon.json lacks keys of ours; None where nobody asked."""
    daemon_problems: tuple[str, ...] = ()
    bundle: Mapping[str, Any] = field(default_factory=dict)
    """What of a bundle is for this host, and whether it has yet to take it; nothing without one."""
    bundle_problems: tuple[str, ...] = ()
    receiver_missing: bool = False
    """Whether the GPS receiver that was asked for is not there."""
    serial_devices: tuple[str, ...] = ()
    """Which devices there are that can be one; nothing unless it is missing."""
    hotspot_problems: tuple[str, ...] = ()
    """Why the host cannot have the Wi-Fi of its own that it is to have."""
    adopted: str = ""
    """The package of an engine from elsewhere that is used as it is."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """By name the versions of those packages that are installed."""
    packages: tuple[str, ...] = ()
    """Which of the packages that were asked for are installed."""
    services: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    """By name of a service whether it is active and enabled."""
    images: Mapping[str, str] = field(default_factory=dict)
    """By reference the digest of each image of ours."""


@dataclass(frozen=True)
class Requirements:
    """What the later stages need."""

    profile: str
    architecture: str = ""
    memory_mb: int = 0
    earliest_year: int = 0
    laptop_clock: int = 0
    """Seconds since 1970 on the laptop; 0 when nobody says."""
    bundle_date: int = 0
    """The same of when the bundle was made from which the host is installed: the time is no earlier."""
    clock_difference: int = 0
    """Seconds from which on another clock than the laptop's is a problem; 0 only tells it."""
    set_clock: bool = False
    """Whether the run sets a clock that nobody else sets."""
    docker_source: str = ""
    """Where the engine is to come from; empty for a run that installs none."""
    allow_amd64: bool = False
    disks: tuple[Mapping[str, Any], ...] = ()
    folders: tuple[Mapping[str, Any], ...] = ()
    ports: tuple[Mapping[str, Any], ...] = field(default=())
    cluster: Mapping[str, Any] = field(default_factory=dict)
    """Of the database its `folder`, the `marker` in it, and whether it may be `upgraded`; nothing when nobody asks."""
    receiver: Mapping[str, Any] = field(default_factory=dict)
    """Of the GPS receiver its `device`, and the `marker` that is there once one was set up; nothing without one."""

    @property
    def right_time(self) -> int:
        """Give the time by which the host's clock is judged: the laptop's, or that of a bundle that is newer."""
        return max(self.laptop_clock, self.bundle_date)


def problems(facts: Facts, wanted: Requirements) -> list[str]:
    """Give every problem in a fixed order, each naming the variable or file and what to do about it."""
    return [
        *_operating_system(facts, wanted),
        *_architecture(facts, wanted),
        *_memory(facts, wanted),
        *_clock(facts, wanted),
        *_disks(facts, wanted),
        *_file_systems(facts, wanted),
        *_data_folders(facts, wanted),
        *_cluster(facts, wanted),
        *_ports(facts, wanted),
        *_docker(facts, wanted),
        *_clashes(facts),
        *_position(facts, wanted),
        *facts.hotspot_problems,
    ]


def _operating_system(facts: Facts, wanted: Requirements) -> Iterable[str]:
    if facts.os_id not in DEBIAN_LIKE or facts.os_version_id not in RELEASES:
        name = facts.os_name or "an unknown system (no /etc/os-release)"
        yield f"The operating system is {name}. {SUPPORTED}"
    if wanted.profile not in PI_ARCHITECTURES:
        known = ", ".join(PI_ARCHITECTURES)
        yield f"The image profile {wanted.profile!r} does not exist. There are: {known}."


def _architecture(facts: Facts, wanted: Requirements) -> Iterable[str]:
    if facts.machine.startswith("armv6") or facts.architecture == "armel":
        yield f"The processor is ARMv6 ({facts.machine}, a Pi Zero or Pi 1), too old for PostGIS. {SUPPORTED}"
        return
    if facts.architecture not in PLATFORMS:
        yield f"dpkg --print-architecture says {facts.architecture or 'nothing'}. {SUPPORTED}"
        return
    if facts.architecture == "amd64":
        if not wanted.allow_amd64:
            yield f"The architecture is amd64, which is for tests only (allow_amd64). {SUPPORTED}"
    elif facts.architecture == "armhf" and facts.os_version_id == "13":
        yield (
            "This is a 32-bit system of trixie, for which Debian has no PostGIS. Flash the 64-bit Raspberry Pi OS "
            "(trixie), or stay on 32-bit bookworm with the image profile bookworm."
        )
    elif facts.architecture not in PI_ARCHITECTURES.get(wanted.profile, (facts.architecture,)):
        yield (
            f"The image profile {wanted.profile} has no images for {facts.architecture}. Set arm_images_profile to "
            f"bookworm, which then holds for the whole fleet, or flash the 64-bit Raspberry Pi OS."
        )
    if wanted.architecture and wanted.architecture != facts.architecture:
        yield (
            f"The inventory says that this host is {wanted.architecture}, but dpkg --print-architecture says "
            f"{facts.architecture}. Correct the host's variable, or flash the other Raspberry Pi OS."
        )


def _memory(facts: Facts, wanted: Requirements) -> Iterable[str]:
    if facts.memory_mb < wanted.memory_mb:
        yield (
            f"The host has {facts.memory_mb} MB of memory, but {wanted.memory_mb} MB are needed. Use a Pi with more "
            f"memory."
        )


def clock_to_set(facts: Facts, wanted: Requirements) -> bool:
    """Tell whether the run sets the clock; a laptop whose own clock is wrong sets none."""
    off = clocks_apart(facts.clock, wanted.right_time) >= CLOCK_SET
    year = datetime.fromtimestamp(wanted.right_time, UTC).year
    return wanted.set_clock and off and not facts.clock_kept and year >= wanted.earliest_year


def clocks_apart(clock: int, laptop_clock: int) -> int:
    """Give how many seconds two clocks differ, 0 where one of them is not known."""
    return abs(clock - laptop_clock) if clock and laptop_clock else 0


def _clock(facts: Facts, wanted: Requirements) -> Iterable[str]:
    if clock_to_set(facts, wanted):
        return
    off = _clock_off(facts, wanted)
    if off and wanted.clock_difference and abs(off) >= wanted.clock_difference:
        yield (
            f"{_clocks(facts, wanted)}. With such a clock apt refuses lists of packages as not valid yet or expired, "
            f"and certificates are made for the wrong time. {SET_CLOCK}"
        )
    elif not off and facts.clock_year < wanted.earliest_year:
        yield (
            f"The clock says the year {facts.clock_year}, so package signatures look as if they were from the future. "
            f"Set it (sudo date --set=...), or connect the Pi to a network with a time server."
        )


def _clock_off(facts: Facts, wanted: Requirements) -> int:
    """Give how many seconds the Pi is ahead of the laptop; 0 where nobody can tell, or for too few."""
    told = clocks_apart(facts.clock, wanted.right_time) >= CLOCK_TOLD
    return facts.clock - wanted.right_time if told else 0


def _clocks(facts: Facts, wanted: Requirements) -> str:
    off = facts.clock - wanted.right_time
    here, there = (
        datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M") for time in (wanted.right_time, facts.clock)
    )
    which = "ahead of" if off > 0 else "behind"
    if wanted.bundle_date > wanted.laptop_clock:
        return f"The clock is {_duration(abs(off))} {which} the bundle: it says {there} UTC, which was made {here} UTC"
    return f"The clock is {_duration(abs(off))} {which} this laptop's: it says {there} UTC, the laptop {here} UTC"


def _duration(seconds: int) -> str:
    for name, length in (("days", 24 * 60 * 60), ("hours", 60 * 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {name}"
    return f"{seconds // 60} minutes"


def _disks(facts: Facts, wanted: Requirements) -> Iterable[str]:
    free = {disk.path: disk.free_mb for disk in facts.disks}
    for need in wanted.disks:
        if facts.files.get(need.get("unless_file") or ""):
            continue
        path, least = need["path"], need["free_mb"]
        found = free.get(path)
        if found is None:
            yield f"The free space for {path}{_named(need)} could not be read."
        elif found < least:
            yield (
                f"The file system of {path}{_named(need)} has {found} MB free, but {least} MB are needed. Free some "
                f"space, or choose a folder on a larger disk."
            )


def _file_systems(facts: Facts, wanted: Requirements) -> Iterable[str]:
    found = {system.folder: system for system in facts.file_systems}
    told: set[tuple[str, str]] = set()
    for need in wanted.folders:
        system = found.get(need["path"])
        why = unfit(system) if system else ""
        # A folder below one that is told already, on the same file system, is nothing new.
        if system is None or not why or (system.point, need.get("variable", "")) in told:
            continue
        told.add((system.point, need.get("variable", "")))
        yield f"{need['path']}{_named(need)} is on {system.kind}, mounted at {system.point}, {why}."


def _data_folders(facts: Facts, wanted: Requirements) -> Iterable[str]:
    for need in wanted.folders:
        found = facts.data_folders.get(need["path"])
        if found and not need.get("may_change"):
            yield from filter(None, [data_folders.problem(need["path"], need["variable"], found)])


def cluster_versions(facts: Facts, wanted: Requirements) -> tuple[str, str]:
    """Give the major version of PostgreSQL that made the database, and that of the images; empty where unknown."""
    marker = facts.files.get(wanted.cluster.get("marker", "")) or {}
    version = next((profile.postgresql for profile in PROFILES if profile.name == wanted.profile), "")
    return major_upgrade.made_by(marker.get("sha256", "")), version


def upgrades(facts: Facts, wanted: Requirements) -> bool:
    """Tell whether the database is to be brought to another major version."""
    found, version = cluster_versions(facts, wanted)
    return bool(wanted.cluster.get("upgraded") and found and version and int(found) < int(version))


def _cluster(facts: Facts, wanted: Requirements) -> Iterable[str]:
    found, version = cluster_versions(facts, wanted)
    if version and (
        said := major_upgrade.preflight_problem(
            wanted.cluster.get("folder", ""),
            found,
            wanted.profile,
            version,
            may_upgrade=bool(wanted.cluster.get("upgraded")),
        )
    ):
        yield said


def _ports(facts: Facts, wanted: Requirements) -> Iterable[str]:
    listeners = {listener.port: listener for listener in facts.listeners}
    for need in wanted.ports:
        listener = listeners.get(need["port"])
        if listener is None or not listener.busy:
            continue
        may_hold = need.get("container") or ""
        if listener.owner and listener.owner.removesuffix("-previous") == may_hold:
            continue
        owner = f"the container {listener.owner}" if listener.owner else "another program"
        yield (
            f"TCP port {need['port']}{_named(need)} is taken by {owner}. Stop that one (sudo ss -ltnp shows it), or "
            f"choose another port."
        )


def _docker(facts: Facts, wanted: Requirements) -> Iterable[str]:
    if wanted.docker_source:
        yield from docker_packages.problems(
            facts.versions, facts.docker_version, wanted.docker_source, snap=facts.docker_snap
        )
    yield from facts.daemon_problems
    yield from facts.bundle_problems


def _clashes(facts: Facts) -> Iterable[str]:
    for kind, names in (("container", facts.foreign_containers), ("network", facts.foreign_networks)):
        for name in names:
            yield (
                f"A Docker {kind} named {name} exists that Poppyfield did not make, so it is left alone. Rename or "
                f"remove it, or choose another name."
            )


def _position(facts: Facts, wanted: Requirements) -> Iterable[str]:
    if not wanted.receiver:
        return
    for name in sorted(set(OTHER_TIME_SERVERS) & set(facts.packages)):
        yield (
            f"{name} sets the clock, which is somebody's, and chrony can't be beside it (position_enabled). Remove it "
            f"(sudo apt-get remove {name}), or set position_enabled to false."
        )
    # Where one was set up before, it may have been unplugged: the map goes on without.
    if facts.receiver_missing and not facts.files.get(wanted.receiver["marker"]):
        yield _no_receiver(facts, wanted)


def _no_receiver(facts: Facts, wanted: Requirements) -> str:
    device = wanted.receiver["device"]
    others = f" There are: {', '.join(facts.serial_devices)}." if facts.serial_devices else ""
    return f"There is no {device} (position_device). Plug the GPS receiver in, or correct the name.{others}"


def _named(need: Mapping[str, Any]) -> str:
    return f" ({need['variable']})" if need.get("variable") else ""


def warnings(facts: Facts, wanted: Requirements) -> list[str]:
    """Give what is not a problem but worth knowing."""
    found = []
    if not facts.memory_cgroup:
        found.append("The kernel's memory cgroup is off, so Docker cannot keep memory limits or tell memory use.")
    if _clock_off(facts, wanted) and not any(_clock(facts, wanted)):
        remedy = IS_SET if clock_to_set(facts, wanted) else SET_CLOCK
        found.append(f"{_clocks(facts, wanted)}. {remedy}")
    if wanted.receiver and facts.receiver_missing and facts.files.get(wanted.receiver["marker"]):
        found.append(_no_receiver(facts, wanted))
    return found


# Reading what the host says -----------------------------------------------------------------------------------------


def daemon_facts(
    text: str, ours: Mapping[str, Any] | None, root: str, units: str = "", *, swarm: bool = False
) -> dict[str, Any]:
    """Read daemon.json, of which only what concerns our keys is told: others may hold a proxy's password."""
    if not ours:
        return {}
    try:
        there = docker_settings.read(text)
    except docker_settings.SettingsError as error:
        return {"daemon_differs": True, "daemon_problems": (f"{error}.",)}
    return {
        "daemon_differs": docker_settings.merged(there, ours) != there,
        "daemon_problems": (
            *docker_settings.problems(there, ours, root),
            *docker_settings.startup_problems(there, ours, units, swarm=swarm),
        ),
    }


def repository_address(sources: str) -> str:
    """Read the address from a file of apt's in the form deb822."""
    found = re.search(r"^URIs:[ \t]*(\S+)", sources, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def memory_bytes(meminfo: str) -> int:
    """Read the total memory from /proc/meminfo; 0 when it does not tell."""
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def parse_os_release(text: str) -> dict[str, str]:
    """Read /etc/os-release."""
    found = {}
    for line in text.splitlines():
        match = re.fullmatch(r"([A-Z_][A-Z0-9_]*)=(.*)", line.strip())
        if match:
            value = match[2]
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            found[match[1]] = value
    return found


def listening_ports(*tables: str) -> set[int]:
    """Read /proc/net/tcp and tcp6: the ports on which something listens."""
    found = set()
    for table in tables:
        for line in table.splitlines()[1:]:
            words = line.split()
            if len(words) > 3 and words[3] == "0A":  # noqa: PLR2004 - the state LISTEN in the fourth column
                found.add(int(words[1].rpartition(":")[2], 16))
    return found


def published_ports(containers: Mapping[str, str]) -> dict[int, str]:
    """Read the ports of each container as docker ps shows them: who publishes which TCP port."""
    found = {}
    for name, ports in containers.items():
        for first, last in re.findall(r":(\d+)(?:-(\d+))?->[\d-]+/tcp", ports):
            for port in range(int(first), int(last or first) + 1):
                found[port] = name
    return found


def memory_cgroup_enabled(cgroups: str, controllers: str) -> bool:
    """Read /proc/cgroups and cgroup v2's list of controllers: whether the kernel accounts memory."""
    if "memory" in controllers.split():
        return True
    rows = [line.split() for line in cgroups.splitlines()]
    return any(row[0] == "memory" and row[-1] == "1" for row in rows if row)
