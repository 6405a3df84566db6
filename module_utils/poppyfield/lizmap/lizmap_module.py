"""What lizmap_user, lizmap_group and lizmap_repository share: Lizmap in its container, plan, check mode, result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from ansible.module_utils.poppyfield.containers.apply import ApplyError, container_lock
from ansible.module_utils.poppyfield.containers.engine import Engine, EngineError, EngineMissingError, last_lines
from ansible.module_utils.poppyfield.containers.plan import is_running
from ansible.module_utils.poppyfield.containers.services import LIZMAP
from ansible.module_utils.poppyfield.containers.spec import Json
from ansible.module_utils.poppyfield.lizmap.accounts import AccountsPlan, AccountsState, Edit, LizmapError

SCRIPT = ("php", "/usr/local/lib/poppyfield/web-client/accounts.php")
FLUSH = ("sync", "--file-system", "/srv/lizmap")
"""Files of settings get their names by renaming, which is on the card some seconds later unless it is flushed."""
WEB_CLIENT_LABEL = "fr.poppyfield.web-client"
WAIT_SECONDS = 600
"""How long another run, which may be replacing the container, is waited for."""

CONTAINER_OPTION: Json = {"type": "str", "default": LIZMAP.container}

Planner = Callable[[AccountsState], AccountsPlan]


def one_or_many(one: str, many: str) -> Json:
    """Give the rules of a module that takes one resource by its name `one`, or a list of them as `many`."""
    return {
        "mutually_exclusive": [(one, many)],
        "required_one_of": [(one, many)],
        # Naming one resource says nothing of all the others.
        "required_if": [("purge", True, (many,))],
    }


def entries(params: Json, many: str) -> list[Json]:
    """Give the resources that a module was called for."""
    found: list[Json] = [params] if params[many] is None else params[many]
    return found


class NoLizmapError(EngineError):
    """There is no running container yet."""


class Lizmap:
    """Lizmap in its container, through the one script there that knows its commands, tables and files."""

    def __init__(self, engine: Engine, container: str) -> None:
        self._engine = engine
        self._container = container
        found = engine.container(container)
        if found is None or not is_running(found):
            raise NoLizmapError(f"The container {container} does not run.")
        if (found["Config"].get("Labels") or {}).get(WEB_CLIENT_LABEL) == "none":
            raise EngineError(
                f"Users, groups and repositories need Lizmap, but the container {container} serves the small map page "
                f"(lizmap_web_client is none)."
            )

    def state(self, passwords: Mapping[str, str]) -> AccountsState:
        """Read what there is; of the passwords, by login, whether they are right."""
        return AccountsState.of(self._ask((), passwords)["state"])

    def apply(self, edits: Sequence[Edit], passwords: Mapping[str, str]) -> AccountsState:
        """Make the edits, so that they are there after a loss of power, too; give what there is then."""
        notes = [edit for edit in edits if edit.body.get("made")]
        if notes:
            # On the card before anything is made, of which nobody would know otherwise that it is ours.
            self._make(notes, passwords)
        return self._make([edit for edit in edits if edit not in notes], passwords)

    def _make(self, edits: Sequence[Edit], passwords: Mapping[str, str]) -> AccountsState:
        answer = self._ask([edit.body for edit in edits], passwords)
        self._flush()
        if failed := answer["failed"]:
            about = edits[failed["number"]].about
            said = last_lines(failed["message"], 3)
            raise EngineError(
                f"Lizmap refused a change of the {about}: {said} {failed['number']} of {len(edits)} changes were made "
                f"before; the next run makes those that are left."
            )
        return AccountsState.of(answer["state"])

    def _flush(self) -> None:
        result = self._engine.execute(self._container, LIZMAP.user, FLUSH, ())
        if result.code:
            said = last_lines(result.errors or result.output, 2)
            raise EngineError(
                f"What Lizmap in the container {self._container} has written could not be flushed: {said}"
            )

    def _ask(self, edits: Sequence[Json], passwords: Mapping[str, str]) -> Json:
        # As an object also when it is empty, which PHP tells from a list.
        request = json.dumps({"passwords": dict(passwords), "edits": list(edits)})
        result = self._engine.execute(self._container, LIZMAP.user, SCRIPT, iter([request.encode()]))
        try:
            answer: Json = json.loads(result.output)
        except ValueError as error:
            said = last_lines(result.errors or result.output, 5)
            raise EngineError(f"Lizmap in the container {self._container} does not answer: {said}") from error
        return answer


def run(module: Any, planner: Planner, passwords: Mapping[str, str] | None = None) -> Json:
    """Do what the module was called for; give its result. Ends through fail_json when it cannot."""
    container = module.params["container"]
    try:
        with nullcontext() if module.check_mode else container_lock(container, WAIT_SECONDS):
            plan = converge(container, planner, passwords or {}, check_mode=module.check_mode)
    except (EngineError, LizmapError, ApplyError) as error:
        module.fail_json(msg=str(error))
    for warning in plan.warnings:
        module.warn(warning)
    return {
        "changed": plan.changed,
        "reasons": plan.reasons,
        "removed": plan.removed,
        "diff": {"before": plan.before, "after": plan.after},
    }


def converge(container: str, planner: Planner, passwords: Mapping[str, str], *, check_mode: bool) -> AccountsPlan:
    """Plan and, unless in check mode, apply; then look whether it held."""
    try:
        lizmap = Lizmap(Engine.connect(), container)
    except (EngineMissingError, NoLizmapError) as error:
        if not check_mode:
            raise
        plan = planner(AccountsState.of_new_lizmap())
        plan.reasons.insert(0, str(error))
        return plan
    plan = planner(lizmap.state(passwords))
    if plan.changed and not check_mode:
        left = planner(lizmap.apply(plan.edits, passwords))
        if left.changed:
            raise EngineError(f"Lizmap accepted these changes, but they did not hold: {'; '.join(left.reasons)}.")
    return plan
