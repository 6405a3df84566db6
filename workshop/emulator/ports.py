"""The ports of this machine that an emulated Pi answers at."""

from __future__ import annotations

import socket

from workshop.emulator import options
from workshop.emulator.options import EmulatorError


def check_ports(ports: dict[str, int]) -> None:
    """Refuse ports that something else listens on."""
    for option, port in ports.items():
        with socket.socket() as probe:
            # As Docker's own proxy does: a connection that just ended does not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((options.ADDRESS, port))
            except OSError as error:
                raise EmulatorError(
                    f"Port {port} on {options.ADDRESS} can't be had ({error.strerror}): "
                    f"stop what listens there, or choose another one with {option}."
                ) from error
