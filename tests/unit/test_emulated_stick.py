"""The stick of a whole machine: what QEMU is told, and what a person is."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workshop.emulator import machine_options as o
from workshop.emulator import usb_stick
from workshop.emulator.options import EmulatorError


class Qemu:
    """Answers as QEMU's monitor does; `answers` are given in turn, each a list of messages."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: list[list[dict[str, Any]]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / o.MONITOR_SOCKET))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rwb") as stream:
            stream.write(b'{"QMP": {}}\n')
            stream.flush()
            for line in stream:
                self.asked.append(json.loads(line))
                answers = [{"return": {}}] if len(self.asked) == 1 else self.answers.pop(0)
                stream.writelines(json.dumps(answer).encode() + b"\n" for answer in answers)
                stream.flush()

    def close(self) -> None:
        self._thread.join(10)
        self._listener.close()


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[Qemu]:
    server = Qemu(tmp_path)
    yield server
    server.close()


DONE: dict[str, Any] = {"return": {}}
PLUGGED = {"event": "NIC_RX_FILTER_CHANGED"}
GONE = {"event": "DEVICE_DELETED", "data": {"device": "stick"}}


def test_a_stick_is_a_disk_on_usb(qemu: Qemu, tmp_path: Path) -> None:
    qemu.answers = [[DONE], [PLUGGED, DONE]]
    usb_stick.plug_in(tmp_path, tmp_path / "stick.img")
    _, disk, device = qemu.asked
    assert disk["execute"] == "blockdev-add" and disk["arguments"]["file"]["filename"] == str(tmp_path / "stick.img")
    assert device["arguments"] == {"driver": "usb-storage", "id": "stick", "drive": "stick"}


@pytest.mark.parametrize("answers", [[GONE, DONE], [DONE, GONE]], ids=["told before the answer", "told after it"])
def test_it_is_out_when_qemu_says_that_it_is_gone(qemu: Qemu, tmp_path: Path, answers: list[dict[str, Any]]) -> None:
    qemu.answers = [answers, [DONE]]
    usb_stick.pull_out(tmp_path)
    assert [one["execute"] for one in qemu.asked[1:]] == ["device_del", "blockdev-del"]


def test_what_qemu_refuses_is_told(qemu: Qemu, tmp_path: Path) -> None:
    qemu.answers = [[{"error": {"class": "GenericError", "desc": "Device 'stick' not found"}}]]
    with pytest.raises(EmulatorError, match="device_del: Device 'stick' not found"):
        usb_stick.pull_out(tmp_path)


def test_without_power_no_stick_is_plugged_in(tmp_path: Path) -> None:
    with pytest.raises(EmulatorError, match="has no power"):
        usb_stick.plug_in(tmp_path, tmp_path / "stick.img")
