"""A GPS receiver that is not there: Debian's gpsd and chrony, and a terminal that gpsfake's own code makes.

The programs are those of a Pi's release, unpacked in a root of their own. The tests make what the receiver says, and
its date.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import IO

from workshop.laptop import debian_roots

PACKAGES = "gpsd,chrony,python3-gps"
SUITES = {"trixie": ("python3.13", 30), "bookworm": ("python3.11", 28)}
"""By release its Python, and which of gpsd's libraries it has."""
SPEED = 9600
# A loader does not know what is installed in a root of its own.
FAKE = """
import ctypes.util, sys
ctypes.util.find_library = lambda name: "libgpsdpacket.so." + sys.argv[1]
import gps.fake

class Said:
    name, sentences, serial = "receiver", [], (int(sys.argv[2]), 8, "N", 1)

receiver = gps.fake.FakePTY(Said())
print(receiver.byname, flush=True)
for line in sys.stdin.buffer:
    receiver.write(line)
"""


def root(suite: str) -> Path:
    """Return where the programs of a release are unpacked."""
    return debian_roots.make(PACKAGES, suite, "gps")


def command(suite: str, name: str) -> list[str]:
    """Give the words that run a program of a release."""
    found = root(suite)
    # Before trixie libraries were in two folders.
    folders = [folder for folder in (found / "usr/lib", found / "lib") if folder.is_dir()]
    loader = next(found.glob("**/x86_64-linux-gnu/ld-linux-x86-64.so.2"))
    libraries = ":".join(f"{folder}/x86_64-linux-gnu" for folder in folders)
    return [str(loader), "--library-path", libraries, f"{found}/usr/{name}"]


def sentence(body: str) -> str:
    """Give a sentence of NMEA 0183 with its sum."""
    return f"${body}*{reduce(lambda found, letter: found ^ ord(letter), body, 0):02X}\r\n"


def second(when: datetime, latitude: str = "4530.0000,N", longitude: str = "00430.0000,E", *, fix: bool = True) -> str:
    """Give what a receiver says in a second of UTC."""
    clock, day = when.strftime("%H%M%S.00"), when.strftime("%d%m%y")
    if not fix:
        bodies = [f"GPRMC,{clock},V,,,,,,,{day},,,N", f"GPGGA,{clock},,,,,0,00,,,M,,M,,", f"GPGSA,A,1{',' * 15}"]
    else:
        bodies = [
            f"GPRMC,{clock},A,{latitude},{longitude},0.0,0.0,{day},,,A",
            f"GPGGA,{clock},{latitude},{longitude},1,08,1.2,210.0,M,48.0,M,,",
            "GPGSA,A,3,04,05,09,12,24,25,29,31,,,,,2.1,1.2,1.7",
        ]
    return "".join(map(sentence, bodies))


class GpsReceiver:
    """What is plugged in, and says what it is told."""

    def __init__(self, suite: str) -> None:
        found, (python, library) = root(suite), SUITES[suite]
        environment = {
            "PYTHONHOME": f"{found}/usr",
            "PYTHONPATH": f"{found}/usr/lib/python3/dist-packages",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._process = subprocess.Popen(
            [*command(suite, f"bin/{python}"), "-c", FAKE, str(library), str(SPEED)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.device = self._stream(self._process.stdout).readline().decode().strip()
        assert self.device, "gpsfake's code does not run"

    def say(self, text: str) -> None:
        """Say it."""
        stream = self._stream(self._process.stdin)
        stream.write(text.encode())
        stream.flush()

    def unplug(self) -> None:
        """Be there no more."""
        self._process.kill()
        self._process.communicate()

    @staticmethod
    def _stream(found: IO[bytes] | None) -> IO[bytes]:
        assert found
        return found


@contextmanager
def gpsd(suite: str, folder: Path, port: int, device: str) -> Iterator[None]:
    """Run gpsd at a port of this machine; it becomes a user of its own where it can."""
    options = ["-N", "-n", "-s", str(SPEED), "-S", str(port), "-F", str(folder / "gpsd.sock"), device]
    environment = {**os.environ, "GPSD_SHM_KEY": hex(0x47700000 + port)}
    with (folder / "gpsd.log").open("wb") as log:
        process = subprocess.Popen([*command(suite, "sbin/gpsd"), *options], stdout=log, stderr=log, env=environment)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def chrony(suite: str, folder: Path, settings: str) -> Iterator[Path]:
    """Run chrony, which sets no clock here, and gives what it would do in the file of its log."""
    configuration = folder / "chrony.conf"
    configuration.write_text(f"{settings}\nport 0\ncmdport 0\npidfile {folder}/chrony.pid\nbindcmdaddress /\n")
    log = folder / "chrony.log"
    options = ["-d", "-x", "-U", "-u", "root", "-f", str(configuration)]
    with log.open("wb") as stream:
        process = subprocess.Popen([*command(suite, "sbin/chronyd"), *options], stdout=stream, stderr=stream)
    try:
        yield log
    finally:
        process.terminate()
        process.wait()
