"""Settings of Lizmap as texts, since each of its files writes true and false in its own way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

DOCUMENTATION = r"""
name: lizmap_settings_texts
short_description: Settings of Lizmap as texts
version_added: "0.1.0"
description:
  - Gives the same settings with a text for each value. True and false become what the file wants.
options:
  _input:
    description: Settings by file, section and name, as in the variable C(lizmap_settings).
    type: dict
    required: true
author:
  - Poppyfield contributors (!UNKNOWN)
"""

EXAMPLES = r"""
texts: "{{ lizmap_settings | lizmap_settings_texts }}"
"""

RETURN = r"""
_value:
  description: The settings.
  type: dict
"""

NUMBERS = {False: "0", True: "1"}
SWITCHES = {False: "off", True: "on"}
WORDS = {"lizmapConfig": NUMBERS}
"""What a file has for false and true; those that are not here have SWITCHES."""


def settings_texts(settings: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, dict[str, str]]]:
    """Give the settings with a text for each value."""
    return {
        file: {
            section: {name: _text(value, WORDS.get(file, SWITCHES)) for name, value in values.items()}
            for section, values in sections.items()
        }
        for file, sections in settings.items()
    }


def _text(value: Any, words: Mapping[bool, str]) -> str:
    return words[value] if isinstance(value, bool) else str(value)


class FilterModule:
    """The filter lizmap_settings_texts."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give it by its name."""
        return {"lizmap_settings_texts": settings_texts}
