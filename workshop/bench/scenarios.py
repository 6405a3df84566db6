"""What happens to a container, and what is looked at afterwards. Pure data, and judging it.

A scenario begins with a container that was just made as asked, and is healthy. Then somebody changes it by hand, or the
user asks for something else, and the module runs again: first in check mode, then for real.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from workshop.bench.contenders import DATABASE, MAP, Contender, Json, Request, image

Change = Callable[[Json], None]
BY_HAND_VARIABLE = "ADDED_BY_HAND"
BY_HAND_NETWORK = "pf-bench-by-hand"
BY_HAND_LABEL = "made-by"


@dataclass(frozen=True)
class Seen:
    """What was seen after the last run: what `docker inspect` says, empty for no container, and what it answered."""

    container: Json
    answer: str


@dataclass(frozen=True)
class Scenario:
    """One row of the table. `good` says from what was seen whether it went as a user wants it, besides serving."""

    key: str
    title: str
    subject: str
    good: Callable[[Seen], bool] = lambda _: True
    ours: Change = lambda _: None
    theirs: Change = lambda _: None
    by_hand: str = ""
    names: str = ""
    """What the result must name, so that the user sees why something changed."""
    must_say: str = ""
    """What the run must report, where only one word is right whatever is seen."""

    def changed_request(self, contender: Contender, request: Request) -> Request:
        """Give what is asked for in the second run."""
        arguments = copy.deepcopy(request.arguments)
        (self.ours if contender.is_ours else self.theirs)(arguments)
        return Request(request.module, arguments)

    def went_well(self, seen: Seen) -> bool:
        """Tell whether the container of the image at first serves in the end, as it should be."""
        return seen.answer == "a" and self.good(seen)


def _set(name: str, value: Any) -> Change:
    return lambda arguments: arguments.update({name: value})


def _drop(name: str, key: str = "") -> Change:
    def change(arguments: Json) -> None:
        if key:
            del arguments[name][key]
        else:
            del arguments[name]

    return change


def _drop_mount(target: str) -> Change:
    def change(arguments: Json) -> None:
        arguments["mounts"] = [mount for mount in arguments["mounts"] if mount["target"] != target]

    return change


def _in_command(old: str, new: str) -> Change:
    return lambda arguments: arguments.update(command=[word.replace(old, new) for word in arguments["command"]])


def _new_image(key: str, title: str, behaviour: str, subject: str = DATABASE) -> Scenario:
    change = _set("image", image(behaviour))
    return Scenario(key, title, subject, ours=change, theirs=change)


def _config(seen: Seen) -> Json:
    return dict(seen.container.get("Config") or {})


def _variables(seen: Seen) -> set[str]:
    return {line.partition("=")[0] for line in _config(seen).get("Env") or []}


def _labels(seen: Seen) -> list[str]:
    return list(_config(seen).get("Labels") or {})


def _without_labels(seen: Seen) -> bool:
    return not any(name.endswith(("owner", "password", "spare")) for name in _labels(seen))


def _targets(seen: Seen) -> set[str]:
    return {mount["Destination"] for mount in seen.container.get("Mounts") or []}


def _networks(seen: Seen) -> list[str]:
    return list((seen.container.get("NetworkSettings") or {}).get("Networks") or {})


def _restart_policy(seen: Seen) -> str:
    return str(((seen.container.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name"))


SECRET = "/run/secrets/spare"  # noqa: S105 - where it is mounted
NOTHING_CHANGED: Sequence[Scenario] = (
    Scenario("no_change", "Nothing changed: says so, and serves on", DATABASE, must_say="unchanged"),
)
SETTING = Scenario(
    "setting",
    "Notices a changed setting on the command line",
    DATABASE,
    lambda seen: "log_min_duration_statement=500ms" in (_config(seen).get("Cmd") or []),
    ours=_set("settings", {"log_min_duration_statement": "500ms"}),
    theirs=_in_command("250ms", "500ms"),
    names="log_min_duration_statement=500ms",
)
USER_CHANGED: Sequence[Scenario] = (
    SETTING,
    Scenario(
        "variable",
        "Notices a removed environment variable",
        MAP,
        lambda seen: "SERVER_NAME" not in _variables(seen),
        ours=_drop("server_name"),
        theirs=_drop("env", "SERVER_NAME"),
        names="SERVER_NAME",
    ),
    Scenario(
        "label",
        "Notices a removed label",
        MAP,
        lambda seen: not any(name.endswith("spare") for name in _labels(seen)),
        ours=_drop("secrets", "spare"),
        theirs=_drop("labels", "spare"),
        names="spare",
    ),
    Scenario(
        "mount",
        "Notices a removed mount",
        MAP,
        lambda seen: SECRET not in _targets(seen),
        ours=_drop("secrets", "spare"),
        theirs=_drop_mount(SECRET),
        names=SECRET,
    ),
    Scenario(
        "empty_labels",
        "Notices that all labels were removed, the option left empty",
        MAP,
        _without_labels,
        ours=_set("secrets", {}),
        theirs=_set("labels", {}),
        names="spare",
    ),
    Scenario(
        "no_labels",
        "Notices that all labels were removed, and the option with them",
        MAP,
        _without_labels,
        ours=_drop("secrets"),
        theirs=_drop("labels"),
        names="spare",
    ),
)
CHANGED_BY_HAND: Sequence[Scenario] = (
    Scenario("stopped", "Notices that it was stopped by hand", DATABASE, by_hand="stop"),
    Scenario(
        "restart_policy",
        "Notices a restart policy changed by hand",
        DATABASE,
        lambda seen: _restart_policy(seen) == "always",
        by_hand="restart policy",
        names="always",
    ),
    Scenario(
        "variable_by_hand",
        "Notices a variable added by hand, with a tool that makes the container again",
        MAP,
        lambda seen: BY_HAND_VARIABLE not in _variables(seen),
        by_hand="variable",
        names=BY_HAND_VARIABLE,
    ),
    Scenario(
        "network_by_hand",
        "Notices one more network, connected by hand",
        DATABASE,
        lambda seen: BY_HAND_NETWORK not in _networks(seen),
        by_hand="network",
        names=BY_HAND_NETWORK,
    ),
    Scenario(
        "foreign",
        "Leaves somebody else's container of the same name alone",
        DATABASE,
        lambda seen: BY_HAND_LABEL in _labels(seen),
        by_hand="foreign",
    ),
)
BAD_IMAGE: Sequence[Scenario] = (
    _new_image("missing", "New image is not on the host: the old container serves on", "none"),
    _new_image("exits", "New image ends at once: the old container serves again", "exits"),
    _new_image("hangs", "New image never gets healthy: the old container serves again", "hangs"),
    _new_image("map_exits", "New image of the map ends at once: the old container serves", "exits", MAP),
)
SCENARIOS = (*NOTHING_CHANGED, *USER_CHANGED, *CHANGED_BY_HAND, *BAD_IMAGE)
INTERRUPTED = Scenario(
    "interrupted",
    "Run ended by SIGTERM while it waits for the new container: the old one serves again",
    DATABASE,
)


@dataclass(frozen=True)
class Verdict:
    """What one contender made of one scenario."""

    good: bool
    outcome: str
    """unchanged, changed or failed: what the run says."""
    named: bool | None
    """None where there is nothing to name."""
    said: str
    announced: str = ""
    """What check mode said, in the same words."""
    predicted: bool | None = None
    """Whether check mode said the same of `changed` as the run; None for a run that failed."""


def judge(scenario: Scenario, check: Json, run: Json, seen: Seen) -> Verdict:
    """Judge the results of the last two runs and what was seen after them."""
    said = explanation(run)
    failed = bool(run.get("failed"))
    return Verdict(
        good=scenario.went_well(seen) and scenario.must_say in ("", outcome(run)),
        outcome=outcome(run),
        named=scenario.names in said if scenario.names else None,
        said=said,
        announced=explanation(check),
        predicted=None if failed else outcome(check) == outcome(run),
    )


def outcome(result: Json) -> str:
    """Say in a word what a run reports."""
    if result.get("failed"):
        return "failed"
    return "changed" if result["changed"] else "unchanged"


def explanation(result: Json) -> str:
    """Give what a result says about why: our reasons, or the differences that docker_container shows."""
    if result.get("failed"):
        return str(result["msg"])
    if "reasons" in result:
        return json.dumps(result["reasons"], ensure_ascii=False)
    before, after = (result.get("diff", {}).get(side) or {} for side in ("before", "after"))
    # docker_container also lists that a container which was replaced ran before and runs now.
    differing = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return json.dumps([{name: [before.get(name), after.get(name)]} for name in differing], ensure_ascii=False)


def same_explanation(verdict: Verdict) -> bool:
    """Tell whether check mode gave the same reasons or differences as the run."""
    return verdict.announced == verdict.said
