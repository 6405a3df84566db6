"""A stateful fake of a Docker Engine, in the place of the SDK's low-level client.

It keeps images, networks and containers, answers `inspect` in the shape that engines 20.10 to 28 do, refuses what they
refuse, and can be told how containers of an image behave, to refuse one call, or to lose power after any change.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from docker import errors
from requests import ConnectionError, Response

Json = dict[str, Any]


class PowerCut(BaseException):
    """The machine lost power: nothing can be asked of it until it boots again."""


@dataclass
class Behaviour:
    """How containers of an image behave once started."""

    ends_with: int | None = None
    """Exit code of a process that ends at once; None for one that stays."""
    looks_until_healthy: int = 1
    """How often one must look before it is healthy; a negative number for never."""
    log: str = ""


@dataclass
class FakeDocker:
    """The engine. Tests read its public fields freely."""

    images_by_reference: dict[str, Json] = field(default_factory=dict)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    containers_by_id: dict[str, Json] = field(default_factory=dict)
    networks_by_name: dict[str, Json] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    """The changes, in order, as words."""
    refuse: str = ""
    """A change whose words begin like this is refused once."""
    power_cut_after: int | None = None
    taken_ports: set[str] = field(default_factory=set)
    keeps_memory_limits: bool = True
    gone_after: str = ""
    """Once a change whose words begin like this was made, the engine is restarted: it does not answer for a while."""
    unanswered: int = 3
    """So many questions a restarting engine leaves unanswered."""
    executed: list[tuple[str, str]] = field(default_factory=list)
    stats_by_name: dict[str, Json] = field(default_factory=dict)
    """By a container's name what measuring it answers; a container that has no entry is gone by then."""
    api_version: str = "1.45"

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._dead = False
        self._restarting = False

    # What tests do to it ------------------------------------------------------------------------------------------

    def add_image(self, reference: str, digest: str = "", behaviour: Behaviour | None = None, **config: Any) -> Json:
        labels = {"org.example": "base"}
        if digest:
            labels |= {
                "fr.poppyfield.managed": "true",
                "fr.poppyfield.resource": "image",
                "fr.poppyfield.digest": f"v1:{digest}",
            }
        number = next(self._numbers)
        image = {
            "Id": f"sha256:{number:064x}",
            "RepoTags": [reference],
            "Architecture": "arm64",
            "Os": "linux",
            "Created": f"2026-01-01T00:00:{number:02d}Z",
            "Size": 1000,
            "Config": {
                "Env": ["PATH=/usr/bin"],
                "Cmd": ["serve"],
                "Labels": labels,
                "Healthcheck": {"Test": ["CMD", "healthcheck"], "Interval": 10_000_000_000, "Retries": 3},
                **config,
            },
        }
        self.images_by_reference[reference] = image
        self.behaviours[reference] = behaviour or Behaviour()
        return image

    def names(self) -> dict[str, bool]:
        """Every container's name and whether it runs."""
        return {c["Name"].lstrip("/"): c["State"]["Running"] for c in self.containers_by_id.values()}

    def named(self, name: str) -> Json:
        return next(c for c in self.containers_by_id.values() if c["Name"] == f"/{name}")

    def come_back(self) -> None:
        """Only the run was killed: the engine went on without it."""
        self._dead = False
        self.power_cut_after = None

    def boot(self) -> None:
        """Power comes back: Docker starts what its policy says, also what somebody had stopped."""
        self.come_back()
        for container in self.containers_by_id.values():
            container["State"].update(Running=False, Restarting=False)
        for container in self.containers_by_id.values():
            if container["HostConfig"]["RestartPolicy"]["Name"] == "always" and container["State"]["StartedAt"]:
                self._run(container)

    # The SDK's low-level client -----------------------------------------------------------------------------------

    def version(self) -> Json:
        return {"Version": "26.1.5+dfsg1"}

    def inspect_image(self, reference: str) -> Json:
        self._alive()
        for name, image in self.images_by_reference.items():
            if reference in (name, image["Id"]):
                return copy.deepcopy(image)
        raise errors.ImageNotFound(f"No such image: {reference}")

    def images(self, name: str = "") -> list[Json]:
        self._alive()
        return [
            {"Id": i["Id"], "RepoTags": i["RepoTags"], "Labels": i["Config"]["Labels"]}
            for r, i in self.images_by_reference.items()
            if not name or r.rpartition(":")[0] == name
        ]

    def remove_image(self, reference: str) -> None:
        image = self.inspect_image(reference)
        if any(c["Image"] == image["Id"] for c in self.containers_by_id.values()):
            raise _conflict(f"image {reference} is being used")
        self._change(f"remove image {reference}")
        del self.images_by_reference[reference]
        self._changed()

    def load_image(self, stream: Any) -> Iterable[Json]:
        words = stream.read().decode().split()
        if words[:1] != ["image"]:
            return iter([{"error": "invalid tar header"}])
        self._change(f"load {words[1]}")
        self.add_image(words[1], words[2])
        self._changed()
        return iter([{"stream": f"Loaded image: {words[1]}"}])

    def inspect_container(self, name: str) -> Json:
        self._alive()
        container = self._find(name)
        self._grow(container)
        seen = copy.deepcopy(container)
        seen["State"]["Status"] = _status(seen["State"])
        return seen

    def containers(self, all: bool = False) -> list[Json]:
        self._alive()
        return [
            {
                "Id": c["Id"],
                "Names": [c["Name"]],
                "ImageID": c["Image"],
                "Labels": copy.deepcopy(c["Config"]["Labels"]),
                "Mounts": copy.deepcopy(c["Mounts"]),
            }
            for c in self.containers_by_id.values()
            if all or c["State"]["Running"]
        ]

    def info(self) -> Json:
        self._alive()
        return {
            "ServerVersion": "26.1.5+dfsg1",
            "DockerRootDir": "/var/lib/docker",
            "Driver": "overlay2",
            "CgroupVersion": "2",
            "MemoryLimit": self.keeps_memory_limits,
        }

    def stats(self, name: str, stream: bool) -> Json:
        assert not stream, "a stream never ends"
        found = self.stats_by_name.get(self._name(self._find(name)))
        if found is None:
            raise errors.NotFound(f"No such container: {name}")
        return copy.deepcopy(found)

    def networks(self, names: Sequence[str]) -> list[Json]:
        self._alive()
        # Like the engine, which finds by a part of the name.
        return [copy.deepcopy(n) for n in self.networks_by_name.values() if any(w in n["Name"] for w in names)]

    def create_network(self, name: str, driver: str, labels: dict[str, str], check_duplicate: bool) -> None:
        assert driver == "bridge" and check_duplicate
        self._change(f"create network {name}")
        self.networks_by_name[name] = {"Name": name, "Id": f"net{next(self._numbers):061x}", "Labels": labels}
        self._changed()

    def create_container_from_config(self, config: Json, name: str) -> Json:
        self._change(f"create {name}")
        if name in self.names():
            raise _conflict(f"The container name /{name} is already in use")
        image = self.inspect_image(config["Image"])
        container = _inspected(config, name, image, f"{next(self._numbers):064x}")
        network = config["HostConfig"]["NetworkMode"]
        if network not in self.networks_by_name:
            raise errors.NotFound(f"network {network} not found")
        self.containers_by_id[container["Id"]] = container
        self._changed()
        return {"Id": container["Id"]}

    def start(self, name: str) -> None:
        container = self._find(name)
        if container["State"]["Running"]:
            return
        self._change(f"start {self._name(container)}")
        for bindings in container["HostConfig"]["PortBindings"].values():
            if any(b["HostPort"] in self.taken_ports for b in bindings):
                raise errors.APIError("driver failed: address already in use")
        self._run(container)
        self._changed()

    def stop(self, name: str, timeout: int) -> None:
        assert timeout > 0
        container = self._find(name)
        self._change(f"stop {self._name(container)}")
        container["State"].update(Running=False, Restarting=False, ExitCode=0)
        self._changed()

    def rename(self, name: str, new: str) -> None:
        container = self._find(name)
        self._change(f"rename {self._name(container)} to {new}")
        if new in self.names():
            raise _conflict(f"The container name /{new} is already in use")
        container["Name"] = f"/{new}"
        self._changed()

    def update_container(self, name: str, restart_policy: Json) -> None:
        container = self._find(name)
        self._change(f"restart policy of {self._name(container)}: {restart_policy['Name']}")
        if container["State"]["Restarting"]:
            raise errors.APIError("Cannot update container: container not running")
        container["HostConfig"]["RestartPolicy"] = restart_policy
        self._changed()

    def remove_container(self, name: str, v: bool, force: bool) -> None:
        assert force and not v, "volumes are never removed"
        container = self._find(name)
        self._change(f"remove {self._name(container)}")
        del self.containers_by_id[container["Id"]]
        self._changed()

    def logs(self, name: str, stdout: bool, stderr: bool, tail: int) -> bytes:
        assert stdout and stderr and tail
        return self.behaviours[self._find(name)["Config"]["Image"]].log.encode()

    # How it works -------------------------------------------------------------------------------------------------

    def _alive(self) -> None:
        if self._dead:
            raise PowerCut
        if self._restarting and self.unanswered:
            self.unanswered -= 1
            raise ConnectionError("Connection refused")

    def _change(self, words: str) -> None:
        self._alive()
        if self.refuse and words.startswith(self.refuse):
            self.refuse = ""
            raise errors.APIError(f"refused to {words}")
        self.calls.append(words)

    def _changed(self) -> None:
        self._restarting |= bool(self.gone_after) and self.calls[-1].startswith(self.gone_after)
        if self.power_cut_after is not None:
            self.power_cut_after -= 1
            if self.power_cut_after <= 0:
                self._dead = True
                raise PowerCut

    def _find(self, name: str) -> Json:
        self._alive()
        for container in self.containers_by_id.values():
            if name == container["Name"].lstrip("/") or container["Id"].startswith(name):
                return container
        raise errors.NotFound(f"No such container: {name}")

    @staticmethod
    def _name(container: Json) -> str:
        return str(container["Name"].lstrip("/"))

    def _run(self, container: Json) -> None:
        folders = {m["Source"] for m in container["Mounts"] if m["RW"]}
        for other in self.containers_by_id.values():
            if other is not container and other["State"]["Running"]:
                shared = folders & {m["Source"] for m in other["Mounts"] if m["RW"]}
                assert not shared, f"two servers on {shared}"
        behaviour = self.behaviours[container["Config"]["Image"]]
        state = container["State"]
        state.update(Running=True, Restarting=False, StartedAt="2026-01-01T00:00:00Z", Looks=0)
        container["RestartCount"] = 0
        network = container["HostConfig"]["NetworkMode"]
        container["NetworkSettings"]["Networks"][network]["NetworkID"] = self.networks_by_name[network]["Id"]
        if behaviour.ends_with is not None:
            restarts = container["HostConfig"]["RestartPolicy"]["Name"] == "always"
            state.update(Running=restarts, Restarting=restarts, ExitCode=behaviour.ends_with)
            container["RestartCount"] = int(restarts)
        elif container["Config"].get("Healthcheck"):
            state["Health"] = {"Status": "starting", "Log": [{"Output": "not yet"}]}

    def _grow(self, container: Json) -> None:
        """A container that is looked at becomes healthy, as time would make it."""
        state = container["State"]
        until = self.behaviours[container["Config"]["Image"]].looks_until_healthy
        if state["Running"] and not state["Restarting"] and "Health" in state:
            state["Looks"] += 1
            if 0 <= until < state["Looks"]:
                state["Health"] = {"Status": "healthy", "Log": []}

    def execute(self, argv: Sequence[str], chunks: Iterable[bytes]) -> SimpleNamespace:
        """Stand in for the docker command: remember what was run inside a container."""
        self.executed.append((" ".join(argv), b"".join(chunks).decode()))
        return SimpleNamespace(code=0, output="", errors="")


def _status(state: Json) -> str:
    if state["Restarting"]:
        return "restarting"
    if state["Running"]:
        return "running"
    return "exited" if state["StartedAt"] else "created"


def _conflict(message: str) -> errors.APIError:
    response = Response()
    response.status_code = 409
    return errors.APIError(message, response=response)


def _inspected(request: Json, name: str, image: Json, identity: str) -> Json:
    """What inspect says of a container made by this request: the image's settings are merged in, as an engine does."""
    host = copy.deepcopy(request["HostConfig"])
    base = image["Config"]
    inherited = dict(line.partition("=")[::2] for line in base.get("Env") or [])
    own = dict(line.partition("=")[::2] for line in request.get("Env") or [])
    health = {**(base.get("Healthcheck") or {}), **(request.get("Healthcheck") or {})}
    network = host["NetworkMode"]
    aliases = list(request["NetworkingConfig"]["EndpointsConfig"][network]["Aliases"])
    return {
        "Id": identity,
        "Name": f"/{name}",
        "Image": image["Id"],
        "RestartCount": 0,
        "Config": {
            "Image": request["Image"],
            "Cmd": request.get("Cmd") or base.get("Cmd"),
            "Env": [f"{k}={v}" for k, v in {**own, **{k: v for k, v in inherited.items() if k not in own}}.items()],
            "Labels": {**(base.get("Labels") or {}), **request["Labels"]},
            "Healthcheck": health or None,
            "StopTimeout": request["StopTimeout"],
        },
        "HostConfig": {
            **host,
            "Privileged": False,
            "CapAdd": None,
            "RestartPolicy": {"MaximumRetryCount": 0, **host["RestartPolicy"]},
        },
        "Mounts": [
            {"Type": "bind", "Source": m["Source"], "Destination": m["Target"], "RW": not m["ReadOnly"]}
            for m in host["Mounts"]
        ],
        # Engines before 25 add the short id to the aliases.
        "NetworkSettings": {"Networks": {network: {"Aliases": [*aliases, identity[:12]], "NetworkID": ""}}},
        "State": {"Running": False, "Restarting": False, "ExitCode": 0, "StartedAt": "", "Looks": 0},
    }
