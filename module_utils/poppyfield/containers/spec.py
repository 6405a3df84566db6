"""The user's parameters as one canonical container specification, in the terms of the Docker Engine API.

Pure. `desired_fields` and `actual_fields` are a pair: the first says what a container of this specification looks like,
the second what `docker inspect` says of one that exists, both as the same dictionary of the fields that we own.
Comparing them finds drift, and settings that were removed.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ansible.module_utils.poppyfield.host.firewall import hardware_address

SPEC_VERSION = "v1"
MOST_PROCESSES = 512
"""And threads of a container; PostgreSQL with all its connections has some 130, the map server some 100."""
PREFIX = "fr.poppyfield."
MANAGED = PREFIX + "managed"
RESOURCE = PREFIX + "resource"
DIGEST = PREFIX + "digest"
IMAGE_DIGEST = PREFIX + "image-digest"
SECRET = PREFIX + "secret."
HARDWARE_ADDRESS = PREFIX + "hardware-address"
COMPOSE_DIGEST = PREFIX + "compose"
COMPOSE_PROJECT = "com.docker.compose.project"
COMPOSE_SERVICE = "com.docker.compose.service"
ANY_HARDWARE_ADDRESS = "any"
BRIDGE = "com.docker.network.bridge.name"
LONGEST_INTERFACE = 15
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - Docker leaves it out of what it says
INTERFACE = re.compile("poppyfield[a-z0-9-]*")
"""A name of a network that can be its interface's as well: nothing else on a host is named so."""
SECOND = 1_000_000_000
RESTART_POLICY = "restart policy"
"""The one field that Docker changes in place; every other one needs a new container."""
COMPOSE = "docker-compose"
"""The field that tells whether compose knows the container as it is."""
UNKNOWN_TO_COMPOSE = "does not know it"
ALWAYS = "always"
NEVER = "no"

Json = dict[str, Any]


def clean_path(path: str) -> str:
    """Give an absolute path as Docker tells it, so that texts can be compared; a relative one stays as it is."""
    # POSIX lets two slashes at the beginning mean something else, and normpath keeps them.
    return f"/{posixpath.normpath(path).lstrip('/')}" if path.startswith("/") else path


def name_of(container: Json) -> str:
    """Give the name of a container that was inspected."""
    return str(container["Name"]).removeprefix("/")


def name_of_listed(container: Json) -> str:
    """Give the name of a container as it is in the list of all, where one that is about to go may have none."""
    return str((container.get("Names") or [container["Id"][:12]])[0]).removeprefix("/")


@dataclass(frozen=True)
class Mount:
    """A folder or file of the host inside the container; the paths are clean, however they were written."""

    source: str
    target: str
    read_only: bool

    def __post_init__(self) -> None:
        """Clean the paths."""
        object.__setattr__(self, "source", clean_path(self.source))
        object.__setattr__(self, "target", clean_path(self.target))


@dataclass(frozen=True)
class Port:
    """A TCP port of the container, published on an address of the host."""

    bind_address: str
    host_port: int
    container_port: int


@dataclass(frozen=True)
class HealthTiming:
    """When the image's own health check runs, in seconds; None leaves the image's value."""

    interval: int | None = None
    timeout: int | None = None
    retries: int | None = None
    start_period: int | None = None

    def engine_fields(self) -> Json:
        """Give the values that are set, as the Engine API wants them."""
        values = {
            "Interval": self.interval and self.interval * SECOND,
            "Timeout": self.timeout and self.timeout * SECOND,
            "Retries": self.retries,
            "StartPeriod": self.start_period and self.start_period * SECOND,
        }
        return {name: value for name, value in values.items() if value}


@dataclass(frozen=True)
class Proof:
    """How a new container is tried beside the old one: without its port, and with this in place of what it has."""

    tmpfs: Mapping[str, str] = field(default_factory=dict)
    """Stand-ins for the folders that only one container may write to."""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ContainerSpec:
    """What the user wants of one container, complete and in one form only."""

    name: str
    resource: str
    image: str
    network: str
    network_aliases: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    """What its first process keeps of root's powers, which are all dropped otherwise."""
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    hardware_address: str = ""
    """What it sends from, where the firewall is to know it from other containers; otherwise Docker chooses."""
    ports: tuple[Port, ...] = ()
    health: HealthTiming = field(default_factory=HealthTiming)
    shm_size: int = 64 * 1024 * 1024
    stop_timeout: int = 30
    secret_stamps: Mapping[str, str] = field(default_factory=dict)
    """For each secret file something that changes when its content is renewed, and says nothing about the content."""
    memory_limit: int = 0
    """Memory in bytes that the container may use; 0 is no limit."""
    pids_limit: int = MOST_PROCESSES
    exclusive_folders: tuple[str, ...] = ()
    """Folders of the host that no other running container may write to."""
    proof: Proof | None = None
    """How it is tried beside the old one before that is stopped; None where two at once are not allowed."""
    compose_digest: str = ""
    """Of what docker-compose is told of it; empty where there is none."""

    def __post_init__(self) -> None:
        """Clean the paths that are compared with those of mounts."""
        object.__setattr__(self, "exclusive_folders", tuple(map(clean_path, self.exclusive_folders)))

    @property
    def previous_name(self) -> str:
        """Name under which the old container waits while a new one proves itself."""
        return f"{self.name}-previous"

    @property
    def candidate_name(self) -> str:
        """Name of a new container that is tried beside the old one."""
        return f"{self.name}-candidate"

    def candidate(self) -> ContainerSpec:
        """Give the specification to try beside the old container: nobody reaches it, and it changes nothing."""
        proof = self.proof or Proof()
        return replace(
            self,
            name=self.candidate_name,
            network_aliases=(),
            hardware_address=self.hardware_address and hardware_address(self.candidate_name),
            ports=(),
            mounts=tuple(mount for mount in self.mounts if mount.target not in proof.tmpfs),
            tmpfs={**self.tmpfs, **proof.tmpfs},
            environment={**self.environment, **proof.environment},
            compose_digest="",
        )


NOT_INTENT = ("exclusive_folders", "proof", "compose_digest")
"""Fields that say how a container is replaced, and who else knows it, not what it is."""


def within_kernel(spec: ContainerSpec, *, keeps_memory_limits: bool) -> tuple[ContainerSpec, str]:
    """Give the specification that this kernel can keep, and a warning about what it cannot, empty if there is none."""
    if not spec.memory_limit or keeps_memory_limits:
        return spec, ""
    return replace(spec, memory_limit=0), (
        f"The container {spec.name} has no memory limit, because the kernel of this host cannot keep one: turn its "
        f"memory cgroup on (cgroup_enable=memory in /boot/firmware/cmdline.txt) and restart the host."
    )


def intent_digest(spec: ContainerSpec, image: Json) -> str:
    """Give the versioned digest of everything the user asked for, and of the image that it means today."""
    intent = {name: value for name, value in asdict(spec).items() if name not in NOT_INTENT}
    document = json.dumps([intent, image_digest(image)], sort_keys=True)
    return f"{SPEC_VERSION}:{hashlib.sha256(document.encode()).hexdigest()}"


def image_digest(image: Json) -> str:
    """Give what identifies an image's content: our digest label, or the id of an image that is not ours."""
    labels = (image.get("Config") or {}).get("Labels") or {}
    return str(labels.get(DIGEST) or image["Id"])


def labels(spec: ContainerSpec, image: Json) -> dict[str, str]:
    """Give the labels of a container of this specification."""
    return {
        MANAGED: "true",
        RESOURCE: spec.resource,
        DIGEST: intent_digest(spec, image),
        IMAGE_DIGEST: image_digest(image),
        **{SECRET + name: stamp for name, stamp in spec.secret_stamps.items()},
        **({HARDWARE_ADDRESS: spec.hardware_address} if spec.hardware_address else {}),
        **({COMPOSE_DIGEST: spec.compose_digest} if spec.compose_digest else {}),
    }


def is_ours(inspected: Json, resource: str) -> bool:
    """Tell whether a container or network carries our label for this resource."""
    own = inspected.get("Labels") or (inspected.get("Config") or {}).get("Labels") or {}
    return own.get(MANAGED) == "true" and own.get(RESOURCE) == resource


def network_body(name: str, *, resource: str = "network") -> Json:
    """Give the Engine API's request for a network of ours."""
    return {
        "Name": name,
        "Driver": "bridge",
        "CheckDuplicate": True,
        "Labels": {MANAGED: "true", RESOURCE: resource},
        "Options": {BRIDGE: bridge_of(name, None)},
    }


def bridge_of(name: str, network: Json | None) -> str:
    """Give the interface of a network on its host: of one that exists, or of one that we would make.

    That it is known before the network is there lets the firewall be ready before the first container.
    """
    if network is not None:
        return str((network.get("Options") or {}).get(BRIDGE) or f"br-{network['Id'][:12]}")
    fits = len(name) <= LONGEST_INTERFACE and INTERFACE.fullmatch(name)
    return name if fits else f"pf-{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def container_body(spec: ContainerSpec, image: Json) -> Json:
    """Give the Engine API's request that creates a container of this specification.

    Docker does not start it by itself until it gets its restart policy: see `plan`.
    """
    body: Json = {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in sorted(spec.environment.items())],
        "Labels": labels(spec, image),
        "StopTimeout": spec.stop_timeout,
        "ExposedPorts": {f"{port.container_port}/tcp": {} for port in spec.ports},
        "HostConfig": {
            "Mounts": [
                {"Type": "bind", "Source": m.source, "Target": m.target, "ReadOnly": m.read_only} for m in spec.mounts
            ],
            "Tmpfs": dict(spec.tmpfs),
            "PortBindings": _port_bindings(spec),
            "RestartPolicy": {"Name": NEVER},
            "NetworkMode": spec.network,
            "CapDrop": ["ALL"],
            "CapAdd": list(spec.capabilities),
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "ShmSize": spec.shm_size,
            "Memory": spec.memory_limit,
            "PidsLimit": spec.pids_limit,
        },
        "NetworkingConfig": {"EndpointsConfig": {spec.network: {"Aliases": list(spec.network_aliases)}}},
    }
    if spec.hardware_address:
        # Engines before 25 know the first of these only, later ones refuse two that differ.
        body["MacAddress"] = spec.hardware_address
        body["NetworkingConfig"]["EndpointsConfig"][spec.network]["MacAddress"] = spec.hardware_address
    if spec.command:
        body["Cmd"] = list(spec.command)
    if spec.health.engine_fields():
        body["Healthcheck"] = spec.health.engine_fields()
    return body


def _port_bindings(spec: ContainerSpec) -> Json:
    bindings: Json = {}
    for port in spec.ports:
        binding = {"HostIp": port.bind_address, "HostPort": str(port.host_port)}
        bindings.setdefault(f"{port.container_port}/tcp", []).append(binding)
    return bindings


# The pair -----------------------------------------------------------------------------------------------------------


def desired_fields(spec: ContainerSpec, image: Json, *, restart_policy: str) -> Json:
    """Give the fields we own as they should be."""
    config = image.get("Config") or {}
    health = {**_healthcheck(config), **_healthcheck({"Healthcheck": spec.health.engine_fields()})}
    return {
        "image": spec.image,
        "image digest": image_digest(image),
        "command": list(spec.command) or list(config.get("Cmd") or []),
        "environment": dict(spec.environment),
        "mounts": {m.target: _mount_words(m.source, m.read_only) for m in spec.mounts},
        "tmpfs": dict(spec.tmpfs),
        "ports": _port_words(_port_bindings(spec)),
        "network": spec.network,
        "network aliases": sorted(spec.network_aliases),
        "hardware address": spec.hardware_address or ANY_HARDWARE_ADDRESS,
        "health check": health,
        "secrets": dict(spec.secret_stamps),
        "privileged": False,
        "capabilities dropped": ["ALL"],
        "capabilities added": sorted(spec.capabilities),
        "security options": ["no-new-privileges"],
        "read-only root": True,
        "shared memory": spec.shm_size,
        "memory limit": spec.memory_limit,
        "process limit": spec.pids_limit,
        "stop timeout": spec.stop_timeout,
        RESTART_POLICY: restart_policy,
        **({COMPOSE: spec.compose_digest} if spec.compose_digest else {}),
    }


def actual_fields(spec: ContainerSpec, container: Json, image: Json | None) -> Json:
    """Give the same fields as `docker inspect` says they are; `image` is the one that the container was made of."""
    config = container["Config"]
    host = container["HostConfig"]
    own = config.get("Labels") or {}
    from_image = (image or {}).get("Config") or {}
    network = _network_of(container)
    endpoint = container["NetworkSettings"]["Networks"].get(network) or {}
    # Engines before 25 add the container's own short id, and compose its name and that of its service.
    added = {container["Id"][:12], spec.name, own.get(COMPOSE_SERVICE)} - {*spec.network_aliases}
    aliases = {*(endpoint.get("Aliases") or [])} - added
    return {
        "image": config["Image"],
        "image digest": own.get(IMAGE_DIGEST, ""),
        "command": list(config.get("Cmd") or []),
        "environment": _own_environment(spec, config, from_image),
        "mounts": _own_mounts(spec, container, from_image),
        "tmpfs": dict(host.get("Tmpfs") or {}),
        "ports": _port_words(host.get("PortBindings") or {}),
        "network": network,
        "network aliases": sorted(aliases),
        # Nobody can change it later, and not every engine tells it of a container that does not run.
        "hardware address": own.get(HARDWARE_ADDRESS, ANY_HARDWARE_ADDRESS),
        "health check": _healthcheck(config),
        "secrets": {name.removeprefix(SECRET): v for name, v in own.items() if name.startswith(SECRET)},
        "privileged": bool(host.get("Privileged")),
        "capabilities dropped": list(host.get("CapDrop") or []),
        # An engine may write the names in their long form.
        "capabilities added": sorted(name.removeprefix("CAP_") for name in host.get("CapAdd") or []),
        "security options": list(host.get("SecurityOpt") or []),
        "read-only root": bool(host.get("ReadonlyRootfs")),
        "shared memory": host.get("ShmSize"),
        "memory limit": int(host.get("Memory") or 0),
        "process limit": int(host.get("PidsLimit") or 0),
        "stop timeout": config.get("StopTimeout"),
        RESTART_POLICY: host["RestartPolicy"]["Name"],
        **({COMPOSE: own.get(COMPOSE_DIGEST) or UNKNOWN_TO_COMPOSE} if spec.compose_digest else {}),
    }


def _network_of(container: Json) -> str:
    """Give the name of a container's network, by whose id compose may have connected it."""
    mode = str(container["HostConfig"]["NetworkMode"])
    endpoints = container["NetworkSettings"]["Networks"]
    return next((name for name, endpoint in endpoints.items() if endpoint.get("NetworkID") == mode), mode)


def _own_environment(spec: ContainerSpec, config: Json, from_image: Json) -> dict[str, str]:
    inherited = dict(line.partition("=")[::2] for line in from_image.get("Env") or [])
    present = dict(line.partition("=")[::2] for line in config.get("Env") or [])
    return {name: value for name, value in present.items() if name in spec.environment or inherited.get(name) != value}


def _own_mounts(spec: ContainerSpec, container: Json, from_image: Json) -> dict[str, str]:
    declared = set(from_image.get("Volumes") or {})
    wanted = {m.target for m in spec.mounts}
    return {
        m["Destination"]: _mount_words(m["Source"], not m["RW"])
        for m in container.get("Mounts") or []
        if m["Destination"] in wanted or m["Destination"] not in declared
    }


def _mount_words(source: str, read_only: bool) -> str:
    return f"{source} ({'read-only' if read_only else 'read-write'})"


def _port_words(bindings: Json) -> dict[str, str]:
    return {
        port: ", ".join(sorted(f"{b.get('HostIp') or ANY_ADDRESS}:{b['HostPort']}" for b in hosts))
        for port, hosts in bindings.items()
        if hosts
    }


def _healthcheck(config: Json) -> Json:
    check = config.get("Healthcheck") or {}
    names = ("Test", "Interval", "Timeout", "Retries", "StartPeriod")
    return {name: check[name] for name in names if check.get(name)}


# Differences --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """One owned field that is not as it should be, in words."""

    field: str
    words: str


def differences(now: Json, wanted: Json, *, same_intent: bool) -> list[Difference]:
    """Name every field that differs, and inside a dictionary every key that was added, removed or changed.

    Both have the same fields, each of the same kind, as `actual_fields` and `desired_fields` give them.
    With `same_intent` the container was made for just what is wanted, so a difference was made by hand since.
    """
    found = []
    for name, want in wanted.items():
        have = now[name]
        if have == want:
            continue
        by_hand = same_intent and name not in (RESTART_POLICY, COMPOSE)
        if isinstance(want, dict):
            for key in sorted({*have, *want}):
                if have.get(key) != want.get(key):
                    found.append(Difference(name, f"{name}: {_key_words(name, key, have, want, by_hand)}"))
        else:
            found.append(Difference(name, f"{name}: {_change_words(have, want, by_hand)}"))
    return found


def _key_words(name: str, key: str, have: Json, want: Json, by_hand: bool) -> str:
    if key not in want:
        return f"{key} added by hand, should not be there" if by_hand else f"{key} removed"
    if key not in have:
        return f"{key} removed by hand, should be {_words(want[key])}" if by_hand else f"{key} added"
    if name == "secrets":
        return f"{key} renewed"
    return f"{key}: {_arrow(have[key], want[key], by_hand)}"


def _change_words(have: Any, want: Any, by_hand: bool) -> str:
    if isinstance(want, list):
        # Of a long list, such as a command, only what differs; unless only the order does.
        less = [item for item in have if item not in want]
        more = [item for item in want if item not in have]
        if less or more:
            return _arrow(_joined(less), _joined(more), by_hand)
    return _arrow(have, want, by_hand)


def _arrow(have: Any, want: Any, by_hand: bool) -> str:
    if by_hand:
        return f"{_words(have)} by hand, should be {_words(want)}"
    return f"{_words(have)} -> {_words(want)}"


def _joined(items: list[Any]) -> str:
    return ", ".join(map(_words, items)) or "nothing"


def _words(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)
