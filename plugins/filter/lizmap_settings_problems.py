"""What is wrong in lizmap_settings, told before anything is changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

DOCUMENTATION = r"""
name: lizmap_settings_problems
short_description: What is wrong in settings of Lizmap
version_added: "0.1.0"
description:
  - Gives a part of a sentence for each setting that Lizmap could not have.
positional: own
options:
  _input:
    description: Settings by file, section and name, as in the variable C(lizmap_settings).
    type: dict
    required: true
  own:
    description: Those that the container itself depends on, in the same shape.
    type: dict
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
problems: "{{ lizmap_settings | lizmap_settings_problems(own_settings) }}"
"""

RETURN = r"""
_value:
  description: What is wrong, each beginning with the file.
  type: list
  elements: str
"""

Sections = Mapping[str, Mapping[str, Any]]
FILES = ("lizmapConfig", "localconfig", "profiles")
KEPT_SECTION = re.compile(r"repository:|jdb:")
NOT_IN_A_VALUE = re.compile(r'["\n\r]')
NOT_IN_A_NAME = re.compile(r'["\n\r=\[\]]')


def settings_problems(settings: Mapping[str, Sections], own: Mapping[str, Sections]) -> list[str]:
    """Give what is wrong with each file, section and setting."""
    return [problem for file, sections in settings.items() for problem in _of_file(file, sections, own.get(file, {}))]


def _of_file(file: str, sections: Any, own: Sections) -> Iterator[str]:
    if file not in FILES:
        yield f"{file} is none of {', '.join(FILES[:-1])} and {FILES[-1]}"
    elif not isinstance(sections, Mapping) or not all(isinstance(values, Mapping) for values in sections.values()):
        yield f"{file} must hold sections, and each section names with their values"
    else:
        for section, values in sections.items():
            if KEPT_SECTION.match(section):
                yield f"{file}: the section {section} is kept by Poppyfield, remove it"
            for name, value in values.items():
                if name in own.get(section, {}):
                    yield f"{file}: {name} is kept by Poppyfield, since the container needs it: remove it"
                elif not _can_be_written(section, name, value):
                    yield (
                        f"{file}: {name} must be a text of one line without quotation marks, a number, or true or false"
                    )


def _can_be_written(section: str, name: str, value: Any) -> bool:
    plain = isinstance(value, str | int | float)
    return plain and not NOT_IN_A_VALUE.search(str(value)) and not NOT_IN_A_NAME.search(f"{name}{section}")


class FilterModule:
    """The filter lizmap_settings_problems."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"lizmap_settings_problems": settings_problems}
