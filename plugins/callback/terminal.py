# Copyright: Poppyfield contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep what a Pi says from giving orders to the terminal of whoever runs Ansible."""

from __future__ import annotations

DOCUMENTATION = r"""
name: terminal
type: aggregate
short_description: Keep what a host says from giving orders to the terminal
description:
  - Ansible shows messages, warnings and errors of a host as they come. This takes control characters, sequences that a
    terminal obeys, and marks that turn the direction of writing out of everything that Ansible shows. The colours that
    Ansible itself uses stay.
  - It is on wherever its folder is among the callback plugins, as in C(ansible.cfg).
"""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible.utils.display import Display

runpy.run_path(str(Path(__file__).resolve().parents[1] / "project_imports.py"))

from ansible.module_utils.poppyfield.host.printable import printable


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """Puts the cleaning before the one method by which everything is shown."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "terminal"

    def __init__(self) -> None:
        super().__init__()
        # There is one for the whole process, and those that run tasks show by it, too.
        display = Display()
        display.display = cleaned(display.display)


def cleaned(show: Callable[..., None]) -> Callable[..., None]:
    """Give the same with the text made fit for a terminal."""

    def show_cleaned(msg: Any, *given: Any, **named: Any) -> None:
        show(printable(str(msg), colours=True), *given, **named)

    return show_cleaned
