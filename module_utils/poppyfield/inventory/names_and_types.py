"""Names and types of variables, by the roles' argument specifications. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.poppyfield.inventory.problems import Finding, shown

ALIKE = 0.8
"""How alike two names must be for "did you mean"; below this the guess is worse than none."""
EMPTY: Mapping[str, Any] = {"list": [], "dict": {}, "int": 0, "float": 0.0, "bool": False}
SECRET_WORDS = ("password",)
REMEDIES = {
    "int": "Give a whole number",
    "float": "Give a number",
    "bool": "Give true or false",
    "list": "Write it as a list, each entry after a hyphen",
    "dict": "Write it as names with values",
}
TRUTH_NAMES = ("true", "false")


def host_findings(host: str) -> Iterator[Finding]:
    """Name a host whose name YAML took for a truth value."""
    if host.lower() in TRUTH_NAMES:
        yield Finding(
            "hosts.yml",
            f"a host is called {host}, which is what YAML makes of on, off, yes, no, y and n",
            'Put the name between quotation marks, as in "on"',
        )


def unknown_variables(names: Iterable[str], options: Iterable[str], roles: Iterable[str]) -> Iterator[Finding]:
    """Name every variable that looks like a role's but is none, each with the nearest real name.

    A name looks like a role's when it begins with the role's prefix, or when it is nearly a known name.
    """
    known = sorted(options)
    prefixes = tuple(f"{role}_" for role in roles)
    for name in sorted(set(names) - set(known)):
        near = difflib.get_close_matches(name, known, n=1, cutoff=ALIKE)
        if name.startswith(prefixes) or near:
            remedy = f"Did you mean '{near[0]}'?" if near else "Correct the name, or remove it"
            yield Finding(name, f"the variable '{name}' is not one that Poppyfield knows", remedy)


def is_secret(name: str, option: Mapping[str, Any]) -> bool:
    """Tell whether the value of a variable is nobody's to read."""
    return bool(option.get("no_log")) or (name.endswith(SECRET_WORDS) and option.get("type", "str") == "str")


def typed(options: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """Give the values with their documented types, and what has none; an empty value stands for each of these."""
    values: dict[str, Any] = {}
    findings: list[Finding] = []
    for name, option in options.items():
        kind = option.get("type", "str")
        wrong = list(_wrong(name, option, given[name])) if name in given else []
        findings += wrong
        if name not in given or wrong:
            values[name] = EMPTY.get(kind, "")
        elif kind == "path":
            # Of the Pi, mostly: '~' would become this laptop's.
            values[name] = str(given[name])
        else:
            validated = ArgumentSpecValidator({name: option}).validate({name: given[name]}).validated_parameters[name]
            values[name] = _pruned(validated) if option.get("options") else validated
    return values, findings


def _wrong(name: str, option: Mapping[str, Any], value: Any) -> Iterator[Finding]:
    value_shown = "" if is_secret(name, option) else shown(value)
    truths = list(_truth_values(name, option, value))
    for place, truth in truths:
        yield Finding(
            name,
            f"{place} is a text, but YAML takes on, off, yes, no, true and false for truth values",
            f'Put it between quotation marks: "{"on" if truth else "off"}", or the word that you wrote',
            shown(truth),
        )
    if truths:
        return
    if value is None:
        yield Finding(name, "it has no value", "Give one, or remove the variable")
        return
    for said in ArgumentSpecValidator({name: option}).validate({name: value}).error_messages:
        yield Finding(name, said, _remedy(name, option), value_shown)


def _remedy(name: str, option: Mapping[str, Any]) -> str:
    choices = option.get("choices")
    if choices:
        return f"Give one of {', '.join(map(str, choices))}"
    return REMEDIES.get(option.get("type", "str"), f"Correct {name}")


def _truth_values(place: str, option: Mapping[str, Any], value: Any) -> Iterator[tuple[str, bool]]:
    """Find truth values where a text should be."""
    kind = option.get("type", "str")
    if kind in ("str", "path") and isinstance(value, bool):
        yield place, value
    elif kind == "list" and isinstance(value, list):
        element = {"type": option.get("elements", "raw"), "options": option.get("options", {})}
        for item in value:
            yield from _truth_values(f"an entry of {place}", element, item)
    elif kind == "dict" and isinstance(value, Mapping):
        for name, suboption in (option.get("options") or {}).items():
            if name in value:
                yield from _truth_values(f"{name} in {place.removeprefix('an entry of ')}", suboption, value[name])


def _pruned(value: Any) -> Any:
    """Leave out the options of entries that nobody gave."""
    if isinstance(value, Mapping):
        return {name: _pruned(item) for name, item in value.items() if item is not None}
    return [_pruned(item) for item in value] if isinstance(value, list) else value
