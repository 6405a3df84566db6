"""A container's specification as docker-compose reads it, and what compose finds its containers by. Pure.

It is the specification told a second time, so that both tell the same: a container that compose makes of it has all
that the planner looks at, and one that our modules make has the labels by which compose takes it for its own. The file
is JSON, which is YAML too, so that a Pi needs nothing to read and write it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible.module_utils.poppyfield.containers.spec import (
    ALWAYS,
    COMPOSE_DIGEST,
    COMPOSE_PROJECT,
    COMPOSE_SERVICE,
    ContainerSpec,
    HealthTiming,
    Json,
    labels,
)

FILE = "docker-compose.yml"
"""The one name that both generations find, without being told."""
IMAGES = "images"
"""The folder beside the file that stands for a build context."""
OURS = "x-poppyfield"
WHERE_IMAGES_COME_FROM = (
    "Images come from the laptop, which builds and brings them. Run there: ansible-playbook site.yml"
)
WORDS = "images-come-from-the-laptop.run-there-ansible-playbook-site.yml"
"""The same as the name of a service, which is all that `pull` lets a file say: it never has a container."""
NOTE = (
    "Poppyfield writes this file with each deployment, so that changes made here do not last. "
    "The inventory on the laptop says what is in it: see docs/compose.md. "
    f"pull and build bring nothing. {WHERE_IMAGES_COME_FROM}"
)
WAITS = (
    "{previous} waits until the deployment on the laptop has seen that the maps draw, or is run again: "
    "ansible-playbook site.yml. Where there is no laptop, remove it: docker rm {previous}, then put "
    "DEPLOYMENT_IS_OVER= before the command"
)
"""What each command of compose says meanwhile, which would take two containers for one service."""
DOCKERFILE = f'# {WHERE_IMAGES_COME_FROM}\nFROM scratch\nCOPY ["{WHERE_IMAGES_COME_FROM}", "/"]\n'
"""What builds nothing, without network, and fails with that sentence, whichever builder reads it."""


class ComposeError(Exception):
    """A file that is not ours, in a sentence for the user."""


@dataclass(frozen=True)
class ComposePlace:
    """Where a project is, and for which compose."""

    folder: str
    first_generation: bool = False
    """Whether that is docker-compose 1, which knows fewer keys."""

    @property
    def project(self) -> str:
        """Give the name that compose gives to the project of this folder."""
        return re.sub(r"[^-_a-z0-9]", "", self.folder.rstrip("/").rpartition("/")[2].lower()).lstrip("-_")

    @property
    def file(self) -> str:
        """Give the path of the file."""
        return f"{self.folder.rstrip('/')}/{FILE}"


@dataclass(frozen=True)
class Composed:
    """What is in the file."""

    services: Mapping[str, Json] = field(default_factory=dict)
    before: Mapping[str, Json] = field(default_factory=dict)
    """Each service as it was before, for a container that is put back."""
    waits: Mapping[str, str] = field(default_factory=dict)
    """By service the previous container that is kept until a deployment is over."""


def known(spec: ContainerSpec, image: Json, place: ComposePlace) -> ContainerSpec:
    """Give the specification with the digest of how compose is told of it."""
    told = json.dumps(service(replace(spec, compose_digest=""), image, place), sort_keys=True)
    return replace(spec, compose_digest=hashlib.sha256(told.encode()).hexdigest()[:16])


def service(spec: ContainerSpec, image: Json, place: ComposePlace) -> Json:
    """Give the service of a specification."""
    told: Json = {
        "image": spec.image,
        # Nothing of this name may ever come from a registry, where anybody could offer it.
        "pull_policy": "never",
        "build": f"{place.folder.rstrip('/')}/{IMAGES}",
        "container_name": spec.name,
        "labels": labels(spec, image),
        "environment": dict(sorted(spec.environment.items())),
        "volumes": [_volume(m.source, m.target, m.read_only, place) for m in spec.mounts],
        "tmpfs": [f"{target}:{options}" if options else target for target, options in spec.tmpfs.items()],
        "ports": [f"{_host(p.bind_address)}:{p.host_port}:{p.container_port}" for p in spec.ports],
        "networks": {spec.network: {"aliases": list(spec.network_aliases)}},
        "restart": ALWAYS,
        "cap_drop": ["ALL"],
        "cap_add": list(spec.capabilities),
        "security_opt": ["no-new-privileges"],
        "read_only": True,
        "shm_size": spec.shm_size,
        "pids_limit": spec.pids_limit,
        "stop_grace_period": f"{spec.stop_timeout}s",
    }
    further = {
        "command": list(spec.command),
        "mem_limit": spec.memory_limit,
        "mac_address": spec.hardware_address,
        "healthcheck": _healthcheck(spec.health),
    }
    escaped: Json = _escaped({**told, **{name: value for name, value in further.items() if value}})
    return escaped


def _volume(source: str, target: str, read_only: bool, place: ComposePlace) -> Json:
    # A folder that is missing, such as that of a disk which is not mounted, must stop the container, not be made.
    # The first generation makes none for this form, and does not know the key.
    missing = {} if place.first_generation else {"bind": {"create_host_path": False}}
    return {"type": "bind", "source": source, "target": target, "read_only": read_only, **missing}


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _healthcheck(health: HealthTiming) -> Json:
    seconds = {"interval": health.interval, "timeout": health.timeout, "start_period": health.start_period}
    found: Json = {name: f"{value}s" for name, value in seconds.items() if value}
    return {**found, **({"retries": health.retries} if health.retries else {})}


def _escaped(value: Any) -> Any:
    """Keep compose from taking a dollar for the beginning of a variable."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def compose_labels(
    spec: ContainerSpec, image: Json, place: ComposePlace, *, config_hash: str, version: str
) -> dict[str, str]:
    """Give the labels by which compose knows a container; the hash is what it makes of the service itself."""
    prefix = "com.docker.compose."
    return {
        COMPOSE_PROJECT: place.project,
        COMPOSE_SERVICE: spec.resource,
        f"{prefix}config-hash": config_hash,
        f"{prefix}container-number": "1",
        f"{prefix}oneoff": "False",
        f"{prefix}version": version,
        f"{prefix}project.working_dir": place.folder,
        f"{prefix}project.config_files": place.file,
        # The second generation replaces a container whose image is another one by now.
        f"{prefix}image": str(image["Id"]),
    }


# The file -----------------------------------------------------------------------------------------------------------


def text(composed: Composed) -> str:
    """Give the file's text."""
    return json.dumps(document(composed), indent=2) + "\n"


def document(composed: Composed) -> Json:
    """Give what is in the file. Networks are there before compose, and outlive it, as the firewall's rules do."""
    names = sorted({name for told in composed.services.values() for name in told.get("networks") or {}})
    waiting = " and ".join(composed.waits.values())
    # A variable that is not set ends each command with these words; set to nothing, it is nothing.
    stop = f"${{DEPLOYMENT_IS_OVER?{WAITS.format(previous=waiting)}}}" if waiting else ""
    return {
        OURS: {"note": NOTE, "before": dict(composed.before), "waits": dict(composed.waits)},
        "services": {**composed.services, **_saying(composed.services)},
        "networks": {name: {"external": True, "name": f"{name}{stop}"} for name in names},
    }


def _saying(services: Mapping[str, Json]) -> Json:
    """Give the service that is there to be named. Its image is one that is there, or `up` would look for it."""
    images = sorted(told["image"] for told in services.values() if "image" in told)
    told = {"image": images[0], "pull_policy": "never", "network_mode": "none", "scale": 0} if images else {}
    return {WORDS: told} if told else {}


def read(found: str, path: str) -> Composed:
    """Read the file's text; what somebody broke in ours is not missed, since each deployment writes it again."""
    if not found:
        return Composed()
    if OURS not in found:
        raise ComposeError(
            f"{path} exists and was not written by Poppyfield, so it is left alone. Move it elsewhere, or set "
            f"docker_engine_compose to never."
        )
    try:
        there = json.loads(found)
        waits = {str(name): str(previous) for name, previous in there[OURS].get("waits", {}).items()}
        return Composed(_other(_services(there["services"]), WORDS), _services(there[OURS]["before"]), waits)
    except (ValueError, TypeError, KeyError, AttributeError):
        return Composed()


def _services(found: Mapping[str, Any]) -> dict[str, Json]:
    return {str(name): told for name, told in found.items() if isinstance(told, dict)}


def with_service(composed: Composed, name: str, told: Json, previous: str = "") -> Composed:
    """Give the file with a service as it is from now on; as it was before is remembered.

    `previous` is the name of a container that is kept beside the one in place.
    """
    waits = {**_other(composed.waits, name), **({name: previous} if previous else {})}
    there = composed.services.get(name)
    if there == told:
        return replace(composed, waits=waits)
    before = {**composed.before, **({name: there} if there else {})}
    return Composed({**composed.services, name: told}, before, waits)


def settled(composed: Composed, name: str) -> Composed:
    """Give the file once no previous container of a service is kept."""
    return replace(composed, waits=_other(composed.waits, name))


def _other(there: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in there.items() if key != name}


def restored(composed: Composed, name: str, digest: str) -> Composed:
    """Give the file with a service as it was when a container was made that carries this digest, if that is known."""
    composed = settled(composed, name)
    told = composed.before.get(name) or {}
    if not digest or digest_of(told) != digest:
        return composed
    return Composed({**composed.services, name: told}, _other(composed.before, name), composed.waits)


def without(composed: Composed, names: Iterable[str]) -> Composed:
    """Give the file without some services."""
    gone = set(names)
    return Composed(
        {name: told for name, told in composed.services.items() if name not in gone},
        {name: told for name, told in composed.before.items() if name not in gone},
        {name: previous for name, previous in composed.waits.items() if name not in gone},
    )


def digest_of(told: Json) -> str:
    """Give the digest that a service was told with."""
    return str((told.get("labels") or {}).get(COMPOSE_DIGEST, ""))
