"""Write down what a real engine says, for the fake to repeat: `python -m tests.doubles.record_engine`.

It asks the engine that DOCKER_HOST names, or this machine's, and writes into recorded/<version>/. What differs each
time (ids, times, addresses, the host's paths) is replaced by words and values that stay the same; nothing else is
touched. Run it where the engine's ports are: it takes one itself, to be told that it is taken.
"""

from __future__ import annotations

import json
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import docker
from docker import errors
from docker.utils import kwargs_from_env

import plugins.project_imports  # noqa: F401
from tests.doubles.recording import FOLDER, Json, numbers
from tests.engine import tiny_image

ROOT = Path(__file__).resolve().parents[2]

NAME = "pf-engine-test-recorded"
OTHER = "pf-engine-test-other"
NETWORK = "pf-engine-test-network"
ALIAS = "pf-engine-test-alias"
IMAGE = "pf-engine-test-recorded:1"
MISSING = "pf-engine-test-missing"
MISSING_IMAGE = "pf-engine-test-missing-image:1"
MISSING_NETWORK = "pf-engine-test-missing-network"
PORT = 47811
ENDS_WITH = 3
PATIENCE_SECONDS = 60

STAND_INS: Json = {
    "Data": {},
    "FailingStreak": 1,
    "Gateway": "172.18.0.1",
    "IPAddress": "172.18.0.2",
    "MacAddress": "02:42:ac:12:00:02",
    "Pid": 1000,
    "RestartCount": 1,
    "SandboxKey": "/var/run/docker/netns/<id>",
    "Subnet": "172.18.0.0/16",
}
"""What stands in for a value that is not empty, by its key."""
VERSION = ("Version", "ApiVersion", "MinAPIVersion", "Os", "Arch", "GitCommit", "GoVersion")
ABOUT = ("ServerVersion", "DockerRootDir", "Driver", "CgroupDriver", "CgroupVersion", "MemoryLimit", "SwapLimit")
CREATED = 1767225600


def normal(value: Any, words: dict[str, str], key: str = "") -> Any:
    """Replace what differs each time: by its key, or these parts of every string by these words."""
    if value and key in STAND_INS:
        return STAND_INS[key]
    if isinstance(value, dict):
        return {normal(k, words): normal(v, words, k) for k, v in value.items()}
    if isinstance(value, list):
        return [normal(item, words) for item in value]
    if isinstance(value, str):
        for part, word in words.items():
            value = value.replace(part, word)
        value = re.sub(r"\b[0-9a-f]{64}\b", "<id>", value)
        return re.sub(r"^[1-9]\d{3}-\d\d-\d\dT.*Z$", "2026-01-01T00:00:00Z", value)
    return value


def refusal(call: Callable[..., Any], *arguments: Any, **options: Any) -> Json:
    """Give the status and the message with which the engine refuses a call."""
    try:
        call(*arguments, **options)
    except errors.APIError as error:
        return {"status": error.status_code, "message": error.explanation}
    raise AssertionError(f"The engine did not refuse {call.__name__}{arguments}.")


def has_ended(container: Json) -> bool:
    """Tell whether the container has no process."""
    return not container["State"]["Running"]


class Recorder:
    """Makes what is to be recorded, one thing after the other."""

    def __init__(self, api: Any, folder: Path) -> None:
        self.api = api
        self.state = folder / "state"
        self.data = folder / "data"
        self.state.mkdir()
        self.data.mkdir()
        tiny_image.build(IMAGE, target="server", labels={})
        self.image = api.inspect_image(IMAGE)
        api.create_network(NETWORK, driver="bridge", labels={"org.example": "kept"})
        self.network = api.networks(names=[NETWORK])[0]
        self.words = {
            api.info()["DockerRootDir"]: "/var/lib/docker",
            str(folder): "<folder>",
            self.image["Id"]: "<image_id>",
            self.image["Id"].removeprefix("sha256:")[:12]: "<short_image_id>",
            self.network["Id"]: "<network_id>",
            NETWORK: "<network>",
            ALIAS: "<alias>",
            IMAGE: "<image>",
            MISSING_IMAGE: "<image>",
            MISSING_NETWORK: "<network>",
            MISSING: "<name>",
            NAME: "<name>",
            OTHER: "<name>",
            f"127.0.0.1:{PORT}": "<address>",
        }
        self.documents: dict[str, Json] = {}
        self.errors: dict[str, Json] = {}
        self.created: Json = {}

    def record(self) -> None:
        """Fill `documents` and `errors`."""
        self._keep("version", {key: self.api.version()[key] for key in VERSION})
        self._keep("info", {key: self.api.info()[key] for key in ABOUT})
        self._keep("image", self.image)
        self._keep("listed-image", {**self.api.images(name=IMAGE.partition(":")[0])[0], "Created": CREATED})
        self._keep("network", self.network)
        self._record_missing()
        self._keep("plain", self._create(self._plain(), NAME))
        self.api.remove_container(NAME)
        request = self._complete()
        self.created = self._create(request, NAME)
        self.documents["complete"] = {"request": self._normal(request), "container": self._normal(self.created)}
        self._record_life()
        self._record_refused_starts()
        self._record_end()
        self.documents["errors"] = self._normal(self.errors)

    def _plain(self) -> Json:
        return {
            "Image": IMAGE,
            "HostConfig": {"NetworkMode": NETWORK},
            "NetworkingConfig": {"EndpointsConfig": {NETWORK: {}}},
        }

    def _complete(self) -> Json:
        return {
            "Image": IMAGE,
            "Cmd": ["serve", "-v"],
            "Env": ["LANG=C.UTF-8", "PATH=/usr/bin:/bin"],
            "Labels": {"org.example": "kept"},
            "StopTimeout": 20,
            "ExposedPorts": {"8080/tcp": {}},
            "Healthcheck": {"Interval": 1_000_000_000, "Retries": 1},
            "HostConfig": {
                "Mounts": [
                    {"Type": "bind", "Source": str(self.state), "Target": "/state", "ReadOnly": True},
                    {"Type": "bind", "Source": str(self.data), "Target": "/data", "ReadOnly": False},
                ],
                "Tmpfs": {"/tmp": "mode=1777"},
                "PortBindings": {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(PORT)}]},
                "RestartPolicy": {"Name": "no"},
                "NetworkMode": NETWORK,
                "CapDrop": ["ALL"],
                "CapAdd": ["CHOWN"],
                "SecurityOpt": ["no-new-privileges"],
                "ReadonlyRootfs": True,
                "ShmSize": 1024 * 1024,
                "Memory": 64 * 1024 * 1024,
            },
            "NetworkingConfig": {"EndpointsConfig": {NETWORK: {"Aliases": [ALIAS]}}},
        }

    def _record_missing(self) -> None:
        api, refusals = self.api, self.errors
        refusals["no such container"] = refusal(api.inspect_container, MISSING)
        refusals["no such container to kill"] = refusal(api.kill, MISSING)
        refusals["no such image"] = refusal(api.inspect_image, MISSING_IMAGE)
        refusals["no such image to run"] = refusal(
            api.create_container_from_config, {**self._plain(), "Image": MISSING_IMAGE}, NAME
        )
        refusals["no such network"] = refusal(api.remove_network, MISSING_NETWORK)
        refusals["network exists"] = refusal(api.create_network, NETWORK, check_duplicate=True)

    def _record_life(self) -> None:
        api, refusals = self.api, self.errors
        api.start(NAME)
        self._keep_state("starting", lambda c: c["State"]["Health"]["Status"] == "starting")
        self._keep_state("healthy", lambda c: c["State"]["Health"]["Status"] == "healthy")
        # As many seconds as it took are in it.
        listed = {**api.containers(filters={"name": NAME})[0], "Created": CREATED, "Status": "Up 1 second (healthy)"}
        self._keep("listed", listed)
        refusals["name in use"] = refusal(api.create_container_from_config, self._plain(), NAME)
        refusals["same name"] = refusal(api.rename, NAME, NAME)
        refusals["image in use"] = refusal(api.remove_image, IMAGE)
        with self._another(self._plain()):
            refusals["new name in use"] = refusal(api.rename, OTHER, NAME)
        with self._another(self._complete()):
            refusals["port allocated"] = refusal(api.start, OTHER)
        api.stop(NAME)
        self._keep_state("stopped", has_ended)
        refusals["not running"] = refusal(api.kill, NAME)
        api.start(NAME)
        api.kill(NAME)
        self._keep_state("killed", has_ended)

    def _record_refused_starts(self) -> None:
        request = {**self._plain(), "HostConfig": {"NetworkMode": MISSING_NETWORK}, "NetworkingConfig": {}}
        with self._another(request):
            self.errors["network missing"] = refusal(self.api.start, OTHER)
        with self._another(self._complete()), socket.create_server(("127.0.0.1", PORT)):
            self.errors["port taken"] = refusal(self.api.start, OTHER)

    def _record_end(self) -> None:
        api = self.api
        (self.state / "unhealthy").touch()
        api.start(NAME)
        self._keep_state("unhealthy", lambda c: c["State"]["Health"]["Status"] == "unhealthy")
        api.stop(NAME)
        (self.state / "ends-with").write_text(str(ENDS_WITH))
        api.start(NAME)
        self._keep_state("ended", has_ended)
        api.update_container(NAME, restart_policy={"Name": "always"})
        api.start(NAME)
        self._keep_state("restarting", lambda c: bool(c["State"]["Restarting"]))
        self.errors["is ending"] = self._refused_update()
        api.stop(NAME)

    def _refused_update(self) -> Json:
        """Give what the engine says to a change of a container that just ends by itself: it takes some luck to see."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            with suppress(AssertionError):
                return refusal(self.api.update_container, NAME, restart_policy={"Name": "always"})
            if not self.api.inspect_container(NAME)["State"]["Running"]:
                self.api.start(NAME)
        raise AssertionError("The engine never refused to change a container that ends.")

    def _create(self, request: Json, name: str) -> Json:
        created: Json = self.api.inspect_container(self.api.create_container_from_config(request, name)["Id"])
        self.words |= {created["Id"]: "<container_id>", created["Id"][:12]: "<short_id>"}
        return created

    @contextmanager
    def _another(self, request: Json) -> Iterator[None]:
        identity = self.api.create_container_from_config(request, OTHER)["Id"]
        try:
            yield
        finally:
            self.api.remove_container(identity, force=True)

    def _keep(self, name: str, document: Json) -> None:
        self.documents[name] = self._normal(document)

    def _keep_state(self, name: str, reached: Callable[[Json], bool]) -> None:
        """Wait for a state, and keep of it what is not as it was when the container was created."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached(seen := self.api.inspect_container(NAME)):
            assert time.monotonic() < deadline, seen["State"]
            time.sleep(0.02)
        before, now = self._normal(self.created), self._normal(seen)
        # Of the probes, the last is enough.
        del now["State"]["Health"]["Log"][:-1]
        self.documents[f"state-{name}"] = {
            key: value for key, value in now.items() if value != before.get(key) and key != "HostConfig"
        }

    def _normal(self, document: Json) -> Json:
        found: Json = normal(document, self.words)
        if "Mounts" in found:
            # In an order that is another one each time.
            found["Mounts"].sort(key=lambda mount: mount["Destination"])
        return found


def clean(api: Any) -> None:
    """Remove what the recording needed."""
    for name in (NAME, OTHER):
        with suppress(errors.NotFound):
            api.remove_container(name, force=True)
    with suppress(errors.NotFound):
        api.remove_network(NETWORK)
    with suppress(errors.NotFound):
        api.remove_image(IMAGE)


def main() -> None:
    """Record one engine."""
    api = docker.APIClient(version="auto", **kwargs_from_env())
    version = ".".join(map(str, numbers(api.version()["Version"])))
    clean(api)
    try:
        with tempfile.TemporaryDirectory(prefix="pf-engine-test-") as folder:
            recorder = Recorder(api, Path(folder))
            recorder.record()
    finally:
        clean(api)
    target = FOLDER / version
    target.mkdir(parents=True, exist_ok=True)
    for name, document in recorder.documents.items():
        (target / f"{name}.json").write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    print(f"Recorded {len(recorder.documents)} documents of Docker Engine {version} in {target}")


if __name__ == "__main__":
    main()
