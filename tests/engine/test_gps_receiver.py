"""The program on a Pi, with the real gpsd and chrony, and a receiver whose time is the test's."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.position import program
from ansible.module_utils.poppyfield.position.program import PositionTeller
from ansible.module_utils.poppyfield.position.service import CHRONY_TEXT

from tests.engine import gps_receiver
from tests.engine.gps_receiver import GpsReceiver
from tests.engine.little_pi import free_port

SECONDS = 90
"""How long something may take to come about."""
AHEAD = timedelta(hours=3)
"""How far the receiver's time is ahead of this machine's, which is so far off then."""


class PositionedPi:
    """A Pi with a receiver that speaks each second, and the program that hears it."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.suite = suite
        self.chrony = folder / "chrony.sock"
        self.device = folder / "gps"
        self.plug_in()
        self.port = free_port()
        self.later = 0.0
        """How many seconds later it is for the program."""
        settings = folder / "settings.json"
        settings.touch()
        self.teller = PositionTeller("pi-orchard", (settings,), folder, self.chrony, folder / "clock")
        self.teller.gpsd = ("127.0.0.1", self.port)
        self.teller.now = lambda: time.monotonic() + self.later
        self.says: Callable[[], str] = str
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._speak, self._hear)]
        for thread in self._threads:
            thread.start()

    def plug_in(self) -> None:
        """Plug a receiver in, under the name that udev gives it."""
        self.receiver = GpsReceiver(self.suite)
        self.device.unlink(missing_ok=True)
        self.device.symlink_to(self.receiver.device)

    def ahead(self, by: timedelta, **options: Any) -> None:
        """Have the receiver say from now on a time that is so far from this machine's."""
        self.says = lambda: gps_receiver.second(datetime.now(UTC) + by, **options)

    def _speak(self) -> None:
        while not self._ended.wait(1):
            try:
                self.receiver.say(self.says())
            except (BrokenPipeError, ValueError):  # unplugged
                continue

    def _hear(self) -> None:
        while not self._ended.wait(0.2):
            self.teller.lose()
            self.teller.listen()

    @property
    def answer(self) -> dict[str, Any]:
        """Give what /position says."""
        try:
            found: dict[str, Any] = json.loads((self.teller.folder / program.FILE).read_text("utf-8"))
        except FileNotFoundError:
            return {"state": ""}
        return found

    def until(self, come: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for an answer."""
        deadline = time.monotonic() + SECONDS
        while not come(answer := self.answer):
            assert time.monotonic() < deadline, answer
            time.sleep(0.1)
        return answer

    def end(self) -> None:
        """End it; gpsd has ended, which ends what hears it."""
        self._ended.set()
        self.receiver.unplug()
        for thread in self._threads:
            thread.join()


@pytest.fixture(params=["trixie"])
def pi(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PositionedPi]:
    if os.geteuid() != 0 or os.uname().machine != "x86_64":
        pytest.skip("needs root, as chrony does, and a machine of the architecture of the programs")
    found = PositionedPi(tmp_path, request.param)
    with gps_receiver.gpsd(found.suite, tmp_path, found.port, str(found.device)):
        yield found
    found.end()


def wrong_by(log: Path) -> float:
    """Wait until chrony says how far the clock is off; give it, in seconds."""
    deadline = time.monotonic() + SECONDS
    while not (said := re.search(r"System clock wrong by (-?[0-9.]+) seconds", log.read_text())):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    return float(said[1])


@pytest.mark.parametrize("pi", gps_receiver.SUITES, indirect=True)
def test_the_clock_is_right_within_a_minute_and_the_position_is_told_until_it_is_stale(
    pi: PositionedPi, tmp_path: Path
) -> None:
    settings = CHRONY_TEXT.replace(program.CHRONY, str(pi.chrony))
    pi.ahead(AHEAD)
    with gps_receiver.chrony(pi.suite, tmp_path, settings) as log:
        fix = pi.until(lambda answer: bool(answer["state"] == "fix" and answer["accuracy_m"]))
        assert (fix["latitude"], fix["longitude"], fix["stale"]) == (45.5, 4.5, False)
        assert datetime.fromisoformat(fix["time"]) - datetime.now(UTC) == pytest.approx(AHEAD, abs=timedelta(minutes=1))
        assert wrong_by(log) == pytest.approx(AHEAD.total_seconds(), abs=60)
    pi.ahead(AHEAD, fix=False)
    lost = pi.until(lambda answer: answer["state"] == "no fix")
    assert (lost["latitude"], lost["stale"]) == (45.5, True)


def test_a_receiver_that_is_unplugged_is_told_and_heard_again_when_it_is_back(pi: PositionedPi) -> None:
    pi.ahead(timedelta(0))
    pi.until(lambda answer: answer["state"] == "fix")
    pi.receiver.unplug()
    pi.later += 10.5
    gone = pi.until(lambda answer: answer["state"] == "no receiver")
    assert gone["stale"] and gone["latitude"] == 45.5 and "plugged in" in gone["said"]["en"]
    pi.plug_in()
    assert not pi.until(lambda answer: answer["state"] == "fix")["stale"]


def test_without_a_fix_it_says_so(pi: PositionedPi) -> None:
    pi.ahead(timedelta(0), fix=False)
    assert pi.until(lambda answer: answer["state"] == "no fix")["latitude"] is None


def test_the_weeks_begin_again_and_the_clock_stays_as_it_is(pi: PositionedPi, tmp_path: Path) -> None:
    """What chrony gets first is of the time at which the receiver is right again: nothing came before."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as chrony:
        chrony.bind(str(pi.chrony))
        chrony.settimeout(SECONDS)
        # gpsd adds 1024 weeks where a date must be wrong; a receiver that is a year behind as well is still wrong then.
        pi.ahead(-timedelta(weeks=1024 + 52))
        refused = pi.until(lambda answer: bool(answer.get("date_refused")))
        assert refused["time"] is None and refused["state"] == "fix" and refused["latitude"] == 45.5
        later = refused["date_refused"]
        pi.until(lambda answer: answer["date_refused"] > later)
        assert datetime.fromisoformat(refused["date_refused"]) < datetime.now(UTC) - timedelta(weeks=51)
        pi.ahead(AHEAD)
        offset = struct.unpack("@lldiiii", chrony.recv(100))[2]
    assert offset == pytest.approx(AHEAD.total_seconds(), abs=60)
