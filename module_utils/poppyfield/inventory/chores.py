"""What a chore is given with -e on the command line, and what is wrong with it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.poppyfield.containers import services

Json = dict[str, Any]
ANYTHING = "…"
TRUTH = ("true", "false")
"""However they are written; a name is exactly as it is."""


def problems(arguments: Mapping[str, Json], given: Mapping[str, Any], typed: Sequence[str] = ()) -> list[str]:
    """Give a sentence for each that is wrong, and one for all that are missing; none where the chore can begin.

    `arguments` has by name what a chore takes: `required`, the `choices`, a `pattern` with an `example` of it, and
    whether it is `whole`, a text with blanks (see `whole`). Each chore takes `service`. `given` are the variables of a
    host, `typed` what stood after each -e.
    """
    known = with_service(arguments)
    values = {name: _text(given.get(name)) for name in known}
    missing = [name for name, taken in known.items() if taken.get("required") and not values[name]]
    wrong = [_wrong(name, values[name], taken) for name, taken in known.items() if values[name]]
    add = " ".join(f"-e {name}={_form(known[name])}" for name in missing)
    mixed = [_mixed(name, known, typed) for name, taken in known.items() if taken.get("whole")]
    return [*filter(None, [*wrong, *mixed]), *([f"Add {add}."] if add else [])]


def whole(name: str, value: str, typed: Sequence[str]) -> str:
    """Give a text that was typed as -e name='some words' with all its words: Ansible takes the first one only.

    Where it has quotes of its own, or comes from elsewhere, Ansible's `value` is the whole already.
    """
    texts = [text.removeprefix(f"{name}=") for text in typed if text.startswith(f"{name}=")]
    return texts[-1] if texts and not _is_quoted(texts[-1]) else value


def _is_quoted(text: str) -> bool:
    return bool(re.fullmatch(r"'[^']*'|\"[^\"]*\"", text))


def _mixed(name: str, known: Mapping[str, Json], typed: Sequence[str]) -> str:
    """Tell of an argument of the chore that stands in the text of another one, which would take it for its own."""
    others = "|".join(known)
    for text in typed:
        found = re.search(rf"\s({others})=", text)
        if found and text.startswith(f"{name}=") and not _is_quoted(text.removeprefix(f"{name}=")):
            return f"Give {found[1]} by an -e of its own, or put {name} into quotes: -e \"{name}='{ANYTHING}'\"."
    return ""


def with_service(arguments: Mapping[str, Json]) -> dict[str, Json]:
    """Give the arguments with the service first, which every chore takes."""
    service = {"choices": [service.name for service in services.SERVICES], **(arguments.get("service") or {})}
    return {"service": service, **{name: taken for name, taken in arguments.items() if name != "service"}}


def _text(value: Any) -> str:
    text = "" if value is None else str(value).strip()
    return text.lower() if text.lower() in TRUTH else text


def _form(taken: Json) -> str:
    return "|".join(taken.get("choices") or ()) or str(taken.get("example", ANYTHING))


def _wrong(name: str, value: str, taken: Json) -> str:
    choices: Sequence[str] = taken.get("choices") or ()
    if choices and value not in choices:
        return f"{name} can be {_joined(choices)}, not {value}."
    if "pattern" in taken and not re.fullmatch(taken["pattern"], value):
        return f"{name} must be like {taken['example']}, not {value}."
    return ""


def _joined(choices: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
