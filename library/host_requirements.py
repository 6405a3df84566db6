#!/usr/bin/python
# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ansible module: whether a host is what the later stages need, before anything is changed on it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_requirements
short_description: Check that a host can become a map server
version_added: "0.1.0"
description:
  - Looks at the operating system, architecture, memory, disk space, clock, TCP ports and existing containers, and
    changes none of it.
  - Fails with all problems in one message. Each names the variable or file to correct and the remedy.
  - Tells also what stands in files, which packages are installed, how services are and which images were delivered, so
    that a role runs only the tasks that have something to do. All of it is the fact C(poppyfield_pi).
  - Needs only Python itself, so that it runs on a freshly flashed Raspberry Pi.
  - With O(run) a host that has no other problem is locked for that run. One that another run holds is a problem.
extends_documentation_fragment:
  - poppyfield_run
options:
  profile:
    description: Profile of the images that the host will get.
    type: str
    choices: [trixie, bookworm]
    default: trixie
  architecture:
    description: Debian's name of the architecture that images are built for. When given, it must be the host's.
    type: str
    choices: [arm64, armhf, amd64]
  memory_mb:
    description: Least memory, as the kernel reports it. A Pi with 1 GB reports about 920 MB.
    type: int
    default: 900
  disk:
    description: Free space that is needed.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: A path on the file system in question. It need not exist yet.
        type: path
        required: true
      free_mb:
        description: Least free space in MB.
        type: int
        required: true
      variable:
        description: Name of the variable that sets the path, to be named in the message.
        type: str
        default: ""
      unless_file:
        description: One of O(files). Where it is there, the space is not needed any more.
        type: path
      less_files:
        description: Files that the space is for. The size of those that are there is subtracted.
        type: list
        elements: path
        default: []
  folders:
    description:
      - Folders whose content must last. One on a file system in memory, on an overlay, without owners of files, or
        read-only is a problem. What counts is the folder's own file system, not that of the system.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: A folder. It need not exist yet.
        type: path
        required: true
      variable:
        description: Name of the variable that sets the folder, to be named in the message.
        type: str
        default: ""
      remembered:
        description:
          - Whether the folder must be the one that O(folders[].variable) stood for when it was last deployed, on the
            same file system. One whose disk is not mounted is then a problem.
        type: bool
        default: false
      may_change:
        description: Whether it may be another one all the same.
        type: bool
        default: false
  ports:
    description: TCP ports that must be free.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: Number of the port.
        type: int
        required: true
      container:
        description: Container that may hold it already.
        type: str
        default: ""
      variable:
        description: Name of the variable that sets the port, to be named in the message.
        type: str
        default: ""
  containers:
    description: Containers that must be Poppyfield's own if they exist; unless it is given, those of all its services.
    type: list
    elements: str
  networks:
    description: Docker networks that must be Poppyfield's own if they exist.
    type: list
    elements: str
    default: [poppyfield]
  files:
    description: Files to tell the content (as a digest), owner, group and mode of.
    type: list
    elements: path
    default: [/etc/systemd/journald.conf.d/poppyfield.conf]
  packages:
    description: Packages to tell whether they are installed.
    type: list
    elements: str
    default: [docker.io, docker-cli, docker-ce, docker-ce-cli, containerd.io, python3-docker, docker-compose,
      docker-compose-plugin, openssl, unattended-upgrades, auditd, restic, chrony, gpsd, ntpsec, openntpd,
      dnsmasq-base, iw, wireless-regdb]
  docker_source:
    description:
      - Where Docker Engine is to come from. An engine from elsewhere that would have to be removed, or is too old, is
        then a problem. Nothing is asked of it unless this is given.
    type: str
    choices: [distribution, docker]
  docker_settings:
    description:
      - Keys that Docker's daemon.json must have, as M(docker_settings) takes them. A key of the operator that
        contradicts one of them is a problem. Nothing is asked of the file unless this is given.
    type: dict
  bundle:
    description:
      - What a bundle of M(made_bundle) says of itself, where the host is to install from it. One that is not for this
        host, of another key than those that it took before, older, or without a package that is needed, is a problem.
        apt is asked, with lists of its own, and nothing is installed.
    type: dict
    suboptions:
      number:
        description: Its number.
        type: int
        required: true
      signers:
        description: The keys that are trusted.
        type: str
        required: true
      packages:
        description: By release the packages that are installed from it.
        type: dict
        required: true
      indexes:
        description: By release and architecture, as in V(trixie-arm64), apt's index of its packages.
        type: dict
        required: true
      made:
        description: >-
          When it was made, in seconds since 1970. Where that is later than O(laptop_clock), the clock is judged by it.
        type: int
        default: 0
  receiver:
    description:
      - A GPS receiver that is to tell the host's position and time. One that is not there is a problem, or a warning
        where one was set up before. Another time server than chrony is a problem, too. Nothing is asked unless this is
        given.
    type: dict
    suboptions:
      device:
        description: The device, such as C(/dev/ttyACM0).
        type: str
        required: true
      marker:
        description: One of O(files), which is there once a receiver was set up.
        type: path
        required: true
  hotspot:
    description:
      - A Wi-Fi of its own that the host is to have. It is a problem without NetworkManager or the adapter, with one
        that has joined another Wi-Fi, where another program answers for names there, and with a network of others.
        Nothing is asked unless this is given.
    type: dict
    suboptions:
      interface:
        description: The adapter.
        type: str
        required: true
      network:
        description: The network of those who join it.
        type: str
        required: true
      leave_wifi:
        description: Whether the adapter may leave a Wi-Fi that it has joined.
        type: bool
        default: false
  cluster:
    description:
      - The database. One of another major version of PostgreSQL than the images of O(profile) have is a problem, unless
        it is an earlier one that may be upgraded. Nothing is asked of it unless this is given.
    type: dict
    suboptions:
      folder:
        description: The folder that holds it, to be named in the message.
        type: str
        required: true
      marker:
        description: One of O(files), PostgreSQL's file with its major version.
        type: path
        required: true
      upgraded:
        description: Whether one of an earlier major version may be upgraded.
        type: bool
        default: false
  services:
    description: Services of systemd to tell whether they run and start with the host.
    type: list
    elements: str
    default: [docker]
  check:
    description: Whether a host that will not do is a failure. Otherwise it is only looked at.
    type: bool
    default: true
  earliest_year:
    description: A clock that says an earlier year is wrong.
    type: int
    default: 2025
  laptop_clock:
    description:
      - The time on the laptop, in seconds since 1970. A Pi whose clock is five minutes off or more is told with a
        warning. 0 compares nothing.
    type: int
    default: 0
  clock_difference:
    description: Seconds from which on a clock that differs from O(laptop_clock) is a problem. 0 only tells it.
    type: int
    default: 0
  set_clock:
    description:
      - Whether a clock that is a minute off O(laptop_clock) or more, and that no time server sets, is set later in the
        run. It is then no problem, but told, and the fact C(clock_to_set) is true. In check mode nobody will set it.
    type: bool
    default: false
  allow_amd64:
    description: Whether an amd64 machine may pass, as in tests.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: It locks nothing then.
  diff_mode:
    support: none
    description: There is no difference to show.
  idempotent:
    support: full
    description: It never changes anything.
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Check the host
  host_requirements:
    profile: trixie
    disk:
      - path: /srv/poppyfield
        free_mb: 4000
        variable: poppyfield_data_folder
    folders:
      - path: /srv/poppyfield/postgis/data
        variable: postgis_data_folder
    ports:
      - port: 80
        container: websig-lizmap
        variable: lizmap_port
"""

RETURN = r"""
ansible_facts:
  description: What was found, also when the module fails, as the fact C(poppyfield_pi).
  returned: always
  type: dict
  contains:
    poppyfield_pi:
      description: What was found.
      type: dict
      contains:
        adopted:
          description: The package of an engine that does not come from Debian and is used as it is, or nothing.
          type: str
        architecture:
          description: Debian's name of it.
          type: str
        bundle:
          description: C(part), what of the bundle is for this host, and C(wanted), whether it has yet to take it.
          type: dict
        environment:
          description: What tasks that install packages have in their environment; nothing without a bundle.
          type: dict
        clock_to_set:
          description: Whether a task is to set the clock, as O(set_clock) says.
          type: bool
        daemon_differs:
          description: Whether Docker's daemon.json lacks keys of O(docker_settings).
          type: bool
        docker:
          description: Whether Docker Engine answers.
          type: bool
        files:
          description: For each of O(files) its C(sha256), C(owner), C(group) and C(mode), or nothing.
          type: dict
        images:
          description: The digest of each of Poppyfield's images, by its reference.
          type: dict
        run:
          description: The run that has locked the host, as later modules take it; nothing where none did.
          type: dict
        upgrades:
          description: Whether the database is to be brought to another major version of PostgreSQL.
          type: bool
        packages:
          description: Those of O(packages) that are installed.
          type: list
          elements: str
        services:
          description: What systemd says of each of O(services), C(active) and C(enabled).
          type: dict
problems:
  description: Every problem in a sentence.
  returned: always
  type: list
  elements: str
"""

import grp
import hashlib
import json
import os
import platform
import pwd
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.poppyfield.bundle import first_look as bundle_look
from ansible.module_utils.poppyfield.bundle.taking import BundlePlace
from ansible.module_utils.poppyfield.containers import services
from ansible.module_utils.poppyfield.containers.spec import DIGEST, MANAGED
from ansible.module_utils.poppyfield.host import data_folders, docker_packages, docker_settings
from ansible.module_utils.poppyfield.host.architectures import PLATFORMS
from ansible.module_utils.poppyfield.host.file_systems import FileSystem, holding, parse
from ansible.module_utils.poppyfield.host.requirements import (
    CLOCK_SET,
    Disk,
    Facts,
    Listener,
    Requirements,
    clock_to_set,
    clocks_apart,
    daemon_facts,
    listening_ports,
    memory_bytes,
    memory_cgroup_enabled,
    parse_os_release,
    problems,
    published_ports,
    repository_address,
    upgrades,
    warnings,
)
from ansible.module_utils.poppyfield.hotspot import first_look as hotspot_look
from ansible.module_utils.poppyfield.hotspot.settings import UNIT as HOTSPOT_UNIT
from ansible.module_utils.poppyfield.images.image_names import digest_of
from ansible.module_utils.poppyfield.images.profiles import DEFAULT, NAMES, RELEASES
from ansible.module_utils.poppyfield.runs import lock
from ansible.module_utils.poppyfield.runs.lock import LockError

MB = 1024 * 1024
SNAP = "/snap/docker/current"
RECEIVERS = (("/dev/serial/by-id", "*"), ("/dev", "ttyACM*"), ("/dev", "ttyUSB*"), ("/dev", "serial0"))
"""Where receivers are found, by the names that stay first."""
DOCKER_REPOSITORY = "/etc/apt/sources.list.d/docker.sources"

ARGUMENTS: dict[str, Any] = {
    "profile": {"type": "str", "choices": list(NAMES), "default": DEFAULT},
    "architecture": {"type": "str", "choices": list(PLATFORMS)},
    "memory_mb": {"type": "int", "default": 900},
    "disk": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "free_mb": {"type": "int", "required": True},
            "variable": {"type": "str", "default": ""},
            "unless_file": {"type": "path"},
            "less_files": {"type": "list", "elements": "path", "default": []},
        },
    },
    "folders": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "variable": {"type": "str", "default": ""},
            "remembered": {"type": "bool", "default": False},
            "may_change": {"type": "bool", "default": False},
        },
    },
    "ports": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "port": {"type": "int", "required": True},
            "container": {"type": "str", "default": ""},
            "variable": {"type": "str", "default": ""},
        },
    },
    "containers": {"type": "list", "elements": "str"},
    "networks": {"type": "list", "elements": "str", "default": [services.NETWORK]},
    "files": {
        "type": "list",
        "elements": "path",
        "default": ["/etc/systemd/journald.conf.d/poppyfield.conf"],
    },
    "packages": {
        "type": "list",
        "elements": "str",
        "default": [
            "docker.io",
            "docker-cli",
            "docker-ce",
            "docker-ce-cli",
            "containerd.io",
            "python3-docker",
            "docker-compose",
            "docker-compose-plugin",
            "openssl",
            "unattended-upgrades",
            "auditd",
            "restic",
            "chrony",
            "gpsd",
            "ntpsec",
            "openntpd",
            "dnsmasq-base",
            "iw",
            "wireless-regdb",
        ],
    },
    "docker_source": {"type": "str", "choices": ["distribution", "docker"]},
    "docker_settings": {"type": "dict"},
    "bundle": {
        "type": "dict",
        "options": {
            "number": {"type": "int", "required": True},
            "signers": {"type": "str", "required": True},
            "packages": {"type": "dict", "required": True},
            "indexes": {"type": "dict", "required": True},
            "made": {"type": "int", "default": 0},
        },
    },
    "receiver": {
        "type": "dict",
        "options": {"device": {"type": "str", "required": True}, "marker": {"type": "path", "required": True}},
    },
    "hotspot": {
        "type": "dict",
        "options": {
            "interface": {"type": "str", "required": True},
            "network": {"type": "str", "required": True},
            "leave_wifi": {"type": "bool", "default": False},
        },
    },
    "cluster": {
        "type": "dict",
        "options": {
            "folder": {"type": "str", "required": True},
            "marker": {"type": "path", "required": True},
            "upgraded": {"type": "bool", "default": False},
        },
    },
    "services": {"type": "list", "elements": "str", "default": ["docker"]},
    "check": {"type": "bool", "default": True},
    "earliest_year": {"type": "int", "default": 2025},
    "laptop_clock": {"type": "int", "default": 0},
    "clock_difference": {"type": "int", "default": 0},
    "set_clock": {"type": "bool", "default": False},
    "allow_amd64": {"type": "bool", "default": False},
    "run": lock.OPTION,
}


def text_of(path: str) -> str:
    """Give a file's text, empty when it cannot be read."""
    try:
        return Path(path).read_text("utf-8", "replace").rstrip("\0")
    except OSError:
        return ""


def printed_by(argv: list[str], *, failing_allowed: bool = True) -> str:
    """Give what a command prints, empty when it cannot be run."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if failing_allowed or done.returncode == 0 else ""


def said_by(argv: list[str]) -> str:
    """Give what a command prints, empty when it cannot be run or fails."""
    return printed_by(argv, failing_allowed=False)


def memory_mb(meminfo: str) -> int:
    """Read the total memory from /proc/meminfo."""
    return int(memory_bytes(meminfo)) // MB


def free_mb(path: str) -> int | None:
    """Give the free space of the file system that holds a path, or will hold it."""
    nearest = Path(path)
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        return shutil.disk_usage(nearest).free // MB
    except OSError:
        return None


def still_needed(need: dict[str, Any]) -> dict[str, Any]:
    """Give a need of space less what is there of it."""
    there = 0
    for path in need["less_files"]:
        with suppress(OSError):
            there += os.lstat(path).st_size
    return {**need, "free_mb": max(0, need["free_mb"] - there // MB)}


def file_systems(folders: list[str]) -> tuple[FileSystem, ...]:
    """Give the file system of each folder, where symbolic links lead; what the kernel does not tell is left out."""
    mounts = parse(text_of("/proc/self/mountinfo"))
    found = [(folder, holding(os.path.realpath(folder), mounts)) for folder in folders]
    return tuple(replace(system, folder=folder) for folder, system in found if system)


def file_at(path: str) -> dict[str, str]:
    """Give the content's digest, the owner, group and mode of a file; nothing where there is no file."""
    try:
        state = os.lstat(path)
        if not stat.S_ISREG(state.st_mode):
            return {}
        with Path(path).open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return {}
    return {
        "sha256": digest,
        "owner": name_of(state.st_uid, pwd.getpwuid),
        "group": name_of(state.st_gid, grp.getgrgid),
        "mode": f"{stat.S_IMODE(state.st_mode):04o}",
    }


def name_of(number: int, lookup: Callable[[int], Any]) -> str:
    """Give the name of a user or group, or its number where it has none."""
    try:
        return str(lookup(number)[0])
    except KeyError:
        return str(number)


def installed(names: list[str]) -> dict[str, str]:
    """Give the versions of those of the named packages that are installed."""
    # dpkg-query fails as a whole for a name that it never heard of, but tells of the others.
    form = "${Package}\t${db:Status-Status}\t${Version}\n"
    listing = printed_by(["dpkg-query", "--show", "--showformat", form, *names])
    rows = [line.split("\t") for line in listing.splitlines()]
    found = {row[0]: "".join(row[2:]) for row in rows if row[1:2] == ["installed"]}
    return {name: found[name] for name in names if name in found}


def service_states(names: list[str]) -> dict[str, dict[str, bool]]:
    """Give for each named service whether it runs, and whether it starts with the host."""
    form = ["systemctl", "show", "--property", "ActiveState,UnitFileState"]
    # One paragraph for each unit, or none where systemd does not answer.
    told = said_by([*form, *names]).split("\n\n")
    states = [text.split() for text in told] if len(told) == len(names) else [[] for _ in names]
    return {
        name: {"active": "ActiveState=active" in lines, "enabled": "UnitFileState=enabled" in lines}
        for name, lines in zip(names, states, strict=True)
    }


def own_images() -> dict[str, str]:
    """Give the digest of each image of ours by its reference."""
    ids = said_by(["docker", "image", "ls", "--quiet", "--no-trunc", "--filter", f"label={DIGEST}"]).split()
    listing = said_by(["docker", "image", "inspect", "--format", "{{json .}}", *sorted(set(ids))]) if ids else ""
    images = [json.loads(line) for line in listing.splitlines()]
    return {reference: digest_of(image) for image in images for reference in image["RepoTags"] or []}


def foreign(names: list[str], labels: Mapping[str, str]) -> tuple[str, ...]:
    """Give those of the named containers or networks that exist without our label."""
    return tuple(name for name in names if labels.get(name, "true") != "true")


def docker_objects(*listing: str) -> list[list[str]]:
    """Give a row for each object that Docker lists: its name, the value of our label, and its ports if it has any."""
    column = "{{.Names}}" if listing[0] == "ps" else "{{.Name}}"
    ports = "\t{{.Ports}}" if listing[0] == "ps" else ""
    lines = said_by(["docker", *listing, "--format", column + '\t{{.Label "' + MANAGED + '"}}' + ports]).splitlines()
    return [line.split("\t") for line in lines]


def engine_state() -> tuple[str, str, bool]:
    """Give the version of the engine that answers, the folder that it works in, and whether it is in a swarm."""
    form = "{{.ServerVersion}}\t{{.DockerRootDir}}\t{{.Swarm.LocalNodeState}}"
    version, root, swarm = (*said_by(["docker", "info", "--format", form]).strip().split("\t"), "", "", "")[:3]
    return version, root, swarm in ("active", "locked")


def daemon_file(text: str, wanted: dict[str, Any] | None, root: str, *, swarm: bool) -> dict[str, Any]:
    """Give what concerns our keys in daemon.json. Docker's units count only where one is missing."""
    missing = wanted and docker_settings.lacks(text, wanted)
    units = said_by(["systemctl", "cat", "docker"]) + "\n" + text_of("/etc/default/docker") if missing else ""
    return daemon_facts(text, wanted, root, units, swarm=swarm)


def bundle_facts(given: dict[str, Any] | None, release: str, architecture: str, adopted: str) -> dict[str, Any]:
    """Give what the host makes of a bundle; nothing where there is none."""
    if not given:
        return {}
    offer = bundle_look.Offer(**given)
    wanted = docker_packages.beside_engine(offer.packages.get(release, ()), adopted)
    there = installed(wanted)
    missing = [name for name in wanted if name not in there]
    return bundle_look.look(BundlePlace(), offer, release, architecture, missing)


def bundle_date(params: dict[str, Any]) -> int:
    """Give when the bundle was made; 0 where there is none."""
    return int((params["bundle"] or {}).get("made", 0))


def receiver_facts(given: dict[str, Any] | None) -> dict[str, Any]:
    """Give whether the GPS receiver is missing, and which devices can be one then; nothing where none is wanted."""
    if not given or is_character_device(Path(given["device"])):
        return {}
    found = [str(path) for folder, names in RECEIVERS for path in sorted(Path(folder).glob(names))]
    return {"receiver_missing": True, "serial_devices": tuple(found)}


def hotspot_problems(given: dict[str, Any] | None, daemon_json: str) -> tuple[str, ...]:
    """Give why the host cannot have the Wi-Fi that it is to have; nothing where none is wanted."""
    if not given:
        return ()
    radios = {path.parent.name: text_of(f"{path}/name") for path in sorted(Path("/sys/class/net").glob("*/phy80211"))}
    own = radios.get(given["interface"])
    asked = ["nmcli", "--get-values", "GENERAL.CON-UUID,GENERAL.CONNECTION", "device", "show"]
    joined = {name: hotspot_look.in_use_by(said_by([*asked, name])) for name, radio in radios.items() if radio == own}
    tables = [text_of(f"/proc/net/{name}") for name in ("tcp", "tcp6", "udp", "udp6")]
    running = service_states(["NetworkManager", HOTSPOT_UNIT])
    found = hotspot_look.AdapterLook(
        manager=running["NetworkManager"]["active"],
        adapters=tuple(radios),
        joined={name: profile for name, profile in joined.items() if profile},
        ours=running[HOTSPOT_UNIT]["active"],
        listening=frozenset().union(*map(hotspot_look.listening, tables)),
        routes=hotspot_look.routes(said_by(["ip", "-oneline", "-4", "route", "show"])),
        pools=hotspot_look.pools(daemon_json),
    )
    return tuple(hotspot_look.problems(found, given))


def is_character_device(path: Path) -> bool:
    """Tell a device that gives one byte after the other, also by a link to it."""
    try:
        return path.is_char_device()
    except OSError:
        return False


def clock_kept(clock: int, right_time: int) -> bool:
    """Tell whether somebody sets the clock; nobody is asked where it is right."""
    if clocks_apart(clock, right_time) < CLOCK_SET:
        return False
    return said_by(["timedatectl", "show", "--property=NTPSynchronized", "--value"]).strip() == "yes"


def place_of(path: str, docker_root: str) -> str:
    """Give where a path is looked at: Docker's usual folder stands for the one that it was told to work in."""
    return docker_root if docker_root and path == docker_settings.DEFAULT_ROOT else path


def gather(params: dict[str, Any]) -> Facts:
    """Look at the host."""
    # First of all, since the rest takes its time.
    clock = int(time.time())
    release = parse_os_release(text_of("/etc/os-release"))
    engine, root, swarm = engine_state()
    docker = engine != ""
    text = text_of(docker_settings.PATH)
    daemon = daemon_file(text, params["docker_settings"], root, swarm=swarm)
    root = root or docker_settings.data_root(text)
    versions = installed(list(dict.fromkeys([*params["packages"], *docker_packages.LOOKED_FOR])))
    busy = listening_ports(text_of("/proc/net/tcp"), text_of("/proc/net/tcp6"))
    rows = docker_objects("ps", "--all") if docker else []
    owners = published_ports({row[0]: row[-1] for row in rows})
    networks = docker_objects("network", "ls") if docker else []
    ports = [need["port"] for need in params["ports"]]
    containers = services.containers() if params["containers"] is None else params["containers"]
    architecture = said_by(["dpkg", "--print-architecture"]).strip()
    codename = RELEASES.get(release.get("VERSION_ID", ""), "")
    adopted = docker_packages.adopted(versions, engine)
    return Facts(
        os_id=release.get("ID", ""),
        os_version_id=release.get("VERSION_ID", ""),
        os_id_like=tuple(release.get("ID_LIKE", "").split()),
        os_name=release.get("PRETTY_NAME", ""),
        architecture=architecture,
        machine=platform.machine() or os.uname().machine,
        memory_mb=memory_mb(text_of("/proc/meminfo")),
        clock_year=time.gmtime(clock).tm_year,
        clock=clock,
        clock_kept=clock_kept(clock, max(params["laptop_clock"], bundle_date(params))),
        disks=tuple(Disk(need["path"], free_mb(place_of(need["path"], root))) for need in params["disk"]),
        file_systems=file_systems([need["path"] for need in params["folders"]]),
        data_folders={
            need["path"]: data_folders.look(need["path"], need["variable"])
            for need in params["folders"]
            if need["remembered"]
        },
        listeners=tuple(Listener(port, port in busy or port in owners, owners.get(port, "")) for port in ports),
        foreign_containers=foreign(containers, {row[0]: row[1] for row in rows}),
        foreign_networks=foreign(params["networks"], {row[0]: row[1] for row in networks}),
        memory_cgroup=memory_cgroup_enabled(text_of("/proc/cgroups"), text_of("/sys/fs/cgroup/cgroup.controllers")),
        model=text_of("/sys/firmware/devicetree/base/model"),
        docker=docker,
        files={path: file_at(path) for path in params["files"]},
        docker_version=engine,
        docker_command=shutil.which("docker") is not None,
        docker_repository=repository_address(text_of(DOCKER_REPOSITORY)),
        docker_root=root,
        **daemon,
        docker_snap=os.path.lexists(SNAP),
        adopted=adopted,
        **bundle_facts(params["bundle"], codename, architecture, adopted),
        **receiver_facts(params["receiver"]),
        hotspot_problems=hotspot_problems(params["hotspot"], text),
        versions=versions,
        packages=tuple(name for name in params["packages"] if name in versions),
        services=service_states(params["services"]),
        images=own_images() if docker else {},
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    facts = gather(module.params)
    wanted = Requirements(
        profile=module.params["profile"],
        architecture=module.params["architecture"] or "",
        memory_mb=module.params["memory_mb"],
        earliest_year=module.params["earliest_year"],
        laptop_clock=module.params["laptop_clock"],
        bundle_date=bundle_date(module.params),
        clock_difference=module.params["clock_difference"],
        set_clock=module.params["set_clock"] and not module.check_mode,
        docker_source=module.params["docker_source"] or "",
        allow_amd64=module.params["allow_amd64"],
        disks=tuple(still_needed(need) for need in module.params["disk"]),
        folders=tuple(module.params["folders"]),
        ports=tuple(module.params["ports"]),
        cluster=module.params["cluster"] or {},
        receiver=module.params["receiver"] or {},
    )
    found = problems(facts, wanted)
    run = None if found or module.check_mode else module.params["run"]
    try:
        lock.take(run)
    except LockError as error:
        found = [str(error)]
    result = {
        "changed": False,
        "ansible_facts": {
            "poppyfield_pi": {
                **asdict(facts),
                "os_codename": RELEASES.get(facts.os_version_id, ""),
                "clock_to_set": clock_to_set(facts, wanted),
                "platform": PLATFORMS.get(facts.architecture, ""),
                "upgrades": upgrades(facts, wanted),
                "run": lock.given_on(run) if run and not found else {},
                "environment": {"APT_CONFIG": str(BundlePlace().configuration)} if module.params["bundle"] else {},
            },
        },
        "problems": found,
    }
    for warning in warnings(facts, wanted):
        module.warn(warning)
    if found and module.params["check"]:
        lines = [f"{number}. {sentence}" for number, sentence in enumerate(found, start=1)]
        module.fail_json(msg="This host cannot become a map server yet:\n" + "\n".join(lines), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
