"""The emulated Pi that is a whole machine: what is decided before anything is started, and who has power."""

from __future__ import annotations

import fcntl
import json
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from workshop.emulator import card, loader, whole_machine
from workshop.emulator import machine_options as o
from workshop.emulator.options import EmulatorError, Pi

PI = Pi(name="pi-1", ssh_port=2222, map_port=8081, state_dir="/state", memory="2g")
STOCK = (card.HERE.parent / "root/var/lib/emulator/boot-partition/cmdline.txt").read_text(encoding="utf-8")
DEPENDENCIES = """\
kernel/fs/ext4/ext4.ko.xz: kernel/fs/jbd2/jbd2.ko.xz kernel/lib/crc16.ko.xz
kernel/fs/jbd2/jbd2.ko.xz: kernel/lib/crc16.ko.xz
kernel/lib/crc16.ko.xz:
kernel/drivers/block/virtio-blk.ko:
"""


class Images:
    """No image is needed where a card is there."""

    def machine_key(self) -> str:
        return "key"

    def export_machine(self, target: Path) -> None:
        raise AssertionError(target)


@pytest.fixture
def machines(tmp_path: Path) -> whole_machine.WholeMachines:
    return whole_machine.WholeMachines(Images(), tmp_path / "machines")


@pytest.fixture
def folder(machines: whole_machine.WholeMachines) -> Path:
    """Return the folder of a machine that was made and is off."""
    folder = machines.cache / PI.name
    folder.mkdir(parents=True)
    (folder / loader.LOCK).touch()
    (folder / loader.DESCRIPTION).write_text(json.dumps(asdict(PI)), encoding="utf-8")
    return folder


def test_the_kernel_starts_without_the_memory_cgroup_unless_the_first_line_asks_for_it() -> None:
    line = o.kernel_line(STOCK)
    assert line and line.startswith("cgroup_disable=memory ")
    asked = o.kernel_line(STOCK.rstrip() + " cgroup_enable=memory cgroup_memory=1\n")
    assert asked and "cgroup_disable" not in asked and "cgroup_enable=memory" in asked.split()
    on_the_second = o.kernel_line(STOCK + "cgroup_enable=memory\n")
    assert on_the_second == line


def test_the_kernel_speaks_on_the_serial_port_as_there_is_no_screen() -> None:
    words = (o.kernel_line(STOCK) or "").split()
    assert [word for word in words if word.startswith("console=")] == ["console=ttyAMA0,115200"]


@pytest.mark.parametrize("text", ["", "\n", "console=tty1 rootwait\nroot=/dev/vda2\n"])
def test_without_a_root_file_system_in_the_first_line_nothing_starts(text: str) -> None:
    assert o.kernel_line(text) is None


def test_cmdline_txt_and_fstab_name_the_partitions_that_the_card_has() -> None:
    fstab = (card.HERE / "overlay/etc/fstab").read_text(encoding="utf-8")
    assert f"root=PARTUUID={o.DISK_ID}-02" in STOCK
    assert f"PARTUUID={o.DISK_ID}-01  /boot/firmware" in fstab and f"PARTUUID={o.DISK_ID}-02  /" in fstab
    assert f"label-id: 0x{o.DISK_ID}\n" in o.partitions()


def test_only_this_machine_reaches_its_ports_and_a_reboot_ends_qemu() -> None:
    command = o.machine_command(PI, "root=x")
    lan = next(word for word in command if word.startswith("user,"))
    assert lan == "user,id=lan,hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:8081-:80"
    assert "-no-reboot" in command
    assert command[command.index("-append") + 1] == "root=x"


def test_what_is_not_flushed_stays_outside_the_card() -> None:
    assert "--filter=cache" in o.disk_command() and "cache=writeback" in o.disk_command()
    assert "virtio-blk-pci,drive=card,write-cache=on" in o.machine_command(PI, "")


def test_a_module_is_loaded_after_what_it_needs_and_once() -> None:
    order = o.modules_in_order(DEPENDENCIES, ("virtio_blk", "built_in", "ext4"))
    assert [path.rpartition("/")[2] for path in order] == ["virtio-blk.ko", "crc16.ko.xz", "jbd2.ko.xz", "ext4.ko.xz"]


def test_the_initial_ram_disk_is_an_archive_that_cpio_reads() -> None:
    archive = card.initial_ram_disk(b"busybox", {"kernel/fs/b.ko.xz": b"second", "kernel/a.ko": b"first"})
    listed = subprocess.run(["busybox", "cpio", "-t"], input=archive, capture_output=True, check=True)
    names = listed.stdout.decode().split()
    assert {"init", "dev/console", "modules/b.ko", "modules/a.ko"} <= set(names)
    assert b"b.ko\na.ko\n" in archive


def test_a_machine_has_power_as_long_as_its_loader_lives(machines: whole_machine.WholeMachines, folder: Path) -> None:
    assert machines.status("pi-2") == "absent"
    assert machines.status(PI.name) == "exited"
    with (folder / loader.LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert machines.status(PI.name) == "running"
    assert machines.status(PI.name) == "exited"
    assert machines.names() == [PI.name]


def test_what_is_off_can_be_stopped_killed_and_removed(machines: whole_machine.WholeMachines, folder: Path) -> None:
    machines.stop(PI.name)
    machines.kill(PI.name)
    machines.destroy(PI.name)
    assert not folder.exists()
    machines.destroy(PI.name)
    with pytest.raises(EmulatorError, match="--kind machine"):
        machines.power_on(PI.name, 1)


def test_a_machine_is_not_started_with_other_ports(machines: whole_machine.WholeMachines, folder: Path) -> None:
    other = Pi(name=PI.name, ssh_port=2223, map_port=8081, state_dir="/state", memory="2g")
    with pytest.raises(EmulatorError, match="--ssh-port"):
        machines.start(other, 1)
    assert folder.exists()


def test_forgetting_cards_keeps_those_of_machines(machines: whole_machine.WholeMachines, folder: Path) -> None:
    blank = machines.cache / "key.img"
    blank.touch()
    (folder / o.CARD).touch()
    assert machines.build() == blank
    machines.forget()
    assert not blank.exists() and (folder / o.CARD).exists()
