"""The firmware of the emulated Pi that is a whole machine: `python3 -m workshop.emulator.loader`, in the Pi's folder.

From power-on to power-off: it reads the kernel, its initial RAM disk and cmdline.txt from the card's boot partition,
starts QEMU, and does so again when the Pi reboots. SIGTERM presses the power button. It holds the lock of the folder as
long as the Pi has power.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from workshop.emulator import card, card_cache
from workshop.emulator import machine_options as o
from workshop.emulator.options import Pi

LOCK = "power"
DESCRIPTION = "machine.json"
# Between two times that it is powered on from outside: one that fails as it starts does not do so for ever.
REBOOTS = 20
START_SECONDS = 60
LOCK_SECONDS = 10


def main() -> int:
    """Run the Pi in the current folder until it is off."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with Path(LOCK).open("r+", encoding="utf-8") as lock:
        take(lock)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        pi = Pi(**json.loads(Path(DESCRIPTION).read_text(encoding="utf-8")))
        for _ in range(REBOOTS):
            if not run_until_reboot(pi, lock):
                break
    return 0


def take(lock: IO[str]) -> None:
    """Lock the folder. Who only looks whether it is locked has the lock for a moment."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def run_until_reboot(pi: Pi, lock: IO[str]) -> bool:
    """Start the Pi once; tell whether it ended by a reboot."""
    card_cache.begin(Path())
    line = o.kernel_line(card.read(Path(o.CARD), o.COMMAND_LINE).decode(errors="replace"))
    if line is None:
        say("There is no root= in the first line of /boot/firmware/cmdline.txt: the kernel has nothing to start from.")
        return False
    for name in (o.KERNEL, o.INITIAL_RAM_DISK):
        Path(name).write_bytes(card.read(Path(o.CARD), name))
    for name in (o.EVENTS_SOCKET, o.MONITOR_SOCKET):
        Path(name).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(o.EVENTS_SOCKET)
        listener.listen()
        listener.settimeout(START_SECONDS)
        with running(o.machine_command(pi, line), lock) as machine:
            events, _ = listener.accept()
            reason = follow(events)
            ended_well = machine.wait() == 0
    if ended_well:
        card_cache.end(Path())
    return ended_well and reason == o.REBOOT


@contextmanager
def running(command: list[str], lock: IO[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program meanwhile. It holds the lock, too: the Pi has power until the last of them has ended."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[lock.fileno()])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def follow(events: socket.socket) -> str | None:
    """Read what QEMU tells until it ends; return why the Pi stopped. SIGTERM presses the power button meanwhile."""
    events.settimeout(None)
    signal.signal(signal.SIGTERM, lambda *_: events.sendall(request("system_powerdown")))
    events.sendall(request("qmp_capabilities"))
    reason = None
    with events, events.makefile("rb") as lines:
        for line in lines:
            message = json.loads(line)
            if message.get("event") == "SHUTDOWN":
                reason = message["data"]["reason"]
    return reason


def request(name: str) -> bytes:
    """Return a command in QEMU's protocol."""
    return json.dumps({"execute": name}).encode() + b"\n"


def say(text: str) -> None:
    """Write to the Pi's console, as the firmware does."""
    with Path(o.CONSOLE).open("a", encoding="utf-8") as console:
        console.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
