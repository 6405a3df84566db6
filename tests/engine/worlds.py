"""The two engines that every scenario is played on, a real one and the fake, and what they must agree on."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ansible.module_utils.poppyfield.containers import container_module as containers
from ansible.module_utils.poppyfield.containers.apply import ApplyError
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.containers.plan import DesiredState, Plan, PlanError, is_healthy
from ansible.module_utils.poppyfield.containers.spec import ContainerSpec, Json, Mount, Port, actual_fields, is_ours
from ansible.module_utils.poppyfield.images.image_names import labels
from docker import errors

from tests.doubles.docker_engine import Behaviour, FakeDocker, PowerCut
from tests.doubles.recording import nearest
from tests.engine import tiny_image

PREFIX = "pf-engine-test-"
LABEL = "fr.poppyfield.engine-test"
NAME = PREFIX + "postgis"
PREVIOUS = NAME + "-previous"
CANDIDATE = NAME + "-candidate"
OTHER = PREFIX + "other"
NETWORK = PREFIX + "network"
OLD = PREFIX + "server:scratch-000000000001"
NEW = PREFIX + "server:scratch-000000000002"
IMAGES = {OLD: "1", NEW: "2"}
"""Reference and version of each image."""

PATIENCE = 60.0
HURRY = 10
CHANGES = {
    "create_container_from_config",
    "create_network",
    "remove_container",
    "rename",
    "start",
    "stop",
    "unpause",
    "update_container",
}


class World(Protocol):
    """An engine, and how its images behave."""

    api: Any

    def clock(self) -> float:
        """Give the time in seconds."""

    def sleep(self, seconds: float) -> None:
        """Let so much time go by."""

    def behave(self, reference: str, behaviour: Behaviour) -> None:
        """From now on containers of this image behave like this."""

    def names(self) -> list[str]:
        """Give the names of the containers of the tests."""


class FakeWorld:
    """The fake, with a clock that goes when somebody sleeps."""

    def __init__(self, real: Any) -> None:
        self.api = FakeDocker(recorded=nearest(real.version()["Version"]))
        self.api.keeps_memory_limits = real.info()["MemoryLimit"]
        for reference in IMAGES:
            self.api.add_image(reference, **real.inspect_image(reference)["Config"])
        self._now = 0.0

    def clock(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds

    def behave(self, reference: str, behaviour: Behaviour) -> None:
        self.api.behaviours[reference] = behaviour

    def names(self) -> list[str]:
        return list(self.api.names())


def hurry(seconds: float) -> None:
    """Sleep, but not as long as a module would: the health checks here are quicker too."""
    time.sleep(seconds / HURRY)


class RealWorld:
    """A real engine. The containers read from a folder how they behave: see image/serve."""

    def __init__(self, api: Any, state: Path, sleep: Callable[[float], None] = hurry) -> None:
        self.api = api
        self._state = state
        self._sleep = sleep

    def clock(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        self._sleep(seconds)

    def behave(self, reference: str, behaviour: Behaviour) -> None:
        folder = self._state / IMAGES[reference]
        files = {
            "log": behaviour.log,
            "ends-with": "" if behaviour.ends_with is None else str(behaviour.ends_with),
            "unhealthy": "" if behaviour.looks_until_healthy >= 0 else "yes",
        }
        for name, content in files.items():
            (folder / name).unlink(missing_ok=True)
            if content:
                (folder / name).write_text(content)

    def names(self) -> list[str]:
        found = self.api.containers(all=True, filters={"label": LABEL})
        return [name for c in found for name in (c["Names"][0].lstrip("/"),) if name.startswith(PREFIX)]


def build_images() -> None:
    """Make the images in the engine that DOCKER_HOST names, or this machine's."""
    for reference, version in IMAGES.items():
        own = {**labels(version), LABEL: "true"}
        tiny_image.build(reference, target="quick", labels=own, version=version)


def remove_images(api: Any) -> None:
    """Remove the images of the tests, and no others."""
    for image in api.images(name=PREFIX + "server", filters={"label": LABEL}):
        for reference in image["RepoTags"] or []:
            api.remove_image(reference)


def clean(api: Any) -> None:
    """Remove the containers and networks of the tests, and no others: containers have their image's label."""
    for container in api.containers(all=True, filters={"label": LABEL}):
        if container["Names"][0].lstrip("/").startswith(PREFIX):
            with suppress(errors.NotFound):
                api.remove_container(container["Id"], force=True)
    for network in api.networks(names=[PREFIX]):
        if network["Name"].startswith(PREFIX) and network["Labels"]:
            api.remove_network(network["Id"])


def make_folders(folder: Path) -> None:
    """Make the folders that the containers of `specification` mount."""
    for name in ("data", *(f"state/{version}" for version in IMAGES.values())):
        (folder / name).mkdir(parents=True)


def specification(folder: Path, port: int) -> ContainerSpec:
    """Give the specification that the scenarios start from."""
    return ContainerSpec(
        name=NAME,
        resource="postgis",
        image=OLD,
        network=NETWORK,
        network_aliases=("postgis",),
        command=("serve", "-v"),
        environment={"LANG": "C.UTF-8", "WORKERS": "1"},
        mounts=(
            Mount(str(folder / "state"), "/state", read_only=True),
            Mount(str(folder / "data"), "/data", read_only=False),
            Mount("/etc", "/secrets", read_only=True),
        ),
        tmpfs={"/tmp": "mode=1777"},
        ports=(Port("127.0.0.1", port, 8080),),
        shm_size=1024 * 1024,
        stop_timeout=20,
        secret_stamps={"password": "1"},
        memory_limit=64 * 1024 * 1024,
        exclusive_folders=(str(folder / "data"),),
    )


def converge(
    world: World, wanted: ContainerSpec, desired: DesiredState, timeout: float = PATIENCE, api: Any = None
) -> Plan:
    """Run once, through `api` where it is not the world's own; check mode must have predicted what it does."""
    engine = Engine(world.api, errors)
    predicted = containers.converge(engine, wanted, desired, healthy_timeout=timeout, check_mode=True).plan
    outcome = containers.converge(
        Engine(api or world.api, errors),
        wanted,
        desired,
        healthy_timeout=timeout,
        clock=world.clock,
        sleep=world.sleep,
    )
    assert outcome.plan == predicted
    return outcome.plan


@dataclass(frozen=True)
class Seen:
    """What a run says and leaves behind, without what may differ: ids and times."""

    error: str = ""
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    before: Json = field(default_factory=dict)
    after: Json = field(default_factory=dict)
    containers: Json = field(default_factory=dict)
    serves: bool = False
    """The container in place is healthy; nobody knows when nobody waited for it."""

    @property
    def running(self) -> list[str]:
        """Names of the containers that run."""
        return [name for name, container in self.containers.items() if container["runs"]]


def look(world: World, wanted: ContainerSpec) -> Json:
    """Describe every container of the tests by the fields that we own."""
    engine = Engine(world.api, errors)
    found = {name: engine.container(name) for name in sorted(world.names())}
    return {
        name: {
            "runs": container["State"]["Running"],
            "fields": actual_fields(wanted, container, engine.image(container["Image"])),
            "ours": is_ours(container, wanted.resource),
        }
        for name, container in found.items()
        if container is not None
    }


def first_line(error: Exception) -> str:
    """Give an error's first line without what may differ."""
    line = re.sub("[0-9a-f]{64}", "<id>", f"{type(error).__name__}: {error}".splitlines()[0])
    # The code is lost for the short moment in which a container that ends again and again runs.
    return re.sub(r" with code \d+ (?=and Docker restarts it)", " ", line)


class Both:
    """Plays the same on both engines, and compares what they say and what they are left with."""

    def __init__(self, real: World, fake: World, wanted: ContainerSpec) -> None:
        self.worlds = (real, fake)
        self.wanted = wanted

    def converge(self, desired: DesiredState | None = None, *, timeout: float = PATIENCE, **fields: Any) -> Seen:
        """Run once; `fields` of the specification change for good."""
        self.wanted = replace(self.wanted, **fields)
        return self._agreed([self._run(world, desired or DesiredState(), timeout) for world in self.worlds])

    def cut_off(self, changes: int, **fields: Any) -> Seen:
        """Run until so many changes were made, as if the run was killed then."""
        wanted = replace(self.wanted, **fields)
        for world in self.worlds:
            with suppress(PowerCut):
                converge(world, wanted, DesiredState(), api=Watched(world.api, cut_after(changes)))
        return self.look()

    def by_hand(self, act: Callable[[Any], Any]) -> None:
        """Do something to both through the SDK's client."""
        for world in self.worlds:
            act(world.api)

    def behave(self, reference: str, **behaviour: Any) -> None:
        """Let containers of this image behave like this."""
        for world in self.worlds:
            world.behave(reference, Behaviour(**behaviour))

    def look(self) -> Seen:
        """Only look."""
        return self._agreed([Seen(containers=look(world, self.wanted)) for world in self.worlds])

    def _run(self, world: World, desired: DesiredState, timeout: float) -> Seen:
        try:
            plan = converge(world, self.wanted, desired, timeout)
        except (ApplyError, EngineError, PlanError) as error:
            said = Seen(error=first_line(error))
        else:
            steps = tuple(map(str, plan.steps))
            said = Seen("", plan.reasons, plan.warnings, steps, plan.before, plan.after)
        served = Engine(world.api, errors).container(NAME)
        return replace(said, containers=look(world, self.wanted), serves=served is not None and is_healthy(served))

    def _agreed(self, seen: list[Seen]) -> Seen:
        real, fake = seen
        assert vars(real) == vars(fake), "the real engine (left) and the fake (right) disagree"
        return real


class Watched:
    """The SDK's client in a run that is watched: `changed` gets the name of each change when it was made.

    When it raises PowerCut the run is as good as killed: it learns nothing more from the engine.
    """

    def __init__(self, api: Any, changed: Callable[[str], None]) -> None:
        self._api = api
        self._changed = changed
        self._dead = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._api, name)

        def call(*arguments: Any, **options: Any) -> Any:
            if self._dead:
                raise PowerCut
            answer = method(*arguments, **options)
            if name in CHANGES:
                try:
                    self._changed(name)
                except PowerCut:
                    self._dead = True
                    raise
            return answer

        return call


def cut_after(changes: int) -> Callable[[str], None]:
    """Give what raises PowerCut after so many changes."""
    numbers = itertools.count(1)

    def changed(_name: str) -> None:
        if next(numbers) == changes:
            raise PowerCut

    return changed
