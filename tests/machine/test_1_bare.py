"""A Pi with a kernel, a clock and a card of its own: what the container that plays a Pi cannot show."""

from __future__ import annotations

import subprocess
import time

import pytest

from tests.machine.reached import ROOT, Machine
from workshop.emulator import card
from workshop.emulator import machine_options as o

# It boots in the midst of them.
pytestmark = pytest.mark.timeout(5400)

ARM64 = "183"
OTHER_MACHINES = """import glob
for name in sum((glob.glob(folder, recursive=True) for folder in ("/usr/bin/*", "/usr/sbin/*", "/usr/lib/**/*")), []):
    try:
        head = open(name, "rb").read(20)
    except (OSError, IsADirectoryError):
        continue
    if head[:4] == bytes([127]) + b"ELF" and head[18] != %s:
        print(name)
"""
# A buffered file, a flushed one, and a count that goes to the card at once, which confirms it, but is not flushed; its
# place on the card is safe before.
WRITE = """import mmap, os, sys
def write(name, flush):
    with open(name, "w") as file:
        file.write("written")
        file.flush()
        if flush:
            os.fsync(file.fileno())
block = mmap.mmap(-1, 4096)
with open("/srv/count", "wb") as file:
    file.write(block)
os.sync()
write("/srv/flushed", True)
write("/srv/buffered", False)
card = os.open("/srv/count", os.O_WRONLY | os.O_DIRECT)
for count in range(1, 10**9):
    block[:10] = b"%010d" % count
    os.pwrite(card, block, 0)
    print(count, flush=True)
"""
COUNTED_BEFORE_THE_CUT = 50
# Neighbours in the file are none in memory, so that each page is a part of its own in what the kernel asks of the card.
SCATTERED = """import os, random
pages = list(range(16384))
random.Random(0).shuffle(pages)
with open("/srv/scattered", "wb") as file:
    for page in pages:
        os.pwrite(file.fileno(), b"%04096d" % page, page * 4096)
    os.fsync(file.fileno())
with open("/srv/scattered", "rb") as file:
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    print(all(file.read(4096) == b"%04096d" % page for page in range(16384)))
"""
WRITER = ROOT / "module_utils" / "poppyfield" / "host" / "atomic_file.py"


def test_its_boot_partition_is_fat_and_nothing_in_it_is_of_this_machine(machine: Machine) -> None:
    assert machine.run("findmnt --noheadings --output FSTYPE /boot/firmware", sudo=False) == "vfat"
    assert machine.run("findmnt --noheadings --output FSTYPE /", sudo=False) == "ext4"
    # What the card was flashed with is taken over, and the secrets are gone from the partition that anybody reads.
    assert machine.run("ls /boot/firmware", sudo=False).split() == [
        "cmdline.txt",
        "config.txt",
        "initramfs8",
        "kernel8.img",
    ]
    assert machine.run(f"python3 -c '{OTHER_MACHINES % ARM64}'", sudo=False) == ""


def test_ansible_reaches_it_and_becomes_root(machine: Machine) -> None:
    done = machine.ansible("pis", "--module-name", "ping", "--become")
    assert done.returncode == 0 and '"pong"' in done.stdout, done.stdout


def test_it_has_no_clock_that_runs_without_power(machine: Machine) -> None:
    since_power_on = int(machine.run("cat /sys/class/rtc/rtc0/since_epoch", sudo=False))
    assert since_power_on < time.time() / 2
    if machine.run("timedatectl show --property NTPSynchronized --value", sudo=False) == "no":
        assert int(machine.run("date +%s", sudo=False)) < time.time() - 60


def test_the_memory_cgroup_comes_by_cmdline_txt_and_a_reboot_only(machine: Machine) -> None:
    controllers = "cat /sys/fs/cgroup/cgroup.controllers"
    assert "memory" not in machine.run(controllers, sudo=False).split()
    machine.run("sed -i '1s/$/ cgroup_enable=memory cgroup_memory=1/' /boot/firmware/cmdline.txt && sync")
    assert "memory" not in machine.run(controllers, sudo=False).split()
    machine.reboot()
    assert "memory" in machine.run(controllers, sudo=False).split()


def test_its_card_takes_what_is_scattered_in_memory(machine: Machine) -> None:
    assert machine.run(f"python3 -c '{SCATTERED}'") == "True"
    assert "I/O error" not in machine.run("dmesg")


def test_what_the_firmware_reads_is_there_after_a_cut_at_once(machine: Machine) -> None:
    line = machine.run("cat /boot/firmware/cmdline.txt", sudo=False) + " poppyfield.written=1\n"
    write = f"write(Path('/boot/firmware/cmdline.txt'), {line.encode()!r})"
    machine.run(f"python3 - <<'END'\n{WRITER.read_text(encoding='utf-8')}\n{write}\nEND")
    machine.power_off()
    # As the firmware reads it, before anything looks after the file system.
    assert card.read(machine.folder / o.CARD, o.COMMAND_LINE).decode() == line
    machine.power_on(settled=False)
    assert "poppyfield.written=1" in machine.run("cat /proc/cmdline", sudo=False).split()


def test_a_power_cut_loses_what_was_not_flushed(machine: Machine) -> None:
    # Otherwise the file system's own flushes, each five seconds, would save the count now and then.
    machine.run("mount -o remount,commit=300 /")
    writer = subprocess.Popen(
        machine.command(f"exec python3 -c '{WRITE}'"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False
    )
    assert writer.stdin and writer.stdout
    writer.stdin.write(machine.password)
    writer.stdin.close()
    counts = [int(writer.stdout.readline()) for _ in range(COUNTED_BEFORE_THE_CUT)]
    machine.power_cut()
    # ssh waits for a Pi that will not answer.
    writer.terminate()
    counts += [int(line) for line in writer.stdout]
    assert machine.run("cat /srv/flushed") == "written"
    assert machine.run("cat /srv/buffered 2> /dev/null || true") == ""
    assert int(machine.run("tr -d '\\0' < /srv/count") or 0) < counts[-1]


def test_the_power_button_shuts_it_down(machine: Machine) -> None:
    machine.run("echo kept > /srv/kept")
    machine.restart()
    assert machine.run("cat /srv/kept") == "kept"
