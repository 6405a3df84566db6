"""What postgis_container and lizmap_container share: options, taking a snapshot, plan, check mode, apply, result."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ansible.module_utils.poppyfield.containers import startable
from ansible.module_utils.poppyfield.containers.apply import Applier, ApplyError, container_lock
from ansible.module_utils.poppyfield.containers.compose_file import ComposeProject
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, EngineMissingError
from ansible.module_utils.poppyfield.containers.plan import (
    Action,
    DesiredState,
    Plan,
    PlanError,
    Recreate,
    Snapshot,
    State,
    is_healthy,
    is_running,
    plan,
)
from ansible.module_utils.poppyfield.containers.services import NETWORK
from ansible.module_utils.poppyfield.containers.spec import (
    COMPOSE_DIGEST,
    IMAGE_DIGEST,
    ContainerSpec,
    HealthTiming,
    Json,
    Mount,
    bridge_of,
    clean_path,
    container_body,
    is_ours,
    within_kernel,
)
from ansible.module_utils.poppyfield.host import data_folders, firewall, host_files
from ansible.module_utils.poppyfield.host.firewall_service import FirewallError, FirewallService
from ansible.module_utils.poppyfield.host.requirements import memory_bytes
from ansible.module_utils.poppyfield.runs import lock, trail
from ansible.module_utils.poppyfield.runs.lock import LockError

NOT_DELIVERED = "not delivered yet"
NOT_MARKED = f"{data_folders.PREFIX}new"
"""Stands in check mode for the mark that a folder would get."""
MARKS_TARGET = "/run/data-folders"
"""Where a container finds the marks of folders that it does not mount whole."""
NO_IMAGE = (
    "image is empty. Which image is to be deployed is found out by the build stage, which did not run before this. "
    "Run a whole stage: ansible-playbook playbooks/deploy.yml."
)

FIRST_ENGINE_THAT_WRITES_NO_HEALTH = 26
"""Those before rewrite two files of a container, and flush them, at each check (moby, pull request 47044)."""
RARE_CHECK_SECONDS = 60
HEALTH_OPTIONS: Json = {
    "interval": {"type": "int"},
    "timeout": {"type": "int"},
    "retries": {"type": "int"},
    "start_period": {"type": "int"},
}

CONTAINER_OPTIONS: Json = {
    "image": {"type": "str", "required": True},
    "network": {"type": "str", "default": NETWORK},
    "health": {"type": "dict", "options": HEALTH_OPTIONS},
    "healthy_timeout": {"type": "int", "default": 300},
    "state": {"type": "str", "choices": [s.value for s in State], "default": "started"},
    "recreate": {"type": "str", "choices": [r.value for r in Recreate], "default": "auto"},
    "restart": {"type": "bool", "default": False},
    "memory_limit_share": {"type": "float", "default": 0.75},
    "compose_folder": {"type": "path", "default": ""},
    "host_files": host_files.OPTION,
    "run": lock.OPTION,
}
"""The options that are the same in both modules."""

RAM_STEP = 256 * 1024 * 1024

TMPFS: Mapping[str, str] = {"/tmp": "mode=1777,size=64m"}  # noqa: S108 - inside the container, whose root is read-only


@dataclass
class Outcome:
    """What the module tells the user."""

    plan: Plan
    container: Json | None = None
    outage: float = 0.0
    content_changes: list[str] = field(default_factory=list)
    further: tuple[Plan, ...] = ()
    """What else was done, because the container was still not healthy."""
    previous: str = ""
    """Name of the old container, where it was kept."""
    held: bool = False
    """Whether a replacement waits for a further call."""
    compose_file: str = ""
    """The file for docker-compose, where it was not as it should be."""

    def result(self) -> Json:
        """Give the module's return values."""
        plans = (self.plan, *self.further)
        return {
            "changed": self.plan.changed or bool(self.content_changes or self.compose_file),
            "steps": [*(str(step) for plan in plans for step in plan.steps), *self._writing("write {}")],
            "content_changes": self.content_changes,
            "reasons": [
                *(reason for plan in plans for reason in plan.reasons),
                *self.content_changes,
                *self._writing("{} is not as the container is"),
            ],
            "seconds_without_service": round(self.outage, 1),
            "container": describe(self.container),
            "previous": self.previous,
            "held": self.held,
            "diff": {
                "before": {**self.plan.before},
                "after": {**self.plan.after, **({"content": self.content_changes} if self.content_changes else {})},
            },
        }

    def _writing(self, words: str) -> list[str]:
        return [words.format(self.compose_file)] if self.compose_file else []


class Content(Protocol):
    """What is to be right inside a container, such as the databases of PostgreSQL."""

    def refuse(self, image: Json) -> None:
        """Raise PlanError where a container of this image must not work on what the host holds."""

    def predict_first(self) -> list[str]:
        """Say what would change in a container that is made on a host that holds nothing yet, otherwise nothing."""

    def predict(self, engine: Engine, container: str) -> list[str]:
        """Say what would change, changing nothing."""

    def apply(self, engine: Engine, container: str) -> list[str]:
        """Make it right; say what changed."""


def health_timing(params: Mapping[str, Any]) -> HealthTiming:
    """Read the `health` option."""
    return HealthTiming(**(params.get("health") or {}))


def describe(container: Json | None) -> Json:
    """Give what a user wants to know of a container."""
    if container is None:
        return {}
    state = container["State"]
    return {
        "id": container["Id"],
        "name": container["Name"].lstrip("/"),
        "image": container["Config"]["Image"],
        "running": bool(state.get("Running")),
        "health": (state.get("Health") or {}).get("Status", "none"),
    }


def read_meminfo() -> str:
    """Give what the kernel says of the host's memory."""
    return Path("/proc/meminfo").read_text("ascii")


def total_memory(meminfo: str) -> int:
    """Give the host's memory in bytes, rounded to 256 MiB.

    The kernel reports a little more or less after an update, and that must not replace a container.
    """
    memory = memory_bytes(meminfo)
    if not memory:
        raise PlanError("/proc/meminfo does not say how much memory this host has.")
    return max(round(memory / RAM_STEP), 1) * RAM_STEP


def memory_limit(params: Mapping[str, Any], memory: int) -> int:
    """Give the container's limit in bytes: a share of the host's memory, 0 for none."""
    share = params["memory_limit_share"]
    if not 0 <= share <= 1:
        raise PlanError(f"memory_limit_share must be between 0 (no limit) and 1, not {share}.")
    return int(memory * share)


def take_snapshot(engine: Engine, spec: ContainerSpec) -> Snapshot:
    """Look at everything that the plan depends on."""
    current = engine.container(spec.name)
    previous = engine.container(spec.previous_name)
    return Snapshot(
        image=engine.image(spec.image),
        network=engine.network(spec.network),
        current=current,
        current_image=engine.image(current["Image"]) if current else None,
        previous=previous,
        previous_image=engine.image(previous["Image"]) if previous else None,
        candidate=engine.container(spec.candidate_name),
        neighbours=engine.running_containers() if spec.exclusive_folders else (),
    )


def bring_about(module: Any) -> list[host_files.HostFileChange]:
    """Bring about what a started container needs on the host. Ends through fail_json when it cannot."""
    if module.params["state"] != State.STARTED:
        return []
    try:
        # Before anything is written: another run may have taken the host over.
        lock.take(None if module.check_mode else module.params.get("run"))
        return host_files.converge(module.params["host_files"], check_mode=module.check_mode)
    except (host_files.HostFileError, LockError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.strerror}: {error.filename}.")
    return []


def stamps_of(secrets: dict[str, str], renewed: Container[Path] = ()) -> dict[str, str]:
    """Give for each secret the time at which its file was written, which says nothing about its content.

    A file that does not exist yet, or that would be renewed (check mode), gets a stamp that no file has.
    """
    return {name: "missing" if Path(path) in renewed else stamp_of(Path(path)) for name, path in secrets.items()}


def stamp_of(path: Path) -> str:
    """Give the time at which a file was written, in nanoseconds."""
    try:
        return str(path.stat().st_mtime_ns)
    except OSError:
        return "missing"


def bound_to_data(module: Any, spec: ContainerSpec) -> ContainerSpec:
    """Let the container mount the marks of the folders that are remembered: without one, Docker does not start it."""
    remembered = [entry for entry in module.params["host_files"].get("folders", ()) if entry.get("remember_as")]
    marks = [_mark_of(entry["remember_as"], clean_path(entry["path"]), spec) for entry in remembered]
    return replace(spec, mounts=(*spec.mounts, *marks))


def _mark_of(variable: str, folder: str, spec: ContainerSpec) -> Mount:
    name = data_folders.mark_to_keep(data_folders.look(folder, variable)) or NOT_MARKED
    # Over itself where the container may write to it: a mount is what it cannot replace, by a link for instance.
    target = next((mount.target for mount in spec.mounts if mount.source == folder), MARKS_TARGET)
    return Mount(f"{folder}/{name}", f"{target}/{name}", read_only=True)


def keep_to_network(
    module: Any, spec: ContainerSpec, may_reach: Sequence[Json] = (), only_from: Json | None = None
) -> list[host_files.HostFileChange]:
    """Let the firewall keep a container to its network and the places named, and a port of it to the networks named.

    It warns where it cannot.

    That is done before the container starts, and before its network is there.
    """
    service = FirewallService()
    if module.params["state"] != State.STARTED or not service.is_possible():
        return []
    try:
        network = Engine.connect().network(spec.network)
    except EngineMissingError:
        # Docker is told of by what comes next.
        network = None
    if network is not None and not is_ours(network, "network"):
        # Somebody else's, which the plan refuses.
        return []
    senders = [spec.hardware_address, spec.candidate().hardware_address] if spec.hardware_address else []
    entry = {
        "bridge": bridge_of(spec.network, network),
        "hardware_addresses": senders,
        "may_reach": [{key: value for key, value in place.items() if value is not None} for place in may_reach],
        **({} if only_from is None else {"only_from": only_from}),
    }
    policy = firewall.with_container(service.policy(), spec.name, entry)
    changes = service.changes(policy)
    try:
        service.converge(policy, check_mode=module.check_mode)
    except (FirewallError, OSError) as error:
        module.warn(
            f"{spec.name} can reach the networks of this host, because its kernel has no rules for it. {error}."
        )
    return changes


def missing_sources(spec: ContainerSpec) -> list[str]:
    """Give the folders and files to mount that the host does not have."""
    return [m.source for m in spec.mounts if not Path(m.source).exists()]


def sparing_the_card(spec: ContainerSpec, release: int) -> ContainerSpec:
    """Have the health checked less often by an engine that writes on the card at each check, unless somebody says."""
    if release >= FIRST_ENGINE_THAT_WRITES_NO_HEALTH or spec.health.interval is not None:
        return spec
    return replace(spec, health=replace(spec.health, interval=RARE_CHECK_SECONDS))


def run(module: Any, spec: ContainerSpec, content: Content | None = None) -> Json:
    """Do what the module was called for; give its result. Ends through fail_json when it cannot."""
    desired = DesiredState(
        State(module.params["state"]),
        Recreate(module.params["recreate"]),
        module.params["restart"],
        keep_previous=module.params.get("keep_previous", False),
    )
    timeout = module.params["healthy_timeout"]
    by = None if module.check_mode else module.params.get("run")
    if not spec.image and desired.state is not State.ABSENT:
        module.fail_json(msg=NO_IMAGE)
    try:
        lock.take(by)
        engine = Engine.connect()
        spec = sparing_the_card(spec, engine.release())
        with nullcontext() if module.check_mode else container_lock(spec.name, timeout):
            outcome = converge(
                engine,
                spec,
                desired,
                content=content,
                check_mode=module.check_mode,
                hold=module.params.get("hold", False),
                healthy_timeout=timeout,
                before_start=startable.ensure,
                compose=ComposeProject.find(module.params["compose_folder"]),
            )
    except EngineMissingError as error:
        if not module.check_mode:
            module.fail_json(msg=str(error))
        outcome = bare_host(spec, desired, str(error), content)
    except (PlanError, LockError) as error:
        module.fail_json(msg=str(error))
    except (EngineError, ApplyError) as error:
        note_failure(module, spec, by, error)
        module.fail_json(msg=str(error))
    for warning in outcome.plan.warnings:
        module.warn(warning)
    note_success(module, spec, by, outcome)
    return outcome.result()


def note_success(module: Any, spec: ContainerSpec, by: Json | None, outcome: Outcome) -> None:
    """Put into the host's trail what was deployed or changed, if anything was."""
    done = outcome.result()
    if done["changed"]:
        made = any(step.action is Action.CREATE for step in outcome.plan.steps)
        result = trail.DEPLOYED if made else trail.CHANGED
        _note(module, result, spec, by, outcome.container, why="" if made else "; ".join(done["reasons"]))


def note_failure(module: Any, spec: ContainerSpec, by: Json | None, error: Exception) -> None:
    """Put into the host's trail what failed and what serves now, and let go: a run does no more where it failed."""
    try:
        left = Engine.connect().container(spec.name) if by else None
    except EngineError:
        left = None
    put_back = isinstance(error, ApplyError) and error.put_back
    _note(module, trail.PUT_BACK if put_back else trail.FAILED, spec, by, left, tried=spec.image, why=str(error))
    with suppress(LockError):
        lock.let_go(by)


def note_upgrade(module: Any, spec: ContainerSpec, said: str) -> None:
    """Put into the host's trail that what a container works on was brought to another version."""
    _note(module, trail.CHANGED, spec, module.params.get("run"), Engine.connect().container(spec.name), why=said)


def _note(module: Any, result: str, spec: ContainerSpec, by: Json | None, container: Json | None, **what: str) -> None:
    if problem := trail.note(result, by, service=spec.resource, container=spec.name, **image_in(container), **what):
        module.warn(problem)


def image_in(container: Json | None) -> dict[str, str]:
    """Give the image of a container and its digest, as far as there are any."""
    config: Json = (container or {}).get("Config") or {}
    digest = str((config.get("Labels") or {}).get(IMAGE_DIGEST) or "")
    return {"image": config.get("Image") or "", "digest": digest.removeprefix("v1:")}


def bare_host(spec: ContainerSpec, desired: DesiredState, why: str, content: Content | None = None) -> Outcome:
    """Predict what would happen on a host that has no Docker yet."""
    if desired.state is State.ABSENT:
        return Outcome(Plan())
    stand_in: Json = {"Id": NOT_DELIVERED}
    predicted = plan(spec, Snapshot(image=stand_in), desired)
    outcome = Outcome(Plan(predicted.steps, (why, *predicted.reasons), before={}, after=predicted.after))
    if content and desired.state is State.STARTED:
        outcome.content_changes = content.predict_first()
    return outcome


def converge(
    engine: Engine,
    spec: ContainerSpec,
    desired: DesiredState,
    *,
    healthy_timeout: float,
    check_mode: bool = False,
    hold: bool = False,
    content: Content | None = None,
    before_start: Callable[[Engine], str] | None = None,
    compose: ComposeProject | None = None,
    **timing: Any,
) -> Outcome:
    """Plan and, unless in check mode, apply.

    With `hold` nothing is done where a container that runs would be replaced, and none was kept.
    `before_start` is asked before the first step of a plan that starts something; what it says is a warning.
    """
    spec, warning = within_kernel(spec, keeps_memory_limits=not spec.memory_limit or engine.keeps_memory_limits())
    snapshot = take_snapshot(engine, spec)
    if content and snapshot.image and desired.state is not State.ABSENT:
        content.refuse(snapshot.image)
    if check_mode and snapshot.image is None:
        snapshot = _with_stand_in(snapshot)
    image = snapshot.image
    spec = _known_to(compose, spec, image, desired)
    planned = plan(spec, snapshot, desired)
    if warning:
        planned = replace(planned, warnings=(*planned.warnings, warning))
    outcome = Outcome(planned, snapshot.current)
    if check_mode:
        if content and desired.state is State.STARTED:
            outcome.content_changes = _predict(engine, spec, snapshot, content)
        outcome.compose_file = _predict_compose(compose, spec, snapshot, desired)
        return outcome
    if hold and planned.replaces and snapshot.current and is_running(snapshot.current) and not snapshot.previous:
        return Outcome(Plan(), snapshot.current, held=True)
    if desired.state is not State.ABSENT and (missing := missing_sources(spec)):
        raise PlanError(f"These do not exist on this host, so they cannot be mounted: {', '.join(missing)}.")
    if before_start and startable.is_asked(planned) and (mended := before_start(engine)):
        outcome.plan = replace(planned, warnings=(*planned.warnings, mended))
    labels = compose.labels(spec, image) if compose and image and _creates(planned, spec.name) else {}
    applier = Applier(engine, spec, healthy_timeout=healthy_timeout, labels=labels, **timing)
    outcome.further = tuple(applier.apply(planned)[1:])
    outcome.compose_file = _tell_compose(compose, engine, spec, image)
    if desired.state is State.STARTED:
        if not any(step.action is Action.WAIT for step in planned.steps):
            applier.wait_until_healthy(spec.name)
        if content:
            outcome.content_changes = content.apply(engine, spec.name)
    outcome.container = engine.container(spec.name)
    if desired.keep_previous and engine.container(spec.previous_name):
        outcome.previous = spec.previous_name
    outcome.outage = applier.outage.seconds
    return outcome


def body_without_compose(engine: Engine, spec: ContainerSpec, container: str) -> Json:
    """Give the request that makes a container of the image of another one, which docker-compose does not know."""
    spec, _ = within_kernel(spec, keeps_memory_limits=not spec.memory_limit or engine.keeps_memory_limits())
    found = engine.container(container)
    image = engine.image(found["Image"]) if found else None
    if not found or not image:
        return {}
    # By its name, as long as that still means it.
    named = engine.image(found["Config"]["Image"])
    reference = found["Config"]["Image"] if named and named["Id"] == image["Id"] else image["Id"]
    return container_body(replace(spec, image=reference), image)


def body_of(engine: Engine, spec: ContainerSpec, compose_folder: str) -> Json:
    """Give the request that makes a container in which the next run finds nothing to change."""
    spec, _ = within_kernel(spec, keeps_memory_limits=not spec.memory_limit or engine.keeps_memory_limits())
    compose, image = ComposeProject.find(compose_folder), engine.image(spec.image) or {}
    spec = _known_to(compose, spec, image, DesiredState(State.STARTED))
    body = container_body(spec, image)
    body["Labels"] |= compose.labels(spec, image) if compose else {}
    return body


def _creates(planned: Plan | None, name: str) -> bool:
    """Tell whether a plan, or what follows where it does not help, makes a container of this name."""
    if planned is None:
        return False
    creates = any(step.action is Action.CREATE and step.name == name for step in planned.steps)
    return creates or _creates(planned.otherwise, name)


def _known_to(
    compose: ComposeProject | None, spec: ContainerSpec, image: Json | None, desired: DesiredState
) -> ContainerSpec:
    """Give the specification as it is known to docker-compose, where there is one."""
    return compose.known(spec, image) if compose and image and desired.state is not State.ABSENT else spec


def _predict_compose(
    compose: ComposeProject | None, spec: ContainerSpec, snapshot: Snapshot, desired: DesiredState
) -> str:
    """Give the path of the file for docker-compose where it would be written."""
    image, previous = snapshot.image, spec.previous_name if snapshot.previous else ""
    if compose is None or image is None or not spec.compose_digest or desired.recreate is Recreate.NEVER:
        return ""
    return compose.place.file if compose.differs(spec, image, previous) else ""


def _tell_compose(compose: ComposeProject | None, engine: Engine, spec: ContainerSpec, image: Json | None) -> str:
    """Write the file for docker-compose where it does not tell what is there; give its path if that was needed."""
    if compose is None:
        return ""
    container = engine.container(spec.name)
    if container is None:
        compose.file.forget([spec.resource])
        return ""
    own = container["Config"].get("Labels") or {}
    previous = spec.previous_name if engine.container(spec.previous_name) else ""
    # One that was not replaced although it should have been, with recreate never, keeps what was told of it.
    if image is None or own.get(COMPOSE_DIGEST) != spec.compose_digest or not compose.differs(spec, image, previous):
        return ""
    compose.write(spec, image, previous)
    return compose.place.file


def _predict(engine: Engine, spec: ContainerSpec, snapshot: Snapshot, content: Content) -> list[str]:
    """Say what would change inside: as the running server tells, or as on a host that holds nothing yet."""
    if snapshot.current and is_healthy(snapshot.current):
        return content.predict(engine, spec.name)
    return content.predict_first()


def _with_stand_in(snapshot: Snapshot) -> Snapshot:
    """Plan as if the image had been delivered, which an earlier task of the same run would have done."""
    config = {**((snapshot.current_image or {}).get("Config") or {}), "Labels": {}}
    image = {"Id": NOT_DELIVERED, "Config": config}
    return replace(snapshot, image=image)
