"""Starting, stopping and restarting what is there: a container as it is -> steps, and what is to be said of it. Pure.

The data stay, and so does the container. One that was stopped on purpose does not come back when the Pi restarts, one
that was started does: it has the restart policy `always` from before it starts.
"""

from __future__ import annotations

from enum import StrEnum

from ansible.module_utils.poppyfield.containers.health import last_words
from ansible.module_utils.poppyfield.containers.plan import Action, PlanError, Step, is_healthy, is_paused, is_running
from ansible.module_utils.poppyfield.containers.spec import ALWAYS, NEVER, Json, name_of


class AskedState(StrEnum):
    """What is asked of a container."""

    STARTED = "started"
    STOPPED = "stopped"
    RESTARTED = "restarted"


STAYS_STOPPED = "What is stopped stays so, also when the Pi restarts, until it is started or site.yml runs."


def steps(container: Json, asked: AskedState) -> list[Step]:
    """Give the steps that lead there, none where nothing is to be done."""
    runs = is_running(container)
    if asked is AskedState.STOPPED:
        return [*_when(runs, Action.STOP, container), *_policy(container, NEVER)]
    if runs and asked is AskedState.STARTED:
        policy = _policy(container, ALWAYS)
        paused = is_paused(container)
        return [*policy, *_when(paused, Action.UNPAUSE, container), *_when(paused, Action.WAIT, container)]
    return [
        *_when(runs, Action.STOP, container),
        *_policy(container, ALWAYS),
        *_when(True, Action.START, container),
        *_when(True, Action.WAIT, container),
    ]


def refuse_ill(container: Json, asked: AskedState) -> None:
    """Raise PlanError for a container that runs already and is ill: that it starts once more is what may help."""
    is_starting = (container["State"].get("Health") or {}).get("Status") == "starting"
    runs_on = asked is AskedState.STARTED and is_running(container) and not is_paused(container)
    is_restarting = bool(container["State"].get("Restarting"))
    if runs_on and not is_healthy(container) and (is_restarting or not is_starting):
        why = "Docker restarts it again and again" if is_restarting else last_words(container["State"])
        raise PlanError(
            f"{name_of(container)} runs, but is not healthy{f' ({why})' if why else ''}: -e state=restarted may help, "
            f"or ansible-playbook site.yml."
        )


def said(name: str, asked: AskedState, found: list[Step], *, check_mode: bool) -> str:
    """Say what became of a container by these steps, or would."""
    if not found:
        return f"{name} is stopped already" if asked is AskedState.STOPPED else f"{name} runs already, healthy"
    if check_mode:
        return f"{name} would be {asked}"
    return f"{name} {asked}" if asked is AskedState.STOPPED else f"{name} {asked}, healthy"


def in_words(done: list[str], asked: AskedState) -> str:
    """Say in one line what became of all containers."""
    line = f"{'; '.join(done)}."
    return f"{line} {STAYS_STOPPED}" if asked is AskedState.STOPPED else line


def _when(wanted: bool, action: Action, container: Json, argument: str = "") -> list[Step]:
    return [Step(action, name_of(container), container["Id"], argument)] if wanted else []


def _policy(container: Json, policy: str) -> list[Step]:
    differs = container["HostConfig"]["RestartPolicy"]["Name"] != policy
    return _when(differs, Action.RESTART_POLICY, container, policy)
