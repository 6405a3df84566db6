"""The emulated Pi that is a whole machine: what is decided before anything is started, and who has power."""

from __future__ import annotations

import fcntl
import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.unit.write_logs import log_of
from workshop.emulator import card, card_cache, kept_machine, loader, login, options, whole_machine, write_log
from workshop.emulator import machine_options as o
from workshop.emulator.card_cache import Loss
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


def test_what_is_written_stays_outside_the_card_until_the_power_ends() -> None:
    words = o.machine_command(PI, "")
    assert "virtio-blk-pci,drive=card,request-merging=off,write-cache=on,discard=off,write-zeroes=off" in words
    assert any(word.startswith("driver=blklogwrites,node-name=card,file=session,log=writes") for word in words)
    assert not any(f"filename={o.CARD}" in word for word in words)


SECTORS = 8
FLUSH = (0, b"", write_log.Flag.FLUSH)


@pytest.fixture
def power(folder: Path) -> Path:
    """Return the folder of a machine that wrote a, flushed it, and wrote b and c, and d by force."""
    (folder / o.CARD).write_bytes(b"-" * SECTORS * o.SECTOR)
    written = [(0, b"a" * o.SECTOR, 0), FLUSH, (1, b"b" * o.SECTOR, 0), (2, b"c" * o.SECTOR, 0)]
    written.append((3, b"d" * o.SECTOR, write_log.Flag.FUA))
    assert log_of(folder, *written) == folder / o.WRITES
    return folder


def on_the_card(folder: Path) -> str:
    assert not (folder / o.WRITES).exists()
    return (folder / o.CARD).read_bytes()[:: o.SECTOR].decode()


def test_a_cut_with_a_seed_waits_for_writes_that_can_be_lost(power: Path) -> None:
    assert card_cache.waiting(power) == 2
    log_of(power, (0, b"a" * o.SECTOR, 0), FLUSH)
    assert card_cache.waiting(power) == 0


def test_a_power_cut_loses_what_was_not_flushed(machines: whole_machine.WholeMachines, power: Path) -> None:
    assert machines.kill(PI.name) == Loss(dropped=2, kept=0)
    assert on_the_card(power) == "a--d----"
    # It has no power any more.
    assert machines.kill(PI.name) == Loss(dropped=0, kept=0)


def test_a_card_that_failed_is_told(machines: whole_machine.WholeMachines, power: Path) -> None:
    (power / o.CONSOLE).write_text("[  601.5] I/O error, dev vda, sector 3278832 op 0x1:(WRITE) flags 0x0\n")
    with pytest.raises(EmulatorError, match="an error of the emulator"):
        machines.kill(PI.name)


def test_a_seed_chooses_what_a_cut_leaves_of_it(machines: whole_machine.WholeMachines, power: Path) -> None:
    log, left = (power / o.WRITES).read_bytes(), set()
    for seed in range(40):
        (power / o.WRITES).write_bytes(log)
        (power / o.CARD).write_bytes(b"-" * SECTORS * o.SECTOR)
        loss = machines.kill(PI.name, seed)
        assert loss.dropped >= 1 and loss.dropped + loss.kept == 2
        left.add(on_the_card(power))
    assert left == {"a--d----", "ab-d----", "a-cd----"}


def test_a_clean_end_loses_nothing_and_an_unseen_one_what_was_not_flushed(power: Path) -> None:
    log = (power / o.WRITES).read_bytes()
    card_cache.end(power)
    assert on_the_card(power) == "abcd----"
    (power / o.CARD).write_bytes(b"-" * SECTORS * o.SECTOR)
    (power / o.WRITES).write_bytes(log)
    assert card_cache.cut(power, None).dropped == 2
    assert on_the_card(power) == "a--d----"
    # QEMU had not begun to write the log.
    (power / o.WRITES).touch()
    assert card_cache.cut(power, 1) == Loss(0, 0)


def test_a_machine_that_was_kept_begins_again_at_other_ports(
    machines: whole_machine.WholeMachines, folder: Path, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    made = replace(PI, state_dir=str(state))
    (folder / loader.DESCRIPTION).write_text(json.dumps(asdict(made)), encoding="utf-8")
    (folder / o.CARD).write_text("as it is")
    files = login.StateFiles(state)
    login.make_key(files.key)
    login.make_password(files.password)
    files.known_hosts.write_text(options.known_hosts_line(made.ssh_port, "ssh-ed25519 AAAA"))
    kept_machine.keep(machines.cache, PI.name, tmp_path / "kept" / "here")
    other = replace(made, name="pi-2", ssh_port=2229, state_dir=str(tmp_path / "other"))
    kept_machine.bring_back(tmp_path / "kept" / "here", machines.cache, other)
    assert (machines.cache / "pi-2" / o.CARD).read_text() == "as it is"
    assert machines.status("pi-2") == "exited"
    assert login.StateFiles(tmp_path / "other").password.read_text() == files.password.read_text()
    assert (tmp_path / "other" / "known_hosts").read_text() == "[127.0.0.1]:2229 ssh-ed25519 AAAA\n"
    with (folder / loader.LOCK).open() as lock, pytest.raises(EmulatorError, match="stop it first"):
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept_machine.keep(machines.cache, PI.name, tmp_path / "kept" / "there")


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
    kept = machines.cache / whole_machine.KEPT / "digest" / o.CARD
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert machines.build() == blank
    machines.forget()
    assert not blank.exists() and not kept.exists() and (folder / o.CARD).exists()
