"""Who is compared, and what each is asked for. Pure.

postgis_container and lizmap_container are asked in their own terms. docker_container is asked for the twin of what they
made: every option that it takes to make the same container, read from `docker inspect`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

PREFIX = "pf-bench-"
NETWORK = f"{PREFIX}network"
REPOSITORY = f"{PREFIX}server"
USER_LABELS = {"owner": "survey", "spare": "orchard"}
"""Labels of docker_container's user. The labels of Poppyfield's containers are not for users to choose."""
HEALTHY_TIMEOUT = 8
"""Seconds; the image of the benchmark is healthy after one or two."""


@dataclass(frozen=True)
class Contender:
    """One of those compared; `extra` is what its user adds to the options that describe the container."""

    key: str
    title: str
    is_ours: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def container(self, subject: str) -> str:
        """Give the name of its container."""
        return f"{PREFIX}{subject}-{self.key}"


OURS = Contender("poppyfield", "Poppyfield", is_ours=True)
DEFAULTS = Contender("defaults", "docker_container, defaults")
STRICT = Contender(
    "strict",
    "docker_container, strict",
    extra={"comparisons": {"*": "strict"}, "state": "healthy", "healthy_wait_timeout": HEALTHY_TIMEOUT},
)
CONTENDERS = (OURS, DEFAULTS, STRICT)

DATABASE = "database"
MAP = "map"


@dataclass(frozen=True)
class Request:
    """A call of one module."""

    module: str
    arguments: Json


def image(behaviour: str) -> str:
    """Give the reference of the image that behaves like this: a, b, exits or hangs."""
    return f"{REPOSITORY}:{behaviour}"


def ours(subject: str, folder: str, port: int) -> Request:
    """Ask for our container of this subject. `folder` is on the host and holds what is mounted."""
    common = {
        "name": OURS.container(subject),
        "image": image("a"),
        "network": NETWORK,
        "healthy_timeout": HEALTHY_TIMEOUT,
        "stop_timeout": 10,
    }
    if subject == DATABASE:
        special: Json = {
            "network_alias": f"{PREFIX}database",
            "data_folder": f"{folder}/data",
            "settings": {"log_min_duration_statement": "250ms"},
        }
        return Request("postgis_container", {**common, **special})
    special = {
        "network_alias": f"{PREFIX}map",
        "projects_folder": f"{folder}/projects",
        "config_folder": f"{folder}/config",
        "secrets": {name: f"{folder}/{name}" for name in ("postgis_password", "spare")},
        "database": {"name": "gis", "user": "lizmap"},
        "server_name": "field.example",
        "bind_address": "127.0.0.1",
        "port": port,
    }
    return Request("lizmap_container", {**common, **special})


def twin(inspected: Json, contender: Contender, subject: str, folders: tuple[str, str], port: int) -> Request:
    """Ask docker_container for the same as an inspected container of ours.

    `folders` says which folder of the host stands in it, and which one stands in for that.
    """
    config, host = inspected["Config"], inspected["HostConfig"]
    networks = inspected["NetworkSettings"]["Networks"]
    options: Json = {
        "name": contender.container(subject),
        "image": config["Image"],
        "command": config["Cmd"],
        "env": dict(line.split("=", 1) for line in config["Env"] if not line.startswith("PATH=")),
        "labels": USER_LABELS,
        "mounts": [
            {
                "type": mount["Type"],
                "source": mount["Source"].replace(*folders),
                "target": mount["Target"],
                "read_only": bool(mount.get("ReadOnly")),
            }
            for mount in host["Mounts"]
        ],
        "tmpfs": [f"{target}:{how}" for target, how in host["Tmpfs"].items()],
        "published_ports": [
            f"{binding['HostIp']}:{port}:{inside}"
            for inside, bindings in host["PortBindings"].items()
            for binding in bindings
        ],
        "networks": [
            {"name": name, "aliases": [a for a in endpoint["Aliases"] if a != inspected["Id"][:12]]}
            for name, endpoint in networks.items()
        ],
        "restart_policy": host["RestartPolicy"]["Name"],
        "cap_drop": host["CapDrop"],
        "capabilities": host.get("CapAdd") or [],
        "security_opts": host["SecurityOpt"],
        "read_only": host["ReadonlyRootfs"],
        "shm_size": str(host["ShmSize"]),
        "pids_limit": host["PidsLimit"],
        "stop_timeout": config["StopTimeout"],
        **{option: str(host[limit]) for option, limit in LIMITS.items() if host.get(limit)},
        # No registry has this image, and none is to be asked.
        "pull": "never",
        **contender.extra,
    }
    # What the container has nothing of, a user would not write.
    return Request("community.docker.docker_container", {k: v for k, v in options.items() if v not in ([], {})})


LIMITS = {"memory": "Memory", "memory_reservation": "MemoryReservation", "memory_swap": "MemorySwap"}
NOT_COMPARED = {
    "Config": {"Hostname", "Labels", "AttachStdout", "AttachStderr"},
    "HostConfig": {"PortBindings", "Mounts"},
}
"""Differs by name or number only (compared apart), is the user's own, or has no effect on a running container."""
EMPTY: tuple[Any, ...] = (None, "", 0, -1, False, [], {})


def unequal(one: Json, other: Json, folders: tuple[str, str]) -> dict[str, tuple[Any, Any]]:
    """Give what differs between two inspected containers; an empty value is the same as none."""
    found = {}
    for section, left_out in NOT_COMPARED.items():
        for name in sorted({*one[section], *other[section]} - left_out):
            pair = (_comparable(name, one[section].get(name)), _comparable(name, other[section].get(name)))
            if pair[0] != pair[1]:
                found[f"{section}.{name}"] = pair
    mounts = [_mounts(one, folders), _mounts(other, folders)]
    if mounts[0] != mounts[1]:
        found["Mounts"] = (mounts[0], mounts[1])
    ports = [sorted(container["HostConfig"]["PortBindings"] or {}) for container in (one, other)]
    if ports[0] != ports[1]:
        found["PortBindings"] = (ports[0], ports[1])
    return found


def _comparable(name: str, value: Any) -> Any:
    if value in EMPTY:
        return None
    return sorted(value) if name == "Env" else value


def _mounts(container: Json, folders: tuple[str, str]) -> list[tuple[str, str, bool]]:
    return sorted((m["Source"].replace(*folders), m["Destination"], bool(m["RW"])) for m in container["Mounts"])
