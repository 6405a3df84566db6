"""Carries out a plan, one step after the other, and puts the old container back when one fails. The thin edge."""

from __future__ import annotations

import fcntl
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from . import health
from .engine import Engine, EngineError, EngineGoneError
from .plan import Action, Plan, Step, is_running
from .spec import ALWAYS, RESTART_POLICY, ContainerSpec, Json, container_body, network_body

RESTORE_SECONDS = 300
ENGINE_SECONDS = 120
"""How long a Docker Engine that is being restarted may take until the old container is put back."""
LOCK_FOLDER = Path("/run/lock")


class ApplyError(Exception):
    """A step failed, in words for the user, with what was done about it."""


class InterruptedRunError(BaseException):
    """Somebody ended the run from outside. Not an Exception, so that nothing takes it for a failed step."""


@dataclass
class Outage:
    """Measures the seconds in which nobody was served."""

    clock: Callable[[], float]
    since: float | None = None
    seconds: float = 0.0

    def begin(self) -> None:
        """Count from here, unless it counts already."""
        if self.since is None:
            self.since = self.clock()

    def end(self) -> None:
        """Count up to here."""
        if self.since is not None:
            self.seconds += self.clock() - self.since
            self.since = None


class Applier:
    """Carries out the steps of one plan for one container."""

    def __init__(
        self,
        engine: Engine,
        spec: ContainerSpec,
        *,
        healthy_timeout: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.engine = engine
        self.spec = spec
        self.healthy_timeout = healthy_timeout
        self.clock = clock
        self.sleep = sleep
        self.outage = Outage(clock)

    def apply(self, plan: Plan) -> None:
        """Carry out the plan. When a step fails the old container serves again before this raises."""
        with Signals() as signals:
            try:
                for step in plan.steps:
                    self._do(step)
            except BaseException as error:
                # Nothing ends the way back: whoever asked the run to end gets what they want when it is done.
                signals.ignore()
                interrupted = not isinstance(error, (EngineError, ApplyError))
                if plan.way_back:
                    said = self._restore(plan)
                else:
                    said = f"There is no other container to go back to; {self.spec.name} is left to look at."
                why = "The run was interrupted." if interrupted else str(error).rstrip("\n")
                raise ApplyError("\n".join(filter(None, (why, health.remedy(why), said)))) from error
            finally:
                self.outage.end()

    def go_back(self, container: str) -> str:
        """Put a container that was kept in the place of the one that followed it; say what became of it."""
        with Signals() as signals:
            signals.ignore()
            return self._restore(Plan(way_back=container, way_back_runs=True))

    def wait_until_healthy(self, container: str) -> None:
        """Wait for a container that is not to be changed."""
        seen = self.engine.container(container)
        self._wait(container, name=container, restarts_allowed=int((seen or {}).get("RestartCount") or 0))

    def _do(self, step: Step) -> None:
        target = step.container or step.name
        match step.action:
            case Action.CREATE_NETWORK:
                self.engine.create_network(network_body(step.name))
            case Action.RESTART_POLICY:
                self.engine.set_restart_policy(target, step.argument)
            case Action.STOP:
                if step.name != self.spec.candidate_name:
                    self.outage.begin()
                self._stop(target)
            case Action.RENAME:
                self.engine.rename(target, step.argument or step.name)
            case Action.CREATE:
                self._create(self.spec if step.name == self.spec.name else self.spec.candidate())
            case Action.START:
                self.engine.start(target)
            case Action.WAIT:
                self._wait(target, name=step.name)
                self.outage.end()
            case Action.REMOVE:
                self.engine.remove_container(target)

    def _create(self, spec: ContainerSpec) -> None:
        image = self.engine.image(spec.image)
        if image is None:
            raise EngineError(f"The image {spec.image} is no longer on this host.")
        self.engine.create_container(spec.name, container_body(spec, image))

    def _stop(self, container: str) -> None:
        found = self.engine.container(container)
        own = ((found or {}).get("Config") or {}).get("StopTimeout")
        self.engine.stop(container, int(own or self.spec.stop_timeout))

    def _wait(self, container: str, *, name: str, restarts_allowed: int = 0) -> None:
        found = health.wait(
            lambda: self.engine.container(container),
            self.healthy_timeout,
            clock=self.clock,
            sleep=self.sleep,
            restarts_allowed=restarts_allowed,
        )
        if found.verdict is not health.Verdict.HEALTHY:
            lines = self.engine.last_log_lines(container)
            said = f" Its last log lines:\n{lines}" if lines else " It wrote no log."
            raise ApplyError(f"The container {name} did not become healthy: {found.why.rstrip('.')}.{said}")

    def _restore(self, plan: Plan) -> str:
        """Make the old container serve under the right name again, from whichever step was reached."""
        try:
            old = self._old_container(plan.way_back)
            if old is None:
                return f"The old container is gone; look at {self.spec.name} with docker ps --all."
            for name in (self.spec.candidate_name, self.spec.name):
                made = self.engine.container(name)
                if made is not None and made["Id"] != plan.way_back:
                    self._remove_failed(made)
            touched = self._put_back(plan, old)
            if not plan.way_back_runs:
                return "The old container was put back; it was not running before either."
            serves = self._serves(old)
        except EngineError as error:
            return f"The old container could not be put back: {error} Run the same play again to mend this."
        done = "was put back" if touched else "was not touched"
        if serves.verdict is health.Verdict.HEALTHY:
            return f"The old container {done} and serves{' again' if touched else ''}."
        return f"The old container {done}, but it is not healthy either: {serves.why}."

    def _old_container(self, container: str) -> Json | None:
        deadline = self.clock() + ENGINE_SECONDS
        while True:
            try:
                return self.engine.container(container)
            except EngineGoneError:
                if self.clock() >= deadline:
                    raise
                self.sleep(health.POLL_SECONDS)

    def _put_back(self, plan: Plan, old: Json) -> bool:
        """Give the old container its name, its policy and its process; tell whether anything had to be done."""
        touched = False
        policy = self._policy_before(plan, old)
        if old["HostConfig"]["RestartPolicy"]["Name"] != policy:
            self.engine.set_restart_policy(plan.way_back, policy)
            touched = True
        if old["Name"].lstrip("/") != self.spec.name:
            self.engine.rename(plan.way_back, self.spec.name)
            touched = True
        if plan.way_back_runs and not is_running(old):
            self.engine.start(plan.way_back)
            touched = True
        return touched

    def _serves(self, old: Json) -> health.Health:
        """Wait for a container that was just started, by us or by Docker; an unhealthy one is looked at once."""
        unhealthy = (old["State"].get("Health") or {}).get("Status") == "unhealthy"
        return health.wait(
            lambda: self.engine.container(old["Id"]),
            0 if is_running(old) and unhealthy else RESTORE_SECONDS,
            clock=self.clock,
            sleep=self.sleep,
            restarts_allowed=int(old.get("RestartCount") or 0),
        )

    def _remove_failed(self, container: Json) -> None:
        # It may still write to the data folder, or be about to start again: it ends cleanly before it goes.
        self._stop(container["Id"])
        self.engine.remove_container(container["Id"])

    def _policy_before(self, plan: Plan, old: Json) -> str:
        if plan.way_back_runs:
            return ALWAYS
        return str(plan.before.get(RESTART_POLICY) or old["HostConfig"]["RestartPolicy"]["Name"] or ALWAYS)


@contextmanager
def alone(
    name: str,
    seconds: float,
    *,
    folder: Path = LOCK_FOLDER,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold this host's lock on a container; wait so many seconds for another run to end, then raise ApplyError.

    A run whose SSH connection was cut goes on working, and its user starts the next one at once.
    """
    deadline = clock() + seconds
    with (folder / f"poppyfield-{name}.lock").open("w") as lock:
        while not _lock(lock):
            if clock() >= deadline:
                raise ApplyError(
                    f"Another run has been working on the container {name} for {seconds:.0f} seconds. Nothing was "
                    f"changed. Try again when it has ended, or restart this host."
                )
            sleep(health.POLL_SECONDS)
        yield


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Signals:
    """Turns a lost connection and a polite kill into an exception, so that the way back is taken."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __enter__(self) -> Signals:
        """Begin."""
        self._before = {number: signal.getsignal(number) for number in self.NUMBERS}
        self._handle(self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        """Handle signals as before."""
        for number, handler in self._before.items():
            self._set(number, handler)

    def ignore(self) -> None:
        """Take no notice of them from here on."""
        self._handle(signal.SIG_IGN)

    def _handle(self, handler: Any) -> None:
        for number in self.NUMBERS:
            self._set(number, handler)

    @staticmethod
    def _set(number: signal.Signals, handler: Any) -> None:
        # Outside the main thread Python refuses, and nobody sends signals to a thread.
        with suppress(ValueError):
            signal.signal(number, handler)

    @staticmethod
    def _interrupt(number: int, _frame: FrameType | None) -> None:
        raise InterruptedRunError(f"signal {number}")
