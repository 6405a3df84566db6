"""A USB stick of a whole machine: a file of this machine, plugged in and pulled out while the Pi runs."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workshop.emulator import machine_options as o
from workshop.emulator.options import EmulatorError

STICK = "stick"
GONE = "DEVICE_DELETED"
ANSWER_SECONDS = 60

Json = dict[str, Any]


def plug_in(folder: Path, image: Path) -> None:
    """Plug a stick into the Pi of a folder, which has power. One stick at a time."""
    disk = {"driver": "raw", "node-name": STICK, "file": {"driver": "file", "filename": str(image.resolve())}}
    with Monitor.of(folder) as monitor:
        monitor.ask("blockdev-add", disk)
        monitor.ask("device_add", {"driver": "usb-storage", "id": STICK, "drive": STICK})


def pull_out(folder: Path) -> None:
    """Pull it out, whatever the Pi does with it: the device is gone at once."""
    with Monitor.of(folder) as monitor:
        monitor.ask("device_del", {"id": STICK})
        monitor.wait_for(GONE)
        monitor.ask("blockdev-del", {"node-name": STICK})


class Monitor:
    """QEMU's monitor."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._messages = (json.loads(line) for line in connection.makefile("rb"))
        self._events: list[str] = []
        next(self._messages)
        self.ask("qmp_capabilities")

    @classmethod
    @contextmanager
    def of(cls, folder: Path) -> Iterator[Monitor]:
        """Open that of a machine; EmulatorError where it has no power."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            try:
                connection.connect(str(folder / o.MONITOR_SOCKET))
            except OSError as error:
                raise EmulatorError(f"{folder.name} has no power: {error}.") from error
            yield cls(connection)

    def ask(self, command: str, arguments: Json | None = None) -> None:
        """Give a command; EmulatorError where QEMU refuses it."""
        self._connection.sendall(json.dumps({"execute": command, "arguments": arguments or {}}).encode() + b"\n")
        for message in self._messages:
            if "error" in message:
                raise EmulatorError(f"QEMU refuses {command}: {message['error']['desc']}")
            if "return" in message:
                return
            self._events.append(message["event"])
        raise EmulatorError(f"QEMU ended before it answered {command}.")

    def wait_for(self, event: str) -> None:
        """Wait until QEMU has told of an event."""
        while event not in self._events:
            message = next(self._messages, None)
            if message is None:
                raise EmulatorError(f"QEMU ended before it told of {event}.")
            self._events.append(message.get("event", ""))
