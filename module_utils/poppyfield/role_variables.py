"""Check what a person wrote in the inventory against the roles' argument specifications. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

# How alike two names must be for "did you mean"; below this the guess is worse than none.
ALIKE = 0.8


def argument_problems(options: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with the values, by Ansible's own rules for argument specifications."""
    given = {name: value for name, value in values.items() if name in options}
    # Documented defaults may be templates; what is not given needs no check.
    specification = {name: options[name] for name in given}
    return list(ArgumentSpecValidator(specification).validate(given).error_messages)


def unknown_variables(names: Iterable[str], options: Iterable[str], roles: Iterable[str]) -> list[str]:
    """Name every variable that looks like a role's but is none, each with the nearest real name.

    A name looks like a role's when it begins with the role's prefix, or when it is nearly a known name.
    """
    known = sorted(options)
    prefixes = tuple(f"{role}_" for role in roles)
    found = []
    for name in sorted(set(names) - set(known)):
        near = difflib.get_close_matches(name, known, n=1, cutoff=ALIKE)
        if name.startswith(prefixes) or near:
            hint = f" Did you mean '{near[0]}'?" if near else ""
            found.append(f"the variable '{name}' is not one that Poppyfield knows.{hint}")
    return found
