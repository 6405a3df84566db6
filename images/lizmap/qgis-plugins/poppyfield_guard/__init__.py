"""Plugin for QGIS Server: refuses what a visitor sends that would do more than look. See judgement.py."""

from __future__ import annotations

from typing import Any


def serverClassFactory(interface: Any) -> Any:  # noqa: N802 - QGIS calls it
    """Put the guard before all other filters; QGIS keeps what this gives."""
    from .guard import Guard  # noqa: PLC0415 - the other modules are read where there is no QGIS

    guard = Guard(interface)
    interface.registerFilter(guard, 1)
    return guard
