"""Carries out a plan, one step after the other, and rolls back when one fails. The thin edge."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from ansible.module_utils.poppyfield.containers import health
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError
from ansible.module_utils.poppyfield.containers.plan import Action, Plan, Step, is_paused, is_running
from ansible.module_utils.poppyfield.containers.spec import (
    ALWAYS,
    RESTART_POLICY,
    ContainerSpec,
    Json,
    container_body,
    network_body,
)
from ansible.module_utils.poppyfield.host import own_folder
from ansible.module_utils.poppyfield.host.own_folder import NotOwnFolderError

RESTORE_SECONDS = 300
ENGINE_SECONDS = 120
"""How long a Docker Engine that is being restarted may take until the old container is put back."""
LOCK_FOLDER = Path("/run/poppyfield")
"""Root's own. In /run/lock, where everybody may write, any user of the host could hold up every run."""


class ApplyError(Exception):
    """A step failed, in words for the user, with what was done about it."""

    def __init__(self, said: str, *, put_back: bool = False) -> None:
        super().__init__(said)
        self.put_back = put_back
        """Whether the old container serves in place of the one that failed."""


class NotHealthyError(ApplyError):
    """A container was waited for in vain."""


class InterruptedRunError(BaseException):
    """Somebody ended the run from outside. Not an Exception, so that nothing takes it for a failed step."""


@dataclass(frozen=True)
class Restored:
    """What became of the old container, and whether it serves."""

    said: str
    serves: bool = False


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
        labels: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.engine = engine
        self.spec = spec
        self.healthy_timeout = healthy_timeout
        self.labels = labels or {}
        """What a container that stays gets besides its own."""
        self.clock = clock
        self.sleep = sleep
        self.outage = Outage(clock)
        self.restarts = 0
        """How often Docker had restarted the container that is waited for, before this run touched it."""

    def apply(self, plan: Plan) -> list[Plan]:
        """Carry out the plan, and what it has for a container that is still not healthy; give what was carried out.

        When a step fails the old container serves again before this raises.
        """
        done = [plan]
        with Signals() as signals:
            try:
                while not self._is_healthy_after(done[-1]) and (otherwise := done[-1].otherwise):
                    done.append(otherwise)
            except BaseException as error:
                # Nothing ends the rollback: whoever asked the run to end gets what they want when it is done.
                signals.ignore()
                if done[-1].rollback_to:
                    restored = self._restore(done[-1])
                else:
                    restored = Restored(
                        f"There is no other container to roll back to; {self.spec.name} is left to look at."
                    )
                why = _why(error)
                parts = (_tried(done), why, health.remedy(why), restored.said)
                raise ApplyError("\n".join(filter(None, parts)), put_back=restored.serves) from error
            finally:
                self.outage.end()
        return done

    def _is_healthy_after(self, plan: Plan) -> bool:
        """Carry out the steps; False where the container is not healthy then, and the plan says what is next."""
        try:
            for step in plan.steps:
                self._do(step)
        except NotHealthyError:
            if plan.otherwise is None:
                raise
            return False
        return True

    def roll_back(self, container: str) -> Restored:
        """Put a container that was kept in the place of the one that followed it; say what became of it."""
        with Signals() as signals:
            signals.ignore()
            return self._restore(Plan(rollback_to=container, rollback_runs=True))

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
            case Action.UNPAUSE:
                self.restarts = int((self.engine.container(target) or {}).get("RestartCount") or 0)
                self.engine.unpause(target)
            case Action.RENAME:
                self.engine.rename(target, step.argument or step.name)
            case Action.CREATE:
                self._create(self.spec if step.name == self.spec.name else self.spec.candidate())
            case Action.START:
                self.restarts = 0
                self.engine.start(target)
            case Action.WAIT:
                self._wait(target, name=step.name, restarts_allowed=self.restarts)
                self.outage.end()
            case Action.REMOVE:
                self.engine.remove_container(target)

    def _create(self, spec: ContainerSpec) -> None:
        image = self.engine.image(spec.image)
        if image is None:
            raise EngineError(f"The image {spec.image} is no longer on this host.")
        body = container_body(spec, image)
        if spec is self.spec:
            body["Labels"] |= self.labels
        self.engine.create_container(spec.name, body)

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
            raise NotHealthyError(f"The container {name} did not become healthy: {found.why.rstrip('.')}.{said}")

    def _restore(self, plan: Plan) -> Restored:
        """Make the old container serve under the right name again, from whichever step was reached."""
        try:
            old = self._old_container(plan.rollback_to)
            if old is None:
                return Restored(f"The old container is gone; look at {self.spec.name} with docker ps --all.")
            for name in (self.spec.candidate_name, self.spec.name):
                made = self.engine.container(name)
                if made is not None and made["Id"] != plan.rollback_to:
                    self._remove_failed(made)
            touched = self._put_back(plan, old)
            if not plan.rollback_runs:
                return Restored("The old container was put back; it was not running before either.")
            done = "was put back" if touched else "was not touched"
            if plan.rollback_is_ill:
                return Restored(f"The old container {done}; it was not healthy before either.")
            serves = self._serves(old)
        except Exception as error:
            # Whatever it is, it must not hide why the run failed.
            said = f"The old container could not be put back: {_why(error)} Run the same play again to mend this."
            return Restored(said)
        if serves.verdict is health.Verdict.HEALTHY:
            return Restored(f"The old container {done} and serves{' again' if touched else ''}.", serves=True)
        return Restored(f"The old container {done}, but it is not healthy either: {serves.why}.")

    def _old_container(self, container: str) -> Json | None:
        return health.once_engine_answers(
            lambda: self.engine.container(container), ENGINE_SECONDS, self.clock, self.sleep
        )

    def _put_back(self, plan: Plan, old: Json) -> bool:
        """Give the old container its name, its policy and its process; tell whether anything had to be done."""
        touched = False
        policy = self._policy_before(plan, old)
        if old["HostConfig"]["RestartPolicy"]["Name"] != policy:
            self.engine.set_restart_policy(plan.rollback_to, policy)
            touched = True
        if old["Name"].lstrip("/") != self.spec.name:
            self.engine.rename(plan.rollback_to, self.spec.name)
            touched = True
        if plan.rollback_runs and not is_running(old):
            self.engine.start(plan.rollback_to)
            touched = True
        if plan.rollback_runs and is_paused(old):
            self.engine.unpause(plan.rollback_to)
            touched = True
        return touched

    def _serves(self, old: Json) -> health.Health:
        """Wait for a container that was just started, by us or by Docker; an unhealthy one is looked at once."""
        unhealthy = (old["State"].get("Health") or {}).get("Status") == "unhealthy"
        return health.wait(
            lambda: self.engine.container(old["Id"]),
            0 if is_running(old) and unhealthy and not is_paused(old) else RESTORE_SECONDS,
            clock=self.clock,
            sleep=self.sleep,
            restarts_allowed=int(old.get("RestartCount") or 0),
        )

    def _remove_failed(self, container: Json) -> None:
        # It may still write to the data folder, or be about to start again: it ends cleanly before it goes.
        self._stop(container["Id"])
        self.engine.remove_container(container["Id"])

    def _policy_before(self, plan: Plan, old: Json) -> str:
        if plan.rollback_runs:
            return ALWAYS
        return str(plan.before.get(RESTART_POLICY) or old["HostConfig"]["RestartPolicy"]["Name"] or ALWAYS)


def _why(error: BaseException) -> str:
    """Say what ended a run, or its rollback."""
    if isinstance(error, (EngineError, ApplyError)):
        return str(error).rstrip("\n")
    if isinstance(error, (InterruptedRunError, KeyboardInterrupt)):
        return "The run was interrupted."
    said = f"{type(error).__name__}: {error}".rstrip(": \n.")
    return f"An error that Poppyfield did not expect ended the run: {said}."


def _tried(done: list[Plan]) -> str:
    """Say what was tried in turn with a container that would not become healthy; nothing where it was one thing."""
    return "\n".join(plan.reasons[-1] for plan in done) if done[1:] else ""


LOCK_SECONDS = 300
"""How long what makes no container waits for another run that changes one."""


@contextmanager
def container_lock(
    name: str,
    seconds: float = LOCK_SECONDS,
    *,
    folder: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold this host's lock on a container; wait so many seconds for another run to end, then raise ApplyError.

    A run whose SSH connection was cut goes on working, and its user starts the next one at once.
    """
    deadline = clock() + seconds
    with _lock_file(folder or LOCK_FOLDER, name) as lock:
        while not _lock(lock):
            if clock() >= deadline:
                lock.seek(0)
                raise ApplyError(
                    f"Another run has been working on the container {name} for {seconds:.0f} seconds"
                    f"{' (process ' + held + ')' if (held := lock.read()) else ''}. Nothing was changed. "
                    f"Try again when it has ended, or restart this host."
                )
            sleep(health.POLL_SECONDS)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _lock_file(folder: Path, name: str) -> IO[str]:
    """Open a lock's file, in a folder that nobody else may even look into: who can read a file can lock it."""
    try:
        own_folder.ensure(folder)
        return (folder / f"{name}.lock").open("a+", encoding="ascii", errors="replace")
    except NotOwnFolderError as error:
        raise ApplyError(str(error)) from error
    except OSError as error:
        raise ApplyError(
            f"The lock of the container {name} cannot be made in {folder}: {error.strerror}. Run this as root (become)."
        ) from error


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Signals:
    """Turns a lost connection and a polite kill into an exception, so that the run is rolled back."""

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
