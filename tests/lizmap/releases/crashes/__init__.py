"""A plugin for QGIS Server that ends it with the first request."""

from __future__ import annotations

import os
import signal
from typing import Any

from qgis.server import QgsServerFilter


class Crash(QgsServerFilter):  # type: ignore[misc]
    """Crashes."""

    def requestReady(self) -> None:  # noqa: N802 - QGIS calls it
        os.kill(os.getpid(), signal.SIGSEGV)


def serverClassFactory(interface: Any) -> Crash:  # noqa: N802 - QGIS calls it
    """Register the filter."""
    crash = Crash(interface)
    interface.registerFilter(crash, 1)
    return crash
