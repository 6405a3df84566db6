"""Settings of Lizmap. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.poppyfield.inventory.problems import Finding, Host

Sections = Mapping[str, Mapping[str, Any]]
FILES = ("lizmapConfig", "localconfig", "profiles")
KEPT_SECTION = re.compile(r"repository:|jdb:")
NOT_IN_A_VALUE = re.compile(r'["\n\r]')
NOT_IN_A_NAME = re.compile(r'["\n\r=\[\]]')
KEPT = "Remove it"


def findings(host: Host, own: Mapping[str, Sections]) -> Iterator[Finding]:
    """Give what is wrong with each file, section and setting; `own` has those that the container depends on."""
    for file, sections in host.values["lizmap_settings"].items():
        for wrong, remedy in _of_file(file, sections, own.get(file, {})):
            yield Finding("lizmap_settings", wrong, remedy)


def _of_file(file: Any, sections: Any, own: Sections) -> Iterator[tuple[str, str]]:
    if file not in FILES:
        yield f"{file} is none of {', '.join(FILES[:-1])} and {FILES[-1]}", "Correct the name of the file"
    elif not isinstance(sections, Mapping) or not all(isinstance(values, Mapping) for values in sections.values()):
        yield f"{file} must hold sections, and each section names with their values", "Write it so"
    else:
        for section, values in sections.items():
            if KEPT_SECTION.match(str(section)):
                yield f"{file}: the section {section} is kept by Poppyfield", KEPT
            for name, value in values.items():
                if name in own.get(section, {}):
                    yield f"{file}: {name} is kept by Poppyfield, since the container needs it", KEPT
                elif isinstance(name, bool) or isinstance(section, bool):
                    yield f"{file}: YAML reads {name} of {section} as a truth value", "Put names into quotation marks"
                elif not _can_be_written(section, name, value):
                    yield (
                        f"{file}: {name} must be a text of one line without quotation marks, a number, or true or "
                        "false",
                        "Correct it",
                    )


def _can_be_written(section: Any, name: Any, value: Any) -> bool:
    plain = isinstance(value, str | int | float)
    return plain and not NOT_IN_A_VALUE.search(str(value)) and not NOT_IN_A_NAME.search(f"{name}{section}")
