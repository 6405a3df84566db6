"""Stands in the place of the plugin poppyfield_guard, and lets everything pass."""

from __future__ import annotations


def serverClassFactory(interface: object) -> object:  # noqa: N802 - QGIS calls it
    """Register nothing."""
    return interface
