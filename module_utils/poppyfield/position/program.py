"""The program on a Pi that asks gpsd, writes the Pi's position for its map server, and gives chrony the time."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.poppyfield.host import atomic_file
from ansible.module_utils.poppyfield.position import receiver
from ansible.module_utils.poppyfield.position.receiver import ClockSample, Receiver

FOLDER = "/run/poppyfield-page/position"
"""In the folder that the map server has mounted, and in memory; systemd removes it when this program ends."""
FILE = "position.json"
CHRONY = "/run/chrony.poppyfield.sock"
"""Where chrony listens for samples. gpsd, which would not ask when a date is refused, knows no such name."""
GPSD = ("127.0.0.1", 2947)
WATCH = b'?WATCH={"enable":true,"json":true,"pps":true};\n'
CLOCK = "/var/lib/poppyfield/position/clock"
"""Its time is that of the clock, for the next start of a Pi that has no battery."""
BUNDLE = "/etc/poppyfield/bundle.json"
"""Is written when the Pi takes a bundle."""

EARLIEST = datetime(2026, 11, 1, tzinfo=UTC)
"""Before that there was no such program."""
CLOCKS_APART = timedelta(days=1)
"""How far the Pi's clock may have been ahead when it was set up: a run refuses more."""
TICK = 1.0
CLOCK_EVERY = 600
AGAIN = 5.0
LONGEST = 1 << 16
MAGIC = 0x534F434B

Json = dict[str, Any]


def not_before(*paths: Path) -> datetime:
    """Give the time before which no date is believed: when this Pi was set up, or took its newest bundle."""
    found = EARLIEST
    for path in paths:
        with suppress(OSError):
            found = max(found, datetime.fromtimestamp(path.stat().st_mtime, UTC) - CLOCKS_APART)
    return found


def packed(sample: ClockSample) -> bytes:
    """Give a sample as chrony's reference clock SOCK takes it: struct sock_sample of its refclock_sock.c."""
    return struct.pack("@lldiiii", sample.seconds, sample.microseconds, sample.offset, 0, 0, 0, MAGIC)


def send_to(address: str, content: bytes) -> None:
    """Send a datagram to a socket; where nobody listens, nothing is lost but this one."""
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as to:
        to.sendto(content, address)


def messages(connection: socket.socket) -> Iterator[Json | None]:
    """Give what gpsd says, and None each second in which it says nothing. Raises OSError when it says no more."""
    connection.settimeout(TICK)
    text = b""
    while True:
        try:
            new = connection.recv(LONGEST)
        except TimeoutError:
            yield None
            continue
        if not new or len(text) > LONGEST:
            raise OSError("gpsd has ended, or what answers is not gpsd")
        *lines, text = (text + new).split(b"\n")
        for line in lines:
            with suppress(ValueError, RecursionError):
                message = json.loads(line)
                if isinstance(message, dict):
                    yield message


@dataclass
class PositionTeller:
    """Keeps what is told of the position."""

    name: str
    """The Pi's."""
    set_up: tuple[Path, ...]
    """Files that were written when the Pi was set up."""
    folder: Path = Path(FOLDER)
    chrony: Path = Path(CHRONY)
    clock: Path = Path(CLOCK)
    gpsd: tuple[str, int] = GPSD
    now: Callable[[], float] = time.monotonic
    receiver: Receiver = field(default_factory=Receiver)
    written: float = -TICK
    kept: float = -CLOCK_EVERY

    def hear(self, message: Json | None) -> None:
        """Take note of a message, or of a second without."""
        now = self.now()
        if message is not None:
            self.receiver = receiver.heard(self.receiver, message, now)
            if sample := receiver.clock_sample(self.receiver, message, now, not_before(*self.set_up)):
                send_to(str(self.chrony), packed(sample))
        # Its age goes on while nothing comes.
        if now - self.written >= TICK:
            self.write()

    def write(self) -> None:
        """Write what is told now, and now and then what time it is. Raises OSError."""
        self.written = self.now()
        told = receiver.told(self.receiver, self.name, self.written, not_before(*self.set_up))
        atomic_file.write(self.folder / FILE, json.dumps(told, ensure_ascii=False).encode() + b"\n")
        if self.written - self.kept >= CLOCK_EVERY:
            self.kept = self.written
            with suppress(OSError):  # a card that has turned read-only
                self.clock.touch()
        if address := os.environ.get("NOTIFY_SOCKET"):
            send_to(address.replace("@", "\0", 1), b"WATCHDOG=1")

    def listen(self) -> None:
        """Hear what gpsd says until it ends."""
        with suppress(OSError), socket.create_connection(self.gpsd, timeout=AGAIN) as connection:
            connection.sendall(WATCH)
            for message in messages(connection):
                self.hear(message)

    def lose(self) -> None:
        """Take note that gpsd does not answer; the last position stays known."""
        self.receiver = replace(self.receiver, heard=None)
        self.write()


def main() -> int:
    """Tell the position until somebody ends it."""
    settings = Path(__file__).resolve().parents[4] / "settings.json"
    teller = PositionTeller(json.loads(settings.read_text("utf-8"))["name"], (settings, Path(BUNDLE)))
    while True:
        teller.lose()
        teller.listen()
        time.sleep(TICK)


if __name__ == "__main__":
    sys.exit(main())
