"""A Pi tells where it is by what gpsd says, how old and how exact that is; its clock gets no date that can't be."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.pi_page import program as pi_page
from ansible.module_utils.poppyfield.position import program, receiver
from ansible.module_utils.poppyfield.position.program import PositionTeller
from ansible.module_utils.poppyfield.position.receiver import ClockSample, Receiver

SET_UP = datetime(2026, 11, 30, tzinfo=UTC)
TPV: dict[str, Any] = {
    "class": "TPV",
    "mode": 3,
    "time": "2026-12-01T04:22:52.000Z",
    "lat": 45.123456789,
    "lon": 4.5,
    "eph": 22.84,
}
REAL = int(datetime(2026, 12, 1, 4, 22, 53, tzinfo=UTC).timestamp())
TOFF = {
    "class": "TOFF",
    "real_sec": REAL,
    "real_nsec": 0,
    "clock_sec": REAL - 10800,
    "clock_nsec": 250_000_000,
}


def after(*messages: dict[str, Any], at: float = 0.0) -> Receiver:
    found = Receiver()
    for message in messages:
        found = receiver.heard(found, message, at)
    return found


def told(found: Receiver, now: float = 0.0) -> dict[str, Any]:
    answer = receiver.told(found, "pi-orchard", now, SET_UP)
    json.dumps(answer)
    return answer


def test_a_fix_is_told_with_its_accuracy_its_time_and_its_age() -> None:
    answer = told(after(TPV), 4.25)
    assert answer == {
        "version": 1,
        "pi": "pi-orchard",
        "state": "fix",
        "said": {"en": "The Pi knows where it is.", "fr": "Le Pi sait où il est."},
        "latitude": 45.1234568,
        "longitude": 4.5,
        "accuracy_m": 22.8,
        "time": "2026-12-01T04:22:52+00:00",
        "age_s": 4.2,
        "stale": False,
        "date_refused": None,
    }


def test_after_ten_seconds_the_position_is_stale_and_no_fix() -> None:
    fix = after(TPV)
    no_fix = receiver.heard(fix, {"class": "TPV", "mode": 1}, 10.1)
    assert (told(fix, 10.0)["state"], told(fix, 10.0)["stale"]) == ("fix", False)
    answer = told(no_fix, 10.1)
    assert (answer["state"], answer["stale"], answer["age_s"]) == ("no fix", True, 10.1)
    # It is still the last one that is known.
    assert answer["latitude"] == 45.1234568


def test_a_receiver_without_a_fix_and_none_at_all_are_told_apart() -> None:
    silent, searching = Receiver(), after({"class": "TPV", "mode": 1}, {"class": "SKY", "uSat": 0})
    assert (told(silent)["state"], told(searching)["state"]) == ("no receiver", "no fix")
    # Of satellites alone it speaks as well.
    assert told(after({"class": "SKY", "uSat": 0}))["state"] == "no fix"
    # One that says nothing any more was pulled out.
    assert told(searching, 10.1)["state"] == "no receiver"
    assert "plugged in" in told(silent)["said"]["en"] and "branché" in told(silent)["said"]["fr"]
    assert told(silent)["latitude"] is None and told(silent)["stale"] is False
    assert set(told(silent)) == set(told(after(TPV)))


def test_a_second_that_is_told_again_does_not_get_younger() -> None:
    first = receiver.heard(Receiver(), {**TPV, "eph": None}, 1.0)
    again = receiver.heard(first, TPV, 1.6)
    assert again.fix and (again.fix.heard, again.fix.accuracy_m) == (1.0, 22.84)
    assert receiver.state(receiver.heard(again, TPV, 11.5), 11.5) == "no fix"
    other = receiver.heard(again, {**TPV, "time": "2026-12-01T04:22:53.000Z"}, 2.0)
    assert other.fix and other.fix.heard == 2.0


@pytest.mark.parametrize(
    ("given", "accuracy"), [({"eph": None, "epx": 3, "epy": 4}, 5.0), ({"eph": None, "epx": 3}, None), ({}, 22.8)]
)
def test_the_accuracy_is_that_of_both_directions(given: dict[str, Any], accuracy: float | None) -> None:
    assert told(after({**TPV, **given}))["accuracy_m"] == accuracy


@pytest.mark.parametrize(
    "given",
    [
        {"mode": 1},
        {"mode": 0},
        {"mode": "3"},
        {"lat": None},
        {"lat": "45"},
        {"lat": True},
        {"lat": 91.0},
        {"lon": -180.1},
        {"lon": float("nan")},
    ],
)
def test_what_is_no_position_is_none(given: dict[str, Any]) -> None:
    answer = told(after({**TPV, **given}))
    assert (answer["state"], answer["latitude"]) == ("no fix", None)


@pytest.mark.parametrize("time", [None, "", "soon", "2026-12-01T04:22:52", 7])
def test_a_position_without_a_time_is_one_all_the_same(time: object) -> None:
    answer = told(after({**TPV, "time": time}))
    assert (answer["state"], answer["time"], answer["date_refused"]) == ("fix", None, None)


# --- dates ------------------------------------------------------------------------------------------------------------


def test_a_date_before_the_pi_was_set_up_is_refused_and_said() -> None:
    # Where the weeks began again, and the receiver has not noticed.
    rolled_over = "2007-04-17T04:22:52.000Z"
    answer = told(after({**TPV, "time": rolled_over}))
    assert (answer["state"], answer["time"]) == ("fix", None)
    assert answer["date_refused"] == "2007-04-17T04:22:52+00:00"
    assert "week rollover" in answer["said"]["en"] and "semaines" in answer["said"]["fr"]


@pytest.mark.parametrize(
    ("time", "believed"),
    [
        (SET_UP, True),
        (SET_UP - timedelta(seconds=1), False),
        (SET_UP + timedelta(weeks=1024) - timedelta(seconds=1), True),
        (SET_UP + timedelta(weeks=1024), False),
    ],
)
def test_a_date_is_believed_for_1024_weeks_after_the_pi_was_set_up(time: datetime, believed: bool) -> None:
    assert receiver.is_believed(time, SET_UP) is believed


def test_what_a_pi_was_set_up_with_says_since_when_dates_are_believed(tmp_path: Path) -> None:
    settings, bundle = tmp_path / "settings.json", tmp_path / "bundle.json"
    assert program.not_before(settings, bundle) == program.EARLIEST
    for path, when in ((settings, datetime(2027, 3, 2, tzinfo=UTC)), (bundle, datetime(2027, 5, 2, tzinfo=UTC))):
        path.touch()
        os.utime(path, (when.timestamp(), when.timestamp()))
    assert program.not_before(settings) == datetime(2027, 3, 1, tzinfo=UTC)
    assert program.not_before(settings, bundle) == datetime(2027, 5, 1, tzinfo=UTC)
    # A clock that was at its first day when the Pi was set up.
    os.utime(settings, (0, 0))
    assert program.not_before(settings) == program.EARLIEST


# --- the clock --------------------------------------------------------------------------------------------------------


def test_chrony_gets_how_far_the_clock_is_off() -> None:
    found = receiver.clock_sample(after(TPV), TOFF, 1.0, SET_UP)
    assert found == ClockSample(REAL - 10800, 250_000, 10799.75)
    seconds, microseconds, offset, pulse, leap, _, magic = struct.unpack("@lldiiii", program.packed(found))
    assert (seconds, microseconds, offset, pulse, leap, magic) == (REAL - 10800, 250_000, 10799.75, 0, 0, 0x534F434B)


@pytest.mark.parametrize(
    "given",
    [
        {"real_sec": REAL - 1024 * 7 * 86400},
        {"real_sec": REAL + 1024 * 7 * 86400},
        {"real_sec": None},
        {"real_sec": "1"},
        {"real_sec": 2**39},
        {"real_nsec": 0.5},
        {"clock_sec": -1},
        {"class": "PPS"},
    ],
)
def test_chrony_gets_no_date_that_can_not_be(given: dict[str, Any]) -> None:
    assert receiver.clock_sample(after(TPV), {**TOFF, **given}, 1.0, SET_UP) is None


def test_chrony_gets_nothing_without_a_fix() -> None:
    assert receiver.clock_sample(after({"class": "TPV", "mode": 1}), TOFF, 1.0, SET_UP) is None
    assert receiver.clock_sample(after(TPV), TOFF, 10.1, SET_UP) is None


# --- the program ------------------------------------------------------------------------------------------------------


class Pi:
    """A Pi whose clock that nobody sets is set by the test."""

    def __init__(self, folder: Path) -> None:
        self.clock = 100.0
        self.chrony = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.chrony.bind(str(folder / "chrony.sock"))
        self.chrony.settimeout(0)
        self.teller = PositionTeller(
            *("pi-orchard", (), folder, folder / "chrony.sock", folder / "clock", ("127.0.0.1", 1), lambda: self.clock)
        )

    @property
    def answer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.teller.folder / program.FILE).read_text("utf-8"))
        return found


@pytest.fixture
def pi(tmp_path: Path) -> Iterator[Pi]:
    found = Pi(tmp_path)
    yield found
    found.chrony.close()


def test_the_age_goes_on_while_nothing_comes(pi: Pi) -> None:
    pi.teller.hear(TPV)
    assert pi.answer["age_s"] == 0 and pi.answer["state"] == "fix"
    pi.clock += 7
    pi.teller.hear(None)
    assert pi.answer["age_s"] == 7
    pi.clock += 4
    pi.teller.hear(None)
    assert (pi.answer["age_s"], pi.answer["stale"], pi.answer["state"]) == (11, True, "no receiver")


def test_it_is_written_each_second_and_no_more(pi: Pi) -> None:
    pi.teller.hear(TPV)
    (pi.teller.folder / program.FILE).unlink()
    pi.clock += 0.5
    pi.teller.hear(TPV)
    assert not (pi.teller.folder / program.FILE).exists()
    pi.clock += 0.5
    pi.teller.hear(TPV)
    assert (pi.teller.folder / program.FILE).stat().st_mode & 0o777 == 0o644


def test_samples_go_to_chrony_and_nowhere_where_it_does_not_listen(pi: Pi) -> None:
    pi.teller.hear(TPV)
    pi.teller.hear({**TOFF, "real_sec": REAL - 1024 * 7 * 86400})
    pi.teller.hear(TOFF)
    assert struct.unpack("@lldiiii", pi.chrony.recv(100))[2] == 10799.75
    pi.teller.chrony.unlink()
    pi.teller.hear(TOFF)
    with pytest.raises(BlockingIOError):
        pi.chrony.recv(100)


def test_a_pi_without_gpsd_says_so_at_once_and_keeps_the_last_position(pi: Pi) -> None:
    pi.teller.hear(TPV)
    pi.clock += 1
    pi.teller.listen()
    pi.teller.lose()
    assert (pi.answer["state"], pi.answer["latitude"], pi.answer["stale"]) == ("no receiver", 45.1234568, False)


def test_the_clock_is_remembered_every_ten_minutes(pi: Pi) -> None:
    pi.teller.hear(None)
    os.utime(pi.teller.clock, (0, 0))
    for later, remembered in ((599, False), (1, True)):
        pi.clock += later
        pi.teller.hear(None)
        assert (pi.teller.clock.stat().st_mtime > 0) is remembered


def test_a_card_that_can_not_be_written_to_does_not_end_it(pi: Pi, tmp_path: Path) -> None:
    pi.teller.clock = tmp_path / "nowhere" / "clock"
    pi.teller.hear(TPV)
    assert pi.answer["state"] == "fix"


def test_systemd_hears_that_it_lives(pi: Pi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        pi.teller.hear(None)
        assert notified.recv(100) == b"WATCHDOG=1"


def test_lines_of_gpsd_are_read_however_they_come() -> None:
    ours, its = socket.socketpair()
    with ours, its:
        its.sendall(b'{"class":"TPV"}\n{"class":"S')
        found = program.messages(ours)
        assert next(found) == {"class": "TPV"}
        its.sendall(b'KY"}\nno JSON\n[1]\n{"class":"TOFF"}\n')
        assert [next(found), next(found)] == [{"class": "SKY"}, {"class": "TOFF"}]
        its.close()
        with pytest.raises(OSError, match="gpsd has ended"):
            next(found)


def test_a_second_without_a_word_is_told_and_a_line_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "TICK", 0.01)
    ours, its = socket.socketpair()
    with ours, its:
        found = program.messages(ours)
        assert next(found) is None
        its.setblocking(False)
        sent = 0
        with pytest.raises(OSError, match="not gpsd"):
            while sent < 100:
                sent += 1
                its.send(b"x" * 10_000)
                next(found)


def test_it_hears_a_gpsd_that_answers_and_asks_for_what_it_needs(pi: Pi) -> None:
    asked = []

    def answer(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            asked.append(connection.recv(1000))
            connection.sendall(json.dumps(TPV).encode() + b"\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        pi.teller.gpsd = server.getsockname()
        answering = threading.Thread(target=answer, args=(server,))
        answering.start()
        pi.teller.listen()
        answering.join()
    assert asked == [program.WATCH]
    assert pi.answer["state"] == "fix"


def test_the_map_server_has_the_folder_mounted() -> None:
    assert Path(program.FOLDER).parent == Path(pi_page.FOLDER)


def test_the_words_are_in_both_languages() -> None:
    assert receiver.SAID["en"].keys() == receiver.SAID["fr"].keys()
    assert not [text for said in receiver.SAID.values() for text in said.values() if not re.search(r"[.?]$", text)]
