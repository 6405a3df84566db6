"""How a Pi's own Wi-Fi fares: what is wrong by what is found, and how it is asked as a device asks."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.poppyfield.hotspot import health, look, names, probe, settings
from ansible.module_utils.poppyfield.hotspot.health import HotspotLook
from ansible.module_utils.poppyfield.hotspot.look import SetUp
from ansible.module_utils.poppyfield.hotspot.service import HotspotService
from ansible.module_utils.poppyfield.hotspot.settings import UNIT, UUIDS, Hotspot
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
HOTSPOT = Hotspot("wlan0", "FR", "pi-orchard", 6, "10.77.77.0/28", "correct horse")
ACCESS_POINT = (
    "Interface wlan0\n\tifindex 3\n\twdev 0x1\n\tssid pi-orchard\n\ttype AP\n\twiphy 0\n\tchannel 6 (2437 MHz)\n"
)
JOINED = ACCESS_POINT.replace("type AP", "type managed")
WELL = HotspotLook(f"100 (connected)\n{UUIDS[0]}\n", ACCESS_POINT, server_runs=True, leases=3, room=13)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, []),
        ({"offers": True, "names": True}, []),
        # As while other settings are on trial.
        ({"manager": f"100 (connected)\n{UUIDS[1]}\n"}, []),
        # Without iw NetworkManager's word counts.
        ({"kernel": ""}, []),
        ({"kernel": JOINED}, ["hotspot_closed"]),
        ({"manager": "100 (connected)\n11111111-1111-1111-1111-111111111111\n"}, ["hotspot_closed"]),
        ({"manager": f"50 (connecting (configuring))\n{UUIDS[0]}\n"}, ["hotspot_closed"]),
        ({"manager": "30 (disconnected)\n\n"}, ["hotspot_closed"]),
        ({"manager": ""}, ["hotspot_closed"]),
        # What follows from it is not told, too.
        ({"manager": "", "server_runs": False, "offers": False, "names": False}, ["hotspot_closed"]),
        ({"server_runs": False, "offers": False}, ["hotspot_silent"]),
        ({"offers": False, "names": True}, ["hotspot_no_address"]),
        ({"offers": True, "names": False}, ["hotspot_no_name"]),
        ({"offers": False, "names": False}, ["hotspot_no_address", "hotspot_no_name"]),
        # It is asked for an address that it has not.
        ({"leases": 13, "offers": False, "names": True}, ["hotspot_full"]),
        ({"leases": 12}, []),
    ],
)
def test_what_is_wrong_is_told_by_what_is_found(changes: dict[str, Any], wrong: list[str]) -> None:
    assert health.codes(dataclasses.replace(WELL, **changes), expected=True) == wrong


def test_a_pi_without_a_wifi_is_wrong_only_where_it_is_to_have_one() -> None:
    assert health.told(health.codes(None, expected=False)) is None
    assert health.codes(None, expected=True) == ["hotspot_absent"]
    assert health.told(["hotspot_absent"]) == {
        "codes": ["hotspot_absent"],
        "wrong": [health.SENTENCES["en"]["hotspot_absent"]],
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Pi with the files that hotspot_service writes."""
    service = HotspotService()
    for path, text in {**service.texts(HOTSPOT), service.profile: settings.profile(HOTSPOT, UUIDS[0])}.items():
        place = tmp_path / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return tmp_path


def said(*more: tuple[str, str]) -> Callable[..., str]:
    """Give what a Pi's commands print that is well, but for these."""
    answers = {"nmcli": WELL.manager, "iw": WELL.kernel, "systemctl": "active\n", **dict(more)}

    def said_by(command: str, *arguments: str) -> str:
        assert arguments[-1] == UNIT or "wlan0" in arguments
        return answers[command]

    return said_by


def test_its_own_files_say_what_is_set_up(root: Path, tmp_path: Path) -> None:
    assert look.set_up(root) == SetUp("wlan0", "10.77.77.1", 13)
    assert look.told(said(), tmp_path / "another Pi") is None
    leases = root / settings.LEASES.lstrip("/")
    leases.parent.mkdir(parents=True)
    leases.write_text("1796000000 02:00:00:00:00:01 10.77.77.2 tablet *\n" * 13)
    assert look.told(said(), root) == health.told(["hotspot_full"])


def test_a_profile_that_somebody_has_removed_is_a_wifi_that_is_not_open(root: Path) -> None:
    (root / look.PROFILE).unlink()
    assert look.told(said(), root) == health.told(["hotspot_closed"])


def test_who_cannot_answer_is_not_asked(root: Path) -> None:
    asked = []

    def ask(*words: str) -> tuple[bool, bool]:
        asked.append(words)
        return False, True

    for ill in (("nmcli", ""), ("iw", JOINED), ("systemctl", "")):
        look.told(said(ill), root, ask=ask)
    assert not asked
    assert look.told(said(), root, ask=ask) == health.told(["hotspot_no_address"])
    assert asked == [("wlan0", "10.77.77.1")]


def test_an_adapter_that_goes_meanwhile_is_told_by_the_next_look(root: Path) -> None:
    def ask(*_: str) -> tuple[bool, bool]:
        raise OSError(19, "No such device")

    assert look.told(said(), root, ask=ask) == health.told([])


# What is read of packets; what is sent is answered by the real dnsmasq in tests/engine/test_hotspot.py ----------------


def packet(number: int = 7, *, kind: int = probe.OFFER, ports: tuple[int, int] = (67, 68), more: bytes = b"") -> bytes:
    """Give a packet of IPv4 with a message of DHCP."""
    message = bytearray(probe.discover(number))
    message[0] = probe.REPLY
    message[probe.OPTIONS_AT :] = more + bytes((probe.KIND, 1, kind, probe.END))
    header = bytes((0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17)).ljust(20, b"\0")
    return header + struct.pack(">4H", *ports, 8 + len(message), 0) + bytes(message)


def test_only_the_offer_that_answers_is_one() -> None:
    assert probe.is_offer(packet(), 7)
    # Options before it, and one without a length.
    assert probe.is_offer(packet(more=b"\x00\x36\x04\x0a\x4d\x4d\x01"), 7)
    assert not probe.is_offer(packet(number=8), 7), "of another device"
    assert not probe.is_offer(packet(kind=5), 7), "an acknowledgement"
    assert not probe.is_offer(packet(ports=(68, 67)), 7), "what was asked, which is seen, too"
    assert not probe.is_offer(packet().replace(b"\x45", b"\x65", 1), 7), "no IPv4"
    assert not probe.is_offer(packet(more=bytes((probe.END,))), 7), "what stands after the end"


def answer(number: int = 7, *, code: int = 0, name: str = names.MAP, address: str = "10.77.77.1") -> bytes:
    """Give what a server of names answers."""
    asked = probe.question(name, number)
    record = struct.pack(">2sHHIH", b"\xc0\x0c", 1, 1, 10, 4) + socket.inet_aton(address)
    return struct.pack(">6H", number, 0x8580 | code, 1, 1, 0, 0) + asked[12:] + record


def test_only_the_answer_that_leads_to_the_pi_is_one() -> None:
    def is_right(packet: bytes) -> bool:
        return probe.is_answer(packet, names.MAP, 7, "10.77.77.1")

    assert is_right(answer())
    assert not is_right(answer(number=8))
    assert not is_right(answer(code=5)), "refused"
    assert not is_right(answer(name="mop.internal"))
    assert not is_right(answer(address="192.168.1.1")), "it leads elsewhere"
    assert not is_right(answer()[:-4]), "the name is there, and has no address"


@given(st.binary(max_size=400))
def test_whatever_is_in_the_air_is_read(data: bytes) -> None:
    for made in (data, packet()[: len(data)] + data, packet(more=data), answer()[: len(data)] + data):
        probe.is_offer(made, 7)
        probe.is_answer(made, names.MAP, 7, "10.77.77.1")


# In the verify stage --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("enabled", "options", "fails"), [(True, (), True), (True, ("--check",), False), (False, (), False)]
)
def test_verify_fails_by_a_sentence_where_the_wifi_that_is_asked_for_does_not_work(
    tmp_path: Path, enabled: bool, options: tuple[str, ...], fails: bool
) -> None:
    """On this machine, which has none."""
    tasks = ROOT / "playbooks" / "tasks" / "left_out.yml"
    play = tmp_path / "play.yml"
    play.write_text(f"- hosts: all\n  gather_facts: false\n  tasks: [{{import_tasks: {tasks}}}]\n")
    given = {"hotspot_enabled": enabled, "ansible_python_interpreter": sys.executable}
    command = [sys.executable, "-m", "ansible", "playbook", "--inventory", "localhost,", "--connection", "local"]
    done = subprocess.run(
        [*command, *options, "--extra-vars", json.dumps(given), str(play)],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    assert (health.SENTENCES["en"]["hotspot_absent"] in done.stdout) is fails
