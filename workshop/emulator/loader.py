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
from pathlib import Path

from workshop.emulator import card
from workshop.emulator import machine_options as o
from workshop.emulator.options import Pi

LOCK = "power"
DESCRIPTION = "machine.json"
# Between two times that it is powered on from outside: one that fails as it starts does not do so for ever.
REBOOTS = 20
START_SECONDS = 60


def main() -> int:
    """Run the Pi in the current folder until it is off."""
    with Path(LOCK).open("r+", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        pi = Pi(**json.loads(Path(DESCRIPTION).read_text(encoding="utf-8")))
        return next((1 for _ in range(REBOOTS) if not run_until_reboot(pi)), 0)


def run_until_reboot(pi: Pi) -> bool:
    """Start the Pi once; tell whether it ended by a reboot."""
    line = o.kernel_line(card.read(Path(o.CARD), o.COMMAND_LINE).decode(errors="replace"))
    if line is None:
        say("There is no root= in the first line of /boot/firmware/cmdline.txt: the kernel has nothing to start from.")
        return False
    for name in (o.KERNEL, o.INITIAL_RAM_DISK):
        Path(name).write_bytes(card.read(Path(o.CARD), name))
    for name in (o.DISK_SOCKET, o.EVENTS_SOCKET):
        Path(name).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(o.EVENTS_SOCKET)
        listener.listen()
        listener.settimeout(START_SECONDS)
        disk = subprocess.Popen(o.disk_command())
        try:
            wait_for(Path(o.DISK_SOCKET))
            machine = subprocess.Popen(o.machine_command(pi, line))
            events, _ = listener.accept()
            reason = follow(events)
            return machine.wait() == 0 and reason == o.REBOOT
        finally:
            # QEMU has flushed the card as it ended.
            disk.terminate()
            disk.wait()


def follow(events: socket.socket) -> str | None:
    """Read what QEMU tells until it ends; return why the Pi stopped. SIGTERM presses the power button meanwhile."""
    events.settimeout(None)
    signal.signal(signal.SIGTERM, lambda *_: events.sendall(command("system_powerdown")))
    events.sendall(command("qmp_capabilities"))
    reason = None
    with events, events.makefile("rb") as lines:
        for line in lines:
            message = json.loads(line)
            if message.get("event") == "SHUTDOWN":
                reason = message["data"]["reason"]
    return reason


def command(name: str) -> bytes:
    """Return a command in QEMU's protocol."""
    return json.dumps({"execute": name}).encode() + b"\n"


def wait_for(path: Path) -> None:
    """Wait until another process has made a file."""
    deadline = time.monotonic() + START_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise SystemExit(f"{path} did not come")
        time.sleep(0.05)


def say(text: str) -> None:
    """Write to the Pi's console, as the firmware does."""
    with Path(o.CONSOLE).open("a", encoding="utf-8") as console:
        console.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
