"""A stateful fake of a Docker Engine, in the place of the SDK's low-level client.

It keeps images, networks and containers, says what an engine of one of the recorded versions says, refuses what that
one refuses, in its words, and can be told how containers of an image behave, to refuse one call, or to lose power after
any change. The tests in tests/engine/ compare it with a real one.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

from docker import errors
from requests import ConnectionError, HTTPError, Response

from tests.doubles.description import apply, keep_networks, published
from tests.doubles.recording import OF_TRIXIE, Json, Recording

Document = TypeVar("Document")

NEVER = "0001-01-01T00:00:00Z"
ANY_ADDRESS = ("", "0.0.0.0")
DEFAULT_RETRIES = 3
DEFAULT_INTERVAL = 30_000_000_000


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
    exec_ends_with: int | None = 0
    """Exit status of a command that is run inside; it writes the log."""


@dataclass
class FakeDocker:
    """The engine. Tests read its public fields freely."""

    recorded: str = OF_TRIXIE
    """The version whose recording it repeats."""
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
    """Ports of the host that are used by something else than a container."""
    keeps_memory_limits: bool = True
    gone_after: str = ""
    """Once a change whose words begin like this was made, the engine is restarted: it does not answer for a while, and
    its containers end and start."""
    unanswered: int = 3
    """So many questions a restarting engine leaves unanswered."""
    executed: list[tuple[str, str]] = field(default_factory=list)
    ill: dict[str, str] = field(default_factory=dict)
    """By a container's id what it takes until its health check passes again: restart or replacement."""
    stats_by_name: dict[str, Json] = field(default_factory=dict)
    """By a container's name what measuring it answers; a container that has no entry is gone by then."""

    def __post_init__(self) -> None:
        self._recording = Recording(self.recorded)
        self._last_number = 0
        self._looks: dict[str, int] = {}
        self._dead = False
        self._restarting = False

    def __deepcopy__(self, memo: dict[int, Any]) -> FakeDocker:
        twin = copy.copy(self)
        documents = ("containers_by_id", "images_by_reference", "networks_by_name")
        for name, value in vars(self).items():
            vars(twin)[name] = _copied(value) if name in documents else copy.deepcopy(value, memo)
        return twin

    def _number(self) -> int:
        self._last_number += 1
        return self._last_number

    # What tests do to it ------------------------------------------------------------------------------------------

    def add_image(self, reference: str, digest: str = "", behaviour: Behaviour | None = None, **config: Any) -> Json:
        labels = {"org.example": "base"}
        if digest:
            labels |= {
                "fr.poppyfield.managed": "true",
                "fr.poppyfield.resource": "image",
                "fr.poppyfield.digest": f"v1:{digest}",
            }
        number = self._number()
        image = self._recording.document("image", image_id=f"sha256:{_identity(number)}", image=reference)
        image |= {"Architecture": "arm64", "Created": f"2026-01-01T00:00:{number:02d}Z"}
        image["Config"] |= {"Labels": labels, **config}
        self.images_by_reference[reference] = image
        self.behaviours[reference] = behaviour or Behaviour()
        return image

    def names(self) -> dict[str, bool]:
        """Every container's name and whether it runs."""
        return {_name(c): c["State"]["Running"] for c in self.containers_by_id.values()}

    def named(self, name: str) -> Json:
        return next(c for c in self.containers_by_id.values() if _name(c) == name)

    def fall_ill(self, name: str, until: str) -> None:
        """From now on the health check fails: until a restart, or a replacement."""
        container = self.named(name)
        self.ill[container["Id"]] = until
        container["State"]["Health"] = self._probed(container, "unhealthy")

    def come_back(self) -> None:
        """Only the run was killed: the engine went on without it."""
        self._dead = False
        self.power_cut_after = None

    def boot(self) -> None:
        """Power comes back: Docker starts what its policy says, also what somebody had stopped."""
        self.come_back()
        self._run_again(exit_code=255)

    # The SDK's low-level client: images and networks --------------------------------------------------------------

    @property
    def api_version(self) -> str:
        return str(self.version()["ApiVersion"])

    def version(self) -> Json:
        return self._recording.document("version")

    def info(self) -> Json:
        self._alive()
        return {**self._recording.document("info"), "MemoryLimit": self.keeps_memory_limits}

    def inspect_image(self, reference: str) -> Json:
        self._alive()
        return _copied(self._image(reference, "no such image"))

    def images(self, name: str = "") -> list[Json]:
        self._alive()
        return [
            {
                **self._recording.document("listed-image", image=reference, image_id=image["Id"]),
                "Labels": _copied(image["Config"]["Labels"]),
            }
            for reference, image in self.images_by_reference.items()
            if not name or reference.rpartition(":")[0] == name
        ]

    def remove_image(self, reference: str) -> None:
        self._alive()
        image = self._image(reference, "no such image")
        for identity, container in self.containers_by_id.items():
            if container["Image"] == image["Id"]:
                short_id = image["Id"].removeprefix("sha256:")[:12]
                raise self._refused("image in use", image=reference, short_image_id=short_id, short_id=identity[:12])
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

    def networks(self, names: Sequence[str]) -> list[Json]:
        self._alive()
        # Like the engine, which finds by a part of the name.
        return [_copied(n) for n in self.networks_by_name.values() if any(w in n["Name"] for w in names)]

    def create_network(
        self,
        name: str,
        driver: str,
        labels: dict[str, str],
        check_duplicate: bool,
        options: dict[str, str] | None = None,
    ) -> None:
        assert driver == "bridge" and check_duplicate
        self._change(f"create network {name}")
        if name in self.networks_by_name:
            raise self._refused("network exists", network=name)
        network = self._recording.document("network", network=name, network_id=_identity(self._number()))
        self.networks_by_name[name] = {**network, "Labels": labels, "Options": options or {}}
        self._changed()

    def remove_network(self, name: str) -> None:
        self._change(f"remove network {name}")
        if name not in self.networks_by_name:
            raise self._refused("no such network", network=name)
        del self.networks_by_name[name]
        self._changed()

    # The SDK's low-level client: containers -----------------------------------------------------------------------

    def inspect_container(self, name: str) -> Json:
        container = self._find(name)
        self._grow(container)
        return _copied(container)

    def containers(self, all: bool = False) -> list[Json]:
        self._alive()
        return [self._listed(c) for c in self.containers_by_id.values() if all or c["State"]["Running"]]

    def stats(self, name: str, stream: bool) -> Json:
        assert not stream, "a stream never ends"
        found = self.stats_by_name.get(_name(self._find(name)))
        if found is None:
            raise self._refused("no such container", name=name)
        return _copied(found)

    def create_container_from_config(self, config: Json, name: str) -> Json:
        self._change(f"create {name}")
        self._refuse_name_in_use(name, "name in use")
        image = self._image(config["Image"], "no such image to run")
        container = self._document(
            "plain",
            container_id=_identity(self._number()),
            name=name,
            image=config["Image"],
            image_id=image["Id"],
            network=config["HostConfig"]["NetworkMode"],
        )
        apply(config, container, image)
        self.containers_by_id[container["Id"]] = container
        self._changed()
        return {"Id": container["Id"]}

    def start(self, name: str) -> None:
        container = self._find(name)
        if container["State"]["Paused"]:
            raise _api_error(409, "cannot start a paused container, try unpause instead")
        if container["State"]["Running"]:
            return
        self._change(f"start {_name(container)}")
        self._refuse_start(container)
        self._run(container)
        self._changed()

    def stop(self, name: str, timeout: int) -> None:
        assert timeout > 0
        container = self._find(name)
        self._change(f"stop {_name(container)}")
        if container["State"]["Running"]:
            self._enter(container, "stopped", exit_code=container["State"]["ExitCode"])
        self._changed()

    def pause(self, name: str) -> None:
        container = self._find(name)
        self._change(f"pause {_name(container)}")
        if not container["State"]["Running"]:
            raise _api_error(409, f"Container {container['Id']} is not running")
        container["State"] |= {"Status": "paused", "Paused": True}
        if "Health" in container["State"]:
            # Often a probe was on its way, which is taken for one that failed.
            container["State"]["Health"]["Status"] = "unhealthy"
        self._changed()

    def unpause(self, name: str) -> None:
        container = self._find(name)
        self._change(f"unpause {_name(container)}")
        if not container["State"]["Paused"]:
            raise _api_error(500, f"Container {container['Id']} is not paused")
        container["State"] |= {"Status": "running", "Paused": False}
        self._changed()

    def kill(self, name: str) -> None:
        container = self._find(name, "no such container to kill")
        self._change(f"kill {_name(container)}")
        if not container["State"]["Running"]:
            raise self._refused("not running", container)
        self._enter(container, "killed")
        self._changed()

    def rename(self, name: str, new: str) -> None:
        container = self._find(name)
        self._change(f"rename {_name(container)} to {new}")
        if new == _name(container):
            raise self._refused("same name")
        self._refuse_name_in_use(new, "new name in use")
        container["Name"] = f"/{new}"
        self._changed()

    def update_container(self, name: str, restart_policy: Json) -> None:
        container = self._find(name)
        self._change(f"restart policy of {_name(container)}: {restart_policy['Name']}")
        if container["State"]["Restarting"]:
            # A real engine refuses only at the moment when the process has just ended.
            raise self._refused("is ending", container)
        container["HostConfig"]["RestartPolicy"] = {"MaximumRetryCount": 0, **restart_policy}
        self._changed()

    def remove_container(self, name: str, v: bool, force: bool) -> None:
        assert force and not v, "volumes are never removed"
        container = self._find(name)
        self._change(f"remove {_name(container)}")
        del self.containers_by_id[container["Id"]]
        self._changed()

    def logs(
        self,
        name: str,
        *,
        stdout: bool,
        stderr: bool,
        tail: int | None = None,
        since: int | None = None,
        timestamps: bool = False,
        stream: bool = False,
        follow: bool | None = None,
    ) -> bytes | Iterable[bytes]:
        assert stdout and stderr and (tail or since)
        assert not stream or follow is False, "a log that is followed never ends"
        log = self.behaviours[self._find(name)["Config"]["Image"]].log.encode()
        return iter([log]) if stream else log

    def exec_create(self, name: str, cmd: list[str], stdout: bool, stderr: bool, user: str) -> Json:
        assert stdout and stderr
        container = self._find(name)
        if not container["State"]["Running"]:
            raise _api_error(409, f"Container {container['Id']} is not running")
        self.executed.append((f"{user or '-'}@{_name(container)}: {' '.join(cmd)}", ""))
        return {"Id": container["Id"]}

    def exec_start(self, command: str, stream: bool) -> Iterable[bytes]:
        assert stream, "what it writes may be long"
        return iter([self.behaviours[self._find(command)["Config"]["Image"]].log.encode()])

    def exec_inspect(self, command: str) -> Json:
        return {"ExitCode": self.behaviours[self._find(command)["Config"]["Image"]].exec_ends_with}

    def execute(self, argv: Sequence[str], chunks: Iterable[bytes]) -> SimpleNamespace:
        """Stand in for the docker command: remember what was run inside a container."""
        self.executed.append((" ".join(argv), b"".join(chunks).decode()))
        return SimpleNamespace(code=0, output="", errors="")

    # What it refuses ----------------------------------------------------------------------------------------------

    def _alive(self) -> None:
        if self._dead:
            raise PowerCut
        if self._restarting:
            if self.unanswered:
                self.unanswered -= 1
                raise ConnectionError("Connection refused")
            self._restarting = False
            self._run_again(exit_code=0)

    def _refused(self, error: str, /, container: Json | None = None, **words: str) -> errors.APIError:
        if container is not None:
            words |= {"container_id": container["Id"], "short_id": container["Id"][:12]}
            words.setdefault("name", _name(container))
        return _api_error(*self._recording.error(error, **words))

    def _refuse_name_in_use(self, name: str, error: str) -> None:
        for container in self.containers_by_id.values():
            if _name(container) == name:
                raise self._refused(error, container)

    def _refuse_start(self, container: Json) -> None:
        network = container["HostConfig"]["NetworkMode"]
        if network not in self.networks_by_name:
            raise self._refused("network missing", network=network)
        others = [o for o in self.containers_by_id.values() if o is not container and o["State"]["Running"]]
        held = [address for other in others for address in _addresses(other)]
        for host_ip, port in _addresses(container):
            address = f"{host_ip or ANY_ADDRESS[-1]}:{port}"
            if port in self.taken_ports:
                raise self._refused("port taken", container, address=address)
            if any(p == port and (ip == host_ip or {ip, host_ip} & {*ANY_ADDRESS}) for ip, p in held):
                raise self._refused("port allocated", container, address=address)

    def _change(self, words: str) -> None:
        self._alive()
        if self.refuse and words.startswith(self.refuse):
            self.refuse = ""
            raise _api_error(500, f"refused to {words}")
        self.calls.append(words)

    def _changed(self) -> None:
        if self.gone_after and self.calls[-1].startswith(self.gone_after):
            self.gone_after = ""
            self._restarting = True
        if self.power_cut_after is not None:
            self.power_cut_after -= 1
            if self.power_cut_after <= 0:
                self._dead = True
                raise PowerCut

    # How it works -------------------------------------------------------------------------------------------------

    def _find(self, name: str, error: str = "no such container") -> Json:
        self._alive()
        for container in self.containers_by_id.values():
            if name == _name(container) or container["Id"].startswith(name):
                return container
        raise self._refused(error, name=name)

    def _image(self, reference: str, error: str) -> Json:
        for name, image in self.images_by_reference.items():
            if reference in (name, image["Id"]):
                return image
        raise self._refused(error, image=reference)

    def _document(self, document: str, /, *, container_id: str, network: str, **words: str) -> Json:
        network_id = self.networks_by_name.get(network, {}).get("Id", "")
        ids = {"container_id": container_id, "short_id": container_id[:12], "network_id": network_id}
        return self._recording.document(document, network=network, id=_identity(container_id), **ids, **words)

    def _document_of(self, container: Json, document: str) -> Json:
        return self._document(
            document,
            container_id=container["Id"],
            name=_name(container),
            image=container["Config"]["Image"],
            image_id=container["Image"],
            network=container["HostConfig"]["NetworkMode"],
        )

    def _listed(self, container: Json) -> Json:
        return {
            **self._document_of(container, "listed"),
            "Labels": _copied(container["Config"]["Labels"]),
            "Mounts": _copied(container["Mounts"]),
            "State": container["State"]["Status"],
        }

    def _run_again(self, exit_code: int) -> None:
        """Start, after all containers had ended, those that their policy lets start, unless they never ran."""
        for container in self.containers_by_id.values():
            if container["State"]["Running"]:
                self._enter(container, "ended", exit_code)
        for container in self.containers_by_id.values():
            if _restarts(container) and container["State"]["StartedAt"] != NEVER:
                self._run(container)

    def _enter(self, container: Json, state: str, exit_code: int | None = None) -> None:
        """Let a container be in a state as recorded; what its probes said before stays, and when it last ended."""
        before = container["State"]
        document = self._document_of(container, f"state-{state}")
        keep_networks(container, document["NetworkSettings"])
        container.update(document)
        now = container["State"]
        if now["Running"] and not now["Restarting"]:
            now["FinishedAt"] = before["FinishedAt"]
        if exit_code is not None:
            now["ExitCode"] = exit_code
        if container["Config"].get("Healthcheck"):
            now["Health"]["Log"] = (before.get("Health") or {}).get("Log") or []
        else:
            del now["Health"]

    def _run(self, container: Json) -> None:
        folders = {m["Source"] for m in container["Mounts"] if m["RW"]}
        for other in self.containers_by_id.values():
            if other is not container and other["State"]["Running"]:
                shared = folders & {m["Source"] for m in other["Mounts"] if m["RW"]}
                assert not shared, f"two servers on {shared}"
        container["RestartCount"] = 0
        if self.ill.get(container["Id"]) == "restart":
            del self.ill[container["Id"]]
        self._looks[container["Id"]] = 0
        code = self.behaviours[container["Config"]["Image"]].ends_with
        if code is None:
            self._enter(container, "starting")
        else:
            self._enter(container, "restarting" if _restarts(container) else "ended", exit_code=code)

    def _grow(self, container: Json) -> None:
        """Let a container that is looked at be probed once, as time would."""
        state = container["State"]
        if not state["Running"] or state["Restarting"] or state["Paused"] or "Health" not in state:
            return
        if container["Id"] in self.ill:
            state["Health"] = self._probed(container, "unhealthy")
            return
        # By the first look nothing was probed yet.
        probes = self._looks.get(container["Id"], 0)
        self._looks[container["Id"]] = probes + 1
        until = self.behaviours[container["Config"]["Image"]].looks_until_healthy
        if 0 <= until <= probes:
            state["Health"] = self._probed(container, "healthy")
        elif probes:
            failed = self._probed(container, "unhealthy")
            state["Health"] = failed if _gives_up(container, probes) else {**state["Health"], "Log": failed["Log"]}

    def _probed(self, container: Json, state: str) -> Json:
        health: Json = self._document_of(container, f"state-{state}")["State"]["Health"]
        return health


def _copied(document: Document) -> Document:
    """Copy a document as it would travel, which is several times as fast as copying it object by object."""
    copied: Document = json.loads(json.dumps(document))
    return copied


def _identity(seed: object) -> str:
    return hashlib.sha256(str(seed).encode()).hexdigest()


def _name(container: Json) -> str:
    return str(container["Name"].lstrip("/"))


def _restarts(container: Json) -> bool:
    return bool(container["HostConfig"]["RestartPolicy"]["Name"] == "always")


def _addresses(container: Json) -> list[tuple[str, str]]:
    return [(b.get("HostIp", ""), b["HostPort"]) for hosts in published(container).values() for b in hosts or ()]


def _gives_up(container: Json, probes: int) -> bool:
    """Tell whether after so many failed probes the container counts as unhealthy."""
    check = container["Config"]["Healthcheck"]
    enough = probes >= (check.get("Retries") or DEFAULT_RETRIES)
    return enough and probes * check.get("Interval", DEFAULT_INTERVAL) > check.get("StartPeriod", 0)


def _api_error(status: int, message: str) -> errors.APIError:
    """Give the exception that the SDK itself makes of such an answer."""
    response = Response()
    response.status_code = status
    response._content = json.dumps({"message": message}).encode()
    try:
        errors.create_api_error_from_http_exception(HTTPError(message, response=response))
    except errors.APIError as error:
        return error
    raise AssertionError("the SDK made no error")
